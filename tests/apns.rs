//! `mdmstorm apns` as whoever develops an MDM server meets it: the real program, over loopback.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apns_rig;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use apns_rig::{ANY, Gateway, Listener, ask, mdmstorm, scenario, text};
use mdmstorm::engine::authority::Authority;
use mdmstorm::engine::clock::wall_now;
use mdmstorm::reference_server::PushResult;
use serde_json::{Value, json};

#[test]
fn what_a_server_needs_is_printed_and_its_keys_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let print = || {
        mdmstorm(&state, &["--print", "--tokens", "2"])
            .output()
            .unwrap()
    };
    let (first, again) = (print(), print());
    assert!(first.status.success());
    assert_eq!(text(&first), text(&again), "the CA is made once");
    let text = text(&first);
    for needed in [
        "https://127.0.0.1:2197",
        "export HTTPS_PROXY=http://127.0.0.1:3128",
        "export SSL_CERT_FILE=",
        "export NODE_EXTRA_CA_CERTS=",
        "push topic        com.apple.mgmt.External.",
        "# device 0    token 01",
        "# device 1    token 01",
    ] {
        assert!(text.contains(needed), "{needed} in {text}");
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for entry in fs::read_dir(&state).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_push_is_a_line_with_its_owner_its_magic_and_its_verdict() {
    let mut gateway = Gateway::start(&["--gone", "2"]);
    let provider = gateway.provider();
    let right = provider.push(&gateway.order(0, gateway.magic(0))).await;
    let PushResult::Accepted { apns_id } = right else {
        panic!("{right:?}");
    };
    let line = gateway.line();
    assert_eq!(line["event"], "push");
    assert_eq!(line["door"], "tls");
    assert_eq!(line["token"], gateway.token(0));
    assert_eq!(line["owner"], json!({ "device": 0, "user": 0 }));
    assert_eq!(line["topic"], gateway.listening["topic"]);
    assert_eq!(line["magic"], "right");
    assert_eq!(
        (&line["verdict"], &line["status"]),
        (&json!("answered"), &json!(200))
    );
    assert_eq!(line["apns_id"], apns_id);
    provider.push(&gateway.order(1, "another".into())).await;
    let line = gateway.line();
    assert_eq!(
        (&line["magic"], &line["status"]),
        (&json!("wrong"), &json!(200))
    );
    let gone = provider.push(&gateway.order(2, gateway.magic(2))).await;
    assert!(matches!(gone, PushResult::Refused(reason) if reason.name() == "Unregistered"));
    let line = gateway.line();
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&json!(410), &json!("Unregistered"))
    );
    let mut foreign = gateway.order(0, "m".into());
    foreign.token[20] ^= 1;
    provider.push(&foreign).await;
    let line = gateway.line();
    assert_eq!(
        (&line["owner"], &line["magic"]),
        (&Value::Null, &json!("unknown"))
    );
    assert_eq!(line["reason"], "BadDeviceToken");
    let last = gateway.stop();
    assert_eq!(last["event"], "ended");
    assert_eq!(last["total_pushes"], 4);
    let verdicts = json!({ "200": 2, "400 BadDeviceToken": 1, "410 Unregistered": 1 });
    assert_eq!(last["verdicts"], verdicts);
}

#[test]
fn the_log_for_people_has_a_line_for_a_push_and_one_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let doors = ["--listen", ANY, "--connect-proxy", ANY, "--plain", ANY];
    let mut child = mdmstorm(&folder.path().join("state"), &doors)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let mut plain = None;
    for line in lines.by_ref() {
        if let Some((_, address)) = line.split_once("plain HTTP/1.1 go to http://") {
            plain = Some(address.parse().unwrap());
        }
        if line.starts_with("listening") {
            break;
        }
    }
    let headers = "apns-priority: 5\r\napns-expiration: 0\r\napns-id: 6F1E3A8D-2B4C-4D1E-8F0A-9B8C7D6E5F40\r\n";
    ask(
        plain.unwrap(),
        "POST /3/device/ab12",
        headers,
        r#"{"mdm":"m"}"#,
    );
    let line = lines.next().unwrap();
    for part in [
        " 200 ",
        "not ours, magic unknown",
        "priority 5",
        "expires 0",
        "token ab12",
        "id 6F1E3A8D-2B4C-4D1E-8F0A-9B8C7D6E5F40",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let kill = format!("kill -TERM {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    let last = lines.next().unwrap();
    assert_eq!(last, "1 pushes: 1 with 200; 1 to tokens that are not ours");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_plain_door_takes_any_token_and_keeps_the_newest_push_for_whoever_listens() {
    let gateway = Gateway::start(&[]);
    let push = |payload: &str| gateway.ask("plain", "POST /3/device/AB12", "", payload);
    for payload in ["one", "two"] {
        let answer = push(payload);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("apns-id: "), "{answer}");
    }
    let mut first = Listener::begin(&gateway, "ab12");
    assert_eq!(first.ping().as_deref(), Some("two"));
    push("three");
    assert_eq!(first.ping().as_deref(), Some("three"));
    let mut newer = Listener::begin(&gateway, "Ab12");
    assert_eq!(
        first.ping(),
        None,
        "the newer listener takes the token over"
    );
    gateway.ask(
        "plain",
        "POST /3/device/ab12",
        "apns-expiration: 0\r\n",
        "four",
    );
    assert_eq!(newer.ping().as_deref(), Some("four"));
    let stats = gateway.stats();
    for (key, value) in [
        ("active_connections", 1),
        ("total_pushes", 4),
        ("delivered_live", 2),
        ("delivered_on_connect", 1),
        ("stored", 1),
        ("coalesced", 1),
        ("discarded", 0),
    ] {
        assert_eq!(stats[key], value, "{key} in {stats}");
        assert_eq!(stats["node"][key], value, "{key} in {stats}");
    }
}

#[test]
fn the_plain_door_refuses_what_apns_refuses() {
    let gateway = Gateway::start(&[]);
    let long = "x".repeat(4097);
    let id = "apns-id: 0f0b8e5c-3d5c-4c2e-9f9a-1c2d3e4f5a6b\r\n";
    let cases = [
        ("POST /3/device/", "", "{}", 400, "MissingDeviceToken"),
        ("POST /3/device/xy", "", "{}", 400, "BadDeviceToken"),
        ("POST /3/device/abc", "", "{}", 400, "BadDeviceToken"),
        ("POST /3/device/ab", "", "", 400, "PayloadEmpty"),
        ("POST /3/device/ab", id, &long, 413, "PayloadTooLarge"),
        (
            "POST /3/device/ab",
            "apns-id: 7\r\n",
            "{}",
            400,
            "BadMessageId",
        ),
        (
            "POST /3/device/ab",
            "apns-push-type: alert\r\n",
            "{}",
            400,
            "InvalidPushType",
        ),
        (
            "POST /3/device/ab",
            "apns-expiration: soon\r\n",
            "{}",
            400,
            "BadExpirationDate",
        ),
        ("GET /3/device/ab", "", "", 405, "MethodNotAllowed"),
        ("GET /events", "", "", 400, "MissingDeviceToken"),
        ("GET /events?token=xy", "", "", 400, "BadDeviceToken"),
    ];
    for (request, headers, body, status, reason) in cases {
        let answer = gateway.ask("plain", request, headers, body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(
            answer.contains(&format!("{{\"reason\":\"{reason}\"}}")),
            "{request}: {answer}"
        );
        assert!(
            answer.contains("content-type: application/json"),
            "{request}: {answer}"
        );
        if headers == id {
            assert!(answer.contains(id), "{answer}");
        }
    }
    assert!(
        gateway
            .ask("plain", "GET /else", "", "")
            .starts_with("HTTP/1.1 404 ")
    );
    // The door for counters takes no pushes.
    let answer = gateway.ask("admin", "POST /3/device/ab", "", "{}");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[test]
fn a_token_of_ours_is_judged_at_the_plain_door_as_through_tls() {
    let mut gateway = Gateway::start(&["--gone", "1"]);
    let payload = format!(r#"{{"mdm":"{}"}}"#, gateway.magic(0));
    let ours = format!("POST /3/device/{}", gateway.token(0));
    let answer = gateway.ask("plain", &ours, "", &payload);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let line = gateway.line();
    assert_eq!(
        (&line["door"], &line["magic"]),
        (&json!("plain"), &json!("right"))
    );
    // No device stands behind it, so it can be listened to.
    let mut listener = Listener::begin(&gateway, &gateway.token(0));
    assert_eq!(listener.ping(), Some(payload));
    let answer = gateway.ask("plain", &ours, "apns-topic: other\r\n", "{}");
    assert!(answer.contains("TopicDisallowed"), "{answer}");
    let gone = format!("POST /3/device/{}", gateway.token(1));
    let answer = gateway.ask("plain", &gone, "", "{}");
    assert!(answer.starts_with("HTTP/1.1 410 "), "{answer}");
    assert!(answer.contains("\"timestamp\":"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_through_tls_can_be_listened_to_unless_the_scenario_loses_it() {
    let folder = tempfile::tempdir().unwrap();
    let faults = "[[apns.faults]]\nfault = \"drop\"\nnth = 2\n";
    let mut gateway = Gateway::start(&[&scenario(&folder, faults)]);
    let mut listener = Listener::begin(&gateway, &gateway.token(0));
    let provider = gateway.provider();
    for magic in ["one", "two", "three"] {
        provider.push(&gateway.order(0, magic.into())).await;
    }
    let heard = [listener.ping(), listener.ping()].map(Option::unwrap);
    assert_eq!(heard, [r#"{"mdm":"one"}"#, r#"{"mdm":"three"}"#]);
    let faults: Vec<Value> = (0..3).map(|_| gateway.line()["fault"].clone()).collect();
    assert_eq!(faults, [Value::Null, json!("drop"), Value::Null]);
    // Of the scenario's two devices, the third is none.
    let third = provider.push(&gateway.order(2, "m".into())).await;
    assert!(matches!(third, PushResult::Refused(reason) if reason.name() == "BadDeviceToken"));
}

#[test]
fn what_a_webhook_has_not_heard_of_at_the_end_counts_as_dropped() {
    let hook = TcpListener::bind(ANY).unwrap();
    let url = format!("http://{}/pushes", hook.local_addr().unwrap());
    let gateway = Gateway::start(&["--webhook", &url]);
    for _ in 0..3 {
        gateway.ask("plain", "POST /3/device/zz", "", "{}");
    }
    let mut gateway = gateway;
    for _ in 0..3 {
        gateway.line();
    }
    let last = gateway.stop();
    let counts = json!({ "sent": 0, "failed": 0, "dropped": 3 });
    assert_eq!(last["webhook"], counts);
}

#[test]
fn counters_are_served_for_prometheus() {
    let gateway = Gateway::start(&[]);
    gateway.ask("plain", "POST /3/device/ab", "apns-topic: a\"b\r\n", "{}");
    gateway.ask("plain", "POST /3/device/xy", "", "{}");
    for door in ["admin", "plain"] {
        let answer = gateway.ask(door, "GET /metrics", "", "");
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4"),
            "{answer}"
        );
        for line in [
            "mdmstorm_apns_pushes_total{verdict=\"200\"} 1",
            "mdmstorm_apns_pushes_total{verdict=\"400 BadDeviceToken\"} 1",
            "mdmstorm_apns_pushes_by_topic_total{topic=\"a\\\"b\"} 1",
            "mdmstorm_apns_pushes_waiting 1",
            "mdmstorm_apns_connections_open 1",
        ] {
            assert!(answer.lines().any(|it| it == line), "{line} in {answer}");
        }
        assert!(gateway.ask(door, "GET /healthz", "", "").ends_with("ok\n"));
    }
}

#[test]
fn a_webhook_hears_of_each_push() {
    let hook = TcpListener::bind(ANY).unwrap();
    let url = format!("http://{}/pushes", hook.local_addr().unwrap());
    let mut gateway = Gateway::start(&["--webhook", &url]);
    gateway.ask("plain", "POST /3/device/ab", "", "{}");
    gateway.ask("plain", "POST /3/device/ab", "", "");
    let (mut tcp, _) = hook.accept().unwrap();
    let mut reader = BufReader::new(tcp.try_clone().unwrap());
    for expected in [200, 400] {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("POST /pushes HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let length = head
            .lines()
            .find_map(|it| it.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let push: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(push["status"], expected);
        assert_eq!(push["token"], "ab");
        let logged = gateway.line();
        assert_eq!(push["apns_id"], logged["apns_id"]);
        tcp.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    }
}

#[test]
fn a_webhook_elsewhere_has_to_be_allowed() {
    let folder = tempfile::tempdir().unwrap();
    for (url, said) in [
        ("http://192.0.2.1/x", "--webhook-anywhere"),
        ("https://127.0.0.1/x", "over http only"),
        ("nonsense", "is no URL"),
    ] {
        let output = mdmstorm(folder.path(), &["--webhook", url])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output).contains(said), "{}", text(&output));
    }
}

#[test]
fn every_port_in_use_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let taken = [
        TcpListener::bind(ANY).unwrap(),
        TcpListener::bind(ANY).unwrap(),
    ];
    let taken = taken
        .each_ref()
        .map(|it| it.local_addr().unwrap().to_string());
    let doors = [
        "--listen",
        &taken[0],
        "--connect-proxy",
        ANY,
        "--plain",
        &taken[1],
    ];
    let output = mdmstorm(&folder.path().join("state"), &doors)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output);
    for address in &taken {
        assert!(
            text.contains(&format!("cannot listen on {address}")),
            "{text}"
        );
    }
}

#[test]
fn several_addresses_are_listened_on_at_once() {
    let gateway = Gateway::start(&["--listen", ANY]);
    let addresses = gateway.listening["tls"].as_array().unwrap();
    assert_eq!(addresses.len(), 2);
    for address in addresses {
        TcpStream::connect(address.as_str().unwrap()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_of_ones_own_signs_what_servers_see() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, key) = Authority::create("company", wall_now()).unwrap();
    let files = ["ca.pem", "ca.key"].map(|name| folder.path().join(name));
    fs::write(&files[0], authority.certificate_pem()).unwrap();
    fs::write(&files[1], key).unwrap();
    let names = files.each_ref().map(|path| path.to_str().unwrap());
    let gateway = Gateway::start(&["--ca", names[0], "--ca-key", names[1]]);
    assert_eq!(gateway.listening["ca"], names[0]);
    let provider = gateway.provider();
    let pushed = provider.push(&gateway.order(0, gateway.magic(0))).await;
    assert!(matches!(pushed, PushResult::Accepted { .. }), "{pushed:?}");
    let state = folder.path().join("other");
    let output = mdmstorm(&state, &["--print", "--ca", names[1], "--ca-key", names[1]]);
    let output = text(&{ output }.output().unwrap());
    assert!(
        output.contains("ca.key cannot sign certificates"),
        "{output}"
    );
    let output = text(
        &mdmstorm(&state, &["--print", "--ca", names[0]])
            .output()
            .unwrap(),
    );
    assert!(output.contains("--ca-key"), "{output}");
}

#[test]
fn garbage_at_the_plain_door_harms_nobody() {
    let mut gateway = Gateway::start(&[]);
    let huge = format!("GET /stats HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    for garbage in [
        &b"\0\xff\x16\x03\x01 nonsense\r\n\r\n"[..],
        b"POST /3/device/ab HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /3/device/ab HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        huge.as_bytes(),
    ] {
        let mut tcp = TcpStream::connect(gateway.address("plain")).unwrap();
        // It may be cut off while it still writes.
        let _ = tcp.write_all(garbage);
        let _ = tcp.shutdown(std::net::Shutdown::Write);
        let _ = tcp.read_to_end(&mut Vec::new());
    }
    let answer = gateway.ask("plain", "POST /3/device/ab", "", "{}");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    while gateway.line()["status"] != 200 {}
}

#[test]
fn help_shows_examples() {
    let output = mdmstorm(Path::new("unused"), &["--help"]).output().unwrap();
    let text = text(&output);
    for part in [
        "Examples:",
        "--plain 127.0.0.1:8378",
        "--webhook",
        "--ca-key",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
