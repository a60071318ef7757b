//! `mdmstorm reduce`: the smallest scenario that still shows a finding.

mod judge;
mod source;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use self::judge::{Judge, Seen};
use self::source::Source;
use super::args::StateArgs;
use super::print::{Stop, say, warn};
use super::signals;
use crate::engine::clock::Clock;
use crate::reduce::{Candidate, Found, Rate, Search, Size, repro};
use crate::report::exit::Exit;
use crate::rule::Rule;
use crate::scenario::{Target, suggest};

/// What `reduce --help` ends with.
const EXAMPLES: &str = "\
Exit codes: 0 a scenario was written; 2 usage; 92 target unreachable; 104 scenario invalid;
105 stopped by a signal, and the best so far was written; 106 the scenario does not show the finding.

Examples:
  mdmstorm reduce results/2026-11-20T080000Z-7c1e55aa01b2c3d4 --finding lost-command
      On virtual time if the run's target was the embedded one, else against its target
  mdmstorm reduce scenarios/quickstart.toml --finding no-push --real --within 30m --out no-push.toml
      In real time; each try takes as long as its stages";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReduceArgs {
    /// A results bundle or a scenario that shows the finding
    #[arg(value_name = "BUNDLE|SCENARIO")]
    from: PathBuf,
    /// The rule that the server broke, by its name in reports
    #[arg(long, value_name = "RULE", value_parser = rule)]
    finding: Rule,
    /// Write the smallest scenario into this file
    #[arg(long, value_name = "FILE", default_value = "repro.toml")]
    out: PathBuf,
    /// Play candidates on virtual time against the bundled server, which has the scenario's defects
    /// [default: when the target is the embedded one]
    #[arg(long = "virtual", conflicts_with = "real")]
    is_virtual: bool,
    /// Play candidates in real time against the scenario's target [default: when it is another]
    #[arg(long)]
    real: bool,
    /// Stop the search after so long, with the smallest so far
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    within: Duration,
    /// Play the result so often, and say how often it showed the finding [default: 10 on virtual time,
    /// 5 in real time]; up to 3 of these decide about each candidate before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: Option<u32>,
    /// Wait so long for open orders after the last one, as `run` and `rehearse` do
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    drain: Duration,
    /// Print no progress
    #[arg(long, short)]
    quiet: bool,
    /// Change one value of the scenario first; may be given several times
    #[arg(long, value_name = "PATH=VALUE", help_heading = "Scenario")]
    set: Vec<String>,
    /// Draw with this seed instead of the scenario's
    #[arg(long, value_name = "N", help_heading = "Scenario")]
    seed: Option<u64>,
    #[command(flatten)]
    state: StateArgs,
    /// Allow a target outside loopback and private networks: this is a load generator
    #[arg(long)]
    allow_public_target: bool,
}

/// How many runs decide about a candidate at most, while the search goes on.
const RUNS_WHILE_SEARCHING: u32 = 3;

fn duration(text: &str) -> Result<Duration, String> {
    crate::scenario::duration(text)
}

fn rule(text: &str) -> Result<Rule, String> {
    let names = Rule::ALL.iter().map(|rule| rule.name());
    Rule::find(text).ok_or_else(|| format!("there is no such rule: {}", suggest(text, names)))
}

pub(super) fn run(args: &ReduceArgs) -> Result<u8, Stop> {
    let unexpected = |error: std::io::Error| Stop::because(Exit::Unexpected, error);
    let source = source::read(args)?;
    let is_embedded = matches!(source.candidate.scenario().target, Target::Embedded(_));
    let is_virtual = args.is_virtual || (is_embedded && !args.real);
    // A search on virtual time never waits, so signals are heard on a thread of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(unexpected)?;
    runtime.block_on(async {
        let stopped = signals::first().map_err(unexpected)?;
        let judge = if is_virtual {
            Judge::on_virtual_time(args, &source)
        } else {
            Judge::in_real_time(args, &source)?
        };
        let reducing = Reducing {
            args,
            clock: Clock::start(),
            judge,
            stopped,
        };
        reducing.carry_out(source).await
    })
}

/// A search on its way.
struct Reducing<'a> {
    args: &'a ReduceArgs,
    clock: Clock,
    judge: Judge<'a>,
    stopped: tokio::sync::mpsc::Receiver<()>,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Smallest,
    OutOfTime,
    Stopped,
}

impl Reducing<'_> {
    async fn carry_out(mut self, source: Source) -> Result<u8, Stop> {
        let rule = self.args.finding;
        let size = source.candidate.size();
        self.tell(&format!(
            "looking for the smallest scenario that shows {} against {}, from {size}",
            rule.name(),
            self.judge.place(),
        ));
        let runs = self.args.runs.unwrap_or_else(|| self.judge.usual_runs());
        let first = self
            .judge
            .look(&source.candidate, runs, &mut self.stopped)
            .await?;
        let Seen::Shows { seed, .. } = first else {
            return Err(self.not_shown(&first, runs));
        };
        let cost = self.judge.cost();
        let mut search = Search::new(source.candidate.with_seed(seed), cost);
        let end = self.search(&mut search, runs).await?;
        self.write(&source, size, &search, runs, end).await
    }

    /// Asks until there is no smaller one, or no more time.
    async fn search(&mut self, search: &mut Search, runs: u32) -> Result<End, Stop> {
        let began = self.clock.now();
        let runs = runs.min(RUNS_WHILE_SEARCHING);
        loop {
            if self.clock.now() > began + self.args.within {
                return Ok(End::OutOfTime);
            }
            let Some(candidate) = search.next() else {
                return Ok(End::Smallest);
            };
            let seen = self.judge.look(&candidate, runs, &mut self.stopped).await?;
            if let Seen::Stopped = seen {
                return Ok(End::Stopped);
            }
            let (size, words) = (candidate.size(), seen.words());
            self.tell(&format!("{:>5}  {size}: {words}", search.tries()));
            search.told(seen.outcome());
        }
    }

    /// Plays the smallest once more, as often as was asked for, and writes it.
    async fn write(
        &mut self,
        source: &Source,
        size: Size,
        search: &Search,
        runs: u32,
        end: End,
    ) -> Result<u8, Stop> {
        let best = search.best();
        let last = self.judge.rate(best, runs).await?;
        let Some(finding) = &last.finding else {
            let message = format!(
                "error: the smallest scenario showed {} before, and in none of {runs} runs any more; \
                 try again with more --runs",
                self.args.finding.name()
            );
            return Err(Stop::new(Exit::NotComparable, message));
        };
        let command = self.judge.command(&self.args.out);
        let notes: Vec<String> = self.notes(end);
        let from = self.args.from.display().to_string();
        let found = Found {
            finding,
            about: self.args.finding.meaning(),
            source: self.args.finding.source(),
            from: &from,
            size,
            tries: search.tries(),
            target: self.judge.place(),
            rate: last.rate,
            other_seeds: last.other_seeds,
            command: &command,
            notes: &notes,
        };
        let out = &self.args.out;
        let moved = source.moved_to(best, out);
        let text = repro(moved.as_ref().unwrap_or(best), &found);
        std::fs::write(out, text).map_err(|error| {
            let message = format!("error: cannot write {}: {error}", out.display());
            Stop::new(Exit::Unexpected, message)
        })?;
        self.say_result(best, last.rate, &command);
        Ok(match end {
            End::Smallest | End::OutOfTime => 0,
            End::Stopped => Exit::Interrupted.code(),
        })
    }

    fn say_result(&self, best: &Candidate, rate: Rate, command: &str) {
        let size = best.size();
        let seconds = self
            .clock
            .now()
            .since(crate::time::SimTime::ZERO)
            .as_secs_f64();
        say(&format!(
            "{} with {size}, in {} of {} runs, after {seconds:.1} s: {}\n\
             to see it: {command}",
            self.args.finding.name(),
            rate.shown,
            rate.runs,
            self.args.out.display(),
        ));
    }

    /// What a reader of the result should know beside the numbers.
    fn notes(&self, end: End) -> Vec<String> {
        let early = match end {
            End::Smallest => None,
            End::OutOfTime => Some("The search ran out of time: there may be a smaller one."),
            End::Stopped => Some("The search was stopped: there may be a smaller one."),
        };
        early.map(str::to_owned).into_iter().collect()
    }

    fn not_shown(&self, seen: &Seen, runs: u32) -> Stop {
        let name = self.args.finding.name();
        let message = match seen {
            Seen::Stopped => {
                return Stop::new(Exit::Interrupted, "stopped before the finding was seen");
            }
            Seen::Unclear(why) => format!("error: no run came to its end: {why}"),
            Seen::Shows { .. } | Seen::Others(_) => {
                let (from, others) = (self.args.from.display(), seen.words());
                let place = self.judge.place();
                format!(
                    "error: {from} does not show {name} in {runs} runs against {place}: {others}; give \
                     --finding another rule, more --runs, another --seed, or try --real"
                )
            }
        };
        Stop::new(Exit::NotComparable, message)
    }

    fn tell(&self, line: &str) {
        if !self.args.quiet {
            warn(line);
        }
    }
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
