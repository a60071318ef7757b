//! A command from before an enrolment was delivered after it.
//!
//! Authenticate begins a new enrolment: what was meant for the device as it was before must not run
//! on it as it is (Apple: a server clears what it holds of a device on Authenticate). Only a
//! delivery counts whose request was sent after the 2xx to Authenticate was read, of a command
//! whose acceptance was read before Authenticate was sent. A renewed certificate authenticates too,
//! and begins nothing.

use crate::rule::Rule;

use super::event::{Exchange, Name};
use super::watch::Case;

pub(super) fn delivered(case: &mut Case<'_>, name: &Name, exchange: &Exchange) {
    let Some(command) = case.story.command(name) else {
        return;
    };
    let (Some(since), Some(accepted)) = (command.stale_since, command.accepted) else {
        return;
    };
    if exchange.sent <= since {
        return;
    }
    let words = case.watch.words(name);
    let evidence = [
        (accepted, format!("the target accepted {words}")),
        (
            since,
            "a 2xx to the device's Authenticate was read whole: it enrolled anew".to_owned(),
        ),
        (exchange.read, format!("an answer brought {words}")),
    ];
    case.report(
        Rule::StaleAfterReenroll,
        exchange.read,
        Some(name),
        evidence,
    );
}
