//! Waits in which nobody is at fault, and refused commands that come back or do not.

use mdmstorm::condition::Condition;
use mdmstorm::fact::{Broken, FactKind, Got, Said, WakeReason};
use mdmstorm::ids::{Channel, DeviceId};
use mdmstorm::record::account::Account;

use crate::story::{Story, brings, done, fetched, setup};

/// Cause, owner and evidence of each pending command at `end`.
fn why(story: Story, end: u64) -> String {
    explain(&story.account(end))
}

fn explain(account: &Account) -> String {
    let lines = account.pending.iter().map(|pending| {
        let (cause, owner) = (pending.cause.name(), pending.owner.name());
        format!("{cause} ({owner}): {}", pending.evidence)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn pushed() -> Story {
    Story::default().enqueued(0, 0, 0, 5).push(1, 6)
}

fn idle(story: Story, at: u64, got: Got) -> Story {
    story.exchange(Said::Idle, got, [at, at, at, at + 5, at + 5])
}

// ---- on the way ----------------------------------------------------------------------------

/// In a rehearsal of `nat-timeout` a stored push was on its way to a device that had just connected
/// anew, and the report said `unknown`.
#[test]
fn a_command_between_two_steps_is_under_way() {
    insta::assert_snapshot!(why(pushed(), 30), @"under-way (device): nothing keeps its push from the device; the last thing that happened on its channel was at 0.006s");
    let delivered = || pushed().delivered(1, 8, 8);
    insta::assert_snapshot!(why(delivered(), 30), @"under-way (device): the device has its push and is about to connect; the last thing that happened on its channel was at 0.008s");
    insta::assert_snapshot!(why(fetched(), 200), @"under-way (device): the device is executing it; the last thing that happened on its channel was at 0.171s");
    // What kept the push is over.
    let kept = pushed()
        .condition(3, &[Condition::PushDeaf])
        .condition(90_000, &[]);
    insta::assert_snapshot!(why(kept, 91_000), @"under-way (device): nothing keeps its push from the device; the last thing that happened on its channel was at 90.000s");
    // The result of a device that left the network in the meantime.
    let cut = fetched()
        .condition(180, &[Condition::Offline])
        .executed(0, 190, 190)
        .ended(190)
        .condition(60_000, &[]);
    insta::assert_snapshot!(why(cut, 61_000), @"under-way (device): the device has its result and is about to connect; the last thing that happened on its channel was at 60.000s");
}

#[test]
fn a_command_at_a_standstill_has_no_cause() {
    assert!(why(pushed(), 30_006).starts_with("under-way (device)"));
    insta::assert_snapshot!(why(pushed(), 30_007), @"unknown (device): at 30.007s it was in the phase delivery, which is the device's; push 1 has waited since 0.006s: 0.000s it was offered; 0.005s it was accepted; 0.006s push 1 arrived");
    // What another channel does is no step of this one.
    let other = FactKind::SessionEnded {
        channel: Channel::device(DeviceId(1)),
    };
    assert!(why(pushed().at(30_000, other), 30_007).starts_with("unknown"));
    // An obstacle is one however much happens.
    let asleep = pushed().condition(3, &[Condition::Asleep]);
    assert!(why(asleep, 30).starts_with("device-asleep"));
}

#[test]
fn a_command_may_take_as_long_as_it_takes_while_its_session_is_on() {
    assert!(why(fetched(), 600_000).starts_with("under-way (device): the device is executing it"));
    // It went off, which ended the session, and is back.
    let back = || {
        fetched()
            .condition(180, &[Condition::Off])
            .ended(180)
            .condition(60_000, &[])
    };
    insta::assert_snapshot!(why(back(), 61_000), @"under-way (device): the device lost its session and is about to connect; the last thing that happened on its channel was at 60.000s");
    insta::assert_snapshot!(why(back(), 600_000), @"unknown (device): at 600.000s it was in the phase execute, which is the device's: 0.010s it was offered; 0.030s it was accepted; 0.040s push 1 arrived; 0.065s push 1 was delivered; 0.103s the device decided to connect; 0.130s Idle was sent; 0.170s Idle was answered with command 0; 0.180s the session was over");
    let stopped = back().condition(60_001, &[Condition::AgentStopped]);
    insta::assert_snapshot!(why(stopped, 600_000), @"agent-stopped (device): the device's management agent has not run since 60.001s");
}

/// The operator sends a serial order once the one before it on its channel has settled. Whatever held
/// that up, the report called the wait of all behind it unknown.
#[test]
fn a_serial_order_waits_for_the_one_before_it() {
    let story = pushed().condition(3, &[Condition::Asleep]).ordered(2, 10);
    let why = |serial| {
        let mut setup = setup(4);
        for order in &mut setup.orders {
            order.serial = serial;
        }
        explain(&story.account_with(setup, 20_000))
    };
    insta::assert_snapshot!(why(true), @"
    device-asleep (device): the device has been asleep since 0.003s; push 1 has waited since 0.006s
    head-of-line (operator): order 0 of the same channel stands in front of it and has to settle first
    ");
    insta::assert_snapshot!(why(false), @"
    device-asleep (device): the device has been asleep since 0.003s; push 1 has waited since 0.006s
    under-way (operator): the operator has yet to send it; the last thing that happened on its channel was at 0.010s
    ");
}

#[test]
fn a_request_that_got_lost_while_others_are_answered_is_made_again() {
    let cut = || Got::Lost(Broken::Cut("reset".into()));
    let lost = || {
        fetched()
            .executed(0, 200, 200)
            .exchange(done(0), cut(), [200, 200, 200, 220, 220])
            .ended(220)
    };
    assert!(why(lost(), 1_000).starts_with("target-unreachable"));
    let mut other = idle(Story::default(), 300, Got::Empty);
    let FactKind::Exchange { channel, .. } = &mut other.facts[0].kind else {
        unreachable!("an exchange is an exchange")
    };
    *channel = Channel::device(DeviceId(1));
    let mut story = lost();
    story.facts.append(&mut other.facts);
    insta::assert_snapshot!(why(story, 600_000), @"request-lost (network): the device's last request failed at 0.220s: reset; it has yet to try again");
}

/// A server pushed before it let devices have the command. The device came for the push too early, and
/// the report found no cause for what it then waited for.
#[test]
fn a_push_that_came_before_its_command_leaves_the_next_move_to_the_target() {
    let early = |accepted| {
        let story = Story::default().ordered(0, 0).offered(0, 1).push(1, 6);
        let story = idle(story.delivered(1, 8, 8), 10, Got::Empty).ended(16);
        story.accepted(0, accepted)
    };
    insta::assert_snapshot!(why(early(12), 60_000), @"connected-but-empty (target): the target took it at 0.012s; the device came for a push and got the empty answer at 0.015s");
    insta::assert_snapshot!(why(early(20), 60_000), @"connected-but-empty (target): the target took it at 0.020s; the device came for a push and got the empty answer at 0.015s");
    let again = early(20)
        .push(2, 30_000)
        .condition(30_000, &[Condition::Asleep]);
    assert!(why(again, 60_000).starts_with("device-asleep (device)"));
}

// ---- after a NotNow ------------------------------------------------------------------------

/// Refused at 0.171 s; the reason is over at 10 s.
fn refused(polls: bool) -> Story {
    fetched()
        .not_now(0, 171, "locked", Got::Empty)
        .ended(177)
        .deferral_ended(0, 10_000, 10_000, polls)
}

/// The device comes at `at` because of push `push`.
fn comes(story: Story, push: u64, at: u64, got: Got) -> Story {
    let story = story.push(push, at).delivered(push, at + 1, at + 1);
    idle(story.woke(at + 2, at + 2, WakeReason::Push), at + 3, got)
}

/// A server pushed after the reason for a NotNow was over, told the device that there was nothing,
/// and the report went on to blame the device.
#[test]
fn a_refused_command_that_a_server_keeps_back_from_a_device_that_asks_is_starved() {
    let pushed = comes(refused(false), 2, 20_000, Got::Empty).ended(20_009);
    insta::assert_snapshot!(why(pushed, 60_000), @"not-now-starved (target): the device answered NotNow (locked) at 0.171s; the reason is over, and the device asked since and got the empty answer at 20.008s");
    let polled = idle(refused(true), 10_100, Got::Empty).ended(10_106);
    insta::assert_snapshot!(why(polled, 60_000), @"not-now-starved (target): the device answered NotNow (locked) at 0.171s; the reason is over, and the device asked since and got the empty answer at 10.105s");
    // The device is away: it is still the target's, which has nothing for it.
    let away = comes(refused(false), 2, 20_000, Got::Empty)
        .ended(20_009)
        .condition(30_000, &[Condition::Offline]);
    assert!(why(away, 60_000).starts_with("not-now-starved (target)"));
}

#[test]
fn a_server_that_pushes_or_offers_again_starves_nobody() {
    let kept_back = || comes(refused(false), 2, 20_000, Got::Empty).ended(20_009);
    // Another push may be the one that brings it.
    insta::assert_snapshot!(why(kept_back().push(3, 40_000), 40_001), @"not-now-waiting (device): the device answered NotNow (locked) at 0.171s; the target has pushed again; push 3 has waited since 40.000s");
    // Offered and refused again, with the same reason or another.
    let again =
        || comes(kept_back(), 3, 40_000, brings(0)).not_now(0, 40_010, "asleep", Got::Empty);
    insta::assert_snapshot!(why(again().ended(40_016), 60_000), @"not-now-waiting (device): the device answered NotNow (asleep) 2 times, last at 40.010s, and the reason holds");
    // Over again, and nobody has asked since.
    let over = again()
        .ended(40_016)
        .deferral_ended(0, 50_000, 50_000, false);
    insta::assert_snapshot!(why(over, 60_000), @"not-now-not-repushed (target): the device answered NotNow (asleep) 2 times, last at 40.010s; the reason is over, and the target neither pushed nor offered it again");
}

#[test]
fn an_empty_answer_that_comes_too_early_starves_nobody() {
    // While the reason holds.
    let early = fetched().not_now(0, 171, "locked", Got::Empty).ended(177);
    let early = comes(early, 2, 8_000, Got::Empty).ended(8_009);
    assert!(why(early, 9_000).starts_with("not-now-waiting (device)"));
    // Before a server can be expected to have taken the NotNow in.
    let soon = fetched()
        .not_now(0, 171, "locked", Got::Empty)
        .ended(177)
        .deferral_ended(0, 1_000, 1_000, false);
    let soon = comes(soon, 2, 2_000, Got::Empty).ended(2_009);
    insta::assert_snapshot!(why(soon, 9_000), @"not-now-not-repushed (target): the device answered NotNow (locked) at 0.171s; the reason is over, and push 2 was the last one, and the target did not offer it again");
    // The answer that ends a session with other commands.
    let served = comes(
        refused(false).enqueued(2, 19_000, 19_000, 19_005),
        2,
        20_000,
        brings(2),
    )
    .executed(2, 20_050, 20_050)
    .exchange(
        done(2),
        Got::Empty,
        [20_050, 20_050, 20_050, 20_060, 20_060],
    )
    .ended(20_061);
    insta::assert_snapshot!(why(served, 60_000), @"not-now-not-repushed (target): the device answered NotNow (locked) at 0.171s; the reason is over, and push 2 was the last one, and the target did not offer it again");
}
