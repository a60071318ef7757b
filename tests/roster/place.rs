//! A folder with a scenario, a state folder and a server that outlives runs.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mdmstorm::ids::{hex_lower, hex_upper};
use tempfile::TempDir;

/// Twenty devices, two orders each.
pub(crate) const SCENARIO: &str = r#"name = "small"
seed = 1

[target.nanomdm]
url = "https://127.0.0.1:PORT"
api-key = { env = "ROSTER_API_KEY" }
ca = "STATE/device-ca.pem"

[enrollment]
within = "60s"

[apns]
listen = "127.0.0.1:GATEWAY"

[[cohorts]]
name = "carts"
count = 20
preset = "always-on"

[[stages]]
name = "ask"
duration = "1s"
commands = [{ request = "SecurityInfo", to = "carts", each = 2 }]
"#;

const KEY: &str = "a-key-for-this-test";

pub(crate) struct Place {
    folder: TempDir,
    port: u16,
    gateway: u16,
}

/// The reference server as a process of its own; it ends with the test.
pub(crate) struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Place {
    pub(crate) fn new(scenario: &str) -> Self {
        let place = Self {
            folder: TempDir::new().unwrap(),
            port: port(),
            gateway: port(),
        };
        place.write("s.toml", &place.scenario(scenario));
        place
    }

    /// A scenario with this place's ports.
    pub(crate) fn scenario(&self, text: &str) -> String {
        text.replace("PORT", &self.port.to_string())
            .replace("GATEWAY", &self.gateway.to_string())
            .replace("STATE", &self.path("state").display().to_string())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Starts the server, and waits until it says that it serves.
    pub(crate) fn serve(&self) -> Server {
        let mut process = self
            .command(&["serve", "--identity", "signature", "--api-key", KEY])
            .args(["--https", &format!("127.0.0.1:{}", self.port)])
            .args(["--gateway", &format!("127.0.0.1:{}", self.gateway)])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("devices"), "{line}");
        Server {
            process,
            port: self.port,
        }
    }

    /// `mdmstorm` in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
        command
            .args(arguments)
            .arg("--state")
            .arg(self.path("state"))
            .current_dir(self.folder.path())
            .env("ROSTER_API_KEY", KEY);
        command
    }

    /// Its exit code and all that it says, the folder called DIR.
    pub(crate) fn mdmstorm(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let folder = self.folder.path().display().to_string();
        let said = said
            .replace(&folder, "DIR")
            .replace(&format!(":{}", self.port), ":PORT");
        (output.status.code().unwrap(), said.trim_end().to_owned())
    }

    /// The private keys of all devices, in every form in which they might be written somewhere: the
    /// middle of each, which no other key has.
    pub(crate) fn exported_key(&self) -> Vec<String> {
        let (code, said) = self.mdmstorm(&[
            "roster",
            "export",
            "--roster",
            "kept",
            "--to",
            "secret",
            "--with-keys",
        ]);
        assert_eq!(code, 0, "{said}");
        let mut forms = Vec::new();
        for entry in std::fs::read_dir(self.path("secret")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|it| it != "key") {
                continue;
            }
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &std::fs::metadata(&path).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600);
            let pem = std::fs::read_to_string(&path).unwrap();
            let lines = pem.lines().filter(|line| !line.starts_with("---"));
            let der = STANDARD.decode(lines.collect::<String>()).unwrap();
            // A P-256 key in PKCS#8: the secret number is the 32 bytes behind the first 36.
            let secret = &der[36..68];
            forms.extend([hex_lower(secret), hex_upper(secret)]);
            forms.push(STANDARD.encode(&der)[50..80].to_owned());
        }
        assert!(!forms.is_empty());
        forms
    }

    /// Every file below a folder as text; compressed ones as they were.
    pub(crate) fn texts_below(&self, folder: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for entry in std::fs::read_dir(self.path(folder)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let bytes = match path.extension().is_some_and(|it| it == "zst") {
                true => zstd::decode_all(&*bytes).unwrap(),
                false => bytes,
            };
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        texts
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        Path::new(&self.path(path)).exists()
    }
}

impl Server {
    /// Devices, enrolled ones, Authenticates, and devices under several identities.
    pub(crate) fn seen(&self) -> (u64, u64, u64, u64) {
        let url = format!("https://127.0.0.1:{}/v1/enrollments?udid=none", self.port);
        let output = Command::new("curl")
            .args(["-sSk", "-u", &format!("nanomdm:{KEY}"), &url])
            .output()
            .unwrap();
        let seen: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let total = |key: &str| seen["totals"][key].as_u64().unwrap();
        (
            total("devices"),
            total("enrolled"),
            total("authenticates"),
            total("under-several-identities"),
        )
    }
}
