//! A worker: one thread that owns a shard of devices and turns it in real time.
//!
//! The loop is: take what the devices want, wait for one event, handle it. A device that does not
//! talk has a row in the shard and nothing else.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::LocalSet;

use super::bundle::trace::Tracer;
use super::carrier::Carrier;
use super::clock::Clock;
use super::connection::Connector;
use super::courier::Courier;
use super::endpoint::{Endpoint, EndpointError};
use super::enroll::{Enroller, News, Outfit};
use super::errand::Errands;
use super::health::{Connections, Gauge};
use super::identity::{ClientTls, Identities};
use super::permits::Permits;
use super::redirect::PublicTargets;
use super::roster::{Changes, Keeper};
use super::scribe::{Batch, Scribe};
use super::tickets::Tickets;
use super::tokens::{Announcer, TokenChange};
use super::wire::Wire;
use crate::apns::slot::Keep;
use crate::device::contract::{Change, Output, Push};
use crate::device::environment::Environment;
use crate::device::keepsake::Start;
use crate::fact::{FactKind, Said};
use crate::ids::{Channel, CohortId, DeviceId};
use crate::shard::{Shard, Share};
use crate::time::SimTime;

/// What a worker can be told.
#[derive(Debug)]
pub(super) enum ToWorker {
    /// A push that was let in for one of its devices.
    Push(Push, Keep),
    /// Time zero: sleep begins to alternate, the timeline to count.
    Begin(SimTime),
    /// Whether any of these devices, in ascending order, has anything planned before the time.
    HasPlans(Vec<DeviceId>, SimTime, oneshot::Sender<bool>),
}

/// How many messages may wait for a worker; a gateway or operator that finds it full waits.
pub(super) const MAILBOX: usize = 4096;

/// The most inputs handled before timers are looked at again.
const TURN: usize = 64;

/// How long a worker stays silent towards the recorder at most.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// How long a fact waits for others at most. Sending a batch wakes the recorder's thread, which
/// costs as much as a tenth of a cycle.
const GATHER: Duration = Duration::from_millis(2);

/// What a worker needs to start.
#[derive(Debug)]
pub(super) struct WorkerPlan {
    pub(super) share: Share,
    pub(super) env: Arc<Environment>,
    /// Cohort and beginning of each device of the share, in order.
    pub(super) devices: Vec<(CohortId, Start)>,
    /// The timeline of the share: scenario times already on the ruler, counted from time zero.
    pub(super) timeline: Vec<(Duration, DeviceId, Change)>,
    pub(super) clock: Clock,
    pub(super) endpoint: Endpoint,
    pub(super) wire: Wire,
    pub(super) tls: Option<ClientTls>,
    pub(super) identities: Arc<Identities>,
    pub(super) timeout: Duration,
    pub(super) public: PublicTargets,
    pub(super) sockets: Arc<Semaphore>,
    pub(super) handshakes: usize,
    pub(super) enrolling: Arc<Semaphore>,
    pub(super) open_sockets: Gauge,
    pub(super) connections: Connections,
    /// Whether devices resume TLS sessions.
    pub(super) resume: bool,
    pub(super) tokens: mpsc::Sender<TokenChange>,
    /// The way to the roster, if there is one.
    pub(super) keeper: Option<Keeper>,
    /// What devices need on their way to an identity.
    pub(super) outfit: Outfit,
    /// The way of what watched devices say to the bundle, if anybody is watched.
    pub(super) tracer: Option<Tracer>,
}

/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) mailbox: mpsc::Sender<ToWorker>,
    pub(super) thread: JoinHandle<Histogram<u64>>,
}

impl Worker {
    /// Starts the thread. It ends when its mailbox is closed, and gives back how late its timers
    /// were, in microseconds.
    pub(super) fn start(
        plan: WorkerPlan,
        producer: usize,
        recorder: mpsc::Sender<Batch>,
    ) -> Result<Self, EndpointError> {
        let connector = Connector::new(&plan.endpoint)?;
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let scribe = Scribe::new(plan.clock, producer, recorder);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{}", plan.share.index))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime needs a descriptor or two, which the limits check reserved");
                let local = LocalSet::new();
                local.block_on(&runtime, Turner::new(plan, connector, scribe, inbox).run())
            })
            .expect("a thread can be started");
        Ok(Self { mailbox, thread })
    }
}

/// The loop's state.
pub(super) struct Turner {
    shard: Shard,
    courier: Courier,
    errands: Errands,
    changes: Changes,
    announcer: Announcer,
    scribe: Scribe,
    inbox: mpsc::Receiver<ToWorker>,
    clock: Clock,
    timeline: VecDeque<(Duration, DeviceId, Change)>,
    zero: Option<SimTime>,
    /// Whether time zero has come.
    has_begun: bool,
    lateness: Histogram<u64>,
    flushed: SimTime,
}

enum Event {
    Message(ToWorker),
    Answer,
    Deadline,
    Announced,
    Stop,
}

impl Turner {
    pub(super) fn new(
        plan: WorkerPlan,
        connector: Connector,
        scribe: Scribe,
        inbox: mpsc::Receiver<ToWorker>,
    ) -> Self {
        let mut shard = Shard::new(plan.env, plan.share);
        shard.reserve(plan.devices.len());
        for (cohort, start) in plan.devices {
            shard.add(cohort, start);
        }
        let permits = Permits {
            sockets: plan.sockets,
            handshakes: Arc::new(Semaphore::new(plan.handshakes)),
            open_sockets: plan.open_sockets,
            connections: plan.connections,
        };
        let errands = Errands::new(Enroller::new(
            plan.outfit,
            plan.clock,
            permits.clone(),
            Arc::clone(&plan.identities),
            Arc::clone(&plan.enrolling),
            plan.keeper.clone(),
        ));
        let courier = Courier::new(Carrier {
            clock: plan.clock,
            endpoint: plan.endpoint,
            connector,
            wire: plan.wire,
            tls: plan.tls,
            identities: plan.identities,
            timeout: plan.timeout,
            public: plan.public,
            permits,
            enrolling: plan.enrolling,
            tickets: plan.resume.then(Tickets::default),
            tracer: plan.tracer,
        });
        Self {
            shard,
            courier,
            errands,
            changes: Changes::new(plan.keeper),
            announcer: Announcer::new(plan.tokens),
            scribe,
            inbox,
            clock: plan.clock,
            timeline: plan.timeline.into(),
            zero: None,
            has_begun: false,
            lateness: Histogram::new_with_bounds(1, 3_600_000_000, 3)
                .expect("the bounds are constants that fit"),
            flushed: SimTime::ZERO,
        }
    }

    pub(super) async fn run(mut self) -> Histogram<u64> {
        let returns = self.courier.returns();
        let reports = self.errands.reports();
        // One timer that is set anew when its time changes: to make one for each turn costs more
        // than the turn.
        let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            self.serve_timers();
            if self.scribe.is_full() || self.clock.now() >= self.flush_due() {
                self.flush().await;
            }
            let wake = self.clock.instant(self.deadline().min(self.flush_due()));
            if alarm.deadline() != wake {
                alarm.as_mut().reset(wake);
            }
            let event = tokio::select! {
                () = returns.arrived() => Event::Answer,
                () = reports.arrived() => Event::Answer,
                message = self.inbox.recv() => message.map_or(Event::Stop, Event::Message),
                () = &mut alarm => Event::Deadline,
                () = self.announcer.pass_on(), if self.announcer.is_waiting() => Event::Announced,
            };
            match event {
                Event::Message(message) => self.receive(message),
                Event::Answer | Event::Announced | Event::Deadline => {}
                Event::Stop => {
                    self.courier.reap();
                    self.errands.reap();
                    break;
                }
            }
            self.courier.reap();
            self.errands.reap();
            for _ in 0..TURN {
                let Some(news) = reports.pop() else {
                    break;
                };
                self.hear(news);
            }
            for _ in 0..TURN {
                let Some((channel, id, reply)) = returns.pop() else {
                    break;
                };
                let now = self.clock.now();
                self.shard.reply(now, channel, id, reply);
                self.carry_out(now);
            }
            for _ in 0..TURN {
                let Ok(message) = self.inbox.try_recv() else {
                    break;
                };
                self.receive(message);
            }
        }
        self.flush().await;
        self.changes.finish(&self.shard).await;
        self.lateness
    }

    /// What comes from an errand.
    fn hear(&mut self, news: News) {
        let now = self.clock.now();
        match news {
            News::Fact(fact) => self.scribe.note(now, fact),
            News::Ended(device, id, obtained, place) => {
                // One that goes on at once with Authenticate does not queue again behind all others.
                self.courier.seat(Some((Channel::device(device), place)));
                self.shard.obtained(now, device, id, obtained);
                self.carry_out(now);
                self.courier.seat(None);
            }
        }
    }

    fn receive(&mut self, message: ToWorker) {
        let now = self.clock.now();
        match message {
            ToWorker::Push(push, keep) => self.shard.push(push, keep),
            ToWorker::Begin(zero) => {
                self.zero = Some(zero);
            }
            ToWorker::HasPlans(devices, end, answer) => {
                let any = self.anyone_has_plans(&devices, end);
                // Whoever asked may have stopped waiting.
                let _ = answer.send(any);
            }
        }
        self.carry_out(now);
    }

    /// Whether a device, or the timeline on its behalf, has anything planned before `end`.
    fn anyone_has_plans(&self, devices: &[DeviceId], end: SimTime) -> bool {
        let by_itself = devices
            .iter()
            .any(|&device| self.shard.has_plans(device, end));
        let Some(zero) = self.zero else {
            return by_itself;
        };
        let events = self
            .timeline
            .iter()
            .take_while(|(after, ..)| zero + *after < end);
        by_itself
            || events
                .into_iter()
                .any(|(_, device, _)| devices.binary_search(device).is_ok())
    }

    fn deadline(&mut self) -> SimTime {
        if let (Some(zero), false) = (self.zero, self.has_begun) {
            return self.shard.deadline().min(zero);
        }
        let event = match (self.zero, self.timeline.front()) {
            (Some(zero), Some(&(after, ..))) => zero + after,
            (Some(_), None) | (None, _) => SimTime::NEVER,
        };
        self.shard.deadline().min(event)
    }

    /// When facts, or the word that there are none, are to go to the recorder.
    fn flush_due(&self) -> SimTime {
        let wait = if self.scribe.is_empty() {
            HEARTBEAT
        } else {
            GATHER
        };
        self.flushed + wait
    }

    fn serve_timers(&mut self) {
        let now = self.clock.now();
        if let Some(zero) = self.zero.filter(|zero| *zero <= now) {
            if !self.has_begun {
                self.has_begun = true;
                self.shard.begin(zero);
            }
            while let Some(&(after, device, change)) = self.timeline.front()
                && zero + after <= now
            {
                self.timeline.pop_front();
                self.shard.change(now, device, change);
            }
            self.carry_out(now);
        }
        for _ in 0..TURN {
            let due = self.shard.deadline();
            if due > now {
                break;
            }
            self.lateness
                .saturating_record(now.since(due).as_micros() as u64);
            self.shard.tick(now, 1);
        }
        self.carry_out(now);
    }

    /// Carries out what the devices want after an input they were handed at `now`, so that a fact
    /// has the very time at which its device acted.
    fn carry_out(&mut self, now: SimTime) {
        let mut errands = Vec::new();
        for output in self.shard.drain() {
            match output {
                Output::Send(request) => self.courier.send(request),
                Output::Close(channel) => self.courier.close(channel),
                Output::Token(channel, epoch) => {
                    let since = self.clock.epoch().wall(now);
                    let gate = self.announcer.announce(channel, epoch, since);
                    self.courier.hold(channel, gate);
                }
                Output::Obtain(errand) => errands.push(errand),
                Output::Keep(device) => self.changes.note(device),
                Output::Note(fact) => {
                    if let FactKind::Exchange {
                        channel,
                        said: Said::TokenUpdate,
                        got,
                        ..
                    } = &fact
                        && channel.user == 0
                        && got.is_delivered()
                    {
                        self.errands.enrolled(channel.device);
                    }
                    self.scribe.note(now, fact);
                }
            }
        }
        for errand in errands {
            let traits = self.shard.traits(errand.device);
            self.errands.set_out(errand, traits);
        }
    }

    async fn flush(&mut self) {
        self.changes.pass_on(&self.shard);
        self.scribe.flush().await;
        self.flushed = self.clock.now();
    }
}
