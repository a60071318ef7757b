//! What an earlier run has left of a device, and how it goes on from there.

use insta::assert_snapshot;
use mdmstorm::device::contract::Change;
use mdmstorm::device::keepsake::Keepsake;
use mdmstorm::fact::Obtaining;
use mdmstorm::ids::DeviceId;

use super::identity::resumes;
use crate::rig::{Says, check};

#[test]
fn it_goes_on_with_what_an_earlier_run_has_left() {
    let keepsake = Keepsake {
        epochs: vec![3],
        profiles: vec!["wifi".into()],
        ..Keepsake::of_enrolled(0)
    };
    let story = resumes(keepsake.clone()).until(10);
    assert_eq!(story.keepsake(), keepsake);
    assert_snapshot!(check(story), @r"
    0.000s has token 3
    0.000s resumes
    ");
}

#[test]
fn one_that_was_not_enrolled_yet_goes_on_with_its_identity() {
    let keepsake = Keepsake {
        enrolled: false,
        epochs: vec![1],
        ..Keepsake::default()
    };
    assert_snapshot!(check(resumes(keepsake).until(10)), @r"
    0.000s has token 1
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- nothing
    0.200s enrolled, begun at 0.000s
    0.200s closes
    0.200s session over
    ");
}

#[test]
fn one_that_was_erased_gets_a_new_identity_before_it_goes_on() {
    let keepsake = Keepsake {
        needs_identity: true,
        epochs: vec![1],
        ..Keepsake::default()
    };
    assert_snapshot!(check(resumes(keepsake).until(10)), @r"
    0.000s has token 1
    0.000s sets out for an identity: Enroll, version 18.1
    1.000s has an identity: Enroll
    1.000s wakes: Enroll
    1.000s -> Authenticate
    1.100s <- nothing
    1.100s -> TokenUpdate
    1.200s <- nothing
    1.200s enrolled, begun at 0.000s
    1.200s closes
    1.200s session over
    ");
}

#[test]
fn one_that_was_to_renew_goes_on_with_that() {
    let keepsake = Keepsake {
        needs_identity: true,
        ..Keepsake::of_enrolled(0)
    };
    assert_snapshot!(check(resumes(keepsake).until(10)), @r"
    0.000s resumes
    0.000s sets out for an identity: Renew, version 18.1
    1.000s has an identity: Renew
    1.000s wakes: CheckIn
    1.000s -> Authenticate
    1.100s <- nothing
    1.100s -> TokenUpdate
    1.200s <- nothing
    1.200s closes
    1.200s session over
    ");
}

#[test]
fn one_that_was_let_go_stays_away_until_an_event_lets_it_enrol() {
    let story = resumes(Keepsake::of_enrolled(0)).change(Change::RemoveProfile);
    let keepsake = story.until(5).keepsake();
    let expected = Keepsake {
        enrolled: false,
        unmanaged: true,
        ..Keepsake::of_enrolled(0)
    };
    assert_eq!(keepsake, expected);
    let story = resumes(keepsake).until(100);
    assert_eq!(story.keepsake(), expected);
    assert_snapshot!(check(story.change(Change::Reenroll).until(110)), @r"
    0.000s has no token
    0.000s resumes
    0.000s is not managed any more: an earlier run has left it so
    100.000s has token 1
    100.500s sets out for an identity: Enroll, version 18.1
    101.500s has an identity: Enroll
    101.500s wakes: CheckIn
    101.500s -> Authenticate
    101.600s <- nothing
    101.600s -> TokenUpdate
    101.700s <- nothing
    101.700s closes
    101.700s session over
    ");
}

/// A run that was stopped between a new certificate and its Authenticate left a device that the next
/// one enrolled as a stranger: its profiles, apps, users and bootstrap token were forgotten.
#[test]
fn a_stop_in_mid_renewal_loses_nothing_that_was_installed() {
    let before = Keepsake {
        profiles: vec!["wifi".into()],
        applications: vec!["com.example.app".into()],
        ..Keepsake::of_enrolled(0)
    };
    let story = resumes(before.clone())
        .change(Change::RenewIdentity)
        .serve([Says::Cut])
        .until(2);
    let halfway = story.keepsake();
    assert_eq!(
        halfway,
        Keepsake {
            enrolled: false,
            purpose: Obtaining::Renew,
            ..before.clone()
        }
    );
    let story = resumes(halfway).until(10);
    assert_eq!(story.keepsake(), before);
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.000s wakes: CheckIn
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- nothing
    0.200s closes
    0.200s session over
    ");
}

/// Between the new certificate on the disk and the word of the device, what is kept says that it is
/// enrolled.
#[test]
fn what_is_kept_knows_a_renewal_by_the_new_identity_alone() {
    let mut keepsake = Keepsake::of_enrolled(1);
    keepsake.take_identity();
    let halfway = (keepsake.enrolled, keepsake.purpose);
    assert_eq!(halfway, (false, Obtaining::Renew));
    let mut keepsake = Keepsake::default();
    keepsake.take_identity();
    assert_eq!(keepsake.purpose, Obtaining::Enroll);
}

/// A clone that was stopped before it had the other's identity came back as a device that enrols by
/// itself; stopped after that, it threw the other's identity away when it was refused.
#[test]
fn a_stop_in_mid_clone_leaves_a_clone() {
    let story = resumes(Keepsake::of_enrolled(0))
        .change(Change::CloneOf(DeviceId(7)))
        .until(0);
    let story = resumes(story.keepsake()).serve([Says::Cut]).until(2);
    let halfway = story.keepsake();
    let kept = (halfway.needs_identity, halfway.purpose, halfway.original);
    assert_eq!(kept, (false, Obtaining::Clone, None));
    assert_snapshot!(check(story), @r"
    0.000s has token 1
    0.000s sets out for an identity: Clone of device 7, version 18.1
    1.000s has an identity: Clone
    1.000s wakes: Enroll
    1.000s -> Authenticate
    1.100s <- the connection was cut: reset by peer
    1.100s closes
    1.100s session over
    ");
    let story = resumes(halfway).serve([Says::Status(403)]).until(60);
    assert_snapshot!(check(story), @r"
    0.000s has token 1
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- 403
    0.100s closes
    0.100s session over
    1.708s wakes: Retry
    1.708s -> Authenticate
    1.808s <- nothing
    1.808s -> TokenUpdate
    1.908s <- nothing
    1.908s enrolled, begun at 0.000s
    1.908s closes
    1.908s session over
    ");
}
