//! What enrolling, and the end of it, means for the whole device: what it begins with, what its
//! agents tell it, and what events change about it.

use super::acquired::Acquired;
use super::agent::{Agent, Enrollment, News};
use super::contract::Output;
use super::environment::Environment;
use super::execution::Inventory;
use super::keepsake::{Keepsake, Start};
use super::life::Life;
use super::session::Session;
use super::timers::Timer;
use super::traits::ClockFrom;
use super::{Device, wish};
use crate::condition::Condition;
use crate::fact::{FactKind, Obtaining, WakeReason};
use crate::ids::{CohortId, DeviceId};
use crate::seed::Purpose;
use crate::time::SimTime;

/// How a device comes to enrol anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anew {
    /// As after the profile was removed.
    Enrolled,
    /// As after it was erased.
    Erased,
    /// As one that was restored from the backup of this one.
    Copied(DeviceId),
}

impl Device {
    /// A device at the beginning of a run. [`Device::announce`] comes before any input.
    pub fn new(id: DeviceId, cohort: CohortId, env: &Environment, start: Start) -> Self {
        match start {
            Start::Enrolls { at, has_identity } => {
                let mut device = Self::unknown(id, cohort, env, at);
                device.agent.needs = (!has_identity).then_some(Obtaining::Enroll);
                device
            }
            Start::Known(keepsake, at) => Self::known(id, cohort, env, keepsake, at),
        }
    }

    fn unknown(id: DeviceId, cohort: CohortId, env: &Environment, enroll_at: SimTime) -> Self {
        Self {
            id,
            cohort,
            was_enrolled: false,
            ended_rules: 0,
            acquired: None,
            life: Life::new(),
            clock: None,
            agent: Agent::of_device(enroll_at),
            users: (1..=env.users(cohort))
                .map(|user| Agent::of_user(user, env, cohort))
                .collect(),
        }
    }

    /// One that a run has left like this. If it was not enrolled, it goes on enrolling at `at` with
    /// the identity it has.
    fn known(
        id: DeviceId,
        cohort: CohortId,
        env: &Environment,
        keepsake: Keepsake,
        at: SimTime,
    ) -> Self {
        let mut device = Self::unknown(id, cohort, env, at);
        for (agent, epoch) in device.agents_mut().zip(&keepsake.epochs) {
            agent.token_epoch = *epoch;
        }
        device.acquired = keepsake.os_version.map(|version| {
            Box::new(Acquired {
                os_version: Some(version),
                updates: 0,
            })
        });
        if keepsake.unmanaged {
            device.was_enrolled = true;
            for agent in device.agents_mut() {
                agent.enrollment = Enrollment::Unmanaged;
                agent.session = Session::Resting;
                agent.timers.clear(Timer::Connect);
            }
            return device;
        }
        let renews = keepsake.purpose == Obtaining::Renew;
        if !keepsake.enrolled && !renews {
            device.goes_on_enrolling(keepsake.purpose, keepsake.needs_identity, keepsake.original);
            return device;
        }
        device.was_enrolled = true;
        device.agent.enrollment = Enrollment::Enrolled;
        device.agent.session = Session::Resting;
        device.agent.has_escrowed = keepsake.bootstrap_token.is_some();
        device.agent.timers.clear(Timer::Connect);
        if !keepsake.enrolled || keepsake.needs_identity {
            device.agent.session = Session::Waking(WakeReason::CheckIn);
            device.agent.timers.set(Timer::Connect, at);
        }
        if keepsake.needs_identity {
            device.agent.needs = Some(Obtaining::Renew);
        } else if !keepsake.enrolled {
            // It has its new certificate, and was managed all the while.
            device.agent.enrollment = Enrollment::New;
            device.agent.shows = Obtaining::Renew;
        }
        let inventory = Inventory::remembered(keepsake.profiles, keepsake.applications);
        if !inventory.is_empty() {
            device.agent.rare().inventory = inventory;
        }
        let mut enrolled = keepsake.users.into_iter();
        for user in &mut device.users {
            if enrolled.next().unwrap_or(false) {
                user.enrollment = Enrollment::Enrolled;
            } else if keepsake.enrolled {
                user.session = Session::Waking(WakeReason::CheckIn);
                user.timers.set(Timer::Connect, at);
            }
        }
        device
    }

    /// It was stopped while it enrolled, as itself or as a copy of another device.
    fn goes_on_enrolling(
        &mut self,
        purpose: Obtaining,
        needs_identity: bool,
        original: Option<DeviceId>,
    ) {
        if !needs_identity {
            self.agent.shows = purpose;
            return;
        }
        self.agent.needs = Some(purpose);
        if original.is_some() {
            self.agent.rare().original = original;
        }
    }

    /// Begins the run: its clock may be wrong from here on. Says what others have to know of a
    /// device from an earlier run: that it goes on, and its tokens, where they are not those every device begins with.
    pub fn announce(&mut self, env: &Environment, out: &mut Vec<Output>) {
        // One that was issued its identity is asked for none, unless it was erased or renews.
        let is_new = !self.was_enrolled && self.agent.token_epoch == 0;
        if !env.terms.obtains && is_new {
            self.agent.needs = None;
        }
        self.begin_clock(env, SimTime::ZERO, ClockFrom::Enrollment, out);
        let is_copy = self.purpose() == Obtaining::Clone;
        if !self.was_enrolled && !is_copy {
            self.await_configuration(env, SimTime::ZERO, out);
        }
        if self.agent.enrollment == Enrollment::Unmanaged {
            return self.stay_unmanaged(out);
        }
        for agent in self.agents().filter(|agent| agent.token_epoch != 0) {
            let channel = agent.channel(self.id);
            out.push(Output::Token(channel, Some(agent.token_epoch)));
        }
        if self.was_enrolled {
            out.push(Output::Note(FactKind::Resumed { device: self.id }));
        }
    }

    /// It was let go in an earlier run: no token of it is good.
    fn stay_unmanaged(&self, out: &mut Vec<Output>) {
        for agent in self.agents() {
            out.push(Output::Token(agent.channel(self.id), None));
        }
        let device = self.id;
        let why = "an earlier run has left it so".to_owned();
        out.push(Output::Note(FactKind::Resumed { device }));
        out.push(Output::Note(FactKind::Unenrolled { device, why }));
    }

    /// Automated enrolment: it is in Setup Assistant until DeviceConfigured.
    fn await_configuration(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        if !env.terms.awaits_configuration {
            return;
        }
        self.reconsider(env, now, out, |life, of| {
            life.enter(of, Condition::SetupAssistant);
        });
    }

    /// What it has to remember after this run.
    pub fn keepsake(&self, env: &Environment) -> Keepsake {
        let is_enrolled = |agent: &Agent| agent.enrollment == Enrollment::Enrolled;
        let (profiles, applications) = match self.agent.rare.as_deref() {
            Some(rare) => rare.inventory.identifiers(),
            None => (Vec::new(), Vec::new()),
        };
        Keepsake {
            enrolled: is_enrolled(&self.agent),
            unmanaged: self.is_let_go(),
            needs_identity: self.needs_another_identity(),
            purpose: self.purpose(),
            original: self.original(),
            epochs: self.agents().map(|agent| agent.token_epoch).collect(),
            users: self.users.iter().map(is_enrolled).collect(),
            os_version: self
                .acquired
                .as_deref()
                .and_then(|acquired| acquired.os_version.clone()),
            bootstrap_token: self.agent.has_escrowed.then(|| {
                let epoch = self.agent.token_epoch;
                wish::bootstrap_token(&env.crowd, self.id, epoch)
            }),
            profiles,
            applications,
        }
    }

    /// Whether it was managed once, and stays unmanaged until an event lets it enrol.
    fn is_let_go(&self) -> bool {
        let is_out = matches!(
            self.agent.enrollment,
            Enrollment::Unmanaged | Enrollment::Leaving
        );
        self.was_enrolled && is_out
    }

    /// Whether it goes on with another identity than it has; one that enrols for the first time has none.
    fn needs_another_identity(&self) -> bool {
        let is_new = !self.was_enrolled && self.agent.token_epoch == 0;
        self.agent.needs.is_some() && !is_new
    }

    /// What the identity is for that it needs, or has and is not enrolled with.
    fn purpose(&self) -> Obtaining {
        match (self.agent.needs, self.agent.enrollment) {
            (Some(needed), _) => needed,
            (None, Enrollment::New | Enrollment::Authenticated) => self.agent.shows,
            (
                None,
                Enrollment::Enrolled
                | Enrollment::UntilLogin
                | Enrollment::Leaving
                | Enrollment::Unmanaged,
            ) => Obtaining::Enroll,
        }
    }

    fn original(&self) -> Option<DeviceId> {
        self.agent.rare.as_deref().and_then(|rare| rare.original)
    }

    /// A number that differs when the keepsake does, and costs no memory.
    pub(super) fn mark(&self) -> u64 {
        // FNV-1a, a word at a time.
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0100_0000_01b3);
        let of_agent = |hash, agent: &Agent| {
            let enrolled = u64::from(agent.enrollment == Enrollment::Enrolled);
            let revision = agent.rare.as_deref().map_or(0, |r| r.inventory.revision());
            let flags = enrolled | u64::from(agent.has_escrowed) << 1;
            let hash = mix(hash, u64::from(agent.token_epoch) << 2 | flags);
            mix(hash, u64::from(revision))
        };
        let version = self
            .acquired
            .as_deref()
            .and_then(|acquired| acquired.os_version.as_deref());
        let bytes = version.unwrap_or_default().bytes();
        let start = bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| mix(hash, byte.into()));
        let needs = u64::from(self.needs_another_identity());
        let start = mix(start, u64::from(self.is_let_go()) << 1 | needs);
        let original = self.original().map_or(u64::MAX, |it| it.0.into());
        let start = mix(mix(start, self.purpose() as u64), original);
        self.agents().fold(start, of_agent)
    }

    // ---- what its agents tell ------------------------------------------------------------

    /// Hears what its agents' conversations mean for the whole device.
    pub(super) fn take_news(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        match self.agent.news.take() {
            None => {}
            Some(News::Enrolled) => {
                self.was_enrolled = true;
                self.each_user(env, now, |agent, around| {
                    agent.wants(around, WakeReason::CheckIn);
                });
            }
            Some(News::Renewed) => self.each_user(env, now, |agent, around| {
                // Authenticate has made the server forget the users of the device.
                agent.owes_token = true;
                agent.wants(around, WakeReason::CheckIn);
            }),
            Some(News::Configured) => self.reconsider(env, now, out, |life, of| {
                life.leave(of, now, Condition::SetupAssistant);
            }),
            Some(News::Updates(version)) => self.update(env, now, version, out),
            Some(News::GaveUp(reason)) => {
                out.push(Output::Note(FactKind::EnrollmentFailed {
                    device: self.id,
                    reason,
                }));
            }
            Some(News::Unenrolled(why)) => self.unenroll(env, now, why, out),
        }
        let told = self
            .users
            .iter_mut()
            .find_map(|user| match user.news.take() {
                Some(News::Unenrolled(why)) => Some(why),
                Some(
                    News::Enrolled
                    | News::Renewed
                    | News::Configured
                    | News::Updates(_)
                    | News::GaveUp(_),
                )
                | None => None,
            });
        if let Some(why) = told {
            self.unenroll(env, now, why, out);
        }
    }

    /// It is off for as long as an update takes, and comes back with another version.
    fn update(&mut self, env: &Environment, now: SimTime, version: String, out: &mut Vec<Output>) {
        let event = u64::MAX - u64::from(self.agent.sessions);
        let span = self
            .draw(env, Purpose::Boot, event)
            .span(&self.traits(env).update.takes);
        self.reconsider(env, now, out, |life, of| life.update(of, now, span));
        let acquired = self.acquired.get_or_insert_default();
        acquired.os_version = Some(version);
        acquired.updates = acquired.updates.saturating_add(1);
    }

    /// The server does not manage it: the profile goes, and with it every token.
    pub(super) fn unenroll(
        &mut self,
        env: &Environment,
        now: SimTime,
        why: String,
        out: &mut Vec<Output>,
    ) {
        self.each(env, now, |agent, around| {
            agent.forget(around, out);
            agent.enrollment = Enrollment::Unmanaged;
            out.push(Output::Token(agent.channel(around.device), None));
        });
        let device = self.id;
        out.push(Output::Note(FactKind::Unenrolled { device, why }));
    }

    // ---- what events change --------------------------------------------------------------

    /// Enrols again: new tokens, nothing kept.
    pub(super) fn reenroll(
        &mut self,
        env: &Environment,
        now: SimTime,
        anew: Anew,
        out: &mut Vec<Output>,
    ) {
        self.each(env, now, |agent, around| {
            agent.forget(around, out);
            agent.enrollment = if agent.user == 0 {
                Enrollment::New
            } else {
                Enrollment::of_new_user(around.traits, &env.terms)
            };
            agent.token_epoch += 1;
            let channel = agent.channel(around.device);
            out.push(Output::Token(channel, Some(agent.token_epoch)));
        });
        self.with(env, now, 0, |agent, around| {
            agent.shows = Obtaining::Enroll;
            agent.needs = match anew {
                Anew::Enrolled => env.terms.obtains.then_some(Obtaining::Enroll),
                Anew::Erased => Some(Obtaining::Enroll),
                Anew::Copied(original) => {
                    agent.rare().original = Some(original);
                    Some(Obtaining::Clone)
                }
            };
            agent.wants(around, WakeReason::CheckIn);
        });
        if anew == Anew::Erased {
            self.await_configuration(env, now, out);
        }
    }

    /// Wants a new certificate, and stays what it is meanwhile.
    pub(super) fn renew_identity(&mut self, env: &Environment, now: SimTime) {
        self.with(env, now, 0, |agent, around| {
            if agent.enrollment == Enrollment::Enrolled {
                agent.needs = Some(Obtaining::Renew);
                agent.wants(around, WakeReason::CheckIn);
            }
        });
    }

    /// The user removes the profile.
    pub(super) fn remove_profile(
        &mut self,
        env: &Environment,
        now: SimTime,
        out: &mut Vec<Output>,
    ) {
        if matches!(
            self.agent.enrollment,
            Enrollment::Unmanaged | Enrollment::Leaving
        ) {
            return;
        }
        let says_so =
            env.terms.check_out_when_removed && self.agent.enrollment == Enrollment::Enrolled;
        self.unenroll(env, now, "the user removed the profile".to_owned(), out);
        self.with(env, now, 0, |agent, around| {
            if says_so && agent.may_connect(around) {
                agent.enrollment = Enrollment::Leaving;
                agent.session = Session::Waking(WakeReason::CheckIn);
                agent.timers.set(Timer::Connect, now);
            }
        });
    }

    /// Tokens change; each agent says so as soon as it can.
    pub(super) fn rotate_token(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        self.each(env, now, |agent, around| {
            if agent.enrollment != Enrollment::Enrolled {
                return;
            }
            agent.token_epoch += 1;
            agent.owes_token = true;
            let channel = agent.channel(around.device);
            out.push(Output::Token(channel, Some(agent.token_epoch)));
            agent.wants(around, WakeReason::CheckIn);
        });
    }
}
