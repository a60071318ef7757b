//! CPU per enrolment, and how long a crowd takes: with EC identities that are issued before the run,
//! and with RSA identities by SCEP whose keys come from the pool. The target is the reference server
//! in a process of its own.
//!
//! `cargo bench --bench enroll -- scep 10000` picks one and says how many devices.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

mod rounds;

use std::path::Path;
use std::process::Command;

use rounds::{Series, heading, print_alone};
use serde_json::Value;

/// How often each crowd enrols.
const ROUNDS: usize = 3;

/// Devices in a round, if nobody says otherwise.
const DEVICES: u32 = 2_000;

/// The ways in: name, title, and what the scenario says of them.
const WAYS: [(&str, &str, &str); 2] = [
    (
        "issued",
        "issued, P-256, mTLS",
        "[enrollment.issued]\nidentity = \"mtls\"\n",
    ),
    (
        "scep",
        "SCEP, RSA 2048 from the pool, mTLS",
        "[enrollment.scep]\n[enrollment.identity]\nkeys = \"pool\"\nproof = \"mtls\"\n",
    ),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let devices = wanted.iter().find_map(|word| word.parse().ok());
    let devices = devices.unwrap_or(DEVICES);
    let is_picked = |name: &str| wanted.iter().any(|word| word == name);
    let picks_any = WAYS.iter().any(|(name, ..)| is_picked(name));
    println!("Enrolment of {devices} devices with the reference server, {ROUNDS} rounds.");
    for (name, title, says) in WAYS {
        if is_picked(name) || !picks_any {
            measure(title, says, devices);
        }
    }
}

fn measure(title: &str, says: &str, devices: u32) {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let (mut ours, mut theirs, mut took) = (Series::default(), Series::default(), Vec::new());
    for round in 0..=ROUNDS {
        let out = folder.path().join(round.to_string());
        let summary = enroll(folder.path(), &out, says, devices);
        let enrolled = summary["devices"]["enrolled"].as_u64();
        assert_eq!(enrolled, Some(u64::from(devices)), "some did not enrol");
        // The first makes keys and certificates of its own that the next ones find.
        if round == 0 {
            continue;
        }
        let span = |value: &Value| {
            let millis = value.as_f64().expect("a run in real time has CPU times");
            std::time::Duration::from_secs_f64(millis / 1_000.0)
        };
        ours.add(span(&summary["health"]["cpu-ms"]), devices);
        theirs.add(span(&summary["health"]["target-cpu-ms"]), devices);
        took.push(summary["duration-ms"].as_f64().unwrap_or_default() / 1_000.0);
    }
    heading(&format!("{title}: CPU microseconds per enrolment"));
    print_alone("mdmstorm", &ours, "identities included");
    print_alone("reference server", &theirs, "");
    took.sort_by(f64::total_cmp);
    println!("  seconds for all of them: {took:.1?}");
}

/// One run that does nothing but enrol; its `summary.json`.
fn enroll(folder: &Path, out: &Path, says: &str, devices: u32) -> Value {
    let scenario = format!(
        "name = \"enroll\"\n[target.embedded]\nchallenge = \"none\"\n[enrollment]\nrate = \"100000/s\"\nin-flight = 64\n\
         {says}[[cohorts]]\nname = \"pads\"\ncount = {devices}\npreset = \"always-on\"\n\
         model = \"iPad12,1\"\nos = \"18.1\"\n"
    );
    let file = folder.join("enroll.toml");
    std::fs::write(&file, scenario).expect("a temporary file can be written");
    let run = Command::new(env!("CARGO_BIN_EXE_mdmstorm"))
        .args(["run", "--quiet", "--state"])
        .arg(folder.join("state"))
        .arg("--out")
        .arg(out)
        .arg(&file)
        .output()
        .expect("mdmstorm can be started");
    let summary = std::fs::read_to_string(out.join("summary.json")).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&run.stderr);
        panic!("no summary.json: {error}\n{said}")
    });
    serde_json::from_str(&summary).expect("summary.json is JSON")
}
