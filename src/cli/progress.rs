//! Progress on standard error: a line that moves on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::print::warn;
use crate::engine::run::{Snapshot, Step};
use crate::time::SimTime;

/// How often a line is printed where lines do not move.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    kind: Kind,
    devices: u64,
    orders: u64,
    step: Option<Step>,
    printed: SimTime,
}

#[derive(Debug)]
enum Kind {
    Quiet,
    Bar(ProgressBar),
    Lines,
}

impl Progress {
    /// For a run of this size.
    pub(super) fn new(quiet: bool, devices: u64, orders: u64) -> Self {
        let kind = if quiet {
            Kind::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            Kind::Bar(bar)
        } else {
            Kind::Lines
        };
        Self {
            kind,
            devices,
            orders,
            step: None,
            printed: SimTime::ZERO,
        }
    }

    /// Shows a snapshot.
    pub(super) fn show(&mut self, snapshot: Snapshot) {
        let (name, done, of) = self.position(snapshot);
        let is_new = self.step != Some(snapshot.step);
        self.step = Some(snapshot.step);
        let line = describe(snapshot);
        match &self.kind {
            Kind::Quiet => {}
            Kind::Bar(bar) => {
                bar.set_prefix(name);
                bar.set_length(of);
                bar.set_position(done);
                bar.set_message(line);
            }
            Kind::Lines if is_new || snapshot.elapsed >= self.printed + LINE_EVERY => {
                self.printed = snapshot.elapsed;
                warn(&format!(
                    "{:>8} {name}: {line}",
                    snapshot.elapsed.to_string()
                ));
            }
            Kind::Lines => {}
        }
    }

    /// Takes the moving line away.
    pub(super) fn end(&self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }

    const fn position(&self, snapshot: Snapshot) -> (&'static str, u64, u64) {
        let progress = snapshot.progress;
        let settled = progress.completed + progress.failed + progress.rejected;
        match snapshot.step {
            Step::Enrolling => (
                "enrolling",
                progress.enrolled + progress.enrollment_failed + progress.unmanaged,
                self.devices,
            ),
            Step::Ordering => ("running", settled, self.orders),
            Step::Draining => ("draining", settled, progress.ordered),
        }
    }
}

fn describe(snapshot: Snapshot) -> String {
    let p = snapshot.progress;
    match snapshot.step {
        Step::Enrolling if p.enrollment_failed == 0 => format!("{} devices enrolled", p.enrolled),
        Step::Enrolling => {
            format!(
                "{} devices enrolled, {} failed",
                p.enrolled, p.enrollment_failed
            )
        }
        Step::Ordering | Step::Draining => {
            let mut line = format!(
                "{} ordered, {} completed, {} open, {} pushes",
                p.ordered, p.completed, p.open, p.pushes
            );
            if p.failed + p.rejected > 0 {
                line.push_str(&format!(", {} failed or rejected", p.failed + p.rejected));
            }
            line
        }
    }
}
