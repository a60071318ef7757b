//! Everything a run needs before its first device: limits, state folder, ports, the target and its admin API, identities.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use super::reused::Reused;
use super::target::{self, Reached};
use super::ways::{self, Search};
use super::{RunError, Settings};
use crate::device::environment::Terms;
use crate::engine::authority::{Authority, Credential};
use crate::engine::clock::Clock;
use crate::engine::enroll::Outfit;
use crate::engine::front::{Doors, Listeners};
use crate::engine::identity::Identities;
use crate::engine::limits::Limits;
use crate::engine::state::State;
use crate::ids::{Crowd, CrowdId, DeviceId, RunId};
use crate::plan::Plan;
use crate::scenario::{Method, Scenario, Target};

/// A run that can begin.
#[derive(Debug)]
pub struct Prepared {
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) state: State,
    pub(super) push: Credential,
    pub(super) topic: String,
    pub(super) listeners: Listeners,
    pub(super) target: Reached,
    pub(super) identities: Arc<Identities>,
    /// What is known of the devices, if there is a roster.
    pub(super) reused: Option<Reused>,
    /// What devices need on their way to an identity.
    pub(super) outfit: Outfit,
    pub(super) terms: Terms,
    /// What the enrolment profile says, for people.
    told: Option<String>,
    pub(super) run: RunId,
}

impl Prepared {
    /// Where the gateway listens.
    pub fn gateway(&self) -> Option<std::net::SocketAddr> {
        self.listeners.direct_address().ok()
    }

    /// The target, for people: URL and version.
    pub fn target(&self) -> &str {
        &self.target.described
    }

    /// The run's id.
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// Who the devices are.
    pub const fn crowd(&self) -> &Crowd {
        &self.state.crowd
    }

    /// What the enrolment profile says, for people; `None` without one.
    pub fn profile(&self) -> Option<&str> {
        self.told.as_deref()
    }
}

/// Prepares a run. Nothing has been sent to devices when this fails, but the target may have been
/// asked for its version.
///
/// # Errors
/// The first thing that stands in the way.
#[expect(
    clippy::too_many_lines,
    reason = "one thing after another, each with what those before it gave"
)]
pub async fn prepare(
    scenario: &Scenario,
    plan: &Plan,
    settings: &Settings,
) -> Result<Prepared, RunError> {
    let clock = Clock::start();
    let limits = Limits::of_this_machine();
    let in_flight = scenario.operator.in_flight;
    limits.check(
        u64::from(plan.devices()),
        plan.orders.len() as u64,
        in_flight,
    )?;
    let mut state = State::open(&settings.state)?;
    let mut reused = match &settings.roster {
        Some(folder) => Some(Reused::open(folder, scenario, plan, &state.crowd)?),
        None => None,
    };
    if let Some(reused) = &reused {
        state.crowd = reused.crowd(state.crowd)?;
    }
    if settings.fresh_devices {
        state.crowd = fresh_crowd();
    }
    let listeners = Listeners::open(&Doors {
        direct: scenario.apns.listen,
        further: Vec::new(),
        proxy: scenario.apns.connect_proxy,
        plain: scenario.apns.plain_listen,
        admin: None,
        events: scenario.target.webhook(),
    })?;
    let (push, topic) = push_credential(scenario, &state)?;
    let given = given_authority(scenario, clock)?;
    let authority = given.map_or_else(|| Arc::clone(&state.device_authority), Arc::new);
    let gateway = listeners.direct_address().map_err(RunError::Socket)?;
    let reach = target::Request {
        scenario,
        settings,
        clock,
        gateway,
        push: &push,
        state: &state,
    };
    let mut target = target::reach(reach, &authority).await?;
    let unknown = |device: &DeviceId| reused.as_ref().is_none_or(|it| !it.has_identity(*device));
    let newcomers = (0..plan.devices()).map(DeviceId).filter(unknown);
    let newcomers: Vec<DeviceId> = newcomers.collect();
    let threads = NonZeroUsize::new(limits.cores).unwrap_or(NonZeroUsize::MIN);
    let search = Search {
        newcomers: &newcomers,
        threads,
        scenario,
        plan,
        settings,
        state: &state,
        authority: Arc::clone(&authority),
        clock,
    };
    let found = Box::pin(ways::find(search, &mut target)).await?;
    let topic = found.topic.unwrap_or(topic);
    if let Some(reused) = &mut reused {
        reused.agree(&topic)?;
    }
    let is_issued = scenario.enrollment.method == Method::Issued;
    let devices = if is_issued { newcomers } else { Vec::new() };
    let now = clock.epoch().wall(clock.now());
    let identities = Identities::mint(&authority, &state.crowd, &devices, now, threads)?;
    let identities = match &reused {
        Some(reused) => reused.keep_issued(identities)?,
        None => identities,
    };
    let run = RunId(random_bytes());
    Ok(Prepared {
        clock,
        limits,
        state,
        push,
        topic,
        listeners,
        target,
        identities: Arc::new(identities),
        reused,
        outfit: found.outfit,
        terms: found.terms,
        told: found.told,
        run,
    })
}

/// The push certificate the target sends with, the scenario's or ours, and its topic.
///
/// # Errors
/// When the scenario's cannot be read.
pub fn push_credential(
    scenario: &Scenario,
    state: &State,
) -> Result<(Credential, String), RunError> {
    let apns = &scenario.apns;
    let (Some(certificate), Some(key)) = (&apns.push_certificate, &apns.push_key) else {
        let push = match scenario.target {
            // It reads no other key.
            Target::Micromdm(_) => state.rsa_push()?,
            Target::Embedded(_) | Target::Nanomdm(_) | Target::Observe(_) => state.push.clone(),
        };
        return Ok((push, state.topic.clone()));
    };
    let (purpose, path) = ("is the push certificate", certificate);
    let certificate = read(path, purpose)?;
    let key = read(key, "is the push certificate's key")?;
    let push = Credential::from_pem(&certificate, &key);
    let push = push.map_err(|error| unusable(path, purpose, &error))?;
    let topic = push
        .chain
        .first()
        .and_then(|der| crate::engine::authority::topic_of(der));
    Ok((push, topic.unwrap_or_else(|| state.topic.clone())))
}

/// The CA of device identities, if the scenario names one.
fn given_authority(scenario: &Scenario, clock: Clock) -> Result<Option<Authority>, RunError> {
    let enrollment = &scenario.enrollment;
    let (Some(ca), Some(key)) = (&enrollment.ca, &enrollment.ca_key) else {
        return Ok(None);
    };
    let (purpose, path) = ("is the CA of device identities", ca);
    let ca = read(path, purpose)?;
    let key = read(key, "is the key of the CA of device identities")?;
    let authority = Authority::load(&ca, &key, clock.epoch().wall(clock.now()));
    let authority = authority.map_err(|error| unusable(path, purpose, &error))?;
    Ok(Some(authority))
}

pub(super) fn unusable(
    path: &Path,
    purpose: &'static str,
    error: &dyn std::error::Error,
) -> RunError {
    RunError::Content {
        path: path.to_owned(),
        purpose,
        why: error.to_string(),
    }
}

pub(super) fn read(path: &Path, purpose: &'static str) -> Result<String, RunError> {
    std::fs::read_to_string(path).map_err(|source| {
        let path = path.to_owned();
        RunError::File {
            path,
            purpose,
            source,
        }
    })
}

/// Devices that no target has ever seen.
fn fresh_crowd() -> Crowd {
    let [id, first, second] = [(); 3].map(|()| random_bytes());
    let mut key = [0; 32];
    key[..16].copy_from_slice(&first);
    key[16..].copy_from_slice(&second);
    Crowd::new(CrowdId([id[0], id[1], id[2], id[3]]), key)
}

pub(super) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers do not run out");
    bytes
}
