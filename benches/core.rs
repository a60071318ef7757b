//! Events per second of the pure core: a shard of devices and the reference server on virtual time,
//! each answer a millisecond after its request, with the ledger folding every fact. No socket, no
//! thread, no clock but the stopwatch around it. The floor is a heap that holds as many events and
//! touches a row of a device's size for each.

#![allow(clippy::print_stdout, reason = "a bench prints")]

mod rounds;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::apns::slot::Keep;
use mdmstorm::device::contract::{Answer, Output, Push, Reply, Request, Urgency};
use mdmstorm::device::environment::{Environment, Terms};
use mdmstorm::device::keepsake::Start;
use mdmstorm::device::traits::{BackOff, Platform, ReplyTimes, Traits};
use mdmstorm::fact::{Fact, FactKind, ServerPush, Stamps};
use mdmstorm::ids::{
    Channel, CohortId, CommandUuid, Crowd, CrowdId, DeviceId, OrderBook, OrderIndex, PushId, RunId,
};
use mdmstorm::protocol::command::encode_command;
use mdmstorm::record::Ledger;
use mdmstorm::record::setup::{CohortInfo, OrderInfo, Orderer, Setup, StageInfo};
use mdmstorm::reference_server::{Identity, PushResult, Server, Settings, WithPush};
use mdmstorm::seed::{Dist, Seed};
use mdmstorm::shard::{Shard, Share};
use mdmstorm::time::{RunEpoch, SimTime};
use rounds::{ROUNDS, Series, cpu_of, heading, print_alone};

/// Devices, and orders for each.
const DEVICES: u32 = 10_000;
const ORDERS: u32 = 3;

fn main() {
    println!(
        "CPU microseconds per event of the pure core: {DEVICES} devices, {ORDERS} commands each."
    );
    let (mut floor, mut ours) = (Series::default(), Series::default());
    let mut per_second = Vec::new();
    for _ in 0..ROUNDS {
        let mut world = World::new();
        let mut events = 0;
        let cpu = cpu_of(|| events = world.run());
        world.check();
        per_second.push(f64::from(events) / cpu.as_secs_f64());
        ours.add(cpu, events);
        floor.add(cpu_of(|| heap(events)), events);
    }
    heading("event of the core (push, timer or answer)");
    print_alone("floor: heap and row", &floor, "");
    print_alone("mdmstorm with ledger and server", &ours, "");
    per_second.sort_by(f64::total_cmp);
    println!(
        "  {:.0} events per second and core (median)",
        per_second[ROUNDS / 2]
    );
}

/// The floor: as many timers fired and set anew, each touching one of as many rows.
fn heap(events: u32) {
    let mut rows = vec![[0_u64; 32]; DEVICES as usize];
    let mut timers: BinaryHeap<_> = (0..DEVICES)
        .map(|at| Reverse((u64::from(at), at)))
        .collect();
    for _ in 0..events {
        let Some(Reverse((at, row))) = timers.pop() else {
            return;
        };
        rows[row as usize][31] += at;
        timers.push(Reverse((at + 1_000, row)));
    }
    std::hint::black_box(rows);
}

/// A push or an answer on its way.
enum Arrival {
    Push(Push),
    Answer(Request, Answer),
}

struct World {
    crowd: Crowd,
    topic: Arc<str>,
    shard: Shard,
    server: Server,
    ledger: Ledger,
    now: SimTime,
    /// What arrives when; its number keeps the order of what arrives at once.
    arrivals: BinaryHeap<Reverse<(SimTime, usize)>>,
    waiting: Vec<Option<Arrival>>,
    pushes: u64,
    events: u32,
}

/// From a request to its answer, and from a push to its device.
const LATENCY: Duration = Duration::from_millis(1);

const RUN: RunId = RunId([7; 16]);

impl World {
    fn new() -> Self {
        let crowd = Crowd::new(CrowdId([1; 4]), [2; 32]);
        let topic: Arc<str> = "com.apple.mgmt.External.bench".into();
        let orders = DEVICES * ORDERS;
        let book = OrderBook::new(RUN, orders);
        let env = Environment {
            seed: Seed(42),
            crowd: crowd.clone(),
            topic: Arc::clone(&topic),
            terms: Terms::default(),
            time_scale: 1.0,
            epoch: RunEpoch::default(),
            orders: book,
            cohorts: vec![Arc::new(traits())],
            starts: Duration::ZERO,
            enroll_until: SimTime::from_secs(300),
        };
        let mut shard = Shard::new(Arc::new(env), Share { index: 0, of: 1 });
        for device in 0..DEVICES {
            let start = Start::Enrolls {
                at: SimTime::from_micros(u64::from(device) * 100),
                has_identity: true,
            };
            shard.add(CohortId(0), start);
        }
        let info = |order| OrderInfo {
            channel: Channel::device(DeviceId(order % DEVICES)),
            cohort: CohortId(0),
            stage: 0,
            request: 0,
            serial: false,
        };
        let ledger = Ledger::new(Setup {
            cohorts: vec![CohortInfo {
                name: "ipads".into(),
                devices: DEVICES,
            }],
            stages: vec![StageInfo {
                name: "work".into(),
                warm_up: false,
            }],
            requests: vec!["DeviceInformation".into()],
            orders: (0..orders).map(info).collect(),
            book,
            orderer: Orderer::Operator,
            ..Setup::default()
        });
        Self {
            crowd,
            topic,
            shard,
            server: Server::new(Settings::default()),
            ledger,
            now: SimTime::ZERO,
            arrivals: BinaryHeap::new(),
            waiting: Vec::new(),
            pushes: 0,
            events: 0,
        }
    }

    /// Enrols every device, then places the orders evenly, and returns how many events that took.
    fn run(&mut self) -> u32 {
        self.go_until(SimTime::from_secs(5));
        let command = plist_of_queries();
        for order in 0..DEVICES * ORDERS {
            let due = SimTime::from_secs(5) + Duration::from_micros(u64::from(order) * 100);
            self.go_until(due);
            self.place(order, &command);
        }
        self.go_until(self.now + Duration::from_secs(5));
        self.ledger.advance(self.now);
        self.events
    }

    fn check(&self) {
        let progress = self.ledger.progress();
        assert!(
            progress.completed == u64::from(DEVICES * ORDERS),
            "the bench did not do what it measures: {progress:?}"
        );
    }

    fn place(&mut self, order: u32, command: &plist::Dictionary) {
        let device = DeviceId(order % DEVICES);
        let index = OrderIndex(order);
        let uuid = CommandUuid::of_order(RUN, index);
        let id = [self.crowd.udid(device)];
        let body = encode_command(&uuid.0, command);
        let submission = self.server.enqueue(self.now, &id, &body, WithPush::Yes);
        let due = self.now;
        self.note(FactKind::Ordered { order: index, due });
        self.note(FactKind::Offered { order: index });
        self.note(FactKind::Accepted {
            order: index,
            push: ServerPush::Accepted,
        });
        for pushed in submission.pushes {
            let apns_id = String::new();
            self.server
                .pushed(pushed.ticket, &PushResult::Accepted { apns_id });
            let push = PushId(self.pushes);
            self.pushes += 1;
            let (channel, _) = self.crowd.owner(&pushed.token).expect("tokens are ours");
            let arrived = self.now;
            self.note(FactKind::PushReceived {
                push,
                channel: Some(channel),
                arrived,
                status: 200,
                reason: None,
            });
            let push = Push {
                id: push,
                channel,
                topic: Arc::clone(&self.topic),
                magic: Some(pushed.magic.as_str().into()),
                urgency: Urgency::Immediate,
                arrived,
                due: arrived,
            };
            self.arrive_later(Arrival::Push(push));
        }
    }

    fn go_until(&mut self, end: SimTime) {
        loop {
            let arrival = self
                .arrivals
                .peek()
                .map_or(SimTime::NEVER, |Reverse((at, _))| *at);
            let next = arrival.min(self.shard.deadline());
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.events += 1;
            if arrival == next {
                self.take_arrival();
            } else {
                self.shard.tick(self.now, 1);
            }
            self.carry_out();
            if self.events.is_multiple_of(256) {
                self.ledger.advance(self.now);
            }
        }
    }

    fn take_arrival(&mut self) {
        let Some(Reverse((_, number))) = self.arrivals.pop() else {
            return;
        };
        match self.waiting[number].take().expect("each arrives once") {
            Arrival::Push(push) => {
                let keep = Keep::Until(self.now + Duration::from_secs(600));
                self.shard.push(push, keep);
            }
            Arrival::Answer(request, answer) => {
                let stamps = Stamps {
                    asked: request.asked,
                    permitted: request.asked,
                    connected: None,
                    sent: Some(request.asked),
                    first_byte: Some(self.now),
                    read: self.now,
                };
                let reply = Reply {
                    stamps,
                    answer: Ok(answer),
                };
                self.shard
                    .reply(self.now, request.channel, request.id, reply);
            }
        }
    }

    fn carry_out(&mut self) {
        let outputs: Vec<Output> = self.shard.drain().collect();
        for output in outputs {
            match output {
                Output::Note(kind) => self.note(kind),
                Output::Close(_) | Output::Token(..) | Output::Obtain(_) | Output::Keep(_) => {}
                Output::Send(request) => {
                    let mut digest = [0; 32];
                    digest[..4].copy_from_slice(&request.channel.device.0.to_le_bytes());
                    let identity = Some(Identity(digest));
                    let reply = if request.said.is_check_in() {
                        self.server.check_in(self.now, identity, &request.body)
                    } else {
                        self.server.connect(self.now, identity, &request.body)
                    };
                    let answer = Answer {
                        status: reply.status,
                        body: reply.body,
                    };
                    self.arrive_later(Arrival::Answer(request, answer));
                }
            }
        }
    }

    fn arrive_later(&mut self, arrival: Arrival) {
        let number = self.waiting.len();
        self.waiting.push(Some(arrival));
        self.arrivals.push(Reverse((self.now + LATENCY, number)));
    }

    fn note(&mut self, kind: FactKind) {
        let at = self.now;
        self.ledger.record(&Fact { at, kind });
    }
}

fn plist_of_queries() -> plist::Dictionary {
    let queries = ["UDID", "OSVersion", "BatteryLevel"].map(plist::Value::from);
    let mut command = plist::Dictionary::new();
    command.insert("Queries".into(), plist::Value::Array(queries.to_vec()));
    command.insert("RequestType".into(), "DeviceInformation".into());
    command
}

/// iPads that take 50 ms from a push to their connection, and 20 ms for a command.
fn traits() -> Traits {
    Traits {
        push_latency: Dist::ZERO,
        stored_push_delay: Dist::ZERO,
        wake_delay: Dist::Constant(Duration::from_millis(50)),
        reply: ReplyTimes {
            usual: Dist::Constant(Duration::from_millis(20)),
            by_request: BTreeMap::new(),
        },
        back_off: BackOff {
            initial: Duration::from_secs(5),
            max: Duration::from_secs(60),
        },
        ..Traits::prompt("ipads", Platform::Ipad)
    }
}
