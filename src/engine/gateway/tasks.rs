//! Doors and the tasks behind them: one that panics takes the gateway with it, so that nobody trusts what
//! is left.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinError;

/// How long to wait when no connection can be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// The next connection at `door`, as the log calls it. May be cancelled at any time.
pub(in crate::engine) async fn next_connection(
    listener: &TcpListener,
    door: &'static str,
) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(connection) => return connection,
            Err(error) => {
                // Out of descriptors, most likely: waiting is all that helps.
                tracing::warn!(%error, door, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Passes a task's panic on.
pub(in crate::engine) fn pass_on(joined: Result<(), JoinError>) {
    if let Err(error) = joined
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
