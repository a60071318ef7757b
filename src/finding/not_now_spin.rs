//! A refused command was offered again and again in one session.
//!
//! Apple, "Handling NotNow status responses": after NotNow a server may send another command on the
//! same connection, or end it; the device comes back when it can. Only a refused command counts
//! that is the very answer to a NotNow: one that is offered again after another result is wasteful,
//! and legal.

use crate::fact::ResultStatus;
use crate::rule::{Limits, Rule};

use super::event::{Exchange, Name, Says};
use super::watch::Case;

pub(super) fn delivered(case: &mut Case<'_>, name: &Name, exchange: &Exchange) {
    let is_refusal = matches!(exchange.says, Says::Result(_, ResultStatus::NotNow));
    let Some(busy) = case.story.busy.as_mut().filter(|_| is_refusal) else {
        return;
    };
    let Some(times) = busy.session.refused.get_mut(name) else {
        return;
    };
    *times += 1;
    if *times != Limits::SPINS {
        return;
    }
    let (times, began) = (*times, busy.session.idle);
    let words = case.watch.words(name);
    let mut evidence = vec![
        (exchange.sent, "the device sent NotNow".to_owned()),
        (
            exchange.read,
            format!(
                "the answer brought the refused {words}, for the {times}. time in this session"
            ),
        ),
    ];
    evidence.extend(began.map(|at| (at, "the session began with Idle".to_owned())));
    case.report(Rule::NotNowSpin, exchange.read, Some(name), evidence);
}
