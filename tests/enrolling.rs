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
        ..Setup::default()
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
            asked: ms(permitted),
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

/// The time to enrol had our own work in it: a device's key that this machine made, the roster's disk,
/// and waiting for places and permits.
#[test]
fn what_is_ours_is_no_part_of_the_time_to_enrol() {
    let device = DeviceId(0);
    let waited = |said, [asked, permitted, read]: [u64; 3]| FactKind::Exchange {
        channel: Channel::device(device),
        said,
        stamps: Stamps {
            asked: ms(asked),
            permitted: ms(permitted),
            read: ms(read),
            ..Stamps::default()
        },
        got: Got::Empty,
    };
    let refused = Some(("pki-failure", "no"));
    let facts = vec![
        (30, step(0, IdentityStep::PkiOperation, [10, 30], refused)),
        // It set out again at 100, and had a place at 300.
        (700, step(0, IdentityStep::Key, [300, 700], None)),
        (750, step(0, IdentityStep::PkiOperation, [700, 750], None)),
        (850, step(0, IdentityStep::Kept, [750, 850], None)),
        (
            850,
            FactKind::IdentityObtained {
                device,
                why: Obtaining::Enroll,
                since: ms(100),
            },
        ),
        (970, waited(Said::Authenticate, [850, 950, 970])),
        (1_000, waited(Said::TokenUpdate, [970, 980, 1_000])),
        (1_000, enrolled(0, 0)),
    ];
    let threshold = |millis: f64| Threshold {
        expression: "e".to_owned(),
        metric: Metric::Enrollment,
        cohort: None,
        stage: None,
        aggregate: Aggregate::Max,
        limit: Limit::Below(millis * 1_000.0),
    };
    // 990 ms since the first step, less 200 for a place, 400, 100, 100 and 10.
    let report = report(&facts, vec![threshold(181.0), threshold(179.0)]);
    let passed: Vec<_> = report.thresholds.iter().map(|it| it.passed).collect();
    assert_eq!(passed, [true, false], "{:?}", report.thresholds);
}

/// A TokenUpdate that was refused for its signature was one answered with 400, like any other.
#[test]
fn a_refused_token_update_is_explained_by_the_clock_as_well() {
    let what = "clock-refused-signature: the target answered 400".to_owned();
    let channel = Channel::device(DeviceId(0));
    let facts = vec![
        (10, obtained(0, Obtaining::Enroll)),
        (20, exchange(0, Said::Authenticate, Got::Empty, [10, 20])),
        (
            30,
            exchange(0, Said::TokenUpdate, Got::Status(400), [20, 30]),
        ),
        (30, FactKind::Violation { channel, what }),
    ];
    let report = report(&facts, Vec::new());
    let failures = &report.enrolling.as_ref().unwrap().failures;
    let [failure] = &failures[..] else {
        panic!("{failures:?}");
    };
    let told = (failure.step.as_str(), failure.reason.as_str());
    assert_eq!(told, ("token-update", "clock-refused-signature"));
}

/// A device that an earlier run had let go was counted among those that go on.
#[test]
fn a_device_that_was_let_go_earlier_is_not_enrolled() {
    let resumed = |device| FactKind::Resumed {
        device: DeviceId(device),
    };
    let why = "an earlier run has left it so".to_owned();
    let device = DeviceId(1);
    let let_go = FactKind::Unenrolled { device, why };
    let facts = vec![(0, resumed(0)), (0, resumed(1)), (0, let_go)];
    let report = report(&facts, Vec::new());
    let enrolling = report.enrolling.as_ref().unwrap();
    assert_eq!((enrolling.resumed, enrolling.left), (1, 1));
    assert_eq!(report.devices.enrolled, 1);
    // It said "0 of 0 commands completed; none is pending."
    assert_eq!(
        report.sentence,
        "1 of 20 devices enrolled; nothing was ordered."
    );
}

/// With a roster whose devices all go on nobody enrols, and a threshold on the time to enrol failed for
/// want of a sample.
#[test]
fn a_threshold_on_enrolment_holds_when_nobody_has_to_enrol() {
    let resumed = |device| FactKind::Resumed {
        device: DeviceId(device),
    };
    let threshold = Threshold {
        expression: "e".to_owned(),
        metric: Metric::Enrollment,
        cohort: None,
        stage: None,
        aggregate: Aggregate::Max,
        limit: Limit::Below(1.0),
    };
    let passed = |devices: u32| {
        let facts: Vec<_> = (0..devices).map(|it| (0, resumed(it))).collect();
        report(&facts, vec![threshold.clone()]).thresholds[0].passed
    };
    assert!(passed(DEVICES));
    assert!(!passed(DEVICES - 1));
}

/// Eight kinds of failures were shown, and not a word was said of the ninth.
#[test]
fn kinds_of_failures_that_are_not_shown_are_counted() {
    let failed = |n: u64| {
        let refused = (format!("reason-{n}"), "no".to_owned());
        let refused = Some((refused.0.as_str(), refused.1.as_str()));
        (n, step(0, IdentityStep::PkiOperation, [n, n], refused))
    };
    let shown = |kinds: u64| {
        let facts: Vec<_> = (0..kinds).map(failed).collect();
        text::render(&report(&facts, Vec::new()), Paint::Plain)
    };
    assert!(shown(10).contains("and 2 more kinds of failures\n"));
    assert!(!shown(8).contains("more kinds"));
}
