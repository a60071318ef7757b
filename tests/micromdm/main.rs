//! Against an unmodified MicroMDM: runs when `MDMSTORM_MICROMDM` is the path of its program, and says
//! that it is skipped otherwise. MicroMDM has Apple's push host compiled in, so its pushes come
//! through the CONNECT proxy, as they would in the field.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bugs;
mod enrolment;
#[path = "../program_rig/mod.rs"]
mod program_rig;
mod rig;
mod server;
mod view;

use std::collections::BTreeSet;
use std::time::Duration;

use rig::Rig;
use server::{now, program};

/// How long MicroMDM's push client waits for an answer, less what a test may begin to count late.
const ALMOST_ITS_TIMEOUT: Duration = Duration::from_secs(19);

/// A fault for each cohort but the first.
const FAULTS: &str = r#"
[[apns.faults]]
fault = "answer"
reason = "Unregistered"
to = "gone"
[[apns.faults]]
fault = "answer"
reason = "TooManyRequests"
to = "throttled"
[[apns.faults]]
fault = "answer"
reason = "ServiceUnavailable"
to = "unavailable"
[[apns.faults]]
fault = "goaway"
nth = 1
to = "parting"
[[apns.faults]]
fault = "hang"
nth = 2
to = "silent"
"#;

const COHORTS: [&str; 6] = [
    "good",
    "gone",
    "throttled",
    "unavailable",
    "parting",
    "silent",
];
const GOOD: u32 = 0;
const GONE: u32 = 1;
const THROTTLED: u32 = 2;
const UNAVAILABLE: u32 = 3;
const PARTING: u32 = 4;
const SILENT: u32 = 5;

fn with_faults() -> Option<Rig> {
    program().map(|program| Rig::start(&program, FAULTS, &COHORTS))
}

/// Pushes once, and it arrives and is accepted.
fn pushes(rig: &mut Rig, device: u32) {
    let answer = rig.push(device);
    assert_eq!(answer["status"], "success", "{answer}");
    assert_eq!(rig.seen_as(), "200");
}

#[test]
fn ten_thousand_pushes_arrive_and_none_of_them_twice() {
    let Some(program) = program() else { return };
    let mut rig = Rig::start(&program, "", &["good"]);
    let (mut answered, mut received) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..10_000 {
        let answer = rig.push(GOOD);
        let id = answer["push_notification_id"].as_str();
        let id = id.unwrap_or_else(|| panic!("{answer}"));
        assert!(answered.insert(id.to_owned()), "{id} was answered twice");
        let seen = rig.seen().unwrap();
        assert_eq!(
            (&seen["status"], &seen["magic"]),
            (&200.into(), &"right".into())
        );
        let id = seen["apns_id"].as_str().unwrap();
        assert!(received.insert(id.to_owned()), "{id} came twice");
    }
    assert_eq!(answered, received);
    assert_eq!(rig.end(), None, "a push that nobody asked for");
}

#[test]
fn each_command_is_pushed_once() {
    let Some(program) = program() else { return };
    let mut rig = Rig::start(&program, "", &["good"]);
    // A command for a token that MicroMDM has not noted yet is never pushed for.
    pushes(&mut rig, GOOD);
    let mut received = BTreeSet::new();
    for _ in 0..200 {
        rig.enqueue(GOOD);
        let seen = rig.seen().unwrap();
        assert_eq!(seen["status"], 200, "{seen}");
        assert!(received.insert(seen["apns_id"].to_string()), "{seen}");
    }
    assert_eq!(rig.end(), None, "a push that nobody asked for");
}

#[test]
fn a_refused_push_leaves_its_reason_in_micromdms_answer() {
    let Some(mut rig) = with_faults() else { return };
    let cases = [
        (
            GONE,
            "410 Unregistered",
            "device token is inactive for the specified topic (last invalid at 20",
        ),
        (
            THROTTLED,
            "429 TooManyRequests",
            "too many requests were made consecutively to the same device token",
        ),
        (
            UNAVAILABLE,
            "503 ServiceUnavailable",
            "the service is unavailable",
        ),
    ];
    for (device, seen, said) in cases {
        // Twice: it keeps the token, after a 410 too.
        for _ in 0..2 {
            let error = rig.push_error(device);
            assert!(error.starts_with(said), "{error}");
            assert_eq!(rig.seen_as(), seen);
        }
        pushes(&mut rig, GOOD);
    }
}

#[test]
fn after_goaway_micromdm_pushes_again_on_a_new_connection() {
    let Some(mut rig) = with_faults() else { return };
    // Go's HTTP/2 client repeats what the server says it has not looked at.
    assert_eq!(rig.push(PARTING)["status"], "success");
    assert_eq!(rig.seen_as(), "go-away");
    assert_eq!(rig.seen_as(), "200");
    pushes(&mut rig, GOOD);
}

#[test]
fn micromdm_gives_up_a_push_that_hangs_after_20_seconds() {
    let Some(mut rig) = with_faults() else { return };
    pushes(&mut rig, SILENT);
    let begun = now();
    let error = rig.push_error(SILENT);
    assert!(begun.elapsed() > ALMOST_ITS_TIMEOUT, "{error}");
    assert!(error.contains("Client.Timeout exceeded"), "{error}");
    assert_eq!(rig.seen_as(), "hang");
    pushes(&mut rig, GOOD);
}

#[test]
fn a_push_that_hangs_holds_those_of_later_commands_up() {
    let Some(mut rig) = with_faults() else { return };
    // A command for a token that MicroMDM has not noted yet is never pushed for.
    pushes(&mut rig, GOOD);
    pushes(&mut rig, SILENT);
    let begun = now();
    rig.enqueue(SILENT);
    assert_eq!(rig.seen_as(), "hang");
    // Those that the administrator asks for do not wait.
    pushes(&mut rig, GOOD);
    assert!(begun.elapsed() < ALMOST_ITS_TIMEOUT);
    rig.enqueue(GOOD);
    assert_eq!(rig.seen_as(), "200");
    assert!(begun.elapsed() > ALMOST_ITS_TIMEOUT);
}
