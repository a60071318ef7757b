//! One execution of a plan, from an empty folder to a complete results bundle.
//!
//! The story is in [`execute`]: prepare, enrol, order, drain, account. Everything that can be
//! refused is refused before the first device starts.

mod crew;
mod drain;
mod hiring;
mod prepare;
pub(super) mod provider_keys;
mod reused;
mod target;
mod ways;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::crew::Crew;
pub use self::prepare::{Prepared, prepare, push_credential};
pub use self::target::greet;
use super::bundle::Bundle;
use super::clock::Clock;
use super::events::EventTally;
use super::health;
use super::limits::LimitsError;
pub use super::operator::Halt;
use super::state::StateError;
use crate::finding::Findings;
use crate::plan::Plan;
use crate::record::Progress;
use crate::record::account::Account;
use crate::report::validity::ConnectionTally;
use crate::scenario::Scenario;
use crate::time::SimTime;

/// How a run is to be done: what the command line says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state folder.
    pub state: PathBuf,
    /// How long open orders are waited for after the last one was ordered.
    pub drain: Duration,
    /// Whether a target outside loopback and private networks is allowed.
    pub allow_public_target: bool,
    /// How many threads devices run on; `None` for one less than there are cores.
    pub workers: Option<usize>,
    /// How many TLS handshakes a worker has in flight at most.
    pub handshakes_in_flight: usize,
    /// The key of the target's admin API, from the environment.
    pub api_key: Option<String>,
    /// The challenge or token that devices enrol with, from the environment.
    pub enrollment_secret: Option<String>,
    /// This program, which the embedded target is a child of.
    pub program: PathBuf,
    /// The folder of the roster, if devices are to be kept.
    pub roster: Option<PathBuf>,
    /// Whether devices are others than those of the state folder, which the target may know.
    pub fresh_devices: bool,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Devices enrol.
    Enrolling,
    /// Orders go out.
    Ordering,
    /// Open orders are waited for.
    Draining,
}

/// How far a run is; told several times a second.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// Where it is.
    pub step: Step,
    /// How long it has lasted.
    pub elapsed: SimTime,
    /// The counts.
    pub progress: Progress,
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// This machine.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The target's URL.
    #[error(transparent)]
    Endpoint(#[from] super::endpoint::EndpointError),
    /// A port.
    #[error(transparent)]
    Listen(#[from] super::front::ListenErrors),
    /// A certificate or key.
    #[error(transparent)]
    Authority(#[from] super::authority::AuthorityError),
    /// TLS material.
    #[error(transparent)]
    Tls(#[from] super::identity::TlsError),
    /// The admin API.
    #[error("the target cannot be used: {0}")]
    Admin(#[from] super::adapter::client::AdminError),
    /// An observed target.
    #[error("the target cannot be used: no connection to {address}: {why}")]
    Unreachable {
        /// Where.
        address: std::net::SocketAddr,
        /// What happened.
        why: crate::fact::Broken,
    },
    /// The embedded target.
    #[error("the embedded target did not start: {0}")]
    Embedded(#[from] super::serve::EmbeddedError),
    /// A file that the scenario names.
    #[error("cannot read {}, which {purpose}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it is for.
        purpose: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is in a file that the scenario names.
    #[error("{}, which {purpose}, cannot be used: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it is for.
        purpose: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The API key.
    #[error(
        "the environment variable {name} is not set, but the scenario takes the target's api-key \
         from it; set it, or name another one under api-key"
    )]
    NoApiKey {
        /// The variable.
        name: String,
    },
    /// The roster.
    #[error(transparent)]
    Roster(#[from] super::roster::RosterError),
    /// A secret of enrolment.
    #[error(
        "the environment variable {name} is not set, but the scenario takes the secret that devices \
         enrol with from it; set it, or name another one"
    )]
    NoSecret {
        /// The variable.
        name: String,
    },
    /// The enrolment profile.
    #[error("devices cannot enrol: {}: {}", .0.name, .0.what)]
    Enrollment(crate::fact::Refusal),
    /// A socket of our own.
    #[error("cannot set up a socket: {0}")]
    Socket(std::io::Error),
}

impl RunError {
    /// Whether the command line, the scenario or the environment has to be changed.
    pub const fn is_usage(&self) -> bool {
        if let Self::Roster(error) = self {
            return error.is_usage();
        }
        matches!(
            self,
            Self::Endpoint(_) | Self::NoApiKey { .. } | Self::NoSecret { .. }
        )
    }

    /// Whether it is the target that is missing, rather than something here.
    pub const fn is_target(&self) -> bool {
        matches!(
            self,
            Self::Admin(_) | Self::Embedded(_) | Self::Unreachable { .. }
        )
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The ledger's account.
    pub account: Account,
    /// The rules that the server broke.
    pub findings: Findings,
    /// The bundle, still to be completed with the report.
    pub bundle: Bundle,
    /// How long it lasted.
    pub lasted: SimTime,
    /// Whether it was stopped by a signal, and how.
    pub halted: Halt,
    /// Whether too many devices failed to enrol.
    pub enrollment_failed: bool,
    /// Whether the target stopped answering.
    pub target_silent: bool,
    /// What this process and the embedded target used.
    pub usage: Usage,
}

/// What the processes of a run used.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// This process's CPU, as a share of all cores in percent, second by second.
    pub cpu_percent: Vec<f64>,
    /// CPU time of this process.
    pub cpu: Duration,
    /// CPU time of the embedded target.
    pub target_cpu: Option<Duration>,
    /// The most sockets that devices had open at once.
    pub sockets_max: u64,
    /// What the devices' connections agreed on.
    pub connections: ConnectionTally,
    /// The most memory this process had resident, in bytes.
    pub resident_max: Option<u64>,
    /// How late the workers' timers were, in microseconds.
    pub timers: Option<hdrhistogram::Histogram<u64>>,
    /// Why the roster could not be written, if it could not.
    pub unkept: Option<String>,
    /// What came from the target's webhook; `None` when it is not listened to.
    pub events: Option<EventTally>,
    /// Why not all of the target's queues were seen that should have been, as a sentence.
    pub unseen: Option<String>,
}

/// After so long with nothing but failures, no more orders are sent to a target.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How often a snapshot is told.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// How long after the devices' own deadline and one more request's timeout enrolment is waited for.
const ENROLLMENT_GRACE: Duration = Duration::from_secs(1);

/// How long after the last enrolment orders begin.
const BREATH: Duration = Duration::from_millis(100);

/// Carries out a prepared run. `asked` is what signals ask for; `tell` hears how far it is.
///
/// # Errors
/// When a thread's TLS material or client cannot be made; nothing has been sent then.
pub async fn execute(
    prepared: Prepared,
    bundle: Bundle,
    scenario: &Scenario,
    plan: Arc<Plan>,
    settings: &Settings,
    asked: watch::Receiver<Halt>,
    tell: impl FnMut(Snapshot),
) -> Result<Finished, RunError> {
    let clock = prepared.clock;
    let meter = Meter::new(clock, prepared.limits.cores);
    let crew = Crew::start(prepared, bundle, scenario, Arc::clone(&plan), settings)?;
    let tick = tokio::time::interval(TOLD_EVERY);
    let mut conductor = Conductor {
        clock,
        crew,
        meter,
        asked,
        tell,
        tick,
        stages_end: SimTime::ZERO,
        happenings: Vec::new(),
    };
    let enrollment_failed = conductor.enroll(scenario, plan.devices()).await;
    let mut target_silent = false;
    let mut unseen = None;
    if !enrollment_failed && !conductor.is_halted() {
        target_silent = conductor.order(&plan).await;
        if target_silent || conductor.is_halted() {
            conductor.crew.halt(Halt::Orders);
        }
        target_silent |= conductor.drain(settings.drain, target_silent).await;
        if !target_silent {
            unseen = conductor.inspect(&plan).await;
        }
    }
    let Conductor {
        crew, meter, asked, ..
    } = conductor;
    let halted = *asked.borrow();
    let lasted = clock.now();
    let (account, findings, bundle, usage) = crew.stop().await;
    let target_silent = target_silent || account.target_silent;
    let usage = Usage {
        cpu_percent: meter.seconds,
        cpu: health::cpu_time(),
        resident_max: health::resident_max(),
        unseen,
        ..usage
    };
    Ok(Finished {
        account,
        findings,
        bundle,
        lasted,
        halted,
        enrollment_failed,
        target_silent,
        usage,
    })
}

/// Leads a crew through a run and tells how far it is.
struct Conductor<T> {
    clock: Clock,
    crew: Crew,
    meter: Meter,
    asked: watch::Receiver<Halt>,
    tell: T,
    tick: tokio::time::Interval,
    /// When the stages are over; the drain counts from there.
    stages_end: SimTime,
    /// When the timeline does something to pushes or by the operator's hand.
    happenings: Vec<SimTime>,
}

impl<T: FnMut(Snapshot)> Conductor<T> {
    /// Waits until every device has enrolled or failed, or the target has fallen silent. Whether
    /// too many failed.
    async fn enroll(&mut self, scenario: &Scenario, devices: u32) -> bool {
        let devices = u64::from(devices);
        let last_request = self.crew.timeout() + ENROLLMENT_GRACE;
        let give_up = self.clock.now() + scenario.enrollment.within + last_request;
        loop {
            let progress = self.crew.state().progress;
            let ended = progress.enrolled + progress.enrollment_failed + progress.unmanaged;
            let done = ended >= devices;
            let silent = self.crew.is_target_silent(self.clock.now(), SILENCE_MAX);
            if done
                || silent
                || self.crew.is_broken()
                || self.clock.now() > give_up
                || self.is_halted()
            {
                break;
            }
            self.pause(Step::Enrolling, Halt::Orders).await;
        }
        let progress = self.crew.state().progress;
        let missing = devices.saturating_sub(progress.enrolled + progress.unmanaged);
        #[expect(
            clippy::cast_precision_loss,
            reason = "device counts are far below 2^52"
        )]
        let too_many = missing as f64 > scenario.enrollment.max_failed * devices as f64;
        too_many && !self.is_halted()
    }

    /// Lets the operator order until the plan is through. Whether the target fell silent.
    async fn order(&mut self, plan: &Plan) -> bool {
        let zero = self.clock.now() + BREATH;
        self.crew.begin(zero).await;
        self.stages_end = zero + plan.real(plan.length());
        let happenings = plan.happenings.iter();
        self.happenings = happenings.map(|it| zero + plan.real(it.at)).collect();
        let observed_until = self.crew.is_observer().then_some(self.stages_end);
        loop {
            if self.crew.is_target_silent(self.clock.now(), SILENCE_MAX) {
                return true;
            }
            let over = match observed_until {
                Some(end) => self.clock.now() >= end,
                None => self.crew.is_ordered(),
            };
            if over || self.crew.is_broken() || self.is_halted() {
                return false;
            }
            self.pause(Step::Ordering, Halt::Orders).await;
        }
    }

    /// Waits for open orders. Whether the target is silent at the end, as it may have been before.
    async fn drain(&mut self, longest: Duration, was_silent: bool) -> bool {
        // What the timeline does before the stages are over still counts, unless nobody wants to wait or
        // the orders ended early because nobody answers.
        let from = if was_silent || self.is_halted() {
            self.clock.now()
        } else {
            self.clock.now().max(self.stages_end)
        };
        let end = from + longest;
        let mut patience = drain::Patience::default();
        loop {
            let hurried = *self.asked.borrow() == Halt::Everything;
            if hurried
                || self.clock.now() >= end
                || patience.is_over(&self.crew, end, &self.happenings).await
            {
                return self.crew.is_target_silent(self.clock.now(), SILENCE_MAX);
            }
            self.pause(Step::Draining, Halt::Everything).await;
        }
    }

    /// Hears the target out and looks into its queues, unless the run is to end at once. Why not all
    /// of them were seen, if so.
    async fn inspect(&mut self, plan: &Plan) -> Option<String> {
        tokio::select! {
            biased;
            Ok(_) = self.asked.wait_for(|asked| *asked == Halt::Everything) => None,
            told = async {
                self.crew.hear_out().await;
                self.crew.inspect(plan).await
            } => told,
        }
    }

    /// Tells how far the run is, then waits for the next time to do so, or until signals ask for
    /// `halt` or more.
    async fn pause(&mut self, step: Step, halt: Halt) {
        self.meter.look();
        let progress = self.crew.state().progress;
        (self.tell)(Snapshot {
            step,
            elapsed: self.clock.now(),
            progress,
        });
        tokio::select! {
            _ = self.tick.tick() => {}
            _ = self.asked.wait_for(|asked| *asked >= halt) => {}
        }
    }

    fn is_halted(&self) -> bool {
        *self.asked.borrow() != Halt::No
    }
}

/// This process's CPU, second by second.
#[derive(Debug)]
struct Meter {
    clock: Clock,
    cores: usize,
    from: SimTime,
    used: Duration,
    seconds: Vec<f64>,
}

impl Meter {
    fn new(clock: Clock, cores: usize) -> Self {
        let (from, used) = (clock.now(), health::cpu_time());
        Self {
            clock,
            cores,
            from,
            used,
            seconds: Vec::new(),
        }
    }

    fn look(&mut self) {
        let now = self.clock.now();
        let wall = now - self.from;
        if wall < Duration::from_secs(1) {
            return;
        }
        let used = health::cpu_time();
        let busy = (used - self.used).as_secs_f64() / wall.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "core counts are small")]
        self.seconds.push(busy / self.cores as f64 * 100.0);
        (self.from, self.used) = (now, used);
    }
}
