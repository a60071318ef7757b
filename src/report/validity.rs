//! Whether the numbers of a run can be trusted, or the generator was the bottleneck.
//!
//! Limits are those of `measurement.md` 2.3. Each signal says what it saw and what to do.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the numbers can be trusted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Validity {
    /// They can.
    #[default]
    Valid,
    /// With care: look at the signals.
    Suspect,
    /// They cannot; the run exits with 90.
    Invalid,
}

impl Validity {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
        }
    }
}

/// Connections of devices, to the target and on the way to an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ConnectionTally {
    /// All that were opened.
    pub all: u64,
    /// Over HTTP/2; the others over HTTP/1.1.
    pub http2: u64,
    /// With a TLS session that was resumed; the others with a full handshake, or without TLS.
    pub resumed: u64,
}

/// What the engine saw of this machine and of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// The highest CPU of this process that lasted 10 s, in percent of what it may use.
    pub cpu_percent: f64,
    /// Diagnostics that were dropped.
    pub dropped_events: u64,
    /// Diagnostics and facts altogether.
    pub events: u64,
    /// The most sockets open at once.
    pub open_sockets_max: u64,
    /// What the devices' connections agreed on.
    pub connections: ConnectionTally,
    /// CPU time of this process, preparation included; `None` on virtual time.
    pub cpu: Option<Duration>,
    /// CPU time of the embedded target.
    pub target_cpu: Option<Duration>,
    /// Orders taken up and planned by then; equal when the operator kept its pace.
    pub achieved: u64,
    /// Orders planned by then.
    pub planned: u64,
}

/// One signal that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// What it makes of the run.
    pub verdict: Validity,
    /// What was seen and its limits.
    pub sentence: String,
    /// What to do.
    pub advice: String,
}

/// What signals are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    pub(super) health: &'a Health,
    pub(super) lateness_p99_ms: f64,
    /// Median of push-to-completion.
    pub(super) p50_ms: Option<f64>,
    /// Requests our own limits stopped, and all requests.
    pub(super) harness_failures: u64,
    pub(super) requests: u64,
}

/// Every signal that is not as it should be; the run is as bad as the worst.
pub(super) fn judge(evidence: &Evidence<'_>) -> Vec<Signal> {
    let health = evidence.health;
    let lateness_limit = evidence.p50_ms.map_or(20.0, |p50| (p50 / 10.0).max(20.0));
    let dropped = percent(health.dropped_events, health.events);
    let missing = percent(
        health.planned.saturating_sub(health.achieved),
        health.planned,
    );
    let stopped = percent(evidence.harness_failures, evidence.requests);
    let signals = [
        (
            "lateness",
            evidence.lateness_p99_ms,
            // What is invalid is never better than suspect.
            [lateness_limit.min(250.0), 250.0],
            "ms was the 99th percentile of how late our own timers and orders were",
            "use fewer devices per machine, a lower rate or more cores",
        ),
        (
            "dropped-events",
            dropped,
            [0.1, 1.0],
            "% of the diagnostics were dropped",
            "write the results to a faster disk, or lower the rate",
        ),
        (
            "achieved-rate",
            missing,
            [1.0, 5.0],
            "% of the orders planned by then were not taken up",
            "allow more admin requests in flight, or lower the rate",
        ),
        (
            "cpu",
            health.cpu_percent,
            [80.0, 95.0],
            "% of this machine's CPU was used by mdmstorm for 10 s or more",
            "use more cores or spread the devices over more machines",
        ),
        (
            "sockets-and-ports",
            stopped,
            [0.0, 0.1],
            "% of the requests were stopped by limits of this machine",
            "raise ulimit -n and the port range, or use more machines",
        ),
    ];
    signals
        .into_iter()
        .filter_map(|(name, value, [suspect, invalid], what, advice)| {
            let verdict = if value > invalid {
                Validity::Invalid
            } else if value > suspect {
                Validity::Suspect
            } else {
                return None;
            };
            Some(Signal {
                name: name.to_owned(),
                verdict,
                sentence: format!(
                    "{value:.1} {what} (suspect above {suspect:.1}, invalid above {invalid:.1})"
                ),
                advice: advice.to_owned(),
            })
        })
        .collect()
}

fn percent(part: u64, whole: u64) -> f64 {
    super::latency::share(part, whole) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(health: &Health, lateness_p99_ms: f64, p50_ms: Option<f64>) -> Vec<String> {
        judge(&Evidence {
            health,
            lateness_p99_ms,
            p50_ms,
            harness_failures: 0,
            requests: 100,
        })
        .iter()
        .map(|signal| format!("{} {}", signal.name, signal.verdict.name()))
        .collect()
    }

    #[test]
    fn lateness_is_judged_against_what_it_would_distort() {
        let health = Health::default();
        assert_eq!(verdicts(&health, 30.0, Some(1_000.0)), Vec::<String>::new());
        assert_eq!(verdicts(&health, 30.0, Some(100.0)), ["lateness suspect"]);
        assert_eq!(
            verdicts(&health, 251.0, Some(60_000.0)),
            ["lateness invalid"]
        );
    }

    #[test]
    fn each_signal_has_two_limits() {
        let health = Health {
            cpu_percent: 96.0,
            dropped_events: 2,
            events: 1_000,
            achieved: 97,
            planned: 100,
            open_sockets_max: 0,
            ..Health::default()
        };
        assert_eq!(
            verdicts(&health, 0.0, None),
            [
                "dropped-events suspect",
                "achieved-rate suspect",
                "cpu invalid"
            ]
        );
    }
}
