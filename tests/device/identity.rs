//! How a device comes by its identity, and what becomes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use insta::assert_snapshot;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::{Change, Obtained};
use mdmstorm::device::environment::Terms;
use mdmstorm::device::keepsake::{Keepsake, Start};
use mdmstorm::device::traits::{Traits, Update};
use mdmstorm::fact::Refusal;
use mdmstorm::ids::DeviceId;
use mdmstorm::protocol::checkin::CheckIn;
use mdmstorm::seed::Dist;
use mdmstorm::time::SimTime;

use crate::rig::{Rig, Says, check, traits};

pub(crate) const OBTAINS: Terms = Terms {
    obtains: true,
    signs: true,
    access_rights: 8191,
    check_out_when_removed: false,
    per_user_connections: true,
    bootstrap_token: false,
    get_token: false,
    awaits_configuration: false,
    is_user_enrollment: false,
};

pub(crate) const NOTHING: Start = Start::Enrolls {
    at: SimTime::ZERO,
    has_identity: false,
};

pub(crate) fn refusal(name: &str) -> Refusal {
    Refusal {
        name: name.into(),
        what: "the server said no".into(),
    }
}

pub(crate) fn obtains() -> Rig {
    Rig::starts_as(traits(), OBTAINS, NOTHING)
}

/// Enrolled earlier, under terms by which devices obtain their identity.
pub(crate) fn resumes(keepsake: Keepsake) -> Rig {
    Rig::starts_as(traits(), OBTAINS, Start::Known(keepsake, SimTime::ZERO))
}

#[test]
fn it_gets_an_identity_before_it_authenticates() {
    assert_snapshot!(check(obtains().keeping().until(10)), @r"
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
    1.200s is to be kept
    ");
}

#[test]
fn an_identity_that_is_not_had_yet_is_tried_for_again_after_a_growing_wait() {
    let unreachable = || Obtained::NotYet(refusal("unreachable"));
    let story = obtains().obtain([unreachable(), unreachable()]).until(60);
    assert_snapshot!(check(story), @r"
    0.000s sets out for an identity: Enroll, version 18.1
    4.580s sets out for an identity: Enroll, version 18.1
    14.014s sets out for an identity: Enroll, version 18.1
    15.014s has an identity: Enroll
    15.014s wakes: Enroll
    15.014s -> Authenticate
    15.114s <- nothing
    15.114s -> TokenUpdate
    15.214s <- nothing
    15.214s enrolled, begun at 0.000s
    15.214s closes
    15.214s session over
    ");
}

#[test]
fn it_gives_up_at_the_deadline_or_when_there_is_nothing_to_hope_for() {
    let never = [Obtained::Never(refusal("challenge-refused"))];
    assert_snapshot!(check(obtains().obtain(never).until(3_600)), @r"
    0.000s sets out for an identity: Enroll, version 18.1
    1.000s gives up enrolling: challenge-refused: the server said no
    ");
    let not_yet = [(); 12].map(|()| Obtained::NotYet(refusal("unreachable")));
    let story = check(obtains().obtain(not_yet).until(3_600));
    let last = story.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        "121.000s gives up enrolling: unreachable: the server said no"
    );
}

#[test]
fn an_updated_device_never_tells_the_build_of_the_system_it_had() {
    let told = |version: &str| {
        let mut traits = traits();
        traits.update.builds = BTreeMap::from([("18.2".to_owned(), "22C152".to_owned())]);
        let wants = Obtained::UpdateFirst {
            os_version: Some(version.to_owned()),
        };
        let story = Rig::starts_as(traits, OBTAINS, NOTHING)
            .obtain([wants])
            .until(100);
        let CheckIn::Authenticate(message) = &story.check_ins()[0] else {
            panic!("it begins with Authenticate");
        };
        (message.os_version.clone(), message.build.clone())
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told("18.1"), (some("18.1"), some("22B83")));
    assert_eq!(told("18.2"), (some("18.2"), some("22C152")));
    // Nobody here knows which build that is.
    assert_eq!(told("26.1"), (some("26.1"), None));
}

#[test]
fn a_server_that_wants_a_newer_system_gets_one() {
    let traits = Traits {
        update: Update {
            takes: Dist::Constant(Duration::from_secs(20)),
            latest: "26.1".into(),
            builds: BTreeMap::new(),
        },
        passcode: true,
        ..traits()
    };
    let wants = |version: Option<&str>| Obtained::UpdateFirst {
        os_version: version.map(str::to_owned),
    };
    let story = Rig::starts_as(traits, OBTAINS, NOTHING)
        .obtain([wants(Some("18.2")), wants(None), wants(None)])
        .until(100);
    assert_eq!(story.keepsake().os_version.as_deref(), Some("26.1"));
    assert_snapshot!(check(story), @r"
    0.000s sets out for an identity: Enroll, version 18.1
    1.000s is off
    21.000s is awake and online
    21.500s sets out for an identity: Enroll, version 18.2
    22.500s is off
    42.500s is awake and online
    43.000s sets out for an identity: Enroll, version 26.1
    47.580s sets out for an identity: Enroll, version 26.1
    48.580s has an identity: Enroll
    48.580s wakes: Enroll
    48.580s -> Authenticate
    48.680s <- nothing
    48.680s -> TokenUpdate
    48.780s <- nothing
    48.780s enrolled, begun at 0.000s
    48.780s closes
    48.780s session over
    ");
}

#[test]
fn a_refused_authenticate_costs_the_identity_and_a_lost_one_does_not() {
    let story = obtains()
        .serve([Says::Status(403), Says::Status(500), Says::Cut])
        .until(60);
    assert_snapshot!(check(story), @r"
    0.000s sets out for an identity: Enroll, version 18.1
    1.000s has an identity: Enroll
    1.000s wakes: Enroll
    1.000s -> Authenticate
    1.100s <- 403
    1.100s closes
    1.100s session over
    2.708s sets out for an identity: Enroll, version 18.1
    3.708s has an identity: Enroll
    3.708s wakes: Enroll
    3.708s -> Authenticate
    3.808s <- 500
    3.808s closes
    3.808s session over
    13.447s wakes: Retry
    13.447s -> Authenticate
    13.547s <- the connection was cut: reset by peer
    13.547s closes
    13.547s session over
    25.099s wakes: Retry
    25.099s -> Authenticate
    25.199s <- nothing
    25.199s -> TokenUpdate
    25.299s <- nothing
    25.299s enrolled, begun at 0.000s
    25.299s closes
    25.299s session over
    ");
}

#[test]
fn one_that_is_away_sets_out_when_it_is_back() {
    let story = obtains()
        .change(Change::Enter(Condition::Offline))
        .until(5)
        .change(Change::Leave(Condition::Offline))
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s is offline
    5.000s is awake and online
    5.500s sets out for an identity: Enroll, version 18.1
    6.500s has an identity: Enroll
    6.500s wakes: Enroll
    6.500s -> Authenticate
    6.600s <- nothing
    6.600s -> TokenUpdate
    6.700s <- nothing
    6.700s enrolled, begun at 5.500s
    6.700s closes
    6.700s session over
    ");
}

#[test]
fn an_erased_device_begins_anew_with_the_same_names() {
    let story = resumes(Keepsake::of_enrolled(0))
        .change(Change::EraseAndReenroll)
        .until(10);
    assert_eq!(story.keepsake().epochs, [1]);
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.000s has token 1
    0.500s sets out for an identity: Enroll, version 18.1
    1.500s has an identity: Enroll
    1.500s wakes: CheckIn
    1.500s -> Authenticate
    1.600s <- nothing
    1.600s -> TokenUpdate
    1.700s <- nothing
    1.700s closes
    1.700s session over
    ");
}

#[test]
fn erasing_a_device_that_is_on_its_way_to_an_identity_waits_for_the_end_of_it() {
    let story = obtains()
        .until(0)
        .change(Change::EraseAndReenroll)
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s sets out for an identity: Enroll, version 18.1
    0.000s has token 1
    1.500s sets out for an identity: Enroll, version 18.1
    2.500s has an identity: Enroll
    2.500s wakes: Enroll
    2.500s -> Authenticate
    2.600s <- nothing
    2.600s -> TokenUpdate
    2.700s <- nothing
    2.700s enrolled, begun at 1.500s
    2.700s closes
    2.700s session over
    ");
}

#[test]
fn a_clone_shows_the_identity_of_another_device() {
    let story = resumes(Keepsake::of_enrolled(0))
        .change(Change::CloneOf(DeviceId(7)))
        .serve([Says::Status(500), Says::Status(403)])
        .until(40);
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.000s has token 1
    0.500s sets out for an identity: Clone of device 7, version 18.1
    1.500s has an identity: Clone
    1.500s wakes: CheckIn
    1.500s -> Authenticate
    1.600s <- 500
    1.600s closes
    1.600s session over
    3.208s wakes: Retry
    3.208s -> Authenticate
    3.308s <- 403
    3.308s closes
    3.308s session over
    12.947s wakes: Retry
    12.947s -> Authenticate
    13.047s <- nothing
    13.047s -> TokenUpdate
    13.147s <- nothing
    13.147s closes
    13.147s session over
    ");
}

#[test]
fn a_wrong_clock_explains_a_refused_signature() {
    let slow = -30 * 60 * 1_000_000;
    let story = resumes(Keepsake::of_enrolled(0))
        .change(Change::SetClock(slow))
        .change(Change::Reenroll)
        .serve([Says::Status(400)])
        .until(3)
        .change(Change::SyncClock)
        .until(30);
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.000s has a clock -1800000 ms ahead
    0.000s has token 1
    0.500s sets out for an identity: Enroll, version 18.1
    1.500s has an identity: Enroll
    1.500s wakes: CheckIn
    1.500s -> Authenticate
    1.600s has a clock -1800000 ms ahead
    1.600s <- 400
    1.600s violation: clock-refused-signature: the target answered 400, and the device's clock is 1800 s slow
    1.600s closes
    1.600s session over
    3.000s has a clock 0 ms ahead
    3.208s sets out for an identity: Enroll, version 18.1
    4.208s has an identity: Enroll
    4.208s wakes: CheckIn
    4.208s -> Authenticate
    4.308s <- nothing
    4.308s -> TokenUpdate
    4.408s <- nothing
    4.408s closes
    4.408s session over
    ");
}

#[test]
fn a_profile_removed_while_its_identity_is_renewed_stays_removed() {
    let story = resumes(Keepsake::of_enrolled(0))
        .keeping()
        .change(Change::RenewIdentity)
        .until(1)
        .change(Change::RemoveProfile)
        .until(10);
    let told = check(story);
    // Once for the removal, once when the errand that it has overtaken ends.
    assert_eq!(told.matches("is to be kept").count(), 3, "{told}");
    assert!(!told.contains("-> Authenticate"), "{told}");
}

#[test]
fn what_is_no_newer_version_is_no_update() {
    let wants = |version: &str| Obtained::UpdateFirst {
        os_version: Some(version.to_owned()),
    };
    let long = "9".repeat(100);
    let story = obtains()
        .obtain([wants("16.0"), wants("newest"), wants(&long), wants("18.1")])
        .until(100);
    assert_eq!(story.keepsake().os_version, None);
    let endless = ["19", "20", "21", "22", "23", "24"].map(wants);
    let story = obtains().obtain(endless).until(3_600);
    assert_eq!(story.keepsake().os_version.as_deref(), Some("22"));
}

/// Where devices are issued their identities, re-enrolling while a renewal was under way sent
/// Authenticate at once, and the certificate changed in mid-enrolment: refused for ever.
#[test]
fn a_device_enrols_again_only_when_the_errand_under_way_has_ended() {
    let start = Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO);
    let traits = Traits {
        wake_delay: Dist::ZERO,
        ..traits()
    };
    let story = Rig::starts_as(traits, Terms::default(), start)
        .change(Change::RenewIdentity)
        .until(0)
        .change(Change::Reenroll)
        .until(10);
    assert_snapshot!(check(story), @r"
    0.000s resumes
    0.000s sets out for an identity: Renew, version 18.1
    0.000s has token 1
    1.000s wakes: CheckIn
    1.000s -> Authenticate
    1.100s <- nothing
    1.100s -> TokenUpdate
    1.200s <- nothing
    1.200s closes
    1.200s session over
    ");
}

/// A clock that is a second off, or fast, was named as the reason of every 400; only a time at which
/// the certificate is not good explains one.
#[test]
fn a_clock_explains_a_400_only_if_the_certificate_is_not_good_at_its_time() {
    let explains = |ahead: i64, says: &[Says]| {
        let mut story = resumes(Keepsake::of_enrolled(0))
            .change(Change::SetClock(ahead * 1_000_000))
            .change(Change::Reenroll);
        for says in says {
            story = story.serve([says.clone()]);
        }
        check(story.until(3)).contains("clock-refused-signature")
    };
    let refused = [Says::Status(400)];
    assert!(explains(-60, &refused));
    assert!(!explains(1, &refused));
    assert!(!explains(30 * 24 * 3_600, &refused));
    assert!(explains(100 * 24 * 3_600, &refused));
    // TokenUpdate is signed as well.
    assert!(explains(-60, &[Says::Empty, Says::Status(400)]));
    // The certificate of an earlier run is older than a second.
    let story = resumes(Keepsake {
        enrolled: false,
        ..Keepsake::of_enrolled(0)
    });
    let story = story
        .serve([Says::Cut])
        .until(1)
        .change(Change::SetClock(-1_000_000))
        .serve([Says::Status(400)]);
    assert!(!check(story.until(60)).contains("clock-refused"));
}

/// What an earlier run left in the middle was due at the very beginning of the run: hundreds of devices
/// late by as long as preparing took, which made the run invalid.
#[test]
fn one_that_goes_on_does_so_at_its_time_and_is_not_late() {
    let at = SimTime::from_secs(5);
    for needs_identity in [false, true] {
        let keepsake = Keepsake {
            enrolled: false,
            needs_identity,
            epochs: vec![1],
            ..Keepsake::default()
        };
        let start = Start::Known(keepsake, at);
        let story = check(Rig::starts_as(traits(), OBTAINS, start).until(60));
        let second = story.lines().nth(1).unwrap_or_default();
        assert!(second.starts_with("5.000s"), "{story}");
    }
}
