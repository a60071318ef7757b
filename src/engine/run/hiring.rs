//! What workers and the operator are started from: each comes to life on its own thread.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::RunError;
use super::prepare::Prepared;
use super::reused::Known;
use super::target::Admin;
use crate::device::contract::Change;
use crate::device::environment::{Environment, Terms};
use crate::device::keepsake::Start;
use crate::engine::bundle::trace::Tracer;
use crate::engine::clock::Clock;
use crate::engine::health::{Connections, Gauge};
use crate::engine::operator::Operator;
use crate::engine::redirect::PublicTargets;
use crate::engine::roster::Keeper;
use crate::engine::scribe::{Batch, Scribe};
use crate::engine::tokens::TokenChange;
use crate::engine::worker::{Worker, WorkerPlan};
use crate::ids::{CohortId, Crowd, DeviceId, RunId};
use crate::plan::Plan;
use crate::shard::Share;
use crate::time::SimTime;

/// The operator before it is on its own thread, where alone its connections may live.
pub(super) struct OperatorPlan {
    pub(super) clock: Clock,
    pub(super) admin: Admin,
    pub(super) plan: Arc<Plan>,
    pub(super) crowd: Crowd,
    pub(super) terms: Terms,
    pub(super) run: RunId,
    pub(super) scribe: Scribe,
    pub(super) in_flight: usize,
}

impl OperatorPlan {
    pub(super) fn hire(self) -> Operator {
        let Self {
            clock,
            admin,
            plan,
            crowd,
            terms,
            run,
            scribe,
            in_flight,
        } = self;
        // The target was greeted through such an adapter before the run began.
        let adapter = admin
            .adapter(clock)
            .expect("an adapter that could be made once");
        let (scribe, places) = (RefCell::new(scribe), Arc::new(Semaphore::new(in_flight)));
        Operator {
            clock,
            adapter,
            plan,
            crowd,
            terms,
            run,
            scribe,
            places,
        }
    }
}

/// What workers are started from.
pub(super) struct Hiring<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) keeper: Option<Keeper>,
    pub(super) plan: &'a Plan,
    pub(super) env: Arc<Environment>,
    pub(super) start: SimTime,
    /// Enrolments that begin per second.
    pub(super) rate: f64,
    pub(super) handshakes: usize,
    pub(super) public: PublicTargets,
    pub(super) enrolling: Arc<Semaphore>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) sockets: Gauge,
    pub(super) connections: Connections,
    /// Whether devices resume TLS sessions.
    pub(super) resume: bool,
    pub(super) tokens: mpsc::Sender<TokenChange>,
    /// The way of what watched devices say to the bundle, if anybody is watched.
    pub(super) tracer: Option<Tracer>,
}

impl Hiring<'_> {
    pub(super) fn workers(
        &self,
        count: usize,
        to_recorder: &mpsc::Sender<Batch>,
    ) -> Result<Vec<Worker>, RunError> {
        let start = |index: usize| {
            let share = Share {
                index: index as u32,
                of: count as u32,
            };
            Ok(Worker::start(
                self.worker(share),
                index,
                to_recorder.clone(),
            )?)
        };
        (0..count).map(start).collect()
    }

    fn worker(&self, share: Share) -> WorkerPlan {
        let target = &self.prepared.target;
        WorkerPlan {
            share,
            env: Arc::clone(&self.env),
            devices: self.devices(share),
            timeline: self.timeline(share),
            clock: self.prepared.clock,
            endpoint: target.server.clone(),
            wire: target.wire.clone(),
            tls: target.tls.clone(),
            identities: Arc::clone(&self.prepared.identities),
            timeout: target.timeout,
            public: self.public,
            sockets: Arc::clone(&self.permits),
            handshakes: self.handshakes,
            enrolling: Arc::clone(&self.enrolling),
            open_sockets: self.sockets.clone(),
            connections: self.connections.clone(),
            resume: self.resume,
            tokens: self.tokens.clone(),
            keeper: self.keeper.clone(),
            outfit: self.prepared.outfit.clone(),
            tracer: self.tracer.clone(),
        }
    }

    /// Cohort and beginning of each device of a share. Those that enrol begin one after another,
    /// whatever others have from an earlier run.
    fn devices(&self, share: Share) -> Vec<(CohortId, Start)> {
        let mut enrolling = 0_u32;
        let mut devices = Vec::with_capacity((self.plan.devices() / share.of) as usize + 1);
        for device in (0..self.plan.devices()).map(DeviceId) {
            let reused = self.prepared.reused.as_ref();
            let known = reused.map_or(Known::Nothing, |reused| reused.known(device));
            let after = Duration::from_secs_f64(f64::from(enrolling) / self.rate);
            let at = self.start + after;
            let start = known.start(at);
            enrolling += u32::from(start.is_at_once());
            if Share::owner(share.of, device) == share.index {
                devices.push((self.plan.cohort_of(device), start));
            }
        }
        devices
    }

    fn timeline(&self, share: Share) -> Vec<(Duration, DeviceId, Change)> {
        let events = self.plan.timeline.iter();
        let mine = events.filter(|event| Share::owner(share.of, event.device) == share.index);
        mine.map(|event| (self.plan.real(event.at), event.device, event.change))
            .collect()
    }
}
