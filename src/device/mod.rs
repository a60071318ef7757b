//! One virtual device: a pure machine that wakes on a push, connects, runs commands until the
//! empty answer, and sleeps, leaves the network or answers NotNow as its cohort says.
//!
//! It never measures, never does I/O and never fails: time, chance and answers are arguments, and
//! what a server does wrong becomes a fact. [`Device::handle`] is the one door in; what the device
//! wants is appended to the outputs it is handed, so a million sleeping devices hold no queues.
//!
//! A device is a [`Life`] (what it is in), a clock, and an [`Agent`] for each of its channels.

mod acquired;
mod agent;
mod around;
mod clock;
mod commands;
pub mod contract;
mod deferrals;
mod enrollment;
pub mod environment;
mod errand;
pub mod execution;
mod failure;
pub mod keepsake;
mod life;
pub mod messages;
mod misbehaviour;
pub mod not_now;
mod rhythm;
mod session;
pub mod timers;
pub mod traits;
mod trip;
mod wish;

use self::acquired::Acquired;
use self::agent::{Agent, Around, Enrollment};
use self::clock::Clock;
use self::contract::{Change, Input, Output, Push, Reply, Urgency};
use self::enrollment::Anew;
use self::environment::Environment;
use self::life::{Life, Of};
use self::traits::{ClockFrom, Traits};
use crate::condition::{Condition, Conditions};
use crate::fact::{Broken, FactKind};
use crate::ids::{CohortId, DeviceId};
use crate::seed::{Dist, Purpose};
use crate::time::SimTime;

/// One virtual device. An idle one without users and rhythms owns nothing on the heap.
#[derive(Debug)]
pub struct Device {
    id: DeviceId,
    cohort: CohortId,
    /// Whether it has been enrolled once.
    was_enrolled: bool,
    /// The rules of its cohort that events have ended, a bit each.
    ended_rules: u32,
    /// What few devices have.
    acquired: Option<Box<Acquired>>,
    life: Life,
    /// `None` for a clock that is right.
    clock: Option<Box<Clock>>,
    agent: Agent,
    users: Box<[Agent]>,
}

// An idle device is a row in a table: its size is what a million of them cost.
const _: () = assert!(size_of::<Device>() <= 224);

impl Device {
    /// Its cohort.
    pub const fn cohort(&self) -> CohortId {
        self.cohort
    }

    /// What it is in.
    pub fn conditions(&self, env: &Environment) -> Conditions {
        self.life.conditions(self.traits(env))
    }

    /// Whether a push to one of its channels reaches it, and how long it takes beside the way
    /// itself; `None` when APNs has to keep it.
    pub fn hears<'e>(&self, env: &'e Environment, user: u8, urgency: Urgency) -> Option<&'e Dist> {
        let traits = self.traits(env);
        let now = self.life.conditions(traits);
        let absent = user > 0 && now.has(Condition::LoggedOut);
        if absent || !self.life.hears(traits, urgency) {
            return None;
        }
        let dozes = now.has(Condition::Asleep) && !now.has(Condition::DarkWake);
        match &traits.woken_by_push {
            Some(_) if dozes && urgency == Urgency::WakesNobody => None,
            Some(longer) if dozes => Some(longer),
            Some(_) | None => Some(&Dist::ZERO),
        }
    }

    /// When it wants [`Input::Tick`] next.
    pub fn deadline(&self) -> SimTime {
        let clock = self.clock.as_ref().map_or(SimTime::NEVER, |c| c.resync_at);
        let agents = self.agents().map(|agent| agent.timers.next());
        agents.fold(clock.min(self.life.next()), SimTime::min)
    }

    /// Whether something is under way that ends by itself: a request, a command or an errand.
    pub fn is_in_session(&self) -> bool {
        self.agents()
            .any(|agent| agent.is_in_session() || agent.is_away())
    }

    /// Takes an input at `now` and appends what it wants to `out`.
    pub fn handle(&mut self, env: &Environment, now: SimTime, input: Input, out: &mut Vec<Output>) {
        let kept = self.mark();
        match input {
            Input::Tick => self.tick(env, now, out),
            Input::Push(push) => self.receive_push(env, now, &push, out),
            Input::Reply(channel, id, reply) => {
                if self.clock.is_some() && may_be_the_clock(&reply) {
                    // A clock that drifts is wrong by more than when it was set.
                    self.note_clock(env, now, out);
                }
                self.with(env, now, channel.user, |agent, around| {
                    agent.receive_reply(around, id, &reply, out);
                });
            }
            Input::Obtained(id, obtained) => {
                self.with(env, now, 0, |agent, around| {
                    agent.receive_obtained(around, id, obtained, out);
                });
            }
            Input::Change(change) => self.change(env, now, change, out),
            Input::Begin => self.begin(env, now, out),
        }
        self.take_news(env, now, out);
        if self.mark() != kept {
            out.push(Output::Keep(self.id));
        }
    }

    fn tick(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        loop {
            let due = self.life.next();
            if due <= now {
                // What it is in comes before what its agents do at the same instant.
                self.reconsider(env, due.max(now), out, |life, of| life.tick(of, due));
                continue;
            }
            if let Some(clock) = &self.clock
                && clock.resync_at <= now
            {
                self.resync(env, now, out);
                continue;
            }
            let mut turned = false;
            for user in 0..=self.users.len() {
                // There are at most 255 users: their number is a u8.
                turned |= self.with(env, now, user as u8, |agent, around| {
                    agent.tick(around, out)
                });
                self.take_news(env, now, out);
            }
            if !turned {
                return;
            }
        }
    }

    fn receive_push(
        &mut self,
        env: &Environment,
        now: SimTime,
        push: &Push,
        out: &mut Vec<Output>,
    ) {
        self.reconsider(env, now, out, |life, of| life.hear(of, now));
        self.with(env, now, push.channel.user, |agent, around| {
            agent.receive_push(around, push, out);
        });
    }

    // ---- what it is in -------------------------------------------------------------------

    /// Time zero: rhythms begin.
    fn begin(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        self.reconsider(env, now, out, |life, of| life.begin(of, now));
        self.begin_clock(env, now, ClockFrom::TimeZero, out);
    }

    /// A clock that is wrong `from` here on begins to be.
    fn begin_clock(
        &mut self,
        env: &Environment,
        now: SimTime,
        from: ClockFrom,
        out: &mut Vec<Output>,
    ) {
        let clock = &self.traits(env).clock;
        if clock.from != from {
            return;
        }
        let begins = u64::from(u32::MAX);
        let mut die = self.draw(env, Purpose::Begins, begins);
        if (clock.offset_us != 0 || clock.drift_ppm != 0.0) && die.chance(clock.share) {
            self.set_clock(env, now, clock.offset_us, out);
            self.plan_resync(env, now);
        }
    }

    fn change(&mut self, env: &Environment, now: SimTime, change: Change, out: &mut Vec<Output>) {
        match change {
            Change::Enter(condition) => {
                self.reconsider(env, now, out, |life, of| life.enter(of, condition));
            }
            Change::Leave(condition) => {
                self.reconsider(env, now, out, |life, of| life.leave(of, now, condition));
            }
            Change::Reboot => self.reconsider(env, now, out, |life, of| life.reboot(of, now)),
            Change::SetClock(ahead_us) => self.set_clock(env, now, ahead_us, out),
            Change::SyncClock => self.sync_clock(out),
            Change::EndRule(number) => {
                self.ended_rules |= 1 << number;
                self.each(env, now, |agent, around| agent.end_deferrals(around, out));
            }
            Change::RotateToken => self.rotate_token(env, now, out),
            Change::Reenroll => self.reenroll(env, now, Anew::Enrolled, out),
            Change::EraseAndReenroll => self.reenroll(env, now, Anew::Erased, out),
            Change::CloneOf(original) => self.reenroll(env, now, Anew::Copied(original), out),
            Change::RenewIdentity => self.renew_identity(env, now),
            Change::Wish(wish) => self.with(env, now, 0, |agent, around| {
                if agent.enrollment == Enrollment::Enrolled {
                    agent.wish(around, wish);
                }
            }),
            Change::RemoveProfile => self.remove_profile(env, now, out),
        }
    }

    /// Changes what the device is in, and lets its agents and its clock draw the consequences.
    fn reconsider(
        &mut self,
        env: &Environment,
        now: SimTime,
        out: &mut Vec<Output>,
        change: impl FnOnce(&mut Life, &Of<'_>),
    ) {
        let traits = self.traits(env);
        let before = self.life.conditions(traits);
        let (around, agent, users) = self.split(env, now);
        let agents = std::iter::once(&*agent).chain(&*users);
        let were_up: u32 = agents
            .filter(|agent| agent.is_up(&around))
            .map(|agent| 1 << agent.user)
            .sum();
        let of = Of {
            env,
            traits,
            device: self.id,
        };
        change(&mut self.life, &of);
        let after = self.life.conditions(traits);
        if before == after {
            return;
        }
        out.push(Output::Note(FactKind::Condition {
            device: self.id,
            now: after,
        }));
        let booted = before.has(Condition::Off) && !after.has(Condition::Off);
        if booted && traits.clock.flat_battery {
            self.set_clock(env, now, clock::flat_battery(env, now), out);
            self.plan_resync(env, now);
        }
        self.each(env, now, |agent, around| {
            let was_up = were_up & 1 << agent.user != 0;
            agent.conditions_changed(around, before, was_up, out);
        });
    }

    // ---- the clock -----------------------------------------------------------------------

    fn set_clock(&mut self, env: &Environment, now: SimTime, ahead_us: i64, out: &mut Vec<Output>) {
        match self.clock.as_deref_mut() {
            Some(clock) => {
                clock.reset(now, ahead_us);
                clock.resync_at = SimTime::NEVER;
            }
            None => self.clock = Some(Box::new(Clock::set(now, ahead_us))),
        }
        self.note_clock(env, now, out);
    }

    fn sync_clock(&mut self, out: &mut Vec<Output>) {
        if self.clock.take().is_some() {
            out.push(Output::Note(FactKind::Clock {
                device: self.id,
                ahead_ms: 0,
            }));
        }
    }

    /// The clock is set right by itself, and may drift on from there.
    fn resync(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        let traits = self.traits(env);
        let cut_off = self.life.is_cut_off(traits);
        let drifts = traits.clock.drift_ppm != 0.0;
        if !cut_off && !drifts {
            return self.sync_clock(out);
        }
        if let (Some(clock), false) = (self.clock.as_deref_mut(), cut_off) {
            clock.reset(now, 0);
        }
        self.plan_resync(env, now);
        if !cut_off {
            self.note_clock(env, now, out);
        }
    }

    fn plan_resync(&mut self, env: &Environment, now: SimTime) {
        let Some(dist) = &self.traits(env).clock.resync else {
            return;
        };
        let resyncs = self.clock.as_ref().map_or(0, |clock| clock.resyncs);
        let span = self
            .draw(env, Purpose::Resync, u64::from(resyncs))
            .span(dist);
        if let Some(clock) = self.clock.as_deref_mut() {
            clock.resyncs += 1;
            clock.resync_at = now + env.scaled(span).max(rhythm::SHORTEST_STRETCH);
        }
    }

    fn note_clock(&self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        out.push(Output::Note(FactKind::Clock {
            device: self.id,
            ahead_ms: self.ahead_us(env, now) / 1_000,
        }));
    }

    fn ahead_us(&self, env: &Environment, now: SimTime) -> i64 {
        let traits = &self.traits(env).clock;
        self.clock
            .as_ref()
            .map_or(0, |clock| clock.ahead_us(env, traits, now))
    }

    // ---- small things --------------------------------------------------------------------

    fn traits<'e>(&self, env: &'e Environment) -> &'e Traits {
        env.traits(self.cohort)
    }

    fn draw(&self, env: &Environment, purpose: Purpose, event: u64) -> crate::seed::Draw {
        env.seed.draw(purpose, u64::from(self.id.0), event, 0)
    }

    fn agents(&self) -> impl Iterator<Item = &Agent> {
        std::iter::once(&self.agent).chain(&self.users)
    }

    fn agents_mut(&mut self) -> impl Iterator<Item = &mut Agent> {
        std::iter::once(&mut self.agent).chain(&mut self.users)
    }

    /// The agents, and what they can see of the device.
    fn split<'a>(
        &'a mut self,
        env: &'a Environment,
        now: SimTime,
    ) -> (Around<'a>, &'a mut Agent, &'a mut [Agent]) {
        let around = Around {
            ahead_us: self.ahead_us(env, now),
            env,
            traits: env.traits(self.cohort),
            device: self.id,
            life: &self.life,
            ended_rules: self.ended_rules,
            was_enrolled: self.was_enrolled,
            acquired: self.acquired.as_deref(),
            now,
        };
        (around, &mut self.agent, &mut self.users)
    }

    /// Lets every agent do something.
    fn each(
        &mut self,
        env: &Environment,
        now: SimTime,
        mut act: impl FnMut(&mut Agent, &Around<'_>),
    ) {
        self.with(env, now, 0, &mut act);
        self.each_user(env, now, act);
    }

    fn each_user(
        &mut self,
        env: &Environment,
        now: SimTime,
        mut act: impl FnMut(&mut Agent, &Around<'_>),
    ) {
        for user in 1..=self.users.len() {
            self.with(env, now, user as u8, &mut act);
        }
    }

    /// Lets the agent of a channel do something; nothing for a user the device does not have.
    fn with<T: Default>(
        &mut self,
        env: &Environment,
        now: SimTime,
        user: u8,
        act: impl FnOnce(&mut Agent, &Around<'_>) -> T,
    ) -> T {
        let (around, agent, users) = self.split(env, now);
        let agent = match user {
            0 => Some(agent),
            user => users.get_mut(usize::from(user) - 1),
        };
        agent.map_or_else(T::default, |agent| act(agent, &around))
    }
}

/// Whether a request failed as one does with a wrong clock: in TLS, or by its signing time.
fn may_be_the_clock(reply: &Reply) -> bool {
    match &reply.answer {
        Ok(answer) => answer.status == 400,
        Err(broken) => matches!(broken, Broken::Tls(_)),
    }
}
