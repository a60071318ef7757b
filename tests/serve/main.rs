//! The reference server over real sockets: devices, an administrator, and pushes to a gateway.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acme;
mod rig;
mod scep;
mod ways_in;

use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use mdmstorm::engine::serve::{Embedded, EmbeddedError, IdentityMode, run_embedded};
use rig::{Rig, idle, result};

fn json(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn a_command_is_pushed_fetched_and_settled() {
    let mut rig = Rig::start(IdentityMode::Signature).await;
    rig.enroll().await;
    let (status, answer) = rig.enqueue("C1", "").await;
    let push = rig.pushes.recv().await.unwrap();
    assert_eq!(push.path, "/3/device/0102abff");
    assert_eq!(push.topic, rig.topic);
    assert_eq!(&push.body[..], br#"{"mdm":"MAGIC"}"#);
    assert_eq!(status, 200);
    assert_eq!(json(&answer)["command_uuid"], "C1");
    assert_eq!(json(&answer)["status"][&rig.udid]["push_result"], "ID-1");
    let (status, command) = rig.device("/mdm", "", idle(&rig.udid)).await;
    assert_eq!(status, 200);
    assert!(String::from_utf8(command).unwrap().contains("C1"));
    let (status, rest) = rig
        .device("/mdm", "", result(&rig.udid, "C1", "Acknowledged"))
        .await;
    assert_eq!((status, rest), (200, Vec::new()));
    let (status, rest) = rig.device("/mdm", "", idle(&rig.udid)).await;
    assert_eq!((status, rest), (200, Vec::new()));
}

#[tokio::test]
async fn a_client_certificate_is_an_identity() {
    let mut rig = Rig::start(IdentityMode::Mtls).await;
    rig.enroll().await;
    rig.enqueue("C1", "?nopush=1").await;
    let (status, command) = rig.device("/mdm", "", idle(&rig.udid)).await;
    assert_eq!(status, 200);
    assert!(!command.is_empty());
    rig.credential = None;
    let (status, _) = rig.device("/mdm", "", idle(&rig.udid)).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_certificate_in_a_header_is_an_identity() {
    let mut rig = Rig::start(IdentityMode::Header("X-Client-Cert".to_owned())).await;
    rig.enroll().await;
    assert_eq!(rig.device("/mdm", "", idle(&rig.udid)).await.0, 200);
    rig.credential = Some(rig.stranger());
    let (status, answer) = rig.device("/mdm", "", idle(&rig.udid)).await;
    assert_eq!(status, 400);
    assert!(
        json(&answer)["error"]
            .as_str()
            .unwrap()
            .contains("not trusted")
    );
}

#[tokio::test]
async fn who_signs_wrongly_or_not_at_all_is_refused_but_never_with_401() {
    let mut rig = Rig::start(IdentityMode::Signature).await;
    rig.enroll().await;
    rig.credential = None;
    assert_eq!(rig.device("/mdm", "", idle(&rig.udid)).await.0, 400);
    rig.credential = Some(rig.stranger());
    assert_eq!(rig.device("/mdm", "", idle(&rig.udid)).await.0, 400);
    rig.credential = Some(rig.other_device());
    assert_eq!(rig.device("/mdm", "", idle(&rig.udid)).await.0, 500);
}

#[tokio::test]
async fn only_the_administrator_may_order() {
    let mut rig = Rig::start(IdentityMode::Signature).await;
    rig.api_key = "guess".to_owned();
    assert_eq!(rig.enqueue("C1", "").await.0, 401);
    rig.api_key = "key".to_owned();
    assert_eq!(rig.admin("GET", "/v1/nothing", Vec::new()).await.0, 404);
    assert_eq!(rig.admin("GET", "/version", Vec::new()).await.0, 200);
    let (status, answer) = rig.admin("PUT", "/v1/pushcert", b"junk".to_vec()).await;
    assert_eq!(status, 400);
    assert!(
        json(&answer)["error"]
            .as_str()
            .unwrap()
            .contains("no certificate")
    );
    let known = format!("/v1/pushcert?topic={}", rig.topic);
    assert_eq!(rig.admin("GET", &known, Vec::new()).await.0, 200);
    assert_eq!(
        rig.admin("GET", "/v1/pushcert?topic=x", Vec::new()).await.0,
        404
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413() {
    let rig = Rig::start(IdentityMode::Signature).await;
    let (status, _) = rig.admin("PUT", "/v1/enqueue/X", vec![b' '; 5 << 20]).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn a_refused_push_is_told_although_the_command_is_queued() {
    let mut rig = Rig::start(IdentityMode::Signature).await;
    rig.token = vec![0xee];
    rig.enroll().await;
    let (status, answer) = rig.enqueue("C1", "").await;
    assert_eq!(status, 500);
    assert_eq!(
        json(&answer)["status"][&rig.udid]["push_error"],
        "Unregistered"
    );
    let (_, command) = rig.device("/mdm", "", idle(&rig.udid)).await;
    assert!(!command.is_empty());
}

#[tokio::test]
async fn a_push_after_goaway_goes_over_a_new_connection() {
    let mut rig = Rig::start(IdentityMode::Signature).await;
    rig.enroll().await;
    for (command, connection) in [("C1", 1), ("C2", 1), ("C3", 2)] {
        assert_eq!(rig.enqueue(command, "").await.0, 200);
        assert_eq!(rig.pushes.recv().await.unwrap().connection, connection);
        if command == "C2" {
            rig.send_goaway().await;
        }
    }
}

#[tokio::test]
async fn a_device_left_with_refused_commands_is_pushed_again() {
    let mut rig = Rig::start(IdentityMode::Signature).await;
    rig.enroll().await;
    rig.enqueue("C1", "?nopush=1").await;
    rig.enqueue("C2", "?nopush=1").await;
    rig.device("/mdm", "", idle(&rig.udid)).await;
    rig.device("/mdm", "", result(&rig.udid, "C1", "NotNow"))
        .await;
    let (_, rest) = rig
        .device("/mdm", "", result(&rig.udid, "C2", "Acknowledged"))
        .await;
    assert_eq!(rest, b"");
    assert_eq!(rig.pushes.recv().await.unwrap().topic, rig.topic);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let rig = Rig::start(IdentityMode::Signature).await;
    let mut settings = rig.settings.clone();
    settings.listen_https = rig.running.https;
    let refused = mdmstorm::engine::serve::Running::start(settings).unwrap_err();
    let said = refused.to_string();
    assert!(said.starts_with("cannot listen on 127.0.0.1:"), "{said}");
}

#[tokio::test]
async fn an_embedded_server_lives_as_long_as_its_standard_input() {
    let mut rig = Rig::start(IdentityMode::Signature).await;
    let (child_in, mut parent_out) = std::io::pipe().unwrap();
    let (parent_in, child_out) = std::io::pipe().unwrap();
    let child =
        std::thread::spawn(move || run_embedded(std::io::BufReader::new(child_in), child_out));
    let settings = serde_json::to_string(&rig.settings).unwrap();
    writeln!(parent_out, "{settings}").unwrap();
    let mut line = String::new();
    std::io::BufReader::new(parent_in)
        .read_line(&mut line)
        .unwrap();
    let address = &json(line.as_bytes())["listening"]["https"];
    rig.running.https = Some(address.as_str().unwrap().parse().unwrap());
    assert_eq!(rig.admin("GET", "/version", Vec::new()).await.0, 200);
    drop(parent_out);
    assert!(child.join().unwrap().unwrap());
}

#[tokio::test]
async fn a_parent_hears_where_its_child_serves_or_why_not() {
    let rig = Rig::start(IdentityMode::Signature).await;
    let folder = tempfile::tempdir().unwrap();
    // All are written before the first is started: a program open for writing cannot be.
    let program = |name: &str, script: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    };
    let says = |line: &str| format!("read settings; echo '{line}'; cat >/dev/null");
    let serving = says(r#"{"listening":{"http":null,"https":"127.0.0.1:443"}}"#);
    let serving = program("serving", &serving);
    let failing = program("failing", &says(r#"{"failed":"no port"}"#));
    let silent = program("silent", "exit 3");
    let mut child = Embedded::spawn(&serving, &rig.settings).await.unwrap();
    assert_eq!(child.https, Some("127.0.0.1:443".parse().unwrap()));
    assert!(child.is_alive() && child.cpu_time().is_some());
    let failed = Embedded::spawn(&failing, &rig.settings).await.unwrap_err();
    assert!(failed.to_string().ends_with("no port"), "{failed}");
    let silent = Embedded::spawn(&silent, &rig.settings).await.unwrap_err();
    assert!(matches!(silent, EmbeddedError::Silent), "{silent}");
    let missing = Embedded::spawn(&folder.path().join("none"), &rig.settings).await;
    assert!(missing.unwrap_err().to_string().starts_with("cannot start"));
}

#[tokio::test]
async fn an_administrator_takes_a_command_back() {
    let mut rig = Rig::start(IdentityMode::Signature).await;
    rig.enroll().await;
    rig.enqueue("C1", "?nopush=1").await;
    rig.enqueue("C2", "?nopush=1").await;
    let path = format!("/v1/queue/{}/C1", rig.udid);
    assert_eq!(rig.admin("DELETE", &path, Vec::new()).await.0, 200);
    assert_eq!(rig.admin("DELETE", &path, Vec::new()).await.0, 404);
    let (_, command) = rig.device("/mdm", "", idle(&rig.udid)).await;
    assert!(String::from_utf8(command).unwrap().contains("C2"));
    rig.api_key = "guess".to_owned();
    let path = format!("/v1/queue/{}/C2", rig.udid);
    assert_eq!(rig.admin("DELETE", &path, Vec::new()).await.0, 401);
}
