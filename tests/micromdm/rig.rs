//! A MicroMDM behind the CONNECT proxy of `mdmstorm apns`.
//!
//! MicroMDM lets in devices whose certificates its own SCEP authority signed. The rig reads that
//! authority from MicroMDM's database and signs them itself, so that the tests are about pushes alone.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mdmstorm::engine::authority::Authority;
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::cms;
use mdmstorm::engine::identity::certified;
use mdmstorm::engine::state::State;
use mdmstorm::ids::{Channel, DeviceId};
use mdmstorm::protocol::checkin::{Authenticate, CheckIn, TokenUpdate};
use serde_json::{Value, json};

use crate::server::{Micromdm, port, until};

/// A gateway, a MicroMDM behind its proxy, and devices.
pub(crate) struct Rig {
    gateway: Child,
    micromdm: Micromdm,
    seen: BufReader<ChildStdout>,
    state: State,
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

impl Rig {
    /// Starts both with a cohort of one device each, and enrols them all.
    pub(crate) fn start(program: &str, faults: &str, cohorts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state_folder = folder.path().join("state");
        let state = State::open(&state_folder).unwrap();
        let (server, proxy) = (port(), port());
        let file = folder.path().join("pushes.toml");
        let mut scenario = format!(
            "name = \"pushes\"\n[target.embedded]\n[apns]\nlisten = \"127.0.0.1:0\"\n\
             connect-proxy = \"127.0.0.1:{proxy}\"\n{faults}\n"
        );
        for name in cohorts {
            scenario.push_str(&format!("[[cohorts]]\nname = \"{name}\"\ncount = 1\n"));
        }
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
        assert_eq!(line(&mut seen).unwrap()["event"], "listening");
        let trusted = state.apns_authority_path();
        let arguments = ["-validate-scep-issuer"];
        let micromdm = Micromdm::start(program, folder.path(), server, proxy, &trusted, &arguments);
        let database = micromdm.config.join("micromdm.db");
        let authority = until("micromdm has an authority", || authority(&database));
        let rig = Self {
            gateway,
            micromdm,
            seen,
            state,
            authority,
            _folder: folder,
        };
        rig.upload_push_certificate();
        (0..u32::try_from(cohorts.len()).unwrap()).for_each(|device| rig.enroll(device));
        rig
    }

    fn upload_push_certificate(&self) {
        let push = self.state.rsa_push().unwrap();
        let [certificate, key] =
            [push.certificates_pem(), push.key_pem()].map(|it| STANDARD.encode(it));
        let body = json!({ "cert": certificate, "key": key }).to_string();
        let (status, said) = self.micromdm.admin("PUT", "/v1/config/certificate", &body);
        assert_eq!(status, 200, "{said}");
    }

    fn udid(&self, device: u32) -> String {
        self.state.crowd.udid(DeviceId(device))
    }

    fn enroll(&self, device: u32) {
        let channel = Channel::device(DeviceId(device));
        let (crowd, topic, udid) = (&self.state.crowd, &self.state.topic, self.udid(device));
        let credential = self.authority.device_certificate(&udid, wall_now());
        let key = certified(&credential.unwrap()).unwrap();
        let authenticate = CheckIn::Authenticate(Authenticate {
            udid: udid.clone().into(),
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
            udid: udid.into(),
            topic: topic.clone(),
            token: crowd.token(channel, 0).0.to_vec(),
            magic: crowd.magic(channel, 0),
            unlock_token: None,
            user: None,
            awaiting_configuration: false,
            auth_token: None,
        });
        for message in [authenticate, token_update] {
            let body = message.encode();
            let signature = cms::mdm_signature(&body, &key, wall_now()).unwrap();
            let header = format!("mdm-signature: {signature}");
            let (status, said) = self.micromdm.ask("PUT", "/mdm/checkin", &header, &body);
            assert_eq!(status, 200, "{said}");
        }
    }

    /// What MicroMDM answers when it is asked for a push.
    pub(crate) fn push(&self, device: u32) -> Value {
        let path = format!("/push/{}", self.udid(device));
        // It takes note of tokens and of the push certificate a moment after it answered: until then
        // the one is not found, and without the other it panics and says nothing.
        let said = until("micromdm pushes", || {
            let (_, said) = self.micromdm.admin("GET", &path, "");
            (!said.is_empty() && !said.contains("not found")).then_some(said)
        });
        serde_json::from_str(&said).expect(&said)
    }

    /// What MicroMDM says of a push that fails.
    pub(crate) fn push_error(&self, device: u32) -> String {
        let answer = self.push(device);
        let error = answer["error"].as_str();
        error.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Orders a command, which MicroMDM then pushes for.
    pub(crate) fn enqueue(&self, device: u32) {
        let body = json!({ "udid": self.udid(device), "request_type": "ProfileList" });
        let (status, said) = self
            .micromdm
            .admin("POST", "/v1/commands", &body.to_string());
        assert_eq!(status, 201, "{said}");
    }

    /// The next push that the gateway tells of; `None` once it has ended.
    pub(crate) fn seen(&mut self) -> Option<Value> {
        loop {
            let line = line(&mut self.seen)?;
            if line["event"] == "push" {
                return Some(line);
            }
        }
    }

    /// The next push, in short: `410 Unregistered` or how it was left unanswered.
    pub(crate) fn seen_as(&mut self) -> String {
        let seen = self.seen().unwrap();
        match (&seen["status"], &seen["reason"], &seen["how"]) {
            (Value::Number(status), Value::String(reason), _) => format!("{status} {reason}"),
            (Value::Number(status), _, _) => status.to_string(),
            (_, _, how) => how.as_str().unwrap().to_owned(),
        }
    }

    /// Ends the gateway: a push that it has told of and that nobody has read yet.
    pub(crate) fn end(&mut self) -> Option<Value> {
        self.gateway.kill().unwrap();
        self.seen()
    }
}

/// The next line of the gateway, which is JSON.
fn line(seen: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut line = String::new();
    seen.read_line(&mut line).unwrap();
    (!line.is_empty()).then(|| serde_json::from_str(&line).expect(&line))
}

/// MicroMDM's SCEP authority. Its database (bolt) writes a key and its value one after the other, and
/// both values are DER, which knows its length.
fn authority(database: &Path) -> Option<Authority> {
    let bytes = fs::read(database).unwrap();
    let value = |key: &[u8]| {
        let sought = [key, &[0x30, 0x82]].concat();
        let at = bytes.windows(sought.len()).position(|it| it == sought)?;
        let der = &bytes[at + key.len()..];
        Some(der[..4 + usize::from(u16::from_be_bytes([der[2], der[3]]))].to_vec())
    };
    let certificate = pem("CERTIFICATE", &value(b"ca_certificate")?);
    let key = pem("RSA PRIVATE KEY", &value(b"ca_key")?);
    Some(Authority::load(&certificate, &key, wall_now()).unwrap())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
