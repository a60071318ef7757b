//! What scenarios/bugs finds in MicroMDM: the surest findings show, and none that nobody could explain
//! from MicroMDM's source. docs/servers.md says where in its source each is from.

use std::collections::BTreeSet;
use std::path::Path;

use crate::enrolment::Stage;
use crate::server::program;

/// The rules that MicroMDM broke in a scenario of scenarios/bugs, each with a server of its own.
fn broken(program: &str, scenario: &str) -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/bugs");
    let text = std::fs::read_to_string(file.join(scenario).with_extension("toml")).unwrap();
    // What stands before the cohorts is the bundled server.
    let (_, rest) = text.split_once("[[cohorts]]").unwrap();
    let stage = Stage::with(program, &[], "", "", &format!("[[cohorts]]{rest}"));
    let (_, summary) = stage.run("bundle");
    let findings = summary["findings"].as_array().unwrap().iter();
    let rules = findings.map(|finding| finding["rule"].as_str().unwrap().to_owned());
    rules.collect()
}

/// What follows from a queue that is read, changed and written back without a lock, by whoever orders
/// and whoever asks at the same time, and from a bus without an order.
const OF_THE_QUEUE: [&str; 4] = [
    "lost-command",
    "duplicate-after-ack",
    "reordered",
    "phantom-done",
];

/// They hold these, and nothing that the queue does not explain.
fn are(broken: &BTreeSet<String>, surely: &[&str]) {
    for rule in surely {
        assert!(broken.contains(*rule), "{broken:?} without {rule}");
    }
    let unexplained: Vec<_> = broken
        .iter()
        .filter(|rule| !OF_THE_QUEUE.contains(&rule.as_str()))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

#[test]
fn orders_that_meet_their_device_in_a_session_are_lost_or_come_back() {
    let Some(program) = program() else { return };
    are(
        &broken(&program, "overlap"),
        &["lost-command", "duplicate-after-ack"],
    );
}

/// A command goes to the end of the queue as it is handed out.
#[test]
fn a_command_whose_answer_was_lost_comes_after_those_behind_it() {
    let Some(program) = program() else { return };
    are(&broken(&program, "lost-responses"), &["reordered"]);
}

#[test]
fn devices_that_renew_their_certificates_break_no_other_rule() {
    let Some(program) = program() else { return };
    are(&broken(&program, "renew"), &[]);
}
