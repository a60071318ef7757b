//! Why a number of a run is not the whole truth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a number is not the whole truth.
#[derive(Clone, Debug, PartialEq)]
pub enum Caveat {
    /// Device life ran faster than real life, by this factor.
    TimeScaled(f64),
    /// The target shares this machine; its CPU in percent of one core, when it is known.
    TargetOnThisMachine {
        /// CPU of the target's process, in percent of one core.
        cpu_percent: Option<f64>,
    },
    /// The run was a rehearsal: nothing was sent.
    VirtualTime,
    /// The run was stopped before its end.
    Interrupted,
    /// So many settings rest on an assumption.
    AssumedDefaults(usize),
    /// So few commands completed after a push that percentiles are left out.
    SmallSample(u64),
    /// So many commands were still open: their latency is in no percentile.
    Censored(u64),
    /// Commands are ordered elsewhere: what no device received is not counted.
    Observed,
    /// So many samples were longer than seven days.
    Clipped(u64),
    /// There were more series than are kept apart.
    CrowdedSeries,
    /// Of so many events nobody knows whether our own door refused them.
    UnjudgedEvents(u64),
    /// RSA keys of devices came from a pool of primes.
    PooledKeys,
    /// Anything else a driver knows, as a whole sentence.
    Other(&'static str, String),
}

/// A caveat as reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CaveatLine {
    /// Its name.
    pub name: String,
    /// What it means for the numbers.
    pub sentence: String,
}

impl Caveat {
    /// The name in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TimeScaled(_) => "time-scaled",
            Self::TargetOnThisMachine { .. } => "target-on-this-machine",
            Self::VirtualTime => "virtual-time",
            Self::Interrupted => "interrupted",
            Self::AssumedDefaults(_) => "assumed-defaults",
            Self::SmallSample(_) => "small-sample",
            Self::Censored(_) => "censored",
            Self::Observed => "observed",
            Self::Clipped(_) => "clipped",
            Self::CrowdedSeries => "crowded-series",
            Self::UnjudgedEvents(_) => "unjudged-events",
            Self::PooledKeys => "pooled-keys",
            Self::Other(name, _) => name,
        }
    }

    /// What it means for the numbers, as a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::TimeScaled(factor) => format!(
                "Device life ran {factor} times as fast as real life, so the target met \
                 {factor} times the load these devices would cause."
            ),
            Self::TargetOnThisMachine { cpu_percent } => {
                let cpu = cpu_percent.map_or_else(String::new, |cpu| {
                    format!(" (it used {cpu:.0} % of a core)")
                });
                format!("The target ran on this machine{cpu} and shared its processors with us.")
            }
            Self::VirtualTime => {
                "Nothing was sent: the reference server stood in the target's place, \
                                  and the network's and its times are guesses."
                    .to_owned()
            }
            Self::Interrupted => {
                "The run was stopped before its end; what was not ordered is not counted."
                    .to_owned()
            }
            Self::AssumedDefaults(count) => format!(
                "Settings left at a default that rests on an assumption: {count}; report.html \
                 lists them."
            ),
            Self::SmallSample(count) => format!(
                "Only {count} commands completed after a push; percentiles that need more \
                 samples are left out."
            ),
            Self::Censored(count) => format!(
                "{count} commands were still open; percentiles leave them out, so the true ones \
                 are higher."
            ),
            Self::Observed => "Commands were ordered elsewhere: what no device received is not \
                               counted, and queue and dispatch are unknown."
                .to_owned(),
            Self::Clipped(count) => {
                format!("{count} samples were longer than seven days and count as that.")
            }
            Self::CrowdedSeries => "There were more cohorts, stages and request types than are \
                                    kept apart; some are missing from the details."
                .to_owned(),
            Self::UnjudgedEvents(count) => format!(
                "Events of the target's that were missing, late or out of order, and may be what our own \
                 door had refused: {count}; webhook-gap says nothing of these."
            ),
            Self::PooledKeys => "RSA keys of devices were put together from a pool of primes \
                                 (identity.keys = \"pool\"): different, but not secret, and \
                                 quicker than devices make them."
                .to_owned(),
            Self::Other(_, sentence) => sentence.clone(),
        }
    }

    /// The caveat as reports show it.
    pub fn line(&self) -> CaveatLine {
        CaveatLine {
            name: self.name().to_owned(),
            sentence: self.sentence(),
        }
    }
}
