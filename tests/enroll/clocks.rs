//! A device whose clock is slow, at an authority that does not back-date.

use super::Run;

/// The slow ones enrol well, lose half an hour, enrol anew, and are set right five seconds later.
const SCENARIO: &str = r#"
[target.embedded]
challenge = "one-time"
back-date = "0s"
[enrollment.profile]
each-device = true
[enrollment.identity]
keys = "pool"
proof = "signature"
[[cohorts]]
name = "slow"
count = 2
preset = "always-on"
back-off = { initial = "1s", max = "2s" }
[[cohorts]]
name = "right"
count = 2
preset = "always-on"
[[stages]]
name = "ask"
duration = "10s"
commands = [
    { request = "DeviceInformation", to = "right", each = 1 },
]
[[stages]]
name = "ask-again"
duration = "5s"
commands = [
    { request = "DeviceInformation", to = "slow", each = 1 },
]
[[timeline]]
at = "1s"
to = "slow"
do = "set-clock"
ahead = "-30m"
[[timeline]]
at = "2s"
to = "slow"
do = "erase-and-re-enroll"
[[timeline]]
at = "7s"
to = "slow"
do = "sync-clock"
"#;

/// The slow ones are slow before they have enrolled for the first time.
const FROM_THE_BEGINNING: &str = r#"
[target.embedded]
challenge = "one-time"
back-date = "0s"
[enrollment]
within = "2m"
[enrollment.profile]
each-device = true
[enrollment.identity]
keys = "pool"
proof = "signature"
[[cohorts]]
name = "slow"
count = 2
preset = "always-on"
clock = { offset = "-30m", from = "enrollment", resync = "20s" }
back-off = { initial = "1s", max = "2s" }
[[cohorts]]
name = "right"
count = 2
preset = "always-on"
[[stages]]
name = "ask"
duration = "2s"
commands = [{ request = "DeviceInformation", each = 1 }]
"#;

#[test]
fn a_slow_clock_is_refused_and_named_and_burns_challenges_until_it_is_right() {
    // Some enrol twice: well, and then with the wrong clock.
    for (scenario, enrolments) in [(SCENARIO, 6), (FROM_THE_BEGINNING, 4)] {
        refused_until_right(scenario, enrolments);
    }
}

fn refused_until_right(scenario: &str, enrolments: u64) {
    let run = Run::whole(tempfile::tempdir().unwrap(), scenario, &[]);
    let summary = run.summary();
    let enrolling = &summary["enrolling"];
    let failures = enrolling["failures"].as_array().unwrap();
    let told = format!("{enrolling:#}\n{}", run.stderr());
    assert_eq!(run.output.status.code(), Some(0), "{told}");
    // All are enrolled in the end, and answer.
    assert_eq!(summary["commands"]["completed"], 4, "{told}");
    let [refused] = failures.as_slice() else {
        panic!("{told}");
    };
    assert_eq!(refused["reason"], "clock-refused-signature", "{told}");
    assert_eq!(refused["step"], "authenticate", "{told}");
    let example = refused["example"].as_str().unwrap();
    assert!(example.contains("clock is 1800 s slow"), "{example}");
    // Each try costs an identity and the challenge that it was got with.
    let burnt = refused["count"].as_u64().unwrap();
    assert!(burnt >= 2, "{told}");
    assert_eq!(enrolling["burnt"], burnt, "{told}");
    assert_eq!(enrolling["obtained"], enrolments + burnt, "{told}");
    let text = String::from_utf8_lossy(&run.output.stdout);
    let line = format!("{burnt} identities nobody enrolled with, and their challenges spent");
    assert!(text.contains(&line), "{text}");
}
