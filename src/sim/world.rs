//! Everything that plays a part in a run, behind one virtual clock.
//!
//! [`World::step`] makes the next thing happen and gives back what was observed. The story is that of
//! a run: enrol, time zero, order, drain.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::agenda::{Agenda, Event};
use super::courier::{Line, Own};
use super::drain::Patience;
use super::happenings::Gateway;
use super::network::{Network, Validity};
use super::operator::Operator;
use super::origin::{self, Settings};
use super::trace::Watch;
use crate::apns::admission::{Admission, Storage};
use crate::apns::provider::{Certificate, Environment as Service, Provider};
use crate::condition::Condition;
use crate::device::contract::{Change, Output};
use crate::device::environment::Environment;
use crate::fact::{Fact, FactKind};
use crate::finding::{Detectors, Findings};
use crate::ids::{Channel, Crowd, DeviceId, OrderBook, RunId};
use crate::plan::Plan;
use crate::record::account::Account;
use crate::record::setup::Setup;
use crate::record::{Ledger, Progress};
use crate::reference_server::Server;
use crate::scenario::{Scenario, Target};
use crate::shard::Shard;
use crate::time::SimTime;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Enrolling,
    /// Enrolment is over; time zero comes in a moment.
    Starting,
    Ordering,
    Draining {
        end: SimTime,
    },
    Over,
}

/// How a rehearsal ended.
#[derive(Debug)]
pub struct Finished {
    /// The ledger's account.
    pub account: Account,
    /// The rules that the server broke.
    pub findings: Findings,
    /// Whether more devices failed to enrol than the scenario allows.
    pub enrollment_failed: bool,
    /// How many events there were.
    pub events: u64,
}

/// A run on virtual time.
#[derive(Debug)]
pub struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) env: Arc<Environment>,
    pub(super) run: RunId,
    /// When signatures of devices are good; `None` where devices do not sign.
    pub(super) signatures: Option<Validity>,
    pub(super) now: SimTime,
    pub(super) zero: SimTime,
    pub(super) step: Step,
    pub(super) agenda: Agenda,
    pub(super) shard: Shard,
    /// What the devices want, between two uses.
    pub(super) outputs: Vec<Output>,
    pub(super) server: Server,
    pub(super) admission: Admission,
    /// The server's one connection to the gateway.
    pub(super) provider: Provider,
    pub(super) network: Network,
    pub(super) operator: Operator,
    /// The certificates that devices have got since the beginning.
    pub(super) identities: BTreeMap<DeviceId, Own>,
    /// Those that were there before.
    pub(super) replaced: BTreeMap<DeviceId, Own>,
    /// Connections of devices in a session.
    pub(super) lines: HashMap<Channel, Line>,
    pub(super) pushes_sent: u64,
    pub(super) pushes_arrived: u64,
    pub(super) changes_done: usize,
    pub(super) gateway: Gateway,
    pub(super) ledger: Ledger,
    detectors: Detectors,
    pub(super) patience: Patience,
    pub(super) watch: Watch,
    pub(super) drain_longest: Duration,
    pub(super) waits_for_all: bool,
    is_observer: bool,
    max_failed: f64,
    /// Devices that enrolled, and that gave up.
    enrolled: u32,
    failed: u32,
    /// What this step has observed; the first so many are in the ledger.
    facts: Vec<Fact>,
    recorded: usize,
    advanced: SimTime,
    grain: Duration,
    interval_from: SimTime,
    events: u64,
}

/// How long after the last enrolment orders begin.
const BREATH: Duration = Duration::from_millis(100);

/// How long after the devices' own deadline and one more request's timeout enrolment is waited for.
const ENROLLMENT_GRACE: Duration = Duration::from_secs(1);

/// How many facts and wishes room is kept for: everybody's day begins in one moment, and no other is
/// like it.
const ROOM: usize = 1_024;

/// How often the ledger settles accounts.
const ADVANCE_EVERY: Duration = Duration::from_secs(1);

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(scenario: &Scenario, plan: Arc<Plan>, settings: Settings) -> Self {
        let (run, book) = origin::names(&plan);
        let is_observer = matches!(scenario.target, Target::Observe(_));
        let env = Arc::new(origin::environment(scenario, &plan, &settings, book));
        let topic = Arc::clone(&env.topic);
        let storage = Storage {
            without_expiration: scenario.apns.store_without_expiration,
            time_scale: env.time_scale,
        };
        let signatures = origin::signatures(scenario, &settings);
        let crowd = env.crowd.clone();
        let mut admission = Admission::new(
            crowd,
            Arc::clone(&topic),
            env.epoch,
            plan.devices(),
            storage,
        );
        admission.set_rate(scenario.apns.rate);
        let gateway = Gateway::new(scenario, &plan);
        let setup = Setup::of_plan(&plan, book, is_observer);
        let limits = scenario.findings.limits.clone();
        let limits = limits.on_virtual_time(scenario.time_scale);
        let detectors = Detectors::with_limits(&setup, limits);
        let mut ledger = Ledger::new(setup);
        ledger.take_snapshots_after(scenario.looks().collect());
        ledger.explain_longer_than(scenario.slow_after);
        let give_up = env.enroll_until + settings.conditions.timeout + ENROLLMENT_GRACE;
        let mut agenda = Agenda::default();
        agenda.add(give_up, Event::GiveUpEnrolling);
        Self {
            shard: origin::crowd_of(scenario, &plan, &env),
            operator: Operator::new(&plan, scenario.operator.in_flight),
            network: Network::new(plan.seed, settings.conditions),
            ledger,
            detectors,
            server: Server::new(origin::server(scenario, &plan, settings.server)),
            grain: origin::grain(plan.length() + settings.drain),
            drain_longest: settings.drain,
            waits_for_all: settings.waits_for_all,
            max_failed: scenario.enrollment.max_failed,
            now: SimTime::ZERO,
            zero: SimTime::NEVER,
            step: Step::Enrolling,
            outputs: Vec::new(),
            identities: BTreeMap::new(),
            replaced: BTreeMap::new(),
            lines: HashMap::new(),
            pushes_sent: 0,
            pushes_arrived: 0,
            changes_done: 0,
            gateway,
            patience: Patience::default(),
            watch: Watch::default(),
            enrolled: 0,
            failed: 0,
            facts: Vec::new(),
            recorded: 0,
            advanced: SimTime::ZERO,
            interval_from: SimTime::ZERO,
            events: 0,
            plan,
            env,
            run,
            provider: Provider::new(Some(Certificate::for_topic(&topic)), Service::Production),
            admission,
            agenda,
            is_observer,
            signatures,
        }
    }

    /// Makes the next thing happen and gives back what was observed; `None` once the run is over.
    pub fn step(&mut self) -> Option<&[Fact]> {
        self.facts.clear();
        self.facts.shrink_to(ROOM);
        self.outputs.shrink_to(ROOM);
        self.recorded = 0;
        if self.step == Step::Over {
            return None;
        }
        let agenda = self.agenda.next();
        let server = self.server.deadline().unwrap_or(SimTime::NEVER);
        let next = self.next_event();
        self.pass_time(next);
        self.events += 1;
        if agenda <= self.now {
            if let Some(event) = self.agenda.take() {
                self.happen(event);
            }
        } else if server <= self.now {
            for push in self.server.tick(self.now) {
                self.send_push(push, None);
            }
        } else {
            self.shard.tick(self.now, 1);
        }
        self.settle();
        Some(&self.facts)
    }

    /// What the last step has observed.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// Runs to the end.
    pub fn run(mut self) -> Finished {
        while self.step().is_some() {}
        self.finish()
    }

    /// Closes the books as of now.
    ///
    /// # Panics
    ///
    /// When the phases of a command, or the orders of a cohort, do not add up.
    pub fn finish(mut self) -> Finished {
        let _ = self.ledger.interval_since_last(self.now);
        let is_short = self.is_short_of_devices();
        Finished {
            account: self.ledger.finish(self.now),
            findings: self.detectors.finish(self.now),
            enrollment_failed: self.zero == SimTime::NEVER && is_short,
            events: self.events,
        }
    }

    /// From now on nothing goes wrong: no faults, no more timeline, no more rules, every clock
    /// right and every device as well as its own life lets it be. Gives back what was observed.
    pub fn heal(&mut self) -> &[Fact] {
        self.facts.clear();
        self.recorded = 0;
        self.network.heal();
        self.gateway
            .heal(self.plan.seed, self.plan.happenings.len());
        self.admission.set_rate(None);
        self.changes_done = self.plan.timeline.len();
        for device in (0..self.plan.devices()).map(DeviceId) {
            let leave = Condition::ALL.map(Change::Leave);
            let rules = (0..32).map(Change::EndRule);
            for change in leave.into_iter().chain([Change::SyncClock]).chain(rules) {
                self.shard.change(self.now, device, change);
            }
        }
        self.settle();
        &self.facts
    }

    /// The virtual time.
    pub const fn now(&self) -> SimTime {
        self.now
    }

    /// How many events there were.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Whether devices still enrol.
    pub const fn is_enrolling(&self) -> bool {
        matches!(self.step, Step::Enrolling | Step::Starting)
    }

    /// Whether every order has been taken up.
    pub const fn is_draining(&self) -> bool {
        matches!(self.step, Step::Draining { .. })
    }

    /// How many devices there are.
    pub fn devices(&self) -> u32 {
        self.plan.devices()
    }

    /// How many commands the server has for a device and its users without a final result.
    pub fn open_at_server(&self, device: DeviceId) -> usize {
        let users = self.env.users(self.plan.cohort_of(device));
        (0..=users)
            .map(|user| self.enrollment_id(Channel { device, user }))
            .map(|id| self.server.open_commands(&id))
            .sum()
    }

    /// The rules that the server has broken so far.
    pub const fn findings(&self) -> &Findings {
        self.detectors.so_far()
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        self.ledger.progress()
    }

    /// The run's id.
    pub const fn run_id(&self) -> RunId {
        self.run
    }

    /// Who the devices are.
    pub fn crowd(&self) -> &Crowd {
        &self.env.crowd
    }

    /// The last promise to the ledger: every fact before it had been recorded when the last step
    /// began.
    pub const fn watermark(&self) -> SimTime {
        self.advanced
    }

    /// Which order a CommandUUID belongs to.
    pub fn book(&self) -> &OrderBook {
        &self.env.orders
    }

    // ---- within --------------------------------------------------------------------------

    /// When something happens next; [`SimTime::NEVER`] for not at all.
    pub(super) fn next_event(&mut self) -> SimTime {
        let server = self.server.deadline().unwrap_or(SimTime::NEVER);
        self.agenda.next().min(server).min(self.shard.deadline())
    }

    /// Notes something observed now.
    pub(super) fn note(&mut self, kind: FactKind) {
        self.facts.push(Fact { at: self.now, kind });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::GiveUpEnrolling => {
                if self.step == Step::Enrolling {
                    self.end_enrolment();
                }
            }
            Event::TimeZero => self.begin_life(),
            Event::OrderDue => self.take_up(),
            Event::ChangeDue => self.change(),
            Event::HappeningDue => self.happening(),
            Event::Observed => self.drain(),
            Event::Look => self.look(),
            Event::DrainOver => self.step = Step::Over,
            Event::Enqueue(order) => self.enqueue(order),
            Event::Enqueued(order, answer) => self.enqueued(order, &answer),
            Event::EnqueueLost(order) => self.enqueue_lost(order),
            Event::Asked(letter) => self.serve(*letter),
            Event::Answered(channel, id, reply) => self.answered(channel, id, *reply),
            Event::Pushed(flight) => self.push_arrived(*flight),
            Event::PushSetsOut(number) => self.push_sets_out(number),
            Event::PushAnswered(answer) => self.push_answered(*answer),
        }
    }

    /// Carries out and records everything that the event led to.
    fn settle(&mut self) {
        loop {
            self.carry_out();
            if self.recorded == self.facts.len() {
                break;
            }
            while let Some(fact) = self.facts.get(self.recorded) {
                self.recorded += 1;
                self.ledger.record(fact);
                self.detectors.record(fact);
                let joined = matches!(
                    fact.kind,
                    FactKind::Enrolled { .. } | FactKind::Resumed { .. }
                );
                self.enrolled += u32::from(joined);
                self.failed += u32::from(matches!(fact.kind, FactKind::EnrollmentFailed { .. }));
            }
            for order in self.ledger.take_settled() {
                self.settled(order);
            }
        }
        if self.step == Step::Enrolling && self.enrolled + self.failed >= self.plan.devices() {
            self.end_enrolment();
        }
    }

    /// Lets the clock go on to `next`, and the ledger's clocks with it.
    fn pass_time(&mut self, next: SimTime) {
        self.now = self.now.max(next);
        while self.now >= self.interval_from + self.grain {
            self.interval_from += self.grain;
            let _ = self.ledger.interval_since_last(self.interval_from);
        }
        if self.now >= self.advanced + ADVANCE_EVERY {
            self.advanced = self.now;
            self.ledger.advance(self.now);
            self.detectors.advance(self.now);
        }
    }

    fn end_enrolment(&mut self) {
        if self.is_short_of_devices() {
            self.step = Step::Over;
            return;
        }
        self.step = Step::Starting;
        self.agenda.add(self.now + BREATH, Event::TimeZero);
    }

    fn is_short_of_devices(&self) -> bool {
        let devices = self.plan.devices();
        f64::from(devices - self.enrolled) > self.max_failed * f64::from(devices)
    }

    fn begin_life(&mut self) {
        self.zero = self.now;
        self.step = Step::Ordering;
        self.note(FactKind::TimeZero);
        self.shard.begin(self.now);
        self.plan_change();
        self.plan_happening();
        match self.next_due() {
            Some(due) => self.agenda.add(due, Event::OrderDue),
            None if self.is_observer => {
                let end = self.zero + self.plan.length();
                self.agenda.add(end, Event::Observed);
            }
            None => self.drain(),
        }
    }

    fn plan_change(&mut self) {
        if let Some(event) = self.plan.timeline.get(self.changes_done) {
            self.agenda.add(self.zero + event.at, Event::ChangeDue);
        }
    }

    /// The timeline's next change happens.
    fn change(&mut self) {
        if let Some(event) = self.plan.timeline.get(self.changes_done) {
            self.changes_done += 1;
            self.shard.change(self.now, event.device, event.change);
            self.plan_change();
        }
    }
}
