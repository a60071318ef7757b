//! A device that does not ask by itself was not pushed after its NotNow.
//!
//! Apple, "Handling NotNow status responses": a device polls by itself only if NotNow was the last
//! status it sent; otherwise the server has to push. A server does not know when the reason is over and
//! may push at any time, so any push to the channel since the refusal will do, refused or not, that the
//! device has not come for yet; one that it came for, to be given something else or nothing, is spent.
//! Judged when the limit since the end of the reason is over, at which the device did not poll. Any
//! request since that end will do as well that the target answered, were it with an error: a device
//! whose results are refused comes again and again by itself. Nothing is asked of a server whose token
//! for the device was called bad, or that had trouble with the gateway; nor of one that may not know what
//! the device said last, because that got no answer: what it knows of last may be NotNow.

use crate::rule::Rule;
use crate::time::SimTime;

use super::event::{Name, Return};
use super::watch::{Case, Timer};

/// The reason for a refusal is over.
pub(super) fn deferral_ended(case: &mut Case<'_>, name: &Name, back: Return, at: SimTime) {
    let Some(command) = case.story.command_mut(name).filter(|it| !it.is_void) else {
        return;
    };
    let Some(refusal) = command.refusal.as_mut() else {
        return;
    };
    refusal.over = Some(at);
    if back == Return::AwaitsPush {
        let due = at + case.limits().repush_within;
        case.timers
            .insert((due, Timer::Repush(case.channel, name.clone())));
    }
}

/// The time for a push is over.
pub(super) fn due(case: &mut Case<'_>, name: &Name, now: SimTime) {
    let within = case.limits().repush_within;
    let story = &*case.story;
    let Some(refusal) = story.command(name).and_then(|it| it.refusal) else {
        return;
    };
    let Some(over) = refusal.over.filter(|over| *over + within == now) else {
        return;
    };
    let is_void = story.command(name).is_none_or(|it| it.is_void);
    // One that the device has come for is spent.
    let since = refusal.at.max(story.last_idle);
    let was_pushed = story.last_push.is_some_and(|(_, at)| at >= since);
    let was_there = story.last_heard >= over || story.last_empty >= over;
    let may_not = story.is_token_bad
        || story.told.is_none()
        || story.last_lost > story.last_heard
        || !case.device.is_managed
        || case.device.is_between
        || case.watch.may_not_push(over, now);
    if is_void || was_pushed || was_there || may_not {
        return;
    }
    let words = case.watch.words(name);
    let evidence = [
        (refusal.at, format!("the device refused {words} with NotNow")),
        (
            over,
            "the reason for that was over; NotNow was not the last status it sent, so it does not poll"
                .to_owned(),
        ),
        (
            now,
            "no push had come since it last asked, nor had the device".to_owned(),
        ),
    ];
    case.report(Rule::NotNowNotRepushed, now, Some(name), evidence);
}
