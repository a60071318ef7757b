//! A folder to run in, and scenarios that end in a moment.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Devices that live, refuse, and leave commands pending; an expectation that does not hold.
pub(crate) const SMALL: &str = r#"name = "small"
seed = 5

[target.embedded]

[[cohorts]]
name = "carts"
count = 10
preset = "always-on"

[[cohorts]]
name = "sleepers"
count = 10
preset = "always-on"
sleep = { asleep = "10m", awake = "10s", share-asleep = 0.5 }

[[stages]]
name = "ask"
duration = "30s"
commands = [
  { request = "DeviceInformation", each = 2 },
  { request = "SecurityInfo", rate = "5/s" },
]

[[expect]]
at = "20s"
pending = 0
"#;

/// The same against the embedded target, in two seconds.
pub(crate) const RUNNING: &str = r#"name = "running"
seed = 5

[target.embedded]

[[cohorts]]
name = "carts"
count = 10
preset = "always-on"

[[cohorts]]
name = "sleepers"
count = 10
preset = "always-on"
sleep = { asleep = "10m", awake = "10s", share-asleep = 1.0 }

[[stages]]
name = "ask"
duration = "2s"
commands = [
  { request = "DeviceInformation", each = 2 },
  { request = "SecurityInfo", rate = "20/s" },
]

[[expect]]
at = "1s"
pending = 0
"#;

/// A folder with the scenario `s.toml`.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new(scenario: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("s.toml"), scenario).unwrap();
        Self { folder }
    }

    /// With a bundle of a rehearsal in `out`.
    pub(crate) fn rehearsed() -> Self {
        let place = Self::new(SMALL);
        let (_, _, err) = place.told(&["rehearse", "s.toml", "-q", "--out", "out"]);
        assert!(err.starts_with("rehearsed "), "{err}");
        place
    }

    /// Runs mdmstorm there: its exit code, standard output and standard error.
    pub(crate) fn told(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
        command.args(arguments).current_dir(self.folder.path());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        (code, text(output.stdout), text(output.stderr))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }
}
