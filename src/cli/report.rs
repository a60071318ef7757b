//! `mdmstorm report`: the report of a bundle, made again from its facts.

use std::path::Path;
use std::time::Duration;

use super::args::ReportArgs;
use super::finish::{Told, caveats, planned, planted};
use super::print::{Stop, paint, say, warn};
use crate::engine::bundle::Recorded;
use crate::engine::bundle::analysis::Analysis;
use crate::engine::bundle::manifest::Played;
use crate::engine::bundle::recorded::ReadError;
use crate::report::caveat::Caveat;
use crate::report::evidence;
use crate::report::exit::Exit;
use crate::report::validity::Health;
use crate::report::{Report, RunFacts, html, junit, text};

pub(super) fn run(args: &ReportArgs) -> Result<u8, Stop> {
    let recorded = open(&args.bundle)?;
    let analysis = Analysis::of(&recorded, |_| {}).map_err(unreadable)?;
    warn_of_cut(&analysis);
    if args.findings {
        say(&evidence::render(&analysis.findings, paint()));
        let is_clean = analysis.findings.counts.values().all(|count| *count == 0);
        return Ok(if is_clean { 0 } else { Exit::Findings.code() });
    }
    let report = report(&recorded, &analysis);
    let page = |it: &Report| html::render(it, &analysis.account.intervals);
    for (file, form) in [
        (&args.json, &Report::json as &dyn Fn(&Report) -> String),
        (&args.html, &page),
        (&args.junit, &junit::render),
    ] {
        if let Some(file) = file {
            write(file, &form(&report))?;
        }
    }
    if ![&args.json, &args.html, &args.junit].contains(&&Some(STDOUT.into())) {
        say(&text::render(&report, paint()));
    }
    Ok(report.exit_code)
}

/// Opens a bundle.
pub(super) fn open(folder: &Path) -> Result<Recorded, Stop> {
    Recorded::open(folder).map_err(unreadable)
}

/// A folder that is none, or of another version, is the command line's mistake.
pub(super) fn unreadable(error: ReadError) -> Stop {
    let exit = match error {
        ReadError::NoBundle { .. }
        | ReadError::NotBegun { .. }
        | ReadError::Version { .. }
        | ReadError::OtherPlan { .. } => Exit::Usage,
        ReadError::File { .. }
        | ReadError::Manifest { .. }
        | ReadError::Scenario { .. }
        | ReadError::Log(_) => Exit::Unexpected,
    };
    Stop::because(exit, error)
}

/// Says that facts are missing.
pub(super) fn warn_of_cut(analysis: &Analysis) {
    if analysis.is_cut {
        warn("warning: the last frame of the event log is not whole; what it held is missing");
    }
}

/// The report of a bundle: from its facts, and what no fact has from what the run wrote down.
fn report(recorded: &Recorded, analysis: &Analysis) -> Report {
    let (manifest, account) = (&recorded.manifest, &analysis.account);
    let told = Told::of_manifest(manifest, &recorded.plan, recorded.run);
    let end = manifest.end.as_ref();
    let is_virtual = manifest.played == Played::Virtual;
    let mut health = health(recorded);
    let whole = !is_virtual
        && end.is_some_and(|it| !it.interrupted && !it.enrollment_failed && !it.target_silent);
    health.achieved = account.tally(|_, _| true).ordered;
    health.planned = planned(account, &recorded.plan, whole);
    let mut caveats = if is_virtual {
        let virtually = [Caveat::VirtualTime].into_iter();
        virtually.chain(planted(&recorded.scenario)).collect()
    } else {
        caveats(account, &recorded.scenario, health.target_cpu)
    };
    if end.is_none() {
        let why = "The run was killed: what it did last is missing, and nothing is known of its \
                   health.";
        caveats.push(Caveat::Other("killed", why.to_owned()));
    }
    if analysis.is_cut {
        let why = "The last frame of the event log is not whole; what it held is missing.";
        caveats.push(Caveat::Other("log-cut", why.to_owned()));
    }
    let facts = RunFacts {
        interrupted: end.is_some_and(|end| end.interrupted),
        incomplete: end.is_none(),
        target_unreachable: end.is_some_and(|end| end.target_silent),
        enrollment_failed: end.is_some_and(|end| end.enrollment_failed),
        health,
        caveats,
        findings: analysis.findings.clone(),
        bundle: recorded.folder.display().to_string(),
        // Of the commands themselves, not only of their request types.
        plan_hash: manifest.plan_hash.clone(),
        ..told.facts(&recorded.scenario, &recorded.plan)
    };
    Report::new(account, &facts)
}

/// What the run said of itself: no fact has that.
fn health(recorded: &Recorded) -> Health {
    let Some(told) = &recorded.health else {
        return Health::default();
    };
    let span = |ms: f64| Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or_default();
    Health {
        cpu_percent: told.cpu_percent,
        dropped_events: told.dropped_events,
        open_sockets_max: told.open_sockets_max,
        connections: told.connections,
        cpu: told.cpu_ms.map(span),
        target_cpu: told.target_cpu_ms.map(span),
        ..Health::default()
    }
}

/// What stands for standard output where a file is asked for.
const STDOUT: &str = "-";

/// Writes a form of the report.
fn write(file: &Path, text: &str) -> Result<(), Stop> {
    if file == Path::new(STDOUT) {
        say(text);
        return Ok(());
    }
    std::fs::write(file, text).map_err(|error| {
        let message = format!("error: cannot write {}: {error}", file.display());
        Stop::new(Exit::Unexpected, message)
    })
}
