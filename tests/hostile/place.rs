//! A run of devices against the real server behind the hostile one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use crate::front::{Deed, Front, Heard, NAME, Step};

const KEY: &str = "a-key-for-this-test";

/// How a case ends when the device enrols in spite of it.
pub(crate) const ENROLLED: &str = "enrolled";

/// What is done to one device, and how that ends.
pub(crate) struct Case {
    pub(crate) told: &'static str,
    pub(crate) deeds: Vec<(Step, Deed)>,
    /// The refusal's name, or [`ENROLLED`].
    pub(crate) ends: &'static str,
}

/// `told`: at `step` the server does `deed`, which ends in `ends`.
pub(crate) fn case(told: &'static str, step: Step, deed: Deed, ends: &'static str) -> Case {
    Case {
        told,
        deeds: vec![(step, deed)],
        ends,
    }
}

/// The real server; it ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Enrols a device for each case by `way`, an honest one first and last; every case ends as it says,
/// and the server has enrolled all others and none of the refused.
#[expect(clippy::too_many_lines, reason = "the story of one run")]
pub(crate) fn check(way: &str, cases: Vec<Case>) -> Sent {
    let heard = Heard::default();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let [http, https, gateway] = [port(), port(), port()];
    let state = path("state");
    let mut server = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
    server
        .args(["serve", "--identity", "signature", "--api-key", KEY])
        .args(["--https", &format!("127.0.0.1:{https}")])
        .args(["--http", &format!("127.0.0.1:{http}")])
        .args(["--gateway", &format!("127.0.0.1:{gateway}")])
        .args(["--state", &state])
        .stdout(Stdio::piped());
    let mut server = Server(server.spawn().unwrap());
    let mut line = String::new();
    let mut out = BufReader::new(server.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with("devices"), "{line}");

    let honest = |told| Case {
        told,
        deeds: Vec::new(),
        ends: ENROLLED,
    };
    let mut all = vec![honest("the first, who is treated well")];
    all.extend(cases);
    all.push(honest("the last, who is treated well"));
    let deeds = all.iter().map(|case| case.deeds.clone()).collect();
    let front = Front::new(http, https, deeds, Arc::clone(&heard)).start();
    let front = format!("http://127.0.0.1:{front}");

    let scenario = format!(
        r#"name = "hostile"
[target.nanomdm]
url = "https://127.0.0.1:{https}"
api-key = {{ env = "HOSTILE_API_KEY" }}
ca = "{state}/device-ca.pem"
timeout = "3s"
[enrollment]
within = "20s"
in-flight = 200
max-failed = 1.0
{}
[enrollment.identity]
keys = "pool"
[enrollment.rewrite]
"{NAME}" = "{front}"
[apns]
listen = "127.0.0.1:{gateway}"
[[cohorts]]
name = "all"
count = {}
preset = "always-on"
[[stages]]
name = "ask"
duration = "1s"
commands = [{{ request = "SecurityInfo", each = 1 }}]
"#,
        way.replace("FRONT", &front),
        all.len()
    );
    std::fs::write(path("s.toml"), scenario).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_mdmstorm"))
        .args(["enroll", &path("s.toml"), "--state", &state])
        .args(["--out", &path("results")])
        .env("HOSTILE_API_KEY", KEY)
        .env("HOSTILE_TOKEN", "a token")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.code().is_some(), "it was killed: {told}");
    assert!(!told.contains("panicked"), "{told}");

    let events = path("results/events.ndjson.zst");
    assert!(std::path::Path::new(&events).exists(), "{told}");
    let ends = ends(&zstd::decode_all(std::fs::File::open(events).unwrap()).unwrap());
    let mut wrong = Vec::new();
    for (device, case) in all.iter().enumerate() {
        let (name, what) = ends.get(&(device as u64)).cloned().unwrap_or_default();
        if name != case.ends {
            wrong.push(format!("{}: {name} ({what}), not {}", case.told, case.ends));
        }
    }
    assert!(wrong.is_empty(), "{}\n\n{told}", wrong.join("\n"));
    let enrolled = all.iter().filter(|case| case.ends == ENROLLED).count();
    assert_eq!(seen(http), enrolled as u64, "{told}");
    Sent { folder, heard }
}

/// What devices sent, and the folder with what the server has for it: `state`.
pub(crate) struct Sent {
    pub(crate) folder: TempDir,
    heard: Heard,
}

impl Sent {
    /// What the first device sent at `step`.
    pub(crate) fn at(&self, step: Step) -> Vec<u8> {
        self.heard.lock().unwrap()[&(0, step)].clone()
    }
}

/// How each device ended: enrolled, or the name and words of its first refusal.
fn ends(events: &[u8]) -> BTreeMap<u64, (String, String)> {
    let mut ends = BTreeMap::new();
    for line in events
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let fact: Value = serde_json::from_slice(line).unwrap();
        let Some(device) = fact["device"].as_u64() else {
            continue;
        };
        if let Some(name) = fact["failed"]["name"].as_str() {
            let what = fact["failed"]["what"].as_str().unwrap_or_default();
            assert!(what.len() < 500, "a long story: {what}");
            let end = (name.to_owned(), what.to_owned());
            ends.entry(device).or_insert(end);
        } else if fact["fact"] == "enrolled" {
            let end = (ENROLLED.to_owned(), String::new());
            ends.entry(device).or_insert(end);
        }
    }
    ends
}

/// How many devices the real server has enrolled.
fn seen(http: u16) -> u64 {
    let key = STANDARD.encode(format!("nanomdm:{KEY}"));
    let mut stream = TcpStream::connect(("127.0.0.1", http)).unwrap();
    let ask = format!(
        "GET /v1/enrollments?udid=none HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {key}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let seen: Value = serde_json::from_str(body).unwrap();
    seen["totals"]["enrolled"].as_u64().unwrap()
}
