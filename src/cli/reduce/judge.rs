//! Whether a candidate shows the finding: it is played, on virtual time or against its target.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{ReduceArgs, Source};
use crate::cli::args::{RealArgs, StateArgs, TraceArgs};
use crate::cli::print::{Stop, warn};
use crate::cli::{load, run};
use crate::engine::bundle::Bundle;
use crate::engine::reset;
use crate::engine::run::{Finished, Halt, Settings, execute, prepare};
use crate::finding::{Finding, Findings};
use crate::plan::Plan;
use crate::reduce::{Candidate, Cost, Outcome, Rate};
use crate::report::exit::Exit;
use crate::rule::Rule;
use crate::scenario::{Scenario, Target};
use crate::seed::Seed;
use crate::sim;

/// What the runs of a candidate have shown.
#[derive(Debug)]
pub(super) enum Seen {
    /// The finding, with this seed.
    Shows { seed: u64, finding: Finding },
    /// Not this one; those there were in the last run.
    Others(Findings),
    /// The last run did not come to its end; why.
    Unclear(String),
    /// A signal came first.
    Stopped,
}

impl Seen {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Shows { seed, .. } => Outcome::Shows { seed: *seed },
            Self::Others(_) => Outcome::DoesNot,
            Self::Unclear(_) | Self::Stopped => Outcome::Unclear,
        }
    }

    /// For progress lines and messages.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Shows { .. } => "shows it".to_owned(),
            Self::Others(findings) if findings.counts.is_empty() => "nothing found".to_owned(),
            Self::Others(findings) => {
                let counts = findings.counts.iter();
                let counts = counts.map(|(rule, count)| format!("{} ({count})", rule.name()));
                format!("only {}", counts.collect::<Vec<_>>().join(", "))
            }
            Self::Unclear(why) => format!("unclear: {why}"),
            Self::Stopped => "stopped".to_owned(),
        }
    }
}

/// What the last runs of all have shown.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) rate: Rate,
    pub(super) other_seeds: Option<Rate>,
    pub(super) finding: Option<Finding>,
}

/// Who plays candidates.
pub(super) struct Judge<'a> {
    args: &'a ReduceArgs,
    folder: PathBuf,
    /// What real runs need; `None` on virtual time.
    real: Option<Real>,
    /// The events of the original's longest run: what is far beyond it goes in circles.
    events: u64,
    place: String,
}

/// What real runs need.
struct Real {
    settings: Settings,
    /// Where bundles of single runs are written, and removed again.
    scratch: PathBuf,
    runs: u32,
}

/// How many times the events of the original's run a candidate's may have, and how many at least.
const EVENTS_FACTOR: u64 = 2;
const EVENTS_LEAST: u64 = 2_000_000;

/// Between two looks at signals, in events.
const EVENTS_PER_LOOK: u64 = 65_536;

impl<'a> Judge<'a> {
    pub(super) fn on_virtual_time(args: &'a ReduceArgs, source: &Source) -> Self {
        Self {
            args,
            folder: source.folder.clone(),
            real: None,
            events: 0,
            place: "the bundled server on virtual time".to_owned(),
        }
    }

    /// # Errors
    /// When there is no folder for keys.
    pub(super) fn in_real_time(args: &'a ReduceArgs, source: &Source) -> Result<Self, Stop> {
        let scenario = source.candidate.scenario();
        let real = RealArgs {
            out: None,
            state: StateArgs {
                state: args.state.state.clone(),
            },
            workers: None,
            trace: TraceArgs::default(),
            handshakes_in_flight: 32,
            quiet: true,
            allow_public_target: args.allow_public_target,
        };
        let is_embedded = matches!(scenario.target, Target::Embedded(_));
        let settings = Settings {
            drain: args.drain,
            // Queues of a target that is not reset belong to devices that it has seen before.
            fresh_devices: scenario.reset.is_empty() && !is_embedded,
            ..run::settings(&real, scenario)?
        };
        let mut scratch = args.out.clone().into_os_string();
        scratch.push(".runs");
        let place = match &scenario.target {
            Target::Embedded(_) => "the bundled server in real time".to_owned(),
            Target::Nanomdm(it) => format!("NanoMDM at {} in real time", it.url),
            Target::Micromdm(it) => format!("MicroMDM at {} in real time", it.url),
            Target::Observe(it) => format!("{} in real time", it.url),
        };
        if !scenario.reset.is_empty() {
            warn(&format!("before each run: {}", scenario.reset.join(" ")));
        }
        Ok(Self {
            args,
            folder: source.folder.clone(),
            real: Some(Real {
                settings,
                scratch: scratch.into(),
                runs: 0,
            }),
            events: 0,
            place,
        })
    }

    /// Against what candidates are played, for people.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) const fn cost(&self) -> Cost {
        match self.real {
            None => Cost::Little,
            Some(_) => Cost::Much,
        }
    }

    pub(super) const fn usual_runs(&self) -> u32 {
        match self.real {
            None => 10,
            Some(_) => 5,
        }
    }

    /// The command line that shows what is in `out`.
    pub(super) fn command(&self, out: &Path) -> String {
        let verb = if self.real.is_none() {
            "rehearse"
        } else {
            "run"
        };
        let mut command = format!("mdmstorm {verb} {}", out.display());
        if self.args.drain != Duration::from_secs(60) {
            let drain = crate::scenario::written(self.args.drain).replace(' ', "");
            command += &format!(" --drain {drain}");
        }
        command
    }

    /// Plays a candidate until it shows the finding, at most `runs` times; on virtual time with one
    /// seed after another, because each run of a seed is the same.
    pub(super) async fn look(
        &mut self,
        candidate: &Candidate,
        runs: u32,
        stopped: &mut mpsc::Receiver<()>,
    ) -> Result<Seen, Stop> {
        let mut last = Seen::Stopped;
        let seed = candidate.scenario().seed.0;
        for number in 0..u64::from(runs) {
            if stopped.try_recv().is_ok() {
                return Ok(Seen::Stopped);
            }
            let seed = match self.real {
                None => seed.wrapping_add(number),
                Some(_) => seed,
            };
            last = self.play(candidate, seed, Some(&mut *stopped)).await?;
            if matches!(last, Seen::Shows { .. } | Seen::Stopped) {
                break;
            }
        }
        Ok(last)
    }

    /// Plays the result `runs` times, and on virtual time as often with other seeds.
    pub(super) async fn rate(&mut self, candidate: &Candidate, runs: u32) -> Result<Last, Stop> {
        let seed = candidate.scenario().seed.0;
        let mut last = Last {
            rate: Rate { shown: 0, runs },
            other_seeds: self.real.is_none().then_some(Rate { shown: 0, runs }),
            finding: None,
        };
        for number in 0..u64::from(runs) {
            if let Seen::Shows { finding, .. } = self.play(candidate, seed, None).await? {
                last.rate.shown += 1;
                last.finding.get_or_insert(finding);
            }
            if let Some(others) = &mut last.other_seeds {
                let other = seed.wrapping_add(number + 1);
                let seen = self.play(candidate, other, None).await?;
                others.shown += u32::from(matches!(seen, Seen::Shows { .. }));
            }
        }
        Ok(last)
    }

    /// One run.
    async fn play(
        &mut self,
        candidate: &Candidate,
        seed: u64,
        stopped: Option<&mut mpsc::Receiver<()>>,
    ) -> Result<Seen, Stop> {
        let mut scenario = candidate.scenario().clone();
        scenario.seed = Seed(seed);
        scenario.locate(&self.folder);
        let plan = load::plan(&scenario, &self.folder.join("scenario.toml"))?;
        if self.real.is_some() {
            self.play_really(&scenario, plan, stopped).await
        } else {
            Ok(self.play_virtually(&scenario, plan, stopped))
        }
    }

    fn play_virtually(
        &mut self,
        scenario: &Scenario,
        plan: Plan,
        mut stopped: Option<&mut mpsc::Receiver<()>>,
    ) -> Seen {
        let drain = self.args.drain.mul_f64(scenario.time_scale);
        let settings = sim::Settings {
            drain,
            ..sim::Settings::default()
        };
        let settings = settings.outlasting(plan.length() + drain);
        let mut world = sim::World::new(scenario, Arc::new(plan), settings);
        let is_first = self.events == 0;
        let most = (self.events * EVENTS_FACTOR).max(EVENTS_LEAST);
        while world.step().is_some() {
            // Servers may go in circles for ever: what was looked for is enough.
            let rule = self.args.finding;
            if is_final(rule)
                && let Some(seen) = shown(rule, scenario.seed.0, world.findings())
            {
                self.events = self.events.max(world.events());
                return seen;
            }
            if !world.events().is_multiple_of(EVENTS_PER_LOOK) {
                continue;
            }
            if stopped.as_mut().is_some_and(|it| it.try_recv().is_ok()) {
                return Seen::Stopped;
            }
            if !is_first && world.events() > most {
                return Seen::Unclear(format!("more than {most} events"));
            }
        }
        let finished = world.finish();
        self.events = self.events.max(finished.events);
        let why = finished
            .enrollment_failed
            .then(|| "devices could not enrol".to_owned());
        seen(self.args.finding, scenario.seed.0, finished.findings, why)
    }

    async fn play_really(
        &mut self,
        scenario: &Scenario,
        plan: Plan,
        stopped: Option<&mut mpsc::Receiver<()>>,
    ) -> Result<Seen, Stop> {
        let real = self.real.as_mut().expect("asked for real runs only");
        if !scenario.reset.is_empty() {
            let done = reset::reset(&scenario.reset, &self.folder).await;
            done.map_err(|error| Stop::because(Exit::TargetUnreachable, error))?;
        }
        real.runs += 1;
        let folder = real.scratch.join(real.runs.to_string());
        let bundle =
            Bundle::create(&folder).map_err(|error| Stop::because(Exit::Unexpected, error))?;
        let plan = Arc::new(plan);
        let (halt, asked) = watch::channel(Halt::No);
        let playing = async {
            let prepared = prepare(scenario, &plan, &real.settings).await?;
            let (plan, settings) = (Arc::clone(&plan), &real.settings);
            execute(prepared, bundle, scenario, plan, settings, asked, |_| {}).await
        };
        let mut is_stopped = false;
        let finished = tokio::select! {
            finished = playing => finished,
            never = hear(stopped, &halt, &mut is_stopped) => match never {},
        };
        let finished = finished.map_err(run::refused);
        let seen = finished.map(|finished| {
            let why = why_unclear(&finished);
            seen(self.args.finding, scenario.seed.0, finished.findings, why)
        });
        // Both are ours: the one of this run, and what holds all of them.
        let _ = std::fs::remove_dir_all(&folder);
        let _ = std::fs::remove_dir(&real.scratch);
        let seen = seen?;
        let is_cut_short = is_stopped && !matches!(seen, Seen::Shows { .. });
        Ok(if is_cut_short { Seen::Stopped } else { seen })
    }
}

/// Hands a signal on to the run, and leaves the end to it.
async fn hear(
    stopped: Option<&mut mpsc::Receiver<()>>,
    halt: &watch::Sender<Halt>,
    is_stopped: &mut bool,
) -> Infallible {
    if let Some(stopped) = stopped
        && stopped.recv().await.is_some()
    {
        *is_stopped = true;
        halt.send_replace(Halt::Everything);
    }
    std::future::pending().await
}

fn why_unclear(finished: &Finished) -> Option<String> {
    if finished.enrollment_failed {
        return Some("devices could not enrol".to_owned());
    }
    finished
        .target_silent
        .then(|| "the target stopped answering".to_owned())
}

/// What a run shows: a finding counts even if the run ended badly.
fn seen(rule: Rule, seed: u64, findings: Findings, why_unclear: Option<String>) -> Seen {
    if let Some(shown) = shown(rule, seed, &findings) {
        return shown;
    }
    match why_unclear {
        Some(why) => Seen::Unclear(why),
        None => Seen::Others(findings),
    }
}

/// That findings have the one that is looked for, if they do.
fn shown(rule: Rule, seed: u64, findings: &Findings) -> Option<Seen> {
    let finding = findings.examples.iter().find(|it| it.rule == rule)?;
    let finding = finding.clone();
    Some(Seen::Shows { seed, finding })
}

/// Whether a finding stands once it is made. Without a single push in a whole run, that there were none
/// is nothing against the server.
fn is_final(rule: Rule) -> bool {
    rule != Rule::NoPush
}
