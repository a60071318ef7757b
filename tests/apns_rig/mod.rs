//! `mdmstorm apns` as a child process, with every door open, and who comes to them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use mdmstorm::engine::authority::Credential;
use mdmstorm::engine::push_client::{PushClient, PushTarget};
use mdmstorm::ids::hex_decode;
use mdmstorm::reference_server::{PushOrder, Ticket};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const ANY: &str = "127.0.0.1:0";

pub(crate) fn mdmstorm(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
    command.arg("apns").arg("--state").arg(state);
    command.args(arguments).env_remove("MDMSTORM_LOG");
    command
}

pub(crate) fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(all).unwrap()
}

/// A gateway that runs on ports of its own, with every door open.
pub(crate) struct Gateway {
    child: Child,
    out: BufReader<ChildStdout>,
    /// Its first line.
    pub(crate) listening: Value,
    _folder: TempDir,
}

impl Gateway {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let doors = ["--listen", ANY, "--connect-proxy", ANY, "--plain", ANY];
        let rest = ["--admin", ANY, "--log", "json", "--tokens", "3"];
        let mut child = mdmstorm(&folder.path().join("state"), arguments)
            .args(doors)
            .args(rest)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        Self {
            child,
            out,
            listening: serde_json::from_str(&line).unwrap(),
            _folder: folder,
        }
    }

    /// The next line of its log.
    pub(crate) fn line(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn address(&self, door: &str) -> SocketAddr {
        let door = &self.listening[door];
        let door = door.get(0).unwrap_or(door);
        door.as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn token(&self, device: usize) -> String {
        let token = &self.listening["tokens"][device]["token"];
        token.as_str().unwrap().to_owned()
    }

    pub(crate) fn magic(&self, device: usize) -> String {
        let magic = &self.listening["tokens"][device]["magic"];
        magic.as_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.listening[name].as_str().unwrap()).unwrap()
    }

    /// A provider with the push certificate.
    pub(crate) fn provider(&self) -> PushClient {
        let push = Credential::from_pem(&self.file("push_certificate"), &self.file("push_key"));
        let target = PushTarget {
            address: self.address("tls"),
            server_name: "api.push.apple.com".into(),
            authority: Some(self.file("ca")),
            expires_after: None,
        };
        PushClient::new(target, &push.unwrap()).unwrap()
    }

    pub(crate) fn order(&self, device: usize, magic: String) -> PushOrder {
        PushOrder {
            ticket: Ticket::default(),
            id: "id".into(),
            topic: self.listening["topic"].as_str().unwrap().to_owned(),
            token: hex_decode(&self.token(device)).unwrap(),
            magic,
        }
    }

    /// A request to a plain door, with further header lines; gives back the whole answer.
    pub(crate) fn ask(&self, door: &str, request: &str, headers: &str, body: &str) -> String {
        ask(self.address(door), request, headers, body)
    }

    pub(crate) fn stats(&self) -> Value {
        let answer = self.ask("admin", "GET /stats", "", "");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// Ctrl-C, and what is said then.
    pub(crate) fn stop(mut self) -> Value {
        let kill = format!("kill -INT {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
        let last = self.line();
        assert!(self.child.wait().unwrap().success());
        last
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn ask(address: SocketAddr, request: &str, headers: &str, body: &str) -> String {
    let mut tcp = TcpStream::connect(address).unwrap();
    let bytes = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: apns\r\nConnection: close\r\n{headers}");
    let request = format!("{head}Content-Length: {bytes}\r\n\r\n{body}");
    tcp.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer
}

/// Somebody who listens to a token.
pub(crate) struct Listener(BufReader<TcpStream>);

impl Listener {
    pub(crate) fn begin(gateway: &Gateway, token: &str) -> Self {
        let mut tcp = TcpStream::connect(gateway.address("plain")).unwrap();
        let request = format!("GET /events?token={token} HTTP/1.1\r\nHost: apns\r\n\r\n");
        tcp.write_all(request.as_bytes()).unwrap();
        let mut listener = Self(BufReader::new(tcp));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(listener.0.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        listener
    }

    /// The payload of the next push; `None` when there will be none.
    pub(crate) fn ping(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if line == "event: ping\n" {
                line.clear();
                self.0.read_line(&mut line).unwrap();
                let payload = line.strip_prefix("data: ").unwrap();
                return Some(payload.trim_end().to_owned());
            }
        }
    }
}

/// A scenario whose service goes wrong in these ways.
pub(crate) fn scenario(folder: &TempDir, faults: &str) -> String {
    let path = folder.path().join("faults.toml");
    let text = format!(
        "name = \"faults\"\nseed = 1\n[target.embedded]\n[[cohorts]]\nname = \"carts\"\ncount = 2\n\
         preset = \"always-on\"\n[[stages]]\nname = \"wait\"\nduration = \"1s\"\n{faults}"
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
