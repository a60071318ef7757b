//! One command held back all behind it, session after session.
//!
//! Apple, "Sending MDM commands to a device": Error and CommandFormatError end a command as
//! Acknowledged does. A server that goes on offering a command whatever the device says of it, or
//! that refuses the result, never gets to those behind it. What shows it: five sessions in a row
//! began with the same command, or with its kept result; in each the device sent a final status of
//! it and the target answered that; and another order, accepted a settle time before the first of
//! them, has never come. Guards: NotNow ends no command; a lost connection is not the target's; a
//! device that breaks rules, or is not enrolled, may well be refused.

use std::collections::VecDeque;

use crate::fact::ResultStatus;
use crate::rule::{Limits, Rule};
use crate::time::SimTime;

use super::event::{Answer, Exchange, Name, Says};
use super::story::Head;
use super::watch::Case;

/// A request of a session: which command it is about, and whether the target answered its result.
pub(super) fn exchanged(case: &mut Case<'_>, exchange: &Exchange) {
    let keeps =
        case.device.keeps_the_rules(exchange.sent) && !case.watch.garbles(case.channel.device);
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    let session = &mut busy.session;
    let is_first = !session.has_begun;
    session.has_begun = true;
    match (&exchange.says, &exchange.answer) {
        (Says::Idle, Answer::Command(name, _)) => session.first = Some(name.clone()),
        (Says::Result(Some(name), status), answer) if *status != ResultStatus::NotNow => {
            if is_first {
                session.first = Some(name.clone());
            }
            let is_answered = keeps && is_an_answer(answer);
            session.is_answered |= is_answered && session.first.as_ref() == Some(name);
        }
        (
            Says::Authenticate
            | Says::TokenUpdate
            | Says::CheckOut
            | Says::UserAuthenticate
            | Says::Service
            | Says::Idle
            | Says::Result(..),
            _,
        ) => {}
    }
}

/// Whether the target had the result, and may not blame the device's enrolment.
const fn is_an_answer(answer: &Answer) -> bool {
    match answer {
        Answer::Empty | Answer::Command(..) | Answer::Other => true,
        Answer::Status(status) => !matches!(status, 401 | 403 | 410),
        Answer::Lost => false,
    }
}

/// A session is over.
pub(super) fn session_ended(case: &mut Case<'_>, at: SimTime) {
    let settle = case.limits().settle;
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    let session = std::mem::take(&mut busy.session);
    let Some(first) = session.first else {
        return;
    };
    if !session.is_answered {
        busy.head = None;
        return;
    }
    let head = busy.head.take().filter(|head| head.name == first);
    let head = busy.head.insert(head.unwrap_or_else(|| Head {
        name: first,
        sessions: 0,
        last: VecDeque::new(),
        is_told: false,
    }));
    head.sessions = head.sessions.saturating_add(1);
    head.last.push_back(at);
    if head.last.len() > Limits::BLOCKED as usize {
        head.last.pop_front();
    }
    // Orders that came after the head was stuck wait for it as well.
    let since = head.last.front().copied().unwrap_or(at);
    let behind = busy.waiting.first().copied();
    let behind = behind.filter(|(accepted, _)| *accepted + settle <= since);
    let is_blocked = head.sessions >= Limits::BLOCKED && !head.is_told;
    let Some((accepted, order)) = behind.filter(|_| is_blocked) else {
        return;
    };
    head.is_told = true;
    let (name, sessions) = (head.name.clone(), head.sessions);
    tell(
        case,
        &name,
        (sessions, since),
        (accepted, &Name::Order(order)),
        at,
    );
}

fn tell(
    case: &mut Case<'_>,
    name: &Name,
    (sessions, since): (u32, SimTime),
    (accepted, behind): (SimTime, &Name),
    at: SimTime,
) {
    let (words, waits) = (case.watch.words(name), case.watch.words(behind));
    let evidence = [
        (accepted, format!("the target accepted {waits}")),
        (
            since,
            format!(
                "a session that began with {words} was over; the device had sent its final status, and \
                 the target had answered that"
            ),
        ),
        (
            at,
            format!("{sessions} sessions in a row had begun so; {waits} had never come"),
        ),
    ];
    case.report(Rule::HeadOfLineBlocked, at, Some(name), evidence);
}
