//! Every way to enrol, from the command line: against the embedded target, and against unmodified
//! servers where an environment variable names their program.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acme;
mod clocks;
mod embedded;
mod scep_server;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Two iPads, two Macs, and a command for each.
const DEVICES: &str = r#"
[[cohorts]]
name = "ipads"
count = 2
preset = "always-on"
[[cohorts]]
name = "macs"
count = 2
preset = "always-on"
model = "Mac14,2"
[[stages]]
name = "ask"
duration = "1s"
commands = [{ request = "DeviceInformation", each = 1 }]
"#;

const DEVICE_COUNT: u64 = 4;

/// A run of a scenario in a folder of its own.
struct Run {
    folder: TempDir,
    output: Output,
}

impl Run {
    /// Runs the scenario that begins with `head`; it ends with the devices.
    fn of(head: &str, environment: &[(&str, &str)]) -> Self {
        Self::within(tempfile::tempdir().unwrap(), head, environment)
    }

    fn within(folder: TempDir, head: &str, environment: &[(&str, &str)]) -> Self {
        Self::whole(folder, &format!("{head}{DEVICES}"), environment)
    }

    /// Runs a scenario with devices of its own.
    fn whole(folder: TempDir, text: &str, environment: &[(&str, &str)]) -> Self {
        let scenario = folder.path().join("scenario.toml");
        std::fs::write(&scenario, format!("name = \"enroll\"\n{text}")).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_mdmstorm"))
            .args(["run", &path("scenario.toml"), "--drain", "20s"])
            .args(["--state", &path("state"), "--out", &path("results")])
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        Self { folder, output }
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// All devices enrolled and answered.
    fn went_well(&self) {
        let summary = self.summary();
        let devices = &summary["devices"];
        let told = format!(
            "{devices}\n{}\n{}",
            self.stderr(),
            self.refusals().join("\n")
        );
        // A machine that many tests share may be late with its timers, and then the run says so; that
        // is not what these tests are about.
        let code = self.output.status.code();
        assert!(matches!(code, Some(0 | 90)), "{code:?}: {told}");
        assert_eq!(summary["findings"], json!([]), "{told}");
        assert_eq!(summary["commands"]["completed"], DEVICE_COUNT, "{told}");
    }

    fn summary(&self) -> Value {
        let path = self.folder.path().join("results/summary.json");
        let text = std::fs::read(&path);
        let text = text.unwrap_or_else(|_| panic!("no summary:\n{}", self.stderr()));
        serde_json::from_slice(&text).unwrap()
    }

    /// The facts of the run, one line of JSON each.
    fn facts(&self) -> Vec<Value> {
        let path = self.folder.path().join("results/events.ndjson.zst");
        let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// The steps to identities of one device, in order.
    fn steps(&self, device: u64) -> Vec<String> {
        let of_device = |fact: &&Value| fact["fact"] == "identity-step" && fact["device"] == device;
        let facts = self.facts();
        let steps = facts.iter().filter(of_device);
        steps
            .map(|fact| fact["step"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Why steps failed, by name.
    fn refusals(&self) -> Vec<String> {
        if !self
            .folder
            .path()
            .join("results/events.ndjson.zst")
            .exists()
        {
            return Vec::new();
        }
        let facts = self.facts();
        let failed = facts
            .iter()
            .filter_map(|fact| fact["failed"]["name"].as_str());
        failed.map(str::to_owned).collect()
    }
}

/// Whether there is such a program, under the name of an environment variable.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn program(variable: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests are told what to try here")]
    let found = std::env::var(variable)
        .ok()
        .filter(|path| Path::new(path).exists());
    if found.is_none() {
        eprintln!("skipped: {variable} is not the path of a program");
    }
    found
}
