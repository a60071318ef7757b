//! `mdmstorm serve`: the reference server alone, until Ctrl-C; or as the embedded target of a run.

use std::ffi::OsStr;
use std::io::BufReader;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::args::ServeArgs;
use super::load;
use super::print::{Stop, say};
use crate::engine::authority::LOCAL_NAMES;
use crate::engine::clock::wall_now;
use crate::engine::push_client::PushTarget;
use crate::engine::serve::{
    EnrollmentSettings, IdentityMode, Running, ServeSettings, run_embedded,
};
use crate::engine::state::State;
use crate::ids::hex_lower;
use crate::reference_server::{Defect, Defects, NetworkUsers, Settings};
use crate::report::exit::Exit;
use crate::scenario::{AuthorityForm, Challenge, EmbeddedTarget, ReplyCipher};
use crate::seed::Seed;

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

/// How devices get an identity from the server.
#[derive(Args, Debug)]
pub(super) struct EnrollmentArgs {
    /// What a device shows to be given a certificate: none, static, static:TEXT, or one-time
    #[arg(long, value_name = "RULE", default_value = "static", value_parser = challenge,
        help_heading = "Enrolment")]
    challenge: Challenge,
    /// Let certificates begin this long before they are issued
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = crate::scenario::duration,
        help_heading = "Enrolment")]
    back_date: Duration,
    /// Let certificates last this long
    #[arg(long, value_name = "TIME", default_value = "365d",
        value_parser = crate::scenario::duration, help_heading = "Enrolment")]
    certificate_life: Duration,
    /// Encrypt SCEP answers with this cipher: aes-128, aes-256, 3des or des
    #[arg(long, value_name = "CIPHER", default_value = "aes-128", value_parser = cipher,
        help_heading = "Enrolment")]
    reply_cipher: ReplyCipher,
    /// Answer a SCEP request with PENDING so many times
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Enrolment"
    )]
    pending: u32,
    /// Answer GetCACert with the certificates of a registration authority and its authority
    #[arg(long, help_heading = "Enrolment")]
    chain: bool,
    /// Sign enrolment profiles
    #[arg(long, help_heading = "Enrolment")]
    signed_profile: bool,
    /// Send older iPads and iPhones away from automated enrolment until they have updated to this
    /// version
    #[arg(long, value_name = "VERSION", help_heading = "Enrolment")]
    minimum_os: Option<String>,
    /// Leave devices that await their configuration waiting
    #[arg(long, help_heading = "Enrolment")]
    never_configures: bool,
    /// The only access token that account-driven enrolment takes [default: any]
    #[arg(long, value_name = "TOKEN", help_heading = "Enrolment")]
    account_token: Option<String>,
    /// Issue by ACME to devices that do not attest their key as well
    #[arg(long, help_heading = "Enrolment")]
    without_attestation: bool,
}

/// What is wrong with the server.
#[derive(Args, Debug)]
pub(super) struct FlawArgs {
    /// Let this be wrong with the server; may be given several times
    #[arg(long = "defect", value_name = "NAME", value_parser = DefectParser,
        help_heading = "Defects")]
    defects: Vec<Defect>,
    /// Draw with this seed when a defect strikes at random
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Defects")]
    seed: u64,
    /// What happens to network users of Macs: unmanaged, zero-length or digest
    #[arg(long, value_name = "RULE", default_value = "unmanaged", value_parser = network_users,
        help_heading = "Enrolment")]
    network_users: NetworkUsers,
}

/// Knows the defects by name, and what each is.
#[derive(Clone, Debug)]
struct DefectParser;

impl TypedValueParser for DefectParser {
    type Value = Defect;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Defect, clap::Error> {
        let known = PossibleValuesParser::new(Defect::NAMES);
        let name = known.parse_ref(command, argument, value)?;
        Ok(Defect::find(&name).expect("the name is one of them"))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let all = Defect::ALL.into_iter();
        Some(Box::new(all.map(|defect| {
            PossibleValue::new(defect.name()).help(defect.about())
        })))
    }
}

fn network_users(text: &str) -> Result<NetworkUsers, String> {
    let words = NetworkUsers::WORDS.join(", ");
    NetworkUsers::of_word(text).ok_or_else(|| format!("found {text:?}; it is one of {words}"))
}

fn challenge(text: &str) -> Result<Challenge, String> {
    Challenge::of_text(text)
        .ok_or_else(|| format!("found {text:?}; write none, static, static:TEXT or one-time"))
}

fn cipher(text: &str) -> Result<ReplyCipher, String> {
    let words = ReplyCipher::WORDS.join(", ");
    ReplyCipher::of_word(text).ok_or_else(|| format!("found {text:?}; it is one of {words}"))
}

fn enrollment(args: &EnrollmentArgs, state: &State) -> Result<EnrollmentSettings, Stop> {
    let authority = state.enrollment_authority();
    let (certificate, key) = authority.map_err(|error| Stop::because(Exit::Unexpected, error))?;
    let rules = EmbeddedTarget {
        challenge: args.challenge.clone(),
        back_date: args.back_date,
        life: args.certificate_life,
        reply_cipher: args.reply_cipher,
        pending: args.pending,
        authority: match args.chain {
            true => AuthorityForm::Chain,
            false => AuthorityForm::Single,
        },
        signed_profile: args.signed_profile,
        minimum_os: args.minimum_os.clone(),
        configures: !args.never_configures,
        account_token: args.account_token.clone(),
        attestation: !args.without_attestation,
        ..EmbeddedTarget::default()
    };
    Ok(EnrollmentSettings {
        certificate,
        key,
        rules,
    })
}

fn greeting(running: &Running, state: &State, key: &str, args: &ServeArgs) -> String {
    let mut text = String::new();
    for (scheme, address) in [("https", running.https), ("http", running.http)] {
        if let Some(address) = address {
            text.push_str(&format!(
                "devices        {scheme}://{address}/mdm\n\
                 enrolment      {scheme}://{address}/enroll, /scep, /ota/enroll, /ade, /acme/directory\n\
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
    let defects: Defects = args.flaws.defects.iter().copied().collect();
    if !defects.is_empty() {
        text.push_str(&format!("it breaks rules  {defects}\n"));
    }
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
        tickets: false,
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
        network_users: args.flaws.network_users,
        defects: args.flaws.defects.iter().copied().collect(),
        seed: Seed(args.flaws.seed),
        enrollment: Some(enrollment(&args.enrollment, state)?),
    })
}
