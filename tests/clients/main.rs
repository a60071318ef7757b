//! Push clients of other people, unmodified and pointed at `mdmstorm apns` only by host, port, proxy
//! and CA: runs when `MDMSTORM_CLIENTS` is the folder that `make test-clients` installs them into, and
//! says that it is skipped otherwise.
//!
//! Each client has a program beside this file that pushes in each [`CASES`] and prints what it saw;
//! what it should have seen is told here. Each has a gateway to itself.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gateway;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway::Gateway;

/// What each client does, in this order. After GOAWAY it pushes again.
const CASES: [&str; 6] = [
    "accepted",
    "bad-token",
    "gone",
    "too-large",
    "goaway",
    "reconnect",
];

/// A client and how it comes in.
struct Client {
    name: &'static str,
    /// The interpreter, below the folder of the clients or in the PATH.
    program: &'static str,
    arguments: &'static [&'static str],
    /// What has to be there for it to run.
    needs: &'static str,
    /// Whether it shows reasons, or statuses alone.
    shows: Shows,
}

enum Shows {
    /// `410 Unregistered 1700000000000`, and of GOAWAY its debug data.
    Everything,
    /// The same, but of GOAWAY only that the connection ended.
    Reasons,
    /// h2load's count of each kind of status.
    Counts,
}

const CLIENTS: [Client; 6] = [
    Client {
        name: "node-apn, direct, certificate",
        program: "node",
        arguments: &["node/node_apn.mjs", "direct"],
        needs: "node/node_modules/@parse/node-apn",
        shows: Shows::Everything,
    },
    Client {
        name: "node-apn, proxy, bearer token",
        program: "node",
        arguments: &["node/node_apn.mjs", "proxy"],
        needs: "node/node_modules/@parse/node-apn",
        shows: Shows::Everything,
    },
    Client {
        name: "aioapns, direct, certificate",
        program: "python/bin/python3",
        arguments: &["python/aioapns_direct.py"],
        needs: "python/installed.txt",
        shows: Shows::Everything,
    },
    Client {
        name: "httpx, proxy, certificate",
        program: "python/bin/python3",
        arguments: &["python/httpx_proxy.py"],
        needs: "python/installed.txt",
        shows: Shows::Reasons,
    },
    Client {
        name: "curl, proxy, certificate",
        program: "sh",
        arguments: &["shell/curl.sh"],
        needs: "curl",
        shows: Shows::Reasons,
    },
    Client {
        name: "h2load, direct, bearer token",
        program: "sh",
        arguments: &["shell/h2load.sh"],
        needs: "h2load",
        shows: Shows::Counts,
    },
];

#[test]
fn every_client_sees_what_apples_service_would_show_it() {
    let Some(folder) = folder() else {
        eprintln!("skipped: MDMSTORM_CLIENTS is not set (make test-clients)");
        return;
    };
    let mut wrong = Vec::new();
    let mut ran = 0;
    for client in &CLIENTS {
        if !is_there(&folder, client.needs) {
            eprintln!("{:<30} skipped: {} is not there", client.name, client.needs);
            continue;
        }
        ran += 1;
        let seen = client.run(&folder);
        let mut row = format!("{:<30}", client.name);
        for case in CASES {
            let what = seen.iter().find(|(name, _)| name == case);
            let what = what.map_or("nothing", |(_, what)| what);
            let is_right = client.shows.is_right(case, what);
            row.push_str(&format!(
                " {case} {}",
                if is_right { "ok" } else { "WRONG" }
            ));
            if !is_right {
                wrong.push(format!("{}, {case}: {what}", client.name));
            }
        }
        eprintln!("{row}");
    }
    let count = count(ran, CLIENTS.len());
    eprintln!("{count}");
    // For whoever prints it last, below what else is run.
    std::fs::write(folder.join("count.txt"), count + "\n").unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How many of the clients ran; that none did is no success, and is said.
fn count(ran: usize, all: usize) -> String {
    match ran {
        0 => format!("push clients: none of {all} ran, so nothing was tested with them"),
        _ => format!("push clients: {ran} of {all} ran, {} skipped", all - ran),
    }
}

#[test]
fn that_no_client_ran_is_said() {
    assert_eq!(count(6, 6), "push clients: 6 of 6 ran, 0 skipped");
    assert_eq!(count(2, 6), "push clients: 2 of 6 ran, 4 skipped");
    assert!(count(0, 6).contains("nothing was tested"));
}

impl Client {
    /// Runs it against a gateway of its own: what it saw, by case.
    fn run(&self, folder: &Path) -> Vec<(String, String)> {
        let gateway = Gateway::start();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let installed = folder.join(self.program);
        let program = if installed.is_file() {
            installed
        } else {
            PathBuf::from(self.program)
        };
        let output = Command::new(program)
            .arg(here.join(self.arguments[0]))
            .args(&self.arguments[1..])
            .envs(gateway.environment())
            .env("CLIENTS", folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}: {said}{}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        let cases = said.lines().filter_map(|line| line.split_once('\t'));
        cases
            .map(|(case, what)| (case.into(), what.into()))
            .collect()
    }
}

impl Shows {
    fn is_right(&self, case: &str, what: &str) -> bool {
        match (self, case) {
            (Self::Everything | Self::Reasons, "accepted" | "reconnect") => what == "200",
            (Self::Everything | Self::Reasons, "bad-token") => what == "400 BadDeviceToken",
            (Self::Everything | Self::Reasons, "too-large") => what == "413 PayloadTooLarge",
            (Self::Everything | Self::Reasons, "gone") => what
                .strip_prefix("410 Unregistered ")
                .is_some_and(is_a_moment_ago),
            (Self::Everything, "goaway") => what.contains("Shutdown"),
            // Both push again by themselves; curl may also say that the push failed.
            (Self::Reasons, "goaway") => {
                what == "1 new connection"
                    || what.ends_with("200 HTTP/2 1")
                    || what.contains("curl: (")
            }
            (Self::Counts, "accepted") => what.ends_with("5000 2xx, 0 3xx, 0 4xx, 0 5xx"),
            (Self::Counts, "bad-token" | "gone" | "too-large") => {
                what.ends_with("0 2xx, 0 3xx, 10 4xx, 0 5xx")
            }
            (Self::Counts, "goaway") => !what.ends_with("10 2xx, 0 3xx, 0 4xx, 0 5xx"),
            (Self::Counts, "reconnect") => what.ends_with("10 2xx, 0 3xx, 0 4xx, 0 5xx"),
            (Self::Everything | Self::Reasons | Self::Counts, _) => false,
        }
    }
}

/// Whether a timestamp in milliseconds is not of the future, and of these ten minutes.
#[expect(
    clippy::disallowed_methods,
    reason = "the clients run in the time of this machine"
)]
fn is_a_moment_ago(timestamp: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    timestamp.parse().is_ok_and(|at| {
        let at = Duration::from_millis(at);
        at <= now && now - at < Duration::from_secs(600)
    })
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("MDMSTORM_CLIENTS").map(|folder| std::path::absolute(folder).unwrap())
}

/// Whether a path below the folder, or a program in the PATH, is there.
fn is_there(folder: &Path, needed: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).any(|place| place.join(needed).is_file());
    in_path || folder.join(needed).exists()
}
