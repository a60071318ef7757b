//! The agent of one channel: the device's own (`mdmclient`, `mdmd`), or that of one of its users.
//! Each has a token, a queue and a session of its own, and talks independently of the others
//! (Apple, archived MDM Protocol Reference).

pub(super) use super::around::{Around, subject};
use super::contract::{Output, Push};
use super::deferrals::{Because, Deferrals, Refused};
use super::environment::{Environment, Terms};
use super::errand::Away;
use super::execution::Inventory;
use super::not_now;
use super::session::{Session, Unsent};
use super::timers::{Timer, Timers};
use super::traits::{Platform, Traits};
use super::wish::Wishes;
use crate::condition::{Condition, Conditions};
use crate::fact::{FactKind, Ignored, Obtaining, WakeReason};
use crate::ids::{Channel, CohortId, DeviceId, RequestId};
use crate::seed::Purpose;
use crate::time::SimTime;

/// One channel's agent. An idle one owns nothing on the heap.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) user: u8,
    pub(super) enrollment: Enrollment,
    pub(super) session: Session,
    /// It wants another session as soon as it can have one, and why.
    pub(super) owes: Option<WakeReason>,
    /// NotNow was the last status it sent, so it polls by itself when a reason is over.
    pub(super) last_was_not_now: bool,
    /// Its token is new to the server.
    pub(super) owes_token: bool,
    /// Something the device has to know of.
    pub(super) news: Option<News>,
    /// It has to get an identity before it enrols, or goes on; of the device's agent alone.
    pub(super) needs: Option<Obtaining>,
    /// What it has to say or ask beside commands.
    pub(super) wishes: Wishes,
    /// The server has its bootstrap token; of a Mac's own agent alone.
    pub(super) has_escrowed: bool,
    /// What the identity it has was got for.
    pub(super) shows: Obtaining,
    pub(super) token_epoch: u32,
    pub(super) next_request: RequestId,
    /// Failed requests in a row, for the back-off.
    pub(super) failures: u32,
    /// Sessions so far: the event number of the draws that belong to a session.
    pub(super) sessions: u32,
    pub(super) timers: Timers,
    /// What few agents have.
    pub(super) rare: Option<Box<Rare>>,
}

/// How far an agent has enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enrollment {
    /// Authenticate is not accepted yet; of a network user, UserAuthenticate.
    New,
    /// TokenUpdate is not accepted yet.
    Authenticated,
    /// It is.
    Enrolled,
    /// Its user is not managed until the next login; of a user's agent alone.
    UntilLogin,
    /// The profile is gone, and the server is to be told once; of the device's agent alone.
    Leaving,
    /// It gave up, or was told that it is not managed.
    Unmanaged,
}

impl Enrollment {
    /// Where a user begins, whose device has enrolled.
    pub(super) const fn of_new_user(traits: &Traits, terms: &Terms) -> Self {
        // Nobody else's server asks a user who owns the Mac (Apple, UserAuthenticate).
        let asked = traits.network_users && !terms.is_user_enrollment;
        if asked && matches!(traits.platform, Platform::Mac) {
            Self::New
        } else {
            Self::Authenticated
        }
    }
}

/// What an agent's conversation means for the device.
#[derive(Debug)]
pub(super) enum News {
    /// The first TokenUpdate since Authenticate was accepted.
    Enrolled,
    /// The first TokenUpdate with a renewed certificate was accepted.
    Renewed,
    /// DeviceConfigured was executed.
    Configured,
    /// It updates its system to this version before it enrols.
    Updates(String),
    /// The server does not manage this device any more, as a lower-case fragment.
    Unenrolled(String),
    /// It could not enrol, as a lower-case fragment.
    GaveUp(String),
}

#[derive(Debug, Default)]
pub(super) struct Rare {
    /// When it began to enrol.
    pub(super) enrolling_since: Option<SimTime>,
    /// When it got the identity that it enrols with.
    pub(super) obtained: Option<SimTime>,
    /// The errand under way; it outlives the enrolment that it was begun for.
    pub(super) away: Option<Away>,
    /// Whose identity it is to take over.
    pub(super) original: Option<DeviceId>,
    /// The challenge that a network user has to answer.
    pub(super) challenge: Option<String>,
    /// What answering it gave.
    pub(super) auth_token: Option<String>,
    pub(super) deferrals: Deferrals,
    /// A result that no 2xx has confirmed.
    pub(super) unsent: Option<Unsent>,
    pub(super) inventory: Inventory,
}

impl Agent {
    /// The agent of a device that begins to enrol at `enroll_at`.
    pub(super) fn of_device(enroll_at: SimTime) -> Self {
        let mut timers = Timers::none();
        timers.set(Timer::Connect, enroll_at);
        Self {
            user: 0,
            enrollment: Enrollment::New,
            session: Session::Waking(WakeReason::Enroll),
            owes: None,
            last_was_not_now: false,
            owes_token: false,
            news: None,
            needs: None,
            wishes: Wishes::default(),
            has_escrowed: false,
            shows: Obtaining::Enroll,
            token_epoch: 0,
            next_request: RequestId(0),
            failures: 0,
            sessions: 0,
            timers,
            rare: None,
        }
    }

    /// The agent of a device's `user`-th user, which waits until the device has enrolled.
    pub(super) fn of_user(user: u8, env: &Environment, cohort: CohortId) -> Self {
        Self {
            user,
            enrollment: Enrollment::of_new_user(env.traits(cohort), &env.terms),
            session: Session::Resting,
            ..Self::of_device(SimTime::NEVER)
        }
    }

    /// Whether it is in a session: a request is on its way or a command is being executed.
    pub(super) const fn is_in_session(&self) -> bool {
        matches!(
            self.session,
            Session::Waiting { .. } | Session::Executing(_)
        )
    }

    pub(super) const fn channel(&self, device: DeviceId) -> Channel {
        Channel {
            device,
            user: self.user,
        }
    }

    /// Whether its user is there; the device's own agent always is.
    pub(super) fn is_present(&self, around: &Around<'_>) -> bool {
        self.user == 0 || !around.conditions().has(Condition::LoggedOut)
    }

    /// Whether it may connect: on the network, and its process runs.
    pub(super) fn may_connect(&self, around: &Around<'_>) -> bool {
        !around.life.is_cut_off(around.traits)
            && !around.life.is_held_back(around.traits)
            && self.is_present(around)
    }

    /// Whether it does by itself what it has planned.
    pub(super) fn is_up(&self, around: &Around<'_>) -> bool {
        self.may_connect(around) && around.life.is_up(around.traits)
    }

    pub(super) fn tick(&mut self, around: &Around<'_>, out: &mut Vec<Output>) -> bool {
        let Some((timer, due)) = self.timers.expire(around.now) else {
            return false;
        };
        match timer {
            Timer::Deferral => self.end_deferrals(around, out),
            Timer::Connect => self.connect(around, due, out),
            Timer::Execute => self.finish_execution(around, due, out),
        }
        true
    }

    // ---- pushes --------------------------------------------------------------------------

    pub(super) fn receive_push(&mut self, around: &Around<'_>, push: &Push, out: &mut Vec<Output>) {
        if let Some(why) = self.reason_to_ignore(around, push) {
            let fact = FactKind::PushIgnored {
                push: push.id,
                channel: push.channel,
                why,
            };
            out.push(Output::Note(fact));
            return;
        }
        if around.life.is_held_back(around.traits) {
            // The system has the push; the agent learns of it when it runs again.
            self.owe(WakeReason::AgentReturn);
            return;
        }
        match self.session {
            Session::Resting | Session::BackingOff => self.wake(around, WakeReason::Push),
            // The session it has planned says something, and looks for no command.
            Session::Waking(WakeReason::CheckIn) if self.checks_in_first() => {
                self.owe(WakeReason::Push);
            }
            // It would connect anyway, but a server may push for it to come at once.
            Session::Waking(why) => {
                let planned = self.timers.of(Timer::Connect);
                self.wake(around, WakeReason::Push);
                if planned <= self.timers.of(Timer::Connect) {
                    self.session = Session::Waking(why);
                    self.timers.set(Timer::Connect, planned);
                }
            }
            // The server may have decided on an empty answer before the command behind this push
            // was there, so one more look is due afterwards.
            Session::Waiting { .. } | Session::Executing(_) | Session::Obtaining => {
                self.owes = Some(WakeReason::Push);
            }
        }
    }

    fn reason_to_ignore(&self, around: &Around<'_>, push: &Push) -> Option<Ignored> {
        if self.enrollment != Enrollment::Enrolled && !self.is_renewing() {
            return Some(Ignored::NotEnrolled);
        }
        if push.topic != around.env.topic {
            return Some(Ignored::WrongTopic);
        }
        let ours = around
            .env
            .crowd
            .magic(self.channel(around.device), self.token_epoch);
        if push.magic.as_deref() != Some(ours.as_str()) {
            return Some(Ignored::WrongMagic);
        }
        None
    }

    /// Plans a session after the device's own delay.
    pub(super) fn wake(&mut self, around: &Around<'_>, why: WakeReason) {
        let delay = match why {
            WakeReason::NotNowOver => &around.traits.poll_delay,
            WakeReason::Enroll
            | WakeReason::Push
            | WakeReason::Retry
            | WakeReason::NetworkReturn
            | WakeReason::Boot
            | WakeReason::Unlock
            | WakeReason::AgentReturn
            | WakeReason::CheckIn => &around.traits.wake_delay,
        };
        let delay = around
            .draw(self.user, Purpose::WakeDelay, u64::from(self.sessions), 0)
            .span(delay);
        self.session = Session::Waking(why);
        self.timers.set(Timer::Connect, around.now + delay);
    }

    /// Wakes now if it can, else as soon as it can, unless something is under way.
    pub(super) fn wants(&mut self, around: &Around<'_>, why: WakeReason) {
        match self.session {
            Session::Resting if self.is_up(around) => self.wake(around, why),
            Session::Resting
            | Session::Waiting { .. }
            | Session::Executing(_)
            | Session::Obtaining => self.owe(why),
            Session::Waking(_) | Session::BackingOff => {}
        }
    }

    /// Will have another session as soon as it can. A NotNow that is over and still to be delivered
    /// keeps its word: it needs one more look after that.
    pub(super) fn owe(&mut self, why: WakeReason) {
        let keeps_its_word = self.unsent().is_some() && self.ends_on_not_now();
        if self.owes != Some(WakeReason::NotNowOver) || !keeps_its_word {
            self.owes = Some(why);
        }
    }

    // ---- what the device is in -----------------------------------------------------------

    /// The device's conditions have changed from `before`, when this agent was up or not.
    pub(super) fn conditions_changed(
        &mut self,
        around: &Around<'_>,
        before: Conditions,
        was_up: bool,
        out: &mut Vec<Output>,
    ) {
        let after = around.conditions();
        if after.has(Condition::Off) && !before.has(Condition::Off) {
            self.stop(around, out);
        } else if !self.may_connect(around) && matches!(self.session, Session::Waiting { .. }) {
            // The request in flight comes back as lost; see `receive_reply`.
            out.push(Output::Close(self.channel(around.device)));
        }
        let booted = before.has(Condition::Off) && !after.has(Condition::Off);
        let shut = Conditions::of(&[Condition::Locked, Condition::BeforeFirstUnlock]);
        let unlocked = before.has_any(shut) && !after.has_any(shut);
        let returned = before.has(Condition::Offline) && !after.has(Condition::Offline);
        let logged_in = before.has(Condition::LoggedOut) && !after.has(Condition::LoggedOut);
        if logged_in && self.enrollment == Enrollment::UntilLogin {
            self.enrollment = Enrollment::of_new_user(around.traits, &around.env.terms);
            self.wants(around, WakeReason::CheckIn);
        }
        let polls = around.traits.poll_on;
        if self.enrollment == Enrollment::Enrolled {
            if booted && polls.boot {
                self.wants(around, WakeReason::Boot);
            } else if returned && polls.network_return {
                self.wants(around, WakeReason::NetworkReturn);
            } else if unlocked && polls.unlock {
                self.wants(around, WakeReason::Unlock);
            }
        }
        self.end_deferrals(around, out);
        if !was_up && self.is_up(around) {
            self.resume(around);
        }
    }

    /// Up again: a request that failed or was put off is due at once.
    fn resume(&mut self, around: &Around<'_>) {
        match (&self.session, self.owes) {
            (Session::BackingOff, _) => self.wake(around, WakeReason::NetworkReturn),
            (Session::Resting, Some(why)) => self.wake(around, why),
            (
                Session::Resting
                | Session::Waking(_)
                | Session::Waiting { .. }
                | Session::Executing(_)
                | Session::Obtaining,
                _,
            ) => {}
        }
    }

    /// The device goes off: what was being executed is lost, an unsent result is not.
    fn stop(&mut self, around: &Around<'_>, out: &mut Vec<Output>) {
        match self.session {
            Session::Waiting { .. } => out.push(Output::Close(self.channel(around.device))),
            Session::Executing(_) => {
                self.timers.clear(Timer::Execute);
                self.close(around, out);
                self.session = Session::Resting;
                self.owe(WakeReason::NetworkReturn);
            }
            Session::Resting | Session::Waking(_) | Session::BackingOff | Session::Obtaining => {}
        }
    }

    /// Ends every session and forgets what belongs to an enrolment.
    pub(super) fn forget(&mut self, around: &Around<'_>, out: &mut Vec<Output>) {
        if self.is_in_session() {
            self.close(around, out);
        }
        self.timers = Timers::none();
        self.session = Session::Resting;
        self.owes = None;
        self.owes_token = false;
        self.last_was_not_now = false;
        self.failures = 0;
        self.needs = None;
        self.wishes = Wishes::default();
        self.has_escrowed = false;
        let away = self.rare.take().and_then(|rare| rare.away);
        if away.is_some() {
            self.rare().away = away;
        }
    }

    // ---- NotNow --------------------------------------------------------------------------

    /// Looks which reasons for NotNow are over: by time, by condition, or by an event.
    pub(super) fn end_deferrals(&mut self, around: &Around<'_>, out: &mut Vec<Output>) {
        let user = self.user;
        let Some(rare) = self.rare.as_deref_mut() else {
            return;
        };
        let is_over = |refused: &Refused| match refused.because {
            Because::Rule(number, until) => until <= around.now || around.is_ended(number),
            Because::Condition(_) => {
                not_now::reason(&subject(around, user), &refused.request_type).is_none()
            }
            Because::Over => false,
        };
        let ended = rare.deferrals.end(around.now, is_over);
        let next = rare.deferrals.next();
        self.timers.set(Timer::Deferral, next);
        if ended.is_empty() {
            return;
        }
        let polls = self.ends_on_not_now();
        for (uuid, due) in ended {
            let channel = self.channel(around.device);
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
            Session::Resting if self.is_up(around) => self.wake(around, WakeReason::NotNowOver),
            Session::Resting => self.owes = Some(WakeReason::NotNowOver),
            Session::Waiting { .. } | Session::Executing(_) | Session::Obtaining => {
                // A push that came in mid-session stays: it counts whatever status is sent last.
                self.owes.get_or_insert(WakeReason::NotNowOver);
            }
            // What it connects for first is to deliver the NotNow.
            Session::Waking(_) | Session::BackingOff
                if self.unsent().is_some() || self.checks_in_first() =>
            {
                self.owes = Some(WakeReason::NotNowOver);
            }
            Session::Waking(_) | Session::BackingOff => {}
        }
    }

    // ---- small things --------------------------------------------------------------------

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(Box::default)
    }

    /// Gives the rarely used box back once nothing is in it.
    pub(super) fn tidy_rare(&mut self) {
        let is_empty = self.rare.as_deref().is_some_and(|rare| {
            rare.deferrals.is_empty()
                && rare.unsent.is_none()
                && rare.enrolling_since.is_none()
                && rare.obtained.is_none()
                && rare.away.is_none()
                && rare.original.is_none()
                && rare.challenge.is_none()
                && rare.auth_token.is_none()
                && rare.inventory.is_empty()
        });
        if is_empty {
            self.rare = None;
        }
    }
}
