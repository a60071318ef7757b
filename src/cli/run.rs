//! `mdmstorm run`: a scenario against its target, then the report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::args::{RealArgs, RunArgs};
use super::finish::{self, Told};
use super::load;
use super::print::{Stop, warn};
use super::progress::Progress;
use super::{log, signals};
use crate::engine::bundle::Bundle;
use crate::engine::clock::wall_now;
use crate::engine::run::{Halt, RunError, Settings, execute, prepare};
use crate::plan::Plan;
use crate::report::exit::Exit;
use crate::scenario::{Scenario, Target};

pub(super) fn run(args: &RunArgs) -> Result<u8, Stop> {
    if let Some((_, of)) = args.shard
        && of > 1
    {
        let message = "error: --shard with more than one part cannot run yet: the target's pushes \
                       reach one machine and cannot be forwarded to the others; \
                       `mdmstorm plan --shard I/N` shows what each part would do";
        return Err(Stop::new(Exit::Usage, message));
    }
    let scenario = load::scenario(&args.scenario)?;
    let plan = load::plan(&scenario, &args.scenario.scenario)?;
    let settings = Settings {
        drain: args.drain,
        roster: args.roster.clone(),
        ..settings(&args.real, &scenario)?
    };
    play(&args.real, scenario, plan, settings)
}

/// Plays a plan against its target in real time, and reports.
pub(super) fn play(
    args: &RealArgs,
    scenario: Scenario,
    plan: Plan,
    settings: Settings,
) -> Result<u8, Stop> {
    let log = log::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Stop::because(Exit::Unexpected, error))?;
    runtime.block_on(carry_out(args, scenario, Arc::new(plan), settings, log))
}

async fn carry_out(
    args: &RealArgs,
    scenario: Scenario,
    plan: Arc<Plan>,
    settings: Settings,
    log: log::LogFile,
) -> Result<u8, Stop> {
    let asked = signals::listen().map_err(|error| Stop::because(Exit::Unexpected, error))?;
    let told = Told::new(&plan);
    let watched = load::watched(&args.trace, &plan)?;
    // First of all that takes time, so that a bad path is known at once.
    let out = args.out.clone().unwrap_or_else(|| default_out(&plan));
    let mut bundle =
        Bundle::create(&out).map_err(|error| Stop::because(Exit::Unexpected, error))?;
    let prepared = tokio::select! {
        prepared = prepare(&scenario, &plan, &settings) => prepared.map_err(refused),
        () = stopped(asked.clone()) => Err(Stop::new(Exit::Interrupted, "stopped before the run")),
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(stop) => {
            bundle.discard();
            return Err(stop);
        }
    };
    if let Err(error) = log.open(&out.join("log.txt")) {
        warn(&format!("warning: no log.txt in the results: {error}"));
    }
    let told = told.with_target(prepared.target(), prepared.run());
    let manifest = told.manifest(&scenario, &plan);
    let text = scenario.effective_toml();
    bundle.begin(&manifest, text, prepared.crowd(), plan.devices());
    bundle.watch(watched);
    tracing::info!(
        seed = plan.seed.0,
        plan = plan.hash(),
        target = prepared.target(),
        "run"
    );
    if !args.quiet {
        warn(&told.greeting(Some(&out), settings.roster.as_deref()));
        if let Some(profile) = prepared.profile() {
            warn(profile);
        }
    }
    let (devices, orders) = (u64::from(plan.devices()), plan.orders.len() as u64);
    let mut progress = Progress::new(args.quiet, devices, orders);
    let show = |snapshot| progress.show(snapshot);
    let finished = execute(
        prepared,
        bundle,
        &scenario,
        Arc::clone(&plan),
        &settings,
        asked,
        show,
    )
    .await;
    progress.end();
    Ok(finish::finish(
        finished.map_err(refused)?,
        &scenario,
        &plan,
        &told,
    ))
}

async fn stopped(mut asked: tokio::sync::watch::Receiver<Halt>) {
    // Preparation cannot be drained: the first signal ends it.
    let _ = asked.wait_for(|halt| *halt != Halt::No).await;
}

pub(super) fn refused(error: RunError) -> Stop {
    let exit = if error.is_target() {
        Exit::TargetUnreachable
    } else if error.is_usage() {
        Exit::Usage
    } else {
        Exit::Unexpected
    };
    Stop::because(exit, error)
}

/// The settings of these arguments, without a roster and a drain.
pub(super) fn settings(args: &RealArgs, scenario: &Scenario) -> Result<Settings, Stop> {
    let program =
        std::env::current_exe().map_err(|error| Stop::because(Exit::Unexpected, error))?;
    Ok(Settings {
        state: load::state_folder(&args.state)?,
        drain: Duration::ZERO,
        allow_public_target: args.allow_public_target,
        workers: args.workers.map(usize::from),
        handshakes_in_flight: args.handshakes_in_flight as usize,
        api_key: api_key(scenario),
        enrollment_secret: enrollment_secret(scenario),
        program,
        roster: None,
        fresh_devices: false,
    })
}

/// `results/2026-11-20T080000Z-7c1e55aa01b2c3d4`.
fn default_out(plan: &Plan) -> PathBuf {
    let utc: String = wall_now().rfc3339().chars().filter(|c| *c != ':').collect();
    let second = utc.split('.').next().unwrap_or_default();
    PathBuf::from("results").join(format!("{second}Z-{}", &plan.hash()[..16]))
}

/// The challenge or token that devices enrol with, if the scenario names one.
#[expect(
    clippy::disallowed_methods,
    reason = "cli is where the environment is read"
)]
fn enrollment_secret(scenario: &Scenario) -> Option<String> {
    let name = scenario.enrollment.secret()?;
    std::env::var(&name.0)
        .ok()
        .filter(|secret| !secret.is_empty())
}

/// The key of the target's admin API, from the variable that the scenario names.
#[expect(
    clippy::disallowed_methods,
    reason = "cli is where the environment is read"
)]
pub(super) fn api_key(scenario: &Scenario) -> Option<String> {
    match &scenario.target {
        Target::Nanomdm(target) | Target::Micromdm(target) => std::env::var(&target.api_key.0)
            .ok()
            .filter(|key| !key.is_empty()),
        Target::Embedded(_) | Target::Observe(_) => None,
    }
}
