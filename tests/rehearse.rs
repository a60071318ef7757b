//! Whole runs on virtual time: what is observed, and that it is the same each time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use mdmstorm::fact::{Fact, FactKind, Got, Said};
use mdmstorm::plan::Plan;
use mdmstorm::scenario::commands::build;
use mdmstorm::scenario::{Changes, Scenario};
use mdmstorm::sim::checker::Checker;
use mdmstorm::sim::transcript;
use mdmstorm::sim::{Finished, Settings, World};
use mdmstorm::time::SimTime;

/// One device, one command, and a reason to refuse it once.
const TINY: &str = r#"name = "tiny"
seed = 10

[target.embedded]

[[cohorts]]
name = "cart"
count = 1
preset = "always-on"
push-latency = "100ms"
wake-delay = "200ms"
reply = { usual = "300ms" }
not-now = { requests = ["ProfileList"], probability = 0.5, for = "5s" }

[[stages]]
name = "ask"
duration = "1s"
commands = [{ request = "ProfileList", each = 1, arrival = "even" }]
"#;

/// The world of a scenario; the files that it names are beside `folder`'s scenarios.
fn world(text: &str, folder: &Path, changes: &Changes) -> World {
    let scenario = Scenario::parse_with(text, "s.toml", changes);
    let scenario = scenario.unwrap_or_else(|errors| panic!("{errors}"));
    let built = scenario.commands().zip(scenario.files());
    let built = built.map(|(command, file)| {
        let bytes = file.map(|file| std::fs::read(folder.join(file.path)).unwrap());
        build(command, bytes.as_deref()).unwrap()
    });
    let plan = Arc::new(Plan::new(&scenario, built.collect(), scenario.seed));
    World::new(&scenario, plan, Settings::default())
}

/// Runs to the end under the checker: every fact, and how it ended.
fn facts_of(mut world: World) -> (Vec<Fact>, Finished) {
    let (mut checker, mut all) = (Checker::new(*world.book()), Vec::new());
    while let Some(facts) = world.step() {
        facts.iter().for_each(|fact| checker.look(fact).unwrap());
        all.extend_from_slice(facts);
    }
    let finished = world.finish();
    checker.close(&finished.account).unwrap();
    (all, finished)
}

#[test]
fn a_command_that_is_refused_once_is_done_when_the_device_comes_back() {
    let world = world(TINY, Path::new("."), &Changes::default());
    let book = *world.book();
    let (facts, finished) = facts_of(world);
    let lines: Vec<String> = facts
        .iter()
        .map(|fact| transcript::line(fact, &book))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    0.000s woke device 0 due 0.000s why enroll
    0.075s exchange device 0 said authenticate stamps(asked 0.000s, permitted 0.000s, connected 0.049s, sent 0.049s, first_byte 0.075s, read 0.075s) got empty
    0.085s exchange device 0 said token-update stamps(asked 0.075s, permitted 0.075s, sent 0.075s, first_byte 0.085s, read 0.085s) got empty
    0.085s enrolled device 0 since 0.000s
    0.085s session-ended device 0
    0.185s time-zero
    0.185s ordered order 0 due 0.185s
    0.185s offered order 0
    0.230s push-received push 0 device 0 arrived 0.230s status 200
    0.244s accepted order 0 push accepted
    0.330s push-delivered push 0 device 0 due 0.330s
    0.530s woke device 0 due 0.530s why push
    0.675s exchange device 0 said idle stamps(asked 0.530s, permitted 0.530s, connected 0.626s, sent 0.626s, first_byte 0.675s, read 0.675s) got(command(order 0, request_type ProfileList))
    0.675s refused device 0 order 0 why a rule of the scenario
    0.685s exchange device 0 said(result(order 0, status NotNow)) stamps(asked 0.675s, permitted 0.675s, sent 0.675s, first_byte 0.685s, read 0.685s) got empty
    0.685s session-ended device 0
    5.675s deferral-ended device 0 order 0 due 5.675s polls true
    6.512s woke device 0 due 6.512s why not-now-over
    6.600s exchange device 0 said idle stamps(asked 6.512s, permitted 6.512s, connected 6.570s, sent 6.570s, first_byte 6.600s, read 6.600s) got(command(order 0, request_type ProfileList))
    6.900s executed device 0 order 0 due 6.900s
    6.917s exchange device 0 said(result(order 0, status Acknowledged)) stamps(asked 6.900s, permitted 6.900s, sent 6.900s, first_byte 6.917s, read 6.917s) got empty
    6.917s session-ended device 0
    ");
    assert_eq!(finished.account.tally(|_, _| true).completed, 1);
}

#[test]
fn every_scenario_is_rehearsed_the_same_each_time() {
    let mut rehearsed = 0;
    for entry in std::fs::read_dir("scenarios").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let changes = Changes::default();
        let told = || facts_of(world(&text, Path::new("scenarios"), &changes));
        let (once, finished) = told();
        let (again, _) = told();
        assert!(once == again, "{} differs", path.display());
        let tally = finished.account.tally(|_, _| true);
        assert_eq!(tally.pending, 0, "{}: {tally:?}", path.display());
        assert!(!finished.enrollment_failed, "{}", path.display());
        rehearsed += 1;
    }
    assert!(rehearsed >= 3);
}

/// Certificates begin when they are issued, and a device is half an hour slow while it enrols.
const SLOW: &str = r#"name = "slow"
seed = 3

[target.embedded]
back-date = "0s"

[enrollment]
within = "2h"

[enrollment.profile]

[enrollment.identity]
proof = "signature"

[[cohorts]]
name = "cart"
count = 1
preset = "always-on"
clock = { offset = "-30m", from = "enrollment", resync = "20m" }
back-off = { initial = "1m", max = "2m" }

[[stages]]
name = "ask"
duration = "1s"
commands = [{ request = "ProfileList", each = 1 }]
"#;

#[test]
fn a_device_half_an_hour_slow_is_refused_until_its_clock_is_set_right() {
    let (facts, finished) = facts_of(world(SLOW, Path::new("."), &Changes::default()));
    let first = |wanted: &dyn Fn(&FactKind) -> bool| {
        let fact = facts.iter().find(|fact| wanted(&fact.kind));
        fact.map_or(SimTime::NEVER, |fact| fact.at)
    };
    let refused = first(
        &|kind| matches!(kind, FactKind::Exchange { said: Said::Authenticate, got, .. } if *got == Got::Status(400)),
    );
    let explained = first(&|kind| {
        let FactKind::Violation { what, .. } = kind else {
            return false;
        };
        what.starts_with("clock-refused-signature: ") && what.ends_with("1800 s slow")
    });
    let right = first(&|kind| matches!(kind, FactKind::Clock { ahead_ms: 0, .. }));
    let enrolled = first(&|kind| matches!(kind, FactKind::Enrolled { .. }));
    assert_eq!(refused, explained);
    assert!(refused < SimTime::from_secs(5), "{refused}");
    assert_eq!(right, SimTime::from_secs(20 * 60));
    // It is let in at its next attempt, and keeps its right clock.
    assert!(
        right < enrolled && enrolled < SimTime::from_secs(23 * 60),
        "{enrolled}"
    );
    assert_eq!(finished.account.tally(|_, _| true).completed, 1);
    // By default clocks are right while devices enrol.
    let later = SLOW.replace("from = \"enrollment\", ", "");
    let (facts, _) = facts_of(world(&later, Path::new("."), &Changes::default()));
    let enrolled = facts
        .iter()
        .find(|fact| matches!(fact.kind, FactKind::Enrolled { .. }));
    assert!(enrolled.unwrap().at < SimTime::from_secs(5));
}
