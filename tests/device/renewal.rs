//! A certificate is replaced by a new one, and the device stays the same.

use insta::assert_snapshot;
use mdmstorm::device::contract::{Change, Obtained};
use mdmstorm::device::keepsake::Keepsake;
use mdmstorm::fact::Obtaining;

use crate::identity::{refusal, resumes};
use crate::rig::{Says, check};

/// A target that refused the renewed certificate was asked with it for ever, and later the device was
/// let go, though a profile that cannot be replaced leaves the old one where it is.
#[test]
fn a_refused_renewal_leaves_the_device_with_the_identity_it_had() {
    let story = resumes(Keepsake::of_enrolled(0))
        .serve([Says::Status(403), Says::Command(1, "ProfileList")])
        .change(Change::RenewIdentity)
        .until(1)
        .push()
        .until(60);
    assert_eq!(story.keepsake(), Keepsake::of_enrolled(0));
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.500s sets out for an identity: Renew, version 18.1
    1.000s push 0 accepted
    1.500s has an identity: Renew
    1.500s wakes: CheckIn
    1.500s -> Authenticate
    1.600s <- 403
    1.600s closes
    1.600s session over
    1.600s violation: the renewed identity was refused: the target answered 403
    1.600s sets out for an identity: Restore, version 18.1
    2.000s push 0 delivered
    2.600s has an identity: Restore
    3.100s wakes: Push
    3.100s -> Idle
    3.200s <- #1 ProfileList
    4.200s has executed #1
    4.200s -> Acknowledged #1
    4.300s <- nothing
    4.300s closes
    4.300s session over
    ");
}

/// The old identity is gone when an earlier run got the new one: the target may still change its mind,
/// and in the end the device is not managed.
#[test]
fn a_refused_renewal_of_an_earlier_run_is_tried_again_until_it_is_hopeless() {
    let halfway = Keepsake {
        enrolled: false,
        purpose: Obtaining::Renew,
        ..Keepsake::of_enrolled(0)
    };
    let gone = || Obtained::Never(refusal("key-unavailable"));
    let story = resumes(halfway.clone())
        .serve([Says::Status(403), Says::Status(403)])
        .obtain([gone(), gone()])
        .until(3_600);
    assert_eq!(story.keepsake(), Keepsake::of_enrolled(0));
    let refused = [(); 5].map(|()| Says::Status(403));
    let gone = [(); 5].map(|()| gone());
    let story = resumes(halfway).serve(refused).obtain(gone).until(3_600);
    assert!(story.keepsake().unmanaged);
    let story = check(story);
    assert_eq!(story.matches("-> Authenticate").count(), 5, "{story}");
}

/// A target that is only busy is asked again with the new certificate.
#[test]
fn a_renewal_outlasts_a_target_that_is_busy() {
    let story = resumes(Keepsake::of_enrolled(0))
        .serve([Says::Status(429), Says::Status(503), Says::Cut])
        .change(Change::RenewIdentity)
        .until(3_600);
    let story = check(story);
    assert!(!story.contains("Restore"), "{story}");
    assert_eq!(story.matches("-> Authenticate").count(), 4, "{story}");
}

#[test]
fn a_renewed_certificate_is_shown_and_the_device_stays_managed() {
    let story = resumes(Keepsake::of_enrolled(0))
        .change(Change::RenewIdentity)
        .until(1)
        .push()
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.500s sets out for an identity: Renew, version 18.1
    1.000s push 0 accepted
    1.500s has an identity: Renew
    1.500s wakes: CheckIn
    1.500s -> Authenticate
    1.600s <- nothing
    1.600s -> TokenUpdate
    1.700s <- nothing
    1.700s closes
    1.700s session over
    2.000s push 0 delivered
    2.500s wakes: Push
    2.500s -> Idle
    2.600s <- nothing
    2.600s closes
    2.600s session over
    ");
}

#[test]
fn a_renewal_that_fails_keeps_no_command_waiting() {
    let story = resumes(Keepsake::of_enrolled(0))
        .obtain([
            Obtained::NotYet(refusal("unreachable")),
            Obtained::Never(refusal("challenge-refused")),
        ])
        .change(Change::RenewIdentity)
        .until(2)
        .push()
        .serve([Says::Command(1, "ProfileList")])
        .until(20);
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.500s sets out for an identity: Renew, version 18.1
    2.000s push 0 accepted
    3.000s push 0 delivered
    3.500s wakes: Push
    3.500s -> Idle
    3.600s <- #1 ProfileList
    4.600s has executed #1
    4.600s -> Acknowledged #1
    4.700s <- nothing
    4.700s closes
    4.700s session over
    5.200s sets out for an identity: Renew, version 18.1
    6.200s violation: challenge-refused: the server said no
    ");
}
