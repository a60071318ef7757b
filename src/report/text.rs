//! The report on a terminal: what completed, how long it took, who was responsible, what is pending
//! and why.

mod waits;

use std::fmt::Write as _;

use super::expect::ExpectationResult;
use super::latency::{Latency, count, show};
use super::threshold::{ThresholdResult, Unit};
use super::validity::{ConnectionTally, Validity};
use super::{Outcome, PhaseReport, Report, finding};
pub(super) use waits::{reasons, shares};

/// Whether words that matter are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// ANSI colours, for a terminal.
    Ansi,
    /// Text alone, for `NO_COLOR`, files and pipes.
    Plain,
}

impl Paint {
    fn good(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(super) fn doubtful(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    pub(super) fn heading(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// The report as text of about 40 lines.
pub fn render(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    banner(&mut text, report, paint);
    commands(&mut text, report, paint);
    latencies(&mut text, report, paint);
    enrolling(&mut text, report, paint);
    phases(&mut text, report, paint);
    waits::pending(&mut text, report, paint);
    waits::slow(&mut text, report, paint);
    waits::failed(&mut text, report, paint);
    finding::write(&mut text, report, paint);
    expectations(&mut text, report, paint);
    thresholds(&mut text, report, paint);
    health(&mut text, report, paint);
    notes(&mut text, report, paint);
    text
}

fn banner(text: &mut String, report: &Report, paint: Paint) {
    let outcome = match report.outcome {
        Outcome::Pass => paint.good("PASS"),
        Outcome::Fail => paint.bad("FAIL"),
    };
    let validity = validity(report.validity, paint);
    line(
        text,
        &format!(
            " {outcome}  exit {}  run {validity}  {}  {} devices  {}",
            report.exit_code,
            report.scenario,
            count(report.devices.planned),
            show(Some(report.duration_ms)),
        ),
    );
    line(text, &format!(" {}", report.sentence));
    let hash: String = report.plan_hash.chars().take(12).collect();
    line(
        text,
        &format!(
            " target {}  seed {}  plan {hash}  mdmstorm {}",
            report.target, report.seed, report.version
        ),
    );
}

fn validity(validity: Validity, paint: Paint) -> String {
    match validity {
        Validity::Valid => paint.good("VALID"),
        Validity::Suspect => paint.doubtful("SUSPECT"),
        Validity::Invalid => paint.bad("INVALID"),
    }
}

fn commands(text: &mut String, report: &Report, paint: Paint) {
    heading(text, paint, "commands");
    let row = |name: &str, devices: &super::Devices, commands: &super::Commands| {
        vec![
            name.to_owned(),
            format!("{}/{}", count(devices.enrolled), count(devices.planned)),
            commands.ordered.map_or_else(|| "-".to_owned(), count),
            count(commands.completed),
            count(commands.failed),
            count(commands.rejected),
            count(commands.cancelled),
            count(commands.pending),
        ]
    };
    let head = "cohort|enrolled|ordered|completed|failed|rejected|cancelled|pending";
    let mut rows = vec![cells(head)];
    for (name, cohort) in &report.cohorts {
        rows.push(row(name, &cohort.devices, &cohort.commands));
    }
    if report.cohorts.len() != 1 {
        rows.push(row("all", &report.devices, &report.commands));
    }
    table(text, &rows);
    let pushes = &report.pushes;
    line(
        text,
        &format!(
            "   pushes: {} received, {} delivered, {} coalesced, {} rejected",
            count(pushes.received),
            count(pushes.delivered),
            count(pushes.coalesced),
            count(pushes.rejected),
        ),
    );
    let gone = [
        (pushes.unanswered, "unanswered"),
        (pushes.discarded, "discarded"),
        (pushes.ignored, "ignored"),
        (pushes.lost, "lost"),
    ];
    let gone = gone.iter().filter(|(number, _)| *number > 0);
    let gone: Vec<String> = gone
        .map(|(number, what)| format!("{} {what}", count(*number)))
        .collect();
    if !gone.is_empty() {
        line(text, &format!("           {}", gone.join(", ")));
    }
    for (why, number) in &report.providers_cut {
        let number = count(*number);
        line(
            text,
            &format!("           {number} providers cut off: {why}"),
        );
    }
    if pushes.reported_accepted + pushes.reported_failed > 0 {
        line(
            text,
            &format!(
                "           the target reports {} accepted, {} failed",
                count(pushes.reported_accepted),
                count(pushes.reported_failed),
            ),
        );
    }
}

fn latencies(text: &mut String, report: &Report, paint: Paint) {
    heading(text, paint, "latency");
    let mut rows = vec![cells("|n|p50|p90|p99|max")];
    let latency = &report.latency;
    rows.push(numbers("push to completion", &latency.push_to_completion));
    rows.push(numbers(
        "last push to completion",
        &latency.last_push_to_completion,
    ));
    rows.push(numbers("server time", &latency.server_time));
    rows.push(numbers("enrolment", &report.enrollment));
    table(text, &rows);
    let without = report.commands.completed_without_push;
    if without > 0 {
        let n = count(without);
        line(
            text,
            &format!("   {n} completed without a push and are in no push latency"),
        );
    }
}

/// The most kinds of failures that are shown.
const FAILURES_SHOWN: usize = 8;

fn enrolling(text: &mut String, report: &Report, paint: Paint) {
    let Some(enrolling) = &report.enrolling else {
        return;
    };
    heading(text, paint, "enrolment");
    let mut rows = vec![cells("|n|p50|p90|p99|max|worst")];
    for step in &enrolling.steps {
        let mut row = numbers(&step.step, &step.latency);
        row.push(format!("device {}", step.worst_device));
        rows.push(row);
    }
    if rows.len() > 1 {
        table(text, &rows);
    }
    let mut said = enrolling.identities();
    if let Some(rate) = enrolling.per_second {
        said.insert(0, format!("{rate:.0} devices enrolled per second"));
    }
    if !said.is_empty() {
        line(text, &format!("   {}", said.join("; ")));
    }
    for failure in enrolling.failures.iter().take(FAILURES_SHOWN) {
        let (number, reason) = (count(failure.count), paint.doubtful(&failure.reason));
        line(
            text,
            &format!("   {number:>6}  {reason}  at {}", failure.step),
        );
        line(text, &format!("           {}", failure.example));
    }
    if let Some(more) = enrolling.failures.len().checked_sub(FAILURES_SHOWN)
        && more > 0
    {
        line(text, &format!("   and {more} more kinds of failures"));
    }
}

fn phases(text: &mut String, report: &Report, paint: Paint) {
    if report.latency.phases.is_empty() {
        return;
    }
    heading(text, paint, "phases");
    let mut rows = vec![cells("|n|p50|p90|p99|max|owner")];
    for (phase, report) in &report.latency.phases {
        let mut row = numbers(phase.name(), &report.latency);
        row.push(owners(report));
        rows.push(row);
    }
    table(text, &rows);
    line(
        text,
        "   percentiles of phases do not add up to those of the whole",
    );
}

/// Who is responsible for a phase, the one with the most time first.
pub(super) fn owners(phase: &PhaseReport) -> String {
    let mut owners: Vec<_> = phase.owners_ms.iter().collect();
    owners.sort_by(|one, other| other.1.total_cmp(one.1));
    let total: f64 = phase.owners_ms.values().sum();
    let shares: Vec<String> = owners
        .iter()
        .map(|(owner, ms)| match owners.len() {
            1 => (*owner).clone(),
            _ => format!("{owner} {:.0} %", **ms / total * 100.0),
        })
        .collect();
    shares.join(", ")
}

fn expectations(text: &mut String, report: &Report, paint: Paint) {
    if report.expectations.is_empty() {
        return;
    }
    heading(text, paint, "expectations");
    for result in &report.expectations {
        let (expression, found) = (&result.expression, found(result));
        let verdict = if result.passed {
            paint.good("ok    ")
        } else {
            paint.bad("failed")
        };
        line(text, &format!("   {verdict}  {expression}  ({found})"));
        if !result.instead.is_empty() {
            line(text, &format!("           there were: {}", result.instead));
        }
    }
}

/// What was observed of an expectation.
pub(super) fn found(result: &ExpectationResult) -> String {
    match result.observed {
        None => "not observed".to_owned(),
        Some(observed) => format!("{} of {}", count(observed), count(result.ordered)),
    }
}

fn thresholds(text: &mut String, report: &Report, paint: Paint) {
    if report.thresholds.is_empty() {
        return;
    }
    heading(text, paint, "thresholds");
    for result in &report.thresholds {
        let verdict = if result.passed {
            paint.good("ok    ")
        } else {
            paint.bad("missed")
        };
        let observed = observed(result);
        line(
            text,
            &format!("   {verdict}  {}  ({observed})", result.expression),
        );
    }
}

/// What was observed, with its unit.
pub(super) fn observed(result: &ThresholdResult) -> String {
    match (result.observed, result.unit) {
        (None, _) => "no sample".to_owned(),
        (Some(ms), Unit::Ms) => show(Some(ms)),
        (Some(value), Unit::Count) => format!("{value:.0}"),
        (Some(value), Unit::Share) => format!("{:.2} %", value * 100.0),
    }
}

fn health(text: &mut String, report: &Report, paint: Paint) {
    heading(text, paint, "health");
    let health = &report.health;
    line(
        text,
        &format!(
            "   lateness p99 {}  cpu {:.0} %  dropped {}  sockets at most {}  pace {:.1} %",
            show(Some(health.lateness_p99_ms)),
            health.cpu_percent,
            count(health.dropped_events),
            count(health.open_sockets_max),
            health.achieved_share * 100.0,
        ),
    );
    let ConnectionTally {
        all,
        http2,
        resumed,
    } = health.connections;
    if http2 + resumed > 0 {
        let (all, http2, resumed) = (count(all), count(http2), count(resumed));
        line(
            text,
            &format!("   {all} connections, {http2} over HTTP/2, {resumed} with a resumed session"),
        );
    }
    for signal in &health.signals {
        let verdict = validity(signal.verdict, paint);
        let (name, sentence) = (&signal.name, &signal.sentence);
        line(text, &format!("   {verdict}  {name}: {sentence}"));
        line(text, &format!("           try: {}", signal.advice));
    }
}

fn notes(text: &mut String, report: &Report, paint: Paint) {
    if !report.caveats.is_empty() {
        heading(text, paint, "caveats");
        for caveat in &report.caveats {
            line(text, &format!("   {}: {}", caveat.name, caveat.sentence));
        }
    }
    if !report.bundle.is_empty() {
        let path = &report.bundle;
        line(text, "");
        line(text, &format!(" {path}/report.html"));
    }
}

/// The row of a latency.
fn numbers(name: &str, latency: &Latency) -> Vec<String> {
    vec![
        name.to_owned(),
        count(latency.count),
        show(latency.p50_ms),
        show(latency.p90_ms),
        show(latency.p99_ms),
        show(latency.max_ms),
    ]
}

fn cells(row: &str) -> Vec<String> {
    row.split('|').map(ToOwned::to_owned).collect()
}

/// Rows in columns; all but words are right-aligned: the first column, and a seventh of owners.
fn table(text: &mut String, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let lengths = rows.iter().filter_map(|row| row.get(column));
        lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let has_owner = rows
        .first()
        .is_some_and(|head| head.last().is_some_and(|it| it == "owner"));
    for row in rows {
        let mut out = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let is_word = column == 0 || (has_owner && column + 1 == columns);
            let _ = if is_word {
                write!(out, "  {cell:<width$}")
            } else {
                write!(out, "  {cell:>width$}")
            };
        }
        line(text, &out);
    }
}

fn heading(text: &mut String, paint: Paint, name: &str) {
    line(text, &format!(" {}", paint.heading(name)));
}

fn line(text: &mut String, content: &str) {
    text.push_str(content.trim_end());
    text.push('\n');
}
