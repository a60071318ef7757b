//! Devices whose identities come from micromdm/scep: with the right challenge, a wrong one, and one
//! that works once.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Stage;
use crate::authority::{self, Authority};
use crate::server::{Nanomdm, program};

/// The challenge that the devices have.
pub(crate) const CHALLENGE: &str = "abracadabra";

/// Both programs, when both are there.
fn programs() -> Option<(String, String)> {
    program().zip(authority::program())
}

struct Enrolling {
    stage: Stage,
    _authority: Authority,
    _nanomdm: Nanomdm,
}

impl Enrolling {
    /// NanoMDM, which trusts the authority that `authority` starts in a folder, and `rest` of a
    /// scenario whose devices ask it for their identities.
    fn start(
        nanomdm: &str,
        authority: impl FnOnce(&std::path::Path) -> Authority,
        rest: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path());
        let enrollment = format!(
            r#"[enrollment]
rate = "50/s"
[enrollment.scep]
url = "http://127.0.0.1:{}/scep"
challenge = {{ env = "SCEP_CHALLENGE" }}
subject = "O=Test/CN={{udid}}"
[enrollment.identity]
keys = "pool"
"#,
            authority.port
        );
        let stage = Stage::enrolling(folder, "", &enrollment, rest);
        let nanomdm = stage.start_trusting(
            nanomdm,
            &authority.certificate,
            &["-storage", "inmem", "-storage-dsn", ""],
        );
        Self {
            stage,
            _authority: authority,
            _nanomdm: nanomdm,
        }
    }
}

fn ipads(count: u32) -> String {
    format!(
        "[[cohorts]]\nname = \"ipads\"\ncount = {count}\npreset = \"always-on\"\n\
         push-latency = \"5ms..50ms\"\nwake-delay = \"5ms..50ms\"\nreply = {{ usual = \"5ms..50ms\" }}\n\
         [[stages]]\nname = \"ask\"\nduration = \"10s\"\n\
         commands = [{{ request = \"DeviceInformation\", each = 1, serial = true }}]\n"
    )
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
fn five_hundred_devices_enrol_over_scep_and_are_used_again() {
    let Some((nanomdm, scep)) = programs() else {
        return;
    };
    let right = |folder: &_| Authority::with_challenge(&scep, folder, CHALLENGE);
    let enrolling = Enrolling::start(&nanomdm, right, &ipads(500));
    let roster = enrolling.stage.path("roster");
    let options = ["--roster", roster.as_str()];
    for (out, obtained, resumed) in [("first", 500, 0), ("second", 0, 500)] {
        let (code, summary) = enrolling.stage.run_with(out, &options);
        // A run that a busy machine makes invalid has enrolled no fewer devices.
        assert!(matches!(code, 0 | 90), "{code} {summary:#}");
        assert_eq!(summary["devices"]["enrolled"], 500);
        assert_eq!(summary["commands"]["completed"], 500);
        assert_eq!(summary["enrolling"]["obtained"], obtained);
        assert_eq!(summary["enrolling"]["resumed"], resumed);
    }
}

#[test]
fn a_wrong_challenge_is_refused_to_every_device() {
    let Some((nanomdm, scep)) = programs() else {
        return;
    };
    let other = |folder: &_| Authority::with_challenge(&scep, folder, "open-sesame");
    let enrolling = Enrolling::start(&nanomdm, other, &ipads(20));
    let (code, summary) = enrolling.stage.run("first");
    assert_eq!(code, 92, "{summary:#}");
    assert_eq!(summary["devices"]["enrolled"], 0);
    let expected = BTreeMap::from([("challenge-refused".to_owned(), 20)]);
    assert_eq!(failures(&summary), expected);
}

#[test]
fn a_one_time_challenge_works_once_and_its_second_use_is_refused() {
    let Some((nanomdm, scep)) = programs() else {
        return;
    };
    let once = |folder: &_| Authority::with_one_time_challenge(&scep, folder, CHALLENGE);
    let enrolling = Enrolling::start(&nanomdm, once, &ipads(2));
    let (code, summary) = enrolling.stage.run("first");
    assert_eq!(code, 92, "{summary:#}");
    assert_eq!(summary["devices"]["enrolled"], 1);
    let expected = BTreeMap::from([("challenge-refused".to_owned(), 1)]);
    assert_eq!(failures(&summary), expected);
}
