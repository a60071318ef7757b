//! `mdmstorm apns` as a program of its own, and what a client has to be told to push through it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mdmstorm::engine::state::State;
use mdmstorm::ids::{Channel, DeviceId, hex_lower};

const KEY_ID: &str = "ABC123DEFG";
const TEAM_ID: &str = "DEF123GHIJ";

/// A gateway that ends with its client.
pub(crate) struct Gateway {
    process: Child,
    folder: tempfile::TempDir,
    state: State,
    direct: u16,
    proxy: u16,
    bearer: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Three cohorts of one device each: whose pushes go well, are answered with 410, and the first of
/// which ends its connection.
const COHORTS_AND_FAULTS: &str = r#"
[[apns.faults]]
fault = "answer"
reason = "Unregistered"
to = "gone"
[[apns.faults]]
fault = "goaway"
reason = "Shutdown"
nth = 1
to = "parting"
[[cohorts]]
name = "good"
count = 1
[[cohorts]]
name = "gone"
count = 1
[[cohorts]]
name = "parting"
count = 1
"#;

impl Gateway {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state_folder = folder.path().join("state");
        let state = State::open(&state_folder).unwrap();
        let (direct, proxy) = (port(), port());
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(folder.path().join("provider.p8"), key.serialize_pem()).unwrap();
        let public = folder.path().join("provider.pem");
        fs::write(&public, key.public_key_pem()).unwrap();
        let scenario = format!(
            r#"name = "clients"
[target.embedded]
[apns]
listen = "127.0.0.1:{direct}"
connect-proxy = "127.0.0.1:{proxy}"
[[apns.provider-keys]]
key-id = "{KEY_ID}"
team-id = "{TEAM_ID}"
public-key = "{}"
{COHORTS_AND_FAULTS}"#,
            public.display()
        );
        let file = folder.path().join("clients.toml");
        fs::write(&file, scenario).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_mdmstorm"))
            .arg("apns")
            .arg(&file)
            .arg("--state")
            .arg(&state_folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listens = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("listening"));
        assert!(listens, "mdmstorm apns did not start");
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            folder,
            state,
            direct,
            proxy,
            bearer: bearer(&key.serialize_der()),
        }
    }

    /// What a client is told.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let path = |path: PathBuf| path.display().to_string();
        let [certificate, key] = self.state.push_paths();
        let both = self.folder.path().join("push-both.pem");
        let parts = [&certificate, &key].map(|part| fs::read_to_string(part).unwrap());
        fs::write(&both, parts.concat()).unwrap();
        let channel = |device| Channel::device(DeviceId(device));
        let token = |device| hex_lower(&self.state.crowd.token(channel(device), 0).0);
        let authority = path(self.state.apns_authority_path());
        vec![
            ("GATEWAY_PORT", self.direct.to_string()),
            ("PROXY_PORT", self.proxy.to_string()),
            ("NODE_EXTRA_CA_CERTS", authority.clone()),
            ("CA", authority),
            ("CERTIFICATE", path(certificate)),
            ("KEY", path(key)),
            ("CERTIFICATE_AND_KEY", path(both)),
            ("TOPIC", self.state.topic.clone()),
            ("PROVIDER_KEY", path(self.folder.path().join("provider.p8"))),
            ("KEY_ID", KEY_ID.into()),
            ("TEAM_ID", TEAM_ID.into()),
            ("BEARER", self.bearer.clone()),
            ("MAGIC", self.state.crowd.magic(channel(0), 0)),
            ("TOKEN_GOOD", token(0)),
            ("TOKEN_GONE", token(1)),
            ("TOKEN_PARTING", token(2)),
            ("TOKEN_BAD", "00".repeat(32)),
        ]
    }
}

/// A provider's bearer token, made at this moment: a JWT signed with ES256.
#[expect(
    clippy::disallowed_methods,
    reason = "the clients run in the time of this machine"
)]
fn bearer(key: &[u8]) -> String {
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let header = format!(r#"{{"alg":"ES256","kid":"{KEY_ID}"}}"#);
    let claims = format!(r#"{{"iss":"{TEAM_ID}","iat":{}}}"#, now.as_secs());
    let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = signed.join(".");
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A port that was free a moment ago.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
