//! Accepts connections and serves each until it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::peer::Peer;
use super::{ServeError, Shared, routes};

/// More connections wait to be accepted: 50,000 TLS sessions are about a gigabyte.
const CONNECTIONS_MAX: usize = 50_000;
/// Connections the kernel keeps until they are accepted; it lowers this to its own limit.
const BACKLOG: i32 = 65_535;
/// The longest a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest a connection may be idle or a request's head may take. A device that executes a
/// command keeps its connection idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait when there is no descriptor left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(20);

/// Listens on `address`; returns the address with the port that was chosen.
pub(super) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listen = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listen().map_err(|source| ServeError::Listen { address, source })
}

/// Serves every connection to `listener`; does not return. Dropping it closes them.
pub(super) async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    let mut connections = JoinSet::new();
    loop {
        let is_full = connections.len() >= CONNECTIONS_MAX;
        let accepted = tokio::select! {
            accepted = listener.accept(), if !is_full => Some(accepted),
            Some(_) = connections.join_next() => None,
        };
        match accepted {
            Some(Ok((stream, _))) => {
                connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "accepting a connection");
                sleep(EXHAUSTED_PAUSE).await;
            }
            None => {}
        }
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Without it an answer of two segments waits for an acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "setting TCP_NODELAY");
    }
    let Some(acceptor) = acceptor else {
        return converse(stream, Peer::default(), shared).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let peer = Peer::of_connection(stream.get_ref().1);
            converse(stream, peer, shared).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    shared: Arc<Shared>,
) {
    let service = service_fn(|request| routes::answer(request, peer, Arc::clone(&shared)));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIMEOUT);
    let served = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(error, "a connection ended");
    }
}
