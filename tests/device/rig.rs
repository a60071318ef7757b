//! A shard of one device, a server that answers from a script, and a transcript of it all.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::apns::slot::Keep;
use mdmstorm::device::contract::{
    Answer, Change, Fate, Obtained, Output, Push, Reply, Request, Urgency,
};
use mdmstorm::device::environment::{Environment, Terms};
use mdmstorm::device::keepsake::{Keepsake, Start};
use mdmstorm::device::traits::{BackOff, NotNowRule, Platform, ReplyTimes, RuleScope, Traits};
use mdmstorm::fact::{Broken, Stamps};
use mdmstorm::ids::{
    Channel, CohortId, CommandUuid, Crowd, CrowdId, DeviceId, OrderBook, OrderIndex, PushId,
    RequestId, RunId,
};
use mdmstorm::protocol::checkin::CheckIn;
use mdmstorm::protocol::command::encode_command;
use mdmstorm::seed::{Dist, Seed};
use mdmstorm::shard::{Shard, Share};
use mdmstorm::time::{RunEpoch, SimTime};

use crate::words::{Words, channel_of, of};

pub(crate) const TOPIC: &str = "com.apple.mgmt.test";
const RUN: RunId = RunId([5; 16]);
const ORDERS: u32 = 100;
/// How long an errand takes.
const ERRAND: Duration = Duration::from_secs(1);
/// From a request to its answer.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// What the server answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// 200 without a body.
    Empty,
    /// 200 with the command of this order and request type.
    Command(u32, &'static str),
    /// 200 with this body.
    Body(String),
    /// Another status.
    Status(u16),
    /// 403 with Apple's code for a device the server does not manage.
    Unrecognized,
    /// The connection ends instead.
    Cut,
}

pub(crate) struct Rig {
    shard: Shard,
    words: Words,
    now: SimTime,
    script: VecDeque<Says>,
    /// The requests on their way, one per channel, and when their answers are there.
    in_flight: BTreeMap<Channel, (SimTime, Request, Says)>,
    /// How the next errands end; all others with an identity.
    errands: VecDeque<Obtained>,
    tells_of_keeping: bool,
    check_ins: Vec<CheckIn>,
    /// The errand under way, and when it is over.
    away: Option<(SimTime, RequestId)>,
    pushes: u64,
    log: String,
}

pub(crate) fn crowd() -> Crowd {
    Crowd::new(CrowdId([1; 4]), [2; 32])
}

/// A supervised iPad whose every span is constant.
pub(crate) fn traits() -> Traits {
    let constant = |millis| Dist::Constant(Duration::from_millis(millis));
    Traits {
        push_latency: constant(1_000),
        stored_push_delay: constant(2_000),
        wake_delay: constant(500),
        poll_delay: constant(500),
        reply: ReplyTimes {
            usual: constant(1_000),
            by_request: [].into(),
        },
        back_off: BackOff {
            initial: Duration::from_secs(10),
            max: Duration::from_secs(60),
        },
        ..Traits::prompt("carts", Platform::Ipad)
    }
}

/// Traits that always refuse `request` for `secs` seconds.
pub(crate) fn refuses(request: &str, secs: u64) -> Traits {
    let rule = NotNowRule {
        scope: RuleScope {
            number: 0,
            name: "busy".into(),
            requests: vec![request.into()],
            probability: 1.0,
        },
        lasts: Some(Dist::Constant(Duration::from_secs(secs))),
    };
    Traits {
        not_now: vec![rule],
        ..traits()
    }
}

pub(crate) fn environment(seed: u64, traits: Traits) -> Environment {
    Environment {
        seed: Seed(seed),
        crowd: crowd(),
        topic: TOPIC.into(),
        terms: Terms::default(),
        time_scale: 1.0,
        epoch: RunEpoch::default(),
        orders: OrderBook::new(RUN, ORDERS),
        cohorts: vec![Arc::new(traits)],
        starts: Duration::ZERO,
        enroll_until: SimTime::from_secs(120),
    }
}

/// The CommandUUID of an order.
pub(crate) fn uuid(order: u32) -> CommandUuid {
    CommandUuid::of_order(RUN, OrderIndex(order))
}

/// A command as a server sends it.
pub(crate) fn command(order: u32, request_type: &str) -> Vec<u8> {
    let mut dictionary = plist::Dictionary::new();
    dictionary.insert("RequestType".into(), request_type.into());
    match request_type {
        "DeviceInformation" => {
            let queries = vec!["DeviceName".into()];
            dictionary.insert("Queries".into(), plist::Value::Array(queries));
        }
        "RemoveProfile" => drop(dictionary.insert("Identifier".into(), "wifi".into())),
        _ => {}
    }
    encode_command(&uuid(order).0, &dictionary)
}

/// The push a correct server would send to `device`.
pub(crate) fn push(device: DeviceId, id: u64, now: SimTime) -> Push {
    let channel = Channel::device(device);
    Push {
        id: PushId(id),
        channel,
        topic: TOPIC.into(),
        magic: Some(crowd().magic(channel, 0).into()),
        urgency: Urgency::Immediate,
        arrived: now,
        due: now,
    }
}

/// Ends a story and returns its transcript. Nothing may be left over that a reader would not see.
pub(crate) fn check(rig: Rig) -> String {
    assert!(
        rig.script.is_empty(),
        "the device never asked for {:?}\n{}",
        rig.script,
        rig.log
    );
    rig.log
}

impl Rig {
    /// A device that begins to enrol at once.
    pub(crate) fn new() -> Self {
        let start = Start::Enrolls {
            at: SimTime::ZERO,
            has_identity: true,
        };
        Self::starts_as(traits(), Terms::default(), start)
    }

    /// A device that is enrolled and at rest.
    pub(crate) fn enrolled() -> Self {
        Self::enrolled_as(traits())
    }

    /// The same with other traits.
    pub(crate) fn enrolled_as(traits: Traits) -> Self {
        let start = Start::Known(Keepsake::of_enrolled(traits.users), SimTime::ZERO);
        let mut rig = Self::starts_as(traits, Terms::default(), start);
        // That it goes on is no part of its story.
        rig.log.clear();
        rig
    }

    /// A device that begins like this, under these terms.
    pub(crate) fn starts_as(traits: Traits, terms: Terms, start: Start) -> Self {
        let mut env = environment(7, traits);
        env.terms = terms;
        let mut shard = Shard::new(Arc::new(env), Share { index: 0, of: 1 });
        shard.add(CohortId(0), start);
        let mut rig = Self {
            shard,
            words: Words(OrderBook::new(RUN, ORDERS)),
            now: SimTime::ZERO,
            script: VecDeque::new(),
            in_flight: BTreeMap::new(),
            errands: VecDeque::new(),
            away: None,
            tells_of_keeping: false,
            check_ins: Vec::new(),
            pushes: 0,
            log: String::new(),
        };
        rig.drain();
        rig
    }

    /// What the server answers next, in order; after that it has nothing to say.
    pub(crate) fn serve<const N: usize>(mut self, answers: [Says; N]) -> Self {
        self.script.extend(answers);
        self
    }

    /// How the next errands end, in order; after that they are successful.
    pub(crate) fn obtain<const N: usize>(mut self, outcomes: [Obtained; N]) -> Self {
        self.errands.extend(outcomes);
        self
    }

    /// Says when the device is to be kept anew.
    pub(crate) fn keeping(mut self) -> Self {
        self.tells_of_keeping = true;
        self
    }

    /// The check-in messages so far.
    pub(crate) fn check_ins(&self) -> Vec<CheckIn> {
        self.check_ins.clone()
    }

    /// What the device would have to remember after this run.
    pub(crate) fn keepsake(&self) -> Keepsake {
        self.shard.keepsake(DeviceId(0))
    }

    /// A push as it should be is accepted by APNs.
    pub(crate) fn push(self) -> Self {
        let push = push(DeviceId(0), self.pushes, self.now);
        self.push_of(push)
    }

    /// The same, but with another topic.
    pub(crate) fn push_to_topic(self, topic: &str) -> Self {
        let push = push(DeviceId(0), self.pushes, self.now);
        self.push_of(Push {
            topic: topic.into(),
            ..push
        })
    }

    /// The same, but with another PushMagic.
    pub(crate) fn push_with_magic(self, magic: Option<&str>) -> Self {
        let push = push(DeviceId(0), self.pushes, self.now);
        self.push_of(Push {
            magic: magic.map(Into::into),
            ..push
        })
    }

    fn push_of(mut self, push: Push) -> Self {
        self.say(&format!("push {} accepted", push.id.0));
        self.pushes += 1;
        self.shard.push(push, Keep::Until(SimTime::NEVER));
        self.drain();
        self
    }

    /// A push to the channel of one of its users.
    pub(crate) fn push_to_user(self, user: u8) -> Self {
        let push = push(DeviceId(0), self.pushes, self.now);
        let device = DeviceId(0);
        let channel = Channel { device, user };
        self.push_of(Push {
            channel,
            magic: Some(crowd().magic(channel, 0).into()),
            ..push
        })
    }

    /// A push that may wait for a device that saves power.
    pub(crate) fn push_that_may_wait(self) -> Self {
        let push = push(DeviceId(0), self.pushes, self.now);
        let urgency = Urgency::MayWait;
        self.push_of(Push { urgency, ..push })
    }

    /// The timeline changes what the device is in.
    pub(crate) fn change(mut self, change: Change) -> Self {
        self.shard.change(self.now, DeviceId(0), change);
        self.drain();
        self
    }

    /// Time zero.
    pub(crate) fn begin(mut self) -> Self {
        self.shard.begin(self.now);
        self.drain();
        self
    }

    /// An answer to a request of long ago, with a command in it.
    pub(crate) fn late_answer(mut self, request: u32) -> Self {
        self.say(&format!("late answer to request {request}"));
        let body = command(99, "ProfileList");
        let reply = Reply {
            stamps: Stamps::default(),
            answer: Ok(Answer { status: 200, body }),
        };
        let channel = Channel::device(DeviceId(0));
        self.shard
            .reply(self.now, channel, RequestId(request), reply);
        self.drain();
        self
    }

    /// Lets time pass until `secs` seconds after the beginning, from deadline to deadline.
    pub(crate) fn until(mut self, secs: u64) -> Self {
        let end = SimTime::from_secs(secs);
        for _ in 0..STEPS_MAX {
            let first = self.in_flight.iter().min_by_key(|(_, (at, ..))| *at);
            let first = first.map(|(channel, (at, ..))| (*at, *channel));
            let answered = first.map_or(SimTime::NEVER, |(at, _)| at);
            let returned = self.away.map_or(SimTime::NEVER, |(at, _)| at);
            let next = self.shard.deadline().min(answered).min(returned);
            if next > end {
                self.now = end;
                return self;
            }
            self.now = self.now.max(next);
            if let Some((at, channel)) = first
                && at <= self.now
            {
                self.answer(channel);
            } else if let Some((at, id)) = self.away
                && at <= self.now
            {
                self.away = None;
                let outcome = self.errands.pop_front().unwrap_or(Obtained::Identity);
                self.shard.obtained(self.now, DeviceId(0), id, outcome);
            } else {
                self.shard.tick(self.now, 1);
            }
            self.drain();
        }
        panic!("the device spins:\n{}", self.log);
    }

    fn answer(&mut self, channel: Channel) {
        let (_, request, says) = self.in_flight.remove(&channel).unwrap();
        let answer = match says {
            Says::Empty => Ok(Answer {
                status: 200,
                body: Vec::new(),
            }),
            Says::Command(order, request) => Ok(Answer {
                status: 200,
                body: command(order, request),
            }),
            Says::Body(body) => Ok(Answer {
                status: 200,
                body: body.into(),
            }),
            Says::Status(status) => Ok(Answer {
                status,
                body: b"no".to_vec(),
            }),
            Says::Unrecognized => Ok(Answer {
                status: 403,
                body: br#"{"code":"com.apple.unrecognized.device"}"#.to_vec(),
            }),
            Says::Cut => Err(Broken::Cut("reset by peer".into())),
        };
        let stamps = Stamps {
            asked: request.asked,
            permitted: request.asked,
            sent: Some(request.asked),
            first_byte: Some(self.now),
            read: self.now,
            ..Stamps::default()
        };
        self.shard.reply(
            self.now,
            request.channel,
            request.id,
            Reply { stamps, answer },
        );
    }

    fn drain(&mut self) {
        let outputs: Vec<Output> = self.shard.drain().collect();
        for output in outputs {
            match output {
                Output::Send(request) => {
                    self.say(&format!(
                        "{}-> {}",
                        of(request.channel),
                        self.words.request(&request)
                    ));
                    if request.said.is_check_in() {
                        self.check_ins.push(CheckIn::decode(&request.body).unwrap());
                    }
                    let says = match request.trip.fate {
                        Fate::Arrives => self.script.pop_front().unwrap_or(Says::Empty),
                        Fate::Lost | Fate::CutBefore | Fate::CutAfter | Fate::RefusesTls(_) => {
                            Says::Cut
                        }
                    };
                    let at = self.now + ROUND_TRIP;
                    let before = self.in_flight.insert(request.channel, (at, request, says));
                    assert!(before.is_none(), "two requests in flight:\n{}", self.log);
                }
                Output::Close(channel) => {
                    self.say(&format!("{}closes", of(channel)));
                    // As a courier: what was under way is lost at once.
                    if let Some((at, _, says)) = self.in_flight.get_mut(&channel) {
                        (*at, *says) = (self.now, Says::Cut);
                    }
                }
                Output::Obtain(errand) => {
                    let of = errand.original.map(|it| format!(" of device {}", it.0));
                    self.say(&format!(
                        "sets out for an identity: {:?}{}, version {}",
                        errand.why,
                        of.unwrap_or_default(),
                        errand.os_version
                    ));
                    assert!(self.away.is_none(), "two errands at once:\n{}", self.log);
                    self.away = Some((self.now + ERRAND, errand.id));
                }
                Output::Keep(_) if self.tells_of_keeping => self.say("is to be kept"),
                Output::Keep(_) => {}
                Output::Token(channel, Some(epoch)) => {
                    self.say(&format!("{}has token {epoch}", of(channel)));
                }
                Output::Token(channel, None) => self.say(&format!("{}has no token", of(channel))),
                Output::Note(fact) => {
                    let user = channel_of(&fact).map(of).unwrap_or_default();
                    let line = self.words.fact(&fact);
                    self.say(&format!("{user}{line}"));
                }
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.log, "{} {line}", self.now).unwrap();
    }
}

/// A story with more steps than this is one of a device that spins.
const STEPS_MAX: usize = 1_000;
