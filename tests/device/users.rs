//! The channels of a device's users: own token, own queue, own session.

use insta::assert_snapshot;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::Change;
use mdmstorm::device::environment::Terms;
use mdmstorm::device::keepsake::{Keepsake, Start};
use mdmstorm::device::traits::{Platform, Traits};
use mdmstorm::time::SimTime;

use crate::rig::{Rig, Says, check, traits};

fn mac(users: u8) -> Traits {
    Traits {
        platform: Platform::Mac,
        users,
        ..traits()
    }
}

#[test]
fn a_users_channel_has_a_session_of_its_own_beside_the_devices() {
    let story = Rig::enrolled_as(mac(1))
        .serve([
            Says::Command(0, "ProfileList"),
            Says::Command(1, "DeviceInformation"),
        ])
        .push_to_user(1)
        .push()
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s push 0 accepted
    0.000s push 1 accepted
    1.000s push 1 delivered
    1.000s user 1 push 0 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.500s user 1 wakes: Push
    1.500s user 1 -> Idle
    1.600s <- #0 ProfileList
    1.600s user 1 <- #1 DeviceInformation
    2.600s has executed #0
    2.600s -> Acknowledged #0
    2.600s user 1 has executed #1
    2.600s user 1 -> Acknowledged #1
    2.700s <- nothing
    2.700s closes
    2.700s session over
    2.700s user 1 <- nothing
    2.700s user 1 closes
    2.700s user 1 session over
    ");
}

#[test]
fn a_user_who_is_logged_out_hears_nothing_until_the_next_login() {
    let story = Rig::enrolled_as(mac(1))
        .change(Change::Enter(Condition::LoggedOut))
        .push_to_user(1)
        .push()
        .until(60)
        .change(Change::Leave(Condition::LoggedOut))
        .until(70);
    assert_snapshot!(check(story), @r"
    0.000s is logged-out
    0.000s push 0 accepted
    0.000s user 1 push 0 stored
    0.000s push 1 accepted
    1.000s push 1 delivered
    1.500s wakes: Push
    1.500s -> Idle
    1.600s <- nothing
    1.600s closes
    1.600s session over
    60.000s is awake and online
    62.000s user 1 push 0 delivered
    62.500s user 1 wakes: Push
    62.500s user 1 -> Idle
    62.600s user 1 <- nothing
    62.600s user 1 closes
    62.600s user 1 session over
    ");
}

#[test]
fn a_locked_keychain_refuses_profiles_on_the_users_channel_alone() {
    let story = Rig::enrolled_as(mac(1))
        .serve([
            Says::Command(0, "RemoveProfile"),
            Says::Empty,
            Says::Command(1, "RemoveProfile"),
        ])
        .change(Change::Enter(Condition::KeychainLocked))
        .push_to_user(1)
        .until(3)
        .push()
        .until(10)
        .change(Change::Leave(Condition::KeychainLocked))
        .until(20);
    assert_snapshot!(check(story), @r"
    0.000s is keychain-locked
    0.000s push 0 accepted
    1.000s user 1 push 0 delivered
    1.500s user 1 wakes: Push
    1.500s user 1 -> Idle
    1.600s user 1 <- #0 RemoveProfile
    1.600s user 1 refuses #0: keychain-locked
    1.600s user 1 -> NotNow #0
    1.700s user 1 <- nothing
    1.700s user 1 closes
    1.700s user 1 session over
    3.000s push 1 accepted
    4.000s push 1 delivered
    4.500s wakes: Push
    4.500s -> Idle
    4.600s <- #1 RemoveProfile
    5.600s has executed #1
    5.600s -> Error #1 MCMDMErrorDomain 12075
    5.700s <- nothing
    5.700s closes
    5.700s session over
    10.000s is awake and online
    10.000s user 1 would execute #0 again, polls
    10.500s user 1 wakes: NotNowOver
    10.500s user 1 -> Idle
    10.600s user 1 <- nothing
    10.600s user 1 closes
    10.600s user 1 session over
    ");
}

/// A profile without `com.apple.mdm.per-user-connections` was read, and its users enrolled all the same.
#[test]
fn a_server_that_knows_no_users_hears_of_none() {
    let knows_none = Terms {
        per_user_connections: false,
        ..Terms::default()
    };
    let start = Start::Known(Keepsake::of_enrolled(2), SimTime::ZERO);
    let story = Rig::starts_as(mac(2), knows_none, start)
        .push_to_user(1)
        .change(Change::Reenroll)
        .until(60);
    // The device's own: Authenticate, TokenUpdate, SetBootstrapToken.
    assert_eq!(story.check_ins().len(), 3);
    assert_eq!(story.keepsake().users, [false; 0]);
    assert!(!check(story).contains("user 1"));
}

/// A renewal woke the users of the device one and all: one who is not managed until the next login
/// connected, had nothing to say, and its session never ended.
#[test]
fn a_renewal_does_not_wake_a_user_who_is_not_managed() {
    let traits = Traits {
        network_users: true,
        supervised: false,
        ..mac(1)
    };
    let start = Start::Enrolls {
        at: SimTime::ZERO,
        has_identity: true,
    };
    let story = Rig::starts_as(traits, Terms::default(), start)
        .serve([Says::Empty, Says::Empty, Says::Status(410)])
        .until(10)
        .change(Change::RenewIdentity)
        .until(60);
    let story = check(story);
    assert_eq!(story.matches("user 1 wakes").count(), 1, "{story}");
    let (woke, ended) = ("wakes: ", "session over");
    assert_eq!(story.matches(woke).count(), story.matches(ended).count());
}

/// UserAuthenticate went out under user enrolment, where no server expects it.
#[test]
fn the_user_of_a_mac_of_their_own_is_not_asked_who_they_are() {
    let traits = Traits {
        network_users: true,
        supervised: false,
        ..mac(1)
    };
    let own = Terms {
        is_user_enrollment: true,
        ..Terms::default()
    };
    let start = Start::Enrolls {
        at: SimTime::ZERO,
        has_identity: true,
    };
    let story = check(Rig::starts_as(traits, own, start).until(10));
    assert!(story.contains("user 1 -> TokenUpdate"), "{story}");
    assert!(!story.contains("UserAuthenticate"), "{story}");
}
