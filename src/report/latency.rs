//! A distribution as the few numbers a person looks at, left out where samples are too few.

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many samples each percentile needs. A p99 of 100 samples would be one sample's luck.
const P50_MIN: u64 = 1;
const P90_MIN: u64 = 10;
const P99_MIN: u64 = 1_000;

/// A latency distribution. A percentile of too few samples is null: p90 needs 10, p99 needs 1,000.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// How many samples.
    pub count: u64,
    /// Median in milliseconds.
    pub p50_ms: Option<f64>,
    /// 90th percentile in milliseconds.
    pub p90_ms: Option<f64>,
    /// 99th percentile in milliseconds.
    pub p99_ms: Option<f64>,
    /// Largest sample in milliseconds.
    pub max_ms: Option<f64>,
}

impl Latency {
    /// The numbers of a histogram of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let count = histogram.len();
        let at = |percentile: f64, min: u64| {
            (count >= min).then(|| millis(histogram.value_at_percentile(percentile)))
        };
        Self {
            count,
            p50_ms: at(50.0, P50_MIN),
            p90_ms: at(90.0, P90_MIN),
            p99_ms: at(99.0, P99_MIN),
            max_ms: (count > 0).then(|| millis(histogram.max())),
        }
    }
}

/// Microseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
pub fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// `part` of `whole` as a share, 0 to 1; zero of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share for people")]
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// Milliseconds as a person writes them, `-` for none.
pub fn show(ms: Option<f64>) -> String {
    let Some(ms) = ms else {
        return "-".to_owned();
    };
    if ms < 10.0 {
        format!("{ms:.1}ms")
    } else if ms < 1_000.0 {
        format!("{ms:.0}ms")
    } else if ms < 60_000.0 {
        format!("{:.1}s", ms / 1_000.0)
    } else if ms < 3_600_000.0 {
        format!(
            "{:.0}m{:02.0}s",
            (ms / 60_000.0).floor(),
            (ms % 60_000.0 / 1_000.0).floor()
        )
    } else {
        let hours = (ms / 3_600_000.0).floor();
        format!("{hours:.0}h{:02.0}m", (ms % 3_600_000.0 / 60_000.0).floor())
    }
}

/// A count with thin groups: `20 000`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_counts_read_well() {
        let shown = [0.25, 812.0, 1_940.0, 252_000.0, 7_500_000.0].map(|ms| show(Some(ms)));
        assert_eq!(shown, ["0.2ms", "812ms", "1.9s", "4m12s", "2h05m"]);
        assert_eq!(show(None), "-");
        assert_eq!(
            [0, 999, 20_000, 1_234_567].map(count),
            ["0", "999", "20 000", "1 234 567"]
        );
    }

    #[test]
    fn a_percentile_of_too_few_samples_is_left_out() {
        let mut histogram = crate::record::histogram::latencies();
        for n in 1..=10 {
            histogram.record(n * 1_000).unwrap();
        }
        let latency = Latency::of(&histogram);
        assert!(latency.p90_ms.is_some());
        assert_eq!(latency.p99_ms, None);
        assert!((latency.max_ms.unwrap() - 10.0).abs() < 0.01);
    }
}
