//! What is known of an open command's wait: everything a rule may look at.

use std::fmt::Write as _;

use crate::condition::{Condition, Conditions};
use crate::fact::{Ignored, NoEntry, Unanswered};
use crate::ids::{Channel, OrderIndex, PushId};
use crate::metric::{Owner, Phase};
use crate::record::phase::Push;
use crate::time::SimTime;

/// What is known of an open command's wait. Facts from before its offer are left out.
#[derive(Clone, Debug)]
pub(in crate::record) struct Situation<'a> {
    /// When this was so.
    pub at: SimTime,
    pub channel: Channel,
    pub phase: Phase,
    pub owner: Owner,
    pub offered: Option<SimTime>,
    pub accepted: Option<SimTime>,
    pub was_pushed: bool,
    pub was_fetched: bool,
    pub is_refused: bool,
    /// Pushed after the target had to offer a refused command again, and that push is still to bring
    /// the device.
    pub is_pushed_again: bool,
    /// When the device asked after the reason for its NotNow was over, and was sent away without it.
    pub withheld: Option<SimTime>,
    /// The device has its result and could not deliver it.
    pub is_undelivered: bool,
    /// When the device was last sent away without it.
    pub passed_over: Option<SimTime>,
    /// When the device, which had a push for it, was last sent away without it.
    pub came_for_nothing: Option<SimTime>,
    /// Whether its channel's session is on.
    pub is_in_session: bool,
    /// When anything last happened to it or on its channel, the end of an obstacle included.
    pub last_step: SimTime,
    /// How far its own last push got.
    pub push: Push,
    /// Its channel's last push.
    pub last_push: Option<&'a LastPush>,
    /// How its enqueue request failed.
    pub enqueue: Option<&'a Failure>,
    /// How its channel's last request failed.
    pub request: Option<&'a Failure>,
    /// What APNs answered to its channel's last push, when that was not 200.
    pub refusal: Option<&'a Refusal>,
    /// What the target said about its own push when it took the command.
    pub push_failed: Option<&'a str>,
    /// The provider's handshake that was refused, if no push was taken since.
    pub provider: Option<&'a ProviderRefusal>,
    pub held: &'a Held,
    pub clock_ahead_ms: i64,
    /// When and why the device dropped its management.
    pub unenrolled: Option<&'a (SimTime, String)>,
    pub not_now: Option<&'a NotNow>,
    /// How often in a row, within one session, the target has been refused this very command.
    pub spins: u32,
    /// An older command of the channel that the device has, and what it waits for.
    pub ahead: Option<(OrderIndex, &'static str)>,
    /// When the target last answered anything, if it has been failing for long.
    pub silent_since: Option<SimTime>,
    /// When the target last answered anything.
    pub last_answer: SimTime,
}

/// How a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::record) struct Failure {
    pub at: SimTime,
    pub kind: FailureKind,
}

/// How a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::record) enum FailureKind {
    /// Our own limits.
    Harness(String),
    /// Nobody there, or the connection was cut.
    NoAnswer(String),
    /// The TLS handshake failed.
    Tls(String),
    /// No whole answer within the timeout.
    TimedOut,
    /// An HTTP status that is no 2xx.
    Status(u16),
    /// An answer that is not what was asked for.
    Unreadable(String),
}

/// A push that APNs did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::record) struct Refusal {
    pub at: SimTime,
    pub push: PushId,
    pub answer: NoPush,
}

/// What APNs answered instead of 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::record) enum NoPush {
    /// Another status, and the reason if it gave one.
    Refused { status: u16, reason: Option<String> },
    /// Nothing.
    Unanswered(Unanswered),
}

/// A provider the gateway did not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::record) struct ProviderRefusal {
    pub at: SimTime,
    pub why: NoEntry,
}

/// The last push that APNs took for a channel, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) struct LastPush {
    pub push: PushId,
    pub arrived: SimTime,
    pub fate: PushFate,
}

/// What became of a push, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum PushFate {
    Underway,
    Stored(SimTime),
    Delivered(SimTime),
    Ignored(SimTime, Ignored),
    Discarded(SimTime),
    Lost(SimTime),
}

/// The NotNow answers of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::record) struct NotNow {
    /// When the device last refused it.
    pub at: SimTime,
    /// Why: a condition, or a rule of the scenario.
    pub why: String,
    pub times: u32,
}

/// What a device is in, each condition with the time since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::record) struct Held(Vec<(Condition, SimTime)>);

impl Held {
    pub(in crate::record) const NOTHING: Self = Self(Vec::new());

    /// Whether a device that is in `now` is rid of something.
    pub(in crate::record) fn is_eased_by(&self, now: Conditions) -> bool {
        self.0.iter().any(|(condition, _)| !now.has(*condition))
    }

    /// From `at` on, the device is in `now`.
    pub(in crate::record) fn enter(&mut self, now: Conditions, at: SimTime) {
        self.0.retain(|(condition, _)| now.has(*condition));
        for condition in now.iter() {
            if self.since(condition).is_none() {
                self.0.push((condition, at));
            }
        }
    }

    /// Since when `condition` holds; `None` when it does not.
    pub(in crate::record) fn since(&self, condition: Condition) -> Option<SimTime> {
        let held = self.0.iter().find(|(held, _)| *held == condition)?;
        Some(held.1)
    }

    pub(in crate::record) fn has(&self, condition: Condition) -> bool {
        self.since(condition).is_some()
    }

    /// Whether no request of the device can reach the target.
    pub(in crate::record) fn is_cut_off(&self) -> bool {
        self.0.iter().any(|(condition, _)| {
            matches!(
                condition,
                Condition::Gone | Condition::Off | Condition::Offline
            )
        })
    }
}

/// A clock that is less wrong than this refuses nothing: it is ordinary drift.
const CLOCK_WRONG_MS: u64 = 10_000;

/// Whether a clock is wrong enough to be refused.
pub(in crate::record) const fn is_clock_wrong(ahead_ms: i64) -> bool {
    ahead_ms.unsigned_abs() >= CLOCK_WRONG_MS
}

impl Situation<'_> {
    /// Whether the next move is the target's, and it would be a push or an offer.
    pub(in crate::record) fn awaits_push(&self) -> bool {
        match self.phase {
            Phase::Queue | Phase::Dispatch => true,
            Phase::ReturnTarget => !self.is_pushed_again,
            Phase::Lateness
            | Phase::Delivery
            | Phase::Wake
            | Phase::Harness
            | Phase::Line
            | Phase::Fetch
            | Phase::Execute
            | Phase::Deferral
            | Phase::ReturnDevice
            | Phase::Retry
            | Phase::Settle => false,
        }
    }

    /// Whether APNs has a push for it that the device does not have.
    pub(in crate::record) fn push_is_underway(&self) -> bool {
        self.push == Push::Taken && (self.phase == Phase::Delivery || self.is_pushed_again)
    }

    /// Whether the next move is the device's: to take a push, to connect, to try again.
    pub(in crate::record) fn awaits_device(&self) -> bool {
        self.owner == Owner::Device || self.phase == Phase::Retry || self.is_pushed_again
    }

    /// Whether the device has every reason to connect.
    pub(in crate::record) fn awaits_connection(&self) -> bool {
        match self.phase {
            Phase::Wake | Phase::ReturnDevice | Phase::Retry => true,
            Phase::ReturnTarget => self.is_pushed_again && matches!(self.push, Push::Delivered(_)),
            // Its session was cut: it went off.
            Phase::Execute => !self.is_in_session,
            Phase::Lateness
            | Phase::Queue
            | Phase::Dispatch
            | Phase::Delivery
            | Phase::Harness
            | Phase::Line
            | Phase::Fetch
            | Phase::Deferral
            | Phase::Settle => false,
        }
    }

    /// Since when the device is in `condition`.
    pub(in crate::record) fn since(&self, condition: Condition) -> Option<SimTime> {
        self.held.since(condition)
    }

    /// The push that waits for the device, for the end of a sentence.
    pub(in crate::record) fn waiting_push(&self) -> String {
        match self.last_push {
            Some(last) if self.push == Push::Taken => {
                format!("; push {} has waited since {}", last.push.0, last.arrived)
            }
            Some(_) | None => String::new(),
        }
    }

    /// How wrong the device's clock is, in words.
    pub(in crate::record) fn clock(&self) -> String {
        let direction = if self.clock_ahead_ms < 0 {
            "slow"
        } else {
            "fast"
        };
        format!("{} {direction}", span(self.clock_ahead_ms.unsigned_abs()))
    }

    /// The little that is known when nothing explains the wait.
    pub(in crate::record) fn summary(&self) -> String {
        let (phase, owner) = (self.phase.name(), self.owner.name());
        let mut text = format!(
            "at {} it was in the phase {phase}, which is the {owner}'s",
            self.at
        );
        text += &self.waiting_push();
        if let Some(failure) = self.request {
            let _ = write!(
                text,
                "; the device's last request failed at {}: {}",
                failure.at,
                failure.kind.describe()
            );
        }
        text
    }
}

impl FailureKind {
    /// In words, for the end of a sentence.
    pub(in crate::record) fn describe(&self) -> String {
        match self {
            Self::Harness(why) | Self::NoAnswer(why) | Self::Tls(why) | Self::Unreadable(why) => {
                why.clone()
            }
            Self::TimedOut => "timed out".to_owned(),
            Self::Status(status) => format!("HTTP {status}"),
        }
    }
}

/// A span in the unit a person would use, without decimals.
fn span(ms: u64) -> String {
    let secs = ms / 1_000;
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    }
}
