//! Resident bytes per idle device: each with its own certificate, enrolled through the device machine
//! with the ledger taking every fact, then at rest. A size is measured in a process of its own, part
//! by part, as the difference of resident memory. The largest also times a plan.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::device::contract::{Answer, Output, Reply};
use mdmstorm::device::environment::{Environment, Terms};
use mdmstorm::device::keepsake::Start;
use mdmstorm::device::traits::{BackOff, Platform, ReplyTimes, Traits};
use mdmstorm::engine::authority::Authority;
use mdmstorm::engine::clock::{Clock, wall_now};
use mdmstorm::engine::identity::Identities;
use mdmstorm::fact::{Fact, Stamps};
use mdmstorm::ids::{CohortId, Crowd, CrowdId, DeviceId, OrderBook, RunId};
use mdmstorm::plan::Plan;
use mdmstorm::record::Ledger;
use mdmstorm::record::setup::{CohortInfo, OrderInfo, Setup, StageInfo};
use mdmstorm::scenario::Scenario;
use mdmstorm::scenario::commands::build;
use mdmstorm::seed::{Dist, Seed};
use mdmstorm::shard::{Shard, Share};
use mdmstorm::time::{RunEpoch, SimTime};

/// How many devices. The last size also makes a plan.
const SIZES: [u32; 2] = [100_000, 1_000_000];

/// The argument that makes this binary measure one size.
const CHILD: &str = "--devices";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == CHILD) {
        let devices = arguments[at + 1].parse().expect("a number follows");
        measure(devices);
        if devices == SIZES[SIZES.len() - 1] {
            plan(devices);
        }
        return;
    }
    println!("resident bytes per idle device");
    let program = std::env::current_exe().expect("a program knows where it is");
    for devices in SIZES {
        let mut child = Command::new(&program);
        child.arg(CHILD).arg(devices.to_string());
        let status = child.status().expect("what runs can be started");
        assert!(status.success(), "measuring {devices} devices failed");
    }
}

/// What is resident, in bytes, and how it grows.
struct Meter {
    units: f64,
    before: u64,
    total: u64,
}

impl Meter {
    fn new(units: u32) -> Self {
        Self {
            units: f64::from(units),
            before: resident(),
            total: 0,
        }
    }

    /// Prints what was added since the last call.
    fn part(&mut self, name: &str) {
        let now = resident();
        let grown = now.saturating_sub(self.before);
        (self.before, self.total) = (now, self.total + grown);
        self.row(name, grown, "");
    }

    fn row(&self, name: &str, bytes: u64, note: &str) {
        println!("  {name:<44} {:>8.1}   {note}", bytes as f64 / self.units);
    }
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages = statm.split_whitespace().nth(1).expect("the second is RSS");
    pages.parse::<u64>().expect("it is a number") * 4096
}

fn measure(devices: u32) {
    println!("\n{devices} devices");
    let clock = Clock::start();
    let (authority, _) = Authority::create("bench", wall_now()).expect("a CA can be made");
    let crowd = Crowd::new(CrowdId([1; 4]), [2; 32]);
    let mut meter = Meter::new(devices);
    let ids: Vec<DeviceId> = (0..devices).map(DeviceId).collect();
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let minted = Identities::mint(&authority, &crowd, &ids, wall_now(), threads);
    let identities = minted.expect("our authority signs");
    drop(ids);
    meter.part("identity: key and certificate");
    let mut shard = Shard::new(Arc::new(environment(&crowd)), Share { index: 0, of: 1 });
    shard.reserve(devices as usize);
    for device in 0..devices {
        let at = SimTime::from_micros(u64::from(device) * 100);
        let start = Start::Enrolls {
            at,
            has_identity: true,
        };
        shard.add(CohortId(0), start);
    }
    meter.part("device, stored push, deadline");
    let mut ledger = Ledger::new(Setup {
        cohorts: vec![CohortInfo {
            name: "ipads".into(),
            devices,
        }],
        ..Setup::default()
    });
    enroll(&mut shard, &mut ledger);
    meter.part("what enrolling leaves, ledger included");
    meter.part("routing of push tokens");
    let note = "target: at most 1000";
    meter.row("sum", meter.total, note);
    assert_eq!(ledger.progress().enrolled, u64::from(devices));
    assert_eq!(identities.len(), devices as usize);
    assert_eq!(shard.deadline(), SimTime::NEVER, "a device is not at rest");
    println!("  in {:.1} s", (clock.now() - SimTime::ZERO).as_secs_f64());
}

/// Turns the shard until every device has enrolled; the server says yes to everything at once.
fn enroll(shard: &mut Shard, ledger: &mut Ledger) {
    let mut outputs = Vec::new();
    let mut turns = 0_u32;
    while shard.deadline() != SimTime::NEVER {
        let now = shard.deadline();
        shard.tick(now, 64);
        loop {
            outputs.extend(shard.drain());
            if outputs.is_empty() {
                break;
            }
            for output in outputs.drain(..) {
                match output {
                    Output::Note(kind) => ledger.record(&Fact { at: now, kind }),
                    Output::Close(_) | Output::Token(..) | Output::Obtain(_) | Output::Keep(_) => {}
                    Output::Send(request) => {
                        let stamps = Stamps {
                            asked: now,
                            permitted: now,
                            connected: Some(now),
                            sent: Some(now),
                            first_byte: Some(now),
                            read: now,
                        };
                        let answer = Ok(Answer {
                            status: 200,
                            body: Vec::new(),
                        });
                        let reply = Reply { stamps, answer };
                        shard.reply(now, request.channel, request.id, reply);
                    }
                }
            }
        }
        turns += 1;
        if turns.is_multiple_of(64) {
            ledger.advance(now);
        }
    }
    ledger.advance(SimTime::from_secs(3600));
}

/// A plan with an order for each device: how long it takes, and what it and its orders occupy.
fn plan(devices: u32) {
    println!("\na plan of {devices} devices with {devices} orders");
    let text = SCENARIO.replace("COUNT", &devices.to_string());
    let mut meter = Meter::new(devices);
    let clock = Clock::start();
    let scenario = Scenario::parse(&text, "bench.toml").expect("the scenario is valid");
    let commands = scenario.commands().map(|command| build(command, None));
    let commands = commands
        .collect::<Result<_, _>>()
        .expect("no file is named");
    let plan = Plan::new(&scenario, commands, scenario.seed);
    let took = (clock.now() - SimTime::ZERO).as_secs_f64();
    meter.part("plan, bytes per order");
    let order = |order: &mdmstorm::plan::Order| OrderInfo {
        channel: order.channel,
        cohort: CohortId(0),
        stage: 0,
        request: 0,
        serial: false,
    };
    let book = OrderBook::new(RunId([7; 16]), devices);
    meter.part("book of CommandUUIDs, bytes per order");
    let ledger = Ledger::new(Setup {
        cohorts: vec![CohortInfo {
            name: "ipads".into(),
            devices,
        }],
        stages: vec![StageInfo {
            name: "work".into(),
            warm_up: false,
        }],
        requests: vec!["DeviceInformation".into()],
        orders: plan.orders.iter().map(order).collect(),
        book,
        ..Setup::default()
    });
    meter.part("ledger, bytes per order");
    assert_eq!(plan.orders.len(), devices as usize);
    drop(ledger);
    println!("  made in {took:.2} s (target: less than 10 s)");
}

const SCENARIO: &str = r#"
name = "bench"
seed = 42

[target.embedded]

[enrollment.issued]
identity = "mtls"

[[cohorts]]
name = "ipads"
count = COUNT
preset = "cart-ipad"

[[stages]]
name = "work"
duration = "10m"
commands = [{ request = "DeviceInformation", each = 1 }]
"#;

fn environment(crowd: &Crowd) -> Environment {
    Environment {
        seed: Seed(42),
        crowd: crowd.clone(),
        topic: "com.apple.mgmt.External.bench".into(),
        terms: Terms::default(),
        time_scale: 1.0,
        epoch: RunEpoch::default(),
        orders: OrderBook::default(),
        cohorts: vec![Arc::new(traits())],
        starts: Duration::ZERO,
        enroll_until: SimTime::from_secs(600),
    }
}

fn traits() -> Traits {
    Traits {
        push_latency: Dist::ZERO,
        stored_push_delay: Dist::ZERO,
        wake_delay: Dist::ZERO,
        reply: ReplyTimes {
            usual: Dist::ZERO,
            by_request: BTreeMap::new(),
        },
        back_off: BackOff {
            initial: Duration::from_secs(5),
            max: Duration::from_secs(60),
        },
        ..Traits::prompt("ipads", Platform::Ipad)
    }
}
