//! Against an unmodified NanoMDM: runs when `MDMSTORM_NANOMDM` is the path of its program, and says
//! that it is skipped otherwise. NanoMDM has Apple's push host compiled in, so its pushes come
//! through the CONNECT proxy, as they would in the field.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authority;
mod bugs;
mod events;
#[path = "../program_rig/mod.rs"]
mod program_rig;
mod pushes;
mod refused;
mod scep;
mod server;

use std::path::Path;
use std::process::Command;

use mdmstorm::engine::state::State;
use serde_json::Value;

use server::{KEY, Nanomdm, port, program};

struct Stage {
    folder: tempfile::TempDir,
    server: u16,
    gateway: u16,
    proxy: u16,
}

const COHORT_AND_STAGE: &str = r#"
[[cohorts]]
name = "ipads"
count = 20
preset = "always-on"
push-latency = "5ms..50ms"
wake-delay = "5ms..50ms"
reply = { usual = "5ms..50ms" }
[[stages]]
name = "ask"
duration = "2s"
commands = [
  { request = "DeviceInformation", each = 2, serial = true },
  { request = "ProfileList", each = 1, serial = true },
]
"#;

impl Stage {
    fn new(identity: &str) -> Self {
        Self::with(identity, "", COHORT_AND_STAGE)
    }

    /// A scenario with these keys of the target, and all that comes after the gateway's addresses.
    fn with(identity: &str, target: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let enrollment = format!("[enrollment.issued]\nidentity = \"{identity}\"\n");
        Self::enrolling(folder, target, &enrollment, rest)
    }

    /// The same in this folder, with all that is said of enrolment.
    fn enrolling(folder: tempfile::TempDir, target: &str, enrollment: &str, rest: &str) -> Self {
        let (server, gateway, proxy) = (port(), port(), port());
        let scenario = format!(
            r#"name = "nanomdm-test"
[target.nanomdm]
url = "http://127.0.0.1:{server}"
api-key = {{ env = "NANOMDM_API_KEY" }}
{target}
{enrollment}[apns]
listen = "127.0.0.1:{gateway}"
connect-proxy = "127.0.0.1:{proxy}"
{rest}"#
        );
        std::fs::write(folder.path().join("scenario.toml"), scenario).unwrap();
        Self {
            folder,
            server,
            gateway,
            proxy,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn mdmstorm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
        command
            .args(arguments)
            .args(["--state", &self.path("state")])
            .env("NANOMDM_API_KEY", KEY)
            .env("SCEP_CHALLENGE", scep::CHALLENGE);
        command
    }

    /// Starts NanoMDM as `mdmstorm apns --print` says, and waits until it listens.
    fn start(&self, program: &str, storage: &[&str], header: &[&str]) -> Nanomdm {
        let scenario = self.path("scenario.toml");
        let printed = self
            .mdmstorm(&["apns", &scenario, "--print"])
            .output()
            .unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        let state = Path::new(&self.path("state")).to_owned();
        let (device_ca, apns_ca) = (state.join("device-ca.pem"), state.join("apns-ca.pem"));
        for expected in [
            device_ca.to_str().unwrap(),
            apns_ca.to_str().unwrap(),
            "-listen",
        ] {
            assert!(
                printed.contains(expected),
                "{expected} is not in\n{printed}"
            );
        }
        self.start_trusting(program, &device_ca, &[storage, header].concat())
    }

    /// Starts NanoMDM, which trusts devices of this authority.
    fn start_trusting(&self, program: &str, authority: &Path, arguments: &[&str]) -> Nanomdm {
        // What NanoMDM trusts the gateway by.
        State::open(Path::new(&self.path("state"))).unwrap();
        let arguments = [&["-ca", authority.to_str().unwrap()], arguments].concat();
        Nanomdm::start(
            program,
            self.server,
            self.proxy,
            self.folder.path(),
            &arguments,
        )
    }

    fn run(&self, out: &str) -> (i32, Value) {
        self.run_with(out, &[])
    }

    fn run_with(&self, out: &str, options: &[&str]) -> (i32, Value) {
        let (scenario, out) = (self.path("scenario.toml"), self.path(out));
        let output = self
            .mdmstorm(&["run", &scenario, "--out", &out, "--quiet"])
            .args(options)
            .output()
            .unwrap();
        let summary = std::fs::read_to_string(Path::new(&out).join("summary.json"));
        let summary = summary
            .unwrap_or_else(|_| panic!("no summary: {}", String::from_utf8_lossy(&output.stderr)));
        (
            output.status.code().unwrap(),
            serde_json::from_str(&summary).unwrap(),
        )
    }
}

fn completes(stage: &Stage, out: &str) {
    let (code, summary) = stage.run(out);
    assert_eq!(code, 0, "{summary:#}");
    assert_eq!(summary["devices"]["enrolled"], 20);
    assert_eq!(summary["commands"]["completed"], 60);
    assert_eq!(
        summary["pushes"]["received"],
        summary["pushes"]["reported-accepted"]
    );
}

#[test]
fn signed_devices_complete_every_serial_order_in_memory() {
    let Some(program) = program() else { return };
    let stage = Stage::new("signature");
    let _server = stage.start(&program, &["-storage", "inmem", "-storage-dsn", ""], &[]);
    assert_ne!(stage.gateway, stage.proxy);
    completes(&stage, "first");
}

#[test]
fn devices_behind_a_certificate_header_complete_every_serial_order() {
    let Some(program) = program() else { return };
    let stage = Stage::new("header");
    let storage = ["-storage", "inmem", "-storage-dsn", ""];
    let _server = stage.start(&program, &storage, &["-cert-header", "X-Client-Cert"]);
    completes(&stage, "first");
}

#[test]
fn a_second_run_needs_no_wiping_of_file_storage() {
    let Some(program) = program() else { return };
    let stage = Stage::new("signature");
    let _server = stage.start(&program, &[], &[]);
    completes(&stage, "first");
    completes(&stage, "second");
}
