//! What the ledger says at the end of a run; everything a report is made from.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::ids::{Channel, OrderIndex};
use crate::metric::{Owner, Phase};
use crate::time::SimTime;

use super::cause::Cause;
use super::enrolling::Enrolling;
use super::failures::Failures;
use super::histogram::Histograms;
use super::interval::Interval;
use super::life::CommandLife;
use super::setup::{CohortInfo, Orderer, StageInfo};
use super::slices::Slices;
use super::slow::{SlowGroup, SlowKey};
use super::snapshot::Snapshot;

/// How many orders ended how. `ordered` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Became due and were taken up; in observe mode, received by a device.
    pub ordered: u64,
    /// Acknowledged.
    pub completed: u64,
    /// Ended with Error or CommandFormatError.
    pub failed: u64,
    /// Refused by the admin API.
    pub rejected: u64,
    /// Taken back: re-enrolment, erase, a cancel event.
    pub cancelled: u64,
    /// Still open.
    pub pending: u64,
    /// Completed, but fetched before any push.
    pub completed_without_push: u64,
}

impl Tally {
    /// Adds another part's counts.
    pub fn add(&mut self, other: &Self) {
        self.ordered += other.ordered;
        self.completed += other.completed;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.cancelled += other.cancelled;
        self.pending += other.pending;
        self.completed_without_push += other.completed_without_push;
    }

    /// Whether every order is accounted for exactly once.
    pub const fn is_conserved(&self) -> bool {
        self.ordered == self.completed + self.failed + self.rejected + self.cancelled + self.pending
    }
}

/// How many devices of a cohort got how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceTally {
    /// In the plan.
    pub planned: u64,
    /// Enrolled.
    pub enrolled: u64,
    /// Gave up enrolling.
    pub enrollment_failed: u64,
}

impl DeviceTally {
    /// Adds another cohort's counts.
    pub const fn add(&mut self, other: &Self) {
        self.planned += other.planned;
        self.enrolled += other.enrolled;
        self.enrollment_failed += other.enrollment_failed;
    }
}

/// What became of pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushTally {
    /// Taken by the gateway with 200.
    pub received: u64,
    /// At their device.
    pub delivered: u64,
    /// Replaced by a newer one.
    pub coalesced: u64,
    /// Answered with another status.
    pub rejected: u64,
    /// Never answered, as the scenario asked.
    pub unanswered: u64,
    /// Gone undelivered.
    pub discarded: u64,
    /// At their device, which ignored them.
    pub ignored: u64,
    /// Taken for a device that was asleep or off the network.
    pub stored: u64,
    /// Answered with 200 and lost, as the scenario asked.
    pub lost: u64,
    /// Which the target says APNs took, in its answers to our orders.
    pub reported_accepted: u64,
    /// Which the target says failed.
    pub reported_failed: u64,
}

/// What stands beside the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Results of orders that had been rejected.
    pub late: u64,
    /// Further final results of settled orders.
    pub duplicate: u64,
    /// Results of commands this run did not order.
    pub ghost: u64,
    /// Things servers did that no rule allows.
    pub violations: u64,
    /// Requests of devices the target answered.
    pub answered: u64,
    /// Requests of devices the target answered with no 2xx.
    pub http_errors: u64,
    /// Requests of devices that got no complete answer.
    pub lost: u64,
    /// Requests of devices and of the operator that our own limits stopped.
    pub harness_failures: u64,
    /// NotNow answers.
    pub not_now: u64,
}

/// One command that was open at the end: a censored sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// The order; in observe mode, the number of the received command.
    pub order: OrderIndex,
    /// The channel it is for.
    pub channel: Channel,
    /// Its cohort's index.
    pub cohort: u16,
    /// Its stage's index.
    pub stage: u16,
    /// Its request type's index.
    pub request: u16,
    /// How long it has been open, in microseconds since it was due.
    pub age_micros: u64,
    /// The phase it is in.
    pub phase: Phase,
    /// Who is responsible for the wait it is in.
    pub owner: Owner,
    /// Why it waits.
    pub cause: Cause,
    /// The facts that say so, as a sentence.
    pub evidence: String,
    /// What its NotNow is for, when its cause is one: a condition, or a rule of the scenario.
    pub reason: Option<String>,
}

/// What the ledger says at the end of a run.
#[derive(Clone, Debug)]
pub struct Account {
    /// When the run ended.
    pub at: SimTime,
    /// Who ordered.
    pub orderer: Orderer,
    /// The cohorts.
    pub cohorts: Vec<CohortInfo>,
    /// The stages.
    pub stages: Vec<StageInfo>,
    /// The request types, in observe mode with those that came up.
    pub requests: Vec<String>,
    /// Orders by cohort, then stage.
    pub tallies: Vec<Vec<Tally>>,
    /// Devices by cohort.
    pub devices: Vec<DeviceTally>,
    /// How many providers the gateway cut off, or sent away because they wanted something else than
    /// the push service, by why.
    pub providers_cut: BTreeMap<String, u64>,
    /// Pushes.
    pub pushes: PushTally,
    /// What stands beside the sum.
    pub beside: Beside,
    /// Failed commands by their errors.
    pub failures: Failures,
    /// How the run stood at the times that were asked for, earliest first.
    pub snapshots: Vec<Snapshot>,
    /// The limit beyond which an open command is slow, on the ruler.
    pub slow_after: Option<Duration>,
    /// Commands that were open for longer than that, by what they waited for when it passed.
    pub slow: BTreeMap<SlowKey, SlowGroup>,
    /// Latencies. Push latencies are of completed commands, phases and server time of completed
    /// and failed ones.
    pub histograms: Histograms,
    /// The phases of all completed and failed commands, summed.
    pub slices: Slices,
    /// The open commands, oldest order first.
    pub pending: Vec<Pending>,
    /// The lives of a device's commands, if somebody asked for them.
    pub lives: Vec<CommandLife>,
    /// Second by second.
    pub intervals: Vec<Interval>,
    /// How late our own timers and orders were, in microseconds.
    pub lateness: Histogram<u64>,
    /// Whether the target had been failing and answered nothing in the last 10 s.
    pub target_silent: bool,
    /// How long devices took to enrol, in microseconds.
    pub enrollment: Histogram<u64>,
    /// How they did it, step by step.
    pub enrolling: Enrolling,
}

impl Account {
    /// The orders of the parts that `wanted(cohort, stage)` picks.
    pub fn tally(&self, wanted: impl Fn(u16, u16) -> bool) -> Tally {
        let mut sum = Tally::default();
        for (cohort, stages) in (0_u16..).zip(&self.tallies) {
            for (stage, tally) in (0_u16..).zip(stages) {
                if wanted(cohort, stage) {
                    sum.add(tally);
                }
            }
        }
        sum
    }

    /// All devices.
    pub fn all_devices(&self) -> DeviceTally {
        let mut sum = DeviceTally::default();
        for cohort in &self.devices {
            sum.add(cohort);
        }
        sum
    }
}
