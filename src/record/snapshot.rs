//! How the run stood at some moment: what a scenario's expectations are held against.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::SimTime;

use super::Ledger;
use super::account::{Account, Pending, Tally};
use super::cause::Cause;
use super::command::Ending;
use super::failures::Failures;

/// How the run stood at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How long after time zero it was asked for; `None` for the end of the run.
    pub after: Option<Duration>,
    /// When it was taken. A run that was over before shows its end.
    pub at: SimTime,
    /// Orders by cohort.
    pub tallies: Vec<Tally>,
    /// Open orders by cohort and cause; only those that occur.
    pub pending: BTreeMap<(u16, Cause), u64>,
    /// Failed orders by cohort, request type and error.
    pub failures: Failures,
}

/// The snapshots of a run.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// Wanted, by how long after time zero; the earliest last.
    wanted: Vec<Duration>,
    time_zero: Option<SimTime>,
    pub(super) taken: Vec<Snapshot>,
}

impl Snapshots {
    pub(super) fn time_zero(&mut self, at: SimTime) {
        self.time_zero.get_or_insert(at);
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.time_zero.is_some()
    }

    /// The next one that is due before `watermark`.
    fn due(&mut self, watermark: SimTime) -> Option<(Duration, SimTime)> {
        let after = *self.wanted.last()?;
        let at = self.time_zero? + after;
        (at < watermark).then(|| {
            self.wanted.pop();
            (after, at)
        })
    }
}

impl Ledger {
    /// Lets [`Ledger::advance`] take a snapshot at each of these times after time zero, as long on
    /// the ruler as given. Call it before the first fact.
    pub fn take_snapshots_after(&mut self, mut times: Vec<Duration>) {
        times.sort_unstable_by(|one, other| other.cmp(one));
        times.dedup();
        self.snapshots.wanted = times;
    }

    /// How many orders of which cohort were open at `at`, and why. Counts are exact once all facts
    /// up to `at` are recorded and none after it is accounted for; causes are as of the latest
    /// facts.
    pub fn pending_by_cause(&self, at: SimTime) -> BTreeMap<(u16, Cause), u64> {
        by_cause(&self.pending(at))
    }

    pub(super) fn take_snapshots(&mut self, watermark: SimTime) {
        while let Some((after, at)) = self.snapshots.due(watermark) {
            let snapshot = self.snapshot(Some(after), at);
            self.snapshots.taken.push(snapshot);
        }
    }

    /// Takes what is still wanted at the end of the run.
    pub(super) fn take_last_snapshots(&mut self, end: SimTime) {
        while let Some(after) = self.snapshots.wanted.pop() {
            let at = self.snapshots.time_zero.map_or(end, |zero| zero + after);
            let snapshot = self.snapshot(Some(after), at.min(end));
            self.snapshots.taken.push(snapshot);
        }
    }

    fn snapshot(&self, after: Option<Duration>, at: SimTime) -> Snapshot {
        let mut tallies: Vec<Tally> = self.tallies.iter().map(|stages| sum(stages)).collect();
        let mut failures = self.failures.clone();
        // Facts from after `at` may be here already. What they ended is still kept.
        for (id, open) in &self.open {
            let info = self.info(*id);
            let tally = &mut tallies[usize::from(info.cohort.0)];
            let is_counted = open.due.is_some() || open.born.is_some();
            if let Some(settled) = open.settled.filter(|it| is_counted && it.at > at) {
                match settled.ending {
                    Ending::Completed => tally.completed -= 1,
                    Ending::Rejected => tally.rejected -= 1,
                    Ending::Cancelled => tally.cancelled -= 1,
                    Ending::Failed => {
                        tally.failed -= 1;
                        failures.remove(info, open.error.clone());
                    }
                }
            }
        }
        let pending = self.pending_by_cause(at);
        for ((cohort, _), count) in &pending {
            tallies[usize::from(*cohort)].pending += count;
        }
        for tally in &mut tallies {
            tally.ordered =
                tally.completed + tally.failed + tally.rejected + tally.cancelled + tally.pending;
        }
        Snapshot {
            after,
            at,
            tallies,
            pending,
            failures,
        }
    }
}

impl Account {
    /// How the run stood at its end.
    pub fn closing(&self) -> Snapshot {
        Snapshot {
            after: None,
            at: self.at,
            tallies: self.tallies.iter().map(|stages| sum(stages)).collect(),
            pending: by_cause(&self.pending),
            failures: self.failures.clone(),
        }
    }
}

fn sum(stages: &[Tally]) -> Tally {
    let mut sum = Tally::default();
    stages.iter().for_each(|tally| sum.add(tally));
    sum
}

fn by_cause(pending: &[Pending]) -> BTreeMap<(u16, Cause), u64> {
    let mut counts = BTreeMap::new();
    for pending in pending {
        *counts.entry((pending.cohort, pending.cause)).or_default() += 1;
    }
    counts
}
