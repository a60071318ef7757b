//! One small story per cause: what the ledger says of a command that waits, with its evidence.

use mdmstorm::condition::Condition;
use mdmstorm::fact::{
    Broken, FactKind, Got, Ignored, NoEntry, Said, ServerPush, Unanswered, WakeReason,
};
use mdmstorm::ids::{Channel, DeviceId, OrderIndex, PushId};
use mdmstorm::metric::{Owner, Phase};
use mdmstorm::record::Ledger;
use mdmstorm::record::account::Account;

use crate::story::{CHANNEL, Story, brings, done, fetched, ms, setup, show};

/// Order 0 is with the target and pushed.
fn pushed() -> Story {
    Story::default().enqueued(0, 0, 0, 5).push(1, 6)
}

/// Order 0 is pushed, and the device has the push.
fn delivered() -> Story {
    pushed().delivered(1, 8, 8)
}

fn idle(story: Story, at: u64, got: Got) -> Story {
    story.exchange(Said::Idle, got, [at, at, at, at + 5, at + 5])
}

fn push(push: u64) -> (PushId, Channel) {
    (PushId(push), CHANNEL)
}

/// Cause, owner and evidence of each pending command after a minute.
fn why(story: Story) -> String {
    let account = story.account(60_000);
    let lines = account.pending.iter().map(|pending| {
        let (cause, owner) = (pending.cause.name(), pending.owner.name());
        format!("{cause} ({owner}): {}", pending.evidence)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_target_that_cannot_push_says_so_or_is_caught() {
    let refused = FactKind::ProviderRefused {
        why: NoEntry::Certificate("its push certificate expired".to_owned()),
    };
    let failed = |why: &str| FactKind::Accepted {
        order: OrderIndex(0),
        push: ServerPush::Failed(why.to_owned()),
    };
    let offered = || Story::default().ordered(0, 0).offered(0, 0);
    let enqueued = || Story::default().enqueued(0, 0, 0, 5);
    insta::assert_snapshot!(why(enqueued().at(7, refused.clone())), @"push-certificate-expired (target): the gateway refused the target's TLS handshake at 0.007s: its push certificate expired; no push came since");
    insta::assert_snapshot!(why(offered().at(5, failed("tls: expired certificate"))), @"push-certificate-expired (target): the target took it and said that its push failed: tls: expired certificate");
    insta::assert_snapshot!(why(offered().at(5, failed("no route to APNs"))), @"never-pushed (target): the target took it at 0.005s and said that its push failed (no route to APNs); none came since");
    // A certificate that was renewed is forgotten: the push to another device proves it.
    let other = FactKind::PushReceived {
        push: PushId(1),
        channel: Some(Channel::device(DeviceId(1))),
        arrived: ms(9),
        status: 200,
        reason: None,
    };
    insta::assert_snapshot!(why(enqueued().at(7, refused).at(9, other)), @"never-pushed (target): the target took it at 0.005s and no push came since");
}

#[test]
fn a_push_can_be_lost_or_thrown_away_or_ignored() {
    let (id, channel) = push(1);
    let lost = FactKind::PushLost { push: id, channel };
    let gone = FactKind::PushDiscarded { push: id, channel };
    let ignored = |why| FactKind::PushIgnored {
        push: id,
        channel,
        why,
    };
    insta::assert_snapshot!(why(pushed().at(7, lost.clone())), @"push-lost (apns): push 1 was answered with 200 at 0.007s and lost");
    insta::assert_snapshot!(why(pushed().at(7, gone.clone())), @"push-not-stored (target): push 1 of 0.006s was gone at 0.007s: it expired, or was not to be stored, before the device could be reached");
    insta::assert_snapshot!(why(delivered().at(8, ignored(Ignored::WrongMagic))), @"wrong-push (target): the device ignored push 1 at 0.008s: its PushMagic is not the device's");
    insta::assert_snapshot!(why(pushed().push_with(2, 9, 410).at(9, gone)), @"push-rejected (target): push 2, the last one, was refused at 0.009s with 410 Unregistered");
    // The time of a lost push is the push service's, and ends with the next one.
    let account = pushed()
        .at(7, lost)
        .push(2, 1_007)
        .condition(0, &[Condition::Asleep])
        .account(2_000);
    insta::assert_snapshot!(show(&account), @"0 pending in delivery: device-asleep of device");
    let account = pushed()
        .at(7, FactKind::PushLost { push: id, channel })
        .push(2, 1_007)
        .delivered(2, 1_010, 1_010)
        .woke(1_010, 1_010, WakeReason::Push)
        .exchange(Said::Idle, brings(0), [1_010, 1_010, 1_010, 1_020, 1_020])
        .exchange(done(0), Got::Empty, [1_020, 1_020, 1_020, 1_030, 1_030])
        .account(2_000);
    assert_eq!(
        account.slices.owned(Phase::Delivery, Owner::Apns),
        1_000_000
    );
    assert_eq!(account.pushes.lost, 1);
}

#[test]
fn a_push_service_that_does_not_answer_or_is_not_there_is_not_the_targets_fault() {
    let (id, channel) = push(2);
    let unanswered = |how| FactKind::PushUnanswered {
        push: id,
        channel: Some(channel),
        arrived: ms(9),
        how,
    };
    let enqueued = || Story::default().enqueued(0, 0, 0, 5);
    insta::assert_snapshot!(why(enqueued().at(9, unanswered(Unanswered::Hang))), @"push-unanswered (apns): APNs never answered push 2 of 0.009s, the last one: it kept silent");
    insta::assert_snapshot!(why(enqueued().at(9, unanswered(Unanswered::Reset))), @"push-unanswered (apns): APNs never answered push 2 of 0.009s, the last one: it reset the connection");
    insta::assert_snapshot!(why(enqueued().at(9, unanswered(Unanswered::GoAway))), @"push-unanswered (apns): APNs never answered push 2 of 0.009s, the last one: it ended the connection with GOAWAY");
    insta::assert_snapshot!(why(enqueued().push_with(2, 9, 503)), @"push-service-down (apns): push 2, the last one, was refused at 0.009s with 503 Unregistered");
    insta::assert_snapshot!(why(enqueued().push_with(2, 9, 429)), @"push-rejected (target): push 2, the last one, was refused at 0.009s with 429 Unregistered");
    let refused = |why| FactKind::ProviderRefused { why };
    insta::assert_snapshot!(why(enqueued().at(7, refused(NoEntry::Service))), @"push-service-down (apns): APNs took no connection of the target at 0.007s: the service is out; no push came since");
    insta::assert_snapshot!(why(enqueued().at(7, refused(NoEntry::Connect))), @"push-connect-refused (network): the target did not get through to APNs at 0.007s: a CONNECT to the push service was refused; no push came since");
    // What strays to the proxy says nothing about pushes.
    let stray = refused(NoEntry::Stray(
        "a CONNECT was refused: it is none".to_owned(),
    ));
    let account = enqueued().at(7, stray).account(60_000);
    insta::assert_snapshot!(show(&account), @"0 pending in dispatch: never-pushed of target");
    assert_eq!(account.providers_cut.len(), 1);
    // The next push that is taken ends it.
    let account = enqueued()
        .at(9, unanswered(Unanswered::Hang))
        .push(3, 12)
        .condition(0, &[Condition::Asleep])
        .account(60_000);
    insta::assert_snapshot!(show(&account), @"0 pending in delivery: device-asleep of device");
    assert_eq!((account.pushes.received, account.pushes.rejected), (1, 0));
    assert_eq!(account.pushes.unanswered, 1);
}

#[test]
fn providers_that_were_cut_off_are_counted_by_why_and_not_without_bound() {
    let mut story = Story::default();
    for number in 0..100 {
        let why = format!("it said {number}");
        story = story.at(number, FactKind::ProviderCut { why });
    }
    let cut = FactKind::ProviderCut {
        why: "it said 7".to_owned(),
    };
    let account = story.at(100, cut).account(200);
    assert_eq!(account.providers_cut.len(), 51);
    assert_eq!(account.providers_cut["it said 7"], 2);
    assert_eq!(account.providers_cut["another reason"], 50);
}

#[test]
fn a_push_that_is_not_stored_changes_nothing_while_another_is() {
    let (first, channel) = push(1);
    let second = PushId(2);
    let story = pushed()
        .condition(0, &[Condition::Offline])
        .at(
            6,
            FactKind::PushStored {
                push: first,
                channel,
            },
        )
        .push(2, 20)
        .at(
            20,
            FactKind::PushDiscarded {
                push: second,
                channel,
            },
        );
    insta::assert_snapshot!(why(story), @"device-offline (device): the device has been off the network since 0.000s; push 2 has waited since 0.020s");
}

#[test]
fn a_device_that_cannot_take_its_push_says_why() {
    let held = |conditions: &[Condition]| why(pushed().condition(3, conditions));
    insta::assert_snapshot!(held(&[Condition::PushBlocked, Condition::Asleep]), @"push-port-blocked (network): the device's network has dropped TCP 5223 since 0.003s; push 1 has waited since 0.006s");
    insta::assert_snapshot!(held(&[Condition::PushDeaf]), @"push-deaf (network): a NAT forgot the device's push connection at 0.003s; push 1 has waited since 0.006s");
    insta::assert_snapshot!(held(&[Condition::Off, Condition::Offline]), @"device-off (device): the device has been off since 0.003s; push 1 has waited since 0.006s");
    insta::assert_snapshot!(held(&[Condition::Gone, Condition::Off]), @"ghost-device (device): the device has been gone since 0.003s and does not come back; push 1 has waited since 0.006s");
    insta::assert_snapshot!(held(&[Condition::LowPower]), @"device-asleep (device): the device has held back pushes of low priority since 0.003s to save power; push 1 has waited since 0.006s");
    // The time is that of the condition, not of the last change.
    let story = pushed()
        .condition(3, &[Condition::Asleep])
        .condition(9, &[Condition::Asleep, Condition::Locked]);
    insta::assert_snapshot!(why(story), @"device-asleep (device): the device has been asleep since 0.003s; push 1 has waited since 0.006s");
}

#[test]
fn a_device_that_has_its_push_and_does_not_connect_says_why() {
    let held = |conditions: &[Condition]| delivered().condition(3, conditions);
    insta::assert_snapshot!(show(&held(&[Condition::Throttled]).account(1_000)), @"0 pending in wake: background-throttled of device");
    insta::assert_snapshot!(show(&held(&[Condition::AgentStopped]).account(1_000)), @"0 pending in wake: agent-stopped of device");
    // Who is logged in does not matter to the device's own channel.
    insta::assert_snapshot!(show(&held(&[Condition::LoggedOut]).account(1_000)), @"0 pending in wake: under-way of device");
    let left = FactKind::Unenrolled {
        device: DeviceId(0),
        why: "the target answered 401".to_owned(),
    };
    insta::assert_snapshot!(why(delivered().at(9, left)), @"ghost-device (device): the device dropped its management at 0.009s: the target answered 401");
}

#[test]
fn a_wrong_clock_is_to_blame_for_what_it_breaks_and_for_nothing_else() {
    let tls = || Got::Lost(Broken::Tls("certificate not yet valid".into()));
    let slow = |story: Story| story.clock(1, -11);
    insta::assert_snapshot!(why(idle(slow(delivered()), 10, tls())), @"clock-refused-tls (device): the device's clock is 11 min slow; its TLS handshake failed at 0.015s: certificate not yet valid");
    insta::assert_snapshot!(why(idle(slow(delivered()), 10, Got::Status(400))), @"clock-refused-signature (device): the device's clock is 11 min slow, and so is the time in its signature; its request got 400 at 0.015s");
    insta::assert_snapshot!(why(idle(delivered(), 10, tls())), @"target-unreachable (target): the device's last request got no answer at 0.015s: certificate not yet valid");
    insta::assert_snapshot!(why(idle(delivered(), 10, Got::Status(400))), @"server-error (target): the device's last request got 400 at 0.015s");
    insta::assert_snapshot!(why(idle(slow(delivered()), 10, Got::Status(503))), @"server-error (target): the device's last request got 503 at 0.015s");
    // However many devices refuse it, the target is not silent; and the wait is theirs.
    let story = [10, 20, 30, 40]
        .into_iter()
        .fold(slow(delivered()), |story, at| {
            idle(story, at, tls()).ended(at + 6)
        });
    let account = story.account(60_000);
    assert!(!account.target_silent);
    insta::assert_snapshot!(show(&account), @"0 pending in retry: clock-refused-tls of device");
}

#[test]
fn not_now_waits_for_the_device_or_for_the_target() {
    let refused = || fetched().not_now(0, 171, "locked", Got::Empty).ended(177);
    insta::assert_snapshot!(why(refused().condition(0, &[Condition::Locked, Condition::Asleep])), @"not-now-waiting (device): the device answered NotNow (locked) at 0.171s, and the reason holds");
    insta::assert_snapshot!(why(refused().condition(200, &[Condition::Off])), @"device-off (device): the device has been off since 0.200s");
    insta::assert_snapshot!(why(refused().deferral_ended(0, 500, 500, true)), @"not-now-waiting (device): the device answered NotNow (locked) at 0.171s; the reason is over, and the device will ask by itself");
    insta::assert_snapshot!(why(refused().deferral_ended(0, 500, 500, false)), @"not-now-not-repushed (target): the device answered NotNow (locked) at 0.171s; the reason is over, and the target neither pushed nor offered it again");
    insta::assert_snapshot!(why(refused().deferral_ended(0, 500, 500, false).push(2, 600).condition(600, &[Condition::Asleep])), @"device-asleep (device): the device has been asleep since 0.600s; push 2 has waited since 0.600s");
    let account = refused().account(1_000);
    assert_eq!(account.pending[0].reason.as_deref(), Some("locked"));
}

#[test]
fn a_target_that_offers_a_refused_command_over_and_over_is_a_loop() {
    let spin = [180, 190, 200].into_iter().fold(fetched(), |story, at| {
        story.not_now(0, at, "locked", brings(0))
    });
    insta::assert_snapshot!(why(spin), @"not-now-loop (target): the device answered NotNow (locked) 3 times, last at 0.200s, and was offered it 3 times in a row in one session");
    // One offer in each session is how it should be.
    let polite = [180, 190, 200].into_iter().fold(fetched(), |story, at| {
        idle(
            story.not_now(0, at, "locked", Got::Empty).ended(at + 6),
            at + 7,
            brings(0),
        )
    });
    assert!(
        why(polite)
            .starts_with("not-now-waiting (device): the device answered NotNow (locked) 3 times")
    );
}

#[test]
fn a_target_that_refuses_a_result_keeps_its_command_open() {
    let story = fetched()
        .executed(0, 200, 200)
        .exchange(done(0), Got::Status(500), [200, 200, 200, 220, 220])
        .ended(220);
    insta::assert_snapshot!(why(story), @"result-not-accepted (target): the device reported its result at 0.220s and got 500");
}

#[test]
fn a_command_behind_a_refused_one_is_not_lost_but_in_line() {
    let story = fetched()
        .enqueued(2, 100, 100, 105)
        .push(2, 106)
        .delivered(2, 107, 107)
        .not_now(0, 171, "locked", Got::Empty)
        .ended(177);
    insta::assert_snapshot!(why(story), @r"
    not-now-waiting (device): the device answered NotNow (locked) at 0.171s, and the reason holds
    head-of-line (target): order 0 of the same channel stands in front of it and was answered with NotNow
    ");
    let story = idle(delivered(), 10, Got::Empty).ended(16);
    insta::assert_snapshot!(why(story), @"connected-but-empty (target): the target took it at 0.005s; the device asked after that and got the empty answer at 0.015s");
}

#[test]
fn a_target_that_answers_others_is_slow_not_gone() {
    let other = Channel::device(DeviceId(1));
    let mut answered = idle(Story::default(), 30, Got::Empty);
    let FactKind::Exchange { channel, .. } = &mut answered.facts[0].kind else {
        unreachable!("an exchange is an exchange")
    };
    *channel = other;
    let mut story = idle(delivered(), 10, Got::Lost(Broken::TimedOut)).ended(16);
    insta::assert_snapshot!(why(Story { facts: story.facts.clone() }), @"target-unreachable (target): the device's last request got no answer at 0.015s: timed out");
    story.facts.append(&mut answered.facts);
    insta::assert_snapshot!(why(story), @"server-slow (target): the device's last request timed out at 0.015s, while the target answered others");
    insta::assert_snapshot!(why(Story::default().ordered(0, 0).offered(0, 1)), @"server-slow (target): the enqueue request was sent at 0.001s and has no answer");
}

#[test]
fn failed_commands_are_counted_by_their_errors() {
    let account = fetched().fails(0, 200, 12064, None).account(1_000);
    let failures: Vec<_> = account.failures.iter().collect();
    let [(key, 1)] = failures[..] else {
        panic!("one failure, not {failures:?}")
    };
    assert_eq!(key.error.as_ref().unwrap().top.code, 12064);
    let cause = mdmstorm::record::cause::Cause::of_error(key.error.as_ref().unwrap());
    assert_eq!(cause.unwrap().name(), "license-missing");
}

// ---- enrolling anew ------------------------------------------------------------------------

/// The first device's Authenticate is accepted.
fn authenticate(story: Story, at: u64) -> Story {
    story.exchange(
        Said::Authenticate,
        Got::Empty,
        [at, at, at, at + 10, at + 10],
    )
}

fn enrolled() -> Story {
    let (device, since) = (DeviceId(0), ms(0));
    Story::default().at(0, FactKind::Enrolled { device, since })
}

fn tally(account: &Account) -> (u64, u64, u64) {
    let tally = account.tally(|_, _| true);
    (tally.ordered, tally.cancelled, tally.pending)
}

#[test]
fn enrolling_anew_cancels_what_the_target_had_before() {
    let story = enrolled()
        .enqueued(0, 10, 10, 20)
        .push(1, 21)
        .enqueued(2, 95, 95, 105);
    let (device, since) = (DeviceId(0), ms(100));
    let again = FactKind::Enrolled { device, since };
    let account = authenticate(story, 100).at(115, again).account(1_000);
    assert_eq!(tally(&account), (2, 1, 1));
    assert_eq!(account.all_devices().enrolled, 1);
    assert_eq!(account.pending[0].order, OrderIndex(2));
    // Its result comes late, and changes nothing.
    let story = authenticate(fetched(), 180).exchange(done(0), Got::Empty, [200; 5]);
    let account = story.account(1_000);
    assert_eq!(tally(&account), (1, 1, 0));
    assert_eq!(account.beside.late, 1);
    assert_eq!(account.slices.total(), 0);
}

#[test]
fn an_acceptance_that_is_recorded_late_is_cancelled_all_the_same() {
    let mut story = authenticate(enrolled(), 100).enqueued(0, 10, 10, 20);
    assert_eq!(
        tally(
            &Story {
                facts: story.facts.clone()
            }
            .account(1_000)
        ),
        (1, 1, 0)
    );
    story = authenticate(enrolled(), 100).enqueued(0, 110, 110, 120);
    assert_eq!(tally(&story.account(1_000)), (1, 0, 1));
}

#[test]
fn a_cancelled_order_is_settled_for_the_operator() {
    let mut ledger = Ledger::new(setup(2));
    for fact in &authenticate(enrolled().enqueued(0, 10, 10, 20), 100).facts {
        ledger.record(fact);
    }
    assert_eq!(ledger.take_settled(), [OrderIndex(0)]);
}
