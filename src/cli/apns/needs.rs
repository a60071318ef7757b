//! What a server needs to push through the gateway: addresses, files, environment, tokens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::engine::authority::Credential;
use crate::engine::endpoint::Endpoint;
use crate::engine::front::Doors;
use crate::engine::run::{RunError, push_credential};
use crate::engine::state::State;
use crate::ids::{Channel, Crowd, DeviceId, hex_lower};
use crate::scenario::{ApiTarget, IdentityMode, Method, Scenario, Target};

/// The files that a server has to trust and to push with: the scenario's own, or those of the
/// state folder.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) push: Credential,
    pub(super) topic: String,
    push_certificate: PathBuf,
    push_key: PathBuf,
    push_authority: PathBuf,
    device_authority: PathBuf,
}

impl Files {
    pub(super) fn of(scenario: Option<&Scenario>, state: &State) -> Result<Self, RunError> {
        let (push, topic) = match scenario {
            Some(scenario) => push_credential(scenario, state)?,
            None => (state.push.clone(), state.topic.clone()),
        };
        let is_micromdm = scenario.is_some_and(|it| matches!(it.target, Target::Micromdm(_)));
        let [certificate, key] = if is_micromdm {
            state.rsa_push_paths()
        } else {
            state.push_paths()
        };
        let apns = scenario.map(|scenario| &scenario.apns);
        let enrollment = scenario.map(|scenario| &scenario.enrollment);
        let given = |path: Option<&PathBuf>, ours: PathBuf| path.cloned().unwrap_or(ours);
        Ok(Self {
            push,
            topic,
            push_certificate: given(apns.and_then(|a| a.push_certificate.as_ref()), certificate),
            push_key: given(apns.and_then(|a| a.push_key.as_ref()), key),
            push_authority: state.apns_authority_path(),
            device_authority: given(
                enrollment.and_then(|e| e.ca.as_ref()),
                state.device_authority_path(),
            ),
        })
    }
}

/// Everything that is told before the first push.
#[derive(Debug)]
pub(super) struct Needs<'a> {
    pub(super) scenario: Option<&'a Scenario>,
    /// The scenario's file.
    pub(super) file: Option<&'a Path>,
    pub(super) files: &'a Files,
    pub(super) doors: &'a Doors,
    pub(super) crowd: &'a Crowd,
    /// Of how many devices tokens are told.
    pub(super) tokens: u32,
}

impl Needs<'_> {
    /// For people, and for a shell: what is no command is a comment.
    pub(super) fn text(&self) -> String {
        let Self { files, doors, .. } = self;
        let mut text = format!(
            "# The gateway speaks APNs (HTTP/2 over TLS) at https://{}",
            doors.direct
        );
        for further in &doors.further {
            text.push_str(&format!(", https://{further}"));
        }
        text.push('\n');
        let mut door = |what: &str, address: Option<SocketAddr>| {
            if let Some(address) = address {
                text.push_str(&format!("# {what} http://{address}\n"));
            }
        };
        door(
            "for servers with Apple's host name compiled in, a CONNECT proxy is at",
            doors.proxy,
        );
        door("pushes over plain HTTP/1.1 go to", doors.plain);
        door("counters are at /stats and /metrics of", doors.admin);
        text.push_str(&format!(
            "# push topic        {}\n\
             # push certificate  {}\n\
             # push key          {}\n\
             # trust for pushes  {}\n\
             # trust for devices {}\n",
            files.topic,
            files.push_certificate.display(),
            files.push_key.display(),
            files.push_authority.display(),
            match self.issuer() {
                None => files.device_authority.display().to_string(),
                Some(way) => format!(
                    "the authority behind {way}; before that, devices are vouched for by {}",
                    files.device_authority.display()
                ),
            },
        ));
        for (device, token, magic) in self.tokens() {
            text.push_str(&format!(
                "# device {device:<4} token {token} magic {magic}\n"
            ));
        }
        let target = self
            .scenario
            .map(|it| (&it.target, &it.enrollment.identity));
        match target {
            Some((Target::Nanomdm(nanomdm), identity)) => {
                text.push_str(&self.nanomdm_commands(nanomdm, identity));
            }
            Some((Target::Micromdm(micromdm), _)) => {
                text.push_str(&self.micromdm_commands(micromdm));
            }
            Some((Target::Embedded(_) | Target::Observe(_), _)) | None => {
                text.push_str(&environment(files, doors.proxy));
            }
        }
        text
    }

    /// The section of the way by which devices get identities from somebody else.
    fn issuer(&self) -> Option<&'static str> {
        Some(match self.scenario?.enrollment.method {
            Method::Issued => return None,
            Method::Profile(_) => "[enrollment.profile]",
            Method::Scep(_) => "[enrollment.scep]",
            Method::Acme(_) => "[enrollment.acme]",
            Method::Ota(_) => "[enrollment.ota]",
            Method::Automated { .. } => "[enrollment.automated]",
            Method::AccountDriven { .. } => "[enrollment.account-driven]",
        })
    }

    fn nanomdm_commands(&self, nanomdm: &ApiTarget, identity: &IdentityMode) -> String {
        let Self { files, doors, .. } = self;
        let key = &nanomdm.api_key.0;
        let environment = found_through_proxy("NanoMDM", files, doors.proxy);
        let header = match identity {
            IdentityMode::Header { name, .. } => format!(" -cert-header {name}"),
            IdentityMode::Signature | IdentityMode::Mtls => String::new(),
        };
        let (issuer, authority) = match self.issuer() {
            None => (String::new(), quoted(&files.device_authority)),
            Some(way) => (
                format!("#    issuer.pem: the certificate of whoever issues by {way}, as PEM\n"),
                "issuer.pem".to_owned(),
            ),
        };
        let events = tells_events("-webhook-url", nanomdm);
        format!(
            "\n# 1. NanoMDM, in a terminal of its own (with {key} set to a key of your choice)\n\
             {issuer}{environment}nanomdm -ca {authority} -api \"${key}\" -listen {}{header}{events}\n\
             \n# 2. its push certificate; `mdmstorm run` does this by itself\n\
             cat {} {} | curl -T - -u \"nanomdm:${key}\" {}/v1/pushcert\n\
             \n# 3. the run\n\
             mdmstorm run {}\n",
            listens_at(&nanomdm.url, "127.0.0.1:9000"),
            quoted(&files.push_certificate),
            quoted(&files.push_key),
            nanomdm.url,
            self.file_name(),
        )
    }

    fn micromdm_commands(&self, micromdm: &ApiTarget) -> String {
        let Self { files, doors, .. } = self;
        let (key, url) = (&micromdm.api_key.0, &micromdm.url);
        let environment = found_through_proxy("MicroMDM", files, doors.proxy);
        let events = tells_events("-command-webhook-url", micromdm);
        let [certificate, push_key] =
            [&files.push_certificate, &files.push_key].map(|file| quoted(file));
        format!(
            "\n# 1. MicroMDM, in a terminal of its own (with {key} set to a key of your choice)\n\
             {environment}micromdm serve -tls=false -http-addr {} -server-url {} \\\n    \
             -api-key \"${key}\" -config-path micromdm{events}\n\
             \n# 2. its push certificate; `mdmstorm run` does this by itself\n\
             curl -T - -u \"micromdm:${key}\" {url}/v1/config/certificate <<END\n\
             {{\"cert\":\"$(base64 <{certificate} | tr -d '\\n')\",\"key\":\"$(base64 <{push_key} | tr -d '\\n')\"}}\n\
             END\n\
             \n# 3. the run\n\
             mdmstorm run {}\n",
            listens_at(url, "127.0.0.1:8080"),
            self.public_url(url),
            self.file_name(),
        )
    }

    /// What a target at `url` is to call itself: what the scenario replaces by `url`, or the same
    /// with https, which MicroMDM insists on.
    fn public_url(&self, url: &str) -> String {
        let rewrite = self.scenario.map(|it| it.enrollment.rewrite.as_slice());
        let public = rewrite.unwrap_or_default().iter().find(|(_, to)| to == url);
        match public {
            Some((public, _)) => public.clone(),
            None => url.replacen("http://", "https://", 1),
        }
    }

    fn file_name(&self) -> String {
        self.file
            .map_or_else(|| "SCENARIO".into(), |file| file.display().to_string())
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let Self { files, doors, .. } = self;
        let direct = std::iter::once(&doors.direct).chain(&doors.further);
        let tokens = self.tokens();
        let tokens = tokens.map(
            |(device, token, magic)| json!({ "device": device, "token": token, "magic": magic }),
        );
        json!({
            "event": "listening",
            "tls": direct.collect::<Vec<_>>(),
            "connect_proxy": doors.proxy,
            "plain": doors.plain,
            "admin": doors.admin,
            "topic": files.topic,
            "push_certificate": files.push_certificate,
            "push_key": files.push_key,
            "ca": files.push_authority,
            "device_ca": files.device_authority,
            "tokens": tokens.collect::<Vec<_>>(),
        })
    }

    /// Number, token and PushMagic of the first devices, as they are when they have enrolled once.
    fn tokens(&self) -> impl Iterator<Item = (u32, String, String)> {
        let crowd = self.crowd.clone();
        (0..self.tokens).map(move |device| {
            let channel = Channel::device(DeviceId(device));
            let token = hex_lower(&crowd.token(channel, 0).0);
            (device, token, crowd.magic(channel, 0))
        })
    }
}

/// How a server finds the gateway without a change to it: Go reads the first two, Node the third.
fn environment(files: &Files, proxy: Option<SocketAddr>) -> String {
    let authority = quoted(&files.push_authority);
    let proxy = proxy.map_or_else(String::new, |proxy| {
        format!("export HTTPS_PROXY=http://{proxy}\n")
    });
    format!("\n{proxy}export SSL_CERT_FILE={authority}\nexport NODE_EXTRA_CA_CERTS={authority}\n")
}

/// How a server with Apple's host name compiled in finds the gateway.
fn found_through_proxy(server: &str, files: &Files, proxy: Option<SocketAddr>) -> String {
    match proxy {
        Some(proxy) => format!(
            "HTTPS_PROXY=http://{proxy} SSL_CERT_FILE={} \\\n  ",
            quoted(&files.push_authority)
        ),
        None => format!(
            "# set connect-proxy under [apns]: {server} has Apple's host name compiled in\n"
        ),
    }
}

/// What a target is to be started with so that it tells of its events.
fn tells_events(flag: &str, target: &ApiTarget) -> String {
    target.webhook.map_or_else(String::new, |address| {
        format!(" \\\n    {flag} http://{address}/webhook")
    })
}

/// Where a target at `url` is to listen.
fn listens_at(url: &str, otherwise: &str) -> String {
    match Endpoint::resolve(url) {
        Ok(endpoint) => endpoint.address.to_string(),
        Err(_) => otherwise.to_owned(),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
