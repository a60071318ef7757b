//! `mdmstorm rehearse`: a scenario on virtual time, then the report and the load to expect.

use std::sync::Arc;
use std::time::Duration;

use super::args::RehearseArgs;
use super::finish::{Ending, Told, keep, planted, warn_of_loss};
use super::load;
use super::print::{Stop, paint, say, warn};
use super::progress::Progress;
use crate::engine::bundle::Bundle;
use crate::engine::bundle::trace::Traced;
use crate::engine::clock::Clock;
use crate::engine::run::{Snapshot, Step};
use crate::ids::DeviceId;
use crate::plan::Plan;
use crate::report::caveat::Caveat;
use crate::report::exit::Exit;
use crate::report::validity::Health;
use crate::report::{Report, RunFacts, text};
use crate::scenario::{Scenario, Target};
use crate::sim::load::Load;
use crate::sim::{Finished, Settings, World};
use crate::time::SimTime;

/// Between two looks at the stopwatch, in events.
const EVENTS_PER_LOOK: u64 = 16_384;

/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(args: &RehearseArgs) -> Result<u8, Stop> {
    let scenario = load::scenario(&args.scenario)?;
    let plan = Arc::new(load::plan(&scenario, &args.scenario.scenario)?);
    let watched = watched(args, &plan)?;
    let drain = args.drain.mul_f64(scenario.time_scale);
    let settings = Settings {
        drain,
        ..Settings::default()
    };
    let settings = settings.outlasting(plan.length() + drain);
    let bundle = args.out.as_deref().map(Bundle::create).transpose();
    let mut bundle = bundle.map_err(|error| Stop::because(Exit::Unexpected, error))?;
    let watch = Clock::start();
    let mut world = World::new(&scenario, Arc::clone(&plan), settings.clone());
    world.watch(&watched);
    let told = Told::of_rehearsal(&plan, settings.epoch.0);
    let told = told.with_target(&target(&scenario), world.run_id());
    if let Some(bundle) = &mut bundle {
        let manifest = told.manifest(&scenario, &plan);
        let text = scenario.effective_toml();
        bundle.begin(&manifest, text, world.crowd(), plan.devices());
    }
    if !args.quiet {
        warn(&told.greeting(args.out.as_deref(), None));
    }
    let (finished, mut load) = play(world, &plan, bundle.as_mut(), args.quiet);
    let facts = RunFacts {
        enrollment_failed: finished.enrollment_failed,
        health: health(&finished),
        caveats: [Caveat::VirtualTime]
            .into_iter()
            .chain(planted(&scenario))
            .collect(),
        findings: finished.findings.clone(),
        bundle: args
            .out
            .as_ref()
            .map_or_else(String::new, |out| out.display().to_string()),
        ..told.facts(&scenario, &plan)
    };
    let mut report = Report::new(&finished.account, &facts);
    if let Some(mut bundle) = bundle {
        for interval in &finished.account.intervals {
            if let Ok(line) = serde_json::to_string(interval) {
                bundle.interval(&line);
            }
        }
        let ending = Ending {
            account: &finished.account,
            scenario: &scenario,
            plan: &plan,
            told: &told,
            complete: true,
            ended: settings.epoch.wall(finished.account.at),
            interrupted: false,
            target_silent: false,
            enrollment_failed: finished.enrollment_failed,
        };
        let lost = keep(bundle, &mut report, ending);
        warn_of_loss(lost.as_deref());
    }
    say(&text::render(&report, paint()));
    say(&format!(" load on the target\n{}", load.table()));
    let seconds = (watch.now() - SimTime::ZERO).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = finished.events as f64 / seconds.max(1e-6);
    let events = finished.events;
    warn(&format!(
        "rehearsed {events} events in {seconds:.1} s, {rate:.0} events per second"
    ));
    Ok(report.exit_code)
}

/// The devices whose words are kept, for which there has to be a place.
fn watched(args: &RehearseArgs, plan: &Plan) -> Result<Vec<DeviceId>, Stop> {
    let watched = load::watched(&args.trace, plan)?;
    if !watched.is_empty() && args.out.is_none() {
        let message =
            "error: --trace keeps words in a results bundle; name a folder for it with --out";
        return Err(Stop::new(Exit::Usage, message));
    }
    Ok(watched)
}

/// Runs the world to its end.
fn play(
    mut world: World,
    plan: &Plan,
    mut bundle: Option<&mut Bundle>,
    is_quiet: bool,
) -> (Finished, Load) {
    let (devices, orders) = (u64::from(plan.devices()), plan.orders.len() as u64);
    let mut progress = Progress::new(is_quiet, devices, orders);
    let (mut load, watch) = (Load::default(), Clock::start());
    let (mut shown, mut watermark) = (watch.now(), SimTime::ZERO);
    while world.step().is_some() {
        if let Some(bundle) = &mut bundle
            && world.watermark() > watermark
        {
            watermark = world.watermark();
            bundle.until(watermark);
        }
        if let Some(bundle) = &mut bundle {
            for it in world.take_exchanged() {
                bundle.exchanged(&Traced::new(it.channel, it.asked, &it.request, &it.answer));
            }
        }
        for fact in world.facts() {
            load.record(fact);
            if let Some(bundle) = &mut bundle {
                bundle.event(fact);
            }
        }
        let is_time = world.events().is_multiple_of(EVENTS_PER_LOOK);
        if is_time && watch.now() >= shown + SHOWN_EVERY {
            shown = watch.now();
            progress.show(snapshot(&world));
        }
    }
    progress.end();
    if let Some(bundle) = bundle {
        bundle.end_frame();
    }
    (world.finish(), load)
}

fn snapshot(world: &World) -> Snapshot {
    let step = if world.is_enrolling() {
        Step::Enrolling
    } else if world.is_draining() {
        Step::Draining
    } else {
        Step::Ordering
    };
    Snapshot {
        step,
        elapsed: world.now(),
        progress: world.progress(),
    }
}

/// Virtual time waits for everybody, so nothing of this machine can spoil the numbers.
fn health(finished: &Finished) -> Health {
    let ordered = finished.account.tally(|_, _| true).ordered;
    Health {
        achieved: ordered,
        planned: ordered,
        ..Health::default()
    }
}

/// Who answers, and in whose place.
fn target(scenario: &Scenario) -> String {
    let server = "the reference server on virtual time";
    match &scenario.target {
        Target::Embedded(_) => server.to_owned(),
        Target::Nanomdm(nanomdm) => format!("{server}, in the place of NanoMDM at {}", nanomdm.url),
        Target::Micromdm(micromdm) => {
            format!("{server}, in the place of MicroMDM at {}", micromdm.url)
        }
        Target::Observe(observe) => format!("{server}, in the place of {}", observe.url),
    }
}
