//! `mdmstorm serve`: the reference server alone, until Ctrl-C; or as the embedded target of a run.

use std::io::BufReader;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::args::ServeArgs;
use super::load;
use super::print::{Stop, say};
use crate::engine::authority::LOCAL_NAMES;
use crate::engine::clock::wall_now;
use crate::engine::push_client::PushTarget;
use crate::engine::serve::{IdentityMode, Running, ServeSettings, run_embedded};
use crate::engine::state::State;
use crate::ids::hex_lower;
use crate::reference_server::Settings;
use crate::report::exit::Exit;

/// How long a push is kept for a device that cannot be reached.
const PUSH_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) fn run(args: &ServeArgs) -> Result<u8, Stop> {
    if args.embedded {
        let served = run_embedded(BufReader::new(std::io::stdin()), std::io::stdout());
        let served = served.map_err(|error| Stop::because(Exit::Unexpected, error))?;
        return Ok(if served { 0 } else { Exit::Unexpected.code() });
    }
    let identity = identity(&args.identity)?;
    let folder = load::state_folder(&args.state)?;
    let state = State::open(&folder).map_err(|error| Stop::because(Exit::Unexpected, error))?;
    let settings = settings(args, identity, &state)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Stop::because(Exit::Unexpected, error))?;
    runtime.block_on(async {
        // A key that was given is not shown again.
        let key = match &args.api_key {
            Some(_) => "as given".to_owned(),
            None => settings.api_key.clone(),
        };
        let running = Running::start(settings);
        let running = running.map_err(|error| Stop::because(Exit::Unexpected, error))?;
        say(&greeting(&running, &state, &key, args));
        let mut asked =
            super::signals::listen().map_err(|error| Stop::because(Exit::Unexpected, error))?;
        let _ = asked.changed().await;
        running.stop().await;
        Ok(0)
    })
}

fn greeting(running: &Running, state: &State, key: &str, args: &ServeArgs) -> String {
    let mut text = String::new();
    for (scheme, address) in [("https", running.https), ("http", running.http)] {
        if let Some(address) = address {
            text.push_str(&format!(
                "devices        {scheme}://{address}/mdm\n\
                 admin API      {scheme}://{address}/v1 (user nanomdm, key {key})\n"
            ));
        }
    }
    text.push_str(&format!(
        "server's CA    {}\ndevices' CA    {}\npush topic     {}\npushes go to   {}\n\
         Ctrl-C stops it\n",
        path(&state.device_authority_path()),
        path(&state.device_authority_path()),
        state.topic,
        args.gateway
    ));
    text
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn identity(text: &str) -> Result<IdentityMode, Stop> {
    match text.split_once(':') {
        None if text == "mtls" => Ok(IdentityMode::Mtls),
        None if text == "signature" => Ok(IdentityMode::Signature),
        Some(("header", name)) if !name.is_empty() => Ok(IdentityMode::Header(name.to_owned())),
        Some(_) | None => Err(Stop::new(
            Exit::Usage,
            format!("error: --identity is {text:?}; write mtls, signature or header:X-Client-Cert"),
        )),
    }
}

fn settings(
    args: &ServeArgs,
    identity: IdentityMode,
    state: &State,
) -> Result<ServeSettings, Stop> {
    let own = args.https.ip();
    let own = (!own.is_unspecified()).then(|| IpAddr::to_string(&own));
    let names: Vec<&str> = LOCAL_NAMES
        .into_iter()
        .chain(own.as_deref().filter(|own| !LOCAL_NAMES.contains(own)))
        .collect();
    let certificate = state
        .device_authority
        .server_certificate(&names, wall_now());
    let certificate = certificate.map_err(|error| Stop::because(Exit::Unexpected, error))?;
    let api_key = args.api_key.clone().unwrap_or_else(|| {
        let mut key = [0; 16];
        aws_lc_rs::rand::fill(&mut key).expect("the system's random numbers do not run out");
        hex_lower(&key)
    });
    let rules = Settings::default();
    Ok(ServeSettings {
        listen_http: args.http,
        listen_https: Some(args.https),
        certificate: certificate.certificates_pem(),
        key: certificate.key_pem(),
        api_key,
        identity,
        device_authority: state.device_authority.certificate_pem(),
        push: PushTarget {
            address: args.gateway,
            server_name: "api.push.apple.com".to_owned(),
            authority: Some(state.apns_authority.certificate_pem()),
            expires_after: Some(PUSH_LIFE),
        },
        push_certificate: Some(format!(
            "{}{}",
            state.push.certificates_pem(),
            state.push.key_pem()
        )),
        push_topic: None,
        repush_after: rules.repush_after,
        repush_every: rules.repush_every,
    })
}
