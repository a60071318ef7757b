//! Asleep and offline: what waits, and what comes first on return.

use std::time::Duration;

use insta::assert_snapshot;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::Change;
use mdmstorm::device::traits::{Rhythm, Traits};
use mdmstorm::seed::Dist;

use crate::rig::{Rig, Says, check, traits};

#[test]
fn pushes_to_a_sleeping_device_are_stored_and_only_the_newest_is_delivered() {
    let story = Rig::enrolled()
        .change(Change::Enter(Condition::Asleep))
        .push()
        .until(10)
        .push()
        .until(20)
        .change(Change::Leave(Condition::Asleep))
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s is asleep
    0.000s push 0 accepted
    0.000s push 0 stored
    10.000s push 1 accepted
    10.000s push 0 gives way to 1
    10.000s push 1 stored
    20.000s is awake and online
    22.000s push 1 delivered
    22.500s wakes: Push
    22.500s -> Idle
    22.600s <- nothing
    22.600s closes
    22.600s session over
    ");
}

#[test]
fn a_push_that_finds_the_device_asleep_on_arrival_is_stored_after_all() {
    let story = Rig::enrolled()
        .push()
        .change(Change::Enter(Condition::Asleep))
        .until(10)
        .change(Change::Leave(Condition::Asleep))
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    0.000s is asleep
    1.000s push 0 stored
    10.000s is awake and online
    12.000s push 0 delivered
    12.500s wakes: Push
    12.500s -> Idle
    12.600s <- nothing
    12.600s closes
    12.600s session over
    ");
}

#[test]
fn a_result_that_is_ready_off_the_network_goes_first_on_return() {
    let story = Rig::enrolled()
        .serve([Says::Command(0, "ProfileList"), Says::Empty])
        .push()
        .until(2)
        .change(Change::Enter(Condition::Offline))
        .push()
        .until(200)
        .change(Change::Leave(Condition::Offline))
        .until(300);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    2.000s is offline
    2.000s push 1 accepted
    2.000s push 1 stored
    2.600s has executed #0
    2.600s closes
    2.600s session over
    200.000s is awake and online
    200.500s wakes: NetworkReturn
    200.500s -> Acknowledged #0
    200.600s <- nothing
    200.600s closes
    200.600s session over
    202.000s push 1 delivered
    202.500s wakes: Push
    202.500s -> Idle
    202.600s <- nothing
    202.600s closes
    202.600s session over
    ");
}

#[test]
fn a_request_under_way_comes_back_as_lost_when_the_network_goes() {
    let mut slow = traits();
    slow.wake_delay = Dist::Constant(Duration::from_millis(950));
    let story = Rig::enrolled_as(slow)
        .push()
        .until(2)
        .change(Change::Enter(Condition::Offline))
        .until(100)
        .change(Change::Leave(Condition::Offline))
        .until(200);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.950s wakes: Push
    1.950s -> Idle
    2.000s is offline
    2.000s closes
    2.000s <- the connection was cut: reset by peer
    2.000s closes
    2.000s session over
    100.000s is awake and online
    100.950s wakes: NetworkReturn
    100.950s -> Idle
    101.050s <- nothing
    101.050s closes
    101.050s session over
    ");
}

#[test]
fn a_device_without_network_does_not_connect() {
    let story = Rig::enrolled()
        .push()
        .until(1)
        .change(Change::Enter(Condition::Offline))
        .until(50)
        .change(Change::Leave(Condition::Offline))
        .until(100);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.000s is offline
    50.000s is awake and online
    50.500s wakes: NetworkReturn
    50.500s -> Idle
    50.600s <- nothing
    50.600s closes
    50.600s session over
    ");
}

#[test]
fn coming_online_while_asleep_is_no_return() {
    let story = Rig::enrolled()
        .change(Change::Enter(Condition::Asleep))
        .change(Change::Enter(Condition::Offline))
        .push()
        .until(10)
        .change(Change::Leave(Condition::Offline))
        .until(20)
        .change(Change::Leave(Condition::Asleep))
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s is asleep
    0.000s is offline, asleep
    0.000s push 0 accepted
    0.000s push 0 stored
    10.000s is asleep
    20.000s is awake and online
    22.000s push 0 delivered
    22.500s wakes: Push
    22.500s -> Idle
    22.600s <- nothing
    22.600s closes
    22.600s session over
    ");
}

#[test]
fn sleep_alternates_from_time_zero_and_the_timeline_interrupts_it() {
    let constant = |secs| Dist::Constant(Duration::from_secs(secs));
    let sleep = Rhythm::by_turns(Condition::Asleep, constant(100), constant(20), 1.0);
    let cart = Traits {
        rhythms: vec![sleep],
        ..traits()
    };
    let story = Rig::enrolled_as(cart)
        .begin()
        .until(180)
        .change(Change::Leave(Condition::Asleep))
        .until(190)
        .change(Change::Enter(Condition::Asleep))
        .until(400)
        .change(Change::Leave(Condition::Asleep))
        .until(430);
    assert_snapshot!(check(story), @r"
    0.000s is asleep
    14.670s is awake and online
    34.670s is asleep
    134.670s is awake and online
    154.670s is asleep
    180.000s is awake and online
    190.000s is asleep
    400.000s is awake and online
    420.000s is asleep
    ");
}

#[test]
fn a_crashed_agent_runs_again_after_a_restart_and_asks_for_work() {
    let mut traits = traits();
    traits.poll_on.boot = true;
    let story = Rig::enrolled_as(traits)
        .change(Change::Enter(Condition::AgentStopped))
        .push()
        .until(10)
        .change(Change::Reboot)
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s is agent-stopped
    0.000s push 0 accepted
    1.000s push 0 delivered
    10.000s is off, agent-stopped
    10.010s is awake and online
    10.510s wakes: Boot
    10.510s -> Idle
    10.610s <- nothing
    10.610s closes
    10.610s session over
    ");
}
