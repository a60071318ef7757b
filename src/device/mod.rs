//! One virtual device: a pure machine that wakes on a push, connects, runs commands until the
//! empty answer, and sleeps, leaves the network or answers NotNow as its cohort says.
//!
//! It never measures, never does I/O and never fails: time, chance and answers are arguments, and
//! what a server does wrong becomes a fact. [`Device::handle`] is the one door in; what the device
//! wants is appended to the outputs it is handed, so a million sleeping devices hold no queues.

mod commands;
pub mod contract;
mod deferrals;
pub mod environment;
pub mod execution;
mod messages;
mod presence;
mod session;
pub mod timers;
pub mod traits;

use std::time::Duration;

use self::contract::{Change, Input, Output, Push};
use self::deferrals::Deferrals;
use self::environment::Environment;
use self::execution::Inventory;
use self::presence::Presence;
use self::session::{Session, Unsent};
use self::timers::{Timer, Timers};
use self::traits::Traits;
use crate::fact::{FactKind, Ignored, Reach, WakeReason};
use crate::ids::{Channel, CohortId, DeviceId, RequestId};
use crate::seed::{Draw, Purpose};
use crate::time::SimTime;

/// One virtual device. An idle one owns nothing on the heap.
#[derive(Debug)]
pub struct Device {
    id: DeviceId,
    cohort: CohortId,
    enrollment: Enrollment,
    sleep: Presence,
    absence: Presence,
    session: Session,
    /// It wants another session as soon as it can have one, and why.
    owes: Option<WakeReason>,
    /// NotNow was the last status it sent, so it polls by itself when a reason is over.
    last_was_not_now: bool,
    token_epoch: u32,
    next_request: RequestId,
    /// Failed requests in a row, for the back-off.
    failures: u32,
    /// Sessions so far: the event number of the draws that belong to a session.
    sessions: u32,
    timers: Timers,
    /// What few devices have.
    rare: Option<Box<Rare>>,
}

// An idle device is a row in a table: its size is what a million of them cost.
const _: () = assert!(size_of::<Device>() <= 160);

/// How far a device has enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Enrollment {
    /// Authenticate is not accepted yet.
    New,
    /// Authenticate is accepted, TokenUpdate is not.
    Authenticated,
    /// Both are.
    Enrolled,
    /// It gave up.
    Failed,
}

#[derive(Debug, Default)]
struct Rare {
    /// When it began to enrol.
    enrolling_since: Option<SimTime>,
    deferrals: Deferrals,
    /// A result that no 2xx has confirmed.
    unsent: Option<Unsent>,
    inventory: Inventory,
}

impl Device {
    /// A device that is not enrolled and begins to enrol at `enroll_at`.
    pub fn new(id: DeviceId, cohort: CohortId, enroll_at: SimTime) -> Self {
        let mut timers = Timers::none();
        timers.set(Timer::Connect, enroll_at);
        Self {
            id,
            cohort,
            enrollment: Enrollment::New,
            sleep: Presence::Outside,
            absence: Presence::Outside,
            session: Session::Waking(WakeReason::Enroll),
            owes: None,
            last_was_not_now: false,
            token_epoch: 0,
            next_request: RequestId(0),
            failures: 0,
            sessions: 0,
            timers,
            rare: None,
        }
    }

    /// A device that is already enrolled and has nothing to do.
    pub fn enrolled(id: DeviceId, cohort: CohortId) -> Self {
        let mut device = Self::new(id, cohort, SimTime::NEVER);
        device.enrollment = Enrollment::Enrolled;
        device.session = Session::Resting;
        device
    }

    /// Its cohort.
    pub const fn cohort(&self) -> CohortId {
        self.cohort
    }

    /// Whether and why pushes reach it.
    pub const fn reach(&self) -> Reach {
        match (self.absence.is_inside(), self.sleep.is_inside()) {
            (true, _) => Reach::Offline,
            (false, true) => Reach::Asleep,
            (false, false) => Reach::Online,
        }
    }

    /// The current epoch of its push token.
    pub const fn token_epoch(&self) -> u32 {
        self.token_epoch
    }

    /// When it wants [`Input::Tick`] next.
    pub fn deadline(&self) -> SimTime {
        self.timers.next()
    }

    /// Whether it is in a session: a request is on its way or a command is being executed.
    pub const fn is_in_session(&self) -> bool {
        matches!(
            self.session,
            Session::Waiting { .. } | Session::Executing(_)
        )
    }

    /// Takes an input at `now` and appends what it wants to `out`.
    pub fn handle(&mut self, env: &Environment, now: SimTime, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Tick => {
                while let Some((timer, due)) = self.timers.expire(now) {
                    self.expire(env, now, timer, due, out);
                }
            }
            Input::Push(push) => self.receive_push(env, now, &push, out),
            Input::Reply(id, reply) => self.receive_reply(env, now, id, reply, out),
            Input::Change(change) => self.change(env, now, change, out),
            Input::Begin => self.begin(env, now, out),
        }
    }

    fn expire(
        &mut self,
        env: &Environment,
        now: SimTime,
        timer: Timer,
        due: SimTime,
        out: &mut Vec<Output>,
    ) {
        match timer {
            Timer::Sleep | Timer::Link => {
                let before = self.reach();
                self.alternate(env, timer, due);
                self.reach_changed(env, now, before, out);
            }
            Timer::Deferral => self.end_deferrals(env, now, out),
            Timer::Connect => self.connect(env, now, due, out),
            Timer::Execute => self.finish_execution(env, now, due, out),
        }
    }

    // ---- pushes --------------------------------------------------------------------------

    fn receive_push(
        &mut self,
        env: &Environment,
        now: SimTime,
        push: &Push,
        out: &mut Vec<Output>,
    ) {
        if let Some(why) = self.reason_to_ignore(env, push) {
            let fact = FactKind::PushIgnored {
                push: push.id,
                channel: push.channel,
                why,
            };
            out.push(Output::Note(fact));
            return;
        }
        match self.session {
            Session::Resting | Session::BackingOff => self.wake(env, now, WakeReason::Push),
            // It connects anyway.
            Session::Waking(_) => {}
            // The server may have decided on an empty answer before the command behind this push
            // was there, so one more look is due afterwards.
            Session::Waiting { .. } | Session::Executing(_) => self.owes = Some(WakeReason::Push),
        }
    }

    fn reason_to_ignore(&self, env: &Environment, push: &Push) -> Option<Ignored> {
        if self.enrollment != Enrollment::Enrolled {
            return Some(Ignored::NotEnrolled);
        }
        if push.topic != env.topic {
            return Some(Ignored::WrongTopic);
        }
        let ours = env.crowd.magic(Channel::device(self.id), self.token_epoch);
        if push.magic.as_deref() != Some(ours.as_str()) {
            return Some(Ignored::WrongMagic);
        }
        None
    }

    /// Plans a session after the device's own delay.
    fn wake(&mut self, env: &Environment, now: SimTime, why: WakeReason) {
        let delay = self
            .draw(env, Purpose::WakeDelay, u64::from(self.sessions), 0)
            .span(&self.traits(env).wake_delay);
        self.session = Session::Waking(why);
        self.timers.set(Timer::Connect, now + delay);
    }

    // ---- sleep and network ---------------------------------------------------------------

    /// Time zero: the cohort's alternations begin.
    fn begin(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        let before = self.reach();
        for (timer, purpose) in [(Timer::Sleep, Purpose::Sleep), (Timer::Link, Purpose::Link)] {
            let Some(shape) = Presence::shape(self.traits(env), timer) else {
                continue;
            };
            let mut die = self.draw(env, purpose, 0, 0);
            let inside = die.chance(shape.begins_inside);
            *self.presence(timer) = if inside {
                Presence::Inside { changes: 0 }
            } else {
                Presence::Between { changes: 0 }
            };
            // The first stretch is entered somewhere in its course, so that a crowd does not move in
            // step.
            self.plan_next(env, timer, now, die.unit());
        }
        self.reach_changed(env, now, before, out);
    }

    fn alternate(&mut self, env: &Environment, timer: Timer, due: SimTime) {
        let presence = self.presence(timer);
        *presence = presence.toggled();
        self.plan_next(env, timer, due, 1.0);
    }

    /// Draws how long the stretch that began at `from` lasts; `share` of it is left.
    fn plan_next(&mut self, env: &Environment, timer: Timer, from: SimTime, share: f64) {
        let Some(shape) = Presence::shape(self.traits(env), timer) else {
            return;
        };
        let presence = *self.presence(timer);
        let (span, changes) = match presence {
            Presence::Inside { changes } => (&shape.inside, changes),
            Presence::Between { changes } => (&shape.outside, changes),
            Presence::Outside | Presence::Held { .. } => return,
        };
        let purpose = if timer == Timer::Sleep {
            Purpose::Sleep
        } else {
            Purpose::Link
        };
        let mut draw = self.draw(env, purpose, u64::from(changes) + 1, 0);
        let span = draw.span(span).mul_f64(share);
        self.timers
            .set(timer, from + env.scaled(span).max(SHORTEST_STRETCH));
    }

    fn change(&mut self, env: &Environment, now: SimTime, change: Change, out: &mut Vec<Output>) {
        let before = self.reach();
        let (timer, hold) = match change {
            Change::Sleep => (Timer::Sleep, true),
            Change::Wake => (Timer::Sleep, false),
            Change::GoOffline => (Timer::Link, true),
            Change::ComeOnline => (Timer::Link, false),
        };
        self.timers.clear(timer);
        let presence = self.presence(timer);
        *presence = if hold {
            presence.held()
        } else {
            presence.released()
        };
        self.plan_next(env, timer, now, 1.0);
        self.reach_changed(env, now, before, out);
    }

    fn reach_changed(
        &mut self,
        env: &Environment,
        now: SimTime,
        before: Reach,
        out: &mut Vec<Output>,
    ) {
        let after = self.reach();
        if before == after {
            return;
        }
        out.push(Output::Note(FactKind::Condition {
            device: self.id,
            now: after,
        }));
        match after {
            Reach::Offline => {
                // The request in flight comes back as lost; see `receive_reply`.
                if matches!(self.session, Session::Waiting { .. }) {
                    out.push(Output::Close(Channel::device(self.id)));
                }
            }
            Reach::Asleep => {}
            Reach::Online => self.return_to_network(env, now),
        }
    }

    /// Back on the network and awake: a request that failed or was put off is due at once.
    fn return_to_network(&mut self, env: &Environment, now: SimTime) {
        match (&self.session, self.owes) {
            (Session::BackingOff, _) => self.wake(env, now, WakeReason::NetworkReturn),
            (Session::Resting, Some(why)) => self.wake(env, now, why),
            (Session::Resting, None)
            | (Session::Waking(_) | Session::Waiting { .. } | Session::Executing(_), _) => {}
        }
    }

    fn presence(&mut self, timer: Timer) -> &mut Presence {
        match timer {
            Timer::Sleep => &mut self.sleep,
            Timer::Link | Timer::Deferral | Timer::Connect | Timer::Execute => &mut self.absence,
        }
    }

    // ---- NotNow --------------------------------------------------------------------------

    fn end_deferrals(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        let Some(rare) = self.rare.as_deref_mut() else {
            return;
        };
        let ended = rare.deferrals.expire(now);
        self.timers.set(Timer::Deferral, rare.deferrals.next());
        if ended.is_empty() {
            return;
        }
        let polls = self.ends_on_not_now();
        for (uuid, due) in ended {
            let channel = Channel::device(self.id);
            out.push(Output::Note(FactKind::DeferralEnded {
                channel,
                uuid,
                due,
                polls,
            }));
        }
        if !polls {
            return;
        }
        match self.session {
            Session::Resting if self.reach() == Reach::Online => {
                self.wake(env, now, WakeReason::NotNowOver);
            }
            Session::Resting | Session::Waiting { .. } | Session::Executing(_) => {
                self.owes = Some(WakeReason::NotNowOver);
            }
            // What it connects for first is to deliver the NotNow.
            Session::Waking(_) | Session::BackingOff if self.unsent().is_some() => {
                self.owes = Some(WakeReason::NotNowOver);
            }
            Session::Waking(_) | Session::BackingOff => {}
        }
    }

    // ---- small things --------------------------------------------------------------------

    fn traits<'e>(&self, env: &'e Environment) -> &'e Traits {
        env.traits(self.cohort)
    }

    fn draw(&self, env: &Environment, purpose: Purpose, event: u64, attempt: u32) -> Draw {
        env.seed.draw(purpose, u64::from(self.id.0), event, attempt)
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(Box::default)
    }

    /// Gives the rarely used box back once nothing is in it.
    fn tidy_rare(&mut self) {
        let is_empty = self.rare.as_deref().is_some_and(|rare| {
            rare.deferrals.is_empty()
                && rare.unsent.is_none()
                && rare.enrolling_since.is_none()
                && rare.inventory.is_empty()
        });
        if is_empty {
            self.rare = None;
        }
    }
}

/// No stretch of sleep or absence is shorter on the ruler, whatever the distribution and the time
/// scale say: a device that alternates faster would do nothing else.
const SHORTEST_STRETCH: Duration = Duration::from_millis(10);
