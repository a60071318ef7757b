//! Causes that follow a NotNow: the reason holds, the target forgot, or the target insists.

use crate::metric::{Owner, Phase};

use super::situation::Situation;
use super::{Cause, Rule};

pub(super) const RULES: [Rule; 3] = [
    Rule {
        cause: Cause::NotNowWaiting,
        name: "not-now-waiting",
        owner: Some(Owner::Device),
        holds: not_now_waiting,
        remedy: "end the reason: unlock the device, finish Setup Assistant, open the lid, log in; \
                 the device then asks by itself if NotNow was the last thing it said",
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

fn not_now_not_repushed(situation: &Situation<'_>) -> Option<String> {
    let forgotten = situation.is_refused && situation.awaits_push() && !is_spinning(situation);
    forgotten.then(|| {
        let answered = answered(situation);
        format!(
            "{answered}; the reason is over, and the target neither pushed nor offered it again"
        )
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
