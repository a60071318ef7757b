//! A bundle of ten million facts is reported again: seconds on the wall, and the most memory that was
//! resident. A rehearsal makes the facts. `MDMSTORM_BENCH_FACTS` takes about another number.

#![allow(clippy::print_stdout, reason = "a bench prints")]
#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the clock, waits for a child, and is told its size by the environment"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mdmstorm::engine::bundle::Recorded;
use mdmstorm::engine::bundle::log::Entry;

/// What the issue asks for.
const FACTS: u64 = 10_000_000;
const SECONDS_MAX: f64 = 60.0;
const RESIDENT_MAX_MIB: u64 = 1_024;

/// About how many facts a device of the scenario makes.
const FACTS_PER_DEVICE: u64 = 105;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the bundle");
    let devices = (facts() / FACTS_PER_DEVICE).max(10);
    std::fs::write(folder.path().join("s.toml"), text(devices)).expect("a scenario is written");
    let rehearse = ["rehearse", "s.toml", "-q", "--out", "out"];
    let (took, _) = watched(mdmstorm(folder.path(), &rehearse));
    println!(
        "a rehearsal of {devices} devices wrote the bundle in {:.1} s",
        took.as_secs_f64()
    );
    let out = folder.path().join("out");
    let recorded = Recorded::open(&out).expect("the bundle is whole");
    let begun = Instant::now();
    let entries = recorded.events().expect("it has facts");
    let is_fact = |entry: &Result<Entry, _>| matches!(entry, Ok(Entry::Fact(_)));
    let facts = entries.filter(is_fact).count();
    let parsed = begun.elapsed().as_secs_f64();
    println!("  {facts} facts, parsed alone in {parsed:.1} s");
    drop(recorded);
    let (took, resident) = watched(mdmstorm(folder.path(), &["report", "out"]));
    let seconds = took.as_secs_f64();
    println!("  reported again in {seconds:.1} s (goal {SECONDS_MAX:.0})");
    match resident {
        Some(mib) => println!("  {mib} MiB resident at most (goal {RESIDENT_MAX_MIB})"),
        None => println!("  resident memory is not known on this system"),
    }
}

fn mdmstorm(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
    command.args(arguments).current_dir(folder);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("mdmstorm can be started")
}

/// Waits for a child: how long it took, and the most it had resident, in MiB.
fn watched(mut child: Child) -> (Duration, Option<u64>) {
    let (begun, mut resident) = (Instant::now(), None);
    loop {
        resident = resident_max_mib(child.id()).or(resident);
        if child.try_wait().expect("a child can be asked").is_some() {
            return (begun.elapsed(), resident);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The kernel's high-water mark; it only grows, so that the last look has nearly all of it.
fn resident_max_mib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib >> 10)
}

fn facts() -> u64 {
    let wanted = std::env::var("MDMSTORM_BENCH_FACTS").ok();
    wanted.and_then(|it| it.parse().ok()).unwrap_or(FACTS)
}

/// Devices that take eight commands each in an hour, a tenth of them asleep much of the time.
fn text(devices: u64) -> String {
    let sleepers = devices / 10;
    let awake = devices - sleepers;
    format!(
        r#"name = "analysed"
seed = 7

[target.embedded]

[enrollment]
rate = "1000/s"

[[cohorts]]
name = "awake"
count = {awake}
preset = "always-on"

[[cohorts]]
name = "sleepers"
count = {sleepers}
preset = "always-on"
sleep = {{ asleep = "10m", awake = "2m", share-asleep = 0.5 }}

[[stages]]
name = "work"
duration = "1h"
commands = [
  {{ request = "DeviceInformation", each = 4 }},
  {{ request = "SecurityInfo", each = 4 }},
]
"#
    )
}
