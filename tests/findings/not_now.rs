//! What a server does with a command that the device has refused.

use mdmstorm::fact::{Broken, FactKind, Got, Said};
use mdmstorm::rule::Rule;

use crate::tale::{DEVICE, Tale, command};

/// A session in which order 0 is refused, by 13.1 s.
fn refused() -> Tale {
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(12.0, command(0))
        .not_now(13.0, 0, Got::Empty)
        .ends(13.1)
}

// ---- not-now-spin ------------------------------------------------------------------------------

/// A Mac in Power Nap refused everything, and MicroMDM offered it for ever (mm#225).
#[test]
fn a_refused_command_that_comes_at_once_three_times_spins() {
    let spin = |times: u32| {
        let tale = Tale::new().pushed_order(10.0, 0).idle(12.0, command(0));
        (0..times).fold(tale, |tale, number| {
            tale.not_now(13.0 + f64::from(number), 0, command(0))
        })
    };
    spin(3).breaks(&[(Rule::NotNowSpin, 1)]);
    spin(9).breaks(&[(Rule::NotNowSpin, 1)]);
    spin(2).breaks_nothing();
}

/// NanoMDM offers a refused command again after each other result: wasteful, and legal.
#[test]
fn a_refused_command_may_come_again_after_another_result_and_in_each_session() {
    let tale = Tale::new().pushed_order(10.0, 0).idle(12.0, command(0));
    let tale = (1..6).fold(tale, |tale, order| {
        let at = 12.0 + f64::from(order) * 3.0;
        tale.pushed_order(at, order)
            .not_now(at + 1.0, 0, command(order))
            .done(at + 2.0, order, command(0))
    });
    tale.not_now(40.0, 0, Got::Empty).breaks_nothing();
    let sessions = (0..6).fold(refused(), |tale, session| {
        let at = 100.0 + f64::from(session) * 60.0;
        tale.idle(at, command(0))
            .not_now(at + 1.0, 0, Got::Empty)
            .ends(at + 1.1)
    });
    sessions.breaks_nothing();
}

// ---- not-now-starved ---------------------------------------------------------------------------

/// Sessions at 200 s, 300 s and 400 s, each with a newer order.
fn others_are_served(tale: Tale) -> Tale {
    (1..4).fold(tale, |tale, order| {
        let at = 100.0 + f64::from(order) * 100.0;
        tale.pushed_order(at, order)
            .idle(at + 1.0, command(order))
            .done(at + 2.0, order, Got::Empty)
            .ends(at + 2.1)
    })
}

#[test]
fn a_refused_command_starves_when_newer_ones_are_served() {
    others_are_served(refused().deferral_ends(100.0, 0, true)).breaks(&[(Rule::NotNowStarved, 1)]);
}

#[test]
fn a_refused_command_is_forgotten_when_the_device_asks_again_and_gets_nothing() {
    refused()
        .deferral_ends(100.0, 0, true)
        .idle(110.0, Got::Empty)
        .idle(200.0, Got::Empty)
        .breaks(&[(Rule::NotNowStarved, 1)]);
    refused()
        .deferral_ends(100.0, 0, true)
        .idle(110.0, Got::Empty)
        .idle(200.0, command(0))
        .done(201.0, 0, Got::Empty)
        .breaks_nothing();
}

#[test]
fn a_refused_command_may_wait_while_its_reason_holds_or_once_it_was_forgotten_by_right() {
    others_are_served(refused()).breaks_nothing();
    let anew = refused()
        .deferral_ends(100.0, 0, true)
        .says(150.0, Said::Authenticate, Got::Empty)
        .says(150.5, Said::TokenUpdate, Got::Empty);
    others_are_served(anew).breaks_nothing();
}

// ---- not-now-not-repushed ----------------------------------------------------------------------

/// Fleet's query for devices to push again left out those that had answered NotNow (fl#43814).
#[test]
fn a_device_that_does_not_poll_has_to_be_pushed_after_its_not_now() {
    refused()
        .deferral_ends(100.0, 0, false)
        .breaks(&[(Rule::NotNowNotRepushed, 1)]);
}

/// The bundled server refused another result with 500, again and again: it had the device with it all the
/// time, and was said not to push it.
#[test]
fn a_device_that_comes_to_be_refused_needs_no_push() {
    refused()
        .deferral_ends(100.0, 0, false)
        .done(200.0, 1, Got::Status(500))
        .breaks_nothing();
}

#[test]
fn a_device_that_polls_is_pushed_or_comes_needs_no_other_push() {
    refused().deferral_ends(100.0, 0, true).breaks_nothing();
    refused()
        .deferral_ends(100.0, 0, false)
        .push(900.0)
        .breaks_nothing();
    refused()
        .deferral_ends(100.0, 0, false)
        .idle(200.0, command(0))
        .done(201.0, 0, Got::Empty)
        .breaks_nothing();
    // The run is over before the limit is.
    refused()
        .deferral_ends(100.0, 0, false)
        .breaks_by(900.0, &[]);
    // The gateway refused a push like any other: the server has tried.
    refused()
        .deferral_ends(100.0, 0, false)
        .push_answered(900.0, 429, Some("TooManyRequests"))
        .breaks_nothing();
    // Its token was called bad, so the server need not try.
    refused()
        .push_answered(50.0, 410, Some("Unregistered"))
        .with(|setup| setup.trouble.lies_about_tokens = true)
        .deferral_ends(100.0, 0, false)
        .breaks_nothing();
    let left = FactKind::Unenrolled {
        device: DEVICE,
        why: "the user removed it".into(),
    };
    refused()
        .deferral_ends(100.0, 0, false)
        .at(120.0, left)
        .breaks_nothing();
}

/// The device was asleep when the server pushed again, its reason ended there, and APNs held the push: the
/// server, which does not know when a reason is over, was said not to have pushed.
#[test]
fn a_push_before_the_reason_was_over_will_do_unless_the_device_has_come_for_it() {
    let broken = &[(Rule::NotNowNotRepushed, 1)];
    refused()
        .push(50.0)
        .deferral_ends(100.0, 0, false)
        .breaks_nothing();
    refused()
        .push(50.0)
        .idle(51.0, Got::Empty)
        .ends(51.2)
        .deferral_ends(100.0, 0, false)
        .breaks(broken);
    // The push that brought the device to refuse is no other.
    let tale = Tale::new().pushed_order(10.0, 0).idle(12.0, command(0));
    tale.push(12.5)
        .not_now(13.0, 0, Got::Empty)
        .ends(13.1)
        .deferral_ends(100.0, 0, false)
        .breaks(broken);
}

/// A phone that had refused everything came back after a restart, and went away before its Idle was
/// answered. It did not poll after that, but NotNow was the last that the server had heard of it.
#[test]
fn a_server_that_heard_not_now_last_need_not_push() {
    let cut = || Got::Lost(Broken::Cut("the device left the network".into()));
    let gone = refused().idle(50.0, cut()).deferral_ends(100.0, 0, false);
    gone.breaks_nothing();
    // What it said next was heard.
    let back = refused().idle(50.0, cut()).idle(52.0, Got::Empty);
    back.ends(52.5)
        .deferral_ends(100.0, 0, false)
        .breaks(&[(Rule::NotNowNotRepushed, 1)]);
}

// ---- words of docs/findings.md -----------------------------------------------------------------

/// Two sessions in which a refused command did not come are enough when the last of them is answered with
/// nothing, though a newer command came in the first.
#[test]
fn one_newer_command_and_then_an_empty_answer_starve_a_refused_one() {
    let newer = refused()
        .deferral_ends(100.0, 0, true)
        .pushed_order(200.0, 1)
        .idle(201.0, command(1))
        .done(202.0, 1, Got::Empty)
        .ends(202.1);
    newer.breaks_nothing();
    newer
        .idle(300.0, Got::Empty)
        .breaks(&[(Rule::NotNowStarved, 1)]);
}
