//! The end of a run: the report is made, written into the bundle and printed.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::expect::expectations;
use super::print::{paint, say, warn};
use crate::engine::bundle::Bundle;
use crate::engine::bundle::manifest::{End, Manifest, Played, RunNames};
use crate::engine::clock::wall_now;
use crate::engine::events::EventTally;
use crate::engine::run::{Finished, Halt, Usage};
use crate::fact::IdentityStep;
use crate::ids::RunId;
use crate::plan::Plan;
use crate::record::account::Account;
use crate::record::enrolling::EnrollmentStep;
use crate::report::caveat::Caveat;
use crate::report::exit::Exit;
use crate::report::text::Paint;
use crate::report::validity::Health;
use crate::report::{Assumption, Outcome, Report, RunFacts, hlog, html, junit, text};
use crate::scenario::{Keys, Scenario, Target};
use crate::time::{SimTime, WallTime};

/// What is known of a run before it begins.
#[derive(Clone, Debug)]
pub(super) struct Told {
    started: WallTime,
    target: String,
    host: String,
    summary: String,
    played: Played,
    run: RunId,
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
            played: Played::Real,
            run: RunId([0; 16]),
        }
    }

    /// Of a rehearsal, which knows neither a machine nor its clock: the same each time.
    pub(super) fn of_rehearsal(plan: &Plan, started: WallTime) -> Self {
        Self {
            started,
            host: "virtual time".to_owned(),
            played: Played::Virtual,
            ..Self::new(plan)
        }
    }

    /// Of a run whose results are read again.
    pub(super) fn of_manifest(manifest: &Manifest, plan: &Plan, run: RunId) -> Self {
        Self {
            started: manifest.started(),
            target: manifest.target.clone(),
            host: manifest.host.clone(),
            played: manifest.played,
            run,
            ..Self::new(plan)
        }
    }

    /// What the bundle says of the run from its beginning.
    pub(super) fn manifest(&self, scenario: &Scenario, plan: &Plan) -> Manifest {
        let names = RunNames {
            run: self.run,
            played: self.played,
            target: &self.target,
            host: &self.host,
            started: self.started,
        };
        Manifest::begin(scenario, plan, names)
    }

    /// What a report takes from what was known before.
    pub(super) fn facts(&self, scenario: &Scenario, plan: &Plan) -> RunFacts {
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
            expectations: expectations(scenario, plan, self.played),
            accepted: scenario.findings.accepted.clone(),
            assumptions: left_default.collect(),
            ..RunFacts::default()
        }
    }

    pub(super) fn with_target(mut self, target: &str, run: RunId) -> Self {
        target.clone_into(&mut self.target);
        self.run = run;
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
    pub(super) interrupted: bool,
    pub(super) target_silent: bool,
    pub(super) enrollment_failed: bool,
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
        interrupted: finished.halted != Halt::No,
        target_silent: finished.target_silent,
        enrollment_failed: finished.enrollment_failed,
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
    let end = End {
        exit_code: report.exit_code,
        validity: report.validity.name().to_owned(),
        ended: ending.ended.rfc3339(),
        lasted_us: account.at.as_micros(),
        interrupted: ending.interrupted,
        target_silent: ending.target_silent,
        enrollment_failed: ending.enrollment_failed,
        lost: lost.clone(),
    };
    bundle.end(&Manifest {
        complete: ending.complete && lost.is_none(),
        end: Some(end),
        ..told.manifest(scenario, plan)
    });
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
        caveats: caveats(&finished.account, scenario, finished.usage.target_cpu)
            .into_iter()
            .chain(caveats_of_view(finished, scenario))
            .collect(),
        findings: finished.findings.clone(),
        bundle: finished.bundle.folder().display().to_string(),
        ..told.facts(scenario, plan)
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
    let account = &finished.account;
    let whole =
        finished.halted == Halt::No && !finished.enrollment_failed && !finished.target_silent;
    Health {
        cpu_percent: sustained.fold(0.0, f64::max),
        dropped_events: 0,
        events: 0,
        open_sockets_max: *sockets_max,
        connections: *connections,
        cpu: Some(*cpu),
        target_cpu: *target_cpu,
        achieved: account.tally(|_, _| true).ordered,
        planned: planned(account, plan, whole),
    }
}

/// How many orders were to be taken up: by a run that is not whole, no more than it did.
pub(super) fn planned(account: &Account, plan: &Plan, whole: bool) -> u64 {
    let ordered = account.tally(|_, _| true).ordered;
    if whole && !plan.orders.is_empty() {
        return ordered.max(plan.orders_certain() as u64);
    }
    ordered
}

/// What is known against the numbers of a run on real time.
pub(super) fn caveats(
    account: &Account,
    scenario: &Scenario,
    target_cpu: Option<Duration>,
) -> Vec<Caveat> {
    let mut caveats = Vec::new();
    if scenario.time_scale != 1.0 {
        caveats.push(Caveat::TimeScaled(scenario.time_scale));
    }
    let key = EnrollmentStep::Identity(IdentityStep::Key);
    if scenario.enrollment.keys == Keys::Pool && account.enrolling.steps.contains_key(&key) {
        caveats.push(Caveat::PooledKeys);
    }
    if matches!(scenario.target, Target::Embedded(_)) {
        let lasted = account.at.since(SimTime::ZERO).as_secs_f64().max(0.001);
        let cpu = target_cpu.map(|cpu| cpu.as_secs_f64() / lasted * 100.0);
        caveats.push(Caveat::TargetOnThisMachine { cpu_percent: cpu });
    }
    caveats.extend(planted(scenario));
    caveats
}

/// What is missing of the server's own view.
fn caveats_of_view(finished: &Finished, scenario: &Scenario) -> Vec<Caveat> {
    let mut caveats = Vec::new();
    if let (Some(events), Some(address)) = (finished.usage.events, scenario.target.webhook()) {
        caveats.extend(caveat_of_events(events, address));
    }
    if let Some(why) = &finished.usage.unseen {
        caveats.push(Caveat::Other("queues-not-seen", why.clone()));
    }
    caveats
}

/// What of the target's events is not as the scenario has it.
fn caveat_of_events(events: EventTally, address: SocketAddr) -> Option<Caveat> {
    let EventTally {
        ours,
        foreign,
        unreadable,
    } = events;
    tracing::info!(ours, foreign, unreadable, "events of the target");
    let sentence = if unreadable > 0 {
        format!(
            "{unreadable} requests at {address}, where the target's webhook is listened to, were no \
             events; is it the target that sends them?"
        )
    } else if ours == 0 {
        format!(
            "The target told of no event; it has to be started with http://{address}/webhook as its \
             webhook."
        )
    } else {
        return None;
    };
    Some(Caveat::Other("webhook", sentence))
}

/// That the bundled server has defects, if it was told to have some.
pub(super) fn planted(scenario: &Scenario) -> Option<Caveat> {
    let Target::Embedded(target) = &scenario.target else {
        return None;
    };
    if target.defects.is_empty() {
        return None;
    }
    let sentence = format!(
        "The bundled server breaks rules on purpose (defects: {}).",
        target.defects
    );
    Some(Caveat::Other("planted-defects", sentence))
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
