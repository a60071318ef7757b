//! Whether a run came out as its scenario said it would.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fact::ErrorEnds;
use crate::ids::CohortId;
use crate::record::account::{Account, Tally};
use crate::record::cause::Cause;
use crate::record::snapshot::Snapshot;

use super::latency::{count, share};

/// How many orders are to be in some state at some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As a person reads it.
    pub expression: String,
    /// Whose orders; `None` for those of all cohorts.
    pub cohort: Option<CohortId>,
    /// When, after time zero and as long on the ruler: one of the times the ledger took a snapshot
    /// after. `None` for the end of the run.
    pub after: Option<Duration>,
    /// The state they are counted in.
    pub what: Expected,
    /// How many there are to be.
    pub how_many: HowMany,
    /// Only those that are pending, or failed, for this cause.
    pub cause: Option<Cause>,
    /// Only those that failed with this code, at either end of the error chain.
    pub code: Option<i64>,
}

/// The states orders are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Ordered, and not settled.
    Pending,
    /// Acknowledged.
    Completed,
    /// Ended with an error.
    Failed,
    /// Taken back, or swept away by a new enrolment.
    Cancelled,
}

/// A range, its ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HowMany {
    /// Of orders.
    Count {
        /// The fewest.
        from: u64,
        /// The most.
        to: u64,
    },
    /// Of the orders that had become due by then, 0 to 1.
    Share {
        /// The smallest.
        from: f64,
        /// The largest.
        to: f64,
    },
}

/// An expectation and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ExpectationResult {
    /// As the scenario wrote it.
    pub expression: String,
    /// Whether it holds.
    pub passed: bool,
    /// How many orders it was; null when the run was not looked at at that time.
    pub observed: Option<u64>,
    /// How many had become due by then.
    pub ordered: u64,
    /// What they were instead, for one that does not hold.
    pub instead: String,
}

/// The times after time zero at which a ledger has to take snapshots for these expectations.
pub fn times(expectations: &[Expectation]) -> Vec<Duration> {
    expectations.iter().filter_map(|it| it.after).collect()
}

/// Holds `expectation` against what happened.
pub fn check(expectation: &Expectation, account: &Account) -> ExpectationResult {
    let closing = account.closing();
    let snapshot = match expectation.after {
        None => Some(&closing),
        after => account.snapshots.iter().find(|it| it.after == after),
    };
    let Some(snapshot) = snapshot else {
        return ExpectationResult {
            expression: expectation.expression.clone(),
            passed: false,
            observed: None,
            ordered: 0,
            instead: "the run was not looked at at that time".to_owned(),
        };
    };
    let tally = tally(expectation, snapshot);
    let observed = observe(expectation, snapshot, &tally);
    let passed = holds(expectation.how_many, observed, tally.ordered);
    ExpectationResult {
        expression: expectation.expression.clone(),
        passed,
        observed: Some(observed),
        ordered: tally.ordered,
        instead: if passed {
            String::new()
        } else {
            describe(expectation, snapshot, &tally)
        },
    }
}

fn holds(how_many: HowMany, observed: u64, ordered: u64) -> bool {
    match how_many {
        HowMany::Count { from, to } => (from..=to).contains(&observed),
        HowMany::Share { from, to } => {
            // Of nothing there is no share: whoever expects one expects orders.
            let share = share(observed, ordered);
            ordered > 0 && from - ROUNDING <= share && share <= to + ROUNDING
        }
    }
}

/// A share written in percent need not be a binary fraction.
const ROUNDING: f64 = 1e-9;

impl Expectation {
    fn is_about(&self, cohort: u16) -> bool {
        self.cohort.is_none_or(|wanted| wanted.0 == cohort)
    }
}

fn tally(expectation: &Expectation, snapshot: &Snapshot) -> Tally {
    let mut sum = Tally::default();
    for (cohort, tally) in (0_u16..).zip(&snapshot.tallies) {
        if expectation.is_about(cohort) {
            sum.add(tally);
        }
    }
    sum
}

fn observe(expectation: &Expectation, snapshot: &Snapshot, tally: &Tally) -> u64 {
    match expectation.what {
        Expected::Completed => tally.completed,
        Expected::Cancelled => tally.cancelled,
        Expected::Pending => match expectation.cause {
            None => tally.pending,
            Some(cause) => causes(expectation, snapshot)
                .get(&cause)
                .copied()
                .unwrap_or(0),
        },
        Expected::Failed if expectation.code.is_none() && expectation.cause.is_none() => {
            tally.failed
        }
        Expected::Failed => errors(expectation, snapshot)
            .filter(|(error, _)| is_wanted(expectation, *error))
            .map(|(_, count)| count)
            .sum(),
    }
}

fn causes(expectation: &Expectation, snapshot: &Snapshot) -> BTreeMap<Cause, u64> {
    let mut causes = BTreeMap::new();
    for ((cohort, cause), count) in &snapshot.pending {
        if expectation.is_about(*cohort) {
            *causes.entry(*cause).or_default() += count;
        }
    }
    causes
}

fn errors<'a>(
    expectation: &'a Expectation,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (Option<&'a ErrorEnds>, u64)> {
    snapshot
        .failures
        .iter()
        .filter(|(key, _)| expectation.is_about(key.cohort))
        .map(|(key, count)| (key.error.as_ref(), count))
}

fn is_wanted(expectation: &Expectation, error: Option<&ErrorEnds>) -> bool {
    let has_code = |code: i64| {
        error.is_some_and(|error| {
            let deepest = error.deepest.as_ref();
            error.top.code == code || deepest.is_some_and(|deepest| deepest.code == code)
        })
    };
    let cause = error.and_then(Cause::of_error);
    expectation.code.is_none_or(has_code)
        && expectation.cause.is_none_or(|wanted| cause == Some(wanted))
}

/// How the orders stood that an expectation is about.
fn describe(expectation: &Expectation, snapshot: &Snapshot, tally: &Tally) -> String {
    let mut parts = Vec::new();
    let mut say = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", count(number)));
        }
    };
    say(tally.completed, "completed");
    say(
        tally.failed,
        &format!("failed{}", codes(expectation, snapshot)),
    );
    say(tally.rejected, "rejected");
    say(tally.cancelled, "cancelled");
    for (cause, number) in causes(expectation, snapshot) {
        say(number, &format!("pending for {}", cause.name()));
    }
    if parts.is_empty() {
        "nothing was ordered".to_owned()
    } else {
        parts.join(", ")
    }
}

/// The top-level codes of what failed: ` (3 with 12064, 1 with 12021)`.
fn codes(expectation: &Expectation, snapshot: &Snapshot) -> String {
    let mut codes: BTreeMap<i64, u64> = BTreeMap::new();
    for (error, number) in errors(expectation, snapshot) {
        if let Some(error) = error {
            *codes.entry(error.top.code).or_default() += number;
        }
    }
    if codes.is_empty() {
        return String::new();
    }
    let parts = codes
        .iter()
        .map(|(code, n)| format!("{} with {code}", count(*n)));
    format!(" ({})", parts.collect::<Vec<_>>().join(", "))
}
