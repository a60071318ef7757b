//! What a world begins with: names, devices and settings, from a scenario, its plan and nothing else.

use std::sync::Arc;
use std::time::Duration;

use super::network::{Conditions, Validity};
use crate::device::environment::Environment;
use crate::device::keepsake::Start;
use crate::ids::{Crowd, CrowdId, DeviceId, OrderBook, RunId};
use crate::plan::Plan;
use crate::reference_server;
use crate::scenario::{IdentityMode, Method, Scenario, Target};
use crate::seed::Seed;
use crate::shard::{Shard, Share};
use crate::time::{RunEpoch, SimTime, WallTime};

/// What a world is made of besides the scenario and its plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How long open orders are waited for after the last one was ordered.
    pub drain: Duration,
    /// Whether the drain goes on while orders are open, even if no device has anything planned: the
    /// server may push again.
    pub waits_for_all: bool,
    /// How good the network is.
    pub conditions: Conditions,
    /// When the devices' own certificates are valid; `None` for always.
    pub identities: Option<Validity>,
    /// How the reference server is set.
    pub server: reference_server::Settings,
    /// The wall time at the beginning.
    pub epoch: RunEpoch,
}

/// Monday, 5 January 2026, 06:00 UTC.
const BEGINNING: RunEpoch = RunEpoch(WallTime::from_unix_micros(1_767_592_800_000_000));

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// When signatures are good of devices whose certificates were issued at the beginning; `None` where
/// devices do not sign.
pub(super) fn signatures(scenario: &Scenario, settings: &Settings) -> Option<Validity> {
    if scenario.enrollment.identity != IdentityMode::Signature {
        return None;
    }
    let usual = settings.identities?;
    let obtains = scenario.enrollment.method != Method::Issued;
    if let (Target::Embedded(target), true) = (&scenario.target, obtains) {
        let from = settings.epoch.wall(SimTime::ZERO).before(target.back_date);
        return Some(Validity { from, ..usual });
    }
    Some(usual)
}

/// How the reference server is set: with the defects that the settings and the scenario give it.
pub(super) fn server(
    scenario: &Scenario,
    plan: &Plan,
    settings: reference_server::Settings,
) -> reference_server::Settings {
    match &scenario.target {
        Target::Embedded(target) => reference_server::Settings {
            defects: settings.defects.with(target.defects),
            network_users: target.network_users,
            seed: plan.seed,
            ..settings
        },
        Target::Nanomdm(_) | Target::Micromdm(_) | Target::Observe(_) => settings,
    }
}

/// How long ago the server's certificate began to be valid: it is older than those of the devices,
/// as it is wherever devices enrol later than the server was set up.
const SERVER_BACK_DATED: Duration = DAY.saturating_add(BACK_DATED);

/// How long ago a device's certificate begins to be valid, and how long both kinds live.
const BACK_DATED: Duration = Duration::from_secs(3_600);
const LEAF_LIFE: Duration = DAY.saturating_mul(90);

impl Default for Settings {
    fn default() -> Self {
        // As those of the embedded target's authority.
        let valid_since = |back_dated| Validity {
            from: BEGINNING.wall(SimTime::ZERO).before(back_dated),
            until: BEGINNING.wall(SimTime::ZERO + LEAF_LIFE),
        };
        Self {
            drain: Duration::from_secs(60),
            waits_for_all: false,
            conditions: Conditions {
                certificate: Some(valid_since(SERVER_BACK_DATED)),
                ..Conditions::default()
            },
            identities: Some(valid_since(BACK_DATED)),
            server: reference_server::Settings::default(),
            epoch: BEGINNING,
        }
    }
}

impl Settings {
    /// With certificates that live as long beyond a run of this length: whoever manages devices for
    /// months renews them in time, and on scaled real time no certificate sees months.
    #[must_use]
    pub fn outlasting(mut self, run: Duration) -> Self {
        let later = |it: Validity| Validity {
            until: it.until.after(run),
            ..it
        };
        self.identities = self.identities.map(later);
        self.conditions.certificate = self.conditions.certificate.map(later);
        self
    }
}

/// How many intervals a report has at most, about.
const INTERVALS: u32 = 2_000;

/// The run's own names: they depend on the seed alone.
pub(super) fn names(plan: &Plan) -> (RunId, OrderBook) {
    let mut run = *b"mdmstorm-virtual";
    run[8..].copy_from_slice(&plan.seed.0.to_be_bytes());
    let run = RunId(run);
    let orders = u32::try_from(plan.orders.len()).expect("a plan has at most 20 million orders");
    (run, OrderBook::new(run, orders))
}

fn crowd(seed: Seed) -> Crowd {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.0.to_be_bytes());
    Crowd::new(CrowdId(*b"virt"), key)
}

/// What all devices share. Nothing is scaled: virtual time costs nothing.
pub(super) fn environment(
    scenario: &Scenario,
    plan: &Plan,
    settings: &Settings,
    orders: OrderBook,
) -> Environment {
    let cohorts = plan.cohorts.iter();
    Environment {
        seed: plan.seed,
        crowd: crowd(plan.seed),
        topic: "com.apple.mgmt.rehearsal".into(),
        terms: scenario.enrollment.terms(),
        time_scale: 1.0,
        epoch: settings.epoch,
        starts: plan.starts,
        orders,
        cohorts: cohorts.map(|cohort| Arc::clone(&cohort.traits)).collect(),
        enroll_until: SimTime::ZERO + scenario.enrollment.within,
    }
}

/// One shard that owns all devices, which enrol at the scenario's rate.
pub(super) fn crowd_of(scenario: &Scenario, plan: &Plan, env: &Arc<Environment>) -> Shard {
    let mut shard = Shard::new(Arc::clone(env), Share { index: 0, of: 1 });
    shard.reserve(plan.devices() as usize);
    for device in 0..plan.devices() {
        let after = Duration::from_secs_f64(f64::from(device) / scenario.enrollment.rate);
        let start = Start::Enrolls {
            at: SimTime::ZERO + after,
            has_identity: false,
        };
        shard.add(plan.cohort_of(DeviceId(device)), start);
    }
    shard
}

/// How long an interval of the report is: whole seconds, at least one.
pub(super) fn grain(length: Duration) -> Duration {
    Duration::from_secs((length / INTERVALS).as_secs() + 1)
}
