//! A device's conversation with the server: connect, report Idle or a kept result, run commands,
//! until the empty answer (Apple, "Sending MDM commands to a device").
//!
//! At most one request is in flight. A result is kept until a 2xx has been read whole, and is sent
//! again first thing in the next session.

use std::sync::Arc;

use super::commands::{Asked, Work, understand};
use super::contract::{Output, Reply, Request};
use super::timers::Timer;
use super::{Device, Enrollment, Environment};
use crate::fact::{FactKind, Got, Reach, ResultStatus, Said, WakeReason};
use crate::ids::{Channel, CommandUuid, RequestId};
use crate::protocol::status_report;
use crate::seed::Purpose;
use crate::time::SimTime;

/// Where a device is between two sessions or within one.
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
}

impl Device {
    /// The connect timer fired: begin a session, or put it off until the network is back.
    pub(super) fn connect(
        &mut self,
        env: &Environment,
        now: SimTime,
        due: SimTime,
        out: &mut Vec<Output>,
    ) {
        let why = match self.session {
            Session::Waking(why) => why,
            Session::BackingOff => WakeReason::Retry,
            Session::Resting | Session::Waiting { .. } | Session::Executing(_) => return,
        };
        let is_enrolling = matches!(self.enrollment, Enrollment::New | Enrollment::Authenticated);
        if is_enrolling && due > env.enroll_until && self.failures > 0 {
            self.give_up_enrolling("no answer in time".into(), out);
            return;
        }
        if self.reach() == Reach::Offline {
            self.wait_for_network();
            return;
        }
        // A NotNow that is over before it is delivered is followed by another look.
        if self.owes != Some(WakeReason::NotNowOver) || self.unsent().is_none() {
            self.owes = None;
        }
        self.sessions += 1;
        out.push(Output::Note(FactKind::Woke {
            channel: self.channel(),
            due,
            why,
        }));
        let asking = match self.enrollment {
            Enrollment::New => Asking::Authenticate,
            Enrollment::Authenticated => Asking::TokenUpdate,
            Enrollment::Enrolled if self.unsent().is_some() => Asking::Result,
            Enrollment::Enrolled => Asking::Idle,
            Enrollment::Failed => {
                self.session = Session::Resting;
                return;
            }
        };
        self.ask(env, now, asking, out);
    }

    fn ask(&mut self, env: &Environment, now: SimTime, asking: Asking, out: &mut Vec<Output>) {
        let id = self.next_request;
        self.next_request = RequestId(id.0.wrapping_add(1));
        let (said, body) = match asking {
            Asking::Authenticate => (Said::Authenticate, self.authenticate(env)),
            Asking::TokenUpdate => (Said::TokenUpdate, self.token_update(env)),
            Asking::Idle => {
                self.last_was_not_now = false;
                (
                    Said::Idle,
                    status_report::idle(&env.crowd.udid(self.id)).into(),
                )
            }
            Asking::Result => match self.unsent() {
                Some(unsent) => (
                    Said::Result {
                        uuid: unsent.uuid.clone(),
                        status: unsent.status,
                    },
                    Arc::clone(&unsent.body),
                ),
                None => return self.ask(env, now, Asking::Idle, out),
            },
        };
        self.session = Session::Waiting {
            request: id,
            asking,
        };
        let channel = self.channel();
        let wall = env.epoch.wall(now);
        out.push(Output::Send(Request {
            id,
            channel,
            said,
            body,
            wall,
            asked: now,
        }));
    }

    // ---- answers -------------------------------------------------------------------------

    /// An answer, or the news that there will be none. One that is not waited for is ignored.
    pub(super) fn receive_reply(
        &mut self,
        env: &Environment,
        now: SimTime,
        id: RequestId,
        reply: Reply,
        out: &mut Vec<Output>,
    ) {
        let Session::Waiting { request, asking } = self.session else {
            return;
        };
        if request != id {
            return;
        }
        let (got, asked) = understand(&reply);
        let said = self.said(asking);
        let channel = self.channel();
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
            return self.request_failed(env, now, reason, out);
        }
        // An answer that cannot be read does not end a row of failures: the waits keep growing.
        if !matches!(asked, Asked::Riddle) {
            self.failures = 0;
        }
        match asking {
            Asking::Authenticate => {
                self.enrollment = Enrollment::Authenticated;
                self.ask(env, now, Asking::TokenUpdate, out);
            }
            Asking::TokenUpdate => {
                self.enrollment = Enrollment::Enrolled;
                let since = self.rare().enrolling_since.take().unwrap_or(now);
                out.push(Output::Note(FactKind::Enrolled {
                    device: self.id,
                    since,
                }));
                self.end_session(env, now, out);
            }
            Asking::Idle => self.go_on(env, now, asked, out),
            Asking::Result => {
                self.result_delivered();
                self.go_on(env, now, asked, out);
            }
        }
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
        self.last_was_not_now = unsent.status == ResultStatus::NotNow;
        if let (false, Some(uuid)) = (self.last_was_not_now, &unsent.uuid) {
            rare.deferrals.forget(uuid);
        }
    }

    /// A request was delivered, and its answer asks for something.
    fn go_on(&mut self, env: &Environment, now: SimTime, asked: Asked, out: &mut Vec<Output>) {
        match asked {
            Asked::Nothing => self.end_session(env, now, out),
            Asked::Work(work) if work.command.defect().is_some() => {
                self.reply(env, now, work.uuid, ResultStatus::CommandFormatError, out);
            }
            Asked::Work(work) => self.receive_command(env, now, work, out),
            // Asking again at once would spin.
            Asked::Riddle => self.back_off(env, now, out),
        }
    }

    fn end_session(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        let channel = self.channel();
        out.push(Output::Close(channel));
        out.push(Output::Note(FactKind::SessionEnded { channel }));
        self.session = Session::Resting;
        self.tidy_rare();
        let owes = match self.owes.take() {
            // The reason for a refusal ended in mid-session, and another status followed.
            Some(WakeReason::NotNowOver) if !self.last_was_not_now => None,
            owes => owes,
        };
        match owes {
            Some(why) if self.reach() == Reach::Online => self.wake(env, now, why),
            owes => self.owes = owes,
        }
    }

    fn request_failed(
        &mut self,
        env: &Environment,
        now: SimTime,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        let enrolling = self.enrollment != Enrollment::Enrolled;
        if enrolling && now >= env.enroll_until {
            let channel = self.channel();
            out.push(Output::Close(channel));
            out.push(Output::Note(FactKind::SessionEnded { channel }));
            self.give_up_enrolling(reason, out);
            return;
        }
        self.back_off(env, now, out);
    }

    fn give_up_enrolling(&mut self, reason: String, out: &mut Vec<Output>) {
        self.enrollment = Enrollment::Failed;
        self.session = Session::Resting;
        self.rare = None;
        out.push(Output::Note(FactKind::EnrollmentFailed {
            device: self.id,
            reason,
        }));
    }

    /// Closes the connection and plans the next attempt: full jitter under a growing ceiling.
    fn back_off(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        let channel = self.channel();
        out.push(Output::Close(channel));
        out.push(Output::Note(FactKind::SessionEnded { channel }));
        let shape = &self.traits(env).back_off;
        let doubled = shape.initial.saturating_mul(1 << self.failures.min(20));
        let ceiling = doubled.min(shape.max);
        let mut draw = self.draw(
            env,
            Purpose::BackOff,
            u64::from(self.sessions),
            self.failures,
        );
        let span = env.scaled(ceiling.mul_f64(draw.unit()));
        self.failures = self.failures.saturating_add(1);
        self.session = Session::BackingOff;
        let mut next = now + span.max(super::SHORTEST_STRETCH);
        if self.enrollment != Enrollment::Enrolled {
            // The last attempt is at the deadline: nobody waits for a device after it.
            next = next.min(env.enroll_until);
        }
        self.timers.set(Timer::Connect, next);
    }

    pub(super) fn send_unsent(&mut self, env: &Environment, now: SimTime, out: &mut Vec<Output>) {
        if self.reach() == Reach::Offline {
            let channel = self.channel();
            out.push(Output::Close(channel));
            out.push(Output::Note(FactKind::SessionEnded { channel }));
            self.wait_for_network();
            return;
        }
        self.ask(env, now, Asking::Result, out);
    }

    /// Rests until the network is back, and has not forgotten that a NotNow is over.
    fn wait_for_network(&mut self) {
        self.session = Session::Resting;
        if self.owes != Some(WakeReason::NotNowOver) {
            self.owes = Some(WakeReason::NetworkReturn);
        }
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

    pub(super) const fn channel(&self) -> Channel {
        Channel::device(self.id)
    }
}

/// Why an enrolment failed, as a lower-case fragment.
fn describe(got: &Got) -> String {
    match got {
        Got::Status(status) => format!("the target answered {status}"),
        Got::Lost(broken) => broken.to_string(),
        Got::Empty | Got::Command { .. } | Got::Unreadable { .. } => String::new(),
    }
}
