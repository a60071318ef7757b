//! How the run stood at some moment, whatever was recorded later.

use std::time::Duration;

use mdmstorm::condition::Condition;
use mdmstorm::fact::{FactKind, Got};
use mdmstorm::record::Ledger;
use mdmstorm::record::account::Account;
use mdmstorm::record::snapshot::Snapshot;

use crate::story::{Story, done, fetched, ms, setup};

/// What `story` is at these times after time zero, which is at 50 ms; facts arrive in batches of a
/// tenth of a second.
fn account(story: &Story, times: &[u64], end: u64) -> Account {
    let mut ledger = Ledger::new(setup(4));
    let times = times.iter().map(|millis| Duration::from_millis(*millis));
    ledger.take_snapshots_after(times.collect());
    let mut facts = story.facts.clone();
    facts.sort_by_key(|fact| fact.at);
    for batch in facts.chunk_by(|one, other| tenth(one.at) == tenth(other.at)) {
        for fact in batch {
            ledger.record(fact);
        }
        ledger.advance(batch[batch.len() - 1].at);
    }
    ledger.finish(ms(end))
}

fn tenth(at: mdmstorm::time::SimTime) -> u64 {
    at.as_micros() / 100_000
}

fn show(snapshot: &Snapshot) -> String {
    let tally = &snapshot.tallies[0];
    let causes: Vec<String> = snapshot
        .pending
        .iter()
        .map(|((cohort, cause), count)| format!("{count} of cohort {cohort} {}", cause.name()))
        .collect();
    format!(
        "{}: ordered {} completed {} failed {} cancelled {} pending {} [{}]",
        snapshot.at,
        tally.ordered,
        tally.completed,
        tally.failed,
        tally.cancelled,
        tally.pending,
        causes.join(", ")
    )
}

/// The first order is fetched and completes at 230 ms; the second is due at 220 ms, and asleep.
fn story() -> Story {
    fetched()
        .at(50, FactKind::TimeZero)
        .executed(0, 200, 204)
        .exchange(done(0), Got::Empty, [204, 205, 205, 230, 231])
        .ended(231)
        .enqueued(2, 220, 220, 225)
        .condition(232, &[Condition::Asleep])
        .push(2, 233)
}

#[test]
fn a_snapshot_shows_the_run_as_it_was() {
    let account = account(&story(), &[0, 160, 175, 300, 5_000], 1_000);
    let shown: Vec<String> = account.snapshots.iter().map(show).collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    0.050s: ordered 1 completed 0 failed 0 cancelled 0 pending 1 [1 of cohort 0 under-way]
    0.210s: ordered 1 completed 0 failed 0 cancelled 0 pending 1 [1 of cohort 0 under-way]
    0.225s: ordered 2 completed 0 failed 0 cancelled 0 pending 2 [1 of cohort 0 never-pushed, 1 of cohort 0 under-way]
    0.350s: ordered 2 completed 1 failed 0 cancelled 0 pending 1 [1 of cohort 0 device-asleep]
    1.000s: ordered 2 completed 1 failed 0 cancelled 0 pending 1 [1 of cohort 0 device-asleep]
    ");
    insta::assert_snapshot!(show(&account.closing()), @"1.000s: ordered 2 completed 1 failed 0 cancelled 0 pending 1 [1 of cohort 0 device-asleep]");
}

#[test]
fn the_ledger_can_be_asked_in_mid_run() {
    let mut ledger = Ledger::new(setup(4));
    for fact in &story().facts {
        ledger.record(fact);
    }
    let pending = |at| {
        let counts = ledger.pending_by_cause(ms(at));
        let counts = counts
            .iter()
            .map(|((_, cause), count)| (cause.name(), *count));
        counts.collect::<Vec<_>>()
    };
    assert_eq!(pending(5), [("under-way", 1)]);
    assert_eq!(pending(229).len(), 1 + 1);
    assert_eq!(pending(240), [("device-asleep", 1)]);
}
