//! A worker on paused time against the simulation: one scenario, one seed, and what the devices
//! note is the same, each fact at the same time.
//!
//! The worker is all there: its loop, the courier, the carrier, HTTP. Only sockets are not: its
//! connections end in this process, where `surroundings` play everybody else with the simulation's
//! latencies. Timers of the runtime have a resolution of a millisecond, so the scenario has nothing
//! but whole ones: chances and devices are drawn, lengths of time are not.
//!
//! Left out are facts that others than devices note, and what `link` adds to a request: the worker
//! waits for it before the first byte, the simulation on the way, so that the server sees the
//! request at another time.

mod surroundings;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, sleep_until};

use self::surroundings::Surroundings;
use super::clock::Clock;
use super::connection::{Connector, Memory};
use super::endpoint::Endpoint;
use super::enroll::Outfit;
use super::health::{Connections, Gauge};
use super::identity::Identities;
use super::redirect::PublicTargets;
use super::scribe::{BATCHES_MAX, Batch, Scribe};
use super::tokens::{CHANGES_MAX, TokenChange};
use super::wire::{Proof, Wire};
use super::worker::{MAILBOX, ToWorker, Turner, WorkerPlan};
use crate::device::environment::{Environment, Terms};
use crate::device::keepsake::Start;
use crate::fact::{Fact, FactKind};
use crate::ids::{Crowd, CrowdId, DeviceId, OrderBook, RunId};
use crate::plan::Plan;
use crate::scenario::{Scenario, commands};
use crate::seed::Dist;
use crate::shard::Share;
use crate::sim::network::{Conditions, Faults};
use crate::sim::{Settings, World, transcript};
use crate::time::SimTime;

/// Sleep, absence and locks by the clock, a rule, users, and events that hit devices in the middle
/// of a session.
const SCENARIO: &str = r#"
name = "two-drivers"
seed = 11
starts = "mon 08:50"
[target.embedded]
[enrollment]
rate = "10/s"

[[cohorts]]
name = "carts"
count = 6
preset = "cart-ipad"
sleep = { daily = ["08:52..08:54", "09:02..09:05"] }
lock = { daily = ["08:45..08:58", "09:07..09:20"] }
power = { boot = "31s" }
push-latency = "211ms"
stored-push-delay = "1009ms"
wake-delay = "83ms"
poll-delay = "307ms"
reply = { usual = "1151ms" }
not-now = { name = "quiz", requests = ["ProfileList"], probability = 0.5, for = "47s" }

[[cohorts]]
name = "macs"
count = 4
preset = "macbook"
users = 1
sleep = { daily = ["08:55..08:57"] }
link = { daily = ["09:00..09:04"], push = "open" }
power = { boot = "43s", battery = "never" }
mac = { power-nap = "never", keychain-locked = { daily = ["09:05..09:08"] } }
push-latency = "307ms"
stored-push-delay = "2003ms"
wake-delay = "131ms"
poll-delay = "509ms"
poll-on = ["boot", "network-return"]
reply = { usual = "701ms" }
not-now = { requests = ["SecurityInfo"], probability = 0.4, for = "13s" }

[[stages]]
name = "morning"
duration = "24m"
commands = [
    { request = "SecurityInfo", to = "carts", each = 5, arrival = "even" },
    { request = "ProfileList", each = 4, arrival = "even" },
    { request = "DeviceInformation", to = "macs", each = 6, arrival = "even" },
    { request = "ProfileList", to = "macs", channel = "user", each = 2, arrival = "even" },
]

[[timeline]]
at = "4m1500ms"
to = "carts"
do = "rotate-token"

[[timeline]]
at = "6m24s390ms"
to = "carts"
do = "go-offline"
[[timeline]]
at = "7m"
to = "carts"
do = "come-online"

[[timeline]]
at = "15m"
to = "macs"
do = "reboot"

[[timeline]]
at = "20m"
to = "carts"
do = "end-rule"
rule = "quiz"
"#;

/// One way, of everything.
const LATENCY: Duration = Duration::from_millis(13);
/// What the server takes for an answer to a device.
const SERVER_TIME: Duration = Duration::from_millis(3);
const TIMEOUT: Duration = Duration::from_secs(30);
const TOPIC: &str = "com.apple.mgmt.paused";
const RUN: RunId = RunId([7; 16]);

fn scenario() -> (Scenario, Arc<Plan>) {
    let scenario = Scenario::parse(SCENARIO, "two.toml").unwrap_or_else(|e| panic!("{e}"));
    let built = scenario.commands();
    let built = built.map(|command| commands::build(command, None).unwrap());
    let plan = Plan::new(&scenario, built.collect(), scenario.seed);
    (scenario, Arc::new(plan))
}

fn settings() -> Settings {
    Settings {
        conditions: Conditions {
            latency: Dist::Constant(LATENCY),
            server_time: Dist::Constant(SERVER_TIME),
            timeout: TIMEOUT,
            certificate: None,
            faults: Faults::default(),
        },
        identities: None,
        ..Settings::default()
    }
}

/// What was noted, how CommandUUIDs are to be read, and when time zero and the end were.
struct Played {
    facts: Vec<Fact>,
    book: OrderBook,
    zero: SimTime,
    end: SimTime,
}

fn play_virtually(scenario: &Scenario, plan: &Arc<Plan>) -> Played {
    let mut world = World::new(scenario, Arc::clone(plan), settings());
    let (mut facts, book) = (Vec::new(), *world.book());
    while let Some(news) = world.step() {
        facts.extend_from_slice(news);
    }
    let zero = facts.iter().find(|fact| fact.kind == FactKind::TimeZero);
    let (zero, end) = (zero.unwrap().at, world.now());
    Played {
        facts,
        book,
        zero,
        end,
    }
}

/// What devices noted before `end`, as text, by device.
fn transcripts(played: &Played, end: SimTime) -> BTreeMap<DeviceId, Vec<String>> {
    let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for fact in played.facts.iter().filter(|fact| fact.at < end) {
        let is_gateways = matches!(fact.kind, FactKind::PushReceived { .. });
        let Some(device) = fact.kind.device().filter(|_| !is_gateways) else {
            continue;
        };
        let micros = fact.at.as_micros() % 1_000;
        assert_eq!(micros, 0, "{fact:?} is between two milliseconds");
        let line = transcript::line(fact, &played.book);
        lines.entry(device).or_default().push(line);
    }
    lines
}

fn environment(scenario: &Scenario, plan: &Plan, clock: Clock) -> Arc<Environment> {
    let cohorts = plan.cohorts.iter();
    Arc::new(Environment {
        seed: plan.seed,
        crowd: Crowd::new(CrowdId([1; 4]), [2; 32]),
        topic: TOPIC.into(),
        terms: Terms::default(),
        time_scale: 1.0,
        epoch: clock.epoch(),
        starts: plan.starts,
        orders: OrderBook::new(RUN, plan.orders.len() as u32),
        cohorts: cohorts.map(|cohort| Arc::clone(&cohort.traits)).collect(),
        enroll_until: SimTime::ZERO + scenario.enrollment.within,
    })
}

fn worker_plan(
    scenario: &Scenario,
    plan: &Plan,
    env: &Arc<Environment>,
    clock: Clock,
    tokens: mpsc::Sender<TokenChange>,
) -> WorkerPlan {
    let devices = (0..plan.devices()).map(|device| {
        let after = Duration::from_secs_f64(f64::from(device) / scenario.enrollment.rate);
        let (at, has_identity) = (SimTime::ZERO + after, false);
        let start = Start::Enrolls { at, has_identity };
        (plan.cohort_of(DeviceId(device)), start)
    });
    let timeline = plan.timeline.iter();
    // Nobody is asked for this address.
    let at = |path: &str| Endpoint::resolve(&format!("http://127.0.0.1:9/{path}")).unwrap();
    let places = || Arc::new(Semaphore::new(64));
    WorkerPlan {
        share: Share { index: 0, of: 1 },
        env: Arc::clone(env),
        devices: devices.collect(),
        timeline: timeline.map(|it| (it.at, it.device, it.change)).collect(),
        clock,
        wire: Wire::new(&at("checkin"), &at("mdm"), Proof::Mtls, &[]),
        endpoint: at("mdm"),
        tls: None,
        identities: Arc::new(Identities::default()),
        timeout: TIMEOUT,
        public: PublicTargets::Refused,
        sockets: places(),
        handshakes: 64,
        enrolling: places(),
        open_sockets: Gauge::default(),
        connections: Connections::default(),
        resume: false,
        tokens,
        keeper: None,
        outfit: Outfit::issuing(&env.crowd, PublicTargets::Refused),
        tracer: None,
    }
}

/// Plays the scenario with a worker until `end`; time zero is at `zero`.
async fn play_paused(
    scenario: &Scenario,
    plan: &Arc<Plan>,
    zero: SimTime,
    end: SimTime,
) -> Vec<Fact> {
    let clock = Clock::start();
    let env = environment(scenario, plan, clock);
    let (mailbox, inbox) = mpsc::channel(MAILBOX);
    let (recorder, batches) = mpsc::channel(BATCHES_MAX);
    let (tokens, changes) = mpsc::channel(CHANGES_MAX);
    let (accepted, connections) = mpsc::channel(64);
    let worker = worker_plan(scenario, plan, &env, clock, tokens);
    let memory = Memory {
        // A round trip for TCP, and one for TLS.
        connects_in: LATENCY * 4,
        accepted,
    };
    let connector = Connector::through(memory, &worker.endpoint).unwrap();
    let around = Surroundings::new(scenario, plan, env, clock, mailbox.clone());
    spawn_local(Rc::clone(&around).learn(changes));
    spawn_local(Rc::clone(&around).push_again());
    spawn_local(Rc::clone(&around).accept(connections));
    for order in &plan.orders {
        spawn_local(Rc::clone(&around).order(zero, *order));
    }
    let facts = Rc::new(RefCell::new(Vec::new()));
    spawn_local(collect(batches, Rc::clone(&facts)));
    let turner = Turner::new(worker, connector, Scribe::new(clock, 0, recorder), inbox);
    let turner = spawn_local(turner.run());
    // On time, as the simulation begins. `run` says it a moment ahead, and what devices begin in is
    // noted at that moment.
    sleep_until(clock.instant(zero)).await;
    mailbox.send(ToWorker::Begin(zero)).await.unwrap();
    sleep_until(clock.instant(end)).await;
    // A little more, until the worker has sent what it noted.
    sleep(Duration::from_secs(1)).await;
    assert!(!turner.is_finished(), "the worker has ended by itself");
    facts.take()
}

async fn collect(mut batches: mpsc::Receiver<Batch>, facts: Rc<RefCell<Vec<Fact>>>) {
    while let Some(batch) = batches.recv().await {
        facts.borrow_mut().extend(batch.facts);
    }
}

/// What the scenario must lead to, so that the comparison is about something.
const KINDS: [&str; 12] = [
    " condition ",
    " deferral-ended ",
    " enrolled ",
    " executed ",
    " exchange ",
    " push-coalesced ",
    " push-delivered ",
    " push-stored ",
    " refused ",
    " session-ended ",
    " woke ",
    "got(lost(",
];

#[tokio::test(start_paused = true)]
async fn a_worker_on_paused_time_notes_what_the_simulation_notes() {
    let (scenario, plan) = scenario();
    let virtually = play_virtually(&scenario, &plan);
    let (zero, end) = (virtually.zero, virtually.end);
    let paused = play_paused(&scenario, &plan, zero, end);
    let paused = Played {
        facts: LocalSet::new().run_until(paused).await,
        book: OrderBook::new(RUN, plan.orders.len() as u32),
        zero,
        end,
    };
    let (expected, noted) = (transcripts(&virtually, end), transcripts(&paused, end));
    assert_eq!(expected.len(), plan.devices() as usize);
    for (device, expected) in &expected {
        let noted = noted.get(device).map_or(&[][..], Vec::as_slice);
        let same = expected.iter().zip(noted).take_while(|(a, b)| a == b);
        let same = same.count();
        assert!(
            same == expected.len() && same == noted.len(),
            "device {} differs after\n{}\nsimulated:\n{}\npaused:\n{}",
            device.0,
            expected[same.saturating_sub(5)..same].join("\n"),
            expected[same..]
                .iter()
                .take(5)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n"),
            noted[same..]
                .iter()
                .take(5)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n"),
        );
    }
    let lines: Vec<&String> = expected.values().flatten().collect();
    for kind in KINDS {
        assert!(lines.iter().any(|line| line.contains(kind)), "no {kind}");
    }
}
