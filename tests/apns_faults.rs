//! A scenario's faults at the plain door of `mdmstorm apns`: the real program, over loopback.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "tests/apns.rs needs more of it")]
mod apns_rig;

use apns_rig::{Gateway, Listener, scenario};
use serde_json::{Value, json};

#[test]
fn the_scenarios_faults_strike_at_the_plain_door_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let faults = "[[apns.faults]]\nfault = \"answer\"\nreason = \"Unregistered\"\nnth = 1\n\
        [[apns.faults]]\nfault = \"garble\"\nstatus = 503\nnth = 2\n\
        [[apns.faults]]\nfault = \"goaway\"\nreason = \"Shutdown\"\nnth = 3\n\
        [[apns.faults]]\nfault = \"drop\"\nnth = 4\n";
    let mut gateway = Gateway::start(&[&scenario(&folder, faults)]);
    let push = |payload| gateway.ask("plain", "POST /3/device/ab", "", payload);
    let answer = push("one");
    assert!(answer.starts_with("HTTP/1.1 410 "), "{answer}");
    assert!(answer.contains("\"timestamp\":"), "{answer}");
    let answer = push("two");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("<html>"), "{answer}");
    assert_eq!(push("three"), "", "the connection ends without an answer");
    assert!(push("four").starts_with("HTTP/1.1 200 "));
    assert!(push("five").starts_with("HTTP/1.1 200 "));
    let mut listener = Listener::begin(&gateway, "ab");
    assert_eq!(listener.ping().as_deref(), Some("five"));
    let mut told = Vec::new();
    for _ in 0..5 {
        let line = gateway.line();
        told.push(line["fault"].as_str().unwrap_or("none").to_owned());
    }
    assert_eq!(told, ["answer", "garble", "goaway", "drop", "none"]);
}

#[test]
fn a_foreign_push_is_checked_before_faults_and_has_no_way_to_be_delayed_on() {
    let folder = tempfile::tempdir().unwrap();
    let faults = "[[apns.faults]]\nfault = \"delay\"\nby = \"1h\"\nnth = 1\n\
        [[apns.faults]]\nfault = \"slow\"\nby = \"20ms\"\nnth = 2\n\
        [[timeline]]\nat = \"1s\"\ndo = \"push-outage\"\n";
    let mut gateway = Gateway::start(&[&scenario(&folder, faults)]);
    for (token, status) in [("xy", 400), ("ab", 200), ("ab", 200)] {
        let request = format!("POST /3/device/{token}");
        let answer = gateway.ask("plain", &request, "", "{}");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let told = [(); 3].map(|()| gateway.line()["fault"].clone());
    assert_eq!(told, [Value::Null, Value::Null, json!("slow")]);
    // A device beyond the scenario's two is nobody's.
    let third = format!("POST /3/device/{}", gateway.token(2));
    gateway.ask("plain", &third, "", "{}");
    assert_eq!(gateway.line()["owner"], Value::Null);
}
