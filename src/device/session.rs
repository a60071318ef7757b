//! An agent's conversation with the server: connect, report Idle or a kept result, run commands,
//! until the empty answer (Apple, "Sending MDM commands to a device").
//!
//! At most one request is in flight. A result is kept until a 2xx has been read whole, and is sent
//! again first thing in the next session.

use std::sync::Arc;
use std::time::Duration;

use super::agent::{Agent, Around, Enrollment, News};
use super::clock;
use super::commands::{Asked, Work, understand};
use super::contract::{Answer, Output, Reply, Request};
use super::rhythm::SHORTEST_STRETCH;
use super::timers::Timer;
use super::trip;
use crate::fact::{FactKind, Got, ResultStatus, Said, WakeReason};
use crate::ids::{CommandUuid, RequestId};
use crate::protocol::status_report;
use crate::seed::Purpose;
use crate::time::SimTime;

/// Where an agent is between two sessions or within one.
#[derive(Debug)]
pub(super) enum Session {
    /// Nothing to do.
    Resting,
    /// Will connect at its timer.
    Waking(WakeReason),
    /// A request is on its way.
    Waiting {
        /// Its number.
        request: RequestId,
        /// What it asks.
        asking: Asking,
    },
    /// A command's answer will be ready at its timer.
    Executing(Box<Work>),
    /// A request failed; the next attempt is at its timer.
    BackingOff,
}

/// What the request on its way asks. What a result says is in [`Unsent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    Authenticate,
    TokenUpdate,
    Idle,
    Result,
}

/// A result no 2xx has confirmed yet.
#[derive(Clone, Debug)]
pub(super) struct Unsent {
    pub(super) uuid: Option<CommandUuid>,
    pub(super) status: ResultStatus,
    pub(super) body: Arc<[u8]>,
    /// How it breaks the protocol the first time it is sent.
    pub(super) first: First,
    /// A result that goes out behind it: its own duplicate, or the right one behind a wrong one.
    pub(super) then: Option<Box<Self>>,
}

/// What happens to a result the first time it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Nothing.
    Proper,
    /// Another body goes out.
    Mangled(Arc<[u8]>),
    /// The device drops the connection before the answer.
    Drops,
}

impl Agent {
    /// The connect timer fired: begin a session, or put it off until the agent can.
    pub(super) fn connect(&mut self, around: &Around<'_>, due: SimTime, out: &mut Vec<Output>) {
        let why = match self.session {
            Session::Waking(why) => why,
            Session::BackingOff => WakeReason::Retry,
            Session::Resting | Session::Waiting { .. } | Session::Executing(_) => return,
        };
        let is_enrolling = matches!(self.enrollment, Enrollment::New | Enrollment::Authenticated);
        let gives_up = is_enrolling && !around.was_enrolled && self.failures > 0;
        if gives_up && due > around.env.enroll_until {
            self.give_up_enrolling("no answer in time".into());
            return;
        }
        if !self.may_connect(around) {
            self.put_off(around);
            return;
        }
        self.owes = match (self.owes, why) {
            // A NotNow that is over before it is delivered is followed by another look.
            (Some(WakeReason::NotNowOver), _) if self.unsent().is_some() => self.owes,
            // TokenUpdate fills this session: what it wakes for is left for the next.
            (owes, WakeReason::Retry) if self.tells_of_its_token() => owes,
            (_, why) if self.tells_of_its_token() && why != WakeReason::CheckIn => Some(why),
            _ => None,
        };
        self.sessions += 1;
        out.push(Output::Note(FactKind::Woke {
            channel: self.channel(around.device),
            due,
            why,
        }));
        let asking = match self.enrollment {
            Enrollment::New => Asking::Authenticate,
            Enrollment::Authenticated => Asking::TokenUpdate,
            Enrollment::Enrolled if self.tells_of_its_token() => Asking::TokenUpdate,
            Enrollment::Enrolled if self.unsent().is_some() => Asking::Result,
            Enrollment::Enrolled => Asking::Idle,
            Enrollment::UntilLogin | Enrollment::Unmanaged => {
                self.session = Session::Resting;
                return;
            }
        };
        self.ask(around, asking, out);
    }

    fn tells_of_its_token(&self) -> bool {
        self.enrollment == Enrollment::Enrolled && self.owes_token
    }

    fn ask(&mut self, around: &Around<'_>, asking: Asking, out: &mut Vec<Output>) {
        let id = self.next_request;
        self.next_request = RequestId(id.0.wrapping_add(1));
        let mut drops = false;
        let (said, body) = match asking {
            Asking::Authenticate => (Said::Authenticate, self.authenticate(around)),
            Asking::TokenUpdate => (Said::TokenUpdate, self.token_update(around)),
            Asking::Idle => {
                self.last_was_not_now = false;
                (Said::Idle, self.idle(around))
            }
            Asking::Result => match self.unsent_mut() {
                Some(unsent) => {
                    let body = match std::mem::replace(&mut unsent.first, First::Proper) {
                        First::Proper => Arc::clone(&unsent.body),
                        First::Mangled(body) => body,
                        First::Drops => {
                            drops = true;
                            Arc::clone(&unsent.body)
                        }
                    };
                    let (uuid, status) = (unsent.uuid.clone(), unsent.status);
                    (Said::Result { uuid, status }, body)
                }
                None => return self.ask(around, Asking::Idle, out),
            },
        };
        self.session = Session::Waiting {
            request: id,
            asking,
        };
        let mut trip = trip::draw(around, self.user, id);
        if drops {
            trip.fate = super::contract::Fate::CutAfter;
        }
        out.push(Output::Send(Request {
            id,
            channel: self.channel(around.device),
            said,
            body,
            wall: clock::shown(around.env, around.now, around.ahead_us),
            asked: around.now,
            trip,
        }));
    }

    fn idle(&self, around: &Around<'_>) -> Arc<[u8]> {
        let udid = around.env.crowd.udid(around.device);
        match self.identity(around) {
            None => status_report::idle(&udid).into(),
            Some(user) => status_report::idle_of_user(&udid, &user).into(),
        }
    }

    // ---- answers -------------------------------------------------------------------------

    /// An answer, or the news that there will be none. One that is not waited for is ignored.
    pub(super) fn receive_reply(
        &mut self,
        around: &Around<'_>,
        id: RequestId,
        reply: &Reply,
        out: &mut Vec<Output>,
    ) {
        let Session::Waiting { request, asking } = self.session else {
            return;
        };
        if request != id {
            return;
        }
        let (got, asked) = understand(reply);
        let said = self.said(asking);
        let channel = self.channel(around.device);
        let delivered = got.is_delivered();
        let reason = (!delivered).then(|| describe(&got));
        if let Got::Unreadable { what } = &got {
            out.push(Output::Note(FactKind::Violation {
                channel,
                what: what.clone(),
            }));
        }
        let stamps = reply.stamps;
        if asking == Asking::Authenticate {
            // Waiting for a place to enrol is the harness's time, not a part of enrolling.
            self.rare().enrolling_since.get_or_insert(stamps.permitted);
        }
        out.push(Output::Note(FactKind::Exchange {
            channel,
            said,
            stamps,
            got,
        }));
        if let Some(reason) = reason {
            return self.request_failed(around, asking, reply, reason, out);
        }
        // An answer that cannot be read does not end a row of failures: the waits keep growing.
        if !matches!(asked, Asked::Riddle) {
            self.failures = 0;
        }
        match asking {
            Asking::Authenticate => {
                self.enrollment = Enrollment::Authenticated;
                self.ask(around, Asking::TokenUpdate, out);
            }
            Asking::TokenUpdate => {
                self.token_updated(around, out);
                self.end_session(around, out);
            }
            Asking::Idle => self.go_on(around, asked, out),
            Asking::Result => {
                self.result_delivered();
                if self.unsent().is_some() {
                    // What the server wants next it will say again.
                    self.ask(around, Asking::Result, out);
                } else {
                    self.go_on(around, asked, out);
                }
            }
        }
    }

    fn token_updated(&mut self, around: &Around<'_>, out: &mut Vec<Output>) {
        self.owes_token = false;
        if self.enrollment == Enrollment::Enrolled {
            if self.unsent().is_some() {
                self.owes = Some(WakeReason::Retry);
            }
            return;
        }
        self.enrollment = Enrollment::Enrolled;
        let since = self.rare().enrolling_since.take().unwrap_or(around.now);
        if self.user == 0 && !around.was_enrolled {
            let device = around.device;
            out.push(Output::Note(FactKind::Enrolled { device, since }));
        }
        self.news = Some(News::Enrolled);
    }

    fn said(&self, asking: Asking) -> Said {
        match asking {
            Asking::Authenticate => Said::Authenticate,
            Asking::TokenUpdate => Said::TokenUpdate,
            Asking::Idle => Said::Idle,
            Asking::Result => self.unsent().map_or(Said::Idle, |unsent| Said::Result {
                uuid: unsent.uuid.clone(),
                status: unsent.status,
            }),
        }
    }

    fn result_delivered(&mut self) {
        let Some(rare) = self.rare.as_deref_mut() else {
            return;
        };
        let Some(unsent) = rare.unsent.take() else {
            return;
        };
        rare.unsent = unsent.then.map(|then| *then);
        self.last_was_not_now = unsent.status == ResultStatus::NotNow;
        if let (false, Some(uuid)) = (self.last_was_not_now, &unsent.uuid) {
            rare.deferrals.forget(uuid);
        }
    }

    /// A request was delivered, and its answer asks for something.
    fn go_on(&mut self, around: &Around<'_>, asked: Asked, out: &mut Vec<Output>) {
        match asked {
            Asked::Nothing => self.end_session(around, out),
            Asked::Work(work) if work.command.defect().is_some() => {
                self.reply(around, work.uuid, ResultStatus::CommandFormatError, out);
            }
            Asked::Work(work) => self.receive_command(around, work, out),
            // Asking again at once would spin.
            Asked::Riddle => self.back_off(around, out),
        }
    }

    pub(super) fn end_session(&mut self, around: &Around<'_>, out: &mut Vec<Output>) {
        self.close(around, out);
        self.session = Session::Resting;
        self.tidy_rare();
        let owes = match self.owes.take() {
            // The reason for a refusal ended in mid-session, and another status followed.
            Some(WakeReason::NotNowOver) if !self.last_was_not_now => None,
            owes => owes,
        };
        match owes {
            Some(why) if self.is_up(around) => self.wake(around, why),
            owes => self.owes = owes,
        }
    }

    /// Closes the connection and says that the session is over.
    pub(super) fn close(&self, around: &Around<'_>, out: &mut Vec<Output>) {
        let channel = self.channel(around.device);
        out.push(Output::Close(channel));
        out.push(Output::Note(FactKind::SessionEnded { channel }));
    }

    fn request_failed(
        &mut self,
        around: &Around<'_>,
        asking: Asking,
        reply: &Reply,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        let is_enrolled = self.enrollment == Enrollment::Enrolled;
        match reply.answer.as_ref().ok().map(verdict_of) {
            Some(Verdict::Unmanaged) if is_enrolled || around.was_enrolled => {
                self.close(around, out);
                self.session = Session::Resting;
                self.news = Some(News::Unenrolled(reason));
                return;
            }
            Some(Verdict::Unmanaged) => {
                self.close(around, out);
                self.give_up_enrolling(reason);
                return;
            }
            // That user is not managed until the next login (archived MDM Protocol Reference).
            Some(Verdict::Gone) if self.user > 0 && asking == Asking::TokenUpdate => {
                self.close(around, out);
                self.session = Session::Resting;
                self.enrollment = Enrollment::UntilLogin;
                self.owes = None;
                return;
            }
            Some(Verdict::Gone | Verdict::Retry) | None => {}
        }
        let gives_up = !is_enrolled && !around.was_enrolled && self.user == 0;
        if gives_up && around.now >= around.env.enroll_until {
            self.close(around, out);
            self.give_up_enrolling(reason);
            return;
        }
        if asking == Asking::Idle {
            self.owes.get_or_insert(WakeReason::Retry);
        }
        self.back_off(around, out);
    }

    fn give_up_enrolling(&mut self, reason: String) {
        self.enrollment = Enrollment::Unmanaged;
        self.session = Session::Resting;
        self.rare = None;
        self.news = Some(News::GaveUp(reason));
    }

    /// Closes the connection and plans the next attempt: full jitter under a growing ceiling.
    fn back_off(&mut self, around: &Around<'_>, out: &mut Vec<Output>) {
        let shape = &around.traits.back_off;
        let doubled = shape.initial.saturating_mul(1 << self.failures.min(20));
        let ceiling = doubled.min(shape.max);
        let sessions = u64::from(self.sessions);
        let mut draw = around.draw(self.user, Purpose::BackOff, sessions, self.failures);
        let span = around.env.scaled(ceiling.mul_f64(draw.unit()));
        self.failures = self.failures.saturating_add(1);
        self.retry_after(around, span, out);
    }

    /// Closes the connection; the next attempt is `span` from now.
    pub(super) fn retry_after(
        &mut self,
        around: &Around<'_>,
        span: Duration,
        out: &mut Vec<Output>,
    ) {
        self.close(around, out);
        self.session = Session::BackingOff;
        let mut next = around.now + span.max(SHORTEST_STRETCH);
        if self.enrollment != Enrollment::Enrolled && !around.was_enrolled {
            // The last attempt is at the deadline: nobody waits for a device after it.
            next = next.min(around.env.enroll_until);
        }
        self.timers.set(Timer::Connect, next);
    }

    pub(super) fn send_unsent(&mut self, around: &Around<'_>, out: &mut Vec<Output>) {
        if !self.may_connect(around) {
            self.close(around, out);
            self.put_off(around);
            return;
        }
        self.ask(around, Asking::Result, out);
    }

    /// Rests until it may connect, and has not forgotten that a NotNow is over.
    fn put_off(&mut self, around: &Around<'_>) {
        self.session = Session::Resting;
        if self.owes == Some(WakeReason::NotNowOver) {
            return;
        }
        self.owes = Some(if around.life.is_held_back(around.traits) {
            WakeReason::AgentReturn
        } else {
            WakeReason::NetworkReturn
        });
    }

    /// Whether the last status it sent, delivered or not, is NotNow: then it polls by itself.
    pub(super) fn ends_on_not_now(&self) -> bool {
        self.unsent().map_or(self.last_was_not_now, |unsent| {
            unsent.status == ResultStatus::NotNow
        })
    }

    pub(super) fn unsent(&self) -> Option<&Unsent> {
        self.rare.as_deref().and_then(|rare| rare.unsent.as_ref())
    }

    fn unsent_mut(&mut self) -> Option<&mut Unsent> {
        self.rare
            .as_deref_mut()
            .and_then(|rare| rare.unsent.as_mut())
    }
}

/// What an answer that is no 2xx means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The server does not manage this device: 401, or 403 with Apple's code for it.
    Unmanaged,
    /// 410.
    Gone,
    /// Try again.
    Retry,
}

/// How a device takes a status (Apple, "Managing connections" and the `errors` schema).
fn verdict_of(answer: &Answer) -> Verdict {
    const UNRECOGNIZED: &[u8] = b"com.apple.unrecognized.device";
    let names_it = || {
        answer
            .body
            .windows(UNRECOGNIZED.len())
            .any(|window| window == UNRECOGNIZED)
    };
    match answer.status {
        401 => Verdict::Unmanaged,
        403 if names_it() => Verdict::Unmanaged,
        410 => Verdict::Gone,
        _ => Verdict::Retry,
    }
}

/// Why a request failed, as a lower-case fragment.
fn describe(got: &Got) -> String {
    match got {
        Got::Status(status) => format!("the target answered {status}"),
        Got::Lost(broken) => broken.to_string(),
        Got::Empty | Got::Command { .. } | Got::Unreadable { .. } => String::new(),
    }
}
