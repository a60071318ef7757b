//! MicroMDM as a program of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) use crate::program_rig::port;
use crate::program_rig::{Process, listens, program as program_at};

/// The key of its API.
pub(crate) const KEY: &str = "a-key-for-this-test";

/// The name that it gives itself, which resolves nowhere.
pub(crate) const NAME: &str = "https://mdm.example.test";

/// How long MicroMDM may take until something that it does by itself is done.
const PATIENCE: Duration = Duration::from_secs(20);

/// A MicroMDM that ends with the test.
pub(crate) struct Micromdm {
    _process: Process,
    port: u16,
    log: PathBuf,
    pub(crate) config: PathBuf,
}

pub(crate) fn program() -> Option<String> {
    program_at("MDMSTORM_MICROMDM", "micromdm")
}

#[expect(clippy::disallowed_methods, reason = "MicroMDM has a clock of its own")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for something that MicroMDM does by itself and tells nobody of.
pub(crate) fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: it did not come to that"
        );
        std::thread::yield_now();
    }
}

impl Micromdm {
    /// Starts it with its data in `folder`, behind the CONNECT proxy at `proxy`, and waits until it
    /// listens.
    pub(crate) fn start(
        program: &str,
        folder: &Path,
        port: u16,
        proxy: u16,
        authority: &Path,
        arguments: &[&str],
    ) -> Self {
        let (config, log) = (folder.join("config"), folder.join("micromdm.log"));
        let process = Command::new(program)
            .args(["serve", "-tls=false", "-api-key", KEY, "-server-url", NAME])
            .args(["-http-addr", &format!("127.0.0.1:{port}")])
            .arg("-config-path")
            .arg(&config)
            .args(arguments)
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{proxy}"))
            .env("SSL_CERT_FILE", authority)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .map(Process)
            .unwrap();
        // Nothing but a connection tells that it listens.
        until("micromdm listens", || listens(port).then_some(()));
        Self {
            _process: process,
            port,
            log,
            config,
        }
    }

    /// How many requests of this path its log tells of.
    pub(crate) fn requests(&self, path: &str) -> usize {
        let path = format!("path={path}");
        let is_one = |line: &&str| line.split(' ').any(|word| word == path);
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().filter(is_one).count()
    }

    /// A request of the administrator: the status and body of its answer.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let user = STANDARD.encode(format!("micromdm:{KEY}"));
        let header = format!("authorization: Basic {user}");
        self.ask(method, path, &header, body.as_bytes())
    }

    /// A request with one more header: the status and body of its answer.
    pub(crate) fn ask(&self, method: &str, path: &str, header: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        // HTTP/1.0: the answer is everything until the end of the connection.
        let head = format!(
            "{method} {path} HTTP/1.0\r\ncontent-type: application/x-apple-aspen-mdm-checkin\r\n\
             {header}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        // Until it has taken note of the push certificate, it panics and answers nothing.
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        (status.unwrap_or(0), body.to_owned())
    }
}
