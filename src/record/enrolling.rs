//! How devices enrolled: each step to an identity and the two check-ins after it, what failed and
//! why, and which identities came to nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::fact::{Broken, Got, IdentityStep, Obtaining, Refusal, Said, Stamps};
use crate::ids::{Channel, DeviceId};
use crate::time::SimTime;

use super::histogram::{latencies, sample};
use super::micros;

/// A step from setting out to being enrolled, in the order a device takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EnrollmentStep {
    /// Towards its identity.
    Identity(IdentityStep),
    /// Check-in: Authenticate.
    Authenticate,
    /// Check-in: the first TokenUpdate after it.
    TokenUpdate,
}

impl EnrollmentStep {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity(IdentityStep::Discovery) => "discovery",
            Self::Identity(IdentityStep::Profile) => "profile",
            Self::Identity(IdentityStep::Attributes) => "attributes",
            Self::Identity(IdentityStep::CaCertificate) => "ca-certificate",
            Self::Identity(IdentityStep::CaCapabilities) => "ca-capabilities",
            Self::Identity(IdentityStep::Key) => "key",
            Self::Identity(IdentityStep::PkiOperation) => "pki-operation",
            Self::Identity(IdentityStep::AcmeOrder) => "acme-order",
            Self::Identity(IdentityStep::Attestation) => "attestation",
            Self::Identity(IdentityStep::AcmeCertificate) => "acme-certificate",
            Self::Identity(IdentityStep::MdmProfile) => "mdm-profile",
            Self::Identity(IdentityStep::Kept) => "kept",
            Self::Authenticate => "authenticate",
            Self::TokenUpdate => "token-update",
        }
    }
}

/// How long a step took those who got through it.
#[derive(Clone, Debug)]
pub struct StepTally {
    /// In microseconds.
    pub latency: Histogram<u64>,
    /// Whom it took longest, and how long in microseconds.
    pub worst: (u64, DeviceId),
}

/// Failures of a step for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalTally {
    /// How often.
    pub count: u64,
    /// What happened the first time, and to whom.
    pub example: (DeviceId, String),
}

/// How many reasons are kept apart for each step; what comes beyond is counted as [`OTHER`].
const REASONS_MAX: usize = 32;

/// What a device calls it when its clock explains a 400.
const CLOCK: &str = "clock-refused-signature";

/// The name of reasons that are not kept apart.
const OTHER: &str = "other";

/// How devices enrolled.
#[derive(Clone, Debug, Default)]
pub struct Enrolling {
    /// Latencies by step.
    pub steps: BTreeMap<EnrollmentStep, StepTally>,
    /// Failures by step and by the name of their reason.
    pub failures: BTreeMap<(EnrollmentStep, String), RefusalTally>,
    /// When the first device set out, and when the last was enrolled for the first time.
    pub span: Option<(SimTime, SimTime)>,
    /// Devices that enrolled for the first time.
    pub enrolled: u64,
    /// Identities that devices got to enrol with.
    pub obtained: u64,
    /// Identities that took the place of one that was running out.
    pub renewed: u64,
    /// Identities taken over from another device.
    pub cloned: u64,
    /// Devices that went on with what an earlier run enrolled them with.
    pub resumed: u64,
    /// Devices that were let go before time zero, most of them by an earlier run.
    pub left: u64,
    /// Identities that were got to enrol with and that nobody enrolled with: a one-time challenge is
    /// spent on each.
    pub burnt: u64,
    under_way: BTreeMap<DeviceId, UnderWay>,
    /// Devices that were answered with 400, and at which step, until it is known whether their clocks
    /// explain it.
    unexplained: BTreeMap<DeviceId, EnrollmentStep>,
}

/// A device on its way.
#[derive(Clone, Copy, Debug, Default)]
struct UnderWay {
    /// Whether it has an identity it has not enrolled with.
    has_unused: bool,
    /// When its first step began: waiting for a place before it was ours.
    since: Option<SimTime>,
    /// How much since then was our own work, or waiting here.
    ours: Duration,
    /// When the first step of the errand under way began.
    set_out: Option<SimTime>,
    /// Whether its TokenUpdate was taken: a device that enrols again is not noted as enrolled.
    is_through: bool,
}

impl UnderWay {
    /// This stretch was ours; what of it was before the first step does not count.
    fn spent_here(&mut self, from: SimTime, until: SimTime) {
        let from = self.since.map_or(from, |since| from.max(since));
        self.ours += until.max(from).since(from);
    }
}

/// Whether a step is our own work rather than the target's: making a key, which a device has hardware
/// for, and writing the roster, which it has not.
const fn is_ours(step: EnrollmentStep) -> bool {
    matches!(
        step,
        EnrollmentStep::Identity(IdentityStep::Key | IdentityStep::Kept)
    )
}

impl Enrolling {
    /// Whether there is more to tell than how long it took.
    pub fn is_told(&self) -> bool {
        self.obtained + self.renewed + self.cloned + self.resumed + self.left > 0
            || !self.failures.is_empty()
            || self
                .steps
                .keys()
                .any(|step| matches!(step, EnrollmentStep::Identity(_)))
    }

    /// A device has gone on, or the run has ended: a 400 that nothing explains is one like others.
    fn settle(&mut self, device: DeviceId) {
        if let Some(step) = self.unexplained.remove(&device) {
            self.failed(step, device, "http-status", "the target answered 400");
        }
    }

    /// A device that is on its way; one that is through begins anew.
    fn on_its_way(&mut self, device: DeviceId) -> &mut UnderWay {
        let under_way = self.under_way.entry(device).or_default();
        if under_way.is_through {
            *under_way = UnderWay::default();
        }
        under_way
    }

    /// What a device did out of order, if it is what a 400 comes from.
    pub(super) fn explained(&mut self, device: DeviceId, what: &str) {
        let Some(why) = what.strip_prefix(CLOCK) else {
            return;
        };
        if let Some(step) = self.unexplained.remove(&device) {
            let why = why.trim_start_matches(": ");
            self.failed(step, device, CLOCK, why);
        }
    }

    pub(super) fn step(
        &mut self,
        device: DeviceId,
        step: IdentityStep,
        (since, until): (SimTime, SimTime),
        failed: Option<&Refusal>,
    ) {
        let step = EnrollmentStep::Identity(step);
        self.settle(device);
        let under_way = self.on_its_way(device);
        under_way.since.get_or_insert(since);
        under_way.set_out.get_or_insert(since);
        if is_ours(step) {
            under_way.spent_here(since, until);
        }
        if failed.is_some() {
            // The errand ends there; what comes next is the first step of another.
            under_way.set_out = None;
        }
        match failed {
            None => self.took(step, device, micros(since, until)),
            Some(refusal) => self.failed(step, device, &refusal.name, &refusal.what),
        }
    }

    /// A device has an identity, for which it set out at `since`.
    pub(super) fn obtained(&mut self, device: DeviceId, why: Obtaining, since: SimTime) {
        if let Some(under_way) = self.under_way.get_mut(&device)
            && let Some(first) = under_way.set_out.take()
        {
            // It waited for a place.
            under_way.spent_here(since, first);
        }
        match why {
            Obtaining::Enroll => {
                self.obtained += 1;
                let under_way = self.on_its_way(device);
                let before = std::mem::replace(&mut under_way.has_unused, true);
                self.burnt += u64::from(before);
            }
            Obtaining::Renew => self.renewed += 1,
            Obtaining::Clone => self.cloned += 1,
            // What it was under way to has come to nothing, and it is enrolled as before.
            Obtaining::Restore => drop(self.under_way.remove(&device)),
        }
    }

    /// A request of a device, if it is one of those that enrolment consists of.
    pub(super) fn exchange(&mut self, channel: Channel, said: &Said, stamps: &Stamps, got: &Got) {
        let device = channel.device;
        let step = match said {
            Said::Authenticate => EnrollmentStep::Authenticate,
            Said::TokenUpdate
                if channel.user == 0
                    && self.under_way.get(&device).is_some_and(|it| !it.is_through) =>
            {
                EnrollmentStep::TokenUpdate
            }
            Said::TokenUpdate
            | Said::CheckOut
            | Said::UserAuthenticate
            | Said::SetBootstrapToken
            | Said::GetBootstrapToken
            | Said::GetToken
            | Said::ReturnToService
            | Said::DeclarativeManagement { .. }
            | Said::Idle
            | Said::Result { .. } => return,
        };
        self.settle(device);
        let under_way = self.on_its_way(device);
        under_way.since.get_or_insert(stamps.permitted);
        under_way.spent_here(stamps.asked, stamps.permitted);
        match got {
            Got::Empty | Got::Command { .. } | Got::Content { .. } | Got::Unreadable { .. } => {
                self.took(step, device, micros(stamps.permitted, stamps.read));
                if step == EnrollmentStep::TokenUpdate {
                    let under_way = self.on_its_way(device);
                    under_way.is_through = true;
                    under_way.has_unused = false;
                }
            }
            Got::Status(400) => {
                self.unexplained.insert(device, step);
            }
            Got::Status(status) => {
                let what = format!("the target answered {status}");
                self.failed(step, device, "http-status", &what);
            }
            Got::Lost(broken) => self.failed(step, device, name(broken), &broken.to_string()),
        }
    }

    /// A device has enrolled that set out at `since`. Gives back how long that took, in microseconds,
    /// without what was our own work or waiting here.
    pub(super) fn enrolled(
        &mut self,
        device: DeviceId,
        since: SimTime,
        at: SimTime,
        first: bool,
    ) -> u64 {
        let under_way = self.under_way.remove(&device).unwrap_or_default();
        let since = under_way.since.unwrap_or(since);
        if first {
            self.enrolled += 1;
            let (from, to) = self.span.unwrap_or((since, at));
            self.span = Some((from.min(since), to.max(at)));
        }
        let ours = under_way.ours.as_micros() as u64;
        micros(since, at).saturating_sub(ours)
    }

    pub(super) fn gave_up(&mut self, device: DeviceId) {
        self.settle(device);
        let under_way = self.under_way.remove(&device).unwrap_or_default();
        self.burnt += u64::from(under_way.has_unused);
    }

    /// At the end: who has not enrolled by then has not used what it got.
    pub(super) fn finish(&mut self) {
        while let Some(device) = self.unexplained.keys().next().copied() {
            self.settle(device);
        }
        let unused = self.under_way.values().filter(|it| it.has_unused);
        self.burnt += unused.count() as u64;
        self.under_way.clear();
    }

    fn took(&mut self, step: EnrollmentStep, device: DeviceId, micros: u64) {
        let tally = self.steps.entry(step).or_insert_with(|| StepTally {
            latency: latencies(),
            worst: (micros, device),
        });
        sample(&mut tally.latency, micros);
        if micros > tally.worst.0 {
            tally.worst = (micros, device);
        }
    }

    fn failed(&mut self, step: EnrollmentStep, device: DeviceId, name: &str, what: &str) {
        let key = (step, name.to_owned());
        let of_step = self.failures.keys().filter(|(of, _)| *of == step);
        let key = if self.failures.contains_key(&key) || of_step.count() < REASONS_MAX {
            key
        } else {
            (step, OTHER.to_owned())
        };
        let tally = self.failures.entry(key).or_insert_with(|| RefusalTally {
            count: 0,
            example: (device, what.to_owned()),
        });
        tally.count += 1;
    }
}

/// The names that failures of check-ins share with those of the steps before.
const fn name(broken: &Broken) -> &'static str {
    match broken {
        Broken::Unreachable(_) => "unreachable",
        Broken::Tls(_) => "tls",
        Broken::Cut(_) => "cut",
        Broken::TimedOut => "timed-out",
        Broken::Malformed(_) => "malformed",
        Broken::TooLarge(_) => "too-large",
        Broken::Harness(_) => "harness",
    }
}
