//! The report in all its forms, made from a small run's facts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::time::Duration;

use mdmstorm::condition::{Condition, Conditions};
use mdmstorm::fact::{
    ErrorCode, ErrorEnds, Fact, FactKind, Got, ResultStatus, Said, ServerPush, Stamps, WakeReason,
};
use mdmstorm::ids::{
    Channel, CohortId, CommandUuid, DeviceId, OrderBook, OrderIndex, PushId, RunId,
};
use mdmstorm::metric::{Aggregate, Limit, Metric, Threshold};
use mdmstorm::record::Ledger;
use mdmstorm::record::account::Account;
use mdmstorm::record::cause::Cause;
use mdmstorm::record::setup::{CohortInfo, OrderInfo, Orderer, Setup, StageInfo};
use mdmstorm::report::caveat::Caveat;
use mdmstorm::report::expect::{Expectation, Expected, HowMany};
use mdmstorm::report::text::Paint;
use mdmstorm::report::validity::Health;
use mdmstorm::report::{Assumption, Report, RunFacts, hlog, html, junit, text};
use mdmstorm::time::{SimTime, WallTime};

const RUN: RunId = RunId([7; 16]);
const DEVICES: u32 = 20;
const LOOKED_AT: Duration = Duration::from_secs(2);

fn ms(millis: u64) -> SimTime {
    SimTime::from_micros(millis * 1_000)
}

/// Twenty devices with one order each: 18 complete, a later one slower than the one before; one is
/// asleep, and one is never pushed.
fn account() -> Account {
    account_of(life)
}

fn account_of(life: fn(u32) -> Vec<(u64, FactKind)>) -> Account {
    let cohort = |name: &str, devices| CohortInfo {
        name: name.to_owned(),
        devices,
    };
    let mut ledger = Ledger::new(Setup {
        cohorts: vec![cohort("carts", 15), cohort("<library> & co", 5)],
        stages: vec![StageInfo {
            name: "work".to_owned(),
            warm_up: false,
        }],
        requests: vec!["InstallProfile".to_owned()],
        orders: (0..DEVICES)
            .map(|device| OrderInfo {
                channel: Channel::device(DeviceId(device)),
                cohort: CohortId(u16::from(device >= 15)),
                stage: 0,
                request: 0,
                serial: false,
            })
            .collect(),
        book: OrderBook::new(RUN, DEVICES),
        orderer: Orderer::Operator,
        ..Setup::default()
    });
    ledger.take_snapshots_after(vec![LOOKED_AT]);
    ledger.record(&Fact {
        at: SimTime::ZERO,
        kind: FactKind::TimeZero,
    });
    for device in 0..DEVICES {
        for (at, kind) in life(device) {
            ledger.record(&Fact { at: ms(at), kind });
        }
        let now = ms(u64::from(device + 1) * 1_000);
        ledger.advance(now);
        ledger.interval_since_last(now);
    }
    ledger.finish(ms(60_000))
}

fn life(device: u32) -> Vec<(u64, FactKind)> {
    let order = OrderIndex(device);
    let channel = Channel::device(DeviceId(device));
    let uuid = CommandUuid::of_order(RUN, order);
    let push = PushId(u64::from(device));
    let start = u64::from(device) * 500;
    let at = |millis: u64| start + millis;
    let since = SimTime::ZERO;
    let enrolled = FactKind::Enrolled {
        device: DeviceId(device),
        since,
    };
    let asleep = FactKind::Condition {
        device: DeviceId(device),
        now: Conditions::of(&[Condition::Asleep]),
    };
    let due = ms(start);
    let accepted = FactKind::Accepted {
        order,
        push: ServerPush::NotReported,
    };
    let pushed = FactKind::PushReceived {
        push,
        channel: Some(channel),
        arrived: ms(at(10)),
        status: 200,
        reason: None,
    };
    let mut facts = vec![
        (start, enrolled),
        (start, FactKind::Ordered { order, due }),
        (start, FactKind::Offered { order }),
        (at(5), accepted),
    ];
    match device {
        18 => facts.extend([(at(6), asleep), (at(10), pushed)]),
        19 => {}
        _ => {
            let due = ms(at(40));
            let delivered = FactKind::PushDelivered { push, channel, due };
            let why = WakeReason::Push;
            let woke = FactKind::Woke { channel, due, why };
            let brings = Got::Command {
                uuid: uuid.clone(),
                request_type: "InstallProfile".to_owned(),
            };
            let done = Said::Result {
                uuid: Some(uuid),
                status: ResultStatus::Acknowledged,
            };
            let idle = exchange(channel, Said::Idle, brings, [at(40), at(60)]);
            let slow = at(100) + u64::from(device) * 10;
            facts.extend([
                (at(10), pushed),
                (at(40), delivered),
                (at(40), woke),
                (at(60), idle),
                (
                    slow + 20,
                    exchange(channel, done, Got::Empty, [slow, slow + 20]),
                ),
            ]);
        }
    }
    facts
}

/// The same, but the first three devices have no licence for their app, the fourth answers NotNow,
/// and the fifth could not read its command.
fn troubled(device: u32) -> Vec<(u64, FactKind)> {
    let channel = Channel::device(DeviceId(device));
    let uuid = CommandUuid::of_order(RUN, OrderIndex(device));
    let code = |code| ErrorCode {
        domain: "MCMDMErrorDomain".to_owned(),
        code,
    };
    let facts = life(device);
    let [before @ .., (at, FactKind::Exchange { said, .. })] = facts.as_slice() else {
        return facts;
    };
    let Said::Result { uuid: of, .. } = said else {
        return facts;
    };
    let answer = |status| {
        let uuid = of.clone();
        exchange(
            channel,
            Said::Result { uuid, status },
            Got::Empty,
            [*at - 20, *at],
        )
    };
    let (story, status) = match device {
        0..3 => {
            let error = Some(ErrorEnds {
                top: code(12064),
                deepest: (device == 2).then(|| code(12026)),
            });
            let due = ms(*at - 20);
            let executed = FactKind::Executed {
                channel,
                uuid,
                due,
                error,
            };
            (Some(executed), ResultStatus::Error)
        }
        3 => {
            let why = "locked".to_owned();
            let refused = FactKind::Refused { channel, uuid, why };
            (Some(refused), ResultStatus::NotNow)
        }
        4 => (None, ResultStatus::CommandFormatError),
        _ => return facts,
    };
    let story = story.map(|kind| (*at - 20, kind));
    let mut facts = before.to_vec();
    facts.extend(story);
    facts.push((*at, answer(status)));
    facts
}

fn exchange(channel: Channel, said: Said, got: Got, [sent, read]: [u64; 2]) -> FactKind {
    FactKind::Exchange {
        channel,
        said,
        got,
        stamps: Stamps {
            asked: ms(sent),
            permitted: ms(sent),
            connected: None,
            sent: Some(ms(sent)),
            first_byte: None,
            read: ms(read),
        },
    }
}

fn run() -> RunFacts {
    let threshold = |expression: &str, metric, aggregate, limit| Threshold {
        expression: expression.to_owned(),
        metric,
        cohort: None,
        stage: None,
        aggregate,
        limit,
    };
    RunFacts {
        scenario: "monday <morning>".to_owned(),
        seed: 42,
        plan_hash: "7c1e0f5a99887766".to_owned(),
        version: "0.1.0".to_owned(),
        host: "Linux, 2 cores".to_owned(),
        target: "nanomdm http://127.0.0.1:9000".to_owned(),
        started: WallTime::from_unix_micros(1_790_000_000_000_000),
        health: Health {
            cpu_percent: 84.0,
            dropped_events: 0,
            events: 1_000,
            open_sockets_max: 12,
            achieved: 20,
            planned: 20,
            ..Health::default()
        },
        caveats: vec![Caveat::TargetOnThisMachine {
            cpu_percent: Some(31.0),
        }],
        thresholds: vec![
            threshold(
                "push-to-completion p90 < 30s",
                Metric::PushToCompletion,
                Aggregate::Percentile(90.0),
                Limit::Below(30e6),
            ),
            threshold(
                "pending-owned-by-target count <= 0",
                Metric::PendingTarget,
                Aggregate::Count,
                Limit::AtMost(0.0),
            ),
        ],
        assumptions: vec![Assumption {
            key: "cohorts.not-now.poll-on".to_owned(),
            value: "boot".to_owned(),
            grade: "assumed".to_owned(),
        }],
        bundle: "results/2026-11-20T20-51Z-7c1e".to_owned(),
        ..RunFacts::default()
    }
}

fn report() -> Report {
    Report::new(&account(), &run())
}

#[test]
fn the_terminal_report_says_what_happened_and_whose_it_was() {
    insta::assert_snapshot!(text::render(&report(), Paint::Plain));
}

#[test]
fn colours_change_no_word() {
    let report = report();
    let painted = text::render(&report, Paint::Ansi);
    assert!(painted.contains("\x1b[1;31mFAIL\x1b[0m"));
    let codes = [
        "\x1b[1;31m",
        "\x1b[1;32m",
        "\x1b[1;33m",
        "\x1b[1m",
        "\x1b[0m",
    ];
    let stripped = codes
        .iter()
        .fold(painted, |text, code| text.replace(code, ""));
    assert_eq!(stripped, text::render(&report, Paint::Plain));
}

#[test]
fn a_summary_meets_its_published_schema() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../docs/summary.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut expecting = run();
    expecting.expectations = vec![expects(Expected::Failed, count(0, 0))];
    for report in [
        report(),
        Report::new(&account(), &RunFacts::default()),
        Report::new(&account_of(troubled), &expecting),
    ] {
        let summary: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&summary)
            .map(|error| format!("{error} at {}", error.instance_path))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(serde_json::from_value::<Report>(summary).unwrap(), report);
    }
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let published: serde_json::Value =
        serde_json::from_str(include_str!("../docs/summary.schema.json")).unwrap();
    let text = serde_json::to_string_pretty(&Report::schema()).unwrap();
    assert!(
        published == Report::schema(),
        "docs/summary.schema.json should be:\n{text}"
    );
}

#[test]
fn the_stable_core_of_the_summary_is_there() {
    let summary: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
    let at = |pointer: &str| summary.pointer(pointer).unwrap().clone();
    assert_eq!(at("/schema-version"), 1);
    assert_eq!(at("/outcome"), "fail");
    assert_eq!(at("/validity"), "suspect");
    assert_eq!(at("/exit-code"), 99);
    assert_eq!(at("/devices/enrollment-failed"), 0);
    assert_eq!(at("/commands/ordered"), 20);
    assert_eq!(at("/commands/completed-without-push"), 0);
    assert_eq!(at("/pushes/received"), 19);
    assert_eq!(at("/latency/push-to-completion/count"), 18);
    assert!(at("/latency/push-to-completion/p50-ms").is_f64());
    assert!(at("/latency/push-to-completion/p99-ms").is_null());
    assert_eq!(at("/latency/phases/dispatch/count"), 18);
    assert!(summary.pointer("/latency/phases/deferral").is_none());
    assert_eq!(at("/pending/0/count"), 1);
    assert_eq!(at("/findings"), serde_json::json!([]));
    assert_eq!(at("/thresholds/1/passed"), false);
    assert_eq!(at("/cohorts/carts/commands/completed"), 15);
    assert_eq!(at("/health/open-sockets-max"), 12);
}

#[test]
fn the_page_loads_nothing_and_escapes_everything() {
    let mut account = account();
    let why = "it said <hello>".to_owned();
    account.providers_cut.insert(why, 77);
    let page = html::render(&Report::new(&account, &run()), &account.intervals);
    assert!(page.contains("<tr><td>77</td>"));
    assert!(page.contains("it said &#60;hello&#62;") || page.contains("it said &lt;hello&gt;"));
    for load in [
        "http://", "https://", "<script", "<link", "<img", "url(", "@import",
    ] {
        assert!(!page.contains(load), "{load}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("<library>"));
    assert!(!page.contains("<morning>"));
    assert!(page.contains("<polyline class=\"p99\""));
    assert_eq!(
        page.matches("<table>").count(),
        page.matches("</table>").count()
    );
}

#[test]
fn junit_has_a_case_for_each_threshold_cohort_and_rule() {
    let xml = junit::render(&report());
    assert_eq!(
        xml.matches("<testcase ").count(),
        4 + mdmstorm::rule::Rule::ALL.len()
    );
    assert_eq!(xml.matches("<failure ").count(), 2);
    assert!(xml.contains("1 of 2 pending commands wait for the target"));
}

#[test]
fn the_histogram_log_is_read_back_with_its_counts() {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let log = hlog::render(&account());
    let mut samples = 0;
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        let LogEntry::Interval(interval) = entry.unwrap() else {
            continue;
        };
        let tag = interval.tag().unwrap().as_str().to_owned();
        if tag.starts_with("push-to-completion;cohort=") {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(interval.encoded_histogram())
                .unwrap();
            let histogram: hdrhistogram::Histogram<u64> =
                hdrhistogram::serialization::Deserializer::new()
                    .deserialize(&mut bytes.as_slice())
                    .unwrap();
            samples += histogram.len();
        }
    }
    assert_eq!(samples, 18);
}

#[test]
fn a_run_that_was_interrupted_and_missed_a_threshold_exits_as_interrupted() {
    let mut run = run();
    run.interrupted = true;
    let report = Report::new(&account(), &run);
    assert_eq!(report.exit_code, 105);
    run.target_unreachable = true;
    assert_eq!(Report::new(&account(), &run).exit_code, 92);
}

#[test]
fn a_threshold_counts_its_cohort_alone() {
    let mut run = run();
    for threshold in &mut run.thresholds {
        threshold.cohort = Some("carts".to_owned());
    }
    let report = Report::new(&account(), &run);
    assert!(report.thresholds.iter().all(|result| result.passed));
    assert_eq!(report.exit_code, 0);
}

fn expects(what: Expected, how_many: HowMany) -> Expectation {
    Expectation {
        expression: format!("{what:?} {how_many:?}"),
        cohort: None,
        after: None,
        what,
        how_many,
        cause: None,
        code: None,
    }
}

const fn count(from: u64, to: u64) -> HowMany {
    HowMany::Count { from, to }
}

#[test]
fn expectations_are_held_against_the_end_and_against_what_was_before() {
    let library = |expectation| Expectation {
        cohort: Some(CohortId(1)),
        ..expectation
    };
    let pending = |how_many, cause| Expectation {
        cause: Some(cause),
        ..expects(Expected::Pending, how_many)
    };
    let share = HowMany::Share { from: 0.9, to: 0.9 };
    let expectations = vec![
        expects(Expected::Completed, share),
        library(expects(Expected::Completed, count(3, 3))),
        library(pending(count(1, 1), Cause::DeviceAsleep)),
        expects(Expected::Cancelled, count(0, 0)),
        Expectation {
            after: Some(LOOKED_AT),
            ..expects(Expected::Completed, count(3, 4))
        },
        // These do not hold.
        library(pending(count(2, 9), Cause::NeverPushed)),
        Expectation {
            after: Some(LOOKED_AT * 2),
            ..expects(Expected::Completed, count(0, 20))
        },
    ];
    let run = RunFacts {
        expectations,
        ..RunFacts::default()
    };
    let report = Report::new(&account(), &run);
    let passed: Vec<bool> = report.expectations.iter().map(|it| it.passed).collect();
    assert_eq!(passed, [true, true, true, true, true, false, false]);
    assert_eq!(report.exit_code, 99);
    assert_eq!(
        report.expectations[5].instead,
        "3 completed, 1 pending for never-pushed, 1 pending for device-asleep"
    );
    let xml = junit::render(&report);
    assert!(
        xml.contains("<testsuite name=\"expectations\" tests=\"7\""),
        "{xml}"
    );
    let kept = RunFacts {
        expectations: run.expectations[..5].to_vec(),
        ..run
    };
    assert_eq!(Report::new(&account(), &kept).exit_code, 0);
}

#[test]
fn failed_commands_are_shown_by_code_and_not_now_by_reason() {
    let failed = |code, cause, how_many| Expectation {
        code,
        cause,
        ..expects(Expected::Failed, how_many)
    };
    let license = Some(Cause::LicenseMissing);
    let run = RunFacts {
        expectations: vec![
            failed(Some(12064), None, count(3, 3)),
            failed(Some(12026), None, count(1, 1)),
            failed(None, license, count(3, 3)),
            // One too many.
            failed(None, None, count(5, 5)),
        ],
        ..RunFacts::default()
    };
    let account = account_of(troubled);
    let report = Report::new(&account, &run);
    let text = text::render(&report, Paint::Plain);
    let from = text.find("\n pending\n").unwrap();
    let to = text.find(" health\n").unwrap();
    insta::assert_snapshot!(&text[from..to], @"
    pending
           1  never-pushed  owner target, oldest 50.5s
              InstallProfile on device 19: the target took it at 9.505s and no push came since
              try: send a blank push to the device from the server; check that its push certificate is uploaded and that its way to APNs is this run's gateway
           1  device-asleep  owner device, oldest 51.0s
              InstallProfile on device 18: the device has been asleep since 9.006s; push 18 has waited since 9.010s
              try: wake the device or wait until somebody does; the push is kept and delivered then
           1  not-now-waiting  owner device, oldest 58.5s
              NotNow for locked 1
              InstallProfile on device 3: the device answered NotNow (locked) at 1.630s, and the reason holds
              try: end the reason: unlock the device, finish Setup Assistant, open the lid, log in; the device then asks by itself if NotNow was the last thing it said
    failed
           2  InstallProfile: MCMDMErrorDomain 12064  license-missing
              try: buy or free licences of the app in Apple Business or School Manager, assign them to the devices, and send the command again: it does not retry by itself
           1  InstallProfile: CommandFormatError, without an error chain
           1  InstallProfile: MCMDMErrorDomain 12064 (MCMDMErrorDomain 12026)  license-missing
    expectations
      ok      Failed Count { from: 3, to: 3 }  (3 of 20)
      ok      Failed Count { from: 1, to: 1 }  (1 of 20)
      ok      Failed Count { from: 3, to: 3 }  (3 of 20)
      failed  Failed Count { from: 5, to: 5 }  (4 of 20)
              there were: 13 completed, 4 failed (3 with 12064), 1 pending for never-pushed, 1 pending for device-asleep, 1 pending for not-now-waiting
    ");
    let page = html::render(&report, &account.intervals);
    assert!(page.contains("Why commands failed"));
    assert!(page.contains("NotNow for locked 1"));
}
