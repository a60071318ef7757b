//! Causes that follow a NotNow: the reason holds, the target keeps the command back or forgot it, or
//! the target insists.

use crate::metric::{Owner, Phase};

use super::situation::Situation;
use super::{Cause, Rule};

pub(super) const RULES: [Rule; 4] = [
    Rule {
        cause: Cause::NotNowWaiting,
        name: "not-now-waiting",
        owner: Some(Owner::Device),
        holds: not_now_waiting,
        remedy: "end the reason: unlock the device, finish Setup Assistant, open the lid, log in; \
                 the device then asks by itself if NotNow was the last thing it said",
    },
    Rule {
        cause: Cause::NotNowStarved,
        name: "not-now-starved",
        owner: Some(Owner::Target),
        holds: not_now_starved,
        remedy: "take the command back and send it again: the device would take it and has asked, \
                 and the server, which has to offer a refused command again in the next session, \
                 said there was none",
    },
    Rule {
        cause: Cause::NotNowNotRepushed,
        name: "not-now-not-repushed",
        owner: Some(Owner::Target),
        holds: not_now_not_repushed,
        remedy: "send a blank push: NotNow was not the last thing the device said, so it does not \
                 ask by itself, and the server has to push and offer the command again",
    },
    Rule {
        cause: Cause::NotNowLoop,
        name: "not-now-loop",
        owner: Some(Owner::Target),
        holds: not_now_loop,
        remedy: "take the command back; report to the server's vendor that it offers a refused \
                 command again in the same session instead of the next one",
    },
];

/// A server that is refused the same command so often in a row does not take NotNow for an answer.
const SPINS_MIN: u32 = 3;

fn not_now_waiting(situation: &Situation<'_>) -> Option<String> {
    if !situation.is_refused || is_spinning(situation) {
        return None;
    }
    let answered = answered(situation);
    match situation.phase {
        Phase::ReturnTarget if !situation.is_pushed_again => None,
        Phase::ReturnTarget => {
            let push = situation.waiting_push();
            Some(format!("{answered}; the target has pushed again{push}"))
        }
        Phase::ReturnDevice => Some(format!(
            "{answered}; the reason is over, and the device will ask by itself"
        )),
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
        | Phase::Settle => Some(format!("{answered}, and the reason holds")),
    }
}

/// Whether the reason is over, and the next move is the target's.
fn is_forgotten(situation: &Situation<'_>) -> bool {
    situation.is_refused && situation.awaits_push() && !is_spinning(situation)
}

fn not_now_starved(situation: &Situation<'_>) -> Option<String> {
    let at = situation.withheld.filter(|_| is_forgotten(situation))?;
    Some(format!(
        "{}; the reason is over, and the device asked since and got the empty answer at {at}",
        answered(situation)
    ))
}

fn not_now_not_repushed(situation: &Situation<'_>) -> Option<String> {
    is_forgotten(situation).then(|| {
        let answered = answered(situation);
        let forgot = match situation.last_push {
            Some(last) if situation.not_now.is_some_and(|it| it.at <= last.arrived) => format!(
                "push {} was the last one, and the target did not offer it again",
                last.push.0
            ),
            Some(_) | None => "the target neither pushed nor offered it again".to_owned(),
        };
        format!("{answered}; the reason is over, and {forgot}")
    })
}

fn not_now_loop(situation: &Situation<'_>) -> Option<String> {
    (situation.is_refused && is_spinning(situation)).then(|| {
        format!(
            "{}, and was offered it {} times in a row in one session",
            answered(situation),
            situation.spins
        )
    })
}

const fn is_spinning(situation: &Situation<'_>) -> bool {
    situation.spins >= SPINS_MIN
}

fn answered(situation: &Situation<'_>) -> String {
    match situation.not_now {
        None => "the device answered NotNow".to_owned(),
        Some(not_now) if not_now.times > 1 => format!(
            "the device answered NotNow ({}) {} times, last at {}",
            not_now.why, not_now.times, not_now.at
        ),
        Some(not_now) => format!(
            "the device answered NotNow ({}) at {}",
            not_now.why, not_now.at
        ),
    }
}
