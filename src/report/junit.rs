//! The report as JUnit XML: one case per threshold, one per cohort, one per expectation, one per
//! rule of servers.

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::Report;
use super::text::{found, observed};
use crate::rule::Rule;

/// `junit.xml`. A cohort fails when the target owns some of its pending commands' waits or devices
/// of it did not enrol, which is what its administrator would ask first.
///
/// # Panics
///
/// Never: the document is written to memory.
pub fn render(report: &Report) -> String {
    let mut thresholds = TestSuite::new("thresholds");
    for result in &report.thresholds {
        let status = if result.passed {
            TestCaseStatus::success()
        } else {
            failure(&format!("observed {}", observed(result)))
        };
        thresholds.add_test_case(case(&result.expression, "thresholds", status));
    }
    let mut expectations = TestSuite::new("expectations");
    for result in &report.expectations {
        let status = if result.passed {
            TestCaseStatus::success()
        } else {
            failure(&format!(
                "{}; there were: {}",
                found(result),
                result.instead
            ))
        };
        expectations.add_test_case(case(&result.expression, "expectations", status));
    }
    let mut cohorts = TestSuite::new("cohorts");
    for (name, cohort) in &report.cohorts {
        let (devices, commands) = (&cohort.devices, &cohort.commands);
        let status = if devices.enrollment_failed > 0 {
            failure(&format!(
                "{} of {} devices did not enrol",
                devices.enrollment_failed, devices.planned
            ))
        } else if commands.pending > 0 && cohort.pending_of_target > 0 {
            failure(&format!(
                "{} of {} pending commands wait for the target",
                cohort.pending_of_target, commands.pending
            ))
        } else {
            TestCaseStatus::success()
        };
        let mut case = case(name, "cohorts", status);
        case.set_system_out(format!(
            "{} completed, {} failed, {} rejected, {} pending",
            commands.completed, commands.failed, commands.rejected, commands.pending
        ));
        cohorts.add_test_case(case);
    }
    let mut rules = TestSuite::new("rules");
    for rule in Rule::ALL {
        let found = report.findings.iter().find(|it| it.rule == rule.name());
        let status = match found {
            Some(finding) if finding.is_new() => failure(&finding.line()),
            Some(_) | None => TestCaseStatus::success(),
        };
        rules.add_test_case(case(rule.name(), "rules", status));
    }
    let mut document = Document::new(format!("mdmstorm {}", report.scenario));
    if !report.expectations.is_empty() {
        document.add_test_suite(expectations);
    }
    document.add_test_suites([thresholds, cohorts, rules]);
    document
        .to_string()
        .expect("a document that is written to memory does not fail")
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}

fn failure(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message);
    status
}
