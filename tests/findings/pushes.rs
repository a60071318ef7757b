//! Pushes that do not come, come too early, too often, for nothing, or to somebody else.

use std::time::Duration;

use mdmstorm::fact::{Broken, FactKind, Got, Ignored, NoEntry, Said, ServerPush, Unanswered};
use mdmstorm::ids::{OrderIndex, PushId};
use mdmstorm::rule::Rule;

use crate::tale::{DEVICE, Tale, channel, command, secs};

/// Long after enrolment a push for something else shows that the gateway is known.
fn known() -> Tale {
    Tale::new()
        .pushed_order(70.0, 9)
        .idle(71.0, command(9))
        .done(72.0, 9, Got::Empty)
        .ends(72.1)
}

// ---- no-push -----------------------------------------------------------------------------------

#[test]
fn an_accepted_order_without_a_push_is_found_after_the_limit() {
    known().order(100.0, 0).breaks(&[(Rule::NoPush, 1)]);
    known().order(100.0, 0).breaks_by(150.0, &[]);
}

#[test]
fn any_push_since_the_offer_will_do_even_a_refused_or_unanswered_one() {
    known().order(100.0, 0).push(100.1).breaks_nothing();
    known().order(100.0, 0).push(159.0).breaks_nothing();
    known()
        .order(100.0, 0)
        .push_answered(100.1, 503, Some("ServiceUnavailable"))
        .breaks_nothing();
    let unanswered = FactKind::PushUnanswered {
        push: PushId(77),
        channel: Some(channel()),
        arrived: secs(100.1),
        how: Unanswered::Hang,
    };
    known()
        .order(100.0, 0)
        .at(100.1, unanswered)
        .breaks_nothing();
}

#[test]
fn a_server_may_have_its_reasons_not_to_push() {
    // The device came by itself.
    known()
        .order(100.0, 0)
        .idle(110.0, command(0))
        .done(111.0, 0, Got::Empty)
        .breaks_nothing();
    // It says so itself.
    let failed = ServerPush::Failed("no connection".into());
    known()
        .offers(100.0, 0)
        .accepts(100.2, 0, failed)
        .breaks_nothing();
    // The gateway does not let it in.
    let why = NoEntry::Certificate("it has expired".into());
    known()
        .order(100.0, 0)
        .at(100.1, FactKind::ProviderRefused { why })
        .breaks_nothing();
    // The device has just told its token: APNs may not know it yet.
    known()
        .says(95.0, Said::TokenUpdate, Got::Empty)
        .order(100.0, 0)
        .breaks_nothing();
    // APNs has called the token bad.
    known()
        .push_answered(90.0, 410, Some("Unregistered"))
        .with(|setup| setup.trouble.lies_about_tokens = true)
        .order(100.0, 0)
        .breaks_nothing();
    // Nobody knows whether it has the order.
    let why = Broken::TimedOut;
    known()
        .offers(100.0, 0)
        .at(
            130.0,
            FactKind::AcceptanceUnknown {
                order: OrderIndex(0),
                why,
            },
        )
        .breaks_nothing();
}

#[test]
fn a_target_that_does_not_know_the_gateway_is_not_accused_for_each_order() {
    Tale::new().order(100.0, 0).order(200.0, 1).breaks_nothing();
}

// ---- wrong-push --------------------------------------------------------------------------------

#[test]
fn a_push_to_a_token_that_the_device_has_replaced_is_wrong() {
    let changes = |setup: &mut mdmstorm::record::setup::Setup| {
        setup
            .trouble
            .token_changes
            .insert(DEVICE, vec![Duration::from_secs(48)]);
    };
    let rotated = || {
        known()
            .with(changes)
            .says(80.0, Said::TokenUpdate, Got::Empty)
    };
    rotated()
        .push_answered(100.0, 410, Some("Unregistered"))
        .breaks(&[(Rule::WrongPush, 1)]);
    // The server has just been told.
    rotated()
        .push_answered(82.0, 410, Some("Unregistered"))
        .breaks_nothing();
    // It has not been told: the answer to TokenUpdate was lost.
    known()
        .with(|setup| {
            setup
                .trouble
                .token_changes
                .insert(DEVICE, vec![Duration::from_secs(78)]);
        })
        .says(80.5, Said::TokenUpdate, Got::Lost(Broken::TimedOut))
        .push_answered(100.0, 410, Some("Unregistered"))
        .breaks_nothing();
    // The scenario has the gateway say so.
    rotated()
        .with(|setup| setup.trouble.lies_about_tokens = true)
        .push_answered(100.0, 410, Some("Unregistered"))
        .breaks_nothing();
}

/// A device tells its new token at once, and the planned change was taken for a later one: no push to an
/// old token was ever found.
#[test]
fn a_token_that_was_told_right_after_its_change_is_known() {
    let rotated = |at| {
        let change = vec![Duration::from_secs(at)];
        known()
            .with(|setup| drop(setup.trouble.token_changes.insert(DEVICE, change)))
            .says(80.0, Said::TokenUpdate, Got::Empty)
            .push_answered(100.0, 410, Some("Unregistered"))
    };
    rotated(77).breaks(&[(Rule::WrongPush, 1)]);
    // It was written before the change, and another one may be on its way.
    rotated(79).breaks_nothing();
}

#[test]
fn a_push_with_another_magic_is_wrong_unless_it_was_sent_before_the_device_changed_it() {
    known()
        .push(100.0)
        .ignored(100.2, Ignored::WrongMagic)
        .breaks(&[(Rule::WrongPush, 1)]);
    known()
        .push(100.0)
        .ignored(100.2, Ignored::NotEnrolled)
        .breaks_nothing();
    known()
        .push(100.0)
        .says(130.0, Said::TokenUpdate, Got::Empty)
        .ignored(140.0, Ignored::WrongMagic)
        .breaks_nothing();
}

// ---- early-push --------------------------------------------------------------------------------

/// Fleet pushed inside the transaction that the command was committed with (fl#50682).
fn early() -> Tale {
    known()
        .offers(100.0, 0)
        .push(100.05)
        .idle(100.1, Got::Empty)
        .ends(100.2)
        .accepts(100.4, 0, ServerPush::Accepted)
}

#[test]
fn a_device_that_is_faster_than_its_command_was_pushed_too_early() {
    early()
        .pushed_order(300.0, 1)
        .idle(301.0, command(0))
        .done(302.0, 0, command(1))
        .done(303.0, 1, Got::Empty)
        .breaks(&[(Rule::EarlyPush, 1)]);
}

#[test]
fn a_push_is_not_early_when_another_comes_for_the_command_or_nobody_has_accepted_it() {
    // The first was for something else; its own comes once the command is there.
    early()
        .push(100.3)
        .idle(101.0, command(0))
        .done(102.0, 0, Got::Empty)
        .breaks_nothing();
    // The device asked before any push.
    known()
        .idle(100.1, Got::Empty)
        .ends(100.2)
        .offers(100.0, 0)
        .push(100.15)
        .accepts(100.4, 0, ServerPush::Accepted)
        .idle(101.0, command(0))
        .done(102.0, 0, Got::Empty)
        .breaks_nothing();
    known()
        .offers(100.0, 0)
        .push(100.05)
        .idle(100.1, Got::Empty)
        .ends(100.2)
        .at(
            100.4,
            FactKind::AcceptanceUnknown {
                order: OrderIndex(0),
                why: Broken::TimedOut,
            },
        )
        .idle(101.0, command(0))
        .done(102.0, 0, Got::Empty)
        .breaks_nothing();
}

// ---- blank-check-in, push-storm ----------------------------------------------------------------

fn blanks(tale: Tale, count: u32) -> Tale {
    (0..count).fold(tale, |tale, number| {
        let at = 200.0 + f64::from(number) * 100.0;
        tale.push(at).idle(at + 1.0, Got::Empty).ends(at + 1.2)
    })
}

#[test]
fn the_third_push_for_nothing_is_found() {
    blanks(known(), 3).breaks(&[(Rule::BlankCheckIn, 1)]);
    blanks(known(), 2).breaks_nothing();
}

#[test]
fn a_push_is_for_something_while_anything_is_open_or_an_operator_sends_it() {
    blanks(known().pushed_order(100.0, 0).idle(101.0, command(0)), 5).breaks_nothing();
    blanks(known().with(|setup| setup.trouble.pushes_blank = true), 5).breaks_nothing();
    // An order was placed just before, fetched by itself, and its push is late.
    let late = (0..5).fold(known(), |tale, order| {
        let at = 200.0 + f64::from(order) * 100.0;
        tale.order(at, order)
            .idle(at + 1.0, command(order))
            .done(at + 2.0, order, Got::Empty)
            .push(at + 30.0)
            .idle(at + 31.0, Got::Empty)
    });
    late.breaks_nothing();
}

#[test]
fn pushes_beyond_those_for_orders_make_a_storm_when_there_are_many_in_a_minute() {
    let storm_from = |tale: Tale, from: f64, spacing: f64| {
        (0..12).fold(tale, |tale, number| {
            tale.push(from + f64::from(number) * spacing)
        })
    };
    let storm = |tale: Tale, spacing: f64| storm_from(tale, 400.0, spacing);
    storm(known(), 1.0).breaks(&[(Rule::PushStorm, 1)]);
    storm(known(), 10.0).breaks_nothing();
    // A server sets up a device that has just enrolled.
    storm_from(known(), 200.0, 1.0).breaks_nothing();
    let ordered = (0..12).fold(known(), |tale, order| {
        tale.order(150.0, 10 + order)
            .idle(151.0 + f64::from(order), command(10 + order))
            .done(151.5 + f64::from(order), 10 + order, Got::Empty)
    });
    storm(ordered, 1.0).breaks_nothing();
}
