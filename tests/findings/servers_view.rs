//! What a server says of its own queue, and the events it tells, beside what the device did.

use mdmstorm::fact::{Got, ResultStatus, ServerEvent};
use mdmstorm::rule::Rule;

use crate::tale::{Tale, command, uuid};

fn served() -> Tale {
    Tale::new()
        .pushed_order(10.0, 0)
        .idle(11.0, command(0))
        .done(12.0, 0, Got::Empty)
        .ends(12.1)
}

#[test]
fn a_command_that_stays_open_after_its_result_was_taken_is_stuck() {
    served()
        .queue(20.0, &[0])
        .queue(30.0, &[0])
        .breaks(&[(Rule::StuckPending, 1)]);
    served().queue(14.0, &[0]).breaks_nothing();
    served().queue(20.0, &[]).breaks_nothing();
}

#[test]
fn a_command_that_is_not_open_any_more_without_the_device_is_a_phantom() {
    let waiting = || Tale::new().pushed_order(10.0, 0);
    waiting().queue(20.0, &[]).breaks(&[(Rule::PhantomDone, 1)]);
    // It is too new, is named after all, or comes.
    waiting().queue(12.0, &[]).breaks_nothing();
    waiting()
        .queue(20.0, &[])
        .queue(30.0, &[0])
        .breaks_nothing();
    waiting()
        .queue(20.0, &[])
        .idle(30.0, command(0))
        .done(31.0, 0, Got::Empty)
        .breaks_nothing();
}

fn result(order: u32) -> ServerEvent {
    ServerEvent::Result {
        uuid: Some(uuid(order)),
        status: ResultStatus::Acknowledged,
    }
}

/// Three orders, a minute and a half apart; the server has told of something before.
fn three() -> Tale {
    let tale = Tale::new().told(5.0, ServerEvent::TokenUpdate);
    (0..3).fold(tale, |tale, order| {
        let at = 100.0 + f64::from(order) * 90.0;
        tale.pushed_order(at, order)
            .idle(at + 1.0, command(order))
            .done(at + 2.0, order, Got::Empty)
            .ends(at + 2.1)
    })
}

#[test]
fn an_event_that_never_comes_is_a_gap() {
    three()
        .told(102.2, result(0))
        .told(282.2, result(2))
        .breaks(&[(Rule::WebhookGap, 1)]);
    three()
        .told(102.2, result(0))
        .told(192.2, result(1))
        .breaks(&[(Rule::WebhookGap, 1)]);
}

#[test]
fn an_event_that_comes_late_is_a_gap() {
    three()
        .told(102.2, result(0))
        .told(260.0, result(1))
        .told(282.2, result(2))
        .breaks(&[(Rule::WebhookGap, 1)]);
}

#[test]
fn a_server_that_tells_all_in_time_or_not_of_this_kind_leaves_no_gap() {
    three()
        .told(102.2, result(0))
        .told(192.05, result(1))
        .told(282.2, result(2))
        .breaks_nothing();
    three().breaks_nothing();
}

/// Our own door answered 400 to what it could not read, to more than 2 MiB and after 10 s, and the server
/// was said not to have told.
#[test]
fn what_our_own_door_may_have_refused_is_no_gap() {
    let silent = |tale: Tale, times: u64| {
        let found = tale.found(10_000.0);
        assert_eq!((found.counts.len(), found.unjudged_events), (0, times));
    };
    let gap = &[(Rule::WebhookGap, 1)];
    let first_and_last = || three().told(102.2, result(0)).told(282.2, result(2));
    silent(first_and_last().refuses_event(192.2), 1);
    silent(first_and_last().refuses_event(251.0), 1);
    // Before the device had sent it, or when its time was over, the event cannot have been there.
    first_and_last().refuses_event(190.0).breaks(gap);
    first_and_last().refuses_event(253.0).breaks(gap);
    // The server has tried again, and so comes late.
    let late = || first_and_last().told(260.0, result(1));
    late().breaks(gap);
    let found = late().refuses_event(193.0).found(10_000.0);
    assert_eq!((found.counts.len(), found.unjudged_events), (0, 1));
}

/// An event stands for whichever exchange looks like its own: the first of these was refused.
#[test]
fn an_event_that_may_have_been_refused_takes_none_from_another_that_looks_the_same() {
    let polls = |tale: Tale| tale.idle(100.0, Got::Empty).idle(110.0, Got::Empty);
    let tale = Tale::new().idle(50.0, Got::Empty);
    let tale = tale.told(5.0, ServerEvent::Idle);
    polls(tale.clone()).breaks(&[(Rule::WebhookGap, 2)]);
    polls(tale.refuses_event(100.5))
        .told(110.2, ServerEvent::Idle)
        .breaks_nothing();
}
