//! A device was pushed, asked, and there was nothing for it.
//!
//! A push means that there is something to fetch (Apple, "Sending MDM commands to a device"); each
//! one for nothing costs a wake and a handshake. One alone proves nothing, so that it takes three
//! on one channel. Guards: nothing of the operator's was open, and nothing had been done to the
//! queue by API, nor a token told, within the push limit before the push; it came a settle time
//! after the answer that had emptied the queue, so it is no late one; the operator sends no blank
//! pushes in this scenario.

use crate::record::setup::Orderer;
use crate::rule::{Limits, Rule};

use super::event::Exchange;
use super::watch::Case;

/// An Idle was answered with nothing.
pub(super) fn denied(case: &mut Case<'_>, exchange: &Exchange) {
    let limits = case.limits();
    let (settle, within) = (limits.settle, limits.push_within);
    let story = &*case.story;
    let Some((_, push)) = story.last_push else {
        return;
    };
    let Some((_, told)) = story.told else {
        return;
    };
    let setup = &case.watch.setup;
    let is_for_something = story.busy.is_some()
        || push >= exchange.sent
        || story.last_empty + settle >= push
        || story.last_order + within >= push
        || told + within >= push
        || setup.trouble.pushes_blank
        || setup.orderer == Orderer::Elsewhere
        || !case.device.is_managed
        || case.device.is_between;
    if is_for_something {
        return;
    }
    let before = story.last_empty;
    case.story.blanks += 1;
    let blanks = case.story.blanks;
    if blanks < Limits::BLANKS {
        return;
    }
    let evidence = [
        (before, "an empty answer: nothing was left".to_owned()),
        (
            push,
            "a push came; nothing had been ordered since".to_owned(),
        ),
        (exchange.sent, "the device sent Idle".to_owned()),
        (
            exchange.read,
            format!("the answer was empty, for the {blanks}. time"),
        ),
    ];
    case.report(Rule::BlankCheckIn, exchange.read, None, evidence);
}
