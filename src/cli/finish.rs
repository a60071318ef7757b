//! The end of a run: the report is made, written into the bundle and printed.

use std::path::Path;

use serde::Serialize;

use super::expect::{Played, expectations};
use super::print::{paint, say, warn};
use crate::engine::bundle::Bundle;
use crate::engine::clock::wall_now;
use crate::engine::run::{Finished, Halt, Usage};
use crate::fact::IdentityStep;
use crate::plan::Plan;
use crate::record::account::Account;
use crate::record::enrolling::EnrollmentStep;
use crate::report::caveat::Caveat;
use crate::report::exit::Exit;
use crate::report::text::Paint;
use crate::report::validity::Health;
use crate::report::{Assumption, Outcome, Report, RunFacts, hlog, html, junit, text};
use crate::scenario::{Keys, Scenario, Target};
use crate::time::WallTime;

/// What is known of a run before it begins.
#[derive(Clone, Debug)]
pub(super) struct Told {
    started: WallTime,
    target: String,
    host: String,
    summary: String,
}

impl Told {
    pub(super) fn new(plan: &Plan) -> Self {
        let summary = format!(
            "mdmstorm {}: {}, {} devices, {} orders, seed {}, plan {}",
            env!("CARGO_PKG_VERSION"),
            plan.name,
            plan.devices(),
            plan.orders.len(),
            plan.seed.0,
            &plan.hash()[..16]
        );
        Self {
            started: wall_now(),
            target: String::new(),
            host: host(),
            summary,
        }
    }

    /// Of a rehearsal, which knows neither a machine nor its clock: the same each time.
    pub(super) fn of_rehearsal(plan: &Plan, started: WallTime) -> Self {
        Self {
            started,
            host: "virtual time".to_owned(),
            ..Self::new(plan)
        }
    }

    /// What a report takes from what was known before.
    pub(super) fn facts(&self, scenario: &Scenario, plan: &Plan, played: Played) -> RunFacts {
        let left_default = scenario.left_default.iter().map(|assumed| Assumption {
            key: assumed.key.to_owned(),
            value: assumed.value.to_owned(),
            grade: assumed.grade.letter().to_string(),
        });
        RunFacts {
            scenario: plan.name.clone(),
            seed: plan.seed.0,
            plan_hash: plan.hash().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.host.clone(),
            target: self.target.clone(),
            started: self.started,
            thresholds: scenario.thresholds.clone(),
            expectations: expectations(scenario, plan, played),
            assumptions: left_default.collect(),
            ..RunFacts::default()
        }
    }

    pub(super) fn with_target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// What is said before the first device.
    pub(super) fn greeting(&self, out: Option<&Path>, roster: Option<&Path>) -> String {
        let mut text = format!("{}\ntarget  {}", self.summary, self.target);
        if let Some(roster) = roster {
            text += &format!("\nroster  {}", roster.display());
        }
        if let Some(out) = out {
            text += &format!("\nresults {}", out.display());
        }
        text
    }
}

/// `manifest.json`: what a reader of the bundle needs to know first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest<'a> {
    manifest_version: u32,
    events_version: u32,
    complete: bool,
    exit_code: u8,
    validity: &'a str,
    mdmstorm: &'a str,
    seed: u64,
    plan_hash: &'a str,
    scenario: &'a str,
    target: &'a str,
    host: &'a str,
    started: String,
    ended: String,
    /// What of the bundle could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'a str>,
}

/// What the files of a bundle are made of, besides the report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending<'a> {
    pub(super) account: &'a Account,
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) told: &'a Told,
    /// Whether the run came to its own end.
    pub(super) complete: bool,
    pub(super) ended: WallTime,
}

/// Makes the report, completes the bundle, prints, and gives back the exit code.
pub(super) fn finish(finished: Finished, scenario: &Scenario, plan: &Plan, told: &Told) -> u8 {
    let facts = run_facts(&finished, scenario, plan, told);
    let mut report = Report::new(&finished.account, &facts);
    count_loss(&mut report, finished.usage.unkept.as_deref());
    let ending = Ending {
        account: &finished.account,
        scenario,
        plan,
        told,
        complete: finished.halted != Halt::Everything,
        ended: wall_now(),
    };
    let lost = keep(finished.bundle, &mut report, ending);
    say(&text::render(&report, paint()));
    warn_of_loss(lost.as_deref());
    if let Some(why) = &finished.usage.unkept {
        warn(&format!(
            "error: {why}; what devices did after that is not in it, and devices that it does not \
             have will enrol again"
        ));
    }
    tracing::info!(
        exit = report.exit_code,
        "{}",
        text::render(&report, Paint::Plain)
    );
    report.exit_code
}

/// Completes the bundle with the report in all its forms. What of it was lost, if anything.
pub(super) fn keep(mut bundle: Bundle, report: &mut Report, ending: Ending<'_>) -> Option<String> {
    let Ending {
        account,
        scenario,
        plan,
        told,
        ..
    } = ending;
    bundle.file("scenario.toml", scenario.effective_toml().as_bytes());
    bundle.file("histograms.hlog", hlog::render(account).as_bytes());
    // A loss known by now is in the forms of the report too.
    count_loss(report, bundle.failure());
    bundle.file(
        "report.html",
        html::render(report, &account.intervals).as_bytes(),
    );
    bundle.file("junit.xml", junit::render(report).as_bytes());
    bundle.file("summary.json", report.json().as_bytes());
    let lost = bundle.failure().map(str::to_owned);
    count_loss(report, lost.as_deref());
    let manifest = Manifest {
        manifest_version: 1,
        events_version: 1,
        complete: ending.complete && lost.is_none(),
        exit_code: report.exit_code,
        validity: report.validity.name(),
        mdmstorm: env!("CARGO_PKG_VERSION"),
        seed: plan.seed.0,
        plan_hash: plan.hash(),
        scenario: &plan.name,
        target: &told.target,
        host: &told.host,
        started: told.started.rfc3339(),
        ended: ending.ended.rfc3339(),
        lost: lost.as_deref(),
    };
    let manifest = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    bundle.file("manifest.json", manifest.as_bytes());
    lost
}

/// Says that the bundle is not whole.
pub(super) fn warn_of_loss(lost: Option<&str>) {
    if let Some(lost) = lost {
        warn(&format!(
            "error: the results bundle is not whole; the first loss: {lost}"
        ));
    }
}

/// A bundle or a roster that is not whole is no success, whatever the run was.
fn count_loss(report: &mut Report, lost: Option<&str>) {
    if lost.is_some() && report.exit_code == 0 {
        report.exit_code = Exit::Unexpected.code();
        report.outcome = Outcome::Fail;
    }
}

fn run_facts(finished: &Finished, scenario: &Scenario, plan: &Plan, told: &Told) -> RunFacts {
    RunFacts {
        interrupted: finished.halted != Halt::No,
        target_unreachable: finished.target_silent,
        enrollment_failed: finished.enrollment_failed,
        health: health(finished, plan),
        caveats: caveats(finished, scenario),
        bundle: finished.bundle.folder().display().to_string(),
        ..told.facts(scenario, plan, Played::Real)
    }
}

fn health(finished: &Finished, plan: &Plan) -> Health {
    let Usage {
        cpu_percent,
        sockets_max,
        connections,
        cpu,
        target_cpu,
        ..
    } = &finished.usage;
    // Only what lasted ten seconds counts against a run; a shorter one is judged whole.
    let window = cpu_percent.len().clamp(1, 10);
    let sustained = cpu_percent
        .windows(window)
        .map(|w| w.iter().sum::<f64>() / window as f64);
    let ordered = finished.account.tally(|_, _| true).ordered;
    let whole = finished.halted == Halt::No
        && !finished.enrollment_failed
        && !finished.target_silent
        && !plan.orders.is_empty();
    Health {
        cpu_percent: sustained.fold(0.0, f64::max),
        dropped_events: 0,
        events: 0,
        open_sockets_max: *sockets_max,
        connections: *connections,
        cpu: Some(*cpu),
        target_cpu: *target_cpu,
        achieved: ordered,
        planned: if whole {
            ordered.max(plan.orders_certain() as u64)
        } else {
            ordered
        },
    }
}

fn caveats(finished: &Finished, scenario: &Scenario) -> Vec<Caveat> {
    let mut caveats = Vec::new();
    if scenario.time_scale != 1.0 {
        caveats.push(Caveat::TimeScaled(scenario.time_scale));
    }
    let key = EnrollmentStep::Identity(IdentityStep::Key);
    if scenario.enrollment.keys == Keys::Pool && finished.account.enrolling.steps.contains_key(&key)
    {
        caveats.push(Caveat::PooledKeys);
    }
    if matches!(scenario.target, Target::Embedded(_)) {
        let lasted = finished
            .lasted
            .since(crate::time::SimTime::ZERO)
            .as_secs_f64()
            .max(0.001);
        let cpu = finished
            .usage
            .target_cpu
            .map(|cpu| cpu.as_secs_f64() / lasted * 100.0);
        caveats.push(Caveat::TargetOnThisMachine { cpu_percent: cpu });
    }
    caveats
}

/// The machine, for people who compare runs.
fn host() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let kib = text
                .lines()
                .next()?
                .split_whitespace()
                .nth(1)?
                .parse::<u64>()
                .ok()?;
            Some(format!(", {} GiB", kib >> 20))
        });
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{os} {arch}, {cores} cores{}", memory.unwrap_or_default())
}
