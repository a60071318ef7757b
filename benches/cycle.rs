//! CPU per cycle: a push through the gateway, a session with one command, its result; without TLS and
//! with the device's own certificate. Ours is the real path with every record kept: gateway, worker,
//! shard, courier, ledger, event log. The floor is in floor/mod.rs.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

mod floor;
mod rounds;
mod toy;
mod world;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use floor::{Floor, FloorDevice, FloorPlan};
use mdmstorm::engine::authority::GATEWAY_NAMES;
use mdmstorm::engine::bench::{Rig, RigPlan};
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::identity::{Identities, roots_of_pem};
use mdmstorm::ids::{Channel, CohortId, DeviceId, OrderBook};
use mdmstorm::record::setup::{CohortInfo, OrderInfo, Orderer, Setup, StageInfo};
use rounds::{Core, ROUNDS, Rounds, Series, cpu_of, pin};
use toy::Toy;
use world::{RUN, World};

/// Devices, as many as the numbers of the floor's notes were measured with.
const DEVICES: u32 = 10_000;

/// Cycles in flight.
const IN_FLIGHT: u32 = 32;

/// Cycles per round; the round that warms up has as many.
const PLAIN: u32 = 6 * SLICE;
const MTLS: u32 = SLICE;

/// How many orders are open at once: those of one slice.
const SLICE: u32 = 2_500;

/// Whether the target has TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Plain,
    Mtls,
}

fn main() {
    if std::env::args().any(|argument| argument == toy::CHILD) {
        pin(Core::First);
        return toy::serve();
    }
    pin(Core::Last);
    println!(
        "CPU microseconds per cycle, {IN_FLIGHT} in flight, {DEVICES} devices, {ROUNDS} rounds. Both \
         sides are\nstarted by a push over HTTP/2 and TLS; the toy server and provider is another process."
    );
    // A word after `--` picks one: `cargo bench --bench cycle -- plain`.
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let picks = |name: &str| wanted.iter().any(|word| word == name);
    if picks("plain") || !picks("mtls") {
        compare(Target::Plain);
    }
    if picks("mtls") || !picks("plain") {
        compare(Target::Mtls);
    }
}

fn compare(target: Target) {
    let (count, title, note, goal) = match target {
        Target::Plain => (
            PLAIN,
            "plain cycle",
            "reference machine: 42.9 [42.0..46.1]",
            "target: at most 1.5",
        ),
        Target::Mtls => (
            MTLS,
            "mTLS cycle (P-256)",
            "reference machine: 219 [211..220]",
            "target: at most 1.2",
        ),
    };
    let orders = (ROUNDS as u32 + 1) * count;
    let world = World::new(DEVICES, orders);
    let mut toy = Toy::start(&world.toy_setup());
    let floor = Floor::start(floor_plan(&world, &toy, target));
    let mut rig = start_rig(&world, &toy, target);
    wait_until("enrolment", || rig.enrolled() == u64::from(DEVICES));
    let (mut rounds, mut sessions) = (Rounds::default(), Series::default());
    for round in 0..=ROUNDS as u32 {
        let slices = || (round * count..(round + 1) * count).step_by(SLICE as usize);
        let floor_cpu: Duration = slices()
            .map(|first| cpu_of(|| toy.cycles(floor.gateway, first, SLICE, IN_FLIGHT)))
            .sum();
        let ours_cpu: Duration = slices()
            .map(|first| {
                let end = first + SLICE;
                rig.place(first..end);
                wait_until("orders", || rig.ordered() == u64::from(end));
                cpu_of(|| {
                    toy.cycles(rig.gateway, first, SLICE, IN_FLIGHT);
                    wait_until("results", || rig.completed() == u64::from(end));
                })
            })
            .sum();
        // The first round warms up.
        if round > 0 {
            rounds.floor.add(floor_cpu, count);
            rounds.ours.add(ours_cpu, count);
        }
        if target == Target::Plain {
            sessions.add(cpu_of(|| floor.sessions(count, IN_FLIGHT)), count);
        }
    }
    rounds.print(title, note, goal);
    if target == Target::Plain {
        let note = "reference machine: 40.2 [36.9..44.9]";
        rounds::print_alone("floor, two requests without a push", &sessions, note);
    }
    let account = rig.stop();
    let tally = account.tally(|_, _| true);
    assert!(
        tally.completed == u64::from(orders) && tally.completed_without_push == 0,
        "the bench did not do what it measures: {tally:?}"
    );
}

fn floor_plan(world: &World, toy: &Toy, target: Target) -> FloorPlan {
    let authority = &world.state.device_authority;
    let device = |device| {
        let udid = world.state.crowd.udid(DeviceId(device));
        let issued = (target == Target::Mtls).then(|| {
            let mut issued = authority
                .device_certificate(&udid, wall_now())
                .expect("our authority signs");
            (issued.chain.remove(0), issued.key.secret_der().to_vec())
        });
        let (certificate, key) = issued.unwrap_or_else(|| (Vec::new().into(), Vec::new()));
        FloorDevice {
            udid,
            certificate,
            key,
        }
    };
    let gateway = world
        .state
        .apns_authority
        .server_certificate(&GATEWAY_NAMES, wall_now())
        .expect("our authority signs");
    FloorPlan {
        target: match target {
            Target::Plain => toy.plain,
            Target::Mtls => toy.mtls,
        },
        roots: (target == Target::Mtls)
            .then(|| roots_of_pem(&authority.certificate_pem()).expect("it is a certificate")),
        devices: (0..world.devices).map(device).collect(),
        chain: gateway.chain,
        key: gateway.key,
    }
}

fn start_rig(world: &World, toy: &Toy, target: Target) -> Rig {
    let devices: Vec<DeviceId> = (0..world.devices).map(DeviceId).collect();
    let authority = &world.state.device_authority;
    let identities = match target {
        Target::Plain => Identities::default(),
        Target::Mtls => Identities::mint(
            authority,
            &world.state.crowd,
            &devices,
            wall_now(),
            NonZeroUsize::MIN,
        )
        .expect("our authority signs"),
    };
    let (url, roots) = match target {
        Target::Plain => (format!("http://{}/mdm", toy.plain), None),
        Target::Mtls => (
            format!("https://{}/mdm", toy.mtls),
            Some(authority.certificate_pem()),
        ),
    };
    let order = |order| OrderInfo {
        channel: Channel::device(DeviceId(order % world.devices)),
        cohort: CohortId(0),
        stage: 0,
        request: 0,
        serial: false,
    };
    let setup = Setup {
        cohorts: vec![CohortInfo {
            name: "ipads".into(),
            devices: world.devices,
        }],
        stages: vec![StageInfo {
            name: "work".into(),
            warm_up: false,
        }],
        requests: vec!["DeviceInformation".into()],
        orders: (0..world.orders).map(order).collect(),
        book: OrderBook::new(RUN, world.orders),
        orderer: Orderer::Operator,
        ..Setup::default()
    };
    Rig::start(RigPlan {
        clock: world.clock,
        state: &world.state,
        env: world.environment(),
        setup,
        url,
        roots,
        identities: Arc::new(identities),
        results: &world.folder.path().join("results"),
    })
    .expect("a rig on loopback can be started")
}

/// Looks every few milliseconds, for at most two minutes.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..24_000 {
        if is_so() {
            return;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing but the bench waits here"
        )]
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the {what} did not come within two minutes");
}
