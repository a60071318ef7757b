//! Results that are read again: the report from the facts, and what stands in its way.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;
mod show;

use std::fs;

use serde_json::Value;

use place::{Place, RUNNING, SMALL};

/// What differs between two summaries, as paths; numbers may differ in their last bits.
fn differences(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one
                .keys()
                .chain(other.keys().filter(|it| !one.contains_key(*it)))
            {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key)
                        .cloned()
                        .unwrap_or(Value::String("(absent)".into()))
                };
                differences(&format!("{path}.{key}"), &of(one), &of(other), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{path}[{index}]"), one, other, found);
            }
        }
        _ => {
            let is_close = match (one.as_f64(), other.as_f64()) {
                (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-12,
                _ => false,
            };
            if one != other && !is_close {
                found.push(format!("{path}: {one} and {other}"));
            }
        }
    }
}

fn assert_same_report(place: &Place) {
    let (_, out, err) = place.told(&["report", "out", "--json", "again.json"]);
    let recorded: Value = serde_json::from_slice(&place.file("out/summary.json")).unwrap();
    let again: Value = serde_json::from_slice(&place.file("again.json")).unwrap();
    let mut found = Vec::new();
    differences("", &recorded, &again, &mut found);
    assert!(found.is_empty(), "{}\n{err}{out}", found.join("\n"));
}

#[test]
fn the_report_of_a_rehearsal_is_made_again_to_the_letter() {
    let place = Place::new(SMALL);
    let (code, first, err) = place.told(&["rehearse", "s.toml", "-q", "--out", "out"]);
    assert_eq!(code, 99, "{err}{first}");
    assert_same_report(&place);
    let (code, again, err) = place.told(&["report", "out", "--html", "page.html"]);
    assert_eq!((code, err.as_str()), (99, ""));
    let report = first.split(" load on the target").next().unwrap();
    assert_eq!(again, report);
    assert_eq!(place.file("page.html"), place.file("out/report.html"));
}

#[test]
fn the_report_of_a_real_run_is_made_again_from_its_facts() {
    let place = Place::new(RUNNING);
    let run = [
        "run", "s.toml", "-q", "--state", "state", "--out", "out", "--drain", "1s",
    ];
    let (_, out, err) = place.told(&run);
    assert!(out.contains("commands completed"), "{err}{out}");
    assert_same_report(&place);
    let (_, again, _) = place.told(&["report", "out"]);
    assert_eq!(again, out);
}

#[test]
fn what_the_command_line_changed_and_what_files_held_is_known_again() {
    let root = env!("CARGO_MANIFEST_DIR");
    let place = Place::new(SMALL);
    let quickstart = format!("{root}/scenarios/quickstart.toml");
    let rehearse = ["rehearse", &quickstart, "-q", "--out", "out"];
    let (code, _, err) = place.told(&[&rehearse[..], &["--once", "--seed", "77"]].concat());
    assert_eq!(code, 0, "{err}");
    assert_same_report(&place);
}

#[test]
fn findings_alone_exit_with_0_when_there_are_none() {
    let place = Place::rehearsed();
    let (code, out, _) = place.told(&["report", "out", "--findings"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "no findings: no rule was seen broken\n")
    );
}

/// Story: a run of two hours was killed by the machine's memory limit in its last minutes. What it
/// had written is what there is to learn from it, and its last frame was half on the disk.
#[test]
fn a_run_that_was_killed_is_reported_as_far_as_it_was_written() {
    let place = Place::rehearsed();
    let manifest = place.file("out/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let fields = manifest.as_object_mut().unwrap();
    for end in [
        "exit-code",
        "validity",
        "ended",
        "lasted-us",
        "interrupted",
        "target-silent",
        "enrollment-failed",
    ] {
        assert!(fields.shift_remove(end).is_some(), "{end}");
    }
    fields.insert("complete".into(), false.into());
    place.write("out/manifest.json", manifest.to_string().as_bytes());
    for name in ["summary.json", "report.html", "histograms.hlog"] {
        fs::remove_file(place.path("out").join(name)).unwrap();
    }
    let events = place.file("out/events.ndjson.zst");
    place.write("out/events.ndjson.zst", &events[..events.len() * 2 / 3]);
    let (code, out, err) = place.told(&["report", "out"]);
    assert_eq!(code, 91, "{err}");
    assert!(
        err.contains("the last frame of the event log is not whole"),
        "{err}"
    );
    for caveat in ["killed: ", "log-cut: "] {
        assert!(out.contains(caveat), "{out}");
    }
}

#[test]
fn a_line_that_is_no_fact_is_named_by_its_number() {
    let place = Place::rehearsed();
    let mut text = zstd::decode_all(&place.file("out/events.ndjson.zst")[..]).unwrap();
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    text.extend_from_slice(b"{\"at\":5,\"fact\":\"sang\"}\n");
    place.write(
        "out/events.ndjson.zst",
        &zstd::encode_all(&text[..], 1).unwrap(),
    );
    let (code, _, err) = place.told(&["report", "out"]);
    assert_eq!(code, 1, "{err}");
    let expected = format!("line {} of out/events.ndjson.zst is no fact", lines + 1);
    assert!(err.contains(&expected) && err.contains("sang"), "{err}");
}

#[test]
fn a_log_that_is_damaged_in_its_middle_is_an_error_and_no_short_report() {
    let place = Place::rehearsed();
    let mut events = place.file("out/events.ndjson.zst");
    let middle = events.len() / 2;
    events.splice(middle..middle, *b"not a frame");
    place.write("out/events.ndjson.zst", &events);
    let (code, _, err) = place.told(&["report", "out"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("events.ndjson.zst"), "{err}");
}

#[test]
fn what_is_no_bundle_or_of_another_version_is_said_with_what_would_help() {
    let place = Place::rehearsed();
    let manifest = String::from_utf8(place.file("out/manifest.json")).unwrap();
    let refused = |expected: &str| {
        let (code, _, err) = place.told(&["report", "out"]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(expected), "{err}");
    };
    let with = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{manifest}");
        place.write("out/manifest.json", manifest.replace(from, to).as_bytes());
    };
    with("\"events-version\": 3", "\"events-version\": 2");
    refused("has event log version 2, and this is mdmstorm");
    with("\"manifest-version\": 2", "\"manifest-version\": 1");
    refused("read it with the mdmstorm that wrote it");
    with("\"seed\": 5", "\"seed\": 6");
    refused("draws another one from its scenario and seed");
    place.write(
        "out/manifest.json",
        b"{\"manifest-version\": 2, \"complete\": false}",
    );
    refused("ended before its first device");
    fs::remove_file(place.path("out/manifest.json")).unwrap();
    refused("is no results bundle");
}
