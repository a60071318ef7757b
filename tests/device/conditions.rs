//! What a device is in, and what that does to pushes, commands and sessions.

use std::time::Duration;

use insta::assert_snapshot;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::Change;
use mdmstorm::device::traits::{Nat, Platform, PushLink, Rhythm, Shape, Traits, Window};
use mdmstorm::seed::Dist;

use crate::rig::{Rig, Says, check, traits};

fn constant(secs: u64) -> Dist {
    Dist::Constant(Duration::from_secs(secs))
}

fn with_passcode() -> Traits {
    Traits {
        passcode: true,
        ..traits()
    }
}

#[test]
fn a_blocked_push_port_keeps_pushes_away_and_lets_https_through() {
    let story = Rig::enrolled()
        .change(Change::Enter(Condition::PushBlocked))
        .push()
        .until(60)
        .change(Change::Leave(Condition::PushBlocked))
        .until(70);
    assert_snapshot!(check(story), @r"
    0.000s is push-blocked
    0.000s push 0 accepted
    0.000s push 0 stored
    60.000s is awake and online
    62.000s push 0 delivered
    62.500s wakes: Push
    62.500s -> Idle
    62.600s <- nothing
    62.600s closes
    62.600s session over
    ");
}

#[test]
fn with_the_fallback_to_443_a_blocked_port_does_not_matter() {
    let fallback = Traits {
        push_link: PushLink {
            fallback_443: true,
            nat: None,
        },
        ..traits()
    };
    let story = Rig::enrolled_as(fallback)
        .change(Change::Enter(Condition::PushBlocked))
        .push()
        .until(5);
    assert_snapshot!(check(story), @r"
    0.000s is push-blocked
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- nothing
    1.600s closes
    1.600s session over
    ");
}

#[test]
fn low_power_mode_holds_back_what_may_wait_and_nothing_else() {
    let story = Rig::enrolled()
        .change(Change::Enter(Condition::LowPower))
        .push_that_may_wait()
        .until(10)
        .change(Change::Leave(Condition::LowPower))
        .until(20)
        .change(Change::Enter(Condition::LowPower))
        .push()
        .until(30);
    assert_snapshot!(check(story), @r"
    0.000s is low-power
    0.000s push 0 accepted
    0.000s push 0 stored
    10.000s is awake and online
    12.000s push 0 delivered
    12.500s wakes: Push
    12.500s -> Idle
    12.600s <- nothing
    12.600s closes
    12.600s session over
    20.000s is low-power
    20.000s push 1 accepted
    21.000s push 1 delivered
    21.500s wakes: Push
    21.500s -> Idle
    21.600s <- nothing
    21.600s closes
    21.600s session over
    ");
}

#[test]
fn a_push_wakes_a_sleeping_device_where_its_cohort_says_so() {
    let light = Traits {
        woken_by_push: Some(constant(3)),
        ..traits()
    };
    let story = Rig::enrolled_as(light)
        .change(Change::Enter(Condition::Asleep))
        .push()
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s is asleep
    0.000s push 0 accepted
    4.000s push 0 delivered
    4.500s wakes: Push
    4.500s -> Idle
    4.600s <- nothing
    4.600s closes
    4.600s session over
    ");
}

#[test]
fn a_held_back_agent_has_the_push_and_connects_once_it_is_opened() {
    let story = Rig::enrolled()
        .change(Change::Enter(Condition::Throttled))
        .push()
        .until(60)
        .change(Change::Leave(Condition::Throttled))
        .until(70);
    assert_snapshot!(check(story), @r"
    0.000s is throttled
    0.000s push 0 accepted
    1.000s push 0 delivered
    60.000s is awake and online
    60.500s wakes: AgentReturn
    60.500s -> Idle
    60.600s <- nothing
    60.600s closes
    60.600s session over
    ");
}

#[test]
fn an_agent_that_crashes_in_mid_session_tries_again_once_it_runs() {
    let story = Rig::enrolled()
        .serve([Says::Command(0, "DeviceInformation")])
        .push()
        .until(2)
        .change(Change::Enter(Condition::AgentStopped))
        .until(60)
        .change(Change::Leave(Condition::AgentStopped))
        .until(70);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.000s is agent-stopped
    2.600s has executed #0
    2.600s closes
    2.600s session over
    60.000s is awake and online
    60.500s wakes: AgentReturn
    60.500s -> Acknowledged #0
    60.600s <- nothing
    60.600s closes
    60.600s session over
    ");
}

#[test]
fn a_restart_locks_a_device_with_a_passcode_until_its_first_unlock() {
    let slow = Traits {
        boot: constant(30),
        ..with_passcode()
    };
    let story = Rig::enrolled_as(slow)
        .serve([Says::Command(0, "SecurityInfo")])
        .change(Change::Reboot)
        .until(40)
        .push()
        .until(50)
        .change(Change::Leave(Condition::Locked))
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s is off
    30.000s is before-first-unlock, locked
    40.000s push 0 accepted
    41.000s push 0 delivered
    41.500s wakes: Push
    41.500s -> Idle
    41.600s <- #0 SecurityInfo
    41.600s refuses #0: before-first-unlock
    41.600s -> NotNow #0
    41.700s <- nothing
    41.700s closes
    41.700s session over
    50.000s is awake and online
    50.000s would execute #0 again, polls
    50.500s wakes: NotNowOver
    50.500s -> Idle
    50.600s <- nothing
    50.600s closes
    50.600s session over
    ");
}

#[test]
fn before_its_first_unlock_a_device_without_wifi_password_is_silent() {
    let silent = Traits {
        offline_before_first_unlock: true,
        boot: constant(5),
        ..with_passcode()
    };
    let story = Rig::enrolled_as(silent)
        .change(Change::Reboot)
        .until(10)
        .push()
        .until(60)
        .change(Change::Leave(Condition::BeforeFirstUnlock))
        .until(70);
    assert_snapshot!(check(story), @r"
    0.000s is off
    5.000s is offline, before-first-unlock, locked
    10.000s push 0 accepted
    10.000s push 0 stored
    60.000s is awake and online
    62.000s push 0 delivered
    62.500s wakes: Push
    62.500s -> Idle
    62.600s <- nothing
    62.600s closes
    62.600s session over
    ");
}

#[test]
fn what_is_executed_when_the_power_goes_is_lost_and_what_was_not_confirmed_is_sent_again() {
    let story = Rig::enrolled()
        .serve([
            Says::Command(0, "DeviceInformation"),
            Says::Cut,
            Says::Command(1, "DeviceInformation"),
        ])
        .push()
        .until(3)
        .change(Change::Enter(Condition::Off))
        .until(60)
        .change(Change::Leave(Condition::Off))
        .until(61)
        .change(Change::Enter(Condition::Off))
        .until(80)
        .change(Change::Leave(Condition::Off))
        .until(90);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.600s has executed #0
    2.600s -> Acknowledged #0
    2.700s <- the connection was cut: reset by peer
    2.700s closes
    2.700s session over
    3.000s is off
    60.000s is awake and online
    60.500s wakes: NetworkReturn
    60.500s -> Acknowledged #0
    60.600s <- #1 DeviceInformation
    61.000s is off
    61.000s closes
    61.000s session over
    80.000s is awake and online
    80.500s wakes: NetworkReturn
    80.500s -> Idle
    80.600s <- nothing
    80.600s closes
    80.600s session over
    ");
}

#[test]
fn a_nat_makes_the_device_deaf_between_two_keep_alives() {
    let behind_nat = Traits {
        push_link: PushLink {
            fallback_443: false,
            nat: Some(Nat {
                timeout: Duration::from_secs(100),
                keep_alive: constant(900),
            }),
        },
        ..traits()
    };
    let story = Rig::enrolled_as(behind_nat)
        .begin()
        .until(50)
        .push()
        .until(100)
        .until(200)
        .push()
        .until(1_000);
    assert_snapshot!(check(story), @r"
    50.000s push 0 accepted
    51.000s push 0 delivered
    51.500s wakes: Push
    51.500s -> Idle
    51.600s <- nothing
    51.600s closes
    51.600s session over
    151.000s is push-deaf
    200.000s push 1 accepted
    200.000s push 1 stored
    951.000s is awake and online
    953.000s push 1 delivered
    953.500s wakes: Push
    953.500s -> Idle
    953.600s <- nothing
    953.600s closes
    953.600s session over
    ");
}

#[test]
fn a_mac_in_power_nap_hears_a_push_that_came_in_its_sleep() {
    let shut = Traits {
        rhythms: vec![
            Rhythm::by_turns(Condition::Asleep, constant(36_000), constant(60), 1.0),
            Rhythm::by_turns(Condition::DarkWake, constant(60), constant(3_600), 0.0),
        ],
        ..Traits {
            platform: Platform::Mac,
            ..traits()
        }
    };
    let story = Rig::enrolled_as(shut).begin().push().until(3_700);
    assert_snapshot!(check(story), @r"
    0.000s is asleep
    0.000s push 0 accepted
    0.000s push 0 stored
    1557.073s is asleep, dark-wake
    1559.073s push 0 delivered
    1559.573s wakes: Push
    1559.573s -> Idle
    1559.673s <- nothing
    1559.673s closes
    1559.673s session over
    1617.073s is asleep
    ");
}

#[test]
fn a_daily_window_holds_at_its_hours_in_the_devices_own_time() {
    let nights = Traits {
        rhythms: vec![Rhythm {
            condition: Condition::Asleep,
            shape: Shape::Daily {
                windows: vec![Window {
                    from: Duration::from_secs(22 * 3_600),
                    to: Duration::from_secs(7 * 3_600),
                }],
                days: [true, true, true, true, true, false, false],
                spread: constant(60),
            },
        }],
        // Time zero is Monday 00:00, which is 02:00 there.
        utc_offset_seconds: 7_200,
        ..traits()
    };
    let story = Rig::enrolled_as(nights).begin().until(8 * 24 * 3_600);
    assert_snapshot!(check(story), @r"
    72060.000s is asleep
    104460.000s is awake and online
    158460.000s is asleep
    190860.000s is awake and online
    244860.000s is asleep
    277260.000s is awake and online
    331260.000s is asleep
    363660.000s is awake and online
    417660.000s is asleep
    450060.000s is awake and online
    676860.000s is asleep
    ");
}

#[test]
fn one_that_is_gone_never_comes_back() {
    let story = Rig::enrolled()
        .change(Change::Enter(Condition::Gone))
        .push()
        .until(100)
        .change(Change::Leave(Condition::Gone))
        .until(200);
    assert_snapshot!(check(story), @r"
    0.000s is gone
    0.000s push 0 accepted
    0.000s push 0 stored
    ");
}

/// A Mac whose lid was shut executed whatever a push brought, on battery too: only its own naps
/// counted as Power Nap.
#[test]
fn a_mac_on_battery_that_a_push_wakes_refuses_all_but_the_nine() {
    let shut = Traits {
        platform: Platform::Mac,
        woken_by_push: Some(constant(1)),
        ..traits()
    };
    let story = Rig::enrolled_as(shut)
        .serve([Says::Command(0, "DeviceInformation")])
        .change(Change::Enter(Condition::OnBattery))
        .change(Change::Enter(Condition::Asleep))
        .push()
        .until(10)
        .change(Change::Leave(Condition::Asleep))
        .until(20);
    assert_snapshot!(check(story), @r"
    0.000s is on-battery
    0.000s is asleep, on-battery
    0.000s push 0 accepted
    2.000s push 0 delivered
    2.500s wakes: Push
    2.500s -> Idle
    2.600s <- #0 DeviceInformation
    2.600s refuses #0: dark-wake
    2.600s -> NotNow #0
    2.700s <- nothing
    2.700s closes
    2.700s session over
    10.000s is on-battery
    10.000s would execute #0 again, polls
    10.500s wakes: NotNowOver
    10.500s -> Idle
    10.600s <- nothing
    10.600s closes
    10.600s session over
    ");
}
