//! Why a command is pending: the first cause, in a fixed order, that explains its wait.

use crate::fact::Reach;
use crate::metric::{Owner, Phase};
use crate::time::SimTime;

/// Why a command is pending (design section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// mdmstorm itself is in the way.
    HarnessSuspect,
    /// The target does not answer.
    TargetUnreachable,
    /// The target took the command and sent no push.
    NeverPushed,
    /// The last push was refused.
    PushRejected,
    /// The device is off the network.
    DeviceOffline,
    /// The device is asleep.
    DeviceAsleep,
    /// The device answered NotNow.
    NotNowWaiting,
    /// The target answered the device's last request with an error.
    ServerError,
    /// None of the others.
    Unknown,
}

/// One line of the table: how a cause is called, who owns it, when it holds and what helps.
struct Rule {
    cause: Cause,
    name: &'static str,
    /// `None`: whoever owns the phase the command is in.
    owner: Option<Owner>,
    holds: fn(&Situation) -> Option<String>,
    remedy: &'static str,
}

/// What is known of an open command's wait. Everything a rule may look at.
#[derive(Clone, Debug)]
pub(super) struct Situation {
    /// The end of the run.
    pub(super) at: SimTime,
    pub(super) phase: Phase,
    pub(super) owner: Owner,
    pub(super) accepted: Option<SimTime>,
    pub(super) was_pushed: bool,
    pub(super) was_fetched: bool,
    pub(super) is_refused: bool,
    pub(super) is_pushed_again: bool,
    /// How its enqueue request failed.
    pub(super) enqueue: Option<Failure>,
    /// How its channel's last request failed.
    pub(super) request: Option<Failure>,
    /// The refusal of its channel's last push.
    pub(super) refusal: Option<Refusal>,
    pub(super) reach: Reach,
    /// When the target last answered anything, if it has been failing ever since.
    pub(super) silent_since: Option<SimTime>,
}

/// How a request failed, and whose fault that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) at: SimTime,
    pub(super) kind: FailureKind,
}

/// How a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Our own limits.
    Harness(String),
    /// No answer, or none that can be read.
    NoAnswer(String),
    /// An HTTP status that is no 2xx.
    Status(u16),
    /// An answer that is not what was asked for.
    Unreadable(String),
}

/// A push that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) at: SimTime,
    pub(super) status: u16,
    pub(super) reason: Option<String>,
}

/// First match wins.
const RULES: [Rule; 9] = [
    Rule {
        cause: Cause::HarnessSuspect,
        name: "harness-suspect",
        owner: Some(Owner::Harness),
        holds: harness_suspect,
        remedy: "do not blame the server: this machine ran short. Raise its limits (ulimit -n, \
                 ports), or spread the devices over more machines, and run again",
    },
    Rule {
        cause: Cause::TargetUnreachable,
        name: "target-unreachable",
        owner: Some(Owner::Target),
        holds: target_unreachable,
        remedy: "check that the server runs and that its address, port, certificate and firewall \
                 let devices in; its own log says whether it crashed",
    },
    Rule {
        cause: Cause::NeverPushed,
        name: "never-pushed",
        owner: Some(Owner::Target),
        holds: never_pushed,
        remedy: "send a blank push to the device from the server; check that its push certificate \
                 is uploaded and that its way to APNs is this run's gateway",
    },
    Rule {
        cause: Cause::PushRejected,
        name: "push-rejected",
        owner: Some(Owner::Target),
        holds: push_rejected,
        remedy: "look up the APNs reason; renew the push certificate under the same Apple \
                 Account, or let the device send its token again by enrolling",
    },
    Rule {
        cause: Cause::DeviceOffline,
        name: "device-offline",
        owner: Some(Owner::Device),
        holds: device_offline,
        remedy: "bring the device back to a network; APNs keeps one push and delivers it then",
    },
    Rule {
        cause: Cause::DeviceAsleep,
        name: "device-asleep",
        owner: Some(Owner::Device),
        holds: device_asleep,
        remedy: "wake the device or wait until somebody does; the push is kept and delivered then",
    },
    Rule {
        cause: Cause::NotNowWaiting,
        name: "not-now-waiting",
        owner: None,
        holds: not_now_waiting,
        remedy: "unlock the device or wait until its user is done; when it polled and was not \
                 offered the command again, the server has to push or offer it",
    },
    Rule {
        cause: Cause::ServerError,
        name: "server-error",
        owner: Some(Owner::Target),
        holds: server_error,
        remedy: "look in the server's log at the time of the error; the device tries again by \
                 itself, so a fixed server needs no more than a push",
    },
    Rule {
        cause: Cause::Unknown,
        name: "unknown",
        owner: None,
        holds: |situation| {
            Some(format!(
                "at the end it was in the phase {}, which is the {}'s",
                situation.phase.name(),
                situation.owner.name()
            ))
        },
        remedy: "follow the command in events.ndjson.zst; its phase says who had the next move",
    },
];

impl Cause {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        self.rule().name
    }

    /// What an administrator would try.
    pub fn remedy(self) -> &'static str {
        self.rule().remedy
    }

    fn rule(self) -> &'static Rule {
        RULES
            .iter()
            .find(|rule| rule.cause == self)
            .expect("every cause has a line in the table")
    }
}

/// The cause of `situation`, who owns it, and the facts that say so.
pub(super) fn explain(situation: &Situation) -> (Cause, Owner, String) {
    RULES
        .iter()
        .find_map(|rule| {
            let evidence = (rule.holds)(situation)?;
            Some((rule.cause, rule.owner.unwrap_or(situation.owner), evidence))
        })
        .expect("the last rule always holds")
}

fn harness_suspect(situation: &Situation) -> Option<String> {
    for (what, failure) in [
        ("enqueue request", &situation.enqueue),
        ("request", &situation.request),
    ] {
        if let Some(Failure {
            at,
            kind: FailureKind::Harness(why),
        }) = failure
        {
            return Some(format!(
                "our own limit stopped its last {what} at {at}: {why}"
            ));
        }
    }
    (situation.phase == Phase::Harness)
        .then(|| "it waits for this machine: a permit, a mailbox or a timer".to_owned())
}

fn target_unreachable(situation: &Situation) -> Option<String> {
    if let Some(since) = situation.silent_since {
        return Some(format!(
            "the target answered nothing between {since} and the end at {}",
            situation.at
        ));
    }
    for (what, failure) in [
        ("enqueue request", &situation.enqueue),
        ("device's last request", &situation.request),
    ] {
        if let Some(Failure {
            at,
            kind: FailureKind::NoAnswer(why),
        }) = failure
        {
            return Some(format!("the {what} got no answer at {at}: {why}"));
        }
    }
    None
}

fn never_pushed(situation: &Situation) -> Option<String> {
    let accepted = situation.accepted?;
    let quiet = !situation.was_pushed && !situation.was_fetched && situation.refusal.is_none();
    quiet.then(|| format!("the target took it at {accepted} and no push came since"))
}

fn push_rejected(situation: &Situation) -> Option<String> {
    let refusal = situation.refusal.as_ref()?;
    let reason = refusal.reason.as_deref().unwrap_or("no reason");
    (!situation.was_fetched).then(|| {
        format!(
            "the last push was refused at {} with {} {reason}",
            refusal.at, refusal.status
        )
    })
}

fn device_offline(situation: &Situation) -> Option<String> {
    // Off the network it cannot try again either, whoever was to blame for the failure.
    let waits = waits_for_device(situation) || situation.phase == Phase::Retry;
    (situation.reach == Reach::Offline && waits).then(|| "the device is off the network".to_owned())
}

fn device_asleep(situation: &Situation) -> Option<String> {
    (situation.reach == Reach::Asleep && waits_for_device(situation))
        .then(|| "the device is asleep".to_owned())
}

/// Whether the next move is the device's: its own wait, or a refused command pushed again.
fn waits_for_device(situation: &Situation) -> bool {
    situation.owner == Owner::Device || situation.is_pushed_again
}

fn not_now_waiting(situation: &Situation) -> Option<String> {
    situation
        .is_refused
        .then_some(match situation.phase {
            Phase::ReturnTarget => {
                "the device answered NotNow; the reason is over, and the target has not offered it \
             again"
            }
            Phase::ReturnDevice => "the device answered NotNow; it will poll by itself",
            Phase::Lateness
            | Phase::Queue
            | Phase::Dispatch
            | Phase::Delivery
            | Phase::Wake
            | Phase::Harness
            | Phase::Line
            | Phase::Fetch
            | Phase::Execute
            | Phase::Deferral
            | Phase::Retry
            | Phase::Settle => "the device answered NotNow, and the reason holds",
        })
        .map(ToOwned::to_owned)
}

fn server_error(situation: &Situation) -> Option<String> {
    for (what, failure) in [
        ("enqueue request", &situation.enqueue),
        ("device's last request", &situation.request),
    ] {
        match failure {
            Some(Failure {
                at,
                kind: FailureKind::Status(status),
            }) => return Some(format!("the {what} got {status} at {at}")),
            Some(Failure {
                at,
                kind: FailureKind::Unreadable(why),
            }) => {
                return Some(format!(
                    "the answer to the {what} at {at} was unreadable: {why}"
                ));
            }
            Some(Failure {
                kind: FailureKind::Harness(_) | FailureKind::NoAnswer(_),
                ..
            })
            | None => {}
        }
    }
    None
}
