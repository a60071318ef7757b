//! The ledger, seen from outside: facts in, phases, causes and sums out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod causes;
#[path = "../fact_rig/mod.rs"]
mod fact_rig;
mod slow;
mod snapshots;
mod story;
mod waits;

use std::time::Duration;

use mdmstorm::condition::{Condition, Conditions};
use mdmstorm::fact::{Broken, FactKind, Got, ResultStatus, Said, WakeReason};
use mdmstorm::ids::{CommandUuid, DeviceId, OrderIndex};
use mdmstorm::metric::{Owner, Phase};
use mdmstorm::record::Ledger;
use mdmstorm::record::account::Tally;
use mdmstorm::record::setup::{Orderer, Setup};
use proptest::prelude::*;

use fact_rig::any_fact;
use story::{Story, brings, done, fetched, ms, result, setup, show};

#[test]
fn a_plain_life_has_every_phase_once() {
    let account = fetched()
        .executed(0, 200, 204)
        .exchange(done(0), Got::Empty, [204, 205, 205, 230, 231])
        .ended(231)
        .account(1_000);
    insta::assert_snapshot!(show(&account), @"
    lateness operator 10
    queue target 20
    dispatch target 10
    delivery device 20
    wake device 35
    wake network 20
    harness harness 21
    fetch target 40
    execute device 29
    settle target 25
    push-to-completion 190
    ");
}

#[test]
fn a_push_inside_the_enqueue_request_leaves_dispatch_at_zero() {
    let account = Story::default()
        .ordered(0, 0)
        .offered(0, 0)
        .push(1, 10)
        .accepted(0, 30)
        .delivered(1, 40, 40)
        .woke(40, 40, WakeReason::Push)
        .exchange(Said::Idle, brings(0), [40, 40, 40, 50, 50])
        .executed(0, 50, 50)
        .exchange(done(0), Got::Empty, [50, 50, 50, 60, 60])
        .account(100);
    insta::assert_snapshot!(show(&account), @"
    queue target 10
    dispatch 0
    delivery device 30
    fetch target 10
    settle target 10
    push-to-completion 50
    ");
}

#[test]
fn a_command_fetched_before_any_push_enters_no_push_percentile() {
    let account = Story::default()
        .woke(0, 0, WakeReason::Push)
        .exchange(Said::Idle, brings(2), [0, 0, 0, 5, 5])
        .enqueued(0, 10, 10, 20)
        .exchange(
            result(2, ResultStatus::Error),
            brings(0),
            [30, 30, 30, 40, 40],
        )
        .push(1, 45)
        .executed(0, 50, 50)
        .exchange(done(0), Got::Empty, [50, 50, 50, 60, 60])
        .account(100);
    assert_eq!(account.tally(|_, _| true).completed_without_push, 1);
    insta::assert_snapshot!(show(&account), @"
    queue target 10
    dispatch target 10
    fetch target 10
    execute device 10
    settle target 10
    ");
}

#[test]
fn a_command_in_line_waits_for_whoever_holds_the_turn() {
    let account = fetched()
        .enqueued(2, 171, 171, 175)
        .push(2, 176)
        .executed(0, 200, 200)
        .exchange(done(0), brings(2), [200, 200, 200, 230, 231])
        .executed(2, 240, 240)
        .exchange(done(2), Got::Empty, [240, 240, 240, 250, 250])
        .account(1_000);
    // The second command: 4 queue, 1 dispatch, 24 in line for the device, then 30 fetched.
    let line = account.slices.owned(Phase::Line, Owner::Device);
    assert_eq!(line, 24_000);
    assert_eq!(account.slices.owned(Phase::Line, Owner::Target), 0);
    assert_eq!(account.tally(|_, _| true).completed, 2);
}

#[test]
fn not_now_is_deferral_until_it_ends_then_the_device_polls_and_the_target_offers() {
    let account = fetched()
        .exchange(
            result(0, ResultStatus::NotNow),
            Got::Empty,
            [171, 171, 171, 180, 180],
        )
        .ended(180)
        .deferral_ended(0, 500, 502, true)
        .woke(510, 511, WakeReason::NotNowOver)
        .exchange(Said::Idle, Got::Empty, [511, 512, 520, 540, 540])
        .ended(540)
        .push(2, 700)
        .delivered(2, 710, 710)
        .woke(720, 720, WakeReason::Push)
        .exchange(Said::Idle, brings(0), [720, 720, 730, 750, 750])
        .executed(0, 760, 760)
        .exchange(done(0), Got::Empty, [760, 760, 760, 770, 770])
        .account(1_000);
    insta::assert_snapshot!(show(&account), @"
    lateness operator 10
    queue target 20
    dispatch target 10
    delivery device 20
    wake device 35
    wake network 28
    harness harness 20
    fetch target 60
    execute device 10
    deferral device 329
    return-device device 8
    return-target target 210
    settle target 10
    push-to-completion 730
    ");
}

#[test]
fn a_result_the_target_refuses_is_retried_and_the_target_owns_it() {
    let account = fetched()
        .executed(0, 200, 200)
        .exchange(done(0), Got::Status(500), [200, 200, 200, 220, 220])
        .ended(220)
        .woke(300, 301, WakeReason::Retry)
        .exchange(done(0), Got::Empty, [301, 301, 310, 330, 330])
        .account(1_000);
    assert_eq!(account.slices.owned(Phase::Retry, Owner::Target), 89_000);
    assert_eq!(account.slices.owned(Phase::Settle, Owner::Target), 40_000);
    assert_eq!(account.tally(|_, _| true).completed, 1);
}

#[test]
fn a_cut_fetch_is_retried_and_the_network_owns_it() {
    let account = Story::default()
        .enqueued(0, 0, 0, 0)
        .push(1, 0)
        .delivered(1, 0, 0)
        .woke(0, 0, WakeReason::Push)
        .exchange(
            Said::Idle,
            Got::Lost(Broken::Cut("reset".into())),
            [0, 0, 0, 10, 10],
        )
        .ended(10)
        .woke(100, 100, WakeReason::Retry)
        .exchange(Said::Idle, brings(0), [100, 100, 100, 110, 110])
        .executed(0, 110, 110)
        .exchange(done(0), Got::Empty, [110, 110, 110, 120, 120])
        .account(1_000);
    insta::assert_snapshot!(show(&account), @"
    line target 10
    fetch target 10
    retry network 90
    settle target 10
    push-to-completion 120
    ");
}

#[test]
fn a_session_that_ends_empty_gives_the_next_move_to_the_target() {
    let account = Story::default()
        .enqueued(0, 0, 0, 0)
        .push(1, 10)
        .delivered(1, 20, 20)
        .woke(20, 20, WakeReason::Push)
        .exchange(Said::Idle, Got::Empty, [20, 20, 20, 30, 30])
        .ended(30)
        .account(1_000);
    insta::assert_snapshot!(show(&account), @"0 pending in dispatch: connected-but-empty of target");
}

/// A device sent one result twice. The answer to the first brought a command, that to the second
/// another: it took the latter. The server then forgot the former, and the report said for ever that the
/// device was working on it.
#[test]
fn a_command_that_the_device_let_go_waits_for_the_target_again() {
    let account = fetched()
        .executed(2, 180, 180)
        .exchange(done(2), Got::Empty, [180, 180, 180, 190, 190])
        .ended(190)
        .push(2, 200)
        .delivered(2, 210, 210)
        .woke(210, 210, WakeReason::Push)
        .exchange(Said::Idle, Got::Empty, [210, 210, 210, 220, 220])
        .ended(220)
        .account(1_000);
    insta::assert_snapshot!(show(&account), @"0 pending in dispatch: connected-but-empty of target");
}

#[test]
fn a_refused_push_is_no_push() {
    let account = Story::default()
        .enqueued(0, 0, 0, 5)
        .push_with(1, 6, 410)
        .account(1_000);
    assert_eq!(account.pushes.rejected, 1);
    insta::assert_snapshot!(show(&account), @"0 pending in dispatch: push-rejected of target");
}

#[test]
fn each_wait_at_the_end_has_its_cause() {
    let condition = |now| FactKind::Condition {
        device: DeviceId(0),
        now,
    };
    let pushed = || Story::default().enqueued(0, 0, 0, 5).push(1, 6);
    let lost = |why| FactKind::AcceptanceUnknown {
        order: OrderIndex(0),
        why,
    };
    let refused = fetched().exchange(
        result(0, ResultStatus::NotNow),
        Got::Empty,
        [171, 171, 171, 180, 180],
    );
    let stories = [
        Story::default().enqueued(0, 0, 0, 5),
        Story::default()
            .ordered(0, 0)
            .offered(0, 1)
            .at(9, lost(Broken::TimedOut)),
        Story::default()
            .ordered(0, 0)
            .offered(0, 1)
            .at(9, lost(Broken::Harness("no port".into()))),
        pushed().at(7, condition(Conditions::of(&[Condition::Asleep]))),
        pushed().at(7, condition(Conditions::of(&[Condition::Offline]))),
        refused,
        pushed()
            .delivered(1, 7, 7)
            .exchange(Said::Idle, Got::Status(503), [8, 8, 8, 9, 9]),
        pushed(),
    ];
    let causes: String = stories.map(|story| show(&story.account(1_000))).concat();
    insta::assert_snapshot!(causes, @"
    0 pending in dispatch: never-pushed of target
    0 pending in queue: target-unreachable of target
    0 pending in queue: harness-suspect of harness
    0 pending in delivery: device-asleep of device
    0 pending in delivery: device-offline of device
    0 pending in deferral: not-now-waiting of device
    0 pending in retry: server-error of target
    0 pending in delivery: under-way of device
    ");
}

#[test]
fn when_the_target_dies_every_pending_command_is_its() {
    let unreachable = || Got::Lost(Broken::Unreachable("refused".into()));
    let account = fetched()
        .exchange(done(0), unreachable(), [180, 180, 180, 181, 181])
        .exchange(done(0), unreachable(), [190, 190, 190, 191, 191])
        .exchange(done(0), unreachable(), [200, 200, 200, 201, 201])
        .enqueued(2, 170, 170, 170)
        .account(20_000);
    assert!(account.target_silent);
    for pending in &account.pending {
        assert_eq!(pending.cause.name(), "target-unreachable");
    }
    assert_eq!(account.pending.len(), 2);
}

#[test]
fn late_duplicate_and_ghost_results_stand_beside_the_sum() {
    let rejected = FactKind::Rejected {
        order: OrderIndex(2),
        status: 400,
        reason: "bad".into(),
    };
    let stranger = Said::Result {
        uuid: Some(CommandUuid("stranger".into())),
        status: ResultStatus::Acknowledged,
    };
    let again = [300, 300, 300, 310, 310];
    let account = fetched()
        .exchange(done(0), Got::Empty, [204, 205, 205, 230, 231])
        .ordered(2, 240)
        .at(250, rejected)
        .exchange(done(0), Got::Empty, again)
        .exchange(done(2), Got::Empty, again)
        .exchange(stranger, Got::Empty, again)
        .account(1_000);
    let beside = account.beside;
    assert_eq!((beside.duplicate, beside.late, beside.ghost), (1, 1, 1));
    let tally = account.tally(|_, _| true);
    assert_eq!((tally.ordered, tally.completed, tally.rejected), (2, 1, 1));
}

#[test]
fn facts_of_two_producers_may_come_out_of_order() {
    let mut story = fetched()
        .executed(0, 200, 204)
        .exchange(done(0), Got::Empty, [204, 205, 205, 230, 231])
        .ended(231);
    let in_order = show(
        &Story {
            facts: story.facts.clone(),
        }
        .account(1_000),
    );
    // The operator's three facts and the gateway's push come last.
    story.facts.rotate_left(4);
    assert_eq!(show(&story.account(1_000)), in_order);
}

#[test]
fn a_settled_order_can_be_taken_at_once() {
    let mut ledger = Ledger::new(setup(2));
    let story = fetched().exchange(done(0), Got::Empty, [204, 205, 205, 230, 231]);
    for fact in &story.facts {
        ledger.record(fact);
    }
    assert_eq!(ledger.take_settled(), [OrderIndex(0)]);
    assert_eq!(ledger.open_count(), 0);
    assert_eq!(ledger.progress().completed, 1);
}

#[test]
fn a_long_log_is_dropped_and_the_fold_goes_on() {
    let mut ledger = Ledger::new(setup(2));
    let mut story = fetched();
    for n in 0..4_000 {
        let at = 200 + n * 10;
        story = story.exchange(
            result(0, ResultStatus::NotNow),
            brings(0),
            [at, at, at, at + 5, at + 5],
        );
    }
    let story = story.executed(0, 50_000, 50_000).exchange(
        done(0),
        Got::Empty,
        [50_000, 50_000, 50_000, 50_010, 50_010],
    );
    for fact in &story.facts {
        ledger.record(fact);
        ledger.advance(fact.at);
    }
    let account = ledger.finish(ms(60_000));
    assert_eq!(account.slices.total(), 50_010_000);
    assert_eq!(account.slices.owned(Phase::Settle, Owner::Target), 10_000);
}

#[test]
fn an_observed_command_lives_from_the_push_that_brought_the_device() {
    let mut ledger = Ledger::new(Setup {
        orders: Vec::new(),
        requests: Vec::new(),
        orderer: Orderer::Elsewhere,
        ..setup(0)
    });
    let story = Story::default()
        .push(1, 100)
        .delivered(1, 120, 120)
        .woke(130, 130, WakeReason::Push)
        .exchange(Said::Idle, brings(0), [130, 130, 140, 150, 150])
        .executed(0, 160, 160)
        .exchange(done(0), Got::Empty, [160, 160, 160, 170, 170])
        .ended(170)
        .exchange(Said::Idle, brings(2), [300, 300, 300, 310, 310]);
    for fact in &story.facts {
        ledger.record(fact);
        ledger.advance(fact.at);
    }
    let account = ledger.finish(ms(1_000));
    assert_eq!(account.requests, ["DeviceInformation"]);
    insta::assert_snapshot!(show(&account), @"
    delivery device 20
    wake device 10
    wake network 10
    fetch target 10
    execute device 10
    settle target 10
    push-to-completion 70
    1 pending in execute: under-way of device
    ");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The ledger asserts both sums itself; it must not panic on anything.
    #[test]
    fn whatever_is_recorded_every_sum_holds(
        facts in proptest::collection::vec(any_fact(), 0..120),
        advances in proptest::collection::vec(0..10_000_u64, 0..10),
        observed in any::<bool>(),
    ) {
        let mut setup = setup(4);
        if observed {
            setup.orderer = Orderer::Elsewhere;
            setup.orders.clear();
        }
        let mut ledger = Ledger::new(setup);
        ledger.take_snapshots_after([0, 1, 4, 20].map(Duration::from_secs).to_vec());
        let every = facts.len() / (advances.len() + 1) + 1;
        for (n, fact) in facts.iter().enumerate() {
            ledger.record(fact);
            if n % every == every - 1 {
                ledger.advance(ms(advances[n / every % advances.len().max(1)]));
            }
        }
        let account = ledger.finish(ms(10_000));
        let tally = account.tally(|_, _| true);
        prop_assert!(tally.is_conserved());
        prop_assert_eq!(tally.pending, account.pending.len() as u64);
        prop_assert_eq!(account.snapshots.len(), 4);
        let closing = account.closing();
        let last = account.snapshots.last().unwrap();
        prop_assert!(last.tallies.iter().all(Tally::is_conserved));
        prop_assert_eq!(closing.tallies[0].ordered + closing.tallies[1].ordered, tally.ordered);
        let failed: u64 = account.failures.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(failed, tally.failed);
    }
}
