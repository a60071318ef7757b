//! How a device takes what a server answers, and how it breaks the protocol on demand.

use std::time::Duration;

use insta::assert_snapshot;
use mdmstorm::device::contract::Change;
use mdmstorm::device::traits::{FailureRule, Misbehaviour, MisbehaviourRule, RuleScope, Traits};
use mdmstorm::seed::Dist;

use crate::rig::{Rig, Says, check, traits};

fn always(name: &str) -> RuleScope {
    RuleScope {
        number: 0,
        name: name.into(),
        requests: Vec::new(),
        probability: 1.0,
    }
}

fn that(does: Misbehaviour) -> Rig {
    let scope = always("rude");
    let rude = Traits {
        misbehaves: vec![MisbehaviourRule { scope, does }],
        ..traits()
    };
    Rig::enrolled_as(rude)
        .serve([Says::Command(0, "DeviceInformation")])
        .push()
}

#[test]
fn on_401_it_removes_the_profile_and_is_heard_of_no_more() {
    let story = Rig::enrolled()
        .serve([Says::Status(401)])
        .push()
        .until(10)
        .push()
        .until(20);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- 401
    1.600s closes
    1.600s session over
    1.600s has no token
    1.600s is not managed any more: the target answered 401
    10.000s push 1 accepted
    11.000s push 1 delivered
    11.000s push 1 ignored: NotEnrolled
    ");
}

#[test]
fn on_403_with_apples_code_too_and_on_another_403_it_tries_again() {
    let story = Rig::enrolled()
        .serve([Says::Status(403), Says::Unrecognized])
        .push()
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- 403
    1.600s closes
    1.600s session over
    3.208s wakes: Retry
    3.208s -> Idle
    3.308s <- 403
    3.308s closes
    3.308s session over
    3.308s has no token
    3.308s is not managed any more: the target answered 403
    ");
}

#[test]
fn a_changed_token_is_told_until_the_server_takes_it() {
    let story = Rig::enrolled()
        .serve([Says::Status(500)])
        .change(Change::RotateToken)
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s has token 1
    0.500s wakes: CheckIn
    0.500s -> TokenUpdate
    0.600s <- 500
    0.600s closes
    0.600s session over
    2.208s wakes: Retry
    2.208s -> TokenUpdate
    2.308s <- nothing
    2.308s closes
    2.308s session over
    ");
}

#[test]
fn enrolling_again_begins_with_authenticate_and_forgets_what_was_under_way() {
    let story = Rig::enrolled()
        .serve([Says::Command(0, "DeviceInformation")])
        .push()
        .until(2)
        .change(Change::Reenroll)
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.000s closes
    2.000s session over
    2.000s has token 1
    2.500s wakes: CheckIn
    2.500s -> Authenticate
    2.600s <- nothing
    2.600s -> TokenUpdate
    2.700s <- nothing
    2.700s closes
    2.700s session over
    ");
}

#[test]
fn a_rule_of_the_scenario_fails_a_command_until_an_event_ends_it() {
    let unlicensed = Traits {
        failures: vec![FailureRule {
            scope: always("no-licences"),
            domain: "MCMDMErrorDomain".into(),
            code: 12064,
            description: "no licence".into(),
        }],
        ..traits()
    };
    let story = Rig::enrolled_as(unlicensed)
        .serve([Says::Command(0, "DeviceInformation")])
        .push()
        .until(10)
        .change(Change::EndRule(0))
        .serve([Says::Command(1, "DeviceInformation")])
        .push()
        .until(20);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.600s has executed #0
    2.600s -> Error #0 MCMDMErrorDomain 12064
    2.700s <- nothing
    2.700s closes
    2.700s session over
    10.000s push 1 accepted
    11.000s push 1 delivered
    11.500s wakes: Push
    11.500s -> Idle
    11.600s <- #1 DeviceInformation
    12.600s has executed #1
    12.600s -> Acknowledged #1
    12.700s <- nothing
    12.700s closes
    12.700s session over
    ");
}

#[test]
fn a_duplicate_result() {
    assert_snapshot!(check(that(Misbehaviour::Duplicate).until(10)), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.600s has executed #0
    2.600s -> Acknowledged #0
    2.700s <- nothing
    2.700s -> Acknowledged #0
    2.800s <- nothing
    2.800s closes
    2.800s session over
    ");
}

#[test]
fn a_result_of_a_command_nobody_sent() {
    assert_snapshot!(check(that(Misbehaviour::UnknownCommand).until(10)), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.600s has executed #0
    2.600s -> Acknowledged ?
    2.700s <- nothing
    2.700s -> Acknowledged #0
    2.800s <- nothing
    2.800s closes
    2.800s session over
    ");
}

#[test]
fn a_late_result() {
    let late = Misbehaviour::Late(Dist::Constant(Duration::from_secs(30)));
    assert_snapshot!(check(that(late).until(60)), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.600s has executed #0
    2.600s closes
    2.600s session over
    32.600s wakes: Retry
    32.600s -> Acknowledged #0
    32.700s <- nothing
    32.700s closes
    32.700s session over
    ");
}

#[test]
fn no_result_at_all() {
    assert_snapshot!(check(that(Misbehaviour::Never).until(10)), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.600s has executed #0
    2.600s closes
    2.600s session over
    ");
}

#[test]
fn half_a_result_and_the_whole_one_after_the_refusal() {
    let story = that(Misbehaviour::Truncated).serve([Says::Status(400)]);
    assert_snapshot!(check(story.until(30)), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.600s has executed #0
    2.600s -> Acknowledged #0 garbled
    2.700s <- 400
    2.700s closes
    2.700s session over
    4.308s wakes: Retry
    4.308s -> Acknowledged #0
    4.408s <- nothing
    4.408s closes
    4.408s session over
    ");
}

#[test]
fn a_result_of_wrong_types() {
    let story = that(Misbehaviour::WrongTypes).serve([Says::Status(400)]);
    assert_snapshot!(check(story.until(30)), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 DeviceInformation
    2.600s has executed #0
    2.600s -> Acknowledged #0 garbled
    2.700s <- 400
    2.700s closes
    2.700s session over
    4.308s wakes: Retry
    4.308s -> Acknowledged #0
    4.408s <- nothing
    4.408s closes
    4.408s session over
    ");
}

#[test]
fn a_connection_dropped_after_sending() {
    assert_snapshot!(check(that(Misbehaviour::Drops).until(30)), @r"
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
    4.308s wakes: Retry
    4.308s -> Acknowledged #0
    4.408s <- nothing
    4.408s closes
    4.408s session over
    ");
}
