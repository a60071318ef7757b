//! MicroMDM as a program of its own, behind the CONNECT proxy of `mdmstorm apns`.
//!
//! MicroMDM lets in devices whose certificates its own SCEP authority signed. The rig reads that
//! authority from MicroMDM's database and signs them itself, so that the tests are about pushes alone.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mdmstorm::engine::authority::Authority;
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::cms;
use mdmstorm::engine::identity::certified;
use mdmstorm::engine::state::State;
use mdmstorm::ids::{Channel, DeviceId};
use mdmstorm::protocol::checkin::{Authenticate, CheckIn, TokenUpdate};
use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, RsaKeySize};
use serde_json::{Value, json};

const KEY: &str = "a-key-for-this-test";

/// How long MicroMDM may take until something that it does by itself is done.
const PATIENCE: Duration = Duration::from_secs(20);

#[expect(
    clippy::disallowed_methods,
    reason = "tests are told of other programs this way"
)]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn program() -> Option<String> {
    let program = std::env::var("MDMSTORM_MICROMDM").ok();
    if program.is_none() {
        eprintln!("skipped: MDMSTORM_MICROMDM is not set to the path of micromdm");
    }
    program
}

/// A port that was free a moment ago.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A gateway, a MicroMDM behind its proxy, and devices.
pub(crate) struct Rig {
    gateway: Child,
    micromdm: Child,
    seen: BufReader<ChildStdout>,
    port: u16,
    state: State,
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        for process in [&mut self.gateway, &mut self.micromdm] {
            let _ = process.kill();
            let _ = process.wait();
        }
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
        let config = folder.path().join("config");
        // It makes its other folders itself.
        fs::create_dir(folder.path().join("files")).unwrap();
        let micromdm = Command::new(program)
            .args(["serve", "-tls=false", "-validate-scep-issuer"])
            .args(["-api-key", KEY, "-server-url", "https://mdm.example.test"])
            .args(["-http-addr", &format!("127.0.0.1:{server}")])
            .arg("-config-path")
            .arg(&config)
            .arg("-filerepo")
            .arg(folder.path().join("files"))
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{proxy}"))
            .env("SSL_CERT_FILE", state.apns_authority_path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Nothing but a connection tells that it listens; one to a free port may be to itself.
        until("micromdm listens", || {
            let stream = TcpStream::connect(("127.0.0.1", server)).ok()?;
            (stream.local_addr().ok() != stream.peer_addr().ok()).then_some(())
        });
        let database = config.join("micromdm.db");
        let authority = until("micromdm has an authority", || authority(&database));
        let rig = Self {
            gateway,
            micromdm,
            seen,
            port: server,
            state,
            authority,
            _folder: folder,
        };
        rig.upload_push_certificate();
        (0..u32::try_from(cohorts.len()).unwrap()).for_each(|device| rig.enroll(device));
        rig
    }

    fn upload_push_certificate(&self) {
        let [certificate, key] = push_certificate(&self.state).map(|it| STANDARD.encode(it));
        let body = json!({ "cert": certificate, "key": key }).to_string();
        let (status, said) = self.admin("PUT", "/v1/config/certificate", &body);
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
            udid: udid.clone(),
            topic: topic.clone(),
            os_version: None,
            build: None,
            product: None,
            serial: Some(crowd.serial(DeviceId(device))),
            mac: None,
        });
        let token_update = CheckIn::TokenUpdate(TokenUpdate {
            udid,
            topic: topic.clone(),
            token: crowd.token(channel, 0).0.to_vec(),
            magic: crowd.magic(channel, 0),
            unlock_token: None,
            user: None,
            awaiting_configuration: false,
        });
        for message in [authenticate, token_update] {
            let body = message.encode();
            let signature = cms::mdm_signature(&body, &key, wall_now()).unwrap();
            let header = format!("mdm-signature: {signature}");
            let (status, said) = self.ask("PUT", "/mdm/checkin", &header, &body);
            assert_eq!(status, 200, "{said}");
        }
    }

    fn admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let user = STANDARD.encode(format!("micromdm:{KEY}"));
        let header = format!("authorization: Basic {user}");
        self.ask(method, path, &header, body.as_bytes())
    }

    fn ask(&self, method: &str, path: &str, header: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        // HTTP/1.0: the answer is everything until the end of the connection.
        let head = format!(
            "{method} {path} HTTP/1.0\r\ncontent-type: application/x-apple-aspen-mdm-checkin\r\n\
             {header}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        // Until it has taken note of the push certificate, it panics and answers nothing.
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        (status.unwrap_or(0), body.to_owned())
    }

    /// What MicroMDM answers when it is asked for a push.
    pub(crate) fn push(&self, device: u32) -> Value {
        let path = format!("/push/{}", self.udid(device));
        // It takes note of tokens and of the push certificate a moment after it answered: until then
        // the one is not found, and without the other it panics and says nothing.
        let said = until("micromdm pushes", || {
            let (_, said) = self.admin("GET", &path, "");
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
        let (status, said) = self.admin("POST", "/v1/commands", &body.to_string());
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

#[expect(clippy::disallowed_methods, reason = "MicroMDM has a clock of its own")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for something that MicroMDM does by itself and tells nobody of.
fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: it did not come to that"
        );
        std::thread::yield_now();
    }
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

/// A push certificate for the topic of `state`, and its key, as PEM. MicroMDM takes RSA keys in
/// PKCS#1 alone, and those in the state folder are on a curve.
fn push_certificate(state: &State) -> [String; 2] {
    let authority_key = fs::read_to_string(state.folder.join("apns-ca.key")).unwrap();
    let authority_key = KeyPair::from_pem(&authority_key).unwrap();
    let authority = state.apns_authority.certificate();
    let authority = Issuer::from_ca_cert_der(authority, authority_key).unwrap();
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let uid = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
    params.distinguished_name.push(uid, state.topic.as_str());
    let certificate = params.signed_by(&key, &authority).unwrap();
    // PKCS#8 of an RSA key of this size is 26 bytes that never differ in kind, then PKCS#1.
    let key = &key.serialize_der()[26..];
    [
        pem("CERTIFICATE", certificate.der()),
        pem("RSA PRIVATE KEY", key),
    ]
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
