//! What a device says and asks beside commands: check-in messages and their occasions.

use insta::assert_snapshot;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::{Change, Wish};
use mdmstorm::device::environment::Terms;
use mdmstorm::device::keepsake::{Keepsake, Start};
use mdmstorm::device::traits::{Platform, Traits};
use mdmstorm::protocol::checkin::{BootstrapToken, CheckIn, TokenData, UserChallenge};
use mdmstorm::time::SimTime;

use crate::rig::{Rig, Says, check, traits};

const ENROLLS: Start = Start::Enrolls {
    at: SimTime::ZERO,
    has_identity: true,
};

fn mac() -> Traits {
    Traits {
        platform: Platform::Mac,
        os_version: "15.1".into(),
        ..traits()
    }
}

fn text(body: Vec<u8>) -> Says {
    Says::Body(String::from_utf8(body).unwrap())
}

fn enrolled_mac() -> Rig {
    let start = Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO);
    Rig::starts_as(mac(), Terms::default(), start)
}

#[test]
fn a_supervised_mac_escrows_its_bootstrap_token_once_it_is_enrolled() {
    let story = Rig::starts_as(mac(), Terms::default(), ENROLLS)
        .keeping()
        .until(10);
    assert!(story.keepsake().bootstrap_token.is_some());
    assert_snapshot!(check(story), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- nothing
    0.200s enrolled, begun at 0.000s
    0.200s -> SetBootstrapToken
    0.200s is to be kept
    0.300s <- nothing
    0.300s closes
    0.300s session over
    0.300s is to be kept
    ");
}

#[test]
fn a_server_without_bootstrap_tokens_keeps_no_command_waiting() {
    let story = Rig::starts_as(mac(), Terms::default(), ENROLLS)
        .serve([Says::Empty, Says::Empty, Says::Status(404)])
        .until(10)
        .push()
        .until(20);
    assert_eq!(story.keepsake().bootstrap_token, None);
    assert_snapshot!(check(story), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- nothing
    0.200s enrolled, begun at 0.000s
    0.200s -> SetBootstrapToken
    0.300s <- 404
    0.300s closes
    0.300s session over
    10.000s push 0 accepted
    11.000s push 0 delivered
    11.500s wakes: Push
    11.500s -> Idle
    11.600s <- nothing
    11.600s closes
    11.600s session over
    ");
}

#[test]
fn a_wish_that_gets_no_answer_waits_behind_commands_and_is_dropped_in_the_end() {
    let lost = [Says::Cut, Says::Cut, Says::Empty, Says::Cut];
    for fails in [
        lost,
        [
            Says::Status(503),
            Says::Status(503),
            Says::Empty,
            Says::Status(503),
        ],
    ] {
        let [first, second, nothing, third] = fails;
        let story = Rig::starts_as(mac(), Terms::default(), ENROLLS)
            .serve([
                Says::Empty,
                Says::Empty,
                first,
                Says::Empty,
                second,
                nothing,
                third,
            ])
            .until(600)
            .push()
            .until(700);
        let story = check(story);
        let said: Vec<_> = story
            .lines()
            .filter_map(|line| line.split_once("-> "))
            .map(|(_, said)| said)
            .collect();
        let wish = "SetBootstrapToken";
        let all = [
            "Authenticate",
            "TokenUpdate",
            wish,
            "Idle",
            wish,
            "Idle",
            wish,
            "Idle",
        ];
        assert_eq!(said, all, "{story}");
    }
}

#[test]
fn what_an_event_makes_a_device_ask_for_comes_back_as_content() {
    let token = Some(vec![1, 2, 3]);
    let story = enrolled_mac()
        .serve([
            text(BootstrapToken { token }.encode()),
            text(TokenData(vec![7; 10]).encode()),
            Says::Body("no JSON".into()),
        ])
        .change(Change::Wish(Wish::GetBootstrapToken))
        .change(Change::Wish(Wish::GetToken))
        .change(Change::Wish(Wish::Declarations))
        // Not of a Mac.
        .change(Change::Wish(Wish::ReturnToService))
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.500s wakes: CheckIn
    0.500s -> GetBootstrapToken
    0.600s <- 237 bytes
    0.600s -> GetToken
    0.700s <- 244 bytes
    0.700s -> DeclarativeManagement tokens
    0.800s violation: the answer to tokens is no JSON: expected ident at line 1 column 2
    0.800s <- unreadable: the answer to tokens is no JSON: expected ident at line 1 column 2
    0.800s closes
    0.800s session over
    ");
}

#[test]
fn a_declarative_management_command_is_followed_by_a_look_at_the_tokens() {
    let story = Rig::enrolled()
        .serve([Says::Command(1, "DeclarativeManagement")])
        .push()
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    1.000s push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- #1 DeclarativeManagement
    2.600s has executed #1
    2.600s -> Acknowledged #1
    2.700s <- nothing
    2.700s closes
    2.700s session over
    3.200s wakes: CheckIn
    3.200s -> DeclarativeManagement tokens
    3.300s <- nothing
    3.300s closes
    3.300s session over
    ");
}

#[test]
fn a_user_who_removes_the_profile_checks_the_device_out_once() {
    let story = Rig::enrolled()
        .serve([Says::Status(500)])
        .change(Change::RemoveProfile)
        .change(Change::RemoveProfile)
        .until(100);
    assert!(!story.keepsake().enrolled);
    assert_snapshot!(check(story), @r"
    0.000s has no token
    0.000s is not managed any more: the user removed the profile
    0.000s wakes: CheckIn
    0.000s -> CheckOut
    0.100s <- 500
    0.100s closes
    0.100s session over
    ");
}

#[test]
fn it_leaves_without_a_word_when_it_cannot_or_need_not_check_out() {
    let silent = Terms {
        check_out_when_removed: false,
        ..Terms::default()
    };
    let start = || Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO);
    let story = Rig::starts_as(traits(), silent, start()).change(Change::RemoveProfile);
    assert_snapshot!(check(story.until(10)), @r"
    0.000s resumes
    0.000s has no token
    0.000s is not managed any more: the user removed the profile
    ");
    let story = Rig::enrolled()
        .change(Change::Enter(Condition::Offline))
        .change(Change::RemoveProfile)
        .change(Change::Leave(Condition::Offline));
    assert_snapshot!(check(story.until(10)), @r"
    0.000s is offline
    0.000s has no token
    0.000s is not managed any more: the user removed the profile
    0.000s is awake and online
    ");
}

#[test]
fn setup_assistant_waits_for_device_configured() {
    let awaits = Terms {
        awaits_configuration: true,
        ..Terms::default()
    };
    let story = Rig::starts_as(traits(), awaits, ENROLLS)
        .until(1)
        .serve([Says::Command(1, "DeviceConfigured")])
        .push()
        .until(10);
    let Some(CheckIn::TokenUpdate(message)) = story.check_ins().pop() else {
        panic!("no TokenUpdate");
    };
    assert!(message.awaiting_configuration);
    assert_snapshot!(check(story), @r"
    0.000s is setup-assistant
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- nothing
    0.200s enrolled, begun at 0.000s
    0.200s closes
    0.200s session over
    1.000s push 0 accepted
    2.000s push 0 delivered
    2.500s wakes: Push
    2.500s -> Idle
    2.600s <- #1 DeviceConfigured
    3.600s has executed #1
    3.600s -> Acknowledged #1
    3.600s is awake and online
    3.700s <- nothing
    3.700s closes
    3.700s session over
    ");
}

#[test]
fn a_network_user_answers_a_challenge_and_shows_the_token() {
    let traits = Traits {
        users: 1,
        network_users: true,
        supervised: false,
        ..mac()
    };
    let story = Rig::starts_as(traits.clone(), Terms::default(), ENROLLS)
        .serve([
            Says::Empty,
            Says::Empty,
            text(UserChallenge::Digest("nonce".into()).encode()),
            text(UserChallenge::Token("TOKEN".into()).encode()),
        ])
        .until(10);
    let Some(CheckIn::TokenUpdate(message)) = story.check_ins().pop() else {
        panic!("no TokenUpdate");
    };
    assert_eq!(message.auth_token.as_deref(), Some("TOKEN"));
    assert_snapshot!(check(story), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- nothing
    0.200s enrolled, begun at 0.000s
    0.200s closes
    0.200s session over
    0.700s user 1 wakes: CheckIn
    0.700s user 1 -> UserAuthenticate
    0.800s user 1 <- 239 bytes
    0.800s user 1 -> UserAuthenticate
    0.900s user 1 <- 233 bytes
    0.900s user 1 -> TokenUpdate
    1.000s user 1 <- nothing
    1.000s user 1 closes
    1.000s user 1 session over
    ");
    let unmanaged = Rig::starts_as(traits, Terms::default(), ENROLLS)
        .serve([Says::Empty, Says::Empty, Says::Status(410)])
        .until(10)
        .change(Change::Enter(Condition::LoggedOut))
        .change(Change::Leave(Condition::LoggedOut))
        .until(20);
    assert_snapshot!(check(unmanaged), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- nothing
    0.200s enrolled, begun at 0.000s
    0.200s closes
    0.200s session over
    0.700s user 1 wakes: CheckIn
    0.700s user 1 -> UserAuthenticate
    0.800s user 1 <- 410
    0.800s user 1 closes
    0.800s user 1 session over
    10.000s is logged-out
    10.000s is awake and online
    10.500s user 1 wakes: CheckIn
    10.500s user 1 -> UserAuthenticate
    10.600s user 1 <- nothing
    10.600s user 1 -> TokenUpdate
    10.700s user 1 <- nothing
    10.700s user 1 closes
    10.700s user 1 session over
    ");
}

#[test]
fn a_user_enrolment_tells_neither_udid_nor_serial_number() {
    let own = Terms {
        is_user_enrollment: true,
        ..Terms::default()
    };
    let story = Rig::starts_as(mac(), own, ENROLLS).until(10);
    let messages = story.check_ins();
    let [CheckIn::Authenticate(first), CheckIn::TokenUpdate(_)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert!(messages.iter().all(|it| it.enrollee().is_user_enrollment()));
    assert_eq!((&first.serial, &first.imei), (&None, &None));
    assert_eq!(first.os_version.as_deref(), Some("15.1"));
}

#[test]
fn what_the_rights_do_not_allow_is_left_out_or_refused() {
    let few = Terms {
        access_rights: 1,
        ..Terms::default()
    };
    let story = Rig::starts_as(traits(), few, ENROLLS)
        .serve([Says::Empty, Says::Empty, Says::Command(1, "DeviceLock")])
        .until(1)
        .push()
        .until(10);
    let messages = story.check_ins();
    let [CheckIn::Authenticate(first), CheckIn::TokenUpdate(then)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!((&first.os_version, &first.serial), (&None, &None));
    assert_eq!(then.unlock_token, None);
    assert_snapshot!(check(story), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- nothing
    0.200s enrolled, begun at 0.000s
    0.200s closes
    0.200s session over
    1.000s push 0 accepted
    2.000s push 0 delivered
    2.500s wakes: Push
    2.500s -> Idle
    2.600s <- #1 DeviceLock
    3.600s has executed #1
    3.600s -> Error #1 MCMDMErrorDomain 12007
    3.700s <- nothing
    3.700s closes
    3.700s session over
    ");
    let all = Rig::starts_as(traits(), Terms::default(), ENROLLS).until(10);
    let Some(CheckIn::TokenUpdate(message)) = all.check_ins().pop() else {
        panic!("no TokenUpdate");
    };
    assert!(message.unlock_token.is_some());
}

/// An iPad of iOS 15 asked for a token, and one that nobody enrolled by automated enrolment for its way
/// back: messages that came with iOS 17 and 26 (protocol.md 3).
#[test]
fn a_device_asks_for_what_its_system_knows() {
    let asks = |os_version: &str, awaits_configuration: bool, wish: Wish| {
        let traits = Traits {
            os_version: os_version.to_owned(),
            ..traits()
        };
        let terms = Terms {
            awaits_configuration,
            ..Terms::default()
        };
        let start = Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO);
        let story = Rig::starts_as(traits, terms, start)
            .change(Change::Wish(wish))
            .until(10);
        story.check_ins().len() == 1
    };
    assert!(!asks("16.7", false, Wish::GetToken));
    assert!(asks("17.0", false, Wish::GetToken));
    assert!(!asks("18.6", true, Wish::ReturnToService));
    assert!(!asks("26.0", false, Wish::ReturnToService));
    assert!(asks("26.0", true, Wish::ReturnToService));
}

/// A device that was erased and enrolled again went past Setup Assistant, which waits for
/// DeviceConfigured every time.
#[test]
fn an_erased_device_waits_in_setup_assistant_again() {
    let awaits = Terms {
        awaits_configuration: true,
        ..Terms::default()
    };
    let start = Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO);
    let story = Rig::starts_as(traits(), awaits, start)
        .change(Change::EraseAndReenroll)
        .until(10);
    let Some(CheckIn::TokenUpdate(message)) = story.check_ins().pop() else {
        panic!("no TokenUpdate");
    };
    assert!(message.awaiting_configuration);
}

/// A target whose answers to UserAuthenticate make no sense was asked at the same pace for ever: each
/// unreadable 2xx ended the row of failures.
#[test]
fn a_network_user_who_gets_nonsense_asks_ever_more_rarely() {
    let traits = Traits {
        users: 1,
        network_users: true,
        supervised: false,
        ..mac()
    };
    let nonsense = [(); 60].map(|()| Says::Body("nonsense".into()));
    let story = Rig::starts_as(traits, Terms::default(), ENROLLS)
        .serve([Says::Empty, Says::Empty])
        .serve(nonsense)
        .until(600);
    let asked = story.check_ins().len() - 2;
    // At the first wait of at most 10 s it would be 120 times and more; the longest is 60 s.
    assert!((10..40).contains(&asked), "{asked}");
}
