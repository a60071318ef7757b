//! What the user wrote: a TOML file becomes a [`Scenario`] that cannot be wrong, or a list of all
//! errors that each point at their place.
//!
//! Nothing here reads a file: texts come in, and [`Scenario::files`] says which bytes are needed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::device::traits::Traits;
use crate::ids::CohortId;
use crate::metric::Threshold;
use crate::rule::Limits;
use crate::seed::Seed;

mod assumed;
mod calendar;
mod cohort;
pub mod commands;
mod cut;
mod document;
mod embedded;
mod enrollment;
mod error;
mod event;
mod expect;
mod fault;
mod findings;
mod found;
mod gateway;
mod hardware;
mod keys;
mod kind;
mod life;
mod micromdm;
mod paths;
mod preset;
mod reader;
mod request;
mod resolve;
mod rhythm;
mod rules;
mod scalar;
mod schema;
mod set;
mod threshold;
mod transport;
mod value;
mod way_in;
mod word;
mod work;

pub use assumed::{ASSUMED, Assumption, Grade};
pub use calendar::{written_week_time, written_windows};
pub use cut::Cut;
pub use embedded::{AuthorityForm, Challenge, EmbeddedTarget, ReplyCipher, STATIC_CHALLENGE};
pub use enrollment::{
    Acme, CertificateEncoding, Enrollment, KeyKind, Keys, MachineInfoBy, Method, ProfileFrom, Scep,
    Source,
};
pub use error::{Colour, ScenarioError, ScenarioErrors, suggest};
pub use event::{Deed, Event, Happening, Reissue, Timeline};
pub use expect::{Expect, ExpectAt, Expected, HowMany};
pub use fault::PushFault;
pub use findings::FindingRules;
pub use gateway::{Apns, ProviderKeySpec};
pub use schema::schema;
pub use transport::{HttpVersions, Transport};
pub use value::{written, written_dist};

/// A scenario, resolved: every reference holds, every default is filled in.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// The number that reproduces the run.
    pub seed: Seed,
    /// How much faster than real time device life runs; above 0.
    pub time_scale: f64,
    /// The time of the week at time zero, since Monday 00:00, in scenario time.
    pub starts: Duration,
    /// The server under test.
    pub target: Target,
    /// The program, and its arguments, that makes the target as good as new; empty when there is none.
    pub reset: Vec<String>,
    /// How devices talk to it below their requests.
    pub transport: Transport,
    /// How devices get into the target.
    pub enrollment: Enrollment,
    /// The gateway.
    pub apns: Apns,
    /// The one who plays the administrator.
    pub operator: Operator,
    /// How long a command may be open before the report tells what it waits for, in scenario time.
    pub slow_after: Duration,
    /// Groups of devices; a [`CohortId`] is an index into them.
    pub cohorts: Vec<Cohort>,
    /// Stretches of work, one after another.
    pub stages: Vec<Stage>,
    /// What happens at set times.
    pub timeline: Timeline,
    /// What a run must meet.
    pub thresholds: Vec<Threshold>,
    /// How the server is judged.
    pub findings: FindingRules,
    /// What is to come of it.
    pub expects: Vec<Expect>,
    /// Defaults that are guesses and that this scenario leaves as they are.
    pub left_default: Vec<&'static Assumption>,
    effective: String,
    cuts: Vec<Cut>,
}

/// The server under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The bundled reference server, as a process of its own.
    Embedded(Box<EmbeddedTarget>),
    /// NanoMDM.
    Nanomdm(ApiTarget),
    /// MicroMDM.
    Micromdm(ApiTarget),
    /// Any server, whose commands are queued elsewhere.
    Observe(ObserveTarget),
}

impl Target {
    /// Where its webhook is listened to, if that is wanted.
    pub const fn webhook(&self) -> Option<SocketAddr> {
        match self {
            Self::Nanomdm(target) | Self::Micromdm(target) => target.webhook,
            Self::Embedded(_) | Self::Observe(_) => None,
        }
    }
}

/// A server and its API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiTarget {
    /// Scheme, host, port and perhaps a path, without a slash at the end.
    pub url: String,
    /// Where the API key comes from.
    pub api_key: SecretName,
    /// How long a request may take.
    pub timeout: Duration,
    /// The authority of its certificate, when it is no public one.
    pub ca: Option<PathBuf>,
    /// Headers added to each request.
    pub headers: Vec<(String, String)>,
    /// Where its webhook is listened to, if that is wanted.
    pub webhook: Option<SocketAddr>,
}

/// Any MDM server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserveTarget {
    /// Its ServerURL.
    pub url: String,
    /// Its CheckInURL, when it is another.
    pub checkin_url: Option<String>,
    /// How long a request may take.
    pub timeout: Duration,
    /// The authority of its certificate, when it is no public one.
    pub ca: Option<PathBuf>,
    /// Headers added to each request.
    pub headers: Vec<(String, String)>,
}

/// The name of an environment variable that holds a secret; never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName(pub String);

/// How a device proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityMode {
    /// The `Mdm-Signature` header.
    Signature,
    /// Its certificate in a header, as a TLS-terminating proxy would add it.
    Header {
        /// The header's name.
        name: String,
        /// How the certificate is written in it.
        encoding: CertificateEncoding,
    },
    /// TLS client authentication.
    Mtls,
}

/// The one who plays the administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// How many admin requests may be under way at once.
    pub in_flight: usize,
}

/// A group of devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// Its name.
    pub name: String,
    /// How many devices; at least 1.
    pub count: u32,
    /// What they share.
    pub traits: Traits,
}

/// A stretch of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How long it takes, in scenario time.
    pub duration: Duration,
    /// Whether thresholds leave it out.
    pub warm_up: bool,
    /// The commands ordered in it.
    pub commands: Vec<StageCommand>,
}

/// A command and how often it is ordered.
#[derive(Clone, Debug, PartialEq)]
pub struct StageCommand {
    /// What it is made of.
    pub source: CommandSource,
    /// The cohort it goes to; `None` for all devices.
    pub to: Option<CohortId>,
    /// Which of a device's channels.
    pub recipient: Recipient,
    /// How many orders.
    pub amount: Amount,
    /// How they are spread over the stage.
    pub arrival: Arrival,
    /// Whether a device's next order waits until its last one settled.
    pub serial: bool,
    /// Where it stands in the scenario, as `quickstart.toml:40`.
    pub place: String,
}

/// What a command is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandSource {
    /// A known request type.
    Request {
        /// Its name.
        request: String,
        /// Its further keys.
        keys: plist::Dictionary,
        /// A file whose bytes it carries.
        payload: Option<PathBuf>,
    },
    /// A property list with the whole command.
    File(PathBuf),
}

/// Which channel of a device a command goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// The device's own.
    Device,
    /// That of one of its users, drawn by seed.
    User,
}

impl CommandSource {
    /// The request type, where the scenario itself says it.
    pub fn request(&self) -> Option<&str> {
        match self {
            Self::Request { request, .. } => Some(request),
            Self::File(_) => None,
        }
    }
}

/// How many orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Per second of scenario time; rate times duration, rounded, are made.
    Rate(f64),
    /// Per device.
    Each(u32),
}

/// How orders are spread over a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// At random, independent of each other.
    Poisson,
    /// Evenly spaced.
    Even,
}

/// A file that a scenario's commands need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeededFile<'a> {
    /// Its path as written: relative to the scenario file.
    pub path: &'a Path,
    /// Where the scenario names it, as `quickstart.toml:40`.
    pub place: &'a str,
}

/// Changes to a scenario from the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// `path=value`, applied in order.
    pub sets: Vec<String>,
    /// Leave only the cohort of this name.
    pub only: Option<String>,
}

impl Scenario {
    /// The scenario written in `text`; `file` is its name in messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioErrors> {
        Self::parse_with(text, file, &Changes::default())
    }

    /// The scenario written in `text`, with `changes` made to it first.
    pub fn parse_with(text: &str, file: &str, changes: &Changes) -> Result<Self, ScenarioErrors> {
        resolve::scenario(text, file, changes)
    }

    /// The scenario as TOML, with all changes made: what a results bundle keeps.
    pub fn effective_toml(&self) -> &str {
        &self.effective
    }

    /// When expectations want the run to be looked at, in scenario time from time zero.
    pub fn looks(&self) -> impl Iterator<Item = Duration> {
        self.expects.iter().filter_map(|expect| match expect.at {
            ExpectAt::Time(at) => Some(at),
            ExpectAt::End => None,
        })
    }

    /// What findings go by in a run on real time.
    pub fn limits_of_findings(&self) -> Limits {
        let limits = self.findings.limits.clone();
        match self.target {
            Target::Embedded(_) => limits.of_bundled_server(self.time_scale),
            Target::Nanomdm(_) | Target::Micromdm(_) | Target::Observe(_) => limits,
        }
    }

    /// The commands of all stages, in order: the index is that of the plan's commands.
    pub fn commands(&self) -> impl Iterator<Item = &StageCommand> {
        self.stages.iter().flat_map(|stage| &stage.commands)
    }

    /// The file each command needs, in the order of [`Self::commands`]; `None` for those that need
    /// none.
    pub fn files(&self) -> impl Iterator<Item = Option<NeededFile<'_>>> {
        self.commands().map(|command| {
            let path = match &command.source {
                CommandSource::Request { payload, .. } => payload.as_deref()?,
                CommandSource::File(path) => path,
            };
            Some(NeededFile {
                path,
                place: &command.place,
            })
        })
    }

    /// The number of devices.
    pub fn devices(&self) -> u32 {
        self.cohorts.iter().map(|cohort| cohort.count).sum()
    }
}

/// A length of time as a person writes it, with its unit: `90s`, `2h30m`, `1d`.
///
/// # Errors
/// What was found and what would be right, as a lower-case fragment.
pub fn duration(text: &str) -> Result<Duration, String> {
    value::duration(text).map_err(|wrong| format!("it {wrong}; write it like 90s or 2h30m"))
}
