//! Whole runs on virtual time: what is observed, and that it is the same each time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use mdmstorm::fact::Fact;
use mdmstorm::plan::Plan;
use mdmstorm::scenario::commands::build;
use mdmstorm::scenario::{Changes, Scenario};
use mdmstorm::sim::checker::Checker;
use mdmstorm::sim::transcript;
use mdmstorm::sim::{Finished, Settings, World};

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
    let (mut checker, mut all) = (Checker::default(), Vec::new());
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
    let book = world.book().clone();
    let (facts, finished) = facts_of(world);
    let lines: Vec<String> = facts
        .iter()
        .map(|fact| transcript::line(fact, &book))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    0.000s woke device 0 due 0.000s why enroll
    0.100s exchange device 0 said authenticate stamps(asked 0.000s, permitted 0.000s, connected 0.066s, sent 0.066s, first_byte 0.100s, read 0.100s) got empty
    0.108s exchange device 0 said token-update stamps(asked 0.100s, permitted 0.100s, sent 0.100s, first_byte 0.108s, read 0.108s) got empty
    0.108s enrolled device 0 since 0.000s
    0.108s session-ended device 0
    0.208s time-zero
    0.208s ordered order 0 due 0.208s
    0.208s offered order 0
    0.249s push-received push 0 device 0 arrived 0.249s status 200
    0.263s accepted order 0 push accepted
    0.349s push-delivered push 0 device 0 due 0.349s
    0.549s woke device 0 due 0.549s why push
    0.621s exchange device 0 said idle stamps(asked 0.549s, permitted 0.549s, connected 0.596s, sent 0.596s, first_byte 0.621s, read 0.621s) got(command(order 0, request_type ProfileList))
    0.647s exchange device 0 said(result(order 0, status NotNow)) stamps(asked 0.621s, permitted 0.621s, sent 0.621s, first_byte 0.647s, read 0.647s) got empty
    0.647s session-ended device 0
    5.621s deferral-ended device 0 order 0 due 5.621s polls true
    5.821s woke device 0 due 5.821s why not-now-over
    5.899s exchange device 0 said idle stamps(asked 5.821s, permitted 5.821s, connected 5.872s, sent 5.872s, first_byte 5.899s, read 5.899s) got(command(order 0, request_type ProfileList))
    6.199s executed device 0 order 0 due 6.199s
    6.242s exchange device 0 said(result(order 0, status Acknowledged)) stamps(asked 6.199s, permitted 6.199s, sent 6.199s, first_byte 6.242s, read 6.242s) got empty
    6.242s session-ended device 0
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
        // The herd is the same with a tenth of its devices.
        let sets = match path
            .file_name()
            .is_some_and(|name| name == "thundering-herd.toml")
        {
            true => vec!["cohorts.school.count=1000".to_owned()],
            false => Vec::new(),
        };
        let changes = Changes { sets, only: None };
        let told = || facts_of(world(&text, Path::new("scenarios"), &changes));
        let (once, finished) = told();
        let (again, _) = told();
        assert!(once == again, "{} differs", path.display());
        let tally = finished.account.tally(|_, _| true);
        assert_eq!(tally.pending, 0, "{}: {tally:?}", path.display());
        assert!(!finished.enrollment_failed, "{}", path.display());
        rehearsed += 1;
    }
    assert!(rehearsed >= 4);
}
