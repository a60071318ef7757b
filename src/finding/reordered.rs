//! Commands came in another order than they were accepted in.
//!
//! The server's own promise: a queue. Only commands count of which the second was offered after the
//! first had been accepted; of parallel orders nobody knows the order. Two cases:
//!
//! - the second came, and the first, which had never come, came later. That its answer got lost is no
//!   excuse: a server that has no status of a command has to offer it again before those behind it. One
//!   that moves a command to the tail as it is delivered loses the order here. A first that never comes
//!   at all is lost, and that is another rule's.
//! - the first came, the device sent no status of it, asked again with Idle, and was given the
//!   second.
//!
//! A command that was refused may be passed over, and one that the target may have forgotten is not
//! waited for.

use crate::rule::Rule;
use crate::time::SimTime;

use super::event::{Exchange, Name, Says};
use super::watch::Case;

/// How many of those that wait are looked at, so that a server that serves the last first costs no more
/// than others.
const LOOKED_AT: usize = 8;

pub(super) fn delivered(case: &mut Case<'_>, name: &Name, exchange: &Exchange) {
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    let Some(command) = busy
        .open
        .get(name)
        .filter(|it| it.first.is_none() && !it.is_void)
    else {
        return;
    };
    let (Some(offered), Some(order)) = (command.offered, name.order()) else {
        return;
    };
    let (accepted, overtaken) = (command.accepted, command.overtaken);
    let earlier = busy.waiting.keys().take(LOOKED_AT);
    let earlier = earlier.take_while(|(accepted, _)| *accepted < offered);
    for (_, waits) in earlier.filter(|(_, it)| *it != order) {
        if let Some(command) = busy.open.get_mut(&Name::Order(*waits)) {
            command
                .overtaken
                .get_or_insert((order, offered, exchange.read));
        }
    }
    let before = busy.unanswered.clone().filter(|it| it != name);
    let before = before.and_then(|before| {
        let command = busy.open.get(&before)?;
        let accepted = command.accepted.filter(|accepted| *accepted < offered)?;
        let waits = exchange.says == Says::Idle
            && !command.is_void
            && !command.was_answered
            && command.refusal.is_none();
        waits.then_some((before, accepted, command.last))
    });
    if let (Some(accepted), Some((later, offered, read))) = (accepted, overtaken) {
        let later = (&Name::Order(later), offered, read);
        tell(case, later, &(name.clone(), accepted, None), exchange.read);
    }
    if let Some(first) = before {
        tell(case, (name, offered, exchange.read), &first, exchange.read);
    }
}

/// `later` was offered and came at these times; the other was accepted, and last came, at those. `now` it
/// is certain.
fn tell(
    case: &mut Case<'_>,
    later: (&Name, SimTime, SimTime),
    first: &(Name, SimTime, Option<SimTime>),
    now: SimTime,
) {
    let (name, offered, read) = later;
    let (overtaken, accepted, last) = first;
    let (earlier, later) = (case.watch.words(overtaken), case.watch.words(name));
    let mut evidence = vec![
        (*accepted, format!("the target accepted {earlier}")),
        (offered, format!("{later} was offered after that")),
    ];
    match last {
        Some(last) => evidence.push((
            *last,
            format!("{earlier} came, and the device sent no status of it"),
        )),
        None => evidence.push((now, format!("{earlier} came only then"))),
    }
    evidence.push((read, format!("{later} came first")));
    case.report(Rule::Reordered, read, Some(name), evidence);
}
