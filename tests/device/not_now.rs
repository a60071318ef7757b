//! NotNow: when a device comes back by itself, and when it leaves that to the server.

use insta::assert_snapshot;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::Change;

use crate::rig::{Rig, Says, check, refuses};

#[test]
fn after_a_last_not_now_it_polls_once_when_the_reason_is_over() {
    let story = Rig::enrolled_as(refuses("ProfileList", 30))
        .serve([Says::Command(0, "ProfileList"), Says::Empty])
        .push()
        .until(300);
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
    31.600s would execute #0 again, polls
    32.100s wakes: NotNowOver
    32.100s -> Idle
    32.200s <- nothing
    32.200s closes
    32.200s session over
    ");
}

#[test]
fn after_another_status_in_the_same_session_it_does_not_poll() {
    let story = Rig::enrolled_as(refuses("ProfileList", 30))
        .serve([
            Says::Command(0, "ProfileList"),
            Says::Command(1, "SecurityInfo"),
        ])
        .push()
        .until(300);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    1.600s refuses #0: busy
    1.600s -> NotNow #0
    1.700s <- #1 SecurityInfo
    2.700s has executed #1
    2.700s -> Acknowledged #1
    2.800s <- nothing
    2.800s closes
    2.800s session over
    31.600s would execute #0 again, waits for a push
    ");
}

#[test]
fn a_reason_that_ends_before_the_not_now_is_delivered_still_makes_it_poll() {
    let story = Rig::enrolled_as(refuses("ProfileList", 0))
        .serve([Says::Command(0, "ProfileList"), Says::Empty])
        .push()
        .until(300);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    1.600s refuses #0: busy
    1.600s -> NotNow #0
    1.600s would execute #0 again, polls
    1.700s <- nothing
    1.700s closes
    1.700s session over
    2.200s wakes: NotNowOver
    2.200s -> Idle
    2.300s <- nothing
    2.300s closes
    2.300s session over
    ");
}

#[test]
fn a_reason_that_ends_while_the_not_now_waits_to_be_sent_again_makes_it_poll() {
    let story = Rig::enrolled_as(refuses("ProfileList", 1))
        .serve([Says::Command(0, "ProfileList"), Says::Cut, Says::Empty])
        .push()
        .until(300);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    1.600s refuses #0: busy
    1.600s -> NotNow #0
    1.700s <- the connection was cut: reset by peer
    1.700s closes
    1.700s session over
    2.600s would execute #0 again, polls
    3.308s wakes: Retry
    3.308s -> NotNow #0
    3.408s <- nothing
    3.408s closes
    3.408s session over
    3.908s wakes: NotNowOver
    3.908s -> Idle
    4.008s <- nothing
    4.008s closes
    4.008s session over
    ");
}

#[test]
fn a_reason_that_ends_off_the_network_makes_it_deliver_and_then_poll() {
    let story = Rig::enrolled_as(refuses("ProfileList", 60))
        .serve([Says::Command(0, "ProfileList"), Says::Cut, Says::Empty])
        .push()
        .until(2)
        .change(Change::Enter(Condition::Offline))
        .until(100)
        .change(Change::Leave(Condition::Offline))
        .until(300);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    1.600s refuses #0: busy
    1.600s -> NotNow #0
    1.700s <- the connection was cut: reset by peer
    1.700s closes
    1.700s session over
    2.000s is offline
    61.600s would execute #0 again, polls
    100.000s is awake and online
    100.500s wakes: NotNowOver
    100.500s -> NotNow #0
    100.600s <- nothing
    100.600s closes
    100.600s session over
    101.100s wakes: NotNowOver
    101.100s -> Idle
    101.200s <- nothing
    101.200s closes
    101.200s session over
    ");
}

#[test]
fn a_reason_that_ends_in_its_sleep_makes_it_poll_after_waking() {
    let story = Rig::enrolled_as(refuses("ProfileList", 30))
        .serve([Says::Command(0, "ProfileList"), Says::Empty])
        .push()
        .until(10)
        .change(Change::Enter(Condition::Asleep))
        .until(100)
        .change(Change::Leave(Condition::Asleep))
        .until(200);
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
    10.000s is asleep
    31.600s would execute #0 again, polls
    100.000s is awake and online
    100.500s wakes: NotNowOver
    100.500s -> Idle
    100.600s <- nothing
    100.600s closes
    100.600s session over
    ");
}

#[test]
fn a_refused_command_is_refused_again_while_the_reason_holds() {
    let story = Rig::enrolled_as(refuses("ProfileList", 30))
        .serve([
            Says::Command(0, "ProfileList"),
            Says::Command(0, "ProfileList"),
            Says::Empty,
        ])
        .push()
        .until(20)
        .serve([Says::Command(0, "ProfileList"), Says::Empty])
        .push()
        .until(300);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    1.600s refuses #0: busy
    1.600s -> NotNow #0
    1.700s <- #0 ProfileList
    1.700s refuses #0: busy
    1.700s -> NotNow #0
    1.800s <- nothing
    1.800s closes
    1.800s session over
    20.000s push 1 accepted
    21.000s push 1 delivered
    21.500s wakes: Push
    21.500s -> Idle
    21.600s <- #0 ProfileList
    21.600s refuses #0: busy
    21.600s -> NotNow #0
    21.700s <- nothing
    21.700s closes
    21.700s session over
    31.600s would execute #0 again, polls
    32.100s wakes: NotNowOver
    32.100s -> Idle
    32.200s <- nothing
    32.200s closes
    32.200s session over
    ");
}

/// A device whose agent crashed with a NotNow to deliver: the reason ended, a push came, and the poll
/// after NotNow was forgotten over the push; the server waited for it for ever.
#[test]
fn a_push_to_a_crashed_agent_does_not_make_it_forget_to_poll() {
    let story = Rig::enrolled_as(refuses("ProfileList", 20))
        .serve([Says::Command(0, "ProfileList"), Says::Cut])
        .push()
        .until(1)
        .until(2)
        .change(Change::Enter(Condition::AgentStopped))
        .until(60)
        .push()
        .until(100)
        .change(Change::Leave(Condition::AgentStopped))
        .until(120);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    1.600s refuses #0: busy
    1.600s -> NotNow #0
    1.700s <- the connection was cut: reset by peer
    1.700s closes
    1.700s session over
    2.000s is agent-stopped
    21.600s would execute #0 again, polls
    60.000s push 1 accepted
    61.000s push 1 delivered
    100.000s is awake and online
    100.500s wakes: NotNowOver
    100.500s -> NotNow #0
    100.600s <- nothing
    100.600s closes
    100.600s session over
    101.100s wakes: NotNowOver
    101.100s -> Idle
    101.200s <- nothing
    101.200s closes
    101.200s session over
    ");
}

#[test]
fn what_apple_lets_no_device_refuse_is_executed() {
    let mut always = refuses("", 30);
    always.not_now[0].scope.requests.clear();
    let story = Rig::enrolled_as(always)
        .serve([
            Says::Command(0, "ProfileList"),
            Says::Command(1, "SecurityInfo"),
        ])
        .push()
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    2.600s has executed #0
    2.600s -> Acknowledged #0
    2.700s <- #1 SecurityInfo
    2.700s refuses #1: busy
    2.700s -> NotNow #1
    2.800s <- nothing
    2.800s closes
    2.800s session over
    ");
}

#[test]
fn a_not_now_that_is_over_before_it_is_delivered_outlives_a_token_update() {
    let story = Rig::enrolled_as(refuses("ProfileList", 5))
        .serve([Says::Command(1, "ProfileList"), Says::Cut])
        .push()
        .until(2)
        .change(Change::Enter(Condition::Offline))
        .until(4)
        .change(Change::RotateToken)
        .until(20)
        .change(Change::Leave(Condition::Offline))
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #1 ProfileList
    1.600s refuses #1: busy
    1.600s -> NotNow #1
    1.700s <- the connection was cut: reset by peer
    1.700s closes
    1.700s session over
    2.000s is offline
    4.000s has token 1
    6.600s would execute #1 again, polls
    20.000s is awake and online
    20.500s wakes: NotNowOver
    20.500s -> TokenUpdate
    20.600s <- nothing
    20.600s closes
    20.600s session over
    21.100s wakes: NotNowOver
    21.100s -> NotNow #1
    21.200s <- nothing
    21.200s closes
    21.200s session over
    21.700s wakes: NotNowOver
    21.700s -> Idle
    21.800s <- nothing
    21.800s closes
    21.800s session over
    ");
}
