//! An accepted command was never delivered, and the server said that there was none.
//!
//! The server's own promise: its API took the command. Guards: it was accepted a settle time before
//! the Idle that was answered with nothing was sent; it never came in any answer that was read, until
//! the end of the run; the device did not authenticate, leave or change its identity since it was
//! offered, which may clear a queue; it was not taken back. One that was ordered right after a
//! renewal is `lost-on-renewal`. While the device has a command without a
//! final result, refused or not answered, a server may hold back what is behind it.

use crate::time::SimTime;

use super::event::{Exchange, Name};
use super::lost_on_renewal;
use super::watch::Case;

/// An Idle was answered with nothing: what should have come is noted.
pub(super) fn denied(case: &mut Case<'_>, exchange: &Exchange) {
    let settle = case.limits().settle;
    let Some(busy) = case.story.busy.as_mut() else {
        return;
    };
    if busy.waiting.is_empty() || busy.holds_back() {
        return;
    }
    while let Some(&(accepted, order)) = busy.waiting.first()
        && accepted + settle <= exchange.sent
    {
        busy.waiting.pop_first();
        busy.denied(order, exchange.sent, exchange.read);
    }
}

/// The run is over: what never came is lost.
pub(super) fn finish(case: &mut Case<'_>, end: SimTime) {
    let Some(busy) = case.story.busy.as_ref() else {
        return;
    };
    let lost = busy.missing.keys().filter_map(|order| {
        let name = Name::Order(*order);
        let command = busy.open.get(&name)?;
        let (sent, read) = command.denied?;
        let accepted = command.accepted.filter(|_| !command.is_void)?;
        let renewed = lost_on_renewal::to_blame(case, command);
        Some((name, accepted, (sent, read), renewed))
    });
    for (name, accepted, (sent, read), renewed) in lost.collect::<Vec<_>>() {
        let words = case.watch.words(&name);
        let mut evidence = vec![
            (accepted, format!("the target accepted {words}")),
            (sent, "the device sent Idle".to_owned()),
            (read, "the answer was empty".to_owned()),
            (end, "the run ended, and it never came".to_owned()),
        ];
        let rule = lost_on_renewal::rule(renewed, &mut evidence);
        case.report(rule, read, Some(&name), evidence);
    }
}
