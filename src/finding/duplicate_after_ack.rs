//! A command came again after its result had been taken.
//!
//! Apple: a 2xx to a result means that the server has it; a CommandUUID names one command. Only a
//! delivery counts whose request was sent after the 2xx had been read whole: until then the server
//! may not know. A result that cannot be read may have been answered with a 2xx and not booked, so
//! devices that send such are left out.

use crate::rule::Rule;

use super::event::{Exchange, Name};
use super::watch::Case;

pub(super) fn delivered(case: &mut Case<'_>, name: &Name, exchange: &Exchange) {
    let Some(settled) = case.watch.settled_at(case.channel, name) else {
        return;
    };
    if exchange.sent <= settled || case.watch.garbles(case.channel.device) {
        return;
    }
    let words = case.watch.words(name);
    let says = exchange.says.words();
    let evidence = [
        (
            settled,
            format!("a 2xx to the final result of {words} was read whole"),
        ),
        (exchange.sent, format!("the device sent {says}")),
        (exchange.read, format!("the answer brought {words} again")),
    ];
    case.report(Rule::DuplicateAfterAck, exchange.read, Some(name), evidence);
}
