//! What an agent can see of its device, and of the run.

use super::acquired::Acquired;
use super::environment::Environment;
use super::life::Life;
use super::traits::{Platform, Traits};
use super::{messages, not_now};
use crate::condition::{Condition, Conditions, Holds};
use crate::ids::DeviceId;
use crate::protocol::checkin::Enrollee;
use crate::protocol::request_types::version;
use crate::seed::{Draw, Purpose};
use crate::time::SimTime;

/// What an agent can see of its device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) env: &'a Environment,
    pub(super) traits: &'a Traits,
    pub(super) device: DeviceId,
    pub(super) life: &'a Life,
    /// How far ahead the device's clock is, in microseconds.
    pub(super) ahead_us: i64,
    /// The rules of the cohort that events have ended, a bit each.
    pub(super) ended_rules: u32,
    /// Whether the device was enrolled once, so that it does not give up.
    pub(super) was_enrolled: bool,
    /// What it has beside what it shares.
    pub(super) acquired: Option<&'a Acquired>,
    pub(super) now: SimTime,
}

impl Around<'_> {
    /// `OSVersion`.
    pub(super) fn os_version(&self) -> &str {
        let updated = self.acquired.and_then(|it| it.os_version.as_deref());
        updated.unwrap_or(&self.traits.os_version)
    }

    /// `BuildVersion`; `None` when the device was updated to a version whose build is not known.
    pub(super) fn build(&self) -> Option<&str> {
        self.traits.build_of(self.os_version())
    }

    /// By what the server knows the device.
    pub(super) fn enrollee(&self) -> Enrollee {
        messages::enrollee(&self.env.crowd, &self.env.terms, self.device)
    }

    pub(super) fn conditions(&self) -> Conditions {
        self.life.conditions(self.traits)
    }

    pub(super) fn draw(&self, user: u8, purpose: Purpose, event: u64, attempt: u32) -> Draw {
        let subject = u64::from(self.device.0) | u64::from(user) << 32;
        self.env.seed.draw(purpose, subject, event, attempt)
    }

    pub(super) const fn is_ended(&self, rule: u8) -> bool {
        self.ended_rules & 1 << rule != 0
    }
}

/// What decides about NotNow.
pub(super) fn subject(around: &Around<'_>, user: u8) -> not_now::Subject {
    let mut conditions = around.conditions();
    if around.traits.platform == Platform::Mac && conditions.has(Condition::Asleep) {
        // A Mac that talks in its sleep is in a dark wake, whether a push or its own nap woke it.
        conditions = conditions.with(Condition::DarkWake, Holds::Yes);
    }
    not_now::Subject {
        platform: around.traits.platform,
        os_version: version(around.os_version()),
        passcode: around.traits.passcode,
        line: not_now::Line::of_user(user),
        conditions,
    }
}
