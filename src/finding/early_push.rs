//! The device was pushed before the command could be read.
//!
//! A push means that there is something to fetch (Apple, "Sending MDM commands to a device"). A
//! device that is fast finds nothing, and nobody pushes it again. What shows it: the order was
//! offered, a push arrived, an Idle sent after that was answered with nothing, and the command came
//! in a later session for another reason. Guards: the order was accepted, and from that Idle until
//! a settle time after the acceptance no push came that may have been for it, which is any that did
//! not come within the request for another order; the device held no command without a final
//! result; its queue may not have been cleared.

use crate::rule::Rule;
use crate::time::SimTime;

use super::event::{Exchange, Name};
use super::story::{Early, Look};
use super::watch::{Case, Timer};

/// When pushes that came too early are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A limit is over.
    Limit,
    /// The run is.
    End,
}

/// An Idle was answered with nothing.
pub(super) fn denied(case: &mut Case<'_>, exchange: &Exchange) {
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    if busy.holds_back() {
        return;
    }
    let before = busy.pushes.iter().filter(|at| **at < exchange.sent);
    let Some(last) = before.max().copied() else {
        return;
    };
    while let Some((offered, order)) = busy.hoped_for.first().copied()
        && offered <= last
    {
        busy.hoped_for.pop_first();
        let mut pushes = busy.pushes.iter().copied();
        let push = pushes.find(|at| offered <= *at && *at < exchange.sent);
        if let (Some(push), Some(command)) = (push, busy.open.get_mut(&Name::Order(order))) {
            let (sent, read) = (exchange.sent, exchange.read);
            command.early.get_or_insert(Look { push, sent, read });
        }
    }
}

/// A command came, for which the device had looked too early. The first of several has a timer.
pub(super) fn delivered(case: &mut Case<'_>) {
    if case
        .story
        .busy
        .as_ref()
        .is_some_and(|it| it.early.len() == 1)
    {
        look_later(case);
    }
}

/// A limit is over.
pub(super) fn due(case: &mut Case<'_>, now: SimTime) {
    judge(case, now, Stage::Limit);
    look_later(case);
    case.story.tidy();
}

/// Looks again when the first of those that are left is certain.
fn look_later(case: &mut Case<'_>) {
    let early = case.story.busy.iter().flat_map(|busy| &busy.early);
    if let Some(first) = early.map(Early::complete).min() {
        let due = first + case.limits().push_within + case.limits().push_within;
        case.timers.insert((due, Timer::Early(case.channel)));
    }
}

/// By now every push that could have been for a command has come. At the end of a run those are judged
/// that had a settle time for it.
pub(super) fn judge(case: &mut Case<'_>, now: SimTime, stage: Stage) {
    let limits = case.limits();
    let (within, settle) = (limits.push_within, limits.settle);
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    let mut certain = Vec::new();
    let (pushes, requests) = (&busy.pushes, &busy.requests);
    busy.early.retain(|early| {
        let from = early.complete();
        if stage == Stage::Limit && from + within > now {
            return true;
        }
        let Some(accepted) = early.accepted.filter(|_| !early.is_off) else {
            return false;
        };
        let sent = early.look.sent;
        let mine = early.offered..=accepted;
        // A push within another order's request is that order's.
        let is_others = |at: SimTime| {
            let mut others = requests
                .iter()
                .filter(|it| **it != (early.offered, accepted));
            !mine.contains(&at)
                && others.any(|(offered, accepted)| *offered <= at && at <= *accepted)
        };
        let may_be_own = |at: SimTime| sent <= at && at <= accepted + settle && !is_others(at);
        let is_known = pushes.front().is_none_or(|at| *at <= sent);
        if is_known && !pushes.iter().any(|at| may_be_own(*at)) && from + settle <= now {
            certain.push((*early, accepted));
        }
        false
    });
    for (early, accepted) in certain {
        let name = Name::Order(early.order);
        let words = case.watch.words(&name);
        let Look { push, sent, read } = early.look;
        let evidence = [
            (push, format!("a push came, when {words} had been offered")),
            (sent, "the device sent Idle".to_owned()),
            (read, "the answer was empty".to_owned()),
            (accepted, "the target accepted the command".to_owned()),
            (
                early.delivered,
                "it came in a later session; no other push had come for it".to_owned(),
            ),
        ];
        case.report(Rule::EarlyPush, read, Some(&name), evidence);
    }
}
