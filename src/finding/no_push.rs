//! A command was accepted, and its device never pushed.
//!
//! Apple, "Sending MDM commands to a device": a device connects when it is pushed. The push may
//! come before the answer of the API does, so everything from the first byte of the order on
//! counts, refused pushes too. Guards: the device has not fetched the command by itself; it has a
//! token, which was not called bad, and did not send it just before; nothing was wrong between
//! providers and the gateway lately; the target did not say that its push failed, which is told as
//! the cause of the wait. A run in which no push came at all has another trouble: the target does
//! not know this gateway.

use crate::ids::OrderIndex;
use crate::rule::Rule;
use crate::time::SimTime;

use super::event::Name;
use super::watch::{Case, Timer};

/// An order was accepted.
pub(super) fn accepted(case: &mut Case<'_>, order: OrderIndex, at: SimTime) {
    let Some(command) = case.story.command(&Name::Order(order)) else {
        return;
    };
    let Some(offered) = command.offered else {
        return;
    };
    let is_pushed = case.story.last_push.is_some_and(|(_, at)| at >= offered);
    if command.is_void || command.push_failed || command.first.is_some() || is_pushed {
        return;
    }
    let due = at + case.limits().push_within;
    case.timers.insert((due, Timer::Push(case.channel, order)));
}

/// The time for a push is over.
pub(super) fn due(case: &mut Case<'_>, order: OrderIndex, now: SimTime) {
    let name = Name::Order(order);
    let (story, limits) = (&*case.story, case.limits());
    let Some(command) = story.command(&name) else {
        return;
    };
    let (Some(offered), Some(accepted)) = (command.offered, command.accepted) else {
        return;
    };
    let is_pushed = story.last_push.is_some_and(|(_, at)| at >= offered);
    let has_token = story
        .told
        .is_some_and(|(_, read)| read + limits.push_within <= offered);
    let may_not = !has_token
        || story.is_token_bad
        || !case.device.is_managed
        || case.device.is_between
        || case.watch.may_not_push(offered, now);
    if command.is_void || command.first.is_some() || is_pushed || may_not {
        return;
    }
    let words = case.watch.words(&name);
    let evidence = [
        (offered, format!("{words} was offered")),
        (accepted, "the target accepted it".to_owned()),
        (
            now,
            "no push for its channel had reached the gateway".to_owned(),
        ),
    ];
    case.report(Rule::NoPush, now, Some(&name), evidence);
}
