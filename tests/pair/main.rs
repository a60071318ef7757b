//! A crowd of devices and the reference server on virtual time, over a small network that may lose
//! what it carries: every order is settled exactly once, and the ledger can account for all of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod weather;
mod world;

use std::time::Duration;

use mdmstorm::ids::{DeviceId, OrderIndex};
use mdmstorm::metric::Phase;
use mdmstorm::record::account::Account;
use mdmstorm::record::cause::Cause;
use mdmstorm::seed::{Purpose, Seed};

use weather::{CALM, STORM};
use world::{DEVICES, END, ORDERING_MILLIS, ORDERS, TIME_ZERO, World};

/// Runs `story` for 30 seeds; a failure says which.
#[expect(clippy::print_stderr, reason = "a failure has to say its seed")]
fn with_seeds(story: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in 0..30 {
        if let Err(panic) = std::panic::catch_unwind(|| story(seed)) {
            eprintln!("the failing seed is {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Every order is settled once, and the account says so too.
fn check_settled(account: &Account, settled: &[(DeviceId, OrderIndex)]) {
    let mut orders: Vec<u32> = settled.iter().map(|(_, order)| order.0).collect();
    orders.sort_unstable();
    let why: Vec<_> = account
        .pending
        .iter()
        .map(|it| (it.cause, &it.evidence))
        .collect();
    assert_eq!(orders, (0..ORDERS).collect::<Vec<_>>(), "pending: {why:?}");
    let tally = account.tally(|_, _| true);
    assert_eq!(
        (tally.ordered, tally.completed),
        (ORDERS.into(), ORDERS.into())
    );
    assert_eq!(account.pending.len(), 0);
    assert_eq!(account.beside.duplicate, 0);
    assert_eq!(account.beside.ghost, 0);
    assert_eq!(account.beside.violations, 0);
    assert_eq!(account.all_devices().enrolled, u64::from(DEVICES));
}

#[test]
fn in_calm_weather_every_order_is_settled_once_and_in_its_devices_order() {
    with_seeds(|seed| {
        let (account, settled) = World::new(seed, CALM).run(END);
        check_settled(&account, &settled);
        let seed = Seed(seed);
        let arrival = |order: u32| {
            let mut draw = seed.draw(Purpose::Arrival, 0, order.into(), 0);
            (draw.below(ORDERING_MILLIS), order)
        };
        for device in (0..DEVICES).map(DeviceId) {
            let seen: Vec<u32> = settled
                .iter()
                .filter(|(by, _)| *by == device)
                .map(|(_, it)| it.0)
                .collect();
            let mut ordered = seen.clone();
            ordered.sort_by_key(|order| arrival(*order));
            assert_eq!(seen, ordered, "device {}", device.0);
        }
        assert_eq!(account.beside.lost, 0);
        assert_eq!(account.slices.phase(Phase::Retry), None);
        assert_eq!(account.slices.phase(Phase::Deferral), None);
    });
}

#[test]
fn in_a_storm_every_order_is_settled_once_all_the_same() {
    with_seeds(|seed| {
        let (account, settled) = World::new(seed, STORM).run(END);
        check_settled(&account, &settled);
        assert!(
            account.beside.lost > 0 && account.beside.not_now > 0,
            "that was no storm"
        );
    });
}

/// The server is correct, so no cause may accuse it of an error or a missing push; requests the
/// network loses look as if it could not be reached, or are yet to be made again.
#[test]
fn wherever_a_run_stops_no_pending_order_is_blamed_on_a_server_without_fault() {
    with_seeds(|seed| {
        for minutes in [1, 4, 9, 15, 30] {
            let end = TIME_ZERO + Duration::from_secs(minutes * 60);
            let (account, _) = World::new(seed, STORM).run(end);
            for pending in &account.pending {
                let is_fair = matches!(
                    pending.cause,
                    Cause::DeviceOffline
                        | Cause::DeviceAsleep
                        | Cause::NotNowWaiting
                        | Cause::HeadOfLine
                        // A correct server takes a minute before it pushes again.
                        | Cause::NotNowNotRepushed
                        | Cause::TargetUnreachable
                        // The network loses an answer while others arrive.
                        | Cause::ServerSlow
                        | Cause::RequestLost
                        | Cause::UnderWay
                );
                assert!(is_fair, "after {minutes} min: {pending:?}");
            }
        }
    });
}

#[test]
fn the_same_seed_settles_the_same_orders_in_the_same_order() {
    let (_, once) = World::new(11, STORM).run(END);
    let (_, again) = World::new(11, STORM).run(END);
    assert_eq!(once, again);
}
