//! The reference server as a child process, so that the target does not share our runtime.
//!
//! The parent writes the settings as one line of JSON; the child answers with one line and serves
//! until its standard input closes, which it does when the parent dies, however it dies.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::{Running, ServeSettings};

/// The child's one line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Hello {
    /// It serves.
    Listening {
        http: Option<SocketAddr>,
        https: Option<SocketAddr>,
    },
    /// It cannot.
    Failed(String),
}

/// Why the embedded server does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The child process cannot be started or talked to.
    #[error("cannot {action} the embedded server: {source}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The child said why it does not serve.
    #[error("the embedded server does not start: {0}")]
    Failed(String),
    /// The child said nothing that can be understood.
    #[error("the embedded server ended without a word; its own message is above")]
    Silent,
}

impl EmbeddedError {
    fn process(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Process { action, source }
    }
}

/// The longest a child may take from its start to its line.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A reference server in a process of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Embedded {
    /// Where it listens for plain HTTP.
    pub http: Option<SocketAddr>,
    /// Where it listens for HTTPS.
    pub https: Option<SocketAddr>,
    child: Child,
    /// Open as long as the child is to live.
    _stdin: ChildStdin,
}

impl Embedded {
    /// Starts `program` with `serve --embedded` and waits until it serves.
    pub async fn spawn(program: &Path, settings: &ServeSettings) -> Result<Self, EmbeddedError> {
        let mut child = Command::new(program)
            .args(["serve", "--embedded"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at a terminal goes to the whole group; the server must outlive the drain.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(EmbeddedError::process("start"))?;
        let mut stdin = child.stdin.take().expect("standard input is piped");
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut line = serde_json::to_string(settings).expect("settings are plain data");
        line.push('\n');
        let mut answer = String::new();
        let talk = async {
            // A child that has ended cannot be written to; then its line is missing, too.
            let _ = stdin.write_all(line.as_bytes()).await;
            BufReader::new(stdout).read_line(&mut answer).await
        };
        let read = timeout(START_TIMEOUT, talk)
            .await
            .map_err(|_| EmbeddedError::Silent)?;
        read.map_err(EmbeddedError::process("talk to"))?;
        match serde_json::from_str(&answer) {
            Ok(Hello::Listening { http, https }) => Ok(Self {
                http,
                https,
                child,
                _stdin: stdin,
            }),
            Ok(Hello::Failed(why)) => Err(EmbeddedError::Failed(why)),
            Err(_) => Err(EmbeddedError::Silent),
        }
    }

    /// The child's process id; `None` once it has ended.
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The CPU time the child has used, in steps of 10 ms; `None` where it cannot be told.
    pub fn cpu_time(&self) -> Option<Duration> {
        let path = format!("/proc/{}/stat", self.child.id()?);
        cpu_time_of(&std::fs::read_to_string(path).ok()?)
    }

    /// Whether the child is alive.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// User and system time in the text of `/proc/<pid>/stat` (proc(5)).
fn cpu_time_of(stat: &str) -> Option<Duration> {
    // The second field is the program's name in brackets, which may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    // USER_HZ is 100 on every Linux that Rust runs on.
    Some(Duration::from_millis((user + system) * 10))
}

/// The child's side: reads its settings from `stdin`, says on `stdout` where it listens, and serves
/// until `stdin` ends. Returns whether it has served.
pub fn run_embedded(
    mut stdin: impl BufRead + Send + 'static,
    mut stdout: impl Write,
) -> io::Result<bool> {
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // A herd of devices needs a descriptor each; what cannot be raised stays.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let started = runtime.block_on(async {
        let settings: ServeSettings =
            serde_json::from_str(&line).map_err(|error| format!("its settings: {error}"))?;
        Running::start(settings).map_err(|error| error.to_string())
    });
    let hello = match &started {
        Ok(running) => Hello::Listening {
            http: running.http,
            https: running.https,
        },
        Err(why) => Hello::Failed(why.clone()),
    };
    let hello = serde_json::to_string(&hello).expect("addresses are plain data");
    writeln!(stdout, "{hello}")?;
    stdout.flush()?;
    let Ok(running) = started else {
        return Ok(false);
    };
    runtime.block_on(async {
        let closed = tokio::task::spawn_blocking(move || {
            let mut rest = [0_u8; 256];
            while stdin.read(&mut rest).is_ok_and(|count| count > 0) {}
        });
        closed.await.map_err(io::Error::other)?;
        running.stop().await;
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_a_name_with_brackets() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_time_of(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time_of("nothing"), None);
    }

    #[test]
    fn a_child_that_cannot_serve_says_why() {
        let mut said = Vec::new();
        let served = run_embedded(io::Cursor::new("{}\n"), &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(
            !served && said.contains("failed") && said.contains("missing field"),
            "{said}"
        );
    }
}
