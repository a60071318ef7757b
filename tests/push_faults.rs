//! Faults of pushes on virtual time: what each does to a command, to the server's answer and to the report.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::sync::Arc;

use mdmstorm::fact::{Fact, FactKind, ServerPush, Unanswered};
use mdmstorm::ids::DeviceId;
use mdmstorm::plan::Plan;
use mdmstorm::record::account::Account;
use mdmstorm::scenario::Scenario;
use mdmstorm::scenario::commands::build;
use mdmstorm::sim::{Settings, World};
use mdmstorm::time::SimTime;

/// Devices that answer at once, and `each` commands for each of them.
fn scenario(devices: u32, each: u32, more: &str) -> Scenario {
    let text = format!(
        r#"name = "faults"
seed = 10
[target.embedded]
[[cohorts]]
name = "desks"
count = {devices}
preset = "always-on"
push-latency = "100ms"
wake-delay = "100ms"
reply = {{ usual = "100ms" }}
[[stages]]
name = "ask"
duration = "60s"
commands = [{{ request = "ProfileList", each = {each}, arrival = "even" }}]
{more}"#
    );
    Scenario::parse(&text, "faults.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

/// Every fact of a run, when its stages began, and what the ledger makes of it.
struct Ran {
    facts: Vec<Fact>,
    account: Account,
}

impl Ran {
    fn of(scenario: &Scenario) -> Self {
        let built = scenario.commands().map(|command| build(command, None));
        let built: Result<Vec<_>, _> = built.collect();
        let plan = Arc::new(Plan::new(scenario, built.unwrap(), scenario.seed));
        let mut world = World::new(scenario, plan, Settings::default());
        let mut facts = Vec::new();
        while let Some(new) = world.step() {
            facts.extend_from_slice(new);
        }
        let account = world.finish().account;
        Self { facts, account }
    }

    fn completed(&self) -> u64 {
        self.account.tally(|_, _| true).completed
    }

    /// When something happened first, since time zero in milliseconds.
    fn first(&self, is_it: impl Fn(&FactKind) -> bool) -> Option<u128> {
        let zero = self.at(|kind| *kind == FactKind::TimeZero)?;
        Some(self.at(is_it)?.since(zero).as_millis())
    }

    fn at(&self, is_it: impl Fn(&FactKind) -> bool) -> Option<SimTime> {
        let fact = self.facts.iter().find(|fact| is_it(&fact.kind))?;
        Some(fact.at)
    }

    fn count(&self, is_it: impl Fn(&FactKind) -> bool) -> usize {
        self.facts.iter().filter(|fact| is_it(&fact.kind)).count()
    }

    /// What the target says of the push of its first command.
    fn reported(&self) -> String {
        let mut said = self.facts.iter().filter_map(|fact| {
            if let FactKind::Accepted { push, .. } = &fact.kind {
                Some(push)
            } else {
                None
            }
        });
        match said.next().unwrap() {
            ServerPush::Accepted => "accepted".to_owned(),
            ServerPush::Failed(why) => why.clone(),
            ServerPush::NotReported => "not reported".to_owned(),
        }
    }

    /// Why the first pending command is pending.
    fn why(&self) -> String {
        self.account.pending.first().map_or_else(
            || "nothing is pending".to_owned(),
            |it| format!("{} ({})", it.cause.name(), it.owner.name()),
        )
    }
}

fn fault(lines: &str) -> String {
    format!("[[apns.faults]]\n{lines}\n")
}

const fn is_delivery(kind: &FactKind) -> bool {
    matches!(kind, FactKind::PushDelivered { .. })
}

#[test]
fn what_each_fault_does_to_the_only_push_of_a_command() {
    let faults = [
        r#"fault = "drop""#,
        r#"fault = "answer"
reason = "TooManyRequests""#,
        r#"fault = "answer"
reason = "ServiceUnavailable""#,
        r#"fault = "answer"
reason = "Unregistered""#,
        r#"fault = "answer"
status = 200"#,
        r#"fault = "answer"
status = 418"#,
        r#"fault = "garble""#,
        r#"fault = "hang""#,
        r#"fault = "reset""#,
        r#"fault = "goaway""#,
        r#"fault = "delay"
by = "10s""#,
        r#"fault = "slow"
by = "10s""#,
        r#"fault = "slow"
by = "40s""#,
        r#"fault = "duplicate"
by = "1s""#,
        r#"fault = "reorder"
by = "10s""#,
    ];
    let mut table = String::new();
    for lines in faults {
        let ran = Ran::of(&scenario(1, 1, &fault(lines)));
        let delivered = ran.first(is_delivery);
        let delivered = delivered.map_or_else(|| "never".to_owned(), |it| format!("after {it} ms"));
        let said = ran.first(|kind| matches!(kind, FactKind::Accepted { .. }));
        let lines = lines.replace('\n', ", ").replace("fault = ", "");
        let _ = writeln!(
            table,
            "{lines}\n  delivered {delivered}; after {} ms the target says: {}\n  {} completed; {}",
            said.unwrap(),
            ran.reported(),
            ran.completed(),
            ran.why(),
        );
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_duplicate_reaches_its_device_twice() {
    let lines = "fault = \"duplicate\"\nby = \"120ms\"";
    let ran = Ran::of(&scenario(1, 1, &fault(lines)));
    assert_eq!(ran.count(is_delivery), 2);
    let stands_for_itself = |kind: &FactKind| matches!(kind, FactKind::PushCoalesced { .. });
    assert_eq!(ran.count(stands_for_itself), 0);
    assert_eq!(ran.completed(), 1);
}

#[test]
fn a_reordered_push_waits_for_the_next_one_to_any_device() {
    let lines = "fault = \"reorder\"\nby = \"55s\"\nnth = 1";
    let ran = Ran::of(&scenario(2, 1, &fault(lines)));
    let of = |is_it: fn(&FactKind) -> bool| -> Vec<Option<DeviceId>> {
        let facts = ran.facts.iter().filter(|fact| is_it(&fact.kind));
        facts.map(|fact| fact.kind.device()).collect()
    };
    let devices = of(is_delivery);
    let received = of(|kind| matches!(kind, FactKind::PushReceived { .. }));
    assert_eq!(devices.len(), 2);
    assert_eq!(devices.last(), received.first());
    assert_eq!(ran.completed(), 2);
}

#[test]
fn the_nth_push_alone_goes_wrong_and_the_share_is_about_right() {
    let lines = "fault = \"answer\"\nreason = \"InternalServerError\"\nnth = 3";
    let ran = Ran::of(&scenario(10, 1, &fault(lines)));
    assert_eq!(ran.account.pushes.rejected, 1);
    assert_eq!(ran.completed(), 9);
    let lines = "fault = \"hang\"\nshare = 0.25";
    let ran = Ran::of(&scenario(200, 1, &fault(lines)));
    assert!((30..70).contains(&ran.account.pushes.unanswered));
}

#[test]
fn a_reset_takes_the_pushes_along_that_are_under_way() {
    let timeline = r#"
[[timeline]]
at = "31s"
do = "fault-pushes"
fault = "reset"
nth = 1
[[timeline]]
at = "31s"
do = "blank-push"
"#;
    let ran = Ran::of(&scenario(10, 1, timeline));
    let resets: Vec<Option<DeviceId>> = ran
        .facts
        .iter()
        .filter_map(|fact| {
            if let FactKind::PushUnanswered { how, .. } = &fact.kind {
                assert_eq!(*how, Unanswered::Reset);
                Some(fact.kind.device())
            } else {
                None
            }
        })
        .collect();
    let mut devices: Vec<u32> = resets.iter().flatten().map(|device| device.0).collect();
    devices.sort_unstable();
    assert_eq!(devices, Vec::from_iter(0..10));
    assert_eq!(ran.account.pushes.unanswered, 10);
    assert_eq!((ran.account.pushes.received, ran.completed()), (10, 10));
}

#[test]
fn a_rate_lets_so_many_pushes_to_a_token_through() {
    // Six commands in a minute, each with a push, of which four are one too many.
    let ran = Ran::of(&scenario(1, 6, "[apns]\nrate = \"2 per 10m\"\n"));
    assert_eq!(
        (ran.account.pushes.received, ran.account.pushes.rejected),
        (2, 4)
    );
    assert_eq!(ran.why(), "push-rejected (target)");
}

#[test]
fn an_outage_keeps_the_target_out_until_it_ends() {
    let timeline = r#"
[[timeline]]
at = "0s"
do = "push-outage"
[[timeline]]
at = "40s"
do = "end-push-outage"
"#;
    let ran = Ran::of(&scenario(1, 4, timeline));
    // The pushes of the last quarter bring the others along.
    assert_eq!(ran.completed(), 4);
    let out = |kind: &FactKind| matches!(kind, FactKind::ProviderRefused { .. });
    assert!(ran.count(out) >= 1);
    assert!(ran.first(is_delivery).unwrap() >= 40_000);
    let during = Ran::of(&scenario(1, 4, &timeline.replace("40s", "61s")));
    assert_eq!(during.why(), "push-service-down (apns)");
}

#[test]
fn what_the_timeline_begins_it_can_end() {
    let timeline = r#"
[[timeline]]
at = "0s"
do = "fault-pushes"
to = "desks"
fault = "answer"
reason = "Shutdown"
[[timeline]]
at = "20s"
do = "heal-pushes"
[[timeline]]
at = "30s"
do = "throttle-pushes"
rate = "1 per 1h"
[[timeline]]
at = "45s"
do = "throttle-pushes"
"#;
    let ran = Ran::of(&scenario(4, 4, timeline));
    assert!(ran.account.pushes.rejected > 4);
    assert_eq!(ran.completed(), 16);
}
