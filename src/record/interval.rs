//! What happened in each second of the run.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::time::SimTime;

use super::histogram::{latencies, sample};

/// What happened between two times. Counts are of facts recorded in between.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interval {
    /// Its end, in microseconds since the run began.
    pub at: SimTime,
    /// Orders that became due.
    pub ordered: u64,
    /// Orders whose enqueue request began.
    pub offered: u64,
    /// Orders the target took.
    pub accepted: u64,
    /// Pushes the gateway accepted.
    pub pushes: u64,
    /// Orders that completed.
    pub completed: u64,
    /// Orders that failed or were rejected.
    pub failed: u64,
    /// Orders open at the end of the interval.
    pub open: u64,
    /// Median of push-to-completion of those settled in it, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the same, in milliseconds; with fewer than 100 samples their maximum.
    pub p99_ms: Option<f64>,
}

/// The interval under way.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) counts: Interval,
    latencies: Histogram<u64>,
}

impl Default for Current {
    fn default() -> Self {
        Self {
            counts: Interval::default(),
            latencies: latencies(),
        }
    }
}

impl Current {
    /// A command settled `micros` after its first push.
    pub(super) fn settle(&mut self, micros: u64) {
        sample(&mut self.latencies, micros);
    }

    /// Ends the interval at `now`, with `open` orders open, and begins the next.
    pub(super) fn end(&mut self, now: SimTime, open: u64) -> Interval {
        let quantile = |q| {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
            (!self.latencies.is_empty())
                .then(|| self.latencies.value_at_quantile(q) as f64 / 1_000.0)
        };
        let ended = Interval {
            at: now,
            open,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            ..std::mem::take(&mut self.counts)
        };
        self.latencies.reset();
        ended
    }
}
