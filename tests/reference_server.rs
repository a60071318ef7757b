//! The rules of the reference server, one test each, and a crowd of random histories.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::time::Duration;

use insta::assert_snapshot;
use mdmstorm::ids::CommandUuid;
use mdmstorm::protocol::checkin::{Authenticate, CheckIn, CheckOut, TokenUpdate};
use mdmstorm::protocol::command::{Command, encode_command};
use mdmstorm::protocol::push::Reason;
use mdmstorm::protocol::status_report::{Status, StatusReport, idle};
use mdmstorm::reference_server::{
    Identity, PushOrder, PushResult, Reply, Server, Settings, Submission, WithPush,
};
use mdmstorm::time::SimTime;
use proptest::prelude::*;

const DEVICE: &str = "DEVICE";
const MINE: Identity = Identity([1; 32]);

/// A server, the time, and what was said, as a transcript.
struct Rig {
    server: Server,
    now: SimTime,
    said: String,
}

impl Rig {
    fn new() -> Self {
        Self {
            server: Server::new(Settings::default()),
            now: SimTime::ZERO,
            said: String::new(),
        }
    }

    fn enrolled() -> Self {
        let mut rig = Self::new();
        assert_eq!(rig.authenticate(MINE, DEVICE), 200);
        assert_eq!(rig.token_update(MINE, DEVICE), 200);
        rig
    }

    fn authenticate(&mut self, identity: Identity, udid: &str) -> u16 {
        let message = Authenticate {
            udid: udid.into(),
            topic: "topic".into(),
            os_version: None,
            build: None,
            product: None,
            serial: None,
            imei: None,
            meid: None,
            mac: None,
        };
        self.check_in(identity, &CheckIn::Authenticate(message))
    }

    fn token_update(&mut self, identity: Identity, udid: &str) -> u16 {
        let message = TokenUpdate {
            udid: udid.into(),
            topic: "topic".into(),
            token: vec![7; 32],
            magic: "magic".into(),
            unlock_token: None,
            user: None,
            awaiting_configuration: false,
            auth_token: None,
        };
        self.check_in(identity, &CheckIn::TokenUpdate(message))
    }

    fn check_out(&mut self) -> u16 {
        let message = CheckOut {
            udid: DEVICE.into(),
            topic: "topic".into(),
        };
        self.check_in(MINE, &CheckIn::CheckOut(message))
    }

    fn check_in(&mut self, identity: Identity, message: &CheckIn) -> u16 {
        self.server
            .check_in(self.now, Some(identity), &message.encode())
            .status
    }

    fn try_enqueue(&mut self, id: &str, uuid: &str, push: WithPush) -> Submission {
        let mut command = plist::Dictionary::new();
        command.insert("RequestType".into(), "ProfileList".into());
        let body = encode_command(uuid, &command);
        self.server.enqueue(self.now, &[id.into()], &body, push)
    }

    /// Enqueues with a push and says so.
    fn enqueue<const N: usize>(&mut self, uuids: [&str; N]) -> &mut Self {
        for uuid in uuids {
            let submission = self.try_enqueue(DEVICE, uuid, WithPush::Yes);
            assert_eq!(submission.pushes.len(), 1);
            assert_eq!(submission.answer.status(), 200);
        }
        self
    }

    fn report(&mut self, status: Status, uuid: Option<&str>) -> Reply {
        let body = StatusReport {
            udid: DEVICE.into(),
            user: None,
            status,
            uuid: uuid.map(|uuid| CommandUuid(uuid.into())),
            error_chain: Vec::new(),
            payload: plist::Dictionary::new(),
        }
        .encode();
        self.server.connect(self.now, Some(MINE), &body)
    }

    /// The device says this; the answer goes into the transcript.
    fn says(&mut self, status: Status, uuid: &str) -> &mut Self {
        let what = format!("{} {uuid}", status.name());
        let reply = self.report(status, Some(uuid).filter(|uuid| !uuid.is_empty()));
        let answer = match (reply.status, offered(&reply)) {
            (200, Some(uuid)) => uuid,
            (200, None) => "-".to_owned(),
            (status, _) => status.to_string(),
        };
        self.said += &format!("{} {} => {answer}\n", self.now, what.trim_end());
        self
    }

    fn idle(&mut self) -> &mut Self {
        self.says(Status::Idle, "")
    }

    fn ack(&mut self, uuid: &str) -> &mut Self {
        self.says(Status::Acknowledged, uuid)
    }

    fn not_now(&mut self, uuid: &str) -> &mut Self {
        self.says(Status::NotNow, uuid)
    }

    /// Lets time pass; due pushes go into the transcript.
    fn until(&mut self, secs: u64) -> &mut Self {
        while let Some(at) = self
            .server
            .deadline()
            .filter(|at| *at <= SimTime::from_secs(secs))
        {
            self.now = self.now.max(at);
            for order in self.server.tick(self.now) {
                self.said += &format!("{} push {}\n", self.now, order.id);
            }
        }
        self.now = SimTime::from_secs(secs);
        self
    }

    fn transcript(&self) -> &str {
        self.said.trim_end()
    }
}

fn offered(reply: &Reply) -> Option<String> {
    if reply.body.is_empty() {
        return None;
    }
    Some(
        Command::decode(&reply.body)
            .unwrap()
            .uuid
            .unwrap()
            .to_string(),
    )
}

#[test]
fn commands_are_delivered_in_order_until_an_empty_answer() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A", "B"])
        .idle()
        .ack("A")
        .says(Status::Error, "B");
    assert_snapshot!(rig.transcript(), @r"
    0.000s Idle => A
    0.000s Acknowledged A => B
    0.000s Error B => -
    ");
}

#[test]
fn a_command_without_an_answer_is_delivered_again() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A"])
        .idle()
        .idle()
        .says(Status::CommandFormatError, "A")
        .idle();
    assert_snapshot!(rig.transcript(), @r"
    0.000s Idle => A
    0.000s Idle => A
    0.000s CommandFormatError A => -
    0.000s Idle => -
    ");
}

#[test]
fn after_not_now_a_command_is_skipped_in_this_session_and_first_in_the_next() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A", "B", "C"])
        .idle()
        .not_now("A")
        .ack("B")
        .ack("C")
        .idle()
        .ack("A");
    assert_snapshot!(rig.transcript(), @r"
    0.000s Idle => A
    0.000s NotNow A => B
    0.000s Acknowledged B => C
    0.000s Acknowledged C => -
    0.000s Idle => A
    0.000s Acknowledged A => -
    ");
}

#[test]
fn a_session_that_strands_a_refused_command_is_followed_by_a_push_after_a_minute() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A", "B"])
        .until(5)
        .idle()
        .not_now("A")
        .ack("B")
        .until(100);
    assert_snapshot!(rig.transcript(), @r"
    5.000s Idle => A
    5.000s NotNow A => B
    5.000s Acknowledged B => -
    65.000s push DEVICE
    ");
}

#[test]
fn a_session_that_ends_on_not_now_is_left_to_the_device() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A"]).idle().not_now("A").until(10_000);
    assert_snapshot!(rig.transcript(), @r"
    0.000s Idle => A
    0.000s NotNow A => -
    ");
}

/// A device polled by itself after NotNow, took the command and was never heard of again: no push had
/// begun that session, so nothing reminded the server, and the command was open for ever.
#[test]
fn a_session_the_device_began_and_broke_off_is_followed_by_a_push() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A"])
        .idle()
        .not_now("A")
        .until(100)
        .idle()
        .until(800);
    assert_snapshot!(rig.transcript(), @r"
    0.000s Idle => A
    0.000s NotNow A => -
    100.000s Idle => A
    700.000s push DEVICE
    ");
}

#[test]
fn a_device_that_does_not_come_is_pushed_every_ten_minutes_until_it_does() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A"]).until(1300).idle().ack("A").until(10_000);
    assert_snapshot!(rig.transcript(), @r"
    600.000s push DEVICE
    1200.000s push DEVICE
    1300.000s Idle => A
    1300.000s Acknowledged A => -
    ");
}

#[test]
fn a_session_that_breaks_off_is_pushed_ten_minutes_after_its_last_word() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A"]).until(500).idle().until(1150);
    assert_snapshot!(rig.transcript(), @r"
    500.000s Idle => A
    1100.000s push DEVICE
    ");
}

#[test]
fn authenticate_clears_the_queue_and_nothing_is_pushed() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A"]);
    assert_eq!(rig.authenticate(MINE, DEVICE), 200);
    assert_eq!(rig.token_update(MINE, DEVICE), 200);
    rig.idle().until(10_000);
    assert_snapshot!(rig.transcript(), @"0.000s Idle => -");
}

#[test]
fn authenticate_binds_the_identity_and_only_that_one_is_served() {
    let other = Identity([2; 32]);
    let mut rig = Rig::enrolled();
    assert_eq!(
        rig.server
            .connect(rig.now, Some(other), &idle(DEVICE))
            .status,
        500
    );
    assert_eq!(rig.authenticate(MINE, "ANOTHER"), 500);
    assert_eq!(rig.authenticate(other, DEVICE), 200);
    assert_eq!(
        rig.server
            .connect(rig.now, Some(MINE), &idle(DEVICE))
            .status,
        500
    );
    assert_eq!(
        rig.server
            .connect(rig.now, Some(other), &idle(DEVICE))
            .status,
        200
    );
    // The old certificate is free again.
    assert_eq!(rig.authenticate(MINE, "ANOTHER"), 200);
}

#[test]
fn who_is_not_enrolled_is_refused_and_never_with_401() {
    let mut rig = Rig::new();
    assert_eq!(rig.token_update(MINE, DEVICE), 500);
    assert_eq!(
        rig.server
            .connect(rig.now, Some(MINE), &idle(DEVICE))
            .status,
        500
    );
    assert_eq!(rig.server.connect(rig.now, None, &idle(DEVICE)).status, 400);
    assert_eq!(rig.server.check_in(rig.now, None, b"").status, 400);
    let mut rig = Rig::enrolled();
    assert_eq!(rig.check_out(), 200);
    assert_eq!(
        rig.server
            .connect(rig.now, Some(MINE), &idle(DEVICE))
            .status,
        500
    );
    assert_eq!(rig.token_update(MINE, DEVICE), 500);
}

#[test]
fn a_foreign_topic_and_messages_that_cannot_be_read_are_refused() {
    let mut rig = Rig::new();
    rig.server = Server::new(Settings {
        push_topic: Some("another".into()),
        ..Settings::default()
    });
    assert_eq!(rig.authenticate(MINE, DEVICE), 400);
    let message = |name: &str| {
        format!("<plist><dict><key>MessageType</key><string>{name}</string></dict></plist>")
    };
    let status = |body: &str| {
        Server::default()
            .check_in(SimTime::ZERO, Some(MINE), body.as_bytes())
            .status
    };
    assert_eq!(status(&message("UserAuthenticate")), 400);
    assert_eq!(status(&message("Hello")), 400);
    assert_eq!(status("<html>"), 400);
}

#[test]
fn a_status_nobody_knows_is_refused_and_settles_nothing() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A"])
        .idle()
        .says(Status::Unknown("Busy".into()), "A")
        .idle();
    assert_snapshot!(rig.transcript(), @r"
    0.000s Idle => A
    0.000s Busy A => 400
    0.000s Idle => A
    ");
}

#[test]
fn ghost_early_and_duplicate_results_do_no_damage() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A", "B"])
        .idle()
        .ack("GHOST")
        .ack("B") // never offered
        .ack("")
        .ack("A")
        .ack("A")
        .not_now("A")
        .ack("B");
    assert_snapshot!(rig.transcript(), @r"
    0.000s Idle => A
    0.000s Acknowledged GHOST => A
    0.000s Acknowledged B => A
    0.000s Acknowledged => A
    0.000s Acknowledged A => B
    0.000s Acknowledged A => B
    0.000s NotNow A => B
    0.000s Acknowledged B => -
    ");
}

fn json(submission: &Submission) -> String {
    String::from_utf8(submission.answer.json()).unwrap()
}

#[test]
fn the_answer_has_the_shape_of_nanomdm() {
    let mut rig = Rig::enrolled();
    let mut submission = rig.try_enqueue(DEVICE, "A", WithPush::Yes);
    let accepted = PushResult::Accepted {
        apns_id: "ID".into(),
    };
    submission.answer.pushed(DEVICE, &accepted);
    assert_eq!(submission.answer.status(), 200);
    assert_snapshot!(json(&submission), @r#"{"status":{"DEVICE":{"push_result":"ID"}},"command_uuid":"A","request_type":"ProfileList"}"#);

    let submission = rig.try_enqueue(DEVICE, "B", WithPush::No);
    assert_eq!(
        (submission.answer.status(), submission.pushes),
        (200, vec![])
    );
    let submission = rig.try_enqueue(DEVICE, "C", WithPush::No);
    assert_snapshot!(json(&submission), @r#"{"no_push":true,"command_uuid":"C","request_type":"ProfileList"}"#);

    // Queued, but the push failed: 500, as NanoMDM answers.
    let mut submission = rig.try_enqueue(DEVICE, "D", WithPush::Yes);
    submission
        .answer
        .pushed(DEVICE, &PushResult::Refused(Reason::TooManyRequests));
    assert_eq!(submission.answer.status(), 500);
    assert_snapshot!(json(&submission), @r#"{"status":{"DEVICE":{"push_error":"TooManyRequests"}},"command_uuid":"D","request_type":"ProfileList"}"#);
    assert_eq!(rig.server.open_commands(DEVICE), 4);
}

#[test]
fn a_reused_uuid_and_an_unknown_id_are_command_errors() {
    let mut rig = Rig::enrolled();
    rig.enqueue(["A"]).idle().ack("A");
    let submission = rig.try_enqueue(DEVICE, "A", WithPush::Yes);
    assert_eq!(
        (submission.answer.status(), submission.pushes.len()),
        (500, 0)
    );
    assert_snapshot!(json(&submission), @r#"{"status":{"DEVICE":{"command_error":"the CommandUUID was used before, but each command needs its own"}},"command_uuid":"A","request_type":"ProfileList"}"#);

    let mut command = plist::Dictionary::new();
    command.insert("RequestType".into(), "X".into());
    let body = encode_command("B", &command);
    let ids = [DEVICE.to_owned(), "NOBODY".to_owned(), DEVICE.to_owned()];
    let submission = rig.server.enqueue(rig.now, &ids, &body, WithPush::Yes);
    assert_eq!(
        (submission.answer.status(), submission.pushes.len()),
        (207, 1)
    );

    let submission = rig.server.enqueue(rig.now, &ids, b"<html>", WithPush::Yes);
    assert_eq!(submission.answer.status(), 400);
    assert_snapshot!(json(&submission), @r#"{"command_error":"found HTML (<html>), not an XML property list"}"#);
}

#[test]
fn an_empty_body_is_a_push_alone() {
    let mut rig = Rig::enrolled();
    let ids = [DEVICE.to_owned()];
    let submission = rig.server.enqueue(rig.now, &ids, b"", WithPush::Yes);
    let PushOrder {
        topic,
        token,
        magic,
        ..
    } = &submission.pushes[0];
    assert_eq!(
        (topic.as_str(), token, magic.as_str()),
        ("topic", &vec![7; 32], "magic")
    );
    assert_eq!(rig.server.deadline(), None);
    let nobody = rig.server.push(rig.now, &["NOBODY".to_owned()]);
    assert_eq!(nobody.answer.status(), 500);
}

#[test]
fn a_token_that_apns_calls_bad_is_not_pushed_again_until_there_is_another() {
    let mut rig = Rig::enrolled();
    let submission = rig.try_enqueue(DEVICE, "A", WithPush::Yes);
    let unregistered = PushResult::Refused(Reason::Unregistered);
    rig.server
        .pushed(submission.pushes[0].ticket, &unregistered);
    rig.until(2000);
    assert_eq!(rig.token_update(MINE, DEVICE), 200);
    // The outcome of a push to the old token says nothing about the new one.
    rig.server
        .pushed(submission.pushes[0].ticket, &unregistered);
    rig.until(2100);
    assert_snapshot!(rig.transcript(), @"2060.000s push DEVICE");
}

#[test]
fn a_push_that_failed_is_tried_again_in_its_time() {
    let mut rig = Rig::enrolled();
    let submission = rig.try_enqueue(DEVICE, "A", WithPush::Yes);
    let failed = PushResult::Failed {
        why: "no route".into(),
    };
    rig.server.pushed(submission.pushes[0].ticket, &failed);
    rig.until(700);
    assert_snapshot!(rig.transcript(), @"600.000s push DEVICE");
}

/// What happens next in a random history.
#[derive(Clone, Debug)]
enum Step {
    Enqueue,
    Idle,
    Acknowledge,
    Fail,
    NotNow,
    /// The connection breaks: the device forgets what it was offered.
    Break,
    /// An old result arrives again.
    Duplicate(prop::sample::Index),
    Wait(Duration),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Enqueue),
        2 => Just(Step::Idle),
        4 => Just(Step::Acknowledge),
        1 => Just(Step::Fail),
        3 => Just(Step::NotNow),
        1 => Just(Step::Break),
        1 => any::<prop::sample::Index>().prop_map(Step::Duplicate),
        1 => (0_u64..2000).prop_map(|secs| Step::Wait(Duration::from_secs(secs))),
    ]
}

/// A device that plays a history, and what must hold of what it is offered.
#[derive(Default)]
struct History {
    enqueued: usize,
    offered: Option<usize>,
    offered_before: Vec<usize>,
    refused_in_session: Vec<usize>,
    settled: Vec<usize>,
}

impl History {
    fn take(&mut self, reply: &Reply) {
        assert_eq!(reply.status, 200);
        self.offered = offered(reply).map(|uuid| uuid.parse().unwrap());
        let Some(index) = self.offered else {
            return;
        };
        assert!(
            !self.settled.contains(&index),
            "{index} came again after its result"
        );
        assert!(
            !self.refused_in_session.contains(&index),
            "{index} came again in the session that refused it"
        );
        if !self.offered_before.contains(&index) {
            assert_eq!(index, self.offered_before.len(), "out of order");
            self.offered_before.push(index);
        }
    }

    fn play(&mut self, rig: &mut Rig, step: &Step) {
        match step {
            Step::Enqueue => {
                rig.try_enqueue(DEVICE, &self.enqueued.to_string(), WithPush::Yes);
                self.enqueued += 1;
            }
            Step::Idle => {
                self.refused_in_session.clear();
                let reply = rig.report(Status::Idle, None);
                self.take(&reply);
            }
            Step::Acknowledge => self.settle(rig, Status::Acknowledged),
            Step::Fail => self.settle(rig, Status::Error),
            Step::NotNow => {
                if let Some(index) = self.offered {
                    self.refused_in_session.push(index);
                    let reply = rig.report(Status::NotNow, Some(&index.to_string()));
                    self.take(&reply);
                }
            }
            Step::Break => self.offered = None,
            Step::Duplicate(which) => {
                if !self.settled.is_empty() && self.offered.is_some() {
                    let old = which.get(&self.settled).to_string();
                    let reply = rig.report(Status::Acknowledged, Some(&old));
                    self.take(&reply);
                }
            }
            Step::Wait(time) => {
                let until = rig.now + *time;
                rig.until(until.as_micros() / 1_000_000);
            }
        }
    }

    fn settle(&mut self, rig: &mut Rig, status: Status) {
        if let Some(index) = self.offered {
            self.settled.push(index);
            let reply = rig.report(status, Some(&index.to_string()));
            self.take(&reply);
        }
    }
}

proptest! {
    #[test]
    fn no_history_loses_doubles_or_reorders_a_command(steps in prop::collection::vec(any_step(), 0..80)) {
        let mut rig = Rig::enrolled();
        let mut history = History::default();
        for step in &steps {
            history.play(&mut rig, step);
            prop_assert_eq!(
                rig.server.open_commands(DEVICE),
                history.enqueued - history.settled.len()
            );
        }
        history.play(&mut rig, &Step::Idle);
        while history.offered.is_some() {
            history.play(&mut rig, &Step::Acknowledge);
        }
        history.settled.sort_unstable();
        prop_assert_eq!(history.settled, (0..history.enqueued).collect::<Vec<_>>());
        prop_assert_eq!(rig.server.deadline(), None);
    }
}
