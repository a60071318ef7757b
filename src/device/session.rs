//! An agent's conversation with the server: connect, report Idle or a kept result, run commands,
//! until the empty answer (Apple, "Sending MDM commands to a device").
//!
//! At most one request is in flight. A result is kept until a 2xx has been read whole, and is sent
//! again first thing in the next session.

use std::sync::Arc;

use super::agent::{Agent, Around, Enrollment, News};
use super::clock;
use super::commands::{Asked, Work, understand};
use super::contract::{Output, Reply, Request, Wish};
use super::failure::describe;
use super::trip;
use crate::fact::{FactKind, Got, Obtaining, ResultStatus, Said, WakeReason};
use crate::ids::{CommandUuid, RequestId};
use crate::protocol::checkin::Enrollee;
use crate::protocol::status_report;
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
    /// Waits for an identity.
    Obtaining,
}

/// What the request on its way asks. What a result says is in [`Unsent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    Authenticate,
    TokenUpdate,
    Idle,
    Result,
    CheckOut,
    UserAuthenticate,
    Wish(Wish),
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
            Session::Resting
            | Session::Waiting { .. }
            | Session::Executing(_)
            | Session::Obtaining => return,
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
        if matches!(
            self.enrollment,
            Enrollment::UntilLogin | Enrollment::Unmanaged
        ) {
            // Nobody is there to talk for.
            self.session = Session::Resting;
            return;
        }
        let renews_later = self.serves_before_it_renews(why);
        if let (Some(needed), false) = (self.needs, renews_later) {
            if self.enrollment == Enrollment::Enrolled && !is_about_itself(why) {
                self.owes = Some(why);
            }
            return self.set_out(around, needed, out);
        }
        if self.enrollment == Enrollment::New && self.waits_for_an_errand() {
            // Its identity would change in mid-enrolment; it goes on when the errand has ended.
            self.session = Session::Resting;
            return;
        }
        self.owes = self.owed_after(why);
        self.sessions += 1;
        out.push(Output::Note(FactKind::Woke {
            channel: self.channel(around.device),
            due,
            why,
        }));
        let asking = match self.enrollment {
            Enrollment::New if self.user > 0 => Asking::UserAuthenticate,
            Enrollment::New => Asking::Authenticate,
            Enrollment::Leaving => Asking::CheckOut,
            Enrollment::Authenticated => Asking::TokenUpdate,
            Enrollment::Enrolled if self.tells_of_its_token() => Asking::TokenUpdate,
            Enrollment::Enrolled if self.unsent().is_some() => Asking::Result,
            Enrollment::Enrolled => match self.wishes.ahead() {
                Some(wish) => Asking::Wish(wish),
                None => Asking::Idle,
            },
            Enrollment::UntilLogin | Enrollment::Unmanaged => {
                self.session = Session::Resting;
                return;
            }
        };
        self.ask(around, asking, out);
    }

    /// What the session that begins for `why` leaves for another one.
    fn owed_after(&self, why: WakeReason) -> Option<WakeReason> {
        let unsaid = self.unsent().is_some() && self.ends_on_not_now();
        match (self.owes, why) {
            // A NotNow that is over before it is delivered is followed by another look.
            (Some(WakeReason::NotNowOver), _) | (_, WakeReason::NotNowOver) if unsaid => {
                Some(WakeReason::NotNowOver)
            }
            _ if self.serves_before_it_renews(why) => Some(WakeReason::CheckIn),
            // What came in while it renews is looked at afterwards.
            (owes, why) if self.is_renewing() && is_about_itself(why) => owes,
            (_, why) if self.is_renewing() => Some(why),
            // TokenUpdate fills this session: what it wakes for is left for the next.
            (owes, WakeReason::Retry | WakeReason::CheckIn) if self.checks_in_first() => owes,
            (_, why) if self.checks_in_first() => Some(why),
            _ => None,
        }
    }

    /// Whether it looks for commands first: a renewal that fails again and again keeps none waiting.
    fn serves_before_it_renews(&self, why: WakeReason) -> bool {
        self.needs == Some(Obtaining::Renew)
            && self.enrollment == Enrollment::Enrolled
            && matches!(why, WakeReason::Push | WakeReason::NotNowOver)
    }

    /// Whether a check-in message fills its next session.
    pub(super) fn checks_in_first(&self) -> bool {
        let wishes = self.enrollment == Enrollment::Enrolled
            && self.unsent().is_none()
            && self.wishes.ahead().is_some();
        self.tells_of_its_token() || wishes
    }

    fn tells_of_its_token(&self) -> bool {
        self.enrollment == Enrollment::Enrolled && self.owes_token
    }

    pub(super) fn ask(&mut self, around: &Around<'_>, asking: Asking, out: &mut Vec<Output>) {
        let id = self.take_number();
        let mut drops = false;
        let (said, body) = match asking {
            Asking::Authenticate => (Said::Authenticate, self.authenticate(around)),
            Asking::TokenUpdate => (Said::TokenUpdate, self.token_update(around)),
            Asking::CheckOut => (Said::CheckOut, self.check_out(around)),
            Asking::UserAuthenticate => (Said::UserAuthenticate, self.user_authenticate(around)),
            Asking::Wish(wish) => (Self::wish_said(wish), self.wish_body(around, wish)),
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

    pub(super) fn take_number(&mut self) -> RequestId {
        let id = self.next_request;
        self.next_request = RequestId(id.0.wrapping_add(1));
        id
    }

    fn idle(&self, around: &Around<'_>) -> Arc<[u8]> {
        match (around.enrollee(), self.identity(around)) {
            (Enrollee::Udid(udid), None) => status_report::idle(&udid).into(),
            (enrollee, user) => status_report::idle_of(enrollee, user).into(),
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
        let (got, asked) = match asking {
            Asking::Authenticate | Asking::TokenUpdate | Asking::Idle | Asking::Result => {
                understand(reply)
            }
            Asking::CheckOut | Asking::UserAuthenticate | Asking::Wish(_) => {
                (self.content(asking, reply), Asked::Nothing)
            }
        };
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
        if asking == Asking::CheckOut {
            // Once, best effort, never again (Apple's schema).
            self.enrollment = Enrollment::Unmanaged;
            return self.end_session(around, out);
        }
        if let Some(reason) = reason {
            return self.request_failed(around, asking, reply, reason, out);
        }
        // An answer that cannot be read does not end a row of failures: the waits keep growing.
        // Nor does one to a user, before the response is taken.
        if !matches!(asked, Asked::Riddle) && asking != Asking::UserAuthenticate {
            self.failures = 0;
        }
        match asking {
            Asking::Authenticate => {
                self.enrollment = Enrollment::Authenticated;
                self.ask(around, Asking::TokenUpdate, out);
            }
            Asking::TokenUpdate => {
                self.token_updated(around, out);
                match self.wishes.ahead() {
                    Some(wish) => self.ask(around, Asking::Wish(wish), out),
                    None => self.end_session(around, out),
                }
            }
            Asking::Idle => self.go_on(around, asked, out),
            Asking::CheckOut => self.end_session(around, out),
            Asking::UserAuthenticate => self.user_authenticated(around, reply, out),
            Asking::Wish(wish) => self.wish_granted(around, wish, out),
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
                self.owe(WakeReason::Retry);
            }
            return;
        }
        let renewed = self.is_renewing();
        self.enrollment = Enrollment::Enrolled;
        self.rare().obtained = None;
        if renewed {
            if self.unsent().is_some() {
                self.owe(WakeReason::Retry);
            }
            self.news = Some(News::Renewed);
            self.escrow(around);
            return;
        }
        let since = self.rare().enrolling_since.take().unwrap_or(around.now);
        if self.user == 0 && !around.was_enrolled {
            let device = around.device;
            out.push(Output::Note(FactKind::Enrolled { device, since }));
        }
        self.news = Some(News::Enrolled);
        self.escrow(around);
    }

    fn said(&self, asking: Asking) -> Said {
        match asking {
            Asking::Authenticate => Said::Authenticate,
            Asking::TokenUpdate => Said::TokenUpdate,
            Asking::CheckOut => Said::CheckOut,
            Asking::UserAuthenticate => Said::UserAuthenticate,
            Asking::Wish(wish) => Self::wish_said(wish),
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
            // A wish that came to nothing before waits until no command is left.
            Asked::Nothing => match self.wishes.behind() {
                Some(wish) => self.ask(around, Asking::Wish(wish), out),
                None => self.end_session(around, out),
            },
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
        self.rest(around);
    }

    /// Has nothing under way, and plans the session it still owes.
    pub(super) fn rest(&mut self, around: &Around<'_>) {
        self.session = Session::Resting;
        self.tidy_rare();
        let owes = match self.owes.take() {
            // The reason for a refusal ended in mid-session, and another status followed.
            Some(WakeReason::NotNowOver) if !self.ends_on_not_now() => None,
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
        if self.enrollment == Enrollment::Leaving {
            self.enrollment = Enrollment::Unmanaged;
            return;
        }
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

/// Whether a device connects for its own sake, rather than to look for commands.
const fn is_about_itself(why: WakeReason) -> bool {
    match why {
        WakeReason::Enroll | WakeReason::Retry | WakeReason::CheckIn => true,
        WakeReason::Push
        | WakeReason::NotNowOver
        | WakeReason::NetworkReturn
        | WakeReason::Boot
        | WakeReason::Unlock
        | WakeReason::AgentReturn => false,
    }
}
