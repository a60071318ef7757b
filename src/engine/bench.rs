//! What the benches reach of the engine: the threads of a run around one worker, without a
//! scenario, an operator or a report. Nothing else may use it.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

use super::bundle::Bundle;
use super::clock::Clock;
use super::endpoint::Endpoint;
use super::enroll::Outfit;
use super::front::{Front, FrontPlan, Listeners};
use super::gateway::Settings;
use super::health::{Connections, Gauge};
use super::identity::{ClientTls, Identities, roots_of_pem};
use super::operator::Halt;
use super::ports::Ports;
use super::provider_tls::gateway_tls;
use super::recorder::Recorder;
use super::redirect::PublicTargets;
use super::scribe::{BATCHES_MAX, Scribe};
use super::state::State;
use super::tokens::{CHANGES_MAX, TokenChange};
use super::wire::{Proof, Wire};
use super::worker::{MAILBOX, Worker, WorkerPlan};
use crate::apns::admission::{Admission, Storage};
use crate::device::environment::Environment;
use crate::device::keepsake::Start;
use crate::fact::{FactKind, ServerPush};
use crate::finding::Detectors;
use crate::ids::{CohortId, OrderIndex};
use crate::record::Ledger;
use crate::record::account::Account;
use crate::record::setup::Setup;
use crate::shard::Share;
use crate::time::SimTime;

/// Why a rig cannot be started; a bench shows it and ends.
pub type Unusable = Box<dyn std::error::Error>;

/// What one worker of a run is made of.
#[derive(Debug)]
pub struct RigPlan<'a> {
    /// The ruler.
    pub clock: Clock,
    /// Authorities, push certificate, crowd.
    pub state: &'a State,
    /// What the devices share.
    pub env: Arc<Environment>,
    /// What the ledger counts; its first cohort has all devices.
    pub setup: Setup,
    /// The target.
    pub url: String,
    /// Its root certificate as PEM, for an `https` target.
    pub roots: Option<String>,
    /// The devices' keys and certificates.
    pub identities: Arc<Identities>,
    /// The folder of the results bundle.
    pub results: &'a Path,
}

/// A worker, the front thread with the gateway, and the recorder, as a run has them.
#[derive(Debug)]
pub struct Rig {
    /// Where pushes go.
    pub gateway: SocketAddr,
    clock: Clock,
    worker: Worker,
    front: Front,
    recorder: Recorder,
    halt: watch::Sender<Halt>,
    operator: Scribe,
}

/// The worker's facts, and those of the gateway.
const PRODUCERS: usize = 2;

/// The default of `handshakes-in-flight`, and more sockets than that.
const HANDSHAKES: usize = 32;
const SOCKETS: usize = 4096;

impl Rig {
    /// Starts every thread; the devices begin to enrol, 10,000 a second.
    ///
    /// # Errors
    /// When the target, the bundle's folder or the certificates cannot be used.
    pub fn start(plan: RigPlan<'_>) -> Result<Self, Unusable> {
        let clock = plan.clock;
        let endpoint = Endpoint::resolve(&plan.url)?;
        let tls = match &plan.roots {
            Some(pem) => Some(ClientTls::new(roots_of_pem(pem)?, 0, "http/1.1")?),
            None => None,
        };
        let count = plan.setup.cohorts.first().map_or(0, |it| it.devices);
        let (to_recorder, batches) = mpsc::channel(BATCHES_MAX);
        let detectors = Detectors::new(&plan.setup);
        let folds = (Ledger::new(plan.setup), detectors);
        let bundle = Bundle::create(plan.results)?;
        let recorder = Recorder::start(clock, folds, bundle, PRODUCERS, batches, None);
        let start = clock.now();
        let (to_gateway, tokens) = mpsc::channel(CHANGES_MAX);
        let worker = WorkerPlan {
            share: Share { index: 0, of: 1 },
            env: Arc::clone(&plan.env),
            devices: (0..count)
                .map(|device| {
                    let after = Duration::from_micros(u64::from(device) * 100);
                    let (at, has_identity) = (start + after, false);
                    (CohortId(0), Start::Enrolls { at, has_identity })
                })
                .collect(),
            timeline: Vec::new(),
            clock,
            wire: Wire::new(&endpoint, &endpoint, Proof::Mtls, &[]),
            endpoint,
            tls,
            identities: plan.identities,
            timeout: Duration::from_secs(30),
            public: PublicTargets::Refused,
            sockets: Arc::new(Semaphore::new(SOCKETS)),
            handshakes: HANDSHAKES,
            enrolling: Arc::new(Semaphore::new(HANDSHAKES)),
            open_sockets: Gauge::default(),
            connections: Connections::default(),
            resume: false,
            tokens: to_gateway,
            keeper: None,
            outfit: Outfit::issuing(&plan.env.crowd, PublicTargets::Refused),
            tracer: None,
        };
        let worker = Worker::start(worker, 0, to_recorder.clone())?;
        let scribe = Scribe::new(clock, 1, to_recorder.clone());
        let mailbox = worker.mailbox.clone();
        let ports = Box::new(move || Ports::new(vec![mailbox], scribe));
        let (gateway, front, halt) = open_gateway(clock, plan.state, count, ports, tokens)?;
        Ok(Self {
            gateway,
            clock,
            worker,
            front,
            recorder,
            halt,
            operator: Scribe::new(clock, 1, to_recorder),
        })
    }

    /// Notes that the operator placed these orders and the target took them.
    pub fn place(&mut self, orders: Range<u32>) {
        for order in orders.map(OrderIndex) {
            let now = self.clock.now();
            let push = ServerPush::Accepted;
            self.operator
                .note(now, FactKind::Ordered { order, due: now });
            self.operator.note(now, FactKind::Offered { order });
            self.operator.note(now, FactKind::Accepted { order, push });
        }
        let mut batch = self.operator.take();
        // It goes under the gateway's number, and only the gateway knows what it has sent.
        batch.watermark = SimTime::ZERO;
        // The recorder outlives its producers.
        let _ = self.operator.to().blocking_send(batch);
    }

    /// How many devices have enrolled.
    pub fn enrolled(&self) -> u64 {
        self.recorder.state.borrow().progress.enrolled
    }

    /// How many orders the ledger knows.
    pub fn ordered(&self) -> u64 {
        self.recorder.state.borrow().progress.ordered
    }

    /// How many orders completed.
    pub fn completed(&self) -> u64 {
        self.recorder.state.borrow().progress.completed
    }

    /// Stops everyone and takes the account.
    pub fn stop(self) -> Account {
        self.halt.send_replace(Halt::Everything);
        join(self.front.thread);
        drop(self.worker.mailbox);
        join(self.worker.thread);
        drop((self.operator, self.recorder.questions));
        join(self.recorder.thread).0
    }
}

/// The front thread with a gateway alone. Pushes reach a mailbox, facts a channel, and a thread
/// takes both and does nothing with them.
#[derive(Debug)]
pub struct GatewayRig {
    /// Where pushes go.
    pub gateway: SocketAddr,
    front: Front,
    sink: JoinHandle<u64>,
    halt: watch::Sender<Halt>,
}

impl GatewayRig {
    /// Starts both threads, for `devices` devices.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub fn start(clock: Clock, state: &State, devices: u32) -> Result<Self, Unusable> {
        let (mailbox, mut inbox) = mpsc::channel(MAILBOX);
        let (to_recorder, mut batches) = mpsc::channel(BATCHES_MAX);
        let scribe = Scribe::new(clock, 0, to_recorder);
        let ports = Box::new(move || Ports::new(vec![mailbox], scribe));
        let sink = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime without I/O needs nothing that could be missing");
            runtime.block_on(async {
                let mut taken = 0;
                loop {
                    tokio::select! {
                        batch = batches.recv() => if batch.is_none() { return taken },
                        Some(_) = inbox.recv() => taken += 1,
                    }
                }
            })
        });
        let (gateway, front, halt) =
            open_gateway(clock, state, devices, ports, mpsc::channel(1).1)?;
        Ok(Self {
            gateway,
            front,
            sink,
            halt,
        })
    }

    /// Stops both threads; returns how many pushes were let in.
    pub fn stop(self) -> u64 {
        self.halt.send_replace(Halt::Everything);
        join(self.front.thread);
        join(self.sink)
    }
}

fn open_gateway(
    clock: Clock,
    state: &State,
    devices: u32,
    ports: Box<dyn FnOnce() -> Ports + Send>,
    tokens: mpsc::Receiver<TokenChange>,
) -> Result<(SocketAddr, Front, watch::Sender<Halt>), Unusable> {
    let listeners = Listeners::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None)?;
    let address = listeners.direct_address()?;
    let (halt, halted) = watch::channel(Halt::No);
    let (_, settled) = mpsc::channel(1);
    let front = Front::start(FrontPlan {
        tls: gateway_tls(state, &state.push, clock)?,
        listeners,
        admission: Admission::new(
            state.crowd.clone(),
            state.topic.as_str().into(),
            clock.epoch(),
            devices,
            Storage {
                without_expiration: true,
                time_scale: 1.0,
            },
        ),
        settings: Settings::default(),
        clock,
        ports,
        operator: None,
        settled,
        tokens,
        halt: halted,
        outside: None,
    });
    Ok((address, front, halt))
}

/// Waits for a thread; its panic is ours.
fn join<T>(thread: JoinHandle<T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
