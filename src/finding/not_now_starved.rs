//! A refused command waited while newer ones were served, or the server said that there was none.
//!
//! Apple, "Handling NotNow status responses": the device keeps no copy of a refused command, so the
//! server has to send it again. Only time after the reason for the refusal was over counts, and
//! only sessions that began a settle time later. It takes two such sessions in which the command
//! did not come: with three newer commands in them, or the last of them answered with nothing, which
//! says that nothing is left, whatever came in the first.

use crate::rule::{Limits, Rule};
use crate::time::SimTime;

use super::event::{Exchange, Name};
use super::story::Refusal;
use super::watch::Case;

/// How many refused commands of a channel are looked at, so that a device that refuses everything
/// costs no more than others.
const LOOKED_AT: usize = 8;

/// Another command came for the first time.
pub(super) fn delivered(case: &mut Case<'_>, name: &Name, exchange: &Exchange) {
    let settle = case.limits().settle;
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    if busy.refused.is_empty() {
        return;
    }
    let newer = busy.open.get(name).filter(|it| it.first.is_none());
    let (Some(offered), Some(session)) = (newer.and_then(|it| it.offered), busy.session.idle)
    else {
        return;
    };
    let mut starved = None;
    for refused in busy.refused.keys().take(LOOKED_AT).filter(|it| *it != name) {
        let Some(command) = busy.open.get_mut(refused) else {
            continue;
        };
        let is_older = command.offered.is_some_and(|at| at < offered) && !command.is_void;
        let Some(refusal) = command.refusal.as_mut().filter(|_| is_older) else {
            continue;
        };
        if refusal.passed_over(session, settle) {
            refusal.overtaken += 1;
            if refusal.overtaken >= Limits::OVERTAKERS && refusal.is_starved() {
                starved = Some((refused.clone(), *refusal));
            }
        }
    }
    if let Some((refused, refusal)) = starved {
        let newer = refusal.overtaken;
        let what = format!("{newer} newer commands have come since, and it has not");
        tell(case, &refused, &refusal, exchange.read, what);
    }
}

/// An Idle was answered with nothing.
pub(super) fn denied(case: &mut Case<'_>, exchange: &Exchange) {
    let settle = case.limits().settle;
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    let mut forgotten = Vec::new();
    for refused in busy.refused.keys().take(LOOKED_AT) {
        let Some(command) = busy.open.get_mut(refused).filter(|it| !it.is_void) else {
            continue;
        };
        let Some(refusal) = command.refusal.as_mut() else {
            continue;
        };
        if refusal.passed_over(exchange.sent, settle) && refusal.is_starved() {
            forgotten.push((refused.clone(), *refusal));
        }
    }
    for (refused, refusal) in forgotten {
        let what = "the device asked again, and the answer was empty".to_owned();
        tell(case, &refused, &refusal, exchange.read, what);
    }
}

fn tell(case: &mut Case<'_>, name: &Name, refusal: &Refusal, read: SimTime, what: String) {
    if let Some(refusal) = case
        .story
        .command_mut(name)
        .and_then(|it| it.refusal.as_mut())
    {
        refusal.is_told = true;
    }
    let words = case.watch.words(name);
    let mut evidence = vec![(
        refusal.at,
        format!("the device refused {words} with NotNow"),
    )];
    let over = refusal
        .over
        .map(|at| (at, "the reason for that was over".to_owned()));
    evidence.extend(over);
    evidence.push((read, what));
    case.report(Rule::NotNowStarved, read, Some(name), evidence);
}

impl Refusal {
    /// Whether a session that began at `session` should have brought it; counts the session.
    fn passed_over(&mut self, session: SimTime, settle: std::time::Duration) -> bool {
        let counts = self.over.is_some_and(|over| over + settle <= session);
        if counts && self.last_session != session {
            self.last_session = session;
            self.sessions += 1;
        }
        counts
    }

    const fn is_starved(&self) -> bool {
        !self.is_told && self.sessions >= Limits::PASSED_OVER
    }
}
