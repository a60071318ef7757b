//! Sessions: from a push to the empty answer, and what goes wrong on the way.

use std::time::Duration;

use insta::assert_snapshot;
use mdmstorm::device::traits::{Platform, Traits};
use mdmstorm::seed::Dist;

use crate::rig::{Rig, Says, check, traits};

#[test]
fn a_push_wakes_it_and_it_runs_commands_until_the_empty_answer() {
    let story = Rig::enrolled()
        .serve([
            Says::Command(0, "ProfileList"),
            Says::Command(1, "SecurityInfo"),
        ])
        .push()
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    2.600s has executed #0
    2.600s -> Acknowledged #0
    2.700s <- #1 SecurityInfo
    3.700s has executed #1
    3.700s -> Acknowledged #1
    3.800s <- nothing
    3.800s closes
    3.800s session over
    ");
}

#[test]
fn a_push_with_the_wrong_topic_or_magic_is_ignored() {
    let story = Rig::enrolled()
        .push_to_topic("com.apple.mgmt.other")
        .until(10)
        .push_with_magic(Some("another"))
        .until(20)
        .push_with_magic(None)
        .until(30);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.000s push 0 ignored: WrongTopic
    10.000s push 1 accepted
    11.000s push 1 delivered
    11.000s push 1 ignored: WrongMagic
    20.000s push 2 accepted
    21.000s push 2 delivered
    21.000s push 2 ignored: WrongMagic
    ");
}

#[test]
fn pushes_during_a_session_lead_to_one_more_session() {
    let story = Rig::enrolled()
        .serve([Says::Command(0, "ProfileList")])
        .push()
        .until(1)
        .push()
        .until(2)
        .push()
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.000s push 1 accepted
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    2.000s push 1 delivered
    2.000s push 2 accepted
    2.600s has executed #0
    2.600s -> Acknowledged #0
    2.700s <- nothing
    2.700s closes
    2.700s session over
    3.000s push 2 delivered
    3.200s wakes: Push
    3.200s -> Idle
    3.300s <- nothing
    3.300s closes
    3.300s session over
    ");
}

#[test]
fn a_newer_push_on_its_way_takes_the_older_ones_place() {
    let story = Rig::enrolled().push().push().until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    0.000s push 1 accepted
    0.000s push 0 gives way to 1
    1.000s push 1 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- nothing
    1.600s closes
    1.600s session over
    ");
}

#[test]
fn a_result_that_was_not_taken_is_kept_and_sent_first_in_the_next_session() {
    let story = Rig::enrolled()
        .serve([
            Says::Command(0, "ProfileList"),
            Says::Status(500),
            Says::Cut,
            Says::Command(1, "ProfileList"),
        ])
        .push()
        .until(100);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    2.600s has executed #0
    2.600s -> Acknowledged #0
    2.700s <- 500
    2.700s closes
    2.700s session over
    4.308s wakes: Retry
    4.308s -> Acknowledged #0
    4.408s <- the connection was cut: reset by peer
    4.408s closes
    4.408s session over
    14.047s wakes: Retry
    14.047s -> Acknowledged #0
    14.147s <- #1 ProfileList
    15.147s has executed #1
    15.147s -> Acknowledged #1
    15.247s <- nothing
    15.247s closes
    15.247s session over
    ");
}

#[test]
fn a_push_ends_the_wait_after_a_failure() {
    let story = Rig::enrolled()
        .serve([Says::Command(0, "ProfileList"), Says::Status(500)])
        .push()
        .until(3)
        .push()
        .until(100);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 ProfileList
    2.600s has executed #0
    2.600s -> Acknowledged #0
    2.700s <- 500
    2.700s closes
    2.700s session over
    3.000s push 1 accepted
    4.000s push 1 delivered
    4.500s wakes: Push
    4.500s -> Acknowledged #0
    4.600s <- nothing
    4.600s closes
    4.600s session over
    ");
}

#[test]
fn an_unknown_request_type_is_an_error() {
    let story = Rig::enrolled()
        .serve([Says::Command(0, "MakeCoffee")])
        .push()
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 MakeCoffee
    2.600s has executed #0
    2.600s -> Error #0 MCMDMErrorDomain 12021
    2.700s <- nothing
    2.700s closes
    2.700s session over
    ");
}

#[test]
fn a_mac_answers_an_unknown_request_type_in_its_own_domain() {
    let mac = Traits {
        platform: Platform::Mac,
        ..traits()
    };
    let story = Rig::enrolled_as(mac)
        .serve([Says::Command(0, "MakeCoffee")])
        .push()
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 MakeCoffee
    2.600s has executed #0
    2.600s -> Error #0 MCMDMErrorDomain 12021
    2.700s <- nothing
    2.700s closes
    2.700s session over
    ");
}

#[test]
fn a_command_without_request_type_is_a_format_error() {
    let uuid = crate::rig::uuid(0);
    let body = format!(
        "<plist version=\"1.0\"><dict><key>CommandUUID</key><string>{uuid}</string>\
         <key>Command</key><dict><key>A</key><true/></dict></dict></plist>"
    );
    let story = Rig::enrolled().serve([Says::Body(body)]).push().until(60);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #0 without request type
    1.600s -> CommandFormatError #0
    1.700s <- nothing
    1.700s closes
    1.700s session over
    ");
}

#[test]
fn what_cannot_be_told_apart_is_not_answered_and_the_waits_grow() {
    let nameless = "<plist version=\"1.0\"><dict><key>Command</key><dict>\
         <key>RequestType</key><string>ProfileList</string></dict></dict></plist>";
    let story = Rig::enrolled()
        .serve([
            Says::Body(nameless.into()),
            Says::Body("<html><body>Gateway</body></html>".into()),
            Says::Body("<plist version=\"1.0\"><array/></plist>".into()),
            Says::Body("<plist version=\"1.0\"><dict>".into()),
        ])
        .push()
        .until(3_600);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s violation: the command has no CommandUUID
    1.600s <- unreadable: the command has no CommandUUID
    1.600s closes
    1.600s session over
    3.208s wakes: Retry
    3.208s -> Idle
    3.308s violation: found HTML (<html><body>Gateway</body></html>), not an XML property list
    3.308s <- unreadable: found HTML (<html><body>Gateway</body></html>), not an XML property list
    3.308s closes
    3.308s session over
    12.947s wakes: Retry
    12.947s -> Idle
    13.047s violation: a command is a dictionary, but found an array
    13.047s <- unreadable: a command is a dictionary, but found an array
    13.047s closes
    13.047s session over
    24.599s wakes: Retry
    24.599s -> Idle
    24.699s violation: not a complete XML property list: it is cut short at byte 27
    24.699s <- unreadable: not a complete XML property list: it is cut short at byte 27
    24.699s closes
    24.699s session over
    45.621s wakes: Retry
    45.621s -> Idle
    45.721s <- nothing
    45.721s closes
    45.721s session over
    ");
}

#[test]
fn an_answer_it_does_not_wait_for_is_ignored() {
    let mut slow = traits();
    slow.wake_delay = Dist::Constant(Duration::from_millis(950));
    let story = Rig::enrolled_as(slow)
        .serve([Says::Command(0, "ProfileList")])
        .push()
        .until(2)
        .late_answer(7)
        .until(3)
        .late_answer(0)
        .until(60)
        .late_answer(1);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.950s wakes: Push
    1.950s -> Idle
    2.000s late answer to request 7
    2.050s <- #0 ProfileList
    3.000s late answer to request 0
    3.050s has executed #0
    3.050s -> Acknowledged #0
    3.150s <- nothing
    3.150s closes
    3.150s session over
    60.000s late answer to request 1
    ");
}
