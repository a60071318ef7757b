//! Devices, reference server, gateway and network behind one clock, and a ledger that sees it all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::apns::admission::{Admission, Incoming, Storage};
use mdmstorm::apns::provider::{self, Certificate, Provider};
use mdmstorm::device::contract::{Answer, Output, Push, Reply, Request};
use mdmstorm::device::environment::{Environment, Terms};
use mdmstorm::device::keepsake::Start;
use mdmstorm::fact::{Broken, Fact, FactKind, Got, ResultStatus, Said, ServerPush, Stamps};
use mdmstorm::ids::{
    Channel, CohortId, CommandUuid, Crowd, CrowdId, DeviceId, OrderBook, OrderIndex, PushId,
    RequestId, RunId, hex_lower,
};
use mdmstorm::protocol::command::encode_command;
use mdmstorm::protocol::push::payload;
use mdmstorm::record::Ledger;
use mdmstorm::record::account::Account;
use mdmstorm::record::setup::{CohortInfo, OrderInfo, Orderer, Setup, StageInfo};
use mdmstorm::reference_server::{
    Identity, PushOrder, PushResult, Server, Settings, Ticket, WithPush,
};
use mdmstorm::seed::{Purpose, Seed};
use mdmstorm::shard::{Shard, Share};
use mdmstorm::time::{RunEpoch, SimTime};

use crate::weather::{Weather, traits};

pub(crate) const DEVICES: u32 = 8;
pub(crate) const ORDERS: u32 = 60;
/// A push without an expiration is kept; nothing is scaled.
const STORAGE: Storage = Storage {
    without_expiration: true,
    time_scale: 1.0,
};

const RUN: RunId = RunId([3; 16]);
const TOPIC: &str = "com.apple.mgmt.pair";
/// One way, for everything.
const LATENCY: Duration = Duration::from_millis(20);
/// How long a device waits for an answer that was lost.
const TIMEOUT: Duration = Duration::from_secs(30);
/// When enrolment is over and orders begin, and for how long they come.
pub(crate) const TIME_ZERO: SimTime = SimTime::from_secs(900);
pub(crate) const ORDERING_MILLIS: u64 = 600_000;
/// Time enough for every push, back-off, sleep and NotNow to come to its end.
pub(crate) const END: SimTime = SimTime::from_secs(900 + 600 + 24 * 3600);

/// Something under way.
enum Event {
    /// The operator enqueues an order.
    Enqueue(OrderIndex),
    /// The server has the operator's request.
    Enqueued(OrderIndex),
    /// The operator has the answer.
    Accepted(OrderIndex),
    /// The server has a device's request.
    Asked(Request),
    /// The device has the answer, or gives up.
    Answered(Channel, RequestId, Reply),
    /// The gateway has a push.
    Pushed(PushOrder),
    /// The server has the gateway's answer.
    Taken(Ticket),
}

pub(crate) struct World {
    seed: Seed,
    weather: Weather,
    crowd: Crowd,
    shard: Shard,
    server: Server,
    admission: Admission,
    ledger: Ledger,
    book: OrderBook,
    now: SimTime,
    /// By time, then in the order in which they arose.
    events: BTreeMap<(SimTime, u64), Event>,
    arisen: u64,
    pushes: u64,
    /// The request of each device that is under way, so that leaving the network can cut it.
    in_flight: BTreeMap<Channel, (RequestId, SimTime)>,
    /// Orders as their devices settled them.
    settled: Vec<(DeviceId, OrderIndex)>,
}

fn crowd() -> Crowd {
    Crowd::new(CrowdId([1; 4]), [2; 32])
}

/// The device of an order.
fn target(seed: Seed, order: OrderIndex) -> DeviceId {
    let device = seed
        .draw(Purpose::OrderTarget, 0, u64::from(order.0), 0)
        .below(DEVICES.into());
    DeviceId(device as u32)
}

/// Every third order may be refused.
fn request_type(order: OrderIndex) -> &'static str {
    if order.0.is_multiple_of(3) {
        "ProfileList"
    } else {
        "SecurityInfo"
    }
}

fn setup(seed: Seed) -> Setup {
    let order = |order| OrderInfo {
        channel: Channel::device(target(seed, order)),
        cohort: CohortId(0),
        stage: 0,
        request: u16::from(!order.0.is_multiple_of(3)),
        serial: false,
    };
    Setup {
        cohorts: vec![CohortInfo {
            name: "carts".into(),
            devices: DEVICES,
        }],
        stages: vec![StageInfo {
            name: "all".into(),
            warm_up: false,
        }],
        requests: vec!["ProfileList".into(), "SecurityInfo".into()],
        orders: (0..ORDERS).map(OrderIndex).map(order).collect(),
        book: OrderBook::new(RUN, ORDERS),
        orderer: Orderer::Operator,
        ..Setup::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let seed = Seed(seed);
        let env = Environment {
            seed,
            crowd: crowd(),
            topic: TOPIC.into(),

            terms: Terms::default(),
            time_scale: 1.0,
            epoch: RunEpoch::default(),
            orders: OrderBook::new(RUN, ORDERS),
            cohorts: vec![Arc::new(traits(weather))],
            starts: Duration::ZERO,
            enroll_until: TIME_ZERO,
        };
        let mut shard = Shard::new(Arc::new(env), Share { index: 0, of: 1 });
        for device in 0..DEVICES {
            let start = Start::Enrolls {
                at: SimTime::from_secs(device.into()),
                has_identity: true,
            };
            shard.add(CohortId(0), start);
        }
        let epoch = RunEpoch::default();
        let mut world = Self {
            seed,
            weather,
            crowd: crowd(),
            shard,
            server: Server::new(Settings::default()),
            admission: Admission::new(crowd(), TOPIC.into(), epoch, DEVICES, STORAGE),
            ledger: Ledger::new(setup(seed)),
            book: OrderBook::new(RUN, ORDERS),
            now: SimTime::ZERO,
            events: BTreeMap::new(),
            arisen: 0,
            pushes: 0,
            in_flight: BTreeMap::new(),
            settled: Vec::new(),
        };
        for order in 0..ORDERS {
            let mut arrival = seed.draw(Purpose::Arrival, 0, order.into(), 0);
            let after = Duration::from_millis(arrival.below(ORDERING_MILLIS));
            world.plan(TIME_ZERO + after, Event::Enqueue(OrderIndex(order)));
        }
        world
    }

    fn plan(&mut self, at: SimTime, event: Event) {
        self.events.insert((at, self.arisen), event);
        self.arisen += 1;
    }

    fn soon(&mut self, event: Event) {
        self.plan(self.now + LATENCY, event);
    }

    /// Turns the crank until `end`, and closes the books there.
    pub(crate) fn run(mut self, end: SimTime) -> (Account, Vec<(DeviceId, OrderIndex)>) {
        let mut has_begun = false;
        loop {
            let event = self
                .events
                .first_key_value()
                .map_or(SimTime::NEVER, |((at, _), _)| *at);
            let server = self.server.deadline().unwrap_or(SimTime::NEVER);
            let mut next = event.min(server).min(self.shard.deadline());
            if !has_begun {
                next = next.min(TIME_ZERO);
            }
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if !has_begun && next == TIME_ZERO {
                has_begun = true;
                self.note(FactKind::TimeZero);
                self.shard.begin(self.now);
            } else if event <= self.now {
                let (_, event) = self.events.pop_first().unwrap();
                self.happen(event);
            } else if server <= self.now {
                for push in self.server.tick(self.now) {
                    self.soon(Event::Pushed(push));
                }
            } else {
                self.shard.tick(self.now, 1);
            }
            self.drain();
            self.ledger.advance(self.now);
        }
        (self.ledger.finish(end), self.settled)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Enqueue(order) => {
                self.note(FactKind::Ordered {
                    order,
                    due: self.now,
                });
                self.note(FactKind::Offered { order });
                self.soon(Event::Enqueued(order));
            }
            Event::Enqueued(order) => {
                let mut command = plist::Dictionary::new();
                command.insert("RequestType".into(), request_type(order).into());
                let body = encode_command(&CommandUuid::of_order(RUN, order).0, &command);
                let id = self.crowd.udid(target(self.seed, order));
                let submission = self.server.enqueue(self.now, &[id], &body, WithPush::Yes);
                assert_eq!(submission.answer.status(), 200, "order {}", order.0);
                for push in submission.pushes {
                    self.soon(Event::Pushed(push));
                }
                self.soon(Event::Accepted(order));
            }
            Event::Accepted(order) => {
                self.note(FactKind::Accepted {
                    order,
                    push: ServerPush::Accepted,
                });
            }
            Event::Asked(request) => self.serve(request),
            Event::Answered(channel, id, reply) => {
                if self
                    .in_flight
                    .get(&channel)
                    .is_some_and(|(waiting, _)| *waiting == id)
                {
                    self.in_flight.remove(&channel);
                    self.shard.reply(self.now, channel, id, reply);
                }
            }
            Event::Pushed(push) => self.push(&push),
            Event::Taken(ticket) => {
                self.server.pushed(
                    ticket,
                    &PushResult::Accepted {
                        apns_id: String::new(),
                    },
                );
            }
        }
    }

    /// The server answers a device; the answer may be lost.
    fn serve(&mut self, request: Request) {
        let mut identity = [0; 32];
        identity[..4].copy_from_slice(&request.channel.device.0.to_be_bytes());
        let identity = Some(Identity(identity));
        let reply = if request.said.is_check_in() {
            self.server.check_in(self.now, identity, &request.body)
        } else {
            self.server.connect(self.now, identity, &request.body)
        };
        assert_eq!(reply.status, 200, "{:?}", request.said);
        let is_lost = self.is_lost(&request, 1);
        let answer = Answer {
            status: reply.status,
            body: reply.body,
        };
        self.answer(
            &request,
            if is_lost {
                Err(Broken::TimedOut)
            } else {
                Ok(answer)
            },
        );
    }

    fn answer(&mut self, request: &Request, answer: Result<Answer, Broken>) {
        let read = match answer {
            Ok(_) => self.now + LATENCY,
            Err(_) => request.asked + TIMEOUT,
        };
        let stamps = Stamps {
            asked: request.asked,
            permitted: request.asked,
            sent: Some(request.asked),
            first_byte: answer.is_ok().then_some(read),
            read,
            ..Stamps::default()
        };
        let reply = Reply { stamps, answer };
        self.plan(read, Event::Answered(request.channel, request.id, reply));
    }

    fn is_lost(&self, request: &Request, way: u32) -> bool {
        let (device, id) = (u64::from(request.channel.device.0), u64::from(request.id.0));
        // The network throws its own dice: no purpose of a device's is used with such a subject.
        self.seed
            .draw(Purpose::Link, 1 << 40 | device, id, way)
            .chance(self.weather.loss)
    }

    /// The gateway looks at a push and hands it to the device's shard.
    fn push(&mut self, order: &PushOrder) {
        let path = format!("/3/device/{}", hex_lower(&order.token));
        let body = payload(&order.magic);
        let incoming = Incoming {
            method: "POST",
            path: &path,
            authorization: None,
            topic: Some(&order.topic),
            id: None,
            expiration: None,
            priority: Some("10"),
            push_type: Some("mdm"),
            collapse_id: None,
            has_duplicates: false,
            payload: &body,
        };
        let certificate = Certificate::for_topic(&order.topic);
        let mut provider = Provider::new(Some(certificate), provider::Environment::Production);
        let admitted = self
            .admission
            .admit(self.now, &mut provider, &incoming)
            .unwrap();
        let id = PushId(self.pushes);
        self.pushes += 1;
        self.note(FactKind::PushReceived {
            push: id,
            channel: Some(admitted.channel),
            arrived: self.now,
            status: 200,
            reason: None,
        });
        let push = Push {
            id,
            channel: admitted.channel,
            topic: admitted.topic,
            magic: admitted.magic,
            urgency: admitted.urgency,
            arrived: self.now,
            due: self.now,
        };
        self.shard.push(push, admitted.keep);
        self.soon(Event::Taken(order.ticket));
    }

    /// Carries out what the devices want.
    fn drain(&mut self) {
        let outputs: Vec<Output> = self.shard.drain().collect();
        for output in outputs {
            match output {
                Output::Send(request) => {
                    let under_way = (request.id, request.asked);
                    let before = self.in_flight.insert(request.channel, under_way);
                    assert_eq!(
                        before, None,
                        "{} has two requests under way",
                        request.channel
                    );
                    if self.is_lost(&request, 0) {
                        self.answer(&request, Err(Broken::TimedOut));
                    } else {
                        self.soon(Event::Asked(request));
                    }
                }
                Output::Token(..) | Output::Obtain(_) | Output::Keep(_) => {}
                Output::Close(channel) => {
                    // As a courier: what was under way is lost at once.
                    if let Some(&(id, asked)) = self.in_flight.get(&channel) {
                        let stamps = Stamps {
                            asked,
                            permitted: asked,
                            sent: Some(asked),
                            read: self.now,
                            ..Stamps::default()
                        };
                        let answer = Err(Broken::Cut("the device left the network".into()));
                        let reply = Reply { stamps, answer };
                        self.plan(self.now, Event::Answered(channel, id, reply));
                    }
                }
                Output::Note(kind) => self.note(kind),
            }
        }
    }

    fn note(&mut self, kind: FactKind) {
        if let FactKind::Exchange {
            channel, said, got, ..
        } = &kind
        {
            self.look(*channel, said, got);
        }
        self.ledger.record(&Fact { at: self.now, kind });
    }

    fn look(&mut self, channel: Channel, said: &Said, got: &Got) {
        if let Said::Result {
            uuid: Some(uuid),
            status,
        } = said
            && got.is_delivered()
        {
            match status {
                ResultStatus::NotNow => {}
                ResultStatus::Acknowledged => {
                    let order = self.book.order(uuid).unwrap();
                    self.settled.push((channel.device, order));
                }
                ResultStatus::Error | ResultStatus::CommandFormatError => {
                    panic!("{} answered {status:?}", channel);
                }
            }
        }
    }
}
