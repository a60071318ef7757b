//! NanoMDM's pushes through the CONNECT proxy of `mdmstorm apns`: what NanoMDM answers its
//! administrator, beside what the gateway says that it saw.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use mdmstorm::engine::state::State;
use mdmstorm::ids::{Channel, DeviceId};
use mdmstorm::protocol::checkin::{Authenticate, CheckIn, TokenUpdate};
use serde_json::Value;

use crate::server::{Nanomdm, port, program};

/// A gateway, a NanoMDM behind its proxy, and devices that NanoMDM took over from another server, so
/// that they need no certificates (`-migration`).
struct Rig {
    gateway: Child,
    seen: BufReader<ChildStdout>,
    nanomdm: Nanomdm,
    state: State,
    _folder: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

impl Rig {
    /// Starts both with a cohort of `count` devices each, and enrols them all.
    fn start(program: &str, faults: &str, cohorts: &[(&str, u32)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state_folder = folder.path().join("state");
        let state = State::open(&state_folder).unwrap();
        let (server, proxy) = (port(), port());
        let mut scenario = format!(
            "name = \"pushes\"\n[target.embedded]\n[apns]\nlisten = \"127.0.0.1:0\"\n\
             connect-proxy = \"127.0.0.1:{proxy}\"\n{faults}\n"
        );
        for (name, count) in cohorts {
            scenario.push_str(&format!(
                "[[cohorts]]\nname = \"{name}\"\ncount = {count}\n"
            ));
        }
        let file = folder.path().join("pushes.toml");
        fs::write(&file, scenario).unwrap();
        let mut gateway = Command::new(env!("CARGO_BIN_EXE_mdmstorm"))
            .arg("apns")
            .arg(&file)
            .args(["--log", "json", "--state"])
            .arg(&state_folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut seen = BufReader::new(gateway.stdout.take().unwrap());
        let listening = line(&mut seen).expect("mdmstorm apns says where it listens");
        assert_eq!(listening["event"], "listening", "{listening}");
        let authority = state.device_authority_path();
        let arguments = ["-ca", authority.to_str().unwrap(), "-migration"];
        let arguments = [&arguments[..], &["-storage", "inmem", "-storage-dsn", ""]].concat();
        let nanomdm = Nanomdm::start(program, server, proxy, folder.path(), &arguments);
        let rig = Self {
            gateway,
            seen,
            nanomdm,
            state,
            _folder: folder,
        };
        rig.upload_push_certificate();
        let devices = cohorts.iter().map(|(_, count)| count).sum();
        (0..devices).for_each(|device| rig.enroll(device));
        rig
    }

    fn upload_push_certificate(&self) {
        let files = self.state.push_paths();
        let pem = files.map(|file| fs::read_to_string(file).unwrap()).concat();
        let (status, body) = Nanomdm::answer(self.nanomdm.ask("/v1/pushcert", pem.as_bytes()));
        assert_eq!(status, 200, "{body}");
    }

    fn udid(&self, device: u32) -> String {
        self.state.crowd.udid(DeviceId(device))
    }

    fn enroll(&self, device: u32) {
        let channel = Channel::device(DeviceId(device));
        let (crowd, topic) = (&self.state.crowd, &self.state.topic);
        let authenticate = CheckIn::Authenticate(Authenticate {
            udid: self.udid(device).into(),
            topic: topic.clone(),
            os_version: None,
            build: None,
            product: None,
            serial: Some(crowd.serial(DeviceId(device))),
            imei: None,
            meid: None,
            mac: None,
        });
        let token_update = CheckIn::TokenUpdate(TokenUpdate {
            udid: self.udid(device).into(),
            topic: topic.clone(),
            token: crowd.token(channel, 0).0.to_vec(),
            magic: crowd.magic(channel, 0),
            unlock_token: None,
            user: None,
            awaiting_configuration: false,
            auth_token: None,
        });
        for message in [authenticate, token_update] {
            let answer = Nanomdm::answer(self.nanomdm.ask("/migration", &message.encode()));
            assert_eq!(answer.0, 200, "{}", answer.1);
        }
    }

    /// Asks NanoMDM for a push to each of the devices: what it says of each, by UDID.
    fn push(&self, devices: &[u32]) -> Value {
        let udids: Vec<_> = devices.iter().map(|&device| self.udid(device)).collect();
        let path = format!("/v1/push/{}", udids.join(","));
        let (_, body) = Nanomdm::answer(self.nanomdm.ask(&path, b""));
        let mut answer: Value = serde_json::from_str(&body).expect(&body);
        answer["status"].take()
    }

    /// What NanoMDM says of a push to one device that fails.
    fn push_error(&self, device: u32) -> String {
        let status = self.push(&[device]);
        let of_device = &status[self.udid(device)];
        let error = of_device["push_error"].as_str();
        error
            .unwrap_or_else(|| panic!("no push_error in {status}"))
            .to_owned()
    }

    /// The next push that the gateway tells of; `None` once it has ended.
    fn seen(&mut self) -> Option<Value> {
        loop {
            let line = line(&mut self.seen)?;
            if line["event"] == "push" {
                return Some(line);
            }
        }
    }

    /// The next push, in short: `410 Unregistered` or how it was left unanswered.
    fn seen_as(&mut self) -> String {
        let seen = self.seen().unwrap();
        match (&seen["status"], &seen["reason"], &seen["how"]) {
            (Value::Number(status), Value::String(reason), _) => format!("{status} {reason}"),
            (Value::Number(status), _, _) => status.to_string(),
            (_, _, how) => how.to_string(),
        }
    }
}

/// The next line of the gateway, which is JSON.
fn line(seen: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut line = String::new();
    seen.read_line(&mut line).unwrap();
    (!line.is_empty()).then(|| serde_json::from_str(&line).expect(&line))
}

#[test]
fn ten_thousand_pushes_arrive_and_none_of_them_twice() {
    let Some(program) = program() else { return };
    let mut rig = Rig::start(&program, "", &[("ipads", 100)]);
    let devices: Vec<u32> = (0..100).collect();
    let mut answered = BTreeSet::new();
    let mut received = BTreeSet::new();
    let mut by_owner: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..100 {
        let status = rig.push(&devices);
        for (udid, of_device) in status.as_object().unwrap() {
            let id = of_device["push_result"].as_str();
            let id = id.unwrap_or_else(|| panic!("{udid}: {of_device}"));
            assert!(answered.insert(id.to_owned()), "{id} was answered twice");
        }
        // Read as they come, so that the gateway never waits for this test.
        for _ in &devices {
            let seen = rig.seen().unwrap();
            assert_eq!(
                (&seen["status"], &seen["magic"]),
                (&200.into(), &"right".into())
            );
            let id = seen["apns_id"].as_str().unwrap();
            assert!(received.insert(id.to_owned()), "{id} came twice");
            *by_owner.entry(seen["owner"].to_string()).or_default() += 1;
        }
    }
    assert_eq!(answered.len(), 10_000);
    assert_eq!(answered, received);
    assert!(by_owner.values().all(|&pushes| pushes == 100));
    rig.gateway.kill().unwrap();
    assert_eq!(rig.seen(), None, "a push that nobody asked for");
}

/// A fault for each cohort of one device, in this order.
const FAULTS: &str = r#"
[[apns.faults]]
fault = "answer"
reason = "Unregistered"
to = "gone"
[[apns.faults]]
fault = "answer"
reason = "TooManyRequests"
to = "throttled"
[[apns.faults]]
fault = "answer"
reason = "ServiceUnavailable"
to = "unavailable"
[[apns.faults]]
fault = "garble"
to = "garbled"
[[apns.faults]]
fault = "answer"
status = 500
to = "empty"
[[apns.faults]]
fault = "goaway"
nth = 1
to = "parting"
[[apns.faults]]
fault = "hang"
to = "silent"
"#;

const COHORTS: [(&str, u32); 7] = [
    ("gone", 1),
    ("throttled", 1),
    ("unavailable", 1),
    ("garbled", 1),
    ("empty", 1),
    ("parting", 1),
    ("silent", 1),
];

#[test]
fn a_refused_push_leaves_its_reason_in_nanomdms_answer() {
    let Some(program) = program() else { return };
    let mut rig = Rig::start(&program, FAULTS, &COHORTS);
    let gone = rig.push_error(0);
    let expected = "push HTTP status: 410: APNs push error: Unregistered: timestamp ";
    assert!(gone.starts_with(expected), "{gone}");
    assert_eq!(rig.seen_as(), "410 Unregistered");
    assert_eq!(
        rig.push_error(1),
        "push HTTP status: 429: APNs push error: TooManyRequests"
    );
    assert_eq!(rig.seen_as(), "429 TooManyRequests");
    assert_eq!(
        rig.push_error(2),
        "push HTTP status: 503: APNs push error: ServiceUnavailable"
    );
    assert_eq!(rig.seen_as(), "503 ServiceUnavailable");
}

#[test]
fn an_answer_that_is_no_json_is_said_to_be_none() {
    let Some(program) = program() else { return };
    let mut rig = Rig::start(&program, FAULTS, &COHORTS);
    let garbled = rig.push_error(3);
    let expected = "push HTTP status: 502: decoding JSON push error: invalid character '<'";
    assert!(garbled.starts_with(expected), "{garbled}");
    assert_eq!(rig.seen_as(), "502");
    assert_eq!(
        rig.push_error(4),
        "push HTTP status: 500: decoding JSON push error: EOF"
    );
    assert_eq!(rig.seen_as(), "500");
}

#[test]
fn after_goaway_nanomdm_pushes_again_on_a_new_connection() {
    let Some(program) = program() else { return };
    let mut rig = Rig::start(&program, FAULTS, &COHORTS);
    // Go's HTTP/2 client repeats what the server says it has not looked at.
    let status = rig.push(&[5]);
    assert!(status[rig.udid(5)]["push_result"].is_string(), "{status}");
    assert_eq!(rig.seen_as(), "\"go-away\"");
    assert_eq!(rig.seen_as(), "200");
}

#[test]
fn a_push_that_hangs_holds_nanomdms_answer_up() {
    let Some(program) = program() else { return };
    let mut rig = Rig::start(&program, FAULTS, &COHORTS);
    let path = format!("/v1/push/{}", rig.udid(6));
    let asked = rig.nanomdm.ask(&path, b"");
    assert_eq!(rig.seen_as(), "\"hang\"");
    let patience = Duration::from_millis(500);
    asked.set_read_timeout(Some(patience)).unwrap();
    let answer = asked.peek(&mut [0]);
    let kind = answer.map_err(|error| error.kind());
    assert_eq!(
        kind,
        Err(std::io::ErrorKind::WouldBlock),
        "NanoMDM has no timeout"
    );
}
