//! Bad input on the command line: the exact message, and the exit code.
//!
//! One table. Folders and ports of the test stand in messages as `DIR`, `STATE` and `PORT`.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A scenario that is right, but for what a case changes.
const SCENARIO: &str = r#"name = "small"
seed = 1

[target.nanomdm]
url = "http://TARGET"
api-key = { env = "ERRORS_API_KEY" }
timeout = "2s"

[apns]
listen = "127.0.0.1:0"

[[cohorts]]
name = "carts"
count = 2
preset = "always-on"

[[stages]]
name = "ask"
duration = "1s"
commands = [{ request = "SecurityInfo", to = "carts", rate = "2/s" }]
"#;

/// Where a case happens: a folder of its own, a state folder that all share.
struct Place {
    folder: TempDir,
    state: PathBuf,
    /// What stands for this run's ports and folders in the expected text.
    names: Vec<(String, &'static str)>,
    target: String,
    key: Option<&'static str>,
    arguments: Vec<String>,
}

impl Place {
    fn new(state: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        let names = vec![
            (folder.path().display().to_string(), "DIR"),
            (state.display().to_string(), "STATE"),
        ];
        Self {
            folder,
            state: state.to_owned(),
            names,
            // Port 1 is never served here, so a case that goes too far reaches nobody.
            target: "127.0.0.1:1".into(),
            key: Some("never sent anywhere"),
            arguments: Vec::new(),
        }
    }

    /// Names a port that only this run knows.
    fn port(&mut self, address: SocketAddr) {
        self.names.push((format!(":{}", address.port()), ":PORT"));
    }

    fn with(&mut self, arguments: &[&str]) {
        self.arguments
            .extend(arguments.iter().map(|text| (*text).to_owned()));
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    /// Runs `mdmstorm run` and gives back its exit code and what it said on standard error.
    fn run(&self, scenario: &str) -> (i32, String) {
        self.file(
            "s.toml",
            scenario.replace("TARGET", &self.target).as_bytes(),
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
        command
            .args(["run", "s.toml", "--quiet", "--drain", "1s", "--state"])
            .arg(&self.state)
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .env_remove("ERRORS_API_KEY");
        if let Some(key) = self.key {
            command.env("ERRORS_API_KEY", key);
        }
        let output = command.output().unwrap();
        let mut said = String::from_utf8(output.stderr).unwrap();
        for (is, name) in &self.names {
            said = said.replace(is, name);
        }
        (output.status.code().unwrap(), said.trim_end().to_owned())
    }
}

/// A change of the scenario's text: what stands there, and what stands there instead.
type Edit = (&'static str, &'static str);

struct Case {
    what: &'static str,
    edit: Edit,
    arrange: fn(&mut Place),
    code: i32,
    says: &'static str,
}

const NOTHING: fn(&mut Place) = |_| {};
const AS_IT_IS: Edit = ("", "");

/// A port where nobody listens: it was free a moment ago.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A server that answers everything with a page, as a captive portal would.
fn page_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let page = "<html><title>Welcome to Wi-Fi</title></html>";
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{page}", page.len());
        }
    });
    address
}

const CASES: &[Case] = &[
    Case {
        what: "an unknown key",
        edit: ("count = 2", "cuont = 2"),
        arrange: NOTHING,
        code: 104,
        says: r#"error: a cohort has no "count"
  --> s.toml:12:1
   |
12 | [[cohorts]]
   | ^^^^^^^^^^^ add count: a whole number, 1 or more

error: unknown key "cuont" in a cohort
  --> s.toml:14:1
   |
14 | cuont = 2
   | ^^^^^ did you mean "count"?"#,
    },
    Case {
        what: "a wrong type",
        edit: ("count = 2", "count = \"two\""),
        arrange: NOTHING,
        code: 104,
        says: r#"error: count is "two"
  --> s.toml:14:9
   |
14 | count = "two"
   |         ^^^^^ a whole number, 1 or more"#,
    },
    Case {
        what: "a duration without unit",
        edit: ("duration = \"1s\"", "duration = 1"),
        arrange: NOTHING,
        code: 104,
        says: r#"error: duration is 1, which has no unit
  --> s.toml:19:12
   |
19 | duration = 1
   |            ^ a length of time, as "250ms", "30s", "5m" or "1h30m""#,
    },
    Case {
        what: "a negative rate",
        edit: ("\"2/s\"", "\"-2/s\""),
        arrange: NOTHING,
        code: 104,
        says: r#"error: rate is "-2/s", but a rate is above 0 and at most 1000000
  --> s.toml:20:62
   |
20 | commands = [{ request = "SecurityInfo", to = "carts", rate = "-2/s" }]
   |                                                              ^^^^^^ a number per unit of time, as "50/s", "10/m" or "3/h""#,
    },
    Case {
        what: "no devices",
        edit: ("count = 2", "count = 0"),
        arrange: NOTHING,
        code: 104,
        says: r#"error: count is 0
  --> s.toml:14:9
   |
14 | count = 0
   |         ^ a whole number, 1 or more"#,
    },
    Case {
        what: "a probability above 1",
        edit: (
            "count = 2",
            "count = 2\nnot-now = { probability = 1.5, for = \"1s\" }",
        ),
        arrange: NOTHING,
        code: 104,
        says: r#"error: probability is 1.5, which is not between 0 and 1
  --> s.toml:15:27
   |
15 | not-now = { probability = 1.5, for = "1s" }
   |                           ^^^ a number from 0 to 1, as 0.05 or "5%""#,
    },
    Case {
        what: "a command for a cohort that is not there",
        edit: ("to = \"carts\"", "to = \"cart\""),
        arrange: NOTHING,
        code: 104,
        says: r#"error: there is no cohort "cart"
  --> s.toml:20:46
   |
20 | commands = [{ request = "SecurityInfo", to = "cart", rate = "2/s" }]
   |                                              ^^^^^^ did you mean "carts"?"#,
    },
    Case {
        what: "a variable for a secret that is not set",
        edit: AS_IT_IS,
        arrange: |place| place.key = None,
        code: 2,
        says: r#"error: the environment variable ERRORS_API_KEY is not set, but the scenario takes the target's api-key from it; set it, or name another one under api-key"#,
    },
    Case {
        what: "a CA that cannot be read",
        edit: ("timeout = \"2s\"", "ca = \"ca.pem\""),
        arrange: |place| place.with(&["--set", "target.nanomdm.url=https://127.0.0.1:1"]),
        code: 1,
        says: r#"error: cannot read ca.pem, which is the CA of the target's certificate: No such file or directory (os error 2)"#,
    },
    Case {
        what: "a CA that is none",
        edit: ("timeout = \"2s\"", "ca = \"ca.pem\""),
        arrange: |place| {
            place.file("ca.pem", b"not a certificate");
            place.with(&["--set", "target.nanomdm.url=https://127.0.0.1:1"]);
        },
        code: 1,
        says: r#"error: ca.pem, which is the CA of the target's certificate, cannot be used: no certificate in it: expected PEM with `-----BEGIN CERTIFICATE-----` (nothing found)"#,
    },
    Case {
        what: "a port in use",
        edit: AS_IT_IS,
        arrange: |place| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            place.port(address);
            place.with(&["--set", &format!("apns.listen={address}")]);
            // Held to the end of the test.
            std::mem::forget(listener);
        },
        code: 1,
        says: r#"error: cannot listen on 127.0.0.1:PORT for the APNs gateway: Address already in use (os error 98); stop what uses the port, or set another one under [apns] listen"#,
    },
    Case {
        what: "a target that refuses connections",
        edit: AS_IT_IS,
        arrange: |place| {
            let address = free_port();
            place.port(address);
            place.target = address.to_string();
        },
        code: 92,
        says: r#"error: the target cannot be used: asking for the target's version at http://127.0.0.1:PORT/version: the target is unreachable: 127.0.0.1:PORT: Connection refused (os error 111)"#,
    },
    Case {
        what: "a target that answers with a page",
        edit: AS_IT_IS,
        arrange: |place| {
            let address = page_server();
            place.port(address);
            place.target = address.to_string();
        },
        code: 92,
        says: r#"error: the target cannot be used: asking for the target's version at http://127.0.0.1:PORT/version: the target answered 200 with an HTML page ("<html><title>Welcome to Wi-Fi</title></html>"); expected 200 with JSON {"version": ..}"#,
    },
    Case {
        what: "a target that is public",
        edit: AS_IT_IS,
        // A documentation address (RFC 5737): nobody is there, and nobody is asked.
        arrange: |place| place.target = "203.0.113.1".into(),
        code: 2,
        says: r#"error: http://203.0.113.1 is at 203.0.113.1, a public address: mdmstorm is a load generator and refuses it; pass --allow-public-target if the server is yours to load"#,
    },
    Case {
        what: "a property list that ends too early",
        edit: ("request = \"SecurityInfo\"", "file = \"cut.plist\""),
        arrange: |place| {
            let cut = b"<?xml version=\"1.0\"?>\n<plist><dict>\n<key>RequestType</key><str";
            place.file("cut.plist", cut);
        },
        code: 104,
        says: r#"error: cut.plist: no readable property list: it ends too early, after 62 bytes (named at s.toml:20)"#,
    },
    Case {
        what: "a property list of 10 MB",
        edit: ("request = \"SecurityInfo\"", "file = \"big.plist\""),
        arrange: |place| {
            let mut big = b"<?xml version=\"1.0\"?>\n<plist><data>".to_vec();
            big.resize(10_000_000, b'A');
            place.file("big.plist", &big);
        },
        code: 104,
        says: r#"error: big.plist: the file has 10000000 bytes, but a command has at most 4194304 (named at s.toml:20)"#,
    },
    Case {
        what: "a command file that is not there",
        edit: ("request = \"SecurityInfo\"", "file = \"none.plist\""),
        arrange: NOTHING,
        code: 104,
        says: r#"error: s.toml:20: cannot read none.plist: No such file or directory (os error 2)"#,
    },
    Case {
        what: "a results folder that cannot be written to",
        edit: AS_IT_IS,
        arrange: |place| {
            place.file("results", b"a file where the folder belongs");
            place.with(&["--out", "results/mine"]);
        },
        code: 1,
        says: r#"error: cannot write results to results/mine: Not a directory (os error 20); choose another folder with --out"#,
    },
    Case {
        what: "a results folder that holds results",
        edit: AS_IT_IS,
        arrange: |place| {
            std::fs::create_dir(place.folder.path().join("old")).unwrap();
            place.file("old/manifest.json", b"{}");
            place.with(&["--out", "old"]);
        },
        code: 1,
        says: r#"error: old already holds a results bundle; choose another folder with --out, or remove it"#,
    },
    Case {
        what: "an option that is not there",
        edit: AS_IT_IS,
        arrange: |place| place.with(&["--sed", "7"]),
        code: 2,
        says: r#"error: unexpected argument '--sed' found

  tip: a similar argument exists: '--seed'

Usage: mdmstorm run --quiet --drain <TIME> --state <DIR> --seed <N> <SCENARIO>

For more information, try '--help'."#,
    },
];

#[test]
fn bad_input_is_answered_with_what_is_wrong_and_what_would_be_right() {
    let state = TempDir::new().unwrap();
    let state = state.path().join("state");
    let mut wrong = String::new();
    for case in CASES {
        let mut place = Place::new(&state);
        (case.arrange)(&mut place);
        let (from, to) = case.edit;
        assert!(SCENARIO.contains(from), "{}: nothing to change", case.what);
        let (code, says) = place.run(&SCENARIO.replacen(from, to, 1));
        if (code, says.as_str()) != (case.code, case.says) {
            wrong.push_str(&format!("# {}: exit {code}\n{says}\n\n", case.what));
        }
    }
    assert!(wrong.is_empty(), "other than the table says:\n\n{wrong}");
}

/// A full disk, by the limit on the size of a file: 4 KiB, which holds keys and certificates but
/// not a report.
#[test]
fn a_run_whose_results_do_not_fit_ends_reports_and_says_what_is_lost() {
    let mut place = Place::new(Path::new("unused"));
    place.state = place.folder.path().join("state");
    let scenario = SCENARIO
        .replace(
            "[target.nanomdm]\nurl = \"http://TARGET\"\napi-key = { env = \"ERRORS_API_KEY\" }\ntimeout = \"2s\"\n",
            "[target.embedded]\n",
        )
        .replace("count = 2", "count = 20")
        .replace("2/s", "20/s");
    place.file("s.toml", scenario.as_bytes());
    let run = format!(
        "ulimit -f 8; exec '{}' run s.toml --out out --state state",
        env!("CARGO_BIN_EXE_mdmstorm")
    );
    let mut command = Command::new("sh");
    command.args(["-c", &run]).current_dir(place.folder.path());
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}{out}");
    assert!(out.contains("20 of 20 commands completed"), "{out}");
    assert!(out.contains("FAIL  exit 1"), "{out}");
    let lost = "error: the results bundle is not whole; the first loss: out/";
    assert!(err.contains(lost), "{err}");
    assert!(err.contains("File too large (os error 27)"), "{err}");
    assert!(!err.contains("panicked"), "{err}");
    let manifest = std::fs::read(place.folder.path().join("out/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["complete"], false);
    assert_eq!(manifest["exit-code"], 1);
    assert!(manifest["lost"].as_str().unwrap().starts_with("out/"));
}
