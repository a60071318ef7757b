//! Ways in which a device might never come back, or not when it should: each was a bug once.

use std::time::Duration;

use insta::assert_snapshot;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::Change;
use mdmstorm::device::traits::{
    Begins, Nat, Platform, PollOn, PushLink, Rhythm, Shape, Traits, Window,
};
use mdmstorm::seed::Dist;

use crate::rig::{Rig, Says, check, refuses, traits};

const HOUR: u64 = 3_600;

fn constant(secs: u64) -> Dist {
    Dist::Constant(Duration::from_secs(secs))
}

/// Asleep every day from and to these minutes after midnight, each edge so much later.
fn asleep_daily(from: u64, to: u64, late: u64) -> Traits {
    let minutes = |minutes| Duration::from_secs(minutes * 60);
    let shape = Shape::Daily {
        windows: vec![Window {
            from: minutes(from),
            to: minutes(to),
        }],
        days: [true; 7],
        spread: constant(late * 60),
    };
    Traits {
        rhythms: vec![Rhythm {
            condition: Condition::Asleep,
            shape,
        }],
        ..traits()
    }
}

#[test]
fn a_push_in_mid_session_is_not_forgotten_when_a_reason_for_not_now_ends_too() {
    // The reason ends while NotNow is the last status sent, and another status follows: the poll
    // for the refused command falls away, the look for the push must not.
    let story = Rig::enrolled_as(refuses("ProfileList", 1))
        .serve([
            Says::Command(0, "ProfileList"),
            Says::Command(1, "DeviceInformation"),
            Says::Empty,
        ])
        .push()
        .until(1)
        .push()
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.000s push 1 accepted
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    1.600s refuses #0: busy
    1.600s -> NotNow #0
    1.700s <- #1 DeviceInformation
    2.000s push 1 delivered
    2.600s would execute #0 again, polls
    2.700s has executed #1
    2.700s -> Acknowledged #1
    2.800s <- nothing
    2.800s closes
    2.800s session over
    3.300s wakes: Push
    3.300s -> Idle
    3.400s <- nothing
    3.400s closes
    3.400s session over
    ");
}

#[test]
fn a_token_that_changes_does_not_swallow_the_push_the_device_wakes_for() {
    let story = Rig::enrolled()
        .push()
        .until(1)
        .change(Change::RotateToken)
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.000s has token 1
    1.500s wakes: Push
    1.500s -> TokenUpdate
    1.600s <- nothing
    1.600s closes
    1.600s session over
    2.100s wakes: Push
    2.100s -> Idle
    2.200s <- nothing
    2.200s closes
    2.200s session over
    ");
}

#[test]
fn nor_the_poll_that_failed_before() {
    let story = Rig::enrolled()
        .serve([Says::Status(503)])
        .push()
        .until(2)
        .change(Change::RotateToken)
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- 503
    1.600s closes
    1.600s session over
    2.000s has token 1
    3.208s wakes: Retry
    3.208s -> TokenUpdate
    3.308s <- nothing
    3.308s closes
    3.308s session over
    3.808s wakes: Retry
    3.808s -> Idle
    3.908s <- nothing
    3.908s closes
    3.908s session over
    ");
}

#[test]
fn a_device_that_is_switched_off_in_mid_restart_stays_off() {
    let slow = Traits {
        boot: constant(30),
        ..traits()
    };
    let story = Rig::enrolled_as(slow)
        .change(Change::Reboot)
        .until(10)
        .change(Change::Enter(Condition::Off))
        .push()
        .until(100)
        .change(Change::Leave(Condition::Off))
        .until(110);
    assert_snapshot!(check(story), @r"
    0.000s is off
    10.000s push 0 accepted
    10.000s push 0 stored
    100.000s is awake and online
    102.000s push 0 delivered
    102.500s wakes: Push
    102.500s -> Idle
    102.600s <- nothing
    102.600s closes
    102.600s session over
    ");
}

#[test]
fn a_user_who_was_told_410_is_announced_again_at_the_next_login() {
    // protocol.md 2.4: that user is not managed until then.
    let mac = Traits {
        platform: Platform::Mac,
        users: 1,
        ..traits()
    };
    let story = Rig::enrolled_as(mac)
        .serve([Says::Empty, Says::Status(410)])
        .change(Change::RotateToken)
        .until(10)
        .change(Change::Enter(Condition::LoggedOut))
        .until(20)
        .change(Change::Leave(Condition::LoggedOut))
        .until(30);
    assert_snapshot!(check(story), @r"
    0.000s has token 1
    0.000s user 1 has token 1
    0.500s wakes: CheckIn
    0.500s -> TokenUpdate
    0.500s user 1 wakes: CheckIn
    0.500s user 1 -> TokenUpdate
    0.600s <- nothing
    0.600s closes
    0.600s session over
    0.600s user 1 <- 410
    0.600s user 1 closes
    0.600s user 1 session over
    10.000s is logged-out
    20.000s is awake and online
    20.500s user 1 wakes: CheckIn
    20.500s user 1 -> TokenUpdate
    20.600s user 1 <- nothing
    20.600s user 1 closes
    20.600s user 1 session over
    ");
}

#[test]
fn a_nap_at_noon_does_not_cost_the_night_its_sleep() {
    let story = Rig::enrolled_as(asleep_daily(22 * 60, 7 * 60, 0))
        .begin()
        .until(12 * HOUR)
        .change(Change::Enter(Condition::Asleep))
        .until(13 * HOUR)
        .change(Change::Leave(Condition::Asleep))
        .until(32 * HOUR);
    assert_snapshot!(check(story), @r"
    0.000s is asleep
    25200.000s is awake and online
    43200.000s is asleep
    46800.000s is awake and online
    79200.000s is asleep
    111600.000s is awake and online
    ");
}

#[test]
fn a_window_that_is_shorter_than_its_spread_ends_on_the_same_day() {
    let story = Rig::enrolled_as(asleep_daily(8 * 60, 8 * 60 + 5, 10))
        .begin()
        .until(24 * HOUR);
    assert_snapshot!(check(story), @r"
    29400.000s is asleep
    29700.000s is awake and online
    ");
}

#[test]
fn a_deaf_device_hears_again_once_it_is_back_on_the_network() {
    let nat = Nat {
        timeout: Duration::from_secs(300),
        keep_alive: constant(900),
    };
    let natted = Traits {
        push_link: PushLink {
            fallback_443: false,
            nat: Some(nat),
        },
        ..traits()
    };
    let story = Rig::enrolled_as(natted)
        .begin()
        .until(400)
        .push()
        .change(Change::Enter(Condition::Offline))
        .until(410)
        .change(Change::Leave(Condition::Offline))
        .until(420);
    assert_snapshot!(check(story), @r"
    228.830s is push-deaf
    400.000s push 0 accepted
    400.000s push 0 stored
    400.000s is offline, push-deaf
    410.000s is awake and online
    412.000s push 0 delivered
    412.500s wakes: Push
    412.500s -> Idle
    412.600s <- nothing
    412.600s closes
    412.600s session over
    ");
}

#[test]
fn a_push_makes_a_device_come_at_once_that_would_poll_later() {
    // protocol.md 1.4: the server may push anyway to force an immediate poll.
    let slow = Traits {
        poll_delay: constant(60),
        ..refuses("ProfileList", 5)
    };
    let story = Rig::enrolled_as(slow)
        .serve([Says::Command(0, "ProfileList")])
        .push()
        .until(10)
        .push()
        .until(90);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    1.600s refuses #0: busy
    1.600s -> NotNow #0
    1.700s <- nothing
    1.700s closes
    1.700s session over
    6.600s would execute #0 again, polls
    10.000s push 1 accepted
    11.000s push 1 delivered
    11.500s wakes: Push
    11.500s -> Idle
    11.600s <- nothing
    11.600s closes
    11.600s session over
    ");
}

#[test]
fn the_first_unlock_is_an_unlock_even_where_no_lock_is_simulated() {
    let polls = Traits {
        passcode: true,
        begins: vec![Begins {
            condition: Condition::BeforeFirstUnlock,
            share: 1.0,
        }],
        poll_on: PollOn {
            boot: false,
            unlock: true,
            network_return: false,
        },
        ..traits()
    };
    let story = Rig::enrolled_as(polls)
        .begin()
        .until(10)
        .change(Change::Leave(Condition::BeforeFirstUnlock))
        .change(Change::Leave(Condition::Locked))
        .until(20);
    assert_snapshot!(check(story), @r"
    0.000s is before-first-unlock
    10.000s is awake and online
    10.500s wakes: Unlock
    10.500s -> Idle
    10.600s <- nothing
    10.600s closes
    10.600s session over
    ");
}
