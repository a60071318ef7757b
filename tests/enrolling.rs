//! How devices enrolled, from facts to every form of the report.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use mdmstorm::fact::{Broken, Fact, FactKind, Got, IdentityStep, Obtaining, Refusal, Said, Stamps};
use mdmstorm::ids::{Channel, DeviceId, OrderBook, RunId};
use mdmstorm::metric::{Aggregate, Limit, Metric, Threshold};
use mdmstorm::record::Ledger;
use mdmstorm::record::setup::{CohortInfo, Orderer, Setup};
use mdmstorm::report::enrolling::EnrollmentReport;
use mdmstorm::report::text::Paint;
use mdmstorm::report::{Report, RunFacts, html, text};
use mdmstorm::time::SimTime;

const DEVICES: u32 = 20;

fn ms(millis: u64) -> SimTime {
    SimTime::from_micros(millis * 1_000)
}

/// The report of a run of these facts, and nothing else.
fn report(facts: &[(u64, FactKind)], thresholds: Vec<Threshold>) -> Report {
    let mut ledger = Ledger::new(Setup {
        cohorts: vec![CohortInfo {
            name: "pads".to_owned(),
            devices: DEVICES,
        }],
        stages: Vec::new(),
        requests: Vec::new(),
        orders: Vec::new(),
        book: OrderBook::new(RunId([7; 16]), 0),
        orderer: Orderer::Operator,
    });
    for (at, kind) in facts {
        let kind = kind.clone();
        ledger.record(&Fact { at: ms(*at), kind });
    }
    let run = RunFacts {
        thresholds,
        ..RunFacts::default()
    };
    Report::new(&ledger.finish(ms(60_000)), &run)
}

fn step(
    device: u32,
    step: IdentityStep,
    [since, until]: [u64; 2],
    failed: Option<(&str, &str)>,
) -> FactKind {
    FactKind::IdentityStep {
        device: DeviceId(device),
        step,
        since: ms(since),
        until: ms(until),
        failed: failed.map(|(name, what)| Refusal {
            name: name.to_owned(),
            what: what.to_owned(),
        }),
    }
}

fn obtained(device: u32, why: Obtaining) -> FactKind {
    FactKind::IdentityObtained {
        device: DeviceId(device),
        why,
        since: SimTime::ZERO,
    }
}

fn exchange(device: u32, said: Said, got: Got, [permitted, read]: [u64; 2]) -> FactKind {
    FactKind::Exchange {
        channel: Channel::device(DeviceId(device)),
        said,
        stamps: Stamps {
            asked: SimTime::ZERO,
            permitted: ms(permitted),
            read: ms(read),
            ..Stamps::default()
        },
        got,
    }
}

fn enrolled(device: u32, since: u64) -> FactKind {
    FactKind::Enrolled {
        device: DeviceId(device),
        since: ms(since),
    }
}

/// A device that gets its certificate in 100 ms times its number, and enrols with it.
fn smooth(device: u32) -> Vec<(u64, FactKind)> {
    let long = u64::from(device) * 100;
    vec![
        (15, step(device, IdentityStep::CaCertificate, [0, 10], None)),
        (
            10 + long,
            step(device, IdentityStep::PkiOperation, [10, 10 + long], None),
        ),
        (10 + long, obtained(device, Obtaining::Enroll)),
        (
            20 + long,
            exchange(
                device,
                Said::Authenticate,
                Got::Empty,
                [10 + long, 20 + long],
            ),
        ),
        (
            25 + long,
            exchange(
                device,
                Said::TokenUpdate,
                Got::Empty,
                [20 + long, 25 + long],
            ),
        ),
        (25 + long, enrolled(device, 0)),
        // Token rotation later on is no enrolment.
        (
            9_000,
            exchange(device, Said::TokenUpdate, Got::Empty, [8_000, 9_000]),
        ),
    ]
}

fn steps(enrolling: &EnrollmentReport) -> Vec<(&str, u64, f64, u32)> {
    let steps = enrolling.steps.iter();
    steps
        .map(|it| {
            let max = it.latency.max_ms.unwrap();
            (
                it.step.as_str(),
                it.latency.count,
                max.round(),
                it.worst_device,
            )
        })
        .collect()
}

#[test]
fn each_step_has_its_latencies_and_the_device_it_took_longest() {
    let facts: Vec<_> = (0..10).flat_map(smooth).collect();
    let report = report(&facts, Vec::new());
    let enrolling = report.enrolling.as_ref().unwrap();
    let found = steps(enrolling);
    let names: Vec<_> = found.iter().map(|it| it.0).collect();
    assert_eq!(
        names,
        [
            "ca-certificate",
            "pki-operation",
            "authenticate",
            "token-update"
        ]
    );
    assert!(found.iter().all(|it| it.1 == 10), "{found:?}");
    assert_eq!((found[1].2, found[1].3), (900.0, 9));
    assert_eq!(found[3].2, 5.0);
    assert_eq!((enrolling.obtained, enrolling.burnt), (10, 0));
    assert_eq!(report.enrollment.count, 10);
    // The first set out at 0, the last was enrolled at 925 ms.
    assert_eq!(enrolling.per_second.unwrap().round(), 11.0);
}

#[test]
fn failures_are_counted_by_step_and_reason_with_the_first_as_the_example() {
    let refused = Some(("challenge-refused", "badRequest <2>"));
    let facts = vec![
        (10, step(3, IdentityStep::PkiOperation, [0, 10], refused)),
        (20, step(4, IdentityStep::PkiOperation, [0, 20], refused)),
        (30, obtained(5, Obtaining::Enroll)),
        (
            40,
            exchange(5, Said::Authenticate, Got::Status(500), [30, 40]),
        ),
        (
            50,
            exchange(6, Said::Authenticate, Got::Lost(Broken::TimedOut), [40, 50]),
        ),
    ];
    let report = report(&facts, Vec::new());
    let enrolling = report.enrolling.as_ref().unwrap();
    let failures: Vec<_> = enrolling
        .failures
        .iter()
        .map(|it| {
            (
                it.step.as_str(),
                it.reason.as_str(),
                it.count,
                it.example.as_str(),
            )
        })
        .collect();
    assert_eq!(
        failures,
        [
            (
                "pki-operation",
                "challenge-refused",
                2,
                "device 3: badRequest <2>"
            ),
            (
                "authenticate",
                "http-status",
                1,
                "device 5: the target answered 500"
            ),
            (
                "authenticate",
                "timed-out",
                1,
                "device 6: the target did not answer in time"
            ),
        ]
    );
    let shown = text::render(&report, Paint::Plain);
    assert!(
        shown.contains("     2  challenge-refused  at pki-operation\n"),
        "{shown}"
    );
    let page = html::render(&report, &[]);
    assert!(page.contains("<h2>Enrolment</h2>") && page.contains("badRequest &#60;2&#62;"));
}

#[test]
fn an_identity_that_nobody_enrolled_with_is_burnt() {
    let facts = vec![
        // Got twice, enrolled with once.
        (10, obtained(0, Obtaining::Enroll)),
        (20, obtained(0, Obtaining::Enroll)),
        (30, enrolled(0, 0)),
        // Got, and then given up.
        (40, obtained(1, Obtaining::Enroll)),
        (
            50,
            FactKind::EnrollmentFailed {
                device: DeviceId(1),
                reason: "the target answered 403".into(),
            },
        ),
        // Got, and still trying at the end.
        (60, obtained(2, Obtaining::Enroll)),
        // A renewal is none of them.
        (70, obtained(0, Obtaining::Renew)),
        (80, obtained(3, Obtaining::Clone)),
        (
            90,
            FactKind::Resumed {
                device: DeviceId(4),
            },
        ),
    ];
    let report = report(&facts, Vec::new());
    let enrolling = report.enrolling.as_ref().unwrap();
    assert_eq!((enrolling.obtained, enrolling.burnt), (4, 3));
    assert_eq!(
        (enrolling.renewed, enrolling.cloned, enrolling.resumed),
        (1, 1, 1)
    );
    assert!(text::render(&report, Paint::Plain).contains(
        "4 identities obtained; 1 renewed; 1 cloned; 1 devices resumed; 3 identities nobody enrolled"
    ));
}

#[test]
fn a_400_that_the_clock_explains_is_counted_as_that_and_others_as_what_they_are() {
    let refused = |device, at: u64| {
        let got = Got::Status(400);
        let sent = exchange(device, Said::Authenticate, got, [at, at + 5]);
        (at + 5, sent)
    };
    let clock =
        "clock-refused-signature: the target answered 400, and the device's clock is 9 s slow";
    let facts = vec![
        (10, obtained(0, Obtaining::Enroll)),
        refused(0, 10),
        (
            15,
            FactKind::Violation {
                channel: Channel::device(DeviceId(0)),
                what: clock.to_owned(),
            },
        ),
        refused(1, 20),
        refused(1, 30),
    ];
    let report = report(&facts, Vec::new());
    let failures = &report.enrolling.as_ref().unwrap().failures;
    let failures: Vec<_> = failures
        .iter()
        .map(|it| (it.reason.as_str(), it.count))
        .collect();
    assert_eq!(
        failures,
        [("http-status", 2), ("clock-refused-signature", 1)]
    );
}

#[test]
fn a_device_that_enrols_again_has_used_its_identity() {
    // It is noted as enrolled once.
    let again = vec![
        (910, obtained(0, Obtaining::Enroll)),
        (920, exchange(0, Said::Authenticate, Got::Empty, [910, 920])),
        (930, exchange(0, Said::TokenUpdate, Got::Empty, [920, 930])),
    ];
    let facts: Vec<_> = smooth(0).into_iter().chain(again).collect();
    let report = report(&facts, Vec::new());
    let enrolling = report.enrolling.as_ref().unwrap();
    assert_eq!((enrolling.obtained, enrolling.burnt), (2, 0));
}

#[test]
fn devices_that_were_issued_their_identities_and_enrolled_well_are_not_dwelt_upon() {
    let facts = vec![
        (10, exchange(0, Said::Authenticate, Got::Empty, [0, 10])),
        (20, exchange(0, Said::TokenUpdate, Got::Empty, [10, 20])),
        (20, enrolled(0, 0)),
    ];
    let report = report(&facts, Vec::new());
    assert_eq!(report.enrolling, None);
    assert!(!text::render(&report, Paint::Plain).contains(" enrolment\n"));
    assert!(!html::render(&report, &[]).contains("<h2>Enrolment</h2>"));
}

#[test]
fn thresholds_may_be_set_on_enrolment() {
    let threshold = |metric, aggregate, limit| Threshold {
        expression: "e".to_owned(),
        metric,
        cohort: None,
        stage: None,
        aggregate,
        limit,
    };
    let mut facts: Vec<_> = (0..4).flat_map(smooth).collect();
    let reason = "the target answered 403".to_owned();
    let device = DeviceId(4);
    facts.push((400, FactKind::EnrollmentFailed { device, reason }));
    let report = report(
        &facts,
        vec![
            threshold(
                Metric::Enrollment,
                Aggregate::Percentile(99.0),
                Limit::Below(1_000_000.0),
            ),
            threshold(Metric::Enrollment, Aggregate::Max, Limit::Below(300_000.0)),
            threshold(
                Metric::EnrollmentFailed,
                Aggregate::Count,
                Limit::AtMost(0.0),
            ),
            threshold(
                Metric::EnrollmentFailed,
                Aggregate::Share,
                Limit::AtMost(0.05),
            ),
        ],
    );
    let passed: Vec<_> = report.thresholds.iter().map(|it| it.passed).collect();
    assert_eq!(passed, [true, false, false, true]);
}
