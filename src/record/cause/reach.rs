//! Causes that come before everything else: this machine is short, or the target is not there.

use crate::metric::{Owner, Phase};

use super::situation::{Failure, FailureKind, Situation, is_clock_wrong};
use super::{Cause, Rule};

pub(super) const RULES: [Rule; 2] = [
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
];

fn harness_suspect(situation: &Situation<'_>) -> Option<String> {
    for (what, failure) in [
        ("enqueue request", situation.enqueue),
        ("request", situation.request),
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

fn target_unreachable(situation: &Situation<'_>) -> Option<String> {
    if let Some(since) = situation.silent_since {
        return Some(format!(
            "the target answered nothing between {since} and {}",
            situation.at
        ));
    }
    for (what, failure) in [
        ("enqueue request", situation.enqueue),
        ("device's last request", situation.request),
    ] {
        let Some(Failure { at, kind }) = failure else {
            continue;
        };
        let is_unanswered = match kind {
            FailureKind::NoAnswer(_) | FailureKind::TimedOut => true,
            // A device with a wrong clock refuses what others take.
            FailureKind::Tls(_) => !is_clock_wrong(situation.clock_ahead_ms),
            FailureKind::Harness(_) | FailureKind::Status(_) | FailureKind::Unreadable(_) => false,
        };
        // One that has answered since is there; what cut this request is another matter.
        if is_unanswered && situation.last_answer <= *at {
            let why = kind.describe();
            return Some(format!("the {what} got no answer at {at}: {why}"));
        }
    }
    None
}
