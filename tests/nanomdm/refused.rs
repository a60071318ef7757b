//! What the report of a run says of pushes that NanoMDM could not send.

use serde_json::Value;

use crate::Stage;
use crate::server::program;

/// A cohort of one device for each fault.
const FAULTS: [(&str, &str); 5] = [
    ("gone", "fault = \"answer\"\nreason = \"Unregistered\""),
    (
        "throttled",
        "fault = \"answer\"\nreason = \"TooManyRequests\"",
    ),
    (
        "unavailable",
        "fault = \"answer\"\nreason = \"ServiceUnavailable\"",
    ),
    ("parting", "fault = \"goaway\"\nnth = 1"),
    ("silent", "fault = \"hang\""),
];

#[test]
fn a_run_says_what_became_of_each_push_that_apns_did_not_take() {
    let Some(program) = program() else { return };
    let mut rest = String::new();
    for (cohort, fault) in FAULTS {
        rest.push_str(&format!("[[apns.faults]]\n{fault}\nto = \"{cohort}\"\n"));
        rest.push_str(&format!(
            "[[cohorts]]\nname = \"{cohort}\"\ncount = 1\npreset = \"always-on\"\n"
        ));
    }
    rest.push_str(
        "[[stages]]\nname = \"ask\"\nduration = \"1s\"\n\
         commands = [{ request = \"DeviceInformation\", each = 1 }]\n",
    );
    // NanoMDM has no timeout: an order whose push hangs ends with the time for an API call.
    let stage = Stage::with("signature", "timeout = \"3s\"", &rest);
    let storage = ["-storage", "inmem", "-storage-dsn", ""];
    let _server = stage.start(&program, &storage, &[]);
    let (_, summary) = stage.run_with("first", &["--drain", "4s"]);
    // GOAWAY comes before the push, so NanoMDM sends it again, and its command completes.
    assert_eq!(summary["commands"]["completed"], 1, "{summary:#}");
    let expected = [
        ("gone", "push-rejected", "with 410 Unregistered"),
        ("throttled", "push-rejected", "with 429 TooManyRequests"),
        (
            "unavailable",
            "push-service-down",
            "with 503 ServiceUnavailable",
        ),
        ("silent", "push-unanswered", "it kept silent"),
    ];
    for (cohort, cause, evidence) in expected {
        let (found, said) = pending(&summary, cohort);
        assert_eq!(found, cause, "{cohort}: {said}");
        assert!(said.contains(evidence), "{cohort}: {said}");
    }
}

/// Why the one command of a cohort is pending, and what the report says about it.
fn pending<'a>(summary: &'a Value, cohort: &str) -> (&'a str, &'a str) {
    for group in summary["pending"].as_array().unwrap() {
        for example in group["examples"].as_array().unwrap() {
            if example["cohort"] == cohort {
                let text = |value: &'a Value| value.as_str().unwrap();
                return (text(&group["cause"]), text(&example["evidence"]));
            }
        }
    }
    panic!("no command of {cohort} is pending: {summary:#}")
}
