//! What each defect of the reference server does, and that nothing of it is there without it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::time::Duration;

use mdmstorm::ids::CommandUuid;
use mdmstorm::protocol::checkin::{Authenticate, CheckIn, TokenUpdate};
use mdmstorm::protocol::command::{Command, encode_command};
use mdmstorm::protocol::status_report::{Status, StatusReport, idle};
use mdmstorm::reference_server::{
    Defect, Identity, PushOrder, PushResult, Reply, Server, Settings, WithPush,
};
use mdmstorm::time::SimTime;

const FIRST: Identity = Identity([1; 32]);
const SECOND: Identity = Identity([2; 32]);

/// A server with one device, and what they said: a word for each answer.
struct Rig {
    server: Server,
    now: SimTime,
    identity: Identity,
    pushes: Vec<PushOrder>,
    said: Vec<String>,
}

impl Rig {
    fn enrolled(settings: Settings) -> Self {
        let mut rig = Self {
            server: Server::new(settings),
            now: SimTime::ZERO,
            identity: FIRST,
            pushes: Vec::new(),
            said: Vec::new(),
        };
        rig.enrol("D", FIRST);
        rig
    }

    fn enrol(&mut self, udid: &str, identity: Identity) -> &mut Self {
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
        self.identity = identity;
        self.check_in(&CheckIn::Authenticate(message));
        self.token(udid, 1)
    }

    fn token(&mut self, udid: &str, token: u8) -> &mut Self {
        let message = TokenUpdate {
            udid: udid.into(),
            topic: "topic".into(),
            token: vec![token; 32],
            magic: "magic".into(),
            unlock_token: None,
            user: None,
            awaiting_configuration: false,
            auth_token: None,
        };
        self.check_in(&CheckIn::TokenUpdate(message));
        self
    }

    fn check_in(&mut self, message: &CheckIn) {
        let identity = Some(self.identity);
        let body = message.encode();
        let mut reply = self.server.check_in(self.now, identity, &body);
        for _ in 0..20 {
            if reply.status == 200 {
                return;
            }
            reply = self.server.check_in(self.now, identity, &body);
        }
        panic!("{reply:?}");
    }

    fn wait(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }

    /// Each of these is ordered, and accepted.
    fn order<const N: usize>(&mut self, uuids: [&str; N]) -> &mut Self {
        for uuid in uuids {
            let mut command = plist::Dictionary::new();
            command.insert("RequestType".into(), "ProfileList".into());
            let body = encode_command(uuid, &command);
            let ids = ["D".to_owned()];
            let submission = self.server.enqueue(self.now, &ids, &body, WithPush::Yes);
            assert_eq!(submission.answer.status(), 200);
            assert_eq!(submission.answer.command_error("D"), None);
            self.pushes.extend(submission.pushes);
        }
        self
    }

    fn connect(&mut self, body: &[u8]) -> Reply {
        let identity = Some(self.identity);
        self.server.connect(self.now, identity, body)
    }

    fn hear(&mut self, reply: &Reply) -> &mut Self {
        let word = match (reply.status, reply.body.is_empty()) {
            (200, true) => "-".to_owned(),
            (200, false) => Command::decode(&reply.body)
                .unwrap()
                .uuid
                .unwrap()
                .0
                .to_string(),
            (status, _) => status.to_string(),
        };
        self.said.push(word);
        self
    }

    fn idle(&mut self) -> &mut Self {
        let reply = self.connect(&idle("D"));
        self.hear(&reply)
    }

    fn says(&mut self, status: Status, uuid: &str) -> &mut Self {
        let report = StatusReport {
            udid: "D".into(),
            user: None,
            status,
            uuid: Some(CommandUuid(uuid.into())),
            error_chain: Vec::new(),
            payload: plist::Dictionary::new(),
        };
        let reply = self.connect(&report.encode());
        self.hear(&reply)
    }

    fn ack(&mut self, uuid: &str) -> &mut Self {
        self.says(Status::Acknowledged, uuid)
    }

    fn not_now(&mut self, uuid: &str) -> &mut Self {
        self.says(Status::NotNow, uuid)
    }

    /// How many pushes were ordered since the last look, or to which tokens.
    fn pushed(&mut self) -> &mut Self {
        self.pushes.extend(self.server.tick(self.now));
        let tokens = std::mem::take(&mut self.pushes);
        let tokens = tokens.iter().map(|push| format!("push{}", push.token[0]));
        self.said.extend(tokens);
        self
    }
}

/// What is said in a story with a server without defects, and with one that has this one.
fn both(defect: Defect, story: impl Fn(&mut Rig)) -> [String; 2] {
    let tell = |defects| {
        let settings = Settings {
            defects,
            ..Settings::default()
        };
        let mut rig = Rig::enrolled(settings);
        story(&mut rig);
        rig.said.join(" ")
    };
    [tell([].into_iter().collect()), tell(defect.into())]
}

#[test]
fn what_is_ordered_while_the_queue_is_written_is_lost() {
    let two_orders = both(Defect::LosesOnOverlap, |rig| {
        rig.order(["A"]).wait(10).order(["B"]).wait(50);
        rig.idle().ack("A");
    });
    assert_eq!(two_orders, ["A B", "A -"]);
    let order_and_result = both(Defect::LosesOnOverlap, |rig| {
        rig.order(["A"]).wait(50).idle().ack("A");
        rig.wait(10).order(["B"]).wait(50).idle();
    });
    assert_eq!(order_and_result, ["A - B", "A - -"]);
    let apart = both(Defect::LosesOnOverlap, |rig| {
        rig.order(["A"]).wait(30).order(["B"]).wait(50);
        rig.idle().ack("A");
    });
    assert_eq!(apart, ["A B", "A B"]);
}

#[test]
fn what_is_answered_while_the_queue_is_written_comes_back() {
    let overlap = both(Defect::DoublesOnOverlap, |rig| {
        rig.order(["A"]).wait(50).idle().order(["B"]).wait(10);
        rig.ack("A").wait(50).ack("B").idle().ack("A");
    });
    assert_eq!(overlap, ["A B - - -", "A B A A -"]);
}

#[test]
fn a_repeated_or_unknown_result_drops_the_head() {
    for strange in ["A", "ghost"] {
        let stories = both(Defect::UnknownResultDamagesQueue, |rig| {
            rig.order(["A", "B", "C"]).idle().ack("A");
            rig.ack(strange).ack("B").idle();
        });
        // B is what was offered, and its result is unknown by then, too.
        assert_eq!(stories, ["A B B C C", "A B C - -"]);
    }
}

#[test]
fn an_unanswered_command_goes_to_the_end() {
    let stories = both(Defect::OrderLostOnRedelivery, |rig| {
        rig.order(["A", "B"]).idle().idle().ack("B").ack("A");
    });
    assert_eq!(stories, ["A A A B", "A B A -"]);
    let answered = both(Defect::OrderLostOnRedelivery, |rig| {
        rig.order(["A", "B"]).idle().ack("A").ack("B");
    });
    assert_eq!(answered, ["A B -", "A B -"]);
}

#[test]
fn a_refused_command_is_forgotten() {
    let stories = both(Defect::NotNowForgotten, |rig| {
        rig.order(["A"]).idle().not_now("A").idle();
    });
    assert_eq!(stories, ["A - A", "A - -"]);
}

#[test]
fn a_refused_command_comes_again_at_once() {
    let stories = both(Defect::NotNowSpins, |rig| {
        rig.order(["A", "B"]).idle().not_now("A").not_now("A");
    });
    assert_eq!(stories, ["A B B", "A A A"]);
}

#[test]
fn a_refused_command_waits_behind_all_others() {
    let stories = both(Defect::NotNowStarves, |rig| {
        rig.order(["A"]).idle().not_now("A").order(["B"]);
        rig.idle().order(["C"]).ack("B").ack("C").ack("A");
    });
    assert_eq!(stories, ["A - A A A B", "A - B C A -"]);
}

#[test]
fn a_device_is_not_pushed_again_for_what_it_refused() {
    let story = |rig: &mut Rig| {
        rig.order(["A", "B"]).pushed();
        rig.idle().not_now("A").ack("B").wait(61_000).pushed();
    };
    let stories = both(Defect::NotNowNeverPushed, story);
    assert_eq!(stories, ["push1 push1 A B - push1", "push1 push1 A B -"]);
}

#[test]
fn a_command_that_fails_or_is_refused_blocks_the_rest() {
    let failed = both(Defect::HeadBlocks, |rig| {
        rig.order(["A", "B"]).idle();
        rig.says(Status::Error, "A")
            .idle()
            .not_now("A")
            .idle()
            .ack("A");
    });
    assert_eq!(failed, ["A B B B B B", "A - A - A B"]);
}

#[test]
fn every_third_result_is_refused_for_ever() {
    let stories = both(Defect::ResultsRefused, |rig| {
        rig.order(["A", "B", "C", "D"]).idle();
        rig.ack("A").ack("B").ack("C").ack("C").idle();
    });
    assert_eq!(stories, ["A B C D D D", "A B C 500 500 C"]);
}

#[test]
fn a_push_comes_before_its_command() {
    let stories = both(Defect::PushBeforeCommit, |rig| {
        rig.order(["A"]).pushed().wait(100).idle().wait(300).idle();
    });
    assert_eq!(stories, ["push1 A A", "push1 - A"]);
}

#[test]
fn a_device_is_pushed_once_and_never_again() {
    let stories = both(Defect::PushesOnce, |rig| {
        rig.order(["A"]).pushed().wait(601_000).pushed();
    });
    assert_eq!(stories, ["push1 push1", "push1"]);
}

#[test]
fn pushes_go_to_the_first_token() {
    let stories = both(Defect::PushesOldToken, |rig| {
        rig.token("D", 2).order(["A"]).pushed();
        rig.enrol("D", FIRST).token("D", 3).order(["B"]).pushed();
    });
    assert_eq!(stories, ["push2 push3", "push1 push1"]);
}

#[test]
fn a_push_waits_for_the_answer_to_the_one_before() {
    let stories = both(Defect::PushWorkerSerial, |rig| {
        rig.order(["A"]).pushed().order(["B"]).pushed();
        let told = rig.said.len().to_string();
        rig.said.push(told);
        let why = "no answer".to_owned();
        let ticket = mdmstorm::reference_server::Ticket::default();
        rig.server.pushed(ticket, &PushResult::Failed { why });
        let due = rig.server.deadline().is_some_and(|at| at <= rig.now);
        rig.said.push(due.to_string());
        rig.pushed();
    });
    assert_eq!(stories, ["push1 push1 2 false", "push1 1 true push1"]);
}

#[test]
fn of_a_bulk_order_only_the_first_are_queued() {
    let names: Vec<String> = (0..15).map(|number| format!("C{number:02}")).collect();
    let queued = |defect: Defect| {
        both(defect, |rig| {
            for name in &names {
                rig.order([name.as_str()]).wait(1);
            }
            let open = rig.server.open_commands("D");
            rig.wait(200).order(["later"]);
            let later = rig.server.open_commands("D");
            rig.said.push(format!("{open} {later}"));
        })
    };
    assert_eq!(queued(Defect::BulkTruncated), ["15 16", "10 11"]);
}

#[test]
fn a_device_that_enrols_again_gets_what_is_old() {
    let stories = both(Defect::StaleAfterReenroll, |rig| {
        rig.order(["A"]).enrol("D", FIRST).idle();
    });
    assert_eq!(stories, ["-", "A"]);
}

#[test]
fn what_is_ordered_right_after_a_new_certificate_is_lost() {
    let stories = both(Defect::WipedByRenewal, |rig| {
        rig.enrol("D", SECOND)
            .wait(1_000)
            .order(["A"])
            .pushed()
            .idle();
        rig.wait(5_000).order(["B"]).pushed().ack("A");
    });
    assert_eq!(stories, ["push1 A push1 B", "push1 - push1 B"]);
    let same = both(Defect::WipedByRenewal, |rig| {
        rig.enrol("D", FIRST).wait(1_000).order(["A"]).idle();
    });
    assert_eq!(same, ["A", "A"], "the certificate is the one it had");
}

#[test]
fn idle_is_answered_from_an_old_copy() {
    let new = both(Defect::LaggingReplica, |rig| {
        rig.order(["A"]).wait(100).idle().wait(300).idle();
    });
    assert_eq!(new, ["A A", "- A"]);
    let answered = both(Defect::LaggingReplica, |rig| {
        rig.order(["A"]).wait(400).idle().ack("A");
        rig.wait(100).idle().ack("A").wait(300).idle();
    });
    assert_eq!(answered, ["A - - - -", "A - A - -"]);
}

#[test]
fn one_request_in_twenty_fails_and_always_the_same() {
    let failures = || {
        both(Defect::Random500s, |rig| {
            for _ in 0..1_000 {
                rig.idle();
            }
        })
        .map(|said| said.matches("500").count())
    };
    let [without, with] = failures();
    assert_eq!(without, 0);
    assert!((30..80).contains(&with), "{with}");
    assert_eq!(failures(), [without, with]);
}

#[test]
fn answers_take_longer_the_more_is_open() {
    let stories = both(Defect::SlowQueries, |rig| {
        for number in 0..40 {
            rig.order([format!("C{number}").as_str()]);
        }
        let delay = rig.connect(&idle("D")).delay;
        rig.said.push(format!("{delay:?}"));
    });
    assert_eq!(stories, ["0ns", "400ms"]);
}
