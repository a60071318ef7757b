//! Ctrl-C: once to stop new work and drain, twice to stop at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::print::warn;
use crate::engine::run::Halt;

/// The first of SIGINT and SIGTERM, for what has nothing to drain.
pub(super) fn first() -> std::io::Result<tokio::sync::mpsc::Receiver<()>> {
    let (ask, asked) = tokio::sync::mpsc::channel(1);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    #[expect(clippy::disallowed_methods, reason = "lives as long as the process")]
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = ask.send(()).await;
    });
    Ok(asked)
}

/// What signals ask for, from now on. SIGINT and SIGTERM count alike.
pub(super) fn listen() -> std::io::Result<watch::Receiver<Halt>> {
    let (ask, asked) = watch::channel(Halt::No);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // A results file that may not grow any more is an error of that write, not the end.
    let full = signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?;
    #[expect(clippy::disallowed_methods, reason = "lives as long as the process")]
    tokio::spawn(async move {
        let _full: Signal = full;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let next = match *ask.borrow() {
                Halt::No => Halt::Orders,
                Halt::Orders | Halt::Everything => Halt::Everything,
            };
            warn(match next {
                Halt::No | Halt::Orders => {
                    "\nstopping: no new orders, waiting for open ones; once more to stop at once"
                }
                Halt::Everything => "\nstopping at once",
            });
            ask.send_replace(next);
        }
    });
    Ok(asked)
}
