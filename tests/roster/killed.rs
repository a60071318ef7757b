//! A run that is killed while it enrols: the next one goes on where it was. And a server that is killed.

use std::time::{Duration, Instant};

use crate::place::{Place, SCENARIO};

/// How many may be enrolling at once.
const IN_FLIGHT: u64 = 20;

/// How many devices; `MDMSTORM_KILLED` sets another number.
#[expect(
    clippy::disallowed_methods,
    reason = "a longer test is asked for this way"
)]
fn devices() -> u64 {
    let asked = std::env::var("MDMSTORM_KILLED").ok();
    asked.and_then(|it| it.parse().ok()).unwrap_or(400)
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a process of its own is watched until it has come far enough"
)]
fn killed_again_and_again_every_device_is_enrolled_once_under_one_identity() {
    let devices = devices();
    let scenario = SCENARIO
        .replace("count = 20", &format!("count = {devices}"))
        .replace("within =", &format!("in-flight = {IN_FLIGHT}\nwithin ="));
    let place = Place::new(&scenario);
    let server = place.serve();
    let enroll = ["enroll", "s.toml", "--roster", "kept", "--quiet"];
    let mut before = Vec::new();
    for part in 1..=3 {
        // Two that begin in the same second may not share a folder of results.
        let mut run = place.command(&enroll);
        run.args(["--out", &format!("killed-{part}")]);
        run.stdout(std::process::Stdio::null());
        let mut run = run.spawn().unwrap();
        let began = Instant::now();
        // As the server sees it, so that it is in the middle of enrolling whatever machine this is.
        while server.seen().1 < devices * part / 5 {
            assert!(began.elapsed() < Duration::from_secs(120));
            assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
        }
        run.kill().unwrap();
        run.wait().unwrap();
        let (kept, seen) = (enrolled(&place), server.seen());
        // What is lost is what was in the middle, and what was through and not written yet.
        assert!(seen.1 <= kept + 2 * IN_FLIGHT, "{seen:?}, {kept} kept");
        before.push((seen, kept));
    }
    let (code, said) = place.mdmstorm(&enroll);
    assert_eq!(code, 0, "{said}");
    let (seen, through, authenticates, several) = server.seen();
    assert_eq!(
        (seen, through, several),
        (devices, devices, 0),
        "{before:?}"
    );
    // What had been enrolled and kept was not enrolled again.
    let ((_, _, already, _), kept) = before[2];
    assert_eq!(authenticates - already, devices - kept, "{before:?}");
    assert_eq!(enrolled(&place), devices);
}

/// How many devices the roster knows to be enrolled; all that it lists are.
fn enrolled(place: &Place) -> u64 {
    let list = ["roster", "list", "--roster", "kept", "--json"];
    let (code, list) = place.mdmstorm(&list);
    assert_eq!(code, 0, "{list}");
    let is_enrolled = |line: &&str| line.contains("\"standing\":\"enrolled\"");
    list.lines().filter(is_enrolled).count() as u64
}

/// Devices that had been restored from another's backup kept its identity in the roster. Where the
/// server refuses such twins, as NanoMDM does, no later run ever enrolled them again.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a process of its own is watched until it has come far enough"
)]
fn clones_that_are_killed_enrol_in_the_next_run_with_identities_of_their_own() {
    let stages = "duration = \"1s\"";
    let clone = "[[timeline]]\nat = \"500ms\"\nto = \"carts\"\ndo = \"clone\"\n";
    let place = Place::new(&(SCENARIO.replace(stages, "duration = \"60s\"") + clone));
    let server = place.serve();
    let mut run = place.command(&["run", "s.toml", "--roster", "kept", "--quiet"]);
    run.stdout(std::process::Stdio::null());
    let mut run = run.spawn().unwrap();
    let began = Instant::now();
    let mut enrolled_at = None;
    // Every twin is refused again and again: nothing that the server counts changes any more.
    while enrolled_at.is_none_or(|at: Instant| at.elapsed() < Duration::from_secs(4)) {
        assert!(began.elapsed() < Duration::from_secs(120));
        assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
        if server.seen().1 == 20 {
            enrolled_at.get_or_insert_with(Instant::now);
        }
    }
    run.kill().unwrap();
    run.wait().unwrap();

    place.write("s.toml", &place.scenario(SCENARIO));
    let run = [
        "run", "s.toml", "--roster", "kept", "--quiet", "--out", "later",
    ];
    let (code, said) = place.mdmstorm(&run);
    assert!(
        said.contains("40 of 40 commands completed"),
        "{code} {said}"
    );
    let (seen, enrolled_there, _, several) = server.seen();
    assert_eq!((seen, enrolled_there, several), (20, 20, 0));
    assert_eq!(enrolled(&place), 20);
}

/// A run whose server died took no more orders after ten seconds, and then waited for the end of its
/// stages before it began to drain: half a day for a scenario of a day.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a process of its own is watched until it has come far enough"
)]
fn a_run_whose_server_dies_does_not_wait_for_its_stages() {
    let scenario = SCENARIO
        .replace("duration = \"1s\"", "duration = \"20m\"")
        .replace("each = 2", "rate = \"10/s\"");
    let place = Place::new(&scenario);
    let server = place.serve();
    let mut run = place.command(&["run", "s.toml", "--drain", "1s", "--quiet"]);
    run.stdout(std::process::Stdio::null());
    let mut run = run.spawn().unwrap();
    let began = Instant::now();
    while server.seen().1 < 20 {
        assert!(began.elapsed() < Duration::from_secs(120));
        assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
    }
    drop(server);
    assert_eq!(run.wait().unwrap().code(), Some(92));
    assert!(began.elapsed() < Duration::from_secs(10 * 60));
}
