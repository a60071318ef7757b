//! The server's own view of a queue against what the device sent: `stuck-pending` and
//! `phantom-done`.
//!
//! stuck-pending: the server calls a command open whose final result it had taken, with a 2xx that
//! was read whole, a settle time before it was asked. phantom-done: it does not call open what it
//! had accepted a settle time before, and of which the device had sent no final status; and the
//! command never came afterwards until the run ended. No server that we ask names what is done.
//! Guards: what the target may have forgotten or taken back is left out, and what
//! the device refused where the target does not name such; a result that cannot be read may not
//! have been booked.

use std::collections::BTreeSet;

use crate::ids::Channel;
use crate::rule::Rule;
use crate::time::SimTime;

use super::event::{Name, Queue};
use super::watch::Case;

/// The commands that were told: a queue is looked at again and again.
pub(super) type Told = BTreeSet<(Channel, Name)>;

/// How many are told; a run looks at a thousand queues once.
const TOLD_MAX: usize = 100_000;

pub(super) fn seen(case: &mut Case<'_>, told: &mut Told, queue: &Queue, at: SimTime) {
    if case.watch.garbles(case.channel.device) || case.device.is_between {
        return;
    }
    let settle = case.limits().settle;
    for name in &queue.open {
        let settled = case.watch.settled_at(case.channel, name);
        let settled = settled.filter(|settled| *settled + settle <= queue.asked);
        if let Some(settled) = settled
            && told.len() < TOLD_MAX
            && told.insert((case.channel, name.clone()))
        {
            stuck(case, name, settled, queue.asked, at);
        }
    }
    note_absent(case, queue, at);
}

/// Notes what is not open any more, as far as the server says.
fn note_absent(case: &mut Case<'_>, queue: &Queue, at: SimTime) {
    let settle = case.limits().settle;
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    for (name, command) in busy.open.iter_mut() {
        let is_old = command
            .accepted
            .is_some_and(|it| it + settle <= queue.asked);
        let is_known = queue.open.contains(name);
        let may_hide = command.refusal.is_some() && !queue.names_refused;
        let is_absent = is_old && !is_known && !may_hide && !command.was_answered;
        if is_absent && !command.is_void && name.order().is_some() {
            command.absent.get_or_insert((queue.asked, at));
        } else {
            command.absent = None;
        }
    }
}

/// The run is over: what was not there, and never came after that.
pub(super) fn finish(case: &mut Case<'_>) {
    let Some(busy) = case.story.busy.as_ref() else {
        return;
    };
    let absent = busy.open.iter().filter_map(|(name, command)| {
        let (asked, at) = command.absent?;
        let never = !command.was_answered && !command.is_void;
        never.then_some((name.clone(), command.accepted?, asked, at))
    });
    for (name, accepted, asked, at) in absent.collect::<Vec<_>>() {
        phantom(case, &name, accepted, (asked, at));
    }
}

fn stuck(case: &mut Case<'_>, name: &Name, settled: SimTime, asked: SimTime, at: SimTime) {
    let words = case.watch.words(name);
    let evidence = [
        (
            settled,
            format!("a 2xx to the final result of {words} was read whole"),
        ),
        (asked, "the target was asked what is open".to_owned()),
        (at, "it names the command".to_owned()),
    ];
    case.report(Rule::StuckPending, at, Some(name), evidence);
}

fn phantom(case: &mut Case<'_>, name: &Name, accepted: SimTime, (asked, at): (SimTime, SimTime)) {
    let words = case.watch.words(name);
    let evidence = [
        (accepted, format!("the target accepted {words}")),
        (asked, "the target was asked what is open".to_owned()),
        (
            at,
            "it does not name the command, and the device has sent no final status of it"
                .to_owned(),
        ),
    ];
    case.report(Rule::PhantomDone, at, Some(name), evidence);
}
