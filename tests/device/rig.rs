//! A shard of one device, a server that answers from a script, and a transcript of it all.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::apns::slot::Keep;
use mdmstorm::device::contract::{Answer, Change, Fate, Output, Push, Reply, Request, Urgency};
use mdmstorm::device::environment::Environment;
use mdmstorm::device::traits::{BackOff, NotNowRule, Platform, ReplyTimes, RuleScope, Traits};
use mdmstorm::fact::{Broken, FactKind, Got, ResultStatus, Said, Stamps};
use mdmstorm::ids::{
    Channel, CohortId, CommandUuid, Crowd, CrowdId, DeviceId, OrderBook, OrderIndex, PushId,
    RequestId, RunId,
};
use mdmstorm::protocol::command::encode_command;
use mdmstorm::protocol::status_report::StatusReport;
use mdmstorm::seed::{Dist, Seed};
use mdmstorm::shard::{Shard, Share};
use mdmstorm::time::{RunEpoch, SimTime};

pub(crate) const TOPIC: &str = "com.apple.mgmt.test";
const RUN: RunId = RunId([5; 16]);
const ORDERS: u32 = 100;
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
    book: OrderBook,
    now: SimTime,
    script: VecDeque<Says>,
    /// The requests on their way, one per channel, and when their answers are there.
    in_flight: BTreeMap<Channel, (SimTime, Request, Says)>,
    pushes: u64,
    log: String,
}

pub(crate) fn crowd() -> Crowd {
    Crowd {
        id: CrowdId([1; 4]),
        key: [2; 32],
    }
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

/// Whose line it is, where it is not the device's own.
fn of(channel: Channel) -> String {
    match channel.user {
        0 => String::new(),
        user => format!("user {user} "),
    }
}

fn channel_of(fact: &FactKind) -> Option<Channel> {
    let json = serde_json::to_value(fact).unwrap();
    serde_json::from_value(json.get("channel")?.clone()).ok()
}

impl Rig {
    /// A device that begins to enrol at once.
    pub(crate) fn new() -> Self {
        Self::with(traits(), |shard| shard.add(CohortId(0), SimTime::ZERO))
    }

    /// A device that is enrolled and at rest.
    pub(crate) fn enrolled() -> Self {
        Self::enrolled_as(traits())
    }

    /// The same with other traits.
    pub(crate) fn enrolled_as(traits: Traits) -> Self {
        Self::with(traits, |shard| shard.add_enrolled(CohortId(0)))
    }

    fn with(traits: Traits, add: impl FnOnce(&mut Shard) -> DeviceId) -> Self {
        let env = Arc::new(environment(7, traits));
        let mut shard = Shard::new(env, Share { index: 0, of: 1 });
        add(&mut shard);
        Self {
            shard,
            book: OrderBook::new(RUN, ORDERS),
            now: SimTime::ZERO,
            script: VecDeque::new(),
            in_flight: BTreeMap::new(),
            pushes: 0,
            log: String::new(),
        }
    }

    /// What the server answers next, in order; after that it has nothing to say.
    pub(crate) fn serve<const N: usize>(mut self, answers: [Says; N]) -> Self {
        self.script.extend(answers);
        self
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
            let next = self.shard.deadline().min(answered);
            if next > end {
                self.now = end;
                return self;
            }
            self.now = self.now.max(next);
            if let Some((at, channel)) = first
                && at <= self.now
            {
                self.answer(channel);
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
                        self.request(&request)
                    ));
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
                Output::Token(channel, Some(epoch)) => {
                    self.say(&format!("{}has token {epoch}", of(channel)));
                }
                Output::Token(channel, None) => self.say(&format!("{}has no token", of(channel))),
                Output::Note(fact) => {
                    let user = channel_of(&fact).map(of).unwrap_or_default();
                    let line = self.fact(&fact);
                    self.say(&format!("{user}{line}"));
                }
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.log, "{} {line}", self.now).unwrap();
    }

    fn request(&self, request: &Request) -> String {
        let said = match &request.said {
            Said::Authenticate => return "Authenticate".into(),
            Said::TokenUpdate => return "TokenUpdate".into(),
            Said::CheckOut => return "CheckOut".into(),
            Said::Idle => "Idle".into(),
            Said::Result { uuid, status } => self.result(uuid.as_ref(), *status),
        };
        let Ok(report) = StatusReport::decode(&request.body) else {
            return said + " garbled";
        };
        let codes = report
            .error_chain
            .iter()
            .map(|it| format!(" {} {}", it.domain, it.code));
        said + &codes.collect::<String>()
    }

    fn result(&self, uuid: Option<&CommandUuid>, status: ResultStatus) -> String {
        format!(
            "{status:?} {}",
            uuid.map_or_else(|| "-".into(), |uuid| self.order(uuid))
        )
    }

    fn order(&self, uuid: &CommandUuid) -> String {
        self.book
            .order(uuid)
            .map_or_else(|| "?".into(), |order| format!("#{}", order.0))
    }

    fn fact(&self, fact: &FactKind) -> String {
        match fact {
            FactKind::Enrolled { since, .. } => format!("enrolled, begun at {since}"),
            FactKind::EnrollmentFailed { reason, .. } => format!("gives up enrolling: {reason}"),
            FactKind::Condition { now, .. } => format!("is {now}"),
            FactKind::Clock { ahead_ms, .. } => format!("has a clock {ahead_ms} ms ahead"),
            FactKind::Unenrolled { why, .. } => format!("is not managed any more: {why}"),
            FactKind::Refused { uuid, why, .. } => {
                format!("refuses {}: {why}", self.order(uuid))
            }
            FactKind::PushStored { push, .. } => format!("push {} stored", push.0),
            FactKind::PushCoalesced { push, into, .. } => {
                format!("push {} gives way to {}", push.0, into.0)
            }
            FactKind::PushDiscarded { push, .. } => format!("push {} discarded", push.0),
            FactKind::PushDelivered { push, .. } => format!("push {} delivered", push.0),
            FactKind::PushIgnored { push, why, .. } => format!("push {} ignored: {why:?}", push.0),
            FactKind::Woke { why, .. } => format!("wakes: {why:?}"),
            FactKind::Exchange { got, .. } => match got {
                Got::Empty => "<- nothing".into(),
                Got::Command { uuid, request_type } if request_type.is_empty() => {
                    format!("<- {} without request type", self.order(uuid))
                }
                Got::Command { uuid, request_type } => {
                    format!("<- {} {request_type}", self.order(uuid))
                }
                Got::Unreadable { what } => format!("<- unreadable: {what}"),
                Got::Status(status) => format!("<- {status}"),
                Got::Lost(broken) => format!("<- {broken}"),
            },
            FactKind::Executed { uuid, .. } => format!("has executed {}", self.order(uuid)),
            FactKind::DeferralEnded { uuid, polls, .. } => {
                let then = if *polls { "polls" } else { "waits for a push" };
                format!("would execute {} again, {then}", self.order(uuid))
            }
            FactKind::SessionEnded { .. } => "session over".into(),
            FactKind::Violation { what, .. } => format!("violation: {what}"),
            FactKind::TimeZero
            | FactKind::Cancelled { .. }
            | FactKind::PushLost { .. }
            | FactKind::PushUnanswered { .. }
            | FactKind::ProviderCut { .. }
            | FactKind::ProviderRefused { .. }
            | FactKind::Ordered { .. }
            | FactKind::Offered { .. }
            | FactKind::Accepted { .. }
            | FactKind::Rejected { .. }
            | FactKind::AcceptanceUnknown { .. }
            | FactKind::PushReceived { .. } => panic!("no device observes {fact:?}"),
        }
    }
}

/// A story with more steps than this is one of a device that spins.
const STEPS_MAX: usize = 1_000;
