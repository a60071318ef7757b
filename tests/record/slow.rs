//! Commands that were open for longer than a limit.

use std::time::Duration;

use mdmstorm::condition::Condition;
use mdmstorm::fact::Got;
use mdmstorm::record::Ledger;
use mdmstorm::record::account::Account;

use crate::story::{Story, done, fetched, ms, setup};

/// Facts come in batches of a tenth of a second; what is open for 100 ms is slow.
fn account(story: &Story, end: u64) -> Account {
    let mut ledger = Ledger::new(setup(4));
    ledger.explain_longer_than(Duration::from_millis(100));
    let mut facts = story.facts.clone();
    facts.sort_by_key(|fact| fact.at);
    let tenth = |at: mdmstorm::time::SimTime| at.as_micros() / 100_000;
    for batch in facts.chunk_by(|one, other| tenth(one.at) == tenth(other.at)) {
        for fact in batch {
            ledger.record(fact);
        }
        ledger.advance(batch[batch.len() - 1].at);
    }
    ledger.finish(ms(end))
}

fn show(account: &Account) -> Vec<String> {
    let groups = account.slow.iter();
    groups
        .map(|((cohort, _, cause, owner), group)| {
            let (cause, owner) = (cause.name(), owner.name());
            let count = group.count;
            format!("{count} of cohort {cohort}: {cause} of {owner}")
        })
        .collect()
}

#[test]
fn a_command_that_completes_late_is_told_with_what_it_waited_for() {
    let asleep = Story::default()
        .enqueued(0, 0, 0, 5)
        .condition(1, &[Condition::Asleep])
        .push(0, 6)
        .enqueued(2, 300, 300, 305);
    let account = account(&asleep, 350);
    assert_eq!(show(&account), ["1 of cohort 0: device-asleep of device"]);
    assert_eq!(account.pending.len(), 2);
}

#[test]
fn a_command_that_settles_in_time_is_not_slow() {
    let quick = fetched()
        .executed(0, 60, 60)
        .exchange(done(0), Got::Empty, [60, 61, 61, 70, 71])
        .ended(71);
    assert!(show(&account(&quick, 1_000)).is_empty());
}

#[test]
fn nothing_is_slow_before_its_time_has_come() {
    let young = Story::default().enqueued(0, 0, 0, 5);
    assert!(show(&account(&young, 90)).is_empty());
}
