//! Commands that come twice, never, in the wrong order, or after they should have been forgotten.

use mdmstorm::fact::{Broken, FactKind, Got, Obtaining, ResultStatus, Said, ServerPush};
use mdmstorm::ids::{CohortId, CommandUuid, OrderIndex};
use mdmstorm::rule::Rule;

use crate::tale::{DEVICE, Tale, command, foreign, secs};

fn lost() -> Got {
    Got::Lost(Broken::Cut("reset".into()))
}

// ---- duplicate-after-ack -----------------------------------------------------------------------

#[test]
fn a_command_that_comes_again_after_a_2xx_to_its_result_is_a_duplicate() {
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .done(12.0, 0, Got::Empty)
        .idle(20.0, command(0))
        .breaks(&[(Rule::DuplicateAfterAck, 1)]);
}

#[test]
fn an_error_is_as_final_as_an_acknowledgement_and_a_new_enrolment_excuses_nothing() {
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .result(12.0, 0, ResultStatus::Error, Got::Empty)
        .says(15.0, Said::Authenticate, Got::Empty)
        .says(15.2, Said::TokenUpdate, Got::Empty)
        .idle(20.0, command(0))
        .breaks(&[(Rule::DuplicateAfterAck, 1)]);
}

#[test]
fn a_command_may_come_again_while_its_result_may_not_have_arrived() {
    // The answer to the result is lost, so nobody knows whether it arrived.
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .done(12.0, 0, lost())
        .idle(20.0, command(0))
        .done(21.0, 0, Got::Empty)
        .breaks_nothing();
    // The server had not read the result when it answered it.
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .done(12.0, 0, command(0))
        .done(12.5, 0, Got::Empty)
        .breaks_nothing();
    // A NotNow is not final.
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .not_now(12.0, 0, Got::Empty)
        .idle(20.0, command(0))
        .done(21.0, 0, Got::Empty)
        .breaks_nothing();
}

#[test]
fn a_device_that_sends_what_nobody_can_read_may_get_its_command_again() {
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .done(12.0, 0, Got::Empty)
        .idle(20.0, command(0))
        .with(|setup| setup.trouble.garbles.push(CohortId(0)))
        .breaks_nothing();
}

// ---- lost-command ------------------------------------------------------------------------------

#[test]
fn a_command_is_lost_when_the_server_denies_it_and_it_never_comes() {
    let tale = Tale::new().pushed_order(10.0, 0).idle(20.0, Got::Empty);
    tale.breaks(&[(Rule::LostCommand, 1)]);
    let found = tale.found(100.0);
    let what: Vec<&str> = found.examples[0]
        .evidence
        .iter()
        .map(|it| it.what.as_str())
        .collect();
    assert_eq!(what.len(), 4, "{what:?}");
    assert!(what[0].starts_with("the target accepted DeviceInformation "));
    assert_eq!(found.examples[0].order, Some(OrderIndex(0)));
}

#[test]
fn a_command_is_not_lost_while_it_may_still_come() {
    // The server had it for 3 s only.
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(13.0, Got::Empty)
        .breaks_nothing();
    // It comes after all. That it was pushed for so early is another rule's.
    Tale::new()
        .order(10.0, 0)
        .push(10.0)
        .push(20.1)
        .idle(20.0, Got::Empty)
        .idle(21.0, command(0))
        .done(22.0, 0, Got::Empty)
        .breaks(&[(Rule::EarlyPush, 1)]);
}

#[test]
fn what_a_server_may_forget_or_hold_back_is_not_lost() {
    // It authenticates anew; even an Authenticate without an answer may have cleared the queue.
    for got in [Got::Empty, lost()] {
        Tale::new()
            .pushed_order(10.0, 0)
            .says(15.0, Said::Authenticate, got)
            .idle(30.0, Got::Empty)
            .breaks_nothing();
    }
    // It was taken back.
    Tale::new()
        .pushed_order(10.0, 0)
        .at(
            15.0,
            FactKind::Cancelled {
                order: OrderIndex(0),
                instead: None,
            },
        )
        .idle(30.0, Got::Empty)
        .breaks_nothing();
    // The server waits for the status of another command, or for the end of its refusal.
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .pushed_order(12.0, 1)
        .idle(30.0, Got::Empty)
        .breaks_nothing();
    // Nobody knows whether the server has it.
    let why = Broken::Cut("reset".into());
    Tale::new()
        .offers(10.0, 0)
        .push(10.1)
        .at(
            10.3,
            FactKind::AcceptanceUnknown {
                order: OrderIndex(0),
                why,
            },
        )
        .idle(30.0, Got::Empty)
        .breaks_nothing();
}

#[test]
fn an_empty_answer_to_a_result_denies_nothing() {
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .pushed_order(11.5, 1)
        .done(30.0, 0, Got::Empty)
        .breaks_nothing();
}

// ---- reordered ---------------------------------------------------------------------------------

#[test]
fn a_later_order_that_comes_before_an_earlier_one_is_reordered() {
    Tale::new()
        .pushed_order(10.0, 0)
        .pushed_order(11.0, 1)
        .idle(12.0, command(1))
        .done(13.0, 1, command(0))
        .done(14.0, 0, Got::Empty)
        .breaks(&[(Rule::Reordered, 1)]);
}

/// A lost order was found twice: every later one had come before it.
#[test]
fn an_order_that_never_comes_is_lost_and_not_overtaken() {
    Tale::new()
        .pushed_order(10.0, 0)
        .pushed_order(11.0, 1)
        .idle(12.0, command(1))
        .done(13.0, 1, Got::Empty)
        .idle(30.0, Got::Empty)
        .breaks(&[(Rule::LostCommand, 1)]);
}

/// MicroMDM moves a command to the tail as it hands it out: when that answer is lost, the next Idle
/// brings what was ordered later.
#[test]
fn a_lost_answer_does_not_excuse_that_a_later_order_comes_first() {
    Tale::new()
        .pushed_order(10.0, 0)
        .pushed_order(11.0, 1)
        .idle(12.0, lost())
        .idle(20.0, command(1))
        .done(21.0, 1, command(0))
        .done(22.0, 0, Got::Empty)
        .breaks(&[(Rule::Reordered, 1)]);
    // The same when the device had it, and sent no status.
    Tale::new()
        .pushed_order(10.0, 0)
        .pushed_order(11.0, 1)
        .idle(12.0, command(0))
        .idle(20.0, command(1))
        .done(21.0, 1, command(0))
        .done(22.0, 0, Got::Empty)
        .breaks(&[(Rule::Reordered, 1)]);
}

#[test]
fn of_parallel_orders_and_of_refused_ones_nobody_knows_the_order() {
    // The second was offered before the first was accepted.
    Tale::new()
        .pushed_order(10.0, 0)
        .pushed_order(10.1, 1)
        .idle(12.0, command(1))
        .done(13.0, 1, command(0))
        .done(14.0, 0, Got::Empty)
        .breaks_nothing();
    // The first was refused, and its turn is later.
    Tale::new()
        .pushed_order(10.0, 0)
        .pushed_order(11.0, 1)
        .idle(12.0, command(0))
        .not_now(13.0, 0, command(1))
        .done(14.0, 1, command(0))
        .done(15.0, 0, Got::Empty)
        .breaks_nothing();
    // A status was sent, and its answer lost: the server may have it.
    Tale::new()
        .pushed_order(10.0, 0)
        .pushed_order(11.0, 1)
        .idle(12.0, command(0))
        .done(13.0, 0, lost())
        .idle(20.0, command(1))
        .done(21.0, 1, Got::Empty)
        .done(22.0, 0, Got::Empty)
        .breaks_nothing();
    // The server may have forgotten the first.
    Tale::new()
        .pushed_order(10.0, 0)
        .says(11.0, Said::Authenticate, lost())
        .says(12.0, Said::Authenticate, Got::Empty)
        .says(12.5, Said::TokenUpdate, Got::Empty)
        .pushed_order(20.0, 1)
        .idle(22.0, command(1))
        .done(23.0, 1, Got::Empty)
        .breaks_nothing();
}

// ---- head-of-line-blocked ----------------------------------------------------------------------

/// Five sessions that the same command fills, and its result is answered with `got`.
fn five_sessions(got: Got) -> Tale {
    let tale = Tale::new().pushed_order(10.0, 0).pushed_order(11.0, 1);
    (0..5).fold(tale.idle(15.0, command(0)), |tale, session| {
        let at = 16.0 + f64::from(session) * 60.0;
        let status = ResultStatus::Error;
        tale.result(at, 0, status, got.clone()).ends(at + 0.2)
    })
}

/// MicroMDM answered an acknowledgement that it could not decode with 500, and the device sent it again
/// in each session (mm#1040).
#[test]
fn a_result_that_is_refused_for_ever_blocks_what_is_behind_it() {
    five_sessions(Got::Status(500)).breaks(&[(Rule::HeadOfLineBlocked, 1), (Rule::HttpErrors, 5)]);
}

#[test]
fn a_head_that_no_status_moves_blocks_what_is_behind_it() {
    let tale = Tale::new().pushed_order(10.0, 0).pushed_order(11.0, 1);
    let tale = (0..5).fold(tale, |tale, session| {
        let at = 16.0 + f64::from(session) * 60.0;
        tale.idle(at, command(0))
            .result(at + 1.0, 0, ResultStatus::Error, Got::Empty)
            .ends(at + 1.2)
    });
    tale.breaks(&[(Rule::DuplicateAfterAck, 4), (Rule::HeadOfLineBlocked, 1)]);
}

/// Only what had waited before the first session of all was asked for, so that orders after it could wait
/// for ever.
#[test]
fn a_head_blocks_what_was_ordered_later_too() {
    let stuck = |tale: Tale, sessions: std::ops::Range<u32>| {
        sessions.fold(tale, |tale, session| {
            let at = 16.0 + f64::from(session) * 60.0;
            tale.idle(at, command(0))
                .result(at + 1.0, 0, ResultStatus::Error, Got::Status(500))
                .ends(at + 1.2)
        })
    };
    let tale = stuck(Tale::new().pushed_order(10.0, 0), 0..2);
    let tale = stuck(tale.pushed_order(100.0, 1), 2..7);
    tale.breaks(&[(Rule::HeadOfLineBlocked, 1), (Rule::HttpErrors, 7)]);
}

#[test]
fn lost_connections_and_refused_devices_block_nothing() {
    five_sessions(lost()).breaks_nothing();
    let clock = FactKind::Clock {
        device: DEVICE,
        ahead_ms: 9_000_000,
    };
    five_sessions(Got::Status(400))
        .at(9.0, clock)
        .breaks_nothing();
}

// ---- stale-after-reenroll ----------------------------------------------------------------------

fn anew(tale: Tale, at: f64) -> Tale {
    tale.says(at, Said::Authenticate, Got::Empty)
        .says(at + 0.2, Said::TokenUpdate, Got::Empty)
}

#[test]
fn a_command_of_the_enrolment_before_is_stale() {
    anew(Tale::new().pushed_order(10.0, 0), 20.0)
        .idle(30.0, command(0))
        .done(31.0, 0, Got::Empty)
        .breaks(&[(Rule::StaleAfterReenroll, 1)]);
}

#[test]
fn a_renewal_makes_nothing_stale_nor_does_an_enrolment_what_comes_after_it() {
    let renewed = FactKind::IdentityObtained {
        device: DEVICE,
        why: Obtaining::Renew,
        since: secs(15.0),
    };
    anew(Tale::new().pushed_order(10.0, 0).at(19.0, renewed), 20.0)
        .idle(30.0, command(0))
        .done(31.0, 0, Got::Empty)
        .breaks_nothing();
    anew(Tale::new(), 20.0)
        .pushed_order(25.0, 0)
        .idle(30.0, command(0))
        .done(31.0, 0, Got::Empty)
        .breaks_nothing();
    // Its acceptance was read after Authenticate was sent: it may belong to the new enrolment.
    anew(
        Tale::new()
            .offers(19.9, 0)
            .accepts(20.05, 0, ServerPush::Accepted)
            .push(20.0),
        20.0,
    )
    .idle(30.0, command(0))
    .done(31.0, 0, Got::Empty)
    .breaks_nothing();
}

// ---- repeat-storm, http-errors -----------------------------------------------------------------

/// Fleet sent a profile again every 2 s that had failed with 1407, for ever (fl#48032). What every
/// device gets when it has enrolled may be many profiles at once.
#[test]
fn a_server_that_sends_one_request_type_over_and_over_makes_a_storm() {
    let storm = |from: f64, spacing: f64| {
        (0..20).fold(Tale::new(), |tale, number| {
            let at = from + f64::from(number) * spacing;
            let name = format!("profile-{number}");
            let uuid = Some(CommandUuid(name.as_str().into()));
            let status = ResultStatus::Error;
            tale.idle(at, foreign(&name))
                .says(at + 0.5, Said::Result { uuid, status }, Got::Empty)
        })
    };
    storm(400.0, 2.0).breaks(&[(Rule::RepeatStorm, 1)]);
    storm(400.0, 10.0).breaks_nothing();
    storm(10.0, 2.0).breaks_nothing();
}

/// Pairs of a channel and a type were counted for ever, and after 100,000 of them no other was.
#[test]
fn request_types_whose_minute_is_over_make_room_for_others() {
    let named = |name: &str, request: &str| Got::Command {
        uuid: CommandUuid(name.into()),
        request_type: request.into(),
    };
    let tale = (0..100_000).fold(Tale::new(), |tale, number| {
        let name = format!("type-{number}");
        let at = 400.0 + f64::from(number) / 1e4;
        tale.says(at, Said::Idle, named(&name, &name))
    });
    let tale = (0..20).fold(tale, |tale, number| {
        let at = 480.0 + f64::from(number);
        tale.idle(at, named(&format!("{number}"), "InstallProfile"))
    });
    tale.breaks(&[(Rule::RepeatStorm, 1)]);
}

#[test]
fn errors_to_requests_that_keep_the_rules_are_counted_from_the_third_on() {
    let errors = |count: u32, status: u16| {
        (0..count).fold(Tale::new(), |tale, number| {
            tale.idle(10.0 + f64::from(number), Got::Status(status))
        })
    };
    errors(3, 500).breaks(&[(Rule::HttpErrors, 3)]);
    errors(2, 500).breaks_nothing();
    errors(9, 401).breaks_nothing();
    let copied = FactKind::IdentityObtained {
        device: DEVICE,
        why: Obtaining::Clone,
        since: secs(3.0),
    };
    errors(9, 500).at(4.0, copied).breaks_nothing();
}

#[test]
fn a_ghost_result_may_be_refused() {
    let ghost = |tale: Tale, at: f64| {
        let uuid = Some(CommandUuid("GHOST".into()));
        let status = ResultStatus::Acknowledged;
        tale.says(at, Said::Result { uuid, status }, Got::Status(400))
    };
    (0..5)
        .fold(Tale::new(), |tale, number| {
            ghost(tale, 10.0 + f64::from(number))
        })
        .breaks_nothing();
}

// ---- lost-on-renewal ---------------------------------------------------------------------------

#[test]
fn an_order_that_follows_a_renewal_and_never_comes_is_lost_on_it() {
    let renewed = |tale: Tale| {
        let renewed = FactKind::IdentityObtained {
            device: DEVICE,
            why: Obtaining::Renew,
            since: secs(15.0),
        };
        anew(tale.at(19.0, renewed), 20.0)
    };
    renewed(Tale::new())
        .pushed_order(22.0, 0)
        .idle(30.0, Got::Empty)
        .breaks(&[(Rule::LostOnRenewal, 1)]);
    renewed(Tale::new())
        .pushed_order(100.0, 0)
        .idle(110.0, Got::Empty)
        .breaks(&[(Rule::LostCommand, 1)]);
    // What was open when it came the server may clear, as NanoMDM does.
    renewed(Tale::new().pushed_order(10.0, 0))
        .idle(30.0, Got::Empty)
        .breaks_nothing();
}

/// Thirty devices of a MicroMDM renewed, and took five orders each. The sixth of two of them was lost
/// four seconds later, as it came while its device asked: MicroMDM loses orders so in every scenario,
/// and the renewal had nothing to do with it.
#[test]
fn a_renewal_is_not_to_blame_once_an_order_has_come() {
    let renewed = FactKind::IdentityObtained {
        device: DEVICE,
        why: Obtaining::Renew,
        since: secs(15.0),
    };
    anew(Tale::new().at(19.0, renewed), 20.0)
        .pushed_order(22.0, 0)
        .pushed_order(22.5, 1)
        .idle(23.0, command(0))
        .done(23.5, 0, Got::Empty)
        .idle(31.0, Got::Empty)
        .breaks(&[(Rule::LostCommand, 1)]);
}
