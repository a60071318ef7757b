//! What an agent does when a request fails: it tries again later, gives up, or learns that it is not
//! managed.

use std::time::Duration;

use super::agent::{Agent, Around, Enrollment, News};
use super::contract::{Answer, Output, Reply};
use super::rhythm::SHORTEST_STRETCH;
use super::session::{Asking, Session};
use super::timers::Timer;
use crate::fact::{FactKind, Got, Obtaining, WakeReason};
use crate::seed::Purpose;
use crate::time::SimTime;

/// How far ahead a clock has to be to show a time after the end of a certificate: as long as those are
/// good that mdmstorm issues; servers' own are good for a year and more.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);

impl Agent {
    pub(super) fn request_failed(
        &mut self,
        around: &Around<'_>,
        asking: Asking,
        reply: &Reply,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        let is_enrolled = self.enrollment == Enrollment::Enrolled;
        let reason = self.explained_by_the_clock(around, asking, reply, reason, out);
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
            Some(Verdict::Gone)
                if self.user > 0
                    && matches!(asking, Asking::TokenUpdate | Asking::UserAuthenticate) =>
            {
                self.close(around, out);
                self.session = Session::Resting;
                self.enrollment = Enrollment::UntilLogin;
                self.owes = None;
                return;
            }
            Some(Verdict::Gone | Verdict::Retry) | None => {}
        }
        if self.is_renewing() && is_refused(reply) {
            self.close(around, out);
            return self.go_back(around, &reason, out);
        }
        if asking == Asking::Authenticate && self.throws_its_identity_away(around, reply) {
            self.needs = Some(Obtaining::Enroll);
        }
        let gives_up = !is_enrolled && !around.was_enrolled && self.user == 0;
        if gives_up && around.now >= around.env.enroll_until {
            self.close(around, out);
            self.give_up_enrolling(reason);
            return;
        }
        if let Asking::Wish(wish) = asking {
            let is_refused = reply
                .answer
                .as_ref()
                .is_ok_and(|answer| answer.status < 500);
            if is_refused {
                // The server has no such service.
                self.wishes.remove(wish);
            } else {
                self.wishes.lose(wish);
            }
            // Commands do not wait for it.
            if is_refused || self.wishes.ahead().is_some() || self.wishes.first().is_none() {
                return self.end_session(around, out);
            }
        }
        if asking == Asking::Idle {
            self.owes.get_or_insert(WakeReason::Retry);
        }
        self.back_off(around, out);
    }

    pub(super) fn give_up_enrolling(&mut self, reason: String) {
        self.enrollment = Enrollment::Unmanaged;
        self.session = Session::Resting;
        self.needs = None;
        self.rare = None;
        self.news = Some(News::GaveUp(reason));
    }

    /// Closes the connection and plans the next attempt.
    pub(super) fn back_off(&mut self, around: &Around<'_>, out: &mut Vec<Output>) {
        let span = self.next_wait(around);
        self.retry_after(around, span, out);
    }

    /// How long to wait after one more failure: full jitter under a growing ceiling.
    pub(super) fn next_wait(&mut self, around: &Around<'_>) -> Duration {
        let shape = &around.traits.back_off;
        let doubled = shape.initial.saturating_mul(1 << self.failures.min(20));
        let ceiling = doubled.min(shape.max);
        let sessions = u64::from(self.sessions);
        let mut draw = around.draw(self.user, Purpose::BackOff, sessions, self.failures);
        self.failures = self.failures.saturating_add(1);
        around.env.scaled(ceiling.mul_f64(draw.unit()))
    }

    /// Closes the connection; the next attempt is `span` from now.
    pub(super) fn retry_after(
        &mut self,
        around: &Around<'_>,
        span: Duration,
        out: &mut Vec<Output>,
    ) {
        self.close(around, out);
        self.plan_retry(around, span);
    }

    /// The next attempt is `span` from now.
    pub(super) fn plan_retry(&mut self, around: &Around<'_>, span: Duration) {
        self.session = Session::BackingOff;
        let mut next = around.now + span.max(SHORTEST_STRETCH);
        if self.enrollment != Enrollment::Enrolled && !around.was_enrolled {
            // The last attempt is at the deadline: nobody waits for a device after it.
            next = next.min(around.env.enroll_until);
        }
        self.timers.set(Timer::Connect, next);
    }

    /// A renewal was refused. A profile that cannot be replaced leaves the old one in place (Apple,
    /// `com.apple.mdm` payload): the device goes on with the identity it had.
    fn go_back(&mut self, around: &Around<'_>, reason: &str, out: &mut Vec<Output>) {
        out.push(Output::Note(FactKind::Violation {
            channel: self.channel(around.device),
            what: format!("the renewed identity was refused: {reason}"),
        }));
        self.set_out(around, Obtaining::Restore, out);
    }

    /// Whether an answer to Authenticate means that installing the profile has failed, and with it
    /// the identity is gone. After anything else the server may have taken it.
    fn throws_its_identity_away(&self, around: &Around<'_>, reply: &Reply) -> bool {
        around.env.terms.obtains && self.shows == Obtaining::Enroll && is_refused(reply)
    }

    /// Whether its clock may show a time at which its certificate is not good: before it was issued, by
    /// an authority that does not date back, or after as long as the shortest are good for.
    fn signs_outside_its_certificate(&self, around: &Around<'_>, reply: &Reply) -> bool {
        let ahead = Duration::from_micros(around.ahead_us.unsigned_abs());
        if around.ahead_us > 0 {
            return ahead >= CERTIFICATE_LIFE;
        }
        // What was issued before the run is older than the run.
        let issued = self.rare.as_deref().and_then(|rare| rare.obtained);
        let age = reply.stamps.asked.since(issued.unwrap_or(SimTime::ZERO));
        ahead >= Duration::from_secs(1) && ahead > age
    }

    /// Why enrolling failed, if the device's clock explains it: a signature whose time is outside
    /// the validity of its certificate is answered with 400 (Go's PKCS #7 libraries).
    fn explained_by_the_clock(
        &self,
        around: &Around<'_>,
        asking: Asking,
        reply: &Reply,
        reason: String,
        out: &mut Vec<Output>,
    ) -> String {
        let ahead_seconds = around.ahead_us / 1_000_000;
        let refused = |answer: &Answer| answer.status == 400;
        let enrols = matches!(self.enrollment, Enrollment::New | Enrollment::Authenticated)
            && matches!(asking, Asking::Authenticate | Asking::TokenUpdate);
        let explains = enrols
            && around.env.terms.signs
            && self.signs_outside_its_certificate(around, reply)
            && reply.answer.as_ref().is_ok_and(refused);
        if !explains {
            return reason;
        }
        let way = if ahead_seconds > 0 { "fast" } else { "slow" };
        let by = ahead_seconds.unsigned_abs();
        let what =
            format!("clock-refused-signature: {reason}, and the device's clock is {by} s {way}");
        out.push(Output::Note(FactKind::Violation {
            channel: self.channel(around.device),
            what: what.clone(),
        }));
        what
    }
}

/// Whether the target says no, rather than that it cannot for the moment.
fn is_refused(reply: &Reply) -> bool {
    let refused = |answer: &Answer| match answer.status {
        // Request Timeout, Too Early, Too Many Requests.
        408 | 425 | 429 => false,
        status => (400..500).contains(&status),
    };
    reply.answer.as_ref().is_ok_and(refused)
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
pub(super) fn describe(got: &Got) -> String {
    match got {
        Got::Status(status) => format!("the target answered {status}"),
        Got::Lost(broken) => broken.to_string(),
        Got::Empty | Got::Command { .. } | Got::Content { .. } | Got::Unreadable { .. } => {
            String::new()
        }
    }
}
