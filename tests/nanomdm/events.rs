//! What NanoMDM tells of a run by its webhook, beside what its devices know.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::Value;

use crate::server::{port, program};
use crate::{COHORT_AND_STAGE, Stage};

/// The facts of a run, one line of JSON each. The watermarks between them are left out.
fn facts(stage: &Stage, out: &str) -> Vec<Value> {
    let path = Path::new(&stage.path(out)).join("events.ndjson.zst");
    let text = zstd::decode_all(File::open(path).unwrap()).unwrap();
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice::<Value>(line).unwrap())
        .filter(|line| line.get("until").is_none())
        .collect()
}

#[test]
fn every_result_that_nanomdm_took_is_told_of_once() {
    let Some(program) = program() else { return };
    let webhook = port();
    let target = format!("webhook = \"127.0.0.1:{webhook}\"");
    let stage = Stage::with("signature", &target, COHORT_AND_STAGE);
    let url = format!("http://127.0.0.1:{webhook}/webhook");
    let arguments = [
        "-storage",
        "inmem",
        "-storage-dsn",
        "",
        "-webhook-url",
        &url,
    ];
    let _server = stage.start(&program, &arguments, &[]);
    let (code, summary) = stage.run("first");
    assert_eq!(code, 0, "{summary:#}");
    assert_eq!(summary["commands"]["completed"], 60);
    let (mut said, mut told) = (BTreeMap::new(), BTreeMap::new());
    for fact in facts(&stage, "first") {
        // No queue can be seen: NanoMDM has no API for that.
        assert_ne!(fact["fact"], "queue-seen");
        let (counts, what) = match fact["fact"].as_str().unwrap() {
            "exchange" => (&mut said, &fact["said"]),
            "event-received" => (&mut told, &fact["event"]),
            _ => continue,
        };
        let what = format!("{} {what}", fact["channel"]["device"]);
        *counts.entry(what).or_insert(0) += 1;
    }
    let results = said.keys().filter(|what| what.contains("Acknowledged"));
    assert_eq!(results.count(), 60);
    // What a device said first, Authenticate, and every Idle are told of in the same words.
    assert_eq!(said, told);
    assert!(!summary["caveats"].to_string().contains("webhook"));
}

#[test]
fn a_webhook_that_nanomdm_was_not_told_of_is_a_caveat() {
    let Some(program) = program() else { return };
    let target = format!("webhook = \"127.0.0.1:{}\"", port());
    let stage = Stage::with("signature", &target, COHORT_AND_STAGE);
    let _server = stage.start(&program, &["-storage", "inmem", "-storage-dsn", ""], &[]);
    let (code, summary) = stage.run("first");
    assert_eq!(code, 0, "{summary:#}");
    let caveats = summary["caveats"].as_array().unwrap();
    let caveat = caveats.iter().find(|caveat| caveat["name"] == "webhook");
    let sentence = caveat.unwrap()["sentence"].as_str().unwrap();
    assert!(sentence.contains("told of no event"), "{sentence}");
}
