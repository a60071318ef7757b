//! `mdmstorm apns`: what a server needs to push through the gateway, then the gateway alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::args::ApnsArgs;
use super::load;
use super::print::{Stop, say};
use crate::engine::alone::Alone;
use crate::engine::authority::Credential;
use crate::engine::endpoint::Endpoint;
use crate::engine::front::Listeners;
use crate::engine::run::{RunError, push_credential};
use crate::engine::state::State;
use crate::fact::{Fact, FactKind};
use crate::report::exit::Exit;
use crate::scenario::{Changes, IdentityMode, NanomdmTarget, Scenario, Target};

/// The addresses without a scenario.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2197);
const PROXY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3128);

pub(super) fn run(args: &ApnsArgs) -> Result<u8, Stop> {
    let scenario = match &args.scenario {
        Some(path) => Some(load::scenario_file(path, &Changes::default())?),
        None => None,
    };
    let folder = load::state_folder(&args.state)?;
    let state = State::open(&folder).map_err(|error| Stop::because(Exit::Unexpected, error))?;
    let (listen, proxy) = match &scenario {
        Some(scenario) => (scenario.apns.listen, scenario.apns.connect_proxy),
        None => (LISTEN, Some(PROXY)),
    };
    let listen = args.listen.unwrap_or(listen);
    let proxy = args.connect_proxy.or(proxy);
    let files = Files::of(scenario.as_ref(), &state)
        .map_err(|error| Stop::because(Exit::Unexpected, error))?;
    if args.print {
        say(&needs(
            scenario.as_ref(),
            args.scenario.as_deref(),
            &files,
            listen,
            proxy,
        ));
        return Ok(0);
    }
    let listeners =
        Listeners::bind(listen, proxy).map_err(|error| Stop::because(Exit::Unexpected, error))?;
    let listen = listeners.direct_address().unwrap_or(listen);
    let proxy = listeners.proxy_address();
    say(&needs(
        scenario.as_ref(),
        args.scenario.as_deref(),
        &files,
        listen,
        proxy,
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Stop::because(Exit::Unexpected, error))?;
    runtime.block_on(async {
        let alone = Alone::start(listeners, &state, &files.push, &files.topic);
        let mut alone = alone.map_err(|error| Stop::because(Exit::Unexpected, error))?;
        let mut asked =
            super::signals::listen().map_err(|error| Stop::because(Exit::Unexpected, error))?;
        say("listening; each push is a line; Ctrl-C ends it");
        loop {
            tokio::select! {
                fact = alone.next() => match fact {
                    Some(fact) => if let Some(line) = line(&fact) { say(&line) },
                    None => break,
                },
                _ = asked.changed() => break,
            }
        }
        alone.stop();
        Ok(0)
    })
}

/// A push on one line.
fn line(fact: &Fact) -> Option<String> {
    let FactKind::PushReceived {
        push,
        channel,
        status,
        reason,
        ..
    } = &fact.kind
    else {
        return None;
    };
    let owner = channel.map_or_else(|| "a token that is not ours".into(), |c| c.to_string());
    let reason = reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(" {reason}"));
    Some(format!(
        "{:>10}  push {:<6} {status}{reason}  for {owner}",
        fact.at.to_string(),
        push.0
    ))
}

/// The files that a server has to trust and to push with: the scenario's own, or those of the
/// state folder.
#[derive(Debug)]
struct Files {
    push: Credential,
    topic: String,
    push_certificate: PathBuf,
    push_key: PathBuf,
    push_authority: PathBuf,
    device_authority: PathBuf,
}

impl Files {
    fn of(scenario: Option<&Scenario>, state: &State) -> Result<Self, RunError> {
        let (push, topic) = match scenario {
            Some(scenario) => push_credential(scenario, state)?,
            None => (state.push.clone(), state.topic.clone()),
        };
        let [certificate, key] = state.push_paths();
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

/// What a server needs, and for NanoMDM the command lines.
fn needs(
    scenario: Option<&Scenario>,
    file: Option<&Path>,
    files: &Files,
    listen: SocketAddr,
    proxy: Option<SocketAddr>,
) -> String {
    let mut text = format!(
        "# The gateway speaks APNs at https://{listen} and, for servers with Apple's host name\n\
         # compiled in, behind a CONNECT proxy{}.\n\
         # push topic        {}\n\
         # push certificate  {}\n\
         # push key          {}\n\
         # trust for pushes  {}\n\
         # trust for devices {}\n",
        proxy.map_or_else(String::new, |proxy| format!(" at http://{proxy}")),
        files.topic,
        files.push_certificate.display(),
        files.push_key.display(),
        files.push_authority.display(),
        files.device_authority.display(),
    );
    let target = scenario.map(|scenario| (&scenario.target, &scenario.enrollment.identity));
    match target {
        Some((Target::Nanomdm(nanomdm), identity)) => {
            text.push_str(&nanomdm_commands(nanomdm, identity, files, proxy, file));
        }
        Some((Target::Embedded | Target::Observe(_), _)) | None => {
            if let Some(proxy) = proxy {
                text.push_str(&format!(
                    "\nexport HTTPS_PROXY=http://{proxy}\nexport SSL_CERT_FILE={}\n",
                    quoted(&files.push_authority)
                ));
            }
        }
    }
    text
}

fn nanomdm_commands(
    nanomdm: &NanomdmTarget,
    identity: &IdentityMode,
    files: &Files,
    proxy: Option<SocketAddr>,
    file: Option<&Path>,
) -> String {
    let key = &nanomdm.api_key.0;
    let listen = match Endpoint::resolve(&nanomdm.url) {
        Ok(endpoint) => endpoint.address.to_string(),
        Err(_) => "127.0.0.1:9000".into(),
    };
    let environment = match proxy {
        Some(proxy) => format!(
            "HTTPS_PROXY=http://{proxy} SSL_CERT_FILE={} \\\n  ",
            quoted(&files.push_authority)
        ),
        None => {
            "# set connect-proxy under [apns]: NanoMDM has Apple's host name compiled in\n".into()
        }
    };
    let header = match identity {
        IdentityMode::Header { name } => format!(" -cert-header {name}"),
        IdentityMode::Signature | IdentityMode::Mtls => String::new(),
    };
    let scenario = file.map_or_else(|| "SCENARIO".into(), |file| file.display().to_string());
    format!(
        "\n# 1. NanoMDM, in a terminal of its own (with {key} set to a key of your choice)\n\
         {environment}nanomdm -ca {} -api \"${key}\" -listen {listen}{header}\n\
         \n# 2. its push certificate; `mdmstorm run` does this by itself\n\
         cat {} {} | curl -T - -u \"nanomdm:${key}\" {}/v1/pushcert\n\
         \n# 3. the run\n\
         mdmstorm run {scenario}\n",
        quoted(&files.device_authority),
        quoted(&files.push_certificate),
        quoted(&files.push_key),
        nanomdm.url,
    )
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
