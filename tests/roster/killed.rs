//! A run that is killed while it enrols: the next one goes on where it was.

use std::time::{Duration, Instant};

use crate::place::{Place, SCENARIO};

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
    let place = Place::new(&SCENARIO.replace("count = 20", &format!("count = {devices}")));
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
        before.push(server.seen());
    }
    let (code, said) = place.mdmstorm(&enroll);
    assert_eq!(code, 0, "{said}");
    let (seen, enrolled, authenticates, several) = server.seen();
    assert_eq!(
        (seen, enrolled, several),
        (devices, devices, 0),
        "{before:?}"
    );
    // What had been enrolled and kept was not enrolled again: each kill costs those in the middle.
    let in_the_middle = 3 * 500;
    assert!(authenticates <= devices + in_the_middle, "{authenticates}");
    let list = ["roster", "list", "--roster", "kept", "--json"];
    let (_, list) = place.mdmstorm(&list);
    assert_eq!(list.lines().count() as u64, devices);
    assert!(
        list.lines()
            .all(|line| line.contains("\"standing\":\"enrolled\""))
    );
}
