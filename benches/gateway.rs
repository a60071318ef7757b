//! CPU per push: our gateway (admission, mailbox, a fact for each push) beside a bare hyper server that
//! reads the token and sends the device's index to a channel; one connection with 1,000 streams.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

mod floor;
mod rounds;
mod toy;
mod world;

use std::net::SocketAddr;

use mdmstorm::engine::authority::GATEWAY_NAMES;
use mdmstorm::engine::bench::GatewayRig;
use mdmstorm::engine::clock::wall_now;
use rounds::{Core, ROUNDS, Rounds, cpu_of, pin};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use toy::Toy;
use world::World;

/// Distinct tokens.
const DEVICES: u32 = 1_000;

/// Pushes in flight, which is how many streams the connection may have.
const IN_FLIGHT: u32 = 1_000;

/// Pushes per round; the round that warms up has as many.
const PUSHES: u32 = 200_000;

fn main() {
    if std::env::args().any(|argument| argument == toy::CHILD) {
        pin(Core::First);
        return toy::serve();
    }
    pin(Core::Last);
    println!(
        "CPU microseconds per push over HTTP/2 and TLS, {IN_FLIGHT} streams, one connection, {ROUNDS} \
         rounds."
    );
    let world = World::new(DEVICES, 0);
    let mut toy = Toy::start(&world.toy_setup());
    let floor = start_floor(&world);
    let rig = GatewayRig::start(world.clock, &world.state, DEVICES)
        .expect("a gateway on loopback can be started");
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        let floor_cpu = cpu_of(|| toy.pushes(floor, PUSHES, IN_FLIGHT));
        let ours_cpu = cpu_of(|| toy.pushes(rig.gateway, PUSHES, IN_FLIGHT));
        // The first round warms up.
        if round > 0 {
            rounds.floor.add(floor_cpu, PUSHES);
            rounds.ours.add(ours_cpu, PUSHES);
        }
    }
    let note = "reference machine: 3.12 [3.07..3.17]";
    rounds.print("push at the gateway", note, "goal: at most 1.5");
    assert_eq!(rig.stop(), (ROUNDS as u64 + 1) * u64::from(PUSHES));
}

/// The bare gateway on a thread, and on another one that takes what it sends.
fn start_floor(world: &World) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener
        .set_nonblocking(true)
        .expect("a socket can be told");
    let address = listener.local_addr().expect("it is bound");
    let credential = world
        .state
        .apns_authority
        .server_certificate(&GATEWAY_NAMES, wall_now())
        .expect("our authority signs");
    let (wake, mut woken) = mpsc::channel(1 << 16);
    std::thread::spawn(move || while woken.blocking_recv().is_some() {});
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let wake = move |device: u32| {
            let sent = wake.try_send(device);
            sent.expect("the other thread keeps up");
        };
        let serve = floor::serve_gateway(listener, credential.chain, credential.key, wake);
        LocalSet::new().block_on(&runtime, serve);
    });
    address
}
