//! Waits that end by themselves: the next attempt after a request that got lost, and a command that is
//! on its ordinary way.

use std::time::Duration;

use crate::metric::{Owner, Phase};
use crate::record::phase::Push;

use super::situation::Situation;
use super::{Cause, Rule};

pub(super) const RULES: [Rule; 2] = [
    Rule {
        cause: Cause::RequestLost,
        name: "request-lost",
        owner: None,
        holds: request_lost,
        remedy: "wait, or send a blank push: the device tries again by itself, later after each \
                 failure, and a push brings it at once; many of these speak of a bad network",
    },
    Rule {
        cause: Cause::UnderWay,
        name: "under-way",
        owner: None,
        holds: under_way,
        remedy: "nothing yet: no rule knows of an obstacle, and the last step was made a moment \
                 before; look again later",
    },
];

/// A channel on which nothing has happened for longer is at a standstill. Three times what a stored
/// push takes at most by default, the longest of the delays of a device that nothing holds up.
const STANDSTILL: Duration = Duration::from_secs(30);

/// Whoever else could be to blame is by the rules before this one.
fn request_lost(situation: &Situation<'_>) -> Option<String> {
    let failure = situation
        .request
        .filter(|_| situation.phase == Phase::Retry)?;
    Some(format!(
        "the device's last request failed at {}: {}; it has yet to try again",
        failure.at,
        failure.kind.describe()
    ))
}

fn under_way(situation: &Situation<'_>) -> Option<String> {
    let step = step(situation)?;
    let last = situation.last_step;
    let is_moving = situation.at.since(last) <= STANDSTILL;
    // What a device executes may take as long as it takes.
    let is_at_work = situation.phase == Phase::Execute && situation.is_in_session;
    (is_moving || is_at_work)
        .then(|| format!("{step}; the last thing that happened on its channel was at {last}"))
}

/// What comes next, of a command that the target does not keep.
fn step(situation: &Situation<'_>) -> Option<&'static str> {
    match (situation.phase, situation.owner) {
        (Phase::Lateness, _) => Some("the operator has yet to send it"),
        (Phase::Delivery, _) if situation.push == Push::Taken => {
            Some("nothing keeps its push from the device")
        }
        (Phase::Wake, Owner::Network) => Some("the device is connecting"),
        (Phase::Wake, _) => Some("the device has its push and is about to connect"),
        (Phase::Fetch, _) => Some("the target is handing it to the device"),
        (Phase::Execute, _) if situation.is_in_session => Some("the device is executing it"),
        (Phase::Execute, _) => Some("the device lost its session and is about to connect"),
        (Phase::Retry, _) => Some("the device has its result and is about to connect"),
        (Phase::Settle, _) => Some("the target is taking its result"),
        (
            Phase::Queue
            | Phase::Dispatch
            | Phase::Delivery
            | Phase::Harness
            | Phase::Line
            | Phase::Deferral
            | Phase::ReturnDevice
            | Phase::ReturnTarget,
            _,
        ) => None,
    }
}
