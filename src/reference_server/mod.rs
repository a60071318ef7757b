//! A small MDM server that keeps the rules: what a target is compared with.
//!
//! It is a pure machine: requests and times come in, answers and orders to push come out. `engine`
//! serves it over HTTP and carries its pushes; it knows neither devices nor scenarios.
//!
//! The rules (design section 6): commands are delivered at least once and in order. After NotNow a
//! command is skipped for the rest of the session and offered first in the next. A session that
//! ends with refused commands, but not on a NotNow, leaves a device that does not come back by
//! itself, so it is pushed after `repush_after`. A channel with open commands and no session since
//! its last push is pushed again every `repush_every`. Authenticate clears the queue.
//!
//! A user of a Mac or Shared iPad has a channel of its own, with its own queue, token and session,
//! under the identity of its device: it begins with a TokenUpdate that names the user, and ends
//! with the enrolment of the device.
//!
//! It can be told to break them: each [`Defect`] is a bug that was found in the field.

mod admin;
mod answer;
mod booking;
mod defect;
mod enrollment;
mod push_worker;
mod queue;
mod services;
mod trouble;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use admin::{PushOrder, PushResult, Submission, Ticket, WithPush};
pub use answer::Answer;
use booking::Next;
pub use defect::{Defect, Defects};
use enrollment::{Enrollment, Holder, Stage};
use push_worker::PushWorker;
pub use services::NetworkUsers;

use crate::protocol::checkin::{CheckIn, TokenUpdate, User};
use crate::protocol::status_report::{Status, StatusReport};
use crate::seed::Seed;
use crate::time::SimTime;
use trouble::Trouble;

/// SHA-256 over the DER of the certificate a request was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);

/// What an administrator would configure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the end of a session that left refused commands to the push that gets them going.
    pub repush_after: Duration,
    /// From a push without an answer to the next.
    pub repush_every: Duration,
    /// The topic of the push certificate. Devices with another one cannot be pushed and are
    /// refused; `None` takes every topic.
    pub push_topic: Option<String>,
    /// Whether a device that waits in Setup Assistant is sent DeviceConfigured.
    pub configures: bool,
    /// What happens to network users of Macs.
    pub network_users: NetworkUsers,
    /// What is wrong with the server.
    pub defects: Defects,
    /// What defects draw with that strike at random.
    pub seed: Seed,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            repush_after: Duration::from_secs(60),
            repush_every: Duration::from_secs(600),
            push_topic: None,
            configures: true,
            network_users: NetworkUsers::default(),
            defects: Defects::default(),
            seed: Seed(1),
        }
    }
}

/// The answer to a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status. Never 401, which makes a device remove its enrolment.
    pub status: u16,
    /// A command, what a check-in message asked for, or nothing.
    pub body: Vec<u8>,
    /// How long the driver lets the device wait for it; zero for a server without defects.
    pub delay: Duration,
}

impl Reply {
    const EMPTY: Self = Self::of(200);
    /// What the device said makes no sense, or it did not say who it is.
    const BAD_REQUEST: Self = Self::of(400);
    /// There is no such thing.
    const NOT_FOUND: Self = Self::of(404);
    /// This user is not managed.
    const GONE: Self = Self::of(410);
    /// Not enrolled, or with another certificate; 500, as NanoMDM answers.
    const NOT_ENROLLED: Self = Self::of(500);
    /// By a defect.
    const FAILED: Self = Self::of(500);

    const fn with(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            body,
            delay: Duration::ZERO,
        }
    }

    const fn of(status: u16) -> Self {
        Self {
            status,
            body: Vec::new(),
            delay: Duration::ZERO,
        }
    }
}

/// The server. Enrollments are never forgotten; everything else it keeps is bounded by them and
/// by the bound of each queue.
#[derive(Debug, Default)]
pub struct Server {
    settings: Settings,
    enrollments: Vec<Enrollment>,
    slot_of_id: HashMap<Arc<str>, u32>,
    slot_of_identity: HashMap<Identity, u32>,
    /// Who is to be looked at when; exactly the enrollments whose `alarm` is set.
    alarms: BTreeSet<(SimTime, u32)>,
    /// What only defects need.
    trouble: Trouble,
    push_worker: PushWorker,
}

/// The most users of one device: far more than share a Mac or an iPad.
const USERS_MAX: usize = 256;

/// No call of [`Server::tick`] orders more pushes, so that a herd does not stall the driver.
const PUSHES_PER_TICK_MAX: usize = 1024;

impl Server {
    /// A server without enrollments.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Takes a check-in message.
    pub fn check_in(&mut self, now: SimTime, identity: Option<Identity>, body: &[u8]) -> Reply {
        if self.fails_by_chance() {
            return Reply::FAILED;
        }
        let reply = self.checked_in(now, identity, body);
        self.slowed(reply)
    }

    /// Takes a status report and answers with the next command, or with nothing to end the
    /// session.
    pub fn connect(&mut self, now: SimTime, identity: Option<Identity>, body: &[u8]) -> Reply {
        if self.fails_by_chance() {
            return Reply::FAILED;
        }
        let reply = self.connected(now, identity, body);
        self.slowed(reply)
    }

    fn checked_in(&mut self, now: SimTime, identity: Option<Identity>, body: &[u8]) -> Reply {
        let Some(identity) = identity else {
            return Reply::BAD_REQUEST;
        };
        match CheckIn::decode(body) {
            Ok(CheckIn::Authenticate(message)) => {
                self.authenticate(now, identity, &message.udid, &message.topic)
            }
            Ok(CheckIn::TokenUpdate(message)) => self.token_update(now, identity, &message),
            Ok(CheckIn::CheckOut(message)) => self.check_out(identity, &message),
            Ok(CheckIn::UserAuthenticate(message)) => self.user_authenticate(identity, &message),
            Ok(CheckIn::SetBootstrapToken(message)) => self.set_bootstrap_token(identity, message),
            Ok(CheckIn::GetBootstrapToken(message)) => self.get_bootstrap_token(identity, &message),
            Ok(CheckIn::GetToken(message)) => self.get_token(identity, &message),
            Ok(CheckIn::ReturnToService(message)) => self.return_to_service(identity, &message),
            Ok(CheckIn::DeclarativeManagement(message)) => {
                self.declarative_management(identity, &message)
            }
            Err(_) => Reply::BAD_REQUEST,
        }
    }

    fn connected(&mut self, now: SimTime, identity: Option<Identity>, body: &[u8]) -> Reply {
        let Some(identity) = identity else {
            return Reply::BAD_REQUEST;
        };
        let Ok(report) = StatusReport::decode(body) else {
            return Reply::BAD_REQUEST;
        };
        let device = self.enrolled(identity, &report.udid);
        let slot = match &report.user {
            None => device,
            Some(user) => device.and_then(|_| self.user_of(&report.udid, user)),
        };
        let Some(slot) = slot else {
            return Reply::NOT_ENROLLED;
        };
        self.catch_up(now, slot);
        let next = self.book(now, slot, &report);
        if let Next::Refuse(reply) = next {
            return reply;
        }
        self.enrollments[slot as usize].last_contact = Some(now);
        let asks = report.status == Status::Idle;
        if matches!(next, Next::Offer)
            && let Some(body) = self.offer(now, slot, asks)
        {
            // A session that a device began by itself may break off as any other.
            if self.enrollments[slot as usize].alarm.is_none() {
                self.set_alarm(slot, Some(now + self.settings.repush_every));
            }
            return Reply::with(body.to_vec());
        }
        self.end_session(now, slot, report.status == Status::NotNow);
        Reply::EMPTY
    }

    /// When [`Server::tick`] has something to do; `None` for not before the next request.
    pub fn deadline(&self) -> Option<SimTime> {
        if self.push_worker.is_ready() {
            return Some(SimTime::ZERO);
        }
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The pushes that are due again. A caller comes back while [`Server::deadline`] is not later
    /// than `now`.
    pub fn tick(&mut self, now: SimTime) -> Vec<PushOrder> {
        let mut orders = Vec::new();
        while let Some(&(at, slot)) = self.alarms.first()
            && at <= now
            && orders.len() < PUSHES_PER_TICK_MAX
        {
            let enrollment = &self.enrollments[slot as usize];
            let in_session = enrollment
                .last_contact
                .map(|contact| contact + self.settings.repush_every)
                .filter(|patience| *patience > now);
            self.catch_up(now, slot);
            match in_session {
                Some(patience) => self.set_alarm(slot, Some(patience)),
                None => orders.extend(self.order_push(now, slot)),
            }
        }
        self.with_worker(orders)
    }

    /// How many commands of the enrollment `id` have no final result.
    pub fn open_commands(&self, id: &str) -> usize {
        self.slot_of_id
            .get(id)
            .map_or(0, |slot| self.enrollments[*slot as usize].queue.open())
    }

    fn authenticate(&mut self, now: SimTime, identity: Identity, udid: &str, topic: &str) -> Reply {
        // A colon is what tells a user's id from a device's.
        if !self.takes_topic(topic) || udid.is_empty() || udid.contains(':') {
            return Reply::BAD_REQUEST;
        }
        let owner = self.slot_of_identity.get(&identity).copied();
        let known = self.slot_of_id.get(udid).copied();
        if owner.is_some() && owner != known {
            return Reply::NOT_ENROLLED;
        }
        let slot = match known {
            Some(slot) => slot,
            None => {
                let users = Vec::new();
                self.add(udid.into(), Holder::Device { identity, users })
            }
        };
        let defects = self.settings.defects;
        for slot in self.channels_of(slot) {
            self.enrollments[slot as usize].begin(defects);
            self.set_alarm(slot, None);
        }
        if known.is_some() && owner.is_none() {
            self.enrollments[slot as usize].renewed = Some(now);
        }
        if let Holder::Device {
            identity: bound, ..
        } = &mut self.enrollments[slot as usize].holder
        {
            let before = std::mem::replace(bound, identity);
            self.slot_of_identity.remove(&before);
            self.slot_of_identity.insert(identity, slot);
        }
        Reply::EMPTY
    }

    fn token_update(&mut self, now: SimTime, identity: Identity, message: &TokenUpdate) -> Reply {
        if !self.takes_topic(&message.topic) || message.token.is_empty() {
            return Reply::BAD_REQUEST;
        }
        let Some(device) = self.enrolled(identity, &message.udid) else {
            return Reply::NOT_ENROLLED;
        };
        let slot = match &message.user {
            None => device,
            Some(user) => match self.user_or_new(device, &message.udid, user) {
                Some(slot) => slot,
                None => return Reply::GONE,
            },
        };
        self.catch_up(now, slot);
        let enrollment = &mut self.enrollments[slot as usize];
        let is_first = matches!(enrollment.stage, Stage::Authenticated);
        enrollment.enable(message, self.settings.defects);
        if is_first && message.awaiting_configuration && self.settings.configures {
            self.configure(now, slot);
        }
        let enrollment = &self.enrollments[slot as usize];
        if self.owes_push(slot) {
            // Not at once: a push right after TokenUpdate can be lost, because APNs may not know
            // the topic yet (protocol.md 2.5).
            let soon = now + self.settings.repush_after;
            let alarm = enrollment.alarm.map_or(soon, |alarm| alarm.min(soon));
            self.set_alarm(slot, Some(alarm));
        }
        Reply::EMPTY
    }

    fn add(&mut self, id: Arc<str>, holder: Holder) -> u32 {
        let slot = u32::try_from(self.enrollments.len())
            .expect("there are fewer than 2^32 channels, each of which takes hundreds of bytes");
        self.enrollments.push(Enrollment::new(id.clone(), holder));
        self.slot_of_id.insert(id, slot);
        slot
    }

    /// The slots of a device and its users.
    fn channels_of(&self, device: u32) -> Vec<u32> {
        let users = self.enrollments[device as usize].users();
        std::iter::once(device)
            .chain(users.iter().copied())
            .collect()
    }

    /// The slot of a user's channel that is alive.
    fn user_of(&self, udid: &str, user: &User) -> Option<u32> {
        let slot = *self.slot_of_id.get(user.enrollment_id(udid).as_str())?;
        self.enrollments[slot as usize].is_managed().then_some(slot)
    }

    /// The slot of a user's channel, which begins if it is not there yet; `None` when its device
    /// has too many.
    fn user_or_new(&mut self, device: u32, udid: &str, user: &User) -> Option<u32> {
        let id = user.enrollment_id(udid);
        if let Some(&slot) = self.slot_of_id.get(id.as_str()) {
            return Some(slot);
        }
        if self.enrollments[device as usize].users().len() >= USERS_MAX {
            return None;
        }
        let slot = self.add(id.into(), Holder::User);
        if let Holder::Device { users, .. } = &mut self.enrollments[device as usize].holder {
            users.push(slot);
        }
        Some(slot)
    }

    /// The slot of a device that is alive and bound to this identity.
    fn enrolled(&self, identity: Identity, udid: &str) -> Option<u32> {
        let slot = *self.slot_of_id.get(udid)?;
        let enrollment = &self.enrollments[slot as usize];
        (enrollment.is_bound_to(identity) && enrollment.is_managed()).then_some(slot)
    }

    fn takes_topic(&self, topic: &str) -> bool {
        self.settings
            .push_topic
            .as_deref()
            .is_none_or(|ours| ours == topic)
    }

    fn end_session(&mut self, now: SimTime, slot: u32, last_was_not_now: bool) {
        self.enrollments[slot as usize].last_contact = None;
        // After a last NotNow the device comes back by itself.
        let stranded = self.owes_push(slot) && !last_was_not_now;
        let alarm = stranded.then_some(now + self.settings.repush_after);
        self.set_alarm(slot, alarm);
    }

    fn set_alarm(&mut self, slot: u32, alarm: Option<SimTime>) {
        let alarm = alarm.filter(|_| !self.settings.defects.has(Defect::PushesOnce));
        let current = &mut self.enrollments[slot as usize].alarm;
        if *current == alarm {
            return;
        }
        if let Some(at) = current.take() {
            self.alarms.remove(&(at, slot));
        }
        if let Some(at) = alarm {
            self.alarms.insert((at, slot));
        }
        *current = alarm;
    }
}
