//! Whether a run met the limits its scenario set.

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::{Aggregate, Metric, Owner, Threshold};
use crate::record::account::Account;
use crate::record::histogram::{LATENCY_MAX_MICROS, latencies};

use super::latency::share;

/// A threshold and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ThresholdResult {
    /// As the scenario wrote it, with its limit.
    pub expression: String,
    /// Whether the run met it.
    pub passed: bool,
    /// What was observed; null when there was no sample. Without samples a threshold on a whole
    /// latency fails, one on a phase that did not occur passes.
    pub observed: Option<f64>,
    /// The unit of `observed`.
    pub unit: Unit,
}

/// The unit of an observed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// A count.
    Count,
    /// A share of the orders, or of the devices, 0 to 1.
    Share,
}

/// Holds `threshold` against what happened. Warm-up stages count only when it names them.
pub fn evaluate(threshold: &Threshold, account: &Account) -> ThresholdResult {
    let (observed, unit) = observe(threshold, account);
    // Limits on latencies are in microseconds, as samples are.
    let passed = observed.map_or_else(
        || match threshold.metric {
            Metric::Phase(_) | Metric::PendingAge => true,
            // Nobody had to enrol: all were enrolled in an earlier run.
            Metric::Enrollment => {
                let resumed = account.enrolling.resumed + account.enrolling.left;
                resumed > 0 && resumed >= account.all_devices().planned
            }
            Metric::PushToCompletion
            | Metric::LastPushToCompletion
            | Metric::ServerTime
            | Metric::EnrollmentFailed
            | Metric::Completed
            | Metric::Failed
            | Metric::Rejected
            | Metric::Pending
            | Metric::PendingTarget => false,
        },
        |observed| threshold.limit.holds(observed),
    );
    ThresholdResult {
        expression: threshold.expression.clone(),
        passed,
        observed: observed.map(|observed| match unit {
            Unit::Ms => observed / 1_000.0,
            Unit::Count | Unit::Share => observed,
        }),
        unit,
    }
}

fn observe(threshold: &Threshold, account: &Account) -> (Option<f64>, Unit) {
    let wanted = |cohort: Option<u16>, stage: u16| is_wanted(threshold, account, cohort, stage);
    let tally = account.tally(|cohort, stage| wanted(Some(cohort), stage));
    let pending = || {
        account
            .pending
            .iter()
            .filter(|pending| wanted(Some(pending.cohort), pending.stage))
    };
    let samples = match threshold.metric {
        Metric::PushToCompletion
        | Metric::LastPushToCompletion
        | Metric::ServerTime
        | Metric::Phase(_) => account.histograms.merged(threshold.metric, wanted),
        Metric::PendingAge => {
            let mut ages = latencies();
            for pending in pending() {
                ages.record(pending.age_micros.min(LATENCY_MAX_MICROS))
                    .expect("a histogram that resizes takes seven days");
            }
            ages
        }
        Metric::Enrollment => account.enrollment.clone(),
        Metric::EnrollmentFailed => {
            let devices = account.all_devices();
            return counted(threshold, devices.enrollment_failed, devices.planned);
        }
        Metric::Completed => return counted(threshold, tally.completed, tally.ordered),
        Metric::Failed => return counted(threshold, tally.failed, tally.ordered),
        Metric::Rejected => return counted(threshold, tally.rejected, tally.ordered),
        Metric::Pending => return counted(threshold, tally.pending, tally.ordered),
        Metric::PendingTarget => {
            let owned = pending().filter(|pending| pending.owner == Owner::Target);
            return counted(threshold, owned.count() as u64, tally.ordered);
        }
    };
    sampled(threshold.aggregate, &samples)
}

fn is_wanted(threshold: &Threshold, account: &Account, cohort: Option<u16>, stage: u16) -> bool {
    let named = cohort.and_then(|cohort| account.cohorts.get(usize::from(cohort)));
    let in_cohort = threshold
        .cohort
        .as_ref()
        .is_none_or(|wanted| named.is_some_and(|cohort| cohort.name == *wanted));
    let info = account.stages.get(usize::from(stage));
    let in_stage = match &threshold.stage {
        Some(wanted) => info.is_some_and(|stage| stage.name == *wanted),
        None => info.is_none_or(|stage| !stage.warm_up),
    };
    in_cohort && in_stage
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of orders are far below 2^52"
)]
fn counted(threshold: &Threshold, count: u64, ordered: u64) -> (Option<f64>, Unit) {
    match threshold.aggregate {
        Aggregate::Share => (Some(share(count, ordered)), Unit::Share),
        Aggregate::Percentile(_) | Aggregate::Max | Aggregate::Mean | Aggregate::Count => {
            (Some(count as f64), Unit::Count)
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seven days in microseconds are below 2^52"
)]
fn sampled(aggregate: Aggregate, samples: &Histogram<u64>) -> (Option<f64>, Unit) {
    let some = !samples.is_empty();
    match aggregate {
        Aggregate::Percentile(percentile) => (
            some.then(|| samples.value_at_percentile(percentile) as f64),
            Unit::Ms,
        ),
        Aggregate::Max => (some.then(|| samples.max() as f64), Unit::Ms),
        Aggregate::Mean => (some.then(|| samples.mean()), Unit::Ms),
        Aggregate::Count | Aggregate::Share => (Some(samples.len() as f64), Unit::Count),
    }
}
