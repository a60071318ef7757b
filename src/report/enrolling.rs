//! How devices enrolled, step by step; there when they had to get their identities themselves, went
//! on with what an earlier run enrolled, or failed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::enrolling::Enrolling;

use super::latency::{Latency, millis};

/// How devices enrolled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct EnrollmentReport {
    /// Devices that enrolled for the first time, divided by the time from the first that set out to
    /// the last that was enrolled; null with fewer than two.
    pub per_second: Option<f64>,
    /// The steps in the order a device takes them.
    pub steps: Vec<StepReport>,
    /// What failed, most frequent first. A device may fail many times and enrol all the same.
    pub failures: Vec<EnrollmentFailure>,
    /// Identities that devices got to enrol with.
    pub obtained: u64,
    /// Identities that took the place of an earlier one.
    pub renewed: u64,
    /// Identities taken over from another device.
    pub cloned: u64,
    /// Devices that went on with what an earlier run enrolled them with.
    pub resumed: u64,
    /// Devices that were let go before time zero, most of them by an earlier run.
    #[serde(default)]
    pub left: u64,
    /// Identities that nobody enrolled with; a one-time challenge is spent on each.
    pub burnt: u64,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct StepReport {
    /// Its name.
    pub step: String,
    /// How long it took those who got through it.
    #[serde(flatten)]
    pub latency: Latency,
    /// The device it took longest.
    pub worst_device: u32,
}

/// Failures of one step for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct EnrollmentFailure {
    /// The step.
    pub step: String,
    /// The reason's name.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// What happened the first time, and to which device.
    pub example: String,
}

impl EnrollmentReport {
    /// `None` where enrolment was nothing but Authenticate and TokenUpdate, and all went well.
    pub(super) fn of(enrolling: &Enrolling) -> Option<Self> {
        if !enrolling.is_told() {
            return None;
        }
        let steps = enrolling.steps.iter().map(|(step, tally)| StepReport {
            step: step.name().to_owned(),
            latency: Latency::of(&tally.latency),
            worst_device: tally.worst.1.0,
        });
        let failures = enrolling.failures.iter();
        let failures = failures.map(|((step, reason), tally)| EnrollmentFailure {
            step: step.name().to_owned(),
            reason: reason.clone(),
            count: tally.count,
            example: format!("device {}: {}", tally.example.0.0, tally.example.1),
        });
        let mut failures: Vec<EnrollmentFailure> = failures.collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
        Some(Self {
            per_second: per_second(enrolling),
            steps: steps.collect(),
            failures,
            obtained: enrolling.obtained,
            renewed: enrolling.renewed,
            cloned: enrolling.cloned,
            resumed: enrolling.resumed,
            left: enrolling.left,
            burnt: enrolling.burnt,
        })
    }

    /// What is to be said of identities, as fragments; those that did not occur are left out.
    pub(super) fn identities(&self) -> Vec<String> {
        let counts = [
            (self.obtained, "identities obtained"),
            (self.renewed, "renewed"),
            (self.cloned, "cloned"),
            (self.resumed, "devices resumed"),
            (self.left, "not managed since an earlier run"),
            (
                self.burnt,
                "identities nobody enrolled with, and their challenges spent",
            ),
        ];
        let counts = counts.iter().filter(|(number, _)| *number > 0);
        counts
            .map(|(number, what)| format!("{} {what}", super::latency::count(*number)))
            .collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "device counts are far below 2^52"
)]
fn per_second(enrolling: &Enrolling) -> Option<f64> {
    let (from, to) = enrolling.span.filter(|_| enrolling.enrolled > 1)?;
    let seconds = millis(to.since(from).as_micros() as u64) / 1_000.0;
    (seconds > 0.0).then(|| enrolling.enrolled as f64 / seconds)
}
