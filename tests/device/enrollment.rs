//! How a device enrols.

use insta::assert_snapshot;

use crate::rig::{Rig, Says, check};

#[test]
fn it_enrols_with_authenticate_and_then_token_update() {
    let story = Rig::new().until(10);
    assert_snapshot!(check(story), @r"
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
fn a_failed_enrolment_is_tried_again_after_a_growing_wait() {
    let story = Rig::new()
        .serve([Says::Status(500), Says::Cut, Says::Status(503)])
        .until(100);
    assert_snapshot!(check(story), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- 500
    0.100s closes
    0.100s session over
    1.708s wakes: Retry
    1.708s -> Authenticate
    1.808s <- the connection was cut: reset by peer
    1.808s closes
    1.808s session over
    11.447s wakes: Retry
    11.447s -> Authenticate
    11.547s <- 503
    11.547s closes
    11.547s session over
    23.099s wakes: Retry
    23.099s -> Authenticate
    23.199s <- nothing
    23.199s -> TokenUpdate
    23.299s <- nothing
    23.299s enrolled, begun at 0.000s
    23.299s closes
    23.299s session over
    ");
}

#[test]
fn an_accepted_authenticate_is_not_repeated_when_token_update_fails() {
    let story = Rig::new().serve([Says::Empty, Says::Status(500)]).until(60);
    assert_snapshot!(check(story), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- nothing
    0.100s -> TokenUpdate
    0.200s <- 500
    0.200s closes
    0.200s session over
    1.808s wakes: Retry
    1.808s -> TokenUpdate
    1.908s <- nothing
    1.908s enrolled, begun at 0.000s
    1.908s closes
    1.908s session over
    ");
}

#[test]
fn it_gives_up_enrolling_at_the_deadline_and_says_why() {
    let refusals = [const { Says::Status(500) }; 8];
    let story = Rig::new().serve(refusals).until(3_600);
    assert_snapshot!(check(story), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- 500
    0.100s closes
    0.100s session over
    1.708s wakes: Retry
    1.708s -> Authenticate
    1.808s <- 500
    1.808s closes
    1.808s session over
    11.447s wakes: Retry
    11.447s -> Authenticate
    11.547s <- 500
    11.547s closes
    11.547s session over
    23.099s wakes: Retry
    23.099s -> Authenticate
    23.199s <- 500
    23.199s closes
    23.199s session over
    44.121s wakes: Retry
    44.121s -> Authenticate
    44.221s <- 500
    44.221s closes
    44.221s session over
    70.834s wakes: Retry
    70.834s -> Authenticate
    70.934s <- 500
    70.934s closes
    70.934s session over
    117.665s wakes: Retry
    117.665s -> Authenticate
    117.765s <- 500
    117.765s closes
    117.765s session over
    120.000s wakes: Retry
    120.000s -> Authenticate
    120.100s <- 500
    120.100s closes
    120.100s session over
    120.100s gives up enrolling: the target answered 500
    ");
}

#[test]
fn a_push_before_it_has_enrolled_is_ignored() {
    let story = Rig::new()
        .serve([Says::Status(500), Says::Status(500)])
        .until(1)
        .push()
        .until(5);
    assert_snapshot!(check(story), @r"
    0.000s wakes: Enroll
    0.000s -> Authenticate
    0.100s <- 500
    0.100s closes
    0.100s session over
    1.000s push 0 accepted
    1.708s wakes: Retry
    1.708s -> Authenticate
    1.808s <- 500
    1.808s closes
    1.808s session over
    2.000s push 0 delivered
    2.000s push 0 ignored: NotEnrolled
    ");
}
