//! A day of 100,000 devices and 200,000 commands on virtual time: events per second, seconds of one
//! core, and the most memory that was resident. `MDMSTORM_BENCH_DEVICES` takes another size.

#![allow(clippy::print_stdout, reason = "a bench prints")]

use std::sync::Arc;

use mdmstorm::plan::Plan;
use mdmstorm::scenario::Scenario;
use mdmstorm::scenario::commands::build;
use mdmstorm::sim::load::Load;
use mdmstorm::sim::{Settings, World};

/// What the issue asks for.
const SECONDS_MAX: f64 = 60.0;
const RESIDENT_MAX_MIB: u64 = 500;

fn main() {
    let devices = devices();
    let scenario = Scenario::parse(&text(devices), "day.toml").expect("the scenario is right");
    let built = scenario
        .commands()
        .map(|command| build(command, None).expect("its commands need no file"));
    let plan = Arc::new(Plan::new(&scenario, built.collect(), scenario.seed));
    let orders = plan.orders.len();
    println!("a day of {devices} devices and {orders} commands on virtual time");
    let mut world = World::new(&scenario, plan, Settings::default());
    let (mut load, mut facts) = (Load::default(), 0_u64);
    while let Some(observed) = world.step() {
        facts += observed.len() as u64;
        observed.iter().for_each(|fact| load.record(fact));
    }
    let virtual_seconds = world.now().as_micros() / 1_000_000;
    let finished = world.finish();
    let seconds = cpu_seconds().expect("/proc/self/stat, as Linux has it");
    let tally = finished.account.tally(|_, _| true);
    println!(
        "  {virtual_seconds} s of virtual time, {facts} facts, {} events",
        finished.events
    );
    println!(
        "  completed {} of {}, pending {}",
        tally.completed, tally.ordered, tally.pending
    );
    println!(
        "  {:.0} events per second",
        finished.events as f64 / seconds
    );
    println!("  {seconds:.1} s of one core (goal {SECONDS_MAX:.0})");
    match resident_max_mib() {
        Some(mib) => println!("  {mib} MiB resident at most (goal {RESIDENT_MAX_MIB})"),
        None => println!("  resident memory is not known on this system"),
    }
    print!("{}", load.table());
}

/// A school district: carts that doze, iPads at home overnight, Macs that move between networks.
fn text(devices: u32) -> String {
    let (carts, home, staff) = (devices / 2, devices * 3 / 10, devices / 5);
    format!(
        r#"name = "day"
seed = 42

[target.embedded]

[enrollment]
rate = "1000/s"

[[cohorts]]
name = "carts"
count = {carts}
preset = "cart-ipad"
not-now = {{ requests = ["ProfileList"], probability = 0.1, for = "1m..10m" }}

[[cohorts]]
name = "home"
count = {home}
preset = "cart-ipad"
link = {{ offline = "1h..4h", online = "2h..8h" }}

[[cohorts]]
name = "staff"
count = {staff}
preset = "macbook"

[[stages]]
name = "day"
duration = "24h"
commands = [
  {{ request = "DeviceInformation", each = 1 }},
  {{ request = "ProfileList", each = 1 }},
]
"#
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench has no other way to be told its size"
)]
fn devices() -> u32 {
    std::env::var("MDMSTORM_BENCH_DEVICES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000)
}

/// How long this process, which has one thread, has been on a core (Linux, whose clock ticks 100 times
/// a second). Wall time would count what else the machine does.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.filter_map(|field| field.parse().ok()).collect();
    Some(ticks.iter().sum::<f64>() / 100.0)
}

/// The most memory this process has had resident (Linux).
fn resident_max_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1_024)
}
