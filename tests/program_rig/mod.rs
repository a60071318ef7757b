//! Servers of other people as programs of their own: where they are, and when they end.

use std::net::{TcpListener, TcpStream};
use std::process::Child;

/// The program that `variable` names the path of; without it a test says that it is skipped.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told of other programs this way"
)]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn program(variable: &str, what: &str) -> Option<String> {
    let program = std::env::var(variable).ok();
    if program.is_none() {
        eprintln!("skipped: {variable} is not set to the path of {what}");
    }
    program
}

/// A port that was free a moment ago.
pub(crate) fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether somebody listens. A connection to a port that nobody has may be to itself: both ends are
/// of the range that the system chooses from.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port))
        .is_ok_and(|stream| stream.local_addr().unwrap() != stream.peer_addr().unwrap())
}

/// A process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
