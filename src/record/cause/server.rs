//! Causes that are the target's once the device has come: it refuses, forgets, fails or is slow.

use crate::metric::{Owner, Phase};

use super::situation::{Failure, FailureKind, Situation};
use super::{Cause, Rule};

pub(super) const RULES: [Rule; 5] = [
    Rule {
        cause: Cause::ResultNotAccepted,
        name: "result-not-accepted",
        owner: Some(Owner::Target),
        holds: result_not_accepted,
        remedy: "the device has done the work and keeps its result until it is taken; look in the \
                 server's log why it refuses the report",
    },
    Rule {
        cause: Cause::HeadOfLine,
        name: "head-of-line",
        owner: None,
        holds: head_of_line,
        remedy: "clear what is in front: cancel the older command or end its NotNow, then send a \
                 blank push",
    },
    Rule {
        cause: Cause::ConnectedButEmpty,
        name: "connected-but-empty",
        owner: Some(Owner::Target),
        holds: connected_but_empty,
        remedy: "send the command again, or a blank push: the device asked for work and the \
                 server, which had this command, said there was none",
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
        cause: Cause::ServerSlow,
        name: "server-slow",
        owner: Some(Owner::Target),
        holds: server_slow,
        remedy: "look at the server's load, its database first; order fewer commands at once, or \
                 spread them over time",
    },
];

fn result_not_accepted(situation: &Situation<'_>) -> Option<String> {
    let failure = situation.request.filter(|_| situation.is_undelivered)?;
    match &failure.kind {
        FailureKind::Status(status) => Some(format!(
            "the device reported its result at {} and got {status}",
            failure.at
        )),
        FailureKind::Harness(_)
        | FailureKind::NoAnswer(_)
        | FailureKind::Tls(_)
        | FailureKind::TimedOut
        | FailureKind::Unreadable(_) => None,
    }
}

fn head_of_line(situation: &Situation<'_>) -> Option<String> {
    if situation.was_fetched {
        return None;
    }
    match (situation.phase, situation.ahead) {
        (Phase::Line, None) => Some("the channel's session is serving other commands".to_owned()),
        // Sent away without it, while an older one is stuck; or not sent at all, because the
        // scenario says that one has to follow the other.
        (Phase::Line | Phase::Dispatch | Phase::Lateness, Some((order, what))) => Some(format!(
            "order {} of the same channel stands in front of it and {what}",
            order.0
        )),
        (
            Phase::Lateness
            | Phase::Queue
            | Phase::Dispatch
            | Phase::Delivery
            | Phase::Wake
            | Phase::Harness
            | Phase::Fetch
            | Phase::Execute
            | Phase::Deferral
            | Phase::ReturnDevice
            | Phase::ReturnTarget
            | Phase::Retry
            | Phase::Settle,
            _,
        ) => None,
    }
}

fn connected_but_empty(situation: &Situation<'_>) -> Option<String> {
    let accepted = situation
        .accepted
        .filter(|_| situation.awaits_push() && !situation.was_fetched)?;
    if let Some(at) = situation.passed_over {
        return Some(format!(
            "the target took it at {accepted}; the device asked after that and got the empty \
             answer at {at}"
        ));
    }
    // Or about the same time, having been told to come.
    let at = situation.came_for_nothing?;
    Some(format!(
        "the target took it at {accepted}; the device came for a push and got the empty answer \
         at {at}"
    ))
}

fn server_error(situation: &Situation<'_>) -> Option<String> {
    for (what, failure) in requests(situation) {
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
                kind:
                    FailureKind::Harness(_)
                    | FailureKind::NoAnswer(_)
                    | FailureKind::Tls(_)
                    | FailureKind::TimedOut,
                ..
            })
            | None => {}
        }
    }
    None
}

fn server_slow(situation: &Situation<'_>) -> Option<String> {
    for (what, failure) in requests(situation) {
        if let Some(Failure {
            at,
            kind: FailureKind::TimedOut,
        }) = failure
        {
            return Some(format!(
                "the {what} timed out at {at}, while the target answered others"
            ));
        }
    }
    let offered = situation
        .offered
        .filter(|_| situation.phase == Phase::Queue && situation.enqueue.is_none())?;
    Some(format!(
        "the enqueue request was sent at {offered} and has no answer"
    ))
}

/// The two requests that can have failed, by what they are.
const fn requests<'a>(situation: &Situation<'a>) -> [(&'static str, Option<&'a Failure>); 2] {
    [
        ("enqueue request", situation.enqueue),
        ("device's last request", situation.request),
    ]
}
