//! Every command and option, with the help a person sees.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::reduce::ReduceArgs;
use super::roster::RosterCommand;
use super::serve::{EnrollmentArgs, FlawArgs};

/// Simulates crowds of Apple devices to test MDM servers, and explains why commands are pending.
#[derive(Debug, Parser)]
#[command(
    name = "mdmstorm",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 ok; 1 unexpected; 2 usage; 90 run not trustworthy; 91 incomplete; \
                  92 target unreachable or enrolment failed; 94 findings; 99 threshold missed; \
                  104 scenario invalid; 105 stopped by a signal; 106 nothing to reduce.\n\n\
                  Start here: mdmstorm run scenarios/quickstart.toml"
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a scenario against its target and report what happened
    Run(RunArgs),
    /// Enrol the devices of a scenario, keep them in a roster, and stop
    Enroll(EnrollArgs),
    /// Look at, change, or add to what was enrolled
    #[command(subcommand)]
    Roster(RosterCommand),
    /// Play a scenario on virtual time, without any target, and report what to expect
    Rehearse(RehearseArgs),
    /// Make the report of a results bundle again, from its facts
    Report(ReportArgs),
    /// Tell the story of one device or one command of a results bundle
    Show(ShowArgs),
    /// Find the smallest scenario that still shows a finding, and write it
    Reduce(ReduceArgs),
    /// Validate a scenario and the files it names
    Check(ScenarioArgs),
    /// Print what a run will do, and what it needs of this machine
    Plan(PlanArgs),
    /// Run the bundled reference MDM server alone
    Serve(ServeArgs),
    /// Run the APNs gateway alone, and print what a server needs to push through it
    Apns(ApnsArgs),
    /// Look at this machine's limits, the target and the gateway
    Doctor(DoctorArgs),
    /// Print the JSON Schema of scenario files
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
}

/// A scenario and changes to it.
#[derive(Args, Debug)]
pub(super) struct ScenarioArgs {
    /// The scenario file
    pub(super) scenario: PathBuf,
    /// Change one value of the scenario; may be given several times
    #[arg(long, value_name = "PATH=VALUE", help_heading = "Scenario")]
    pub(super) set: Vec<String>,
    /// Draw with this seed instead of the scenario's
    #[arg(long, value_name = "N", help_heading = "Scenario")]
    pub(super) seed: Option<u64>,
    /// Leave out every cohort but this one
    #[arg(long, value_name = "cohort=NAME", value_parser = cohort_name, help_heading = "Scenario")]
    pub(super) only: Option<String>,
    /// One device per cohort and each command once: a quick look whether everything works
    #[arg(long, help_heading = "Scenario")]
    pub(super) once: bool,
}

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
    /// Run part I of N of the devices, counted from 0
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(super) shard: Option<(u32, u32)>,
    /// Wait so long for open orders after the last one
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(super) drain: Duration,
    /// Take devices from the roster in this folder, and keep in it what is enrolled
    /// [default: nothing is kept, and every device enrols]
    #[arg(long, value_name = "DIR")]
    pub(super) roster: Option<PathBuf>,
    #[command(flatten)]
    pub(super) real: RealArgs,
}

#[derive(Args, Debug)]
pub(super) struct EnrollArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
    /// Keep the devices in the roster in this folder; those it has are not enrolled again
    /// [default: rosters/<the scenario's name> in the state folder]
    #[arg(long, value_name = "DIR")]
    pub(super) roster: Option<PathBuf>,
    #[command(flatten)]
    pub(super) real: RealArgs,
}

/// Devices whose words are kept.
#[derive(Args, Debug, Default)]
pub(super) struct TraceArgs {
    /// Keep what these devices say and are told, by number, at most 100 of them; secrets are blotted
    /// out, and `show --device` prints it
    #[arg(long, value_name = "DEVICE", value_delimiter = ',')]
    pub(super) trace: Vec<u32>,
}

/// How devices are played against a target in real time.
#[derive(Args, Debug)]
pub(super) struct RealArgs {
    /// Write the results bundle into this folder [default: results/<utc>-<plan hash>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Run devices on so many threads [default: one less than there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) workers: Option<u16>,
    /// Let each worker have so many TLS handshakes in flight
    #[arg(long, value_name = "N", default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) handshakes_in_flight: u32,
    #[command(flatten)]
    pub(super) trace: TraceArgs,
    /// Print no progress
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Allow a target outside loopback and private networks: this is a load generator
    #[arg(long)]
    pub(super) allow_public_target: bool,
}

#[derive(Args, Debug)]
pub(super) struct RehearseArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
    /// Write a results bundle into this folder [default: none is written]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) trace: TraceArgs,
    /// Wait so long for open orders after the last one, times the scenario's time-scale: nothing else
    /// is scaled on virtual time
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(super) drain: Duration,
    /// Print no progress
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The results bundle: the folder that `run` or `rehearse --out` wrote
    pub(super) bundle: PathBuf,
    /// Print the rules that the server broke, with the evidence, and nothing else
    #[arg(long, conflicts_with_all = ["json", "html", "junit"])]
    pub(super) findings: bool,
    /// Write the report as summary.json into this file; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as a page into this file
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write the report as JUnit XML into this file
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["device", "command"]))]
pub(super) struct ShowArgs {
    /// The results bundle: the folder that `run` or `rehearse --out` wrote
    pub(super) bundle: PathBuf,
    /// Tell of this device: its number, its UDID or its serial number
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
    /// Tell of this command: its order's index, or its CommandUUID
    #[arg(long, value_name = "COMMAND")]
    pub(super) command: Option<String>,
    /// Print every line instead of a screen's worth
    #[arg(long)]
    pub(super) all: bool,
}

/// Where keys and certificates are kept.
#[derive(Args, Debug)]
pub(super) struct StateArgs {
    /// Keep CAs, push certificate and crowd id in this folder
    /// [default: $XDG_STATE_HOME/mdmstorm, or ~/.local/state/mdmstorm]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
    /// Show part I of N of the devices, counted from 0
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(super) shard: Option<(u32, u32)>,
    /// Print every order, one line each
    #[arg(long)]
    pub(super) orders: bool,
}

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Listen for HTTPS on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub(super) https: SocketAddr,
    /// Listen for plain HTTP on this address as well
    #[arg(long, value_name = "ADDR")]
    pub(super) http: Option<SocketAddr>,
    /// How devices prove who they are: mtls, signature, or header:NAME
    #[arg(long, value_name = "MODE", default_value = "mtls")]
    pub(super) identity: String,
    /// Push to the gateway at this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2197")]
    pub(super) gateway: SocketAddr,
    /// The admin API's key, for HTTP Basic with the user nanomdm
    #[arg(
        long,
        env = "MDMSTORM_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub(super) api_key: Option<String>,
    #[command(flatten)]
    pub(super) enrollment: EnrollmentArgs,
    #[command(flatten)]
    pub(super) flaws: FlawArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Take settings from standard input and end with it; how `run` starts its embedded target
    #[arg(long, hide = true)]
    pub(super) embedded: bool,
}

/// What `apns --help` ends with.
const APNS_EXAMPLES: &str = "\
Examples:
  mdmstorm apns --tokens 3
      The gateway on 127.0.0.1:2197, a CONNECT proxy on 127.0.0.1:3128, and three tokens to push to
  HTTPS_PROXY=http://127.0.0.1:3128 SSL_CERT_FILE=~/.local/state/mdmstorm/apns-ca.pem nanomdm ...
      A server with Apple's host name compiled in, without any change to it
  mdmstorm apns --plain 127.0.0.1:8378 --admin 127.0.0.1:9090
      Pushes over plain HTTP as Fleet's load rig sends them; counters at /stats and /metrics
  mdmstorm apns --log json --webhook http://127.0.0.1:8000/pushes
      One line of JSON for each push, and the same to a program of yours
  mdmstorm apns --tokens 1 --gone 0
      Every push to device 0 is answered with 410 Unregistered";

#[derive(Args, Debug)]
#[command(after_help = APNS_EXAMPLES)]
pub(super) struct ApnsArgs {
    /// Take addresses, target and the number of devices from this scenario
    pub(super) scenario: Option<PathBuf>,
    /// Listen for HTTP/2 over TLS on this address; may be given several times
    /// [default: the scenario's, else 127.0.0.1:2197]
    #[arg(long, value_name = "ADDR", help_heading = "Doors")]
    pub(super) listen: Vec<SocketAddr>,
    /// Listen for CONNECT on this address [default: the scenario's; without one 127.0.0.1:3128]
    #[arg(long, value_name = "ADDR", help_heading = "Doors")]
    pub(super) connect_proxy: Option<SocketAddr>,
    /// Listen for pushes over plain HTTP/1.1 on this address: to any token, and GET /events?token=
    /// shows those of one
    #[arg(long, value_name = "ADDR", help_heading = "Doors")]
    pub(super) plain: Option<SocketAddr>,
    /// Serve counters over plain HTTP on this address: GET /stats as JSON, /metrics for Prometheus
    #[arg(long, value_name = "ADDR", help_heading = "Doors")]
    pub(super) admin: Option<SocketAddr>,
    /// How pushes are logged: a line of text, or a JSON object
    #[arg(
        long,
        value_name = "FORM",
        default_value = "text",
        help_heading = "Output"
    )]
    pub(super) log: LogForm,
    /// Print tokens and PushMagics of the first N devices
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Output",
        value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(super) tokens: u32,
    /// Print what a server needs and end, without listening
    #[arg(long, help_heading = "Output")]
    pub(super) print: bool,
    /// POST each push as JSON to this http URL
    #[arg(long, value_name = "URL", help_heading = "Output")]
    pub(super) webhook: Option<String>,
    /// Allow a webhook that is not on this machine
    #[arg(long, requires = "webhook", help_heading = "Output")]
    pub(super) webhook_anywhere: bool,
    /// Answer pushes to this device with 410 Unregistered; may be given several times
    #[arg(long, value_name = "DEVICE")]
    pub(super) gone: Vec<u32>,
    /// Sign the gateway's certificate and the push certificate with this CA, a PEM file
    /// [default: one made on first use, kept with --state]
    #[arg(long, value_name = "FILE", requires = "ca_key", help_heading = "Keys")]
    pub(super) ca: Option<PathBuf>,
    /// The unencrypted private key of --ca, a PEM file
    #[arg(long, value_name = "FILE", requires = "ca", help_heading = "Keys")]
    pub(super) ca_key: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

/// How pushes are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogForm {
    /// A line for people.
    Text,
    /// A JSON object for programs.
    Json,
}

#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    /// Look at what this scenario needs
    pub(super) scenario: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Ask a target outside loopback and private networks as well
    #[arg(long)]
    pub(super) allow_public_target: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::scenario::duration(text)
}

fn cohort_name(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some(("cohort", name)) if !name.is_empty() => Ok(name.to_owned()),
        Some(_) | None => Err(format!("found {text:?}; write it like cohort=carts")),
    }
}

fn shard(text: &str) -> Result<(u32, u32), String> {
    let wrong = || {
        format!("found {text:?}; write it like 0/4: a part counted from 0, and how many there are")
    };
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    let index: u32 = index.parse().map_err(|_| wrong())?;
    let of: u32 = of.parse().map_err(|_| wrong())?;
    if index < of {
        Ok((index, of))
    } else {
        Err(wrong())
    }
}
