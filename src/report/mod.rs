//! What a run says to a person, a dashboard and a CI job. Made from the ledger's account and what
//! the engine knows of the run; pure, so that it can be made again from a recorded bundle.
//!
//! [`Report`] is `summary.json`: a published schema with a version. The other forms are its
//! renderings, one file each.

pub mod caveat;
pub mod enrolling;
pub mod evidence;
pub mod exit;
pub mod expect;
pub mod failed;
pub mod finding;
pub mod hlog;
pub mod html;
pub mod junit;
pub mod latency;
mod plot;
mod slow;
pub mod story;
mod summary;
pub mod text;
pub mod threshold;
pub mod validity;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::Findings;
use crate::metric::{Phase, Threshold};
use crate::rule::Rule;
use crate::time::WallTime;

use caveat::{Caveat, CaveatLine};
use enrolling::EnrollmentReport;
use expect::{Expectation, ExpectationResult};
use failed::FailedGroup;
use finding::Finding;
use latency::Latency;
use threshold::ThresholdResult;
use validity::{ConnectionTally, Health, Signal, Validity};

/// The version of the schema of `summary.json`. It grows when a reader could break.
pub const SCHEMA_VERSION: u32 = 1;

/// What the engine knows of a run besides its facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFacts {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The plan's hash.
    pub plan_hash: String,
    /// The version of mdmstorm.
    pub version: String,
    /// The machine.
    pub host: String,
    /// The target's kind and address.
    pub target: String,
    /// When the run began.
    pub started: WallTime,
    /// A signal stopped the run.
    pub interrupted: bool,
    /// The results are not whole.
    pub incomplete: bool,
    /// The target could not be reached.
    pub target_unreachable: bool,
    /// More devices failed to enrol than the scenario allows, or not in time.
    pub enrollment_failed: bool,
    /// What the engine saw of this machine and of itself.
    pub health: Health,
    /// What the engine knows against the numbers.
    pub caveats: Vec<Caveat>,
    /// The limits the scenario set.
    pub thresholds: Vec<Threshold>,
    /// What the scenario said would come of it.
    pub expectations: Vec<Expectation>,
    /// The rules that the server broke.
    pub findings: Findings,
    /// Those of them that the scenario says are known.
    pub accepted: BTreeSet<Rule>,
    /// Settings left at a default that rests on an assumption.
    pub assumptions: Vec<Assumption>,
    /// The path of the results bundle, as a person would type it; empty for none.
    pub bundle: String,
}

/// A setting left at a default that rests on an assumption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Assumption {
    /// Its key in the scenario.
    pub key: String,
    /// Its value.
    pub value: String,
    /// How good its evidence is.
    pub grade: String,
}

/// Whether the run met its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The exit code is 0.
    Pass,
    /// It is not.
    Fail,
}

/// The summary of a run: `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The version of this schema.
    pub schema_version: u32,
    /// Pass, when the exit code is 0.
    pub outcome: Outcome,
    /// Whether the numbers can be trusted.
    pub validity: Validity,
    /// The process exit code.
    pub exit_code: u8,
    /// The run in one sentence.
    pub sentence: String,
    /// The scenario's name.
    pub scenario: String,
    /// The seed that reproduces the run.
    pub seed: u64,
    /// The plan's hash.
    pub plan_hash: String,
    /// The version of mdmstorm.
    pub version: String,
    /// The machine.
    pub host: String,
    /// The target's kind and address.
    pub target: String,
    /// When the run began, RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// Devices.
    pub devices: Devices,
    /// How long devices took to enrol.
    pub enrollment: Latency,
    /// How they did it, where there is more to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolling: Option<EnrollmentReport>,
    /// Commands; ordered is the sum of completed, failed, rejected, cancelled and pending.
    pub commands: Commands,
    /// Pushes.
    pub pushes: Pushes,
    /// How many providers the gateway cut off, by why: they spoke no HTTP/2, asked too much, or were
    /// too slow; with those that wanted something else than the push service and were sent away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub providers_cut: BTreeMap<String, u64>,
    /// Latencies of the whole run.
    pub latency: Latencies,
    /// Open commands by cause, most frequent first.
    pub pending: Vec<PendingGroup>,
    /// Commands that were open for long, whatever became of them later.
    #[serde(default)]
    pub slow: Slow,
    /// Failed commands by request type and error, most frequent first.
    pub failed: Vec<FailedGroup>,
    /// Rules the server broke.
    pub findings: Vec<Finding>,
    /// The limits and what became of them.
    pub thresholds: Vec<ThresholdResult>,
    /// What the scenario said would come of it, and whether it did.
    pub expectations: Vec<ExpectationResult>,
    /// The same by cohort.
    pub cohorts: BTreeMap<String, CohortReport>,
    /// The same by stage, in the order of the scenario.
    pub stages: Vec<StageReport>,
    /// Push to completion by request type.
    pub requests: BTreeMap<String, Latency>,
    /// What stands beside the sum of orders.
    pub beside: Beside,
    /// What the generator says of itself.
    pub health: HealthReport,
    /// Why numbers are not the whole truth.
    pub caveats: Vec<CaveatLine>,
    /// Settings left at a default that rests on an assumption.
    pub assumptions: Vec<Assumption>,
    /// The path of the results bundle, empty for none.
    pub bundle: String,
}

/// Devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Devices {
    /// In the plan.
    pub planned: u64,
    /// Enrolled.
    pub enrolled: u64,
    /// Gave up enrolling.
    pub enrollment_failed: u64,
}

/// Commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Commands {
    /// Ordered; null when somebody else orders (observe).
    pub ordered: Option<u64>,
    /// Acknowledged.
    pub completed: u64,
    /// Ended with Error or CommandFormatError.
    pub failed: u64,
    /// Refused by the admin API.
    pub rejected: u64,
    /// Taken back.
    pub cancelled: u64,
    /// Still open.
    pub pending: u64,
    /// Completed, but fetched before any push: in no push latency.
    pub completed_without_push: u64,
}

/// Pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Pushes {
    /// Taken by the gateway.
    pub received: u64,
    /// At their device.
    pub delivered: u64,
    /// Replaced by a newer one.
    pub coalesced: u64,
    /// Refused by the gateway.
    pub rejected: u64,
    /// Never answered, as the scenario asked.
    #[serde(default)]
    pub unanswered: u64,
    /// Gone undelivered.
    pub discarded: u64,
    /// Ignored by their device.
    pub ignored: u64,
    /// Answered with 200 and lost, as the scenario asked.
    pub lost: u64,
    /// Which the target says APNs took, in its answers to our orders.
    pub reported_accepted: u64,
    /// Which the target says failed.
    pub reported_failed: u64,
}

/// Latencies of a set of commands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Latencies {
    /// First push until settled, of completed commands.
    pub push_to_completion: Latency,
    /// Last push until settled, of completed commands.
    pub last_push_to_completion: Latency,
    /// The target's share of a command's life, of completed and failed commands.
    pub server_time: Latency,
    /// The phases that occurred, of completed and failed commands.
    #[schemars(with = "BTreeMap<String, PhaseReport>")]
    pub phases: BTreeMap<Phase, PhaseReport>,
}

/// One phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PhaseReport {
    /// How long it took.
    #[serde(flatten)]
    pub latency: Latency,
    /// Who was responsible, in milliseconds of all commands together; in the whole run only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owners_ms: BTreeMap<String, f64>,
}

/// Open commands with one cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PendingGroup {
    /// Why they wait.
    pub cause: String,
    /// Who is responsible.
    pub owner: String,
    /// How many.
    pub count: u64,
    /// The age of the oldest in milliseconds.
    pub oldest_ms: f64,
    /// What an administrator would try.
    pub remedy: String,
    /// Which they are, the most first.
    pub shares: Vec<CauseShare>,
    /// What their NotNow is for and how often, when that is the cause.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
    /// The oldest of them, with the facts.
    pub examples: Vec<PendingExample>,
}

/// The commands of one cohort and request type among those of a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CauseShare {
    /// The cohort.
    pub cohort: String,
    /// The request type.
    pub request: String,
    /// How many.
    pub count: u64,
}

/// Commands that were open for longer than a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Slow {
    /// The limit in milliseconds (`report.slow-after`); null when nobody asked.
    pub after_ms: Option<f64>,
    /// What they waited for when it passed, most frequent first.
    pub causes: Vec<SlowGroup>,
}

/// Commands that waited for the same when the limit passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SlowGroup {
    /// Why they waited.
    pub cause: String,
    /// Who was responsible.
    pub owner: String,
    /// How many.
    pub count: u64,
    /// What an administrator would have tried.
    pub remedy: String,
    /// Which they were, the most first.
    pub shares: Vec<CauseShare>,
    /// One of them, as it stood then.
    pub example: PendingExample,
}

/// One open command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PendingExample {
    /// The order's index.
    pub order: u32,
    /// The channel.
    pub channel: String,
    /// The cohort.
    pub cohort: String,
    /// The request type.
    pub request: String,
    /// Its age in milliseconds.
    pub age_ms: f64,
    /// The phase it is in.
    pub phase: String,
    /// The facts that say why it waits.
    pub evidence: String,
}

/// One cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CohortReport {
    /// Its devices.
    pub devices: Devices,
    /// Its commands.
    pub commands: Commands,
    /// How many of its open commands wait for the target.
    pub pending_of_target: u64,
    /// Its latencies.
    pub latency: Latencies,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// Whether thresholds leave it out.
    pub warm_up: bool,
    /// Its commands.
    pub commands: Commands,
    /// First push until settled.
    pub push_to_completion: Latency,
}

/// What stands beside the sum of orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Beside {
    /// Results of orders that had been rejected.
    pub late: u64,
    /// Further final results of settled orders.
    pub duplicate: u64,
    /// Results of commands this run did not order.
    pub ghost: u64,
    /// Things the target did that no rule allows.
    pub violations: u64,
    /// NotNow answers.
    pub not_now: u64,
    /// Requests of devices that got an HTTP status other than 2xx.
    pub http_errors: u64,
    /// Requests of devices that got no complete answer.
    pub lost: u64,
}

/// What the generator says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HealthReport {
    /// 99th percentile of how late timers and orders were, in milliseconds.
    pub lateness_p99_ms: f64,
    /// The highest CPU that lasted 10 s, in percent of what this process may use.
    pub cpu_percent: f64,
    /// Dropped diagnostics.
    pub dropped_events: u64,
    /// The most sockets open at once.
    pub open_sockets_max: u64,
    /// What the devices' connections agreed on.
    #[serde(default)]
    pub connections: ConnectionTally,
    /// CPU time of mdmstorm in milliseconds, preparation included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<f64>,
    /// CPU time of the embedded target in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_cpu_ms: Option<f64>,
    /// Requests that limits of this machine stopped.
    pub harness_failures: u64,
    /// Orders taken up, as a share of those planned by then.
    pub achieved_share: f64,
    /// What is not as it should be.
    pub signals: Vec<Signal>,
}

impl Report {
    /// `summary.json`.
    ///
    /// # Panics
    ///
    /// Never: every field is a number, a text or a list of them.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report is plain data");
        text.push('\n');
        text
    }

    /// The JSON Schema of `summary.json`, draft 2020-12.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}
