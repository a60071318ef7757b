//! NanoMDM as a program of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) use crate::program_rig::port;
use crate::program_rig::{Process, listens, program as program_at};

/// The key of its API.
pub(crate) const KEY: &str = "a-key-for-this-test";

/// How long it may take from its first line until it listens.
const START_MAX: Duration = Duration::from_secs(10);

/// A NanoMDM that ends with the test.
pub(crate) struct Nanomdm {
    _process: Process,
    port: u16,
}

pub(crate) fn program() -> Option<String> {
    program_at("MDMSTORM_NANOMDM", "nanomdm")
}

/// Waits until somebody listens.
#[expect(
    clippy::disallowed_methods,
    reason = "a server that never listens must not hold the test for ever"
)]
pub(crate) fn wait_for(port: u16) {
    let begun = Instant::now();
    while !listens(port) {
        assert!(begun.elapsed() < START_MAX, "nobody listens at {port}");
        std::thread::yield_now();
    }
}

impl Nanomdm {
    /// Starts it with its data and mdmstorm's `state` in `folder`, and waits until it listens.
    pub(crate) fn start(
        program: &str,
        port: u16,
        proxy: u16,
        folder: &Path,
        arguments: &[&str],
    ) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let mut process = Command::new(program)
            .args(["-api", KEY, "-listen", &listen])
            .args(arguments)
            .current_dir(folder)
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{proxy}"))
            .env("SSL_CERT_FILE", folder.join("state/apns-ca.pem"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map(Process)
            .unwrap();
        // It says that it starts; its first line is enough, and the rest is read and dropped.
        let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines();
        let started = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("starting server"));
        assert!(started, "nanomdm did not start");
        std::thread::spawn(move || lines.for_each(drop));
        // It says so a moment before it listens, and nothing but a connection tells that it does.
        wait_for(port);
        Self {
            _process: process,
            port,
        }
    }

    /// Sends a request of the administrator, without waiting for its answer.
    pub(crate) fn ask(&self, path: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let user = STANDARD.encode(format!("nanomdm:{KEY}"));
        // HTTP/1.0: the answer is everything until the end of the connection.
        let head = format!(
            "PUT {path} HTTP/1.0\r\nauthorization: Basic {user}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream
    }

    /// The status and body of the answer to a request.
    pub(crate) fn answer(mut stream: TcpStream) -> (u16, String) {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}
