//! `manifest.json`: what a reader of a bundle has to know first, and what makes its plan again.

use serde::{Deserialize, Serialize};

use crate::ids::{RunId, hex_array, hex_lower};
use crate::plan::Plan;
use crate::scenario::{Cut, Scenario};
use crate::time::WallTime;

/// The version of the manifest that is written here. 1 did not have what makes the plan again.
pub const MANIFEST_VERSION: u32 = 2;

/// The version of the event log that is written here. 1 had no watermarks, 2 other sums in CommandUUIDs,
/// by which orders are known.
pub const EVENTS_VERSION: u32 = 3;

/// On which clock a scenario is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Played {
    /// Real time, on which scenario time is scaled.
    #[default]
    Real,
    /// Virtual time, which is scenario time.
    Virtual,
}

/// `manifest.json`. What a run knows at its beginning comes first; the rest is written at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The version of this file.
    pub manifest_version: u32,
    /// The version of the event log.
    pub events_version: u32,
    /// Whether the run came to its own end, and all of it is here.
    pub complete: bool,
    /// The version of mdmstorm.
    pub mdmstorm: String,
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The plan's hash.
    pub plan_hash: String,
    /// The plan's hash without what is in its commands but their request types.
    pub outline_hash: String,
    /// The run's id, hexadecimal: what CommandUUIDs derive from.
    pub run: String,
    /// Which clock it was played on.
    pub played: Played,
    /// What was left out of the scenario beyond what `scenario.toml` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
    /// The request types of the commands, in the order of the scenario: the bundle does not have the
    /// files that they may be in.
    pub request_types: Vec<String>,
    /// The target, for people.
    pub target: String,
    /// The machine, for people.
    pub host: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// How it ended; nothing while it goes on, or when it was killed.
    #[serde(flatten)]
    pub end: Option<End>,
}

/// What is known at the end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// The exit code.
    pub exit_code: u8,
    /// Whether the numbers can be trusted.
    pub validity: String,
    /// When it ended, RFC 3339.
    pub ended: String,
    /// How long it lasted, in microseconds.
    pub lasted_us: u64,
    /// Whether a signal stopped it.
    pub interrupted: bool,
    /// Whether the target stopped answering.
    pub target_silent: bool,
    /// Whether too many devices failed to enrol.
    pub enrollment_failed: bool,
    /// What of the bundle could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// What a run says of itself beside its plan.
#[derive(Clone, Copy, Debug)]
pub struct RunNames<'a> {
    /// Its id.
    pub run: RunId,
    /// Which clock it is played on.
    pub played: Played,
    /// The target, for people.
    pub target: &'a str,
    /// The machine, for people.
    pub host: &'a str,
    /// When it began.
    pub started: WallTime,
}

impl Manifest {
    /// What is known of a run when it begins.
    pub fn begin(scenario: &Scenario, plan: &Plan, names: RunNames<'_>) -> Self {
        let commands = plan.commands.iter();
        Self {
            manifest_version: MANIFEST_VERSION,
            events_version: EVENTS_VERSION,
            complete: false,
            mdmstorm: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: plan.name.clone(),
            seed: plan.seed.0,
            plan_hash: plan.hash().to_owned(),
            outline_hash: plan.outline(),
            run: hex_lower(&names.run.0),
            played: names.played,
            cuts: scenario.cuts().to_vec(),
            request_types: commands.map(|it| it.request_type.clone()).collect(),
            target: names.target.to_owned(),
            host: names.host.to_owned(),
            started: names.started.rfc3339(),
            end: None,
        }
    }

    /// The run's id; `None` when it is none.
    pub fn run_id(&self) -> Option<RunId> {
        hex_array(&self.run).map(RunId)
    }

    /// When the run began; the Unix epoch when that cannot be read.
    pub fn started(&self) -> WallTime {
        let stamp: Option<jiff::Timestamp> = self.started.parse().ok();
        WallTime::from_unix_micros(stamp.map_or(0, jiff::Timestamp::as_microsecond))
    }

    /// As it is written.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest is plain data");
        text.push('\n');
        text
    }
}
