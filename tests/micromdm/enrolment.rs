//! Devices enrol over MicroMDM's own profile and SCEP, are commanded, and are used again from the
//! roster.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use mdmstorm::engine::state::State;
use serde_json::Value;

use crate::server::{KEY, Micromdm, NAME, port, program, until};

/// A scenario in a folder of its own, with a MicroMDM for it.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    micromdm: Micromdm,
}

/// 450 iPads and 50 Macs, each with one order and each user with another. MicroMDM answers a
/// TokenUpdate before it has stored the token, and never pushes for a command that comes in between:
/// hence a stage without commands.
const FIVE_HUNDRED: &str = r#"
[[cohorts]]
name = "ipads"
count = 450
preset = "always-on"
push-latency = "5ms..50ms"
wake-delay = "5ms..50ms"
reply = { usual = "5ms..50ms" }
[[cohorts]]
name = "macs"
count = 50
preset = "always-on"
model = "Mac14,2"
users = 1
push-latency = "5ms..50ms"
wake-delay = "5ms..50ms"
reply = { usual = "5ms..50ms" }
[[stages]]
name = "settle"
duration = "10s"
[[stages]]
name = "ask"
duration = "10s"
commands = [
  { request = "DeviceInformation", each = 1, serial = true },
  { request = "ProfileList", to = "macs", channel = "user", each = 1, serial = true },
]
"#;

fn iphones(count: u32) -> String {
    format!("[[cohorts]]\nname = \"iphones\"\ncount = {count}\npreset = \"always-on\"\n")
}

impl Stage {
    /// Starts MicroMDM with these further arguments; `profile` are keys of `[enrollment.profile]`.
    fn start(program: &str, arguments: &[&str], profile: &str, rest: &str) -> Self {
        Self::with(program, arguments, "", profile, rest)
    }

    /// The same with these keys of the target.
    pub(crate) fn with(
        program: &str,
        arguments: &[&str],
        target: &str,
        profile: &str,
        rest: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, gateway, proxy) = (port(), port(), port());
        let scenario = format!(
            r#"name = "micromdm-test"
[target.micromdm]
url = "http://127.0.0.1:{server}"
api-key = {{ env = "MICROMDM_API_KEY" }}
{target}
[enrollment]
rate = "50/s"
rewrite = {{ "{NAME}" = "http://127.0.0.1:{server}" }}
[enrollment.profile]
url = "/mdm/enroll"
{profile}
[enrollment.identity]
keys = "pool"
[apns]
listen = "127.0.0.1:{gateway}"
connect-proxy = "127.0.0.1:{proxy}"
{rest}"#
        );
        std::fs::write(folder.path().join("scenario.toml"), scenario).unwrap();
        let state = State::open(&folder.path().join("state")).unwrap();
        let trusted = state.apns_authority_path();
        let micromdm = Micromdm::start(program, folder.path(), server, proxy, &trusted, arguments);
        Self { folder, micromdm }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The exit code and summary of a run; all runs share a roster.
    pub(crate) fn run(&self, out: &str) -> (i32, Value) {
        let out = self.path(out);
        let output = Command::new(env!("CARGO_BIN_EXE_mdmstorm"))
            .args(["run", &self.path("scenario.toml"), "--quiet", "--out", &out])
            .args(["--state", &self.path("state")])
            .args(["--roster", &self.path("roster")])
            .env("MICROMDM_API_KEY", KEY)
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

    /// Waits until MicroMDM, which takes note of devices after it answered them, knows so many. Whether
    /// one is enrolled it does not tell for certain: two queues bring Authenticate and TokenUpdate, and
    /// a TokenUpdate that overtakes the Authenticate is dropped with an error in the log.
    fn knows(&self, count: usize) {
        until("MicroMDM has noted them", || {
            (self.devices() >= count).then_some(())
        });
        assert_eq!(self.devices(), count);
    }

    /// How many devices MicroMDM knows.
    fn devices(&self) -> usize {
        let (status, said) = self.micromdm.admin("POST", "/v1/devices", "{}");
        assert_eq!(status, 200, "{said}");
        let devices: Value = serde_json::from_str(&said).expect(&said);
        devices["devices"].as_array().unwrap().len()
    }
}

/// Whether the run came to its end. One that a busy machine makes invalid has enrolled no fewer devices.
pub(crate) const fn is_whole(code: i32) -> bool {
    matches!(code, 0 | 90)
}

/// What failed while devices enrolled: how often, by reason.
fn failures(summary: &Value) -> BTreeMap<String, u64> {
    let failures = summary["enrolling"]["failures"].as_array();
    let failures = failures.unwrap_or_else(|| panic!("{summary:#}"));
    let one = |failure: &Value| {
        let why = failure["reason"].as_str().unwrap().to_owned();
        (why, failure["count"].as_u64().unwrap())
    };
    failures.iter().map(one).collect()
}

#[test]
fn five_hundred_devices_enrol_over_its_profile_and_scep_and_are_used_again() {
    let Some(program) = program() else { return };
    let stage = Stage::start(&program, &[], "", FIVE_HUNDRED);
    let (code, summary) = stage.run("first");
    assert!(is_whole(code), "{code} {summary:#}");
    assert_eq!(summary["devices"]["enrolled"], 500);
    assert_eq!(summary["commands"]["completed"], 550);
    stage.knows(500);
    assert_eq!(summary["enrolling"]["obtained"], 500);
    let checkin = stage.micromdm.requests("/mdm/checkin");
    // Authenticate and TokenUpdate, the TokenUpdate of each user, and each Mac's SetBootstrapToken.
    assert_eq!(checkin, 1100);
    let (code, summary) = stage.run("second");
    assert!(is_whole(code), "{code} {summary:#}");
    assert_eq!(summary["devices"]["enrolled"], 500);
    assert_eq!(summary["commands"]["completed"], 550);
    assert_eq!(summary["enrolling"]["resumed"], 500);
    assert_eq!(summary["enrolling"]["obtained"], 0);
    assert_eq!(
        stage.micromdm.requests("/mdm/checkin"),
        checkin,
        "enrolled again"
    );
    stage.knows(500);
}

/// MicroMDM with a challenge of its own in each profile that it hands out.
const ONE_TIME: [&str; 2] = ["-use-dynamic-challenge", "-gen-dynamic-challenge"];

#[test]
fn with_a_profile_each_every_device_has_a_one_time_challenge() {
    let Some(program) = program() else { return };
    let stage = Stage::start(&program, &ONE_TIME, "each-device = true", &iphones(10));
    let (code, summary) = stage.run("first");
    assert!(is_whole(code), "{code} {summary:#}");
    stage.knows(10);
}

#[test]
fn a_one_time_challenge_lets_one_device_in_and_is_refused_to_the_next() {
    let Some(program) = program() else { return };
    let stage = Stage::start(&program, &ONE_TIME, "", &iphones(2));
    let (code, summary) = stage.run("first");
    assert_eq!(code, 92, "{summary:#}");
    assert_eq!(summary["devices"]["enrolled"], 1);
    let expected = BTreeMap::from([("challenge-refused".to_owned(), 1)]);
    assert_eq!(failures(&summary), expected, "{summary:#}");
    stage.knows(1);
}
