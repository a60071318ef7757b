//! What a device believes the time is: it colours what the device says and checks.

use std::time::Duration;

use insta::assert_snapshot;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::Change;
use mdmstorm::device::traits::{ClockTraits, Traits};
use mdmstorm::seed::Dist;

use crate::rig::{Rig, Says, check, traits};

const MINUTE_US: i64 = 60_000_000;

fn wrong(clock: ClockTraits) -> Traits {
    Traits { clock, ..traits() }
}

fn right() -> ClockTraits {
    traits().clock
}

#[test]
fn beyond_its_tolerance_a_device_refuses_tls_until_the_clock_is_set_right() {
    let impatient = wrong(ClockTraits {
        share: 1.0,
        offset_us: -11 * MINUTE_US,
        tls_tolerance: Some(Duration::from_secs(300)),
        ..right()
    });
    let story = Rig::enrolled_as(impatient)
        .begin()
        .push()
        .until(3)
        .change(Change::SyncClock)
        .until(20);
    assert_snapshot!(check(story), @r"
    0.000s has a clock -660000 ms ahead
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- the connection was cut: reset by peer
    1.600s closes
    1.600s session over
    3.000s has a clock 0 ms ahead
    3.208s wakes: Retry
    3.208s -> Idle
    3.308s <- nothing
    3.308s closes
    3.308s session over
    ");
}

#[test]
fn a_clock_that_drifts_is_set_right_every_hour_while_online() {
    let drifts = wrong(ClockTraits {
        share: 1.0,
        drift_ppm: 1_000.0,
        resync: Some(Dist::Constant(Duration::from_secs(3_600))),
        ..right()
    });
    let story = Rig::enrolled_as(drifts)
        .begin()
        .until(3_000)
        .change(Change::Enter(Condition::Offline))
        .until(7_000)
        .change(Change::Leave(Condition::Offline))
        .until(12_000);
    assert_snapshot!(check(story), @r"
    0.000s has a clock 0 ms ahead
    3000.000s is offline
    7000.000s is awake and online
    7200.000s has a clock 0 ms ahead
    10800.000s has a clock 0 ms ahead
    ");
}

#[test]
fn a_flat_battery_takes_the_clock_with_it_until_the_next_resync() {
    let flat = wrong(ClockTraits {
        flat_battery: true,
        resync: Some(Dist::Constant(Duration::from_secs(60))),
        ..right()
    });
    let story = Rig::enrolled_as(flat)
        .begin()
        .change(Change::Enter(Condition::Off))
        .until(10)
        .change(Change::Leave(Condition::Off))
        .until(100);
    assert_snapshot!(check(story), @r"
    0.000s is off
    10.000s is awake and online
    10.000s has a clock 946684790000 ms ahead
    70.000s has a clock 0 ms ahead
    ");
}

#[test]
fn a_signature_refused_by_its_time_is_tried_again_and_says_how_wrong_the_clock_is() {
    let story = Rig::enrolled()
        .serve([Says::Status(400)])
        .change(Change::SetClock(90 * 24 * 60 * MINUTE_US))
        .push()
        .until(20);
    assert_snapshot!(check(story), @r"
    0.000s has a clock 7776000000 ms ahead
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s has a clock 7776000000 ms ahead
    1.600s <- 400
    1.600s closes
    1.600s session over
    3.208s wakes: Retry
    3.208s -> Idle
    3.308s <- nothing
    3.308s closes
    3.308s session over
    ");
}
