//! Latency distributions: HdrHistograms of microseconds, made when first needed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::metric::Metric;

/// The longest latency that is told apart: 7 days.
pub const LATENCY_MAX_MICROS: u64 = 7 * 24 * 3_600 * 1_000_000;
/// Significant decimal digits of a recorded latency.
const DIGITS: u8 = 3;
/// How many series are kept; one can take 124 KiB. What goes beyond is kept under
/// [`Series::Other`].
const SERIES_MAX: usize = 512;

/// An empty distribution of microseconds.
pub fn latencies() -> Histogram<u64> {
    let mut empty = Histogram::new_with_bounds(1, 2, DIGITS).expect("the bounds are valid");
    empty.auto(true);
    empty
}

/// Adds a latency to a distribution that [`latencies`] made; what is too long counts as the longest.
pub(super) fn sample(histogram: &mut Histogram<u64>, micros: u64) {
    histogram
        .record(micros.min(LATENCY_MAX_MICROS))
        .expect("a histogram that resizes takes seven days");
}

/// Which commands a distribution covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// Those of one cohort in one stage, by index.
    Part {
        /// The cohort's index.
        cohort: u16,
        /// The stage's index.
        stage: u16,
    },
    /// Those of one request type, by index.
    Request(u16),
    /// Those of one stage that had no room of their own, by the stage's index.
    Other(u16),
}

/// All distributions of a run.
#[derive(Clone, Debug, Default)]
pub struct Histograms {
    series: BTreeMap<(Metric, Series), Histogram<u64>>,
    clipped: u64,
    crowded: bool,
}

impl Histograms {
    /// Records one sample of `metric` for a part of the run.
    pub(super) fn record(&mut self, metric: Metric, cohort: u16, stage: u16, micros: u64) {
        let key = (metric, Series::Part { cohort, stage });
        let has_room = self.series.len() < SERIES_MAX || self.series.contains_key(&key);
        let key = if has_room {
            key
        } else {
            self.crowded = true;
            (metric, Series::Other(stage))
        };
        self.enter(key, micros);
    }

    /// Records one sample of `metric` for a request type; dropped when there is no room for
    /// another request type, because the parts have it too.
    pub(super) fn record_request(&mut self, metric: Metric, request: u16, micros: u64) {
        let key = (metric, Series::Request(request));
        if self.series.len() < SERIES_MAX || self.series.contains_key(&key) {
            self.enter(key, micros);
        } else {
            self.crowded = true;
        }
    }

    fn enter(&mut self, key: (Metric, Series), micros: u64) {
        self.clipped += u64::from(micros > LATENCY_MAX_MICROS);
        sample(self.series.entry(key).or_insert_with(latencies), micros);
    }

    /// The distribution of `metric` over the parts that `wanted(cohort, stage)` picks; what had no
    /// room of its own has no cohort.
    pub fn merged(
        &self,
        metric: Metric,
        wanted: impl Fn(Option<u16>, u16) -> bool,
    ) -> Histogram<u64> {
        let mut sum = latencies();
        for ((of, series), histogram) in &self.series {
            let picked = match series {
                Series::Part { cohort, stage } => wanted(Some(*cohort), *stage),
                Series::Other(stage) => wanted(None, *stage),
                Series::Request(_) => false,
            };
            if *of == metric && picked {
                sum.add(histogram)
                    .expect("a histogram that resizes takes any other");
            }
        }
        sum
    }

    /// The distribution of `metric` for one request type; `None` when it has no sample.
    pub fn of_request(&self, metric: Metric, request: u16) -> Option<&Histogram<u64>> {
        self.series.get(&(metric, Series::Request(request)))
    }

    /// Every series in a fixed order.
    pub fn all(&self) -> impl Iterator<Item = (Metric, Series, &Histogram<u64>)> {
        self.series
            .iter()
            .map(|((metric, series), histogram)| (*metric, *series, histogram))
    }

    /// How many samples were longer than [`LATENCY_MAX_MICROS`] and count as that.
    pub const fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Whether some samples had no room for a series of their own.
    pub const fn is_crowded(&self) -> bool {
        self.crowded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_beyond_seven_days_is_clipped_and_counted() {
        let mut histograms = Histograms::default();
        histograms.record(Metric::ServerTime, 0, 0, u64::MAX);
        assert_eq!(histograms.clipped(), 1);
        let sum = histograms.merged(Metric::ServerTime, |_, _| true);
        assert_eq!(sum.len(), 1);
        assert!(sum.max().abs_diff(LATENCY_MAX_MICROS) < LATENCY_MAX_MICROS / 1_000);
    }

    #[test]
    fn beyond_the_budget_samples_are_kept_as_other() {
        let mut histograms = Histograms::default();
        for cohort in 0..600 {
            histograms.record(Metric::ServerTime, cohort, 0, 5);
        }
        assert!(histograms.is_crowded());
        assert_eq!(histograms.all().count(), SERIES_MAX + 1);
        let all = histograms.merged(Metric::ServerTime, |_, _| true);
        assert_eq!(all.len(), 600);
    }
}
