//! What NanoMDM tells of a run by its webhook, beside what its devices know.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Reads a message of HTTP/1.1 with a length; `None` at the end of a connection.
fn message(from: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let lower = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = lower.split_once("content-length: ").map_or("0", |it| it.1);
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Hands events on to the door at `webhook`, but for the first of a result, which nobody can read any more.
fn garbling_relay(webhook: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let is_garbled = Arc::new(AtomicBool::new(false));
    // The threads end with the test's process, or with NanoMDM.
    std::thread::spawn(move || {
        for from in listener.incoming() {
            let (mut from, is_garbled) = (from.unwrap(), Arc::clone(&is_garbled));
            std::thread::spawn(move || {
                let mut to = TcpStream::connect(("127.0.0.1", webhook)).unwrap();
                while let Some((head, mut body)) = message(&mut from) {
                    let is_result = String::from_utf8_lossy(&body).contains("Acknowledged");
                    if is_result && !is_garbled.swap(true, Ordering::Relaxed) {
                        body.fill(b'?');
                    }
                    to.write_all(&[head, body].concat()).unwrap();
                    let (head, body) = message(&mut to).unwrap();
                    from.write_all(&[head, body].concat()).unwrap();
                }
            });
        }
    });
    port
}

/// Our door answered 400, and NanoMDM was accused of an event that it had sent.
#[test]
fn an_event_that_our_own_door_refused_is_a_caveat_and_no_gap() {
    let Some(program) = program() else { return };
    let webhook = port();
    let target = format!("webhook = \"127.0.0.1:{webhook}\"");
    let rest = COHORT_AND_STAGE.replace("\"2s\"", "\"5s\"");
    let rest = format!("{rest}[findings]\nevent-within = \"2s\"\n");
    let stage = Stage::with("signature", &target, &rest);
    let url = format!("http://127.0.0.1:{}/webhook", garbling_relay(webhook));
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
    assert_eq!((code, &summary["findings"]), (0, &Value::Array(Vec::new())));
    let caveats = summary["caveats"].as_array().unwrap();
    let caveat = caveats
        .iter()
        .find(|caveat| caveat["name"] == "unjudged-events");
    let sentence = caveat.unwrap()["sentence"].as_str().unwrap();
    assert!(sentence.contains(" refused: 1;"), "{sentence}");
    let refused = facts(&stage, "first");
    let refused = refused.iter().filter(|it| it["fact"] == "event-refused");
    assert_eq!(refused.count(), 1);
    // The bundle says the same.
    let again = Command::new(env!("CARGO_BIN_EXE_mdmstorm"))
        .args(["report", &stage.path("first"), "--findings"])
        .output();
    let again = String::from_utf8(again.unwrap().stdout).unwrap();
    assert!(again.contains(" refused: 1;"), "{again}");
}
