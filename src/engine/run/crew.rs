//! The threads of a run: workers, front (gateway and operator) and recorder, and how they are
//! started, asked and stopped.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::hiring::{Hiring, OperatorPlan};
use super::prepare::Prepared;
use super::provider_keys;
use super::{RunError, Settings, Usage};
use crate::apns::admission::{Admission, Storage};
use crate::device::environment::Environment;
use crate::engine::bundle::Bundle;
use crate::engine::bundle::trace::Tracing;
use crate::engine::clock::Clock;
use crate::engine::front::{Front, FrontPlan, Outside};
use crate::engine::gateway;
use crate::engine::gateway::lookout::Lookout;
use crate::engine::gateway::tally::Tally;
use crate::engine::health::{Connections, Gauge};
use crate::engine::inspection::{Inspection, worth_a_look};
use crate::engine::operator::{Halt, Standing};
use crate::engine::ports::Ports;
use crate::engine::provider_tls::gateway_tls;
use crate::engine::recorder::{Open, Question, Recorder, SETTLED_MAX, State};
use crate::engine::redirect::PublicTargets;
use crate::engine::roster::Writing;
use crate::engine::scribe::{BATCHES_MAX, Scribe};
use crate::engine::serve::Embedded;
use crate::engine::tokens::CHANGES_MAX;
use crate::engine::worker::{ToWorker, Worker};
use crate::finding::{Detectors, Findings};
use crate::ids::{DeviceId, OrderBook, OrderIndex};
use crate::plan::Plan;
use crate::record::Ledger;
use crate::record::account::Account;
use crate::record::setup::Setup;
use crate::scenario::{Scenario, Target};
use crate::shard::Share;
use crate::time::SimTime;

/// Everyone who works on a run.
pub(super) struct Crew {
    clock: Clock,
    workers: Vec<Worker>,
    front: Front,
    recorder: Recorder,
    halt: watch::Sender<Halt>,
    is_observer: bool,
    has_webhook: bool,
    embedded: Option<Embedded>,
    writing: Option<Writing>,
    tracing: Option<Tracing>,
    sockets: Gauge,
    connections: Connections,
    timeout: Duration,
}

/// How many producers stand beside the workers: gateway and operator.
const OTHER_PRODUCERS: usize = 2;

/// When so long no event has come from the target, it has told all.
const EVENTS_APART: Duration = Duration::from_millis(250);

/// How long events are waited for at most.
const EVENTS_LAST: Duration = Duration::from_secs(5);

impl Crew {
    /// Starts every thread; the devices begin to enrol.
    #[expect(
        clippy::too_many_lines,
        reason = "one thread after another, each with what those before it gave"
    )]
    pub(super) fn start(
        prepared: Prepared,
        mut bundle: Bundle,
        scenario: &Scenario,
        plan: Arc<Plan>,
        settings: &Settings,
    ) -> Result<Self, RunError> {
        let clock = prepared.clock;
        let tls = gateway_tls(&prepared.state, &prepared.push, clock)?;
        let one_less = prepared.limits.cores.saturating_sub(1);
        let count = settings.workers.unwrap_or(one_less).max(1);
        let book = OrderBook::new(prepared.run, plan.orders.len() as u32);
        let is_observer = matches!(scenario.target, Target::Observe(_));
        let folds = folds(scenario, &plan, book, is_observer);
        let (to_recorder, batches) = mpsc::channel(BATCHES_MAX);
        let (settled, settlements) = settlements(&plan);
        let producers = count + OTHER_PRODUCERS;
        let (tracer, tracing) = bundle.trace().unzip();
        let recorder = Recorder::start(clock, folds, bundle, producers, batches, settled);
        let sockets = Gauge::default();
        let connections = Connections::default();
        let (to_gateway, tokens) = mpsc::channel(CHANGES_MAX);
        let (keeper, writing) = match &prepared.reused {
            Some(reused) => {
                let (keeper, writing) = reused.start_writing();
                (Some(keeper), Some(writing))
            }
            None => (None, None),
        };
        let hiring = Hiring {
            prepared: &prepared,
            keeper,
            plan: &plan,
            env: environment(&prepared, scenario, &plan, book),
            start: clock.now(),
            rate: scenario.enrollment.rate,
            handshakes: settings.handshakes_in_flight,
            public: PublicTargets::of_settings(settings),
            enrolling: Arc::new(Semaphore::new(scenario.enrollment.in_flight)),
            permits: Arc::new(Semaphore::new(
                prepared.limits.sockets(scenario.operator.in_flight) as usize,
            )),
            sockets: sockets.clone(),
            connections: connections.clone(),
            resume: scenario.transport.resume,
            tokens: to_gateway,
            tracer,
        };
        let workers = hiring.workers(count, &to_recorder)?;
        let terms = hiring.env.terms.clone();
        let (halt, halted) = watch::channel(Halt::No);
        let gateway_scribe = Scribe::new(clock, count, to_recorder.clone());
        let operator_scribe = Scribe::new(clock, count + 1, to_recorder);
        let mailboxes = workers.iter().map(|worker| worker.mailbox.clone());
        let mailboxes: Vec<_> = mailboxes.collect();
        let admission = admission(&prepared, scenario, &plan)?;
        let settings = settings_of_gateway(scenario, &plan);
        let outside = outside(&prepared, scenario);
        let operator = OperatorPlan {
            clock,
            admin: prepared.target.admin.clone(),
            plan,
            crowd: prepared.state.crowd.clone(),
            terms,
            run: prepared.run,
            scribe: operator_scribe,
            in_flight: scenario.operator.in_flight,
        };
        let front = Front::start(FrontPlan {
            tls,
            listeners: prepared.listeners,
            admission,
            settings,
            clock,
            ports: Box::new(move || Ports::new(mailboxes, gateway_scribe)),
            operator: Some(Box::new(move || operator.hire())),
            settled: settlements,
            tokens,
            halt: halted,
            outside,
        });
        Ok(Self {
            clock,
            workers,
            front,
            recorder,
            halt,
            is_observer,
            has_webhook: scenario.target.webhook().is_some(),
            embedded: prepared.target.embedded,
            writing,
            tracing,
            sockets,
            connections,
            timeout: prepared.target.timeout,
        })
    }

    /// Whether a thread has ended before its time; stopping passes its panic on.
    pub(super) fn is_broken(&self) -> bool {
        self.front.thread.is_finished()
            || self.recorder.thread.is_finished()
            || self
                .workers
                .iter()
                .any(|worker| worker.thread.is_finished())
    }

    /// How long one request of a device may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn now(&self) -> SimTime {
        self.clock.now()
    }

    pub(super) const fn is_observer(&self) -> bool {
        self.is_observer
    }

    /// How far the run is.
    pub(super) fn state(&self) -> State {
        *self.recorder.state.borrow()
    }

    /// Whether nothing but failures has come from the target for longer than `limit`.
    pub(super) fn is_target_silent(&self, now: SimTime, limit: Duration) -> bool {
        self.state()
            .silent_since
            .is_some_and(|since| now >= since + limit)
    }

    /// Time zero: devices begin to live, the operator begins to order.
    pub(super) async fn begin(&mut self, zero: SimTime) {
        for worker in &self.workers {
            let _ = worker.mailbox.send(ToWorker::Begin(zero)).await;
        }
        if let Some(begin) = self.front.begin.take() {
            let _ = begin.send(zero);
        }
    }

    /// Whether every order has been taken up.
    pub(super) fn is_ordered(&self) -> bool {
        *self.front.standing.borrow() != Standing::Ordering
    }

    /// Whether every order has been taken up and no request is in flight.
    pub(super) fn operator_is_idle(&self) -> bool {
        *self.front.standing.borrow() == Standing::Idle
    }

    pub(super) fn halt(&self, halt: Halt) {
        self.halt.send_replace(halt);
    }

    /// The open orders, as of a little while ago.
    pub(super) async fn open(&self) -> Open {
        let (answer, open) = oneshot::channel();
        // The recorder outlives every question.
        let _ = self.recorder.questions.send(Question::Open(answer)).await;
        open.await.unwrap_or_default()
    }

    /// Whether any of these devices is in a session or has anything planned before `end`.
    pub(super) async fn anyone_has_plans(&self, devices: &[DeviceId], end: SimTime) -> bool {
        let mut by_worker = vec![Vec::new(); self.workers.len()];
        for &device in devices {
            by_worker[Share::owner(self.workers.len() as u32, device) as usize].push(device);
        }
        for (worker, devices) in self.workers.iter().zip(by_worker) {
            let (answer, has_plans) = oneshot::channel();
            let question = ToWorker::HasPlans(devices, end, answer);
            if worker.mailbox.send(question).await.is_ok() && has_plans.await.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    /// Lets the operator look into the target's queues, and waits. Why not all were seen, if so.
    pub(super) async fn inspect(&self, plan: &Plan) -> Option<String> {
        let open = self.open().await;
        let channels = worth_a_look(plan, &open.devices);
        let (done, told) = oneshot::channel();
        // A front that is gone has ended with a panic, which stopping passes on.
        let _ = self
            .front
            .inspections
            .send(Inspection { channels, done })
            .await;
        told.await.ok().flatten()
    }

    /// Waits until no more events come from the target's webhook, if it is listened to: what it tells
    /// of the last results is still on its way then.
    pub(super) async fn hear_out(&mut self) {
        if !self.has_webhook {
            return;
        }
        let quiet = async {
            let events = &mut self.front.events;
            while let Ok(Ok(())) = tokio::time::timeout(EVENTS_APART, events.changed()).await {}
        };
        // Devices may keep talking; that they do is no news.
        let _ = tokio::time::timeout(EVENTS_LAST, quiet).await;
    }

    /// Stops everyone, in the order in which facts flow, and takes the account.
    pub(super) async fn stop(self) -> (Account, Findings, Bundle, Usage) {
        self.halt(Halt::Everything);
        let target_cpu = self.embedded.as_ref().and_then(Embedded::cpu_time);
        let events = self.has_webhook.then(|| self.front.events.clone());
        let Self {
            workers,
            front,
            recorder,
            embedded,
            writing,
            tracing,
            sockets,
            connections,
            ..
        } = self;
        let joined = tokio::task::spawn_blocking(move || {
            join(front.thread);
            let mut timers: Option<Histogram<u64>> = None;
            for Worker { mailbox, thread } in workers {
                drop(mailbox);
                let lateness = join(thread);
                match &mut timers {
                    Some(sum) => {
                        sum.add(lateness)
                            .expect("all workers' histograms have the same bounds");
                    }
                    None => timers = Some(lateness),
                }
            }
            drop(recorder.questions);
            let (account, findings, mut bundle) = join(recorder.thread);
            if let Some(tracing) = tracing {
                bundle.traced(tracing.join());
            }
            let unkept = writing.and_then(Writing::join);
            ((account, findings), bundle, timers, unkept)
        });
        let ((account, findings), bundle, timers, unkept) = match joined.await {
            Ok(joined) => joined,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        drop(embedded);
        let (sockets_max, connections) = (sockets.highest(), connections.seen());
        (
            account,
            findings,
            bundle,
            Usage {
                target_cpu,
                sockets_max,
                connections,
                timers,
                unkept: unkept.map(|error| error.to_string()),
                events: events.map(|events| *events.borrow()),
                ..Usage::default()
            },
        )
    }
}

/// The way of settled orders to the operator, if it has to know of them.
fn settlements(plan: &Plan) -> (Option<mpsc::Sender<OrderIndex>>, mpsc::Receiver<OrderIndex>) {
    let serial = plan.commands.iter().any(|command| command.serial);
    let asks = serial || !plan.reissues.is_empty();
    let (settled, settlements) = mpsc::channel(SETTLED_MAX);
    (asks.then_some(settled), settlements)
}

/// Waits for a thread; its panic is ours.
fn join<T>(thread: std::thread::JoinHandle<T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What all devices of the run share.
fn environment(
    prepared: &Prepared,
    scenario: &Scenario,
    plan: &Plan,
    orders: OrderBook,
) -> Arc<Environment> {
    let clock = prepared.clock;
    Arc::new(Environment {
        seed: plan.seed,
        crowd: prepared.state.crowd.clone(),
        topic: prepared.topic.as_str().into(),
        terms: prepared.terms.clone(),
        time_scale: plan.time_scale,
        epoch: clock.epoch(),
        starts: plan.starts,
        orders,
        cohorts: plan
            .cohorts
            .iter()
            .map(|cohort| Arc::clone(&cohort.traits))
            .collect(),
        enroll_until: clock.now() + scenario.enrollment.within,
    })
}

/// The gateway's doorkeeper.
fn admission(prepared: &Prepared, scenario: &Scenario, plan: &Plan) -> Result<Admission, RunError> {
    let storage = Storage {
        without_expiration: scenario.apns.store_without_expiration,
        time_scale: plan.time_scale,
    };
    let (crowd, topic) = (prepared.state.crowd.clone(), prepared.topic.as_str().into());
    let epoch = prepared.clock.epoch();
    let mut admission = Admission::new(crowd, topic, epoch, plan.devices(), storage);
    provider_keys::trust(&mut admission, scenario)?;
    Ok(admission)
}

/// What facts are folded into: the ledger of a run, which remembers how things stood whenever the
/// scenario wants to know, and what watches the server.
fn folds(
    scenario: &Scenario,
    plan: &Plan,
    book: OrderBook,
    is_observer: bool,
) -> (Ledger, Detectors) {
    let mut setup = Setup::of_plan(plan, book, is_observer);
    setup.trouble.time_scale = plan.time_scale;
    let detectors = Detectors::with_limits(&setup, scenario.limits_of_findings());
    let mut ledger = Ledger::new(setup);
    let looks = scenario.looks().map(|at| plan.real(at));
    ledger.take_snapshots_after(looks.collect());
    ledger.explain_longer_than(plan.real(scenario.slow_after));
    (ledger, detectors)
}

/// How the gateway behaves before anything happens.
fn settings_of_gateway(scenario: &Scenario, plan: &Plan) -> gateway::Settings {
    let apns = &scenario.apns;
    gateway::Settings {
        seed: plan.seed,
        service: apns.service(),
        faults: apns.faults.iter().map(|it| plan.fault_rule(it)).collect(),
        allow_hosts: apns.allow_hosts.clone(),
        ..gateway::Settings::default()
    }
}

/// What takes pushes over plain HTTP, if the scenario wants that.
fn outside(prepared: &Prepared, scenario: &Scenario) -> Option<Outside> {
    scenario.apns.plain_listen?;
    let (count, _) = watch::channel(Tally::default());
    Some(Outside {
        lookout: Lookout::new(prepared.state.crowd.clone(), count, None, None),
        webhook: None,
        topic: prepared.topic.as_str().into(),
    })
}
