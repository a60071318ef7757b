//! Whole runs on virtual time: what is found of the reference server.

use std::sync::Arc;
use std::time::Duration;

use mdmstorm::finding::Findings;
use mdmstorm::plan::Plan;
use mdmstorm::rule::Rule;
use mdmstorm::scenario::Scenario;
use mdmstorm::scenario::commands::build;
use mdmstorm::sim::{Settings, World};

/// What is found in a rehearsal of `text`, with the server that the scenario has.
fn rehearse(text: &str, settings: Settings) -> Findings {
    let scenario = Scenario::parse(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let built = scenario.commands().map(|it| build(it, None).unwrap());
    let plan = Arc::new(Plan::new(&scenario, built.collect(), scenario.seed));
    World::new(&scenario, plan, settings).run().findings
}

/// Devices that refuse, lose the network, change their tokens and enrol anew, and send what they should not.
const TROUBLED: &str = r#"
name = "troubled"
seed = 11
target.embedded = {}

[[cohorts]]
name = "all"
count = 40
preset = "always-on"
not-now = { requests = ["ProfileList"], probability = 0.6, for = "5s..4m" }
link = { offline = "5s..2m", online = "10s..5m", share-offline = 0.2 }
misbehaves = { probability = 0.3, do = "duplicate" }

[[stages]]
name = "work"
duration = "20m"
commands = [
  { request = "ProfileList", each = 4 },
  { request = "DeviceInformation", each = 6, serial = true },
]

[[timeline]]
at = "5m"
do = "rotate-token"
spread = "0s..3m"

[[timeline]]
at = "10m"
do = "re-enroll"
spread = "0s..3m"

[[timeline]]
at = "15m"
do = "renew-identity"
spread = "0s..3m"
"#;

fn draining(drain: Duration) -> Settings {
    Settings {
        drain,
        waits_for_all: true,
        ..Settings::default()
    }
}

#[test]
fn a_server_that_keeps_the_rules_is_found_to_break_none() {
    let found = rehearse(TROUBLED, draining(Duration::from_secs(7_200)));
    assert!(found.counts.is_empty(), "{found:#?}");
}

/// A server that pushes an hour after a NotNow breaks no rule of order, but leaves its devices waiting.
#[test]
fn a_server_that_pushes_late_after_not_now_is_found_to() {
    let mut settings = draining(Duration::from_secs(7_200));
    settings.server.repush_after = Duration::from_secs(3_600);
    settings.server.repush_every = Duration::from_secs(3_600);
    let text = TROUBLED.split("[[timeline]]").next().unwrap();
    let found = rehearse(text, settings);
    let rules: Vec<&str> = found.counts.keys().map(|rule| rule.name()).collect();
    assert_eq!(rules, [Rule::NotNowNotRepushed.name()], "{found:#?}");
}
