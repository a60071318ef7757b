//! A renewed certificate cost the commands that were open.
//!
//! Apple, `com.apple.mdm`: a new identity is an update of the same enrolment. A server may clear
//! its queue on the Authenticate that comes with it, as NanoMDM does; what it accepts after that
//! has to come. Judged as a lost command is, with its guards: this is the name for one that was
//! offered within a minute of the 2xx to a renewal's Authenticate, unless another that was offered
//! before it, and since the renewal, came: a queue that takes orders again has outlived the renewal,
//! and loses what it loses later for another reason.

use crate::ids::OrderIndex;
use crate::rule::Rule;
use crate::time::SimTime;

use super::event::Name;
use super::story::Command;
use super::watch::{Case, MINUTE};

/// An order was offered: whether that was right after a renewal.
pub(super) fn offered(case: &mut Case<'_>, order: OrderIndex, at: SimTime) {
    let renewed = case
        .device
        .renewed
        .filter(|renewed| at <= *renewed + MINUTE);
    if let Some(command) = case.story.command_mut(&Name::Order(order)) {
        command.renewed = renewed;
    }
}

/// When a command that came was offered, if that was after the last renewal.
pub(super) fn served(case: &Case<'_>, name: &Name) -> Option<SimTime> {
    let command = case.story.command(name)?;
    let since = command.renewed.is_some() && command.renewed == case.device.renewed;
    command.offered.filter(|_| since)
}

/// The renewal that a lost command is put down to.
pub(super) fn to_blame(case: &Case<'_>, command: &Command) -> Option<SimTime> {
    let renewed = command.renewed?;
    let was_served = case.device.served.is_some_and(|served| {
        case.device.renewed == Some(renewed) && command.offered.is_some_and(|it| served < it)
    });
    (!was_served).then_some(renewed)
}

/// What a lost command is called.
pub(super) fn rule(renewed: Option<SimTime>, evidence: &mut Vec<(SimTime, String)>) -> Rule {
    let Some(renewed) = renewed else {
        return Rule::LostCommand;
    };
    let what = "a 2xx to the Authenticate of a renewal was read whole".to_owned();
    evidence.push((renewed, what));
    Rule::LostOnRenewal
}
