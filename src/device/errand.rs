//! An agent's way to an identity: it sets out, and hears how that ended.
//!
//! Only the device's own agent goes on errands. At most one is under way; a device that is erased
//! meanwhile waits for its end before it sets out anew, so that two identities never cross.

use super::agent::{Agent, Around, Enrollment, News};
use super::clock;
use super::contract::{Errand, Obtained, Output};
use super::session::Session;
use super::timers::Timer;
use crate::fact::{FactKind, Obtaining, Refusal, WakeReason};
use crate::ids::RequestId;
use crate::time::SimTime;

/// An errand under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Away {
    id: RequestId,
    why: Obtaining,
    since: SimTime,
}

impl Agent {
    /// Whether it waits for an identity.
    pub(super) const fn is_away(&self) -> bool {
        matches!(self.session, Session::Obtaining)
    }

    /// Whether an errand is under way that is of no use any more.
    pub(super) fn waits_for_an_errand(&self) -> bool {
        let away = self.rare.as_deref().and_then(|rare| rare.away);
        away.is_some() && !self.is_away()
    }

    /// Whether it enrols with a new certificate, and is managed all the while.
    pub(super) const fn is_renewing(&self) -> bool {
        matches!(self.shows, Obtaining::Renew)
            && matches!(self.enrollment, Enrollment::New | Enrollment::Authenticated)
    }

    /// Sets out for an identity, or waits for the end of an errand that is of no use any more.
    pub(super) fn set_out(&mut self, around: &Around<'_>, why: Obtaining, out: &mut Vec<Output>) {
        let rare = self.rare();
        if rare.away.is_some() {
            self.session = Session::Resting;
            return;
        }
        let original = rare.original;
        if !matches!(why, Obtaining::Renew | Obtaining::Restore) {
            rare.enrolling_since.get_or_insert(around.now);
        }
        let id = self.take_number();
        self.rare().away = Some(Away {
            id,
            why,
            since: around.now,
        });
        self.session = Session::Obtaining;
        out.push(Output::Obtain(Errand {
            id,
            device: around.device,
            why,
            original,
            os_version: around.os_version().to_owned(),
            wall: clock::shown(around.env, around.now, around.ahead_us),
            asked: around.now,
        }));
    }

    /// How an errand ended. One that is not waited for is ignored.
    pub(super) fn receive_obtained(
        &mut self,
        around: &Around<'_>,
        id: RequestId,
        obtained: Obtained,
        out: &mut Vec<Output>,
    ) {
        let away = self.rare.as_deref().and_then(|rare| rare.away);
        let Some(away) = away.filter(|away| away.id == id) else {
            return;
        };
        self.rare().away = None;
        if !self.is_away() {
            // What it was for was overtaken by an event; what is wanted by now may begin.
            self.tidy_rare();
            // The errand may have changed what is kept of it: that is put right.
            out.push(Output::Keep(around.device));
            if self.needs.is_some() || self.enrollment == Enrollment::New {
                self.wants(around, WakeReason::CheckIn);
            }
            return;
        }
        self.session = Session::Resting;
        match obtained {
            Obtained::Identity => self.show(around, away, out),
            Obtained::NotYet(refusal) => self.try_again(around, away.why, refusal),
            Obtained::Never(refusal) => self.give_up_obtaining(around, away.why, refusal, out),
            Obtained::UpdateFirst { os_version } => {
                let wanted = os_version.unwrap_or_else(|| around.traits.update.latest.clone());
                self.update_first(around, away.why, wanted);
            }
        }
    }

    /// It has an identity: the target is to know it.
    fn show(&mut self, around: &Around<'_>, away: Away, out: &mut Vec<Output>) {
        out.push(Output::Note(FactKind::IdentityObtained {
            device: around.device,
            why: away.why,
            since: away.since,
        }));
        self.needs = None;
        if away.why == Obtaining::Restore {
            // As before it renewed: the target has taken nothing of that.
            self.enrollment = Enrollment::Enrolled;
            self.shows = Obtaining::Enroll;
            self.failures = 0;
            self.rare().obtained = None;
            return self.rest(around);
        }
        self.shows = away.why;
        self.enrollment = Enrollment::New;
        self.rare().original = None;
        self.rare().obtained = Some(around.now);
        let why = if around.was_enrolled {
            WakeReason::CheckIn
        } else {
            WakeReason::Enroll
        };
        self.session = Session::Waking(why);
        self.timers.set(Timer::Connect, around.now);
    }

    fn try_again(&mut self, around: &Around<'_>, why: Obtaining, refusal: Refusal) {
        let is_first = why != Obtaining::Renew && !around.was_enrolled;
        if is_first && around.now >= around.env.enroll_until {
            return self.give_up_enrolling(words(&refusal));
        }
        let span = self.next_wait(around);
        self.plan_retry(around, span);
    }

    /// No identity: a device that renews goes on with the one it has.
    fn give_up_obtaining(
        &mut self,
        around: &Around<'_>,
        why: Obtaining,
        refusal: Refusal,
        out: &mut Vec<Output>,
    ) {
        self.needs = None;
        match why {
            Obtaining::Renew => {
                out.push(Output::Note(FactKind::Violation {
                    channel: self.channel(around.device),
                    what: words(&refusal),
                }));
                self.failures = 0;
                self.tidy_rare();
                self.rest(around);
            }
            // Nothing is there to go back to: the target may change its mind.
            Obtaining::Restore if self.failures < RENEWALS_REFUSED_MAX => {
                let span = self.next_wait(around);
                self.plan_retry(around, span);
            }
            Obtaining::Restore => {
                let why = "the target takes no renewed identity".to_owned();
                self.news = Some(News::Unenrolled(why));
            }
            Obtaining::Enroll | Obtaining::Clone if around.was_enrolled => {
                self.news = Some(News::Unenrolled(words(&refusal)));
            }
            Obtaining::Enroll | Obtaining::Clone => self.give_up_enrolling(words(&refusal)),
        }
    }

    /// The server wants a newer system first. Where that is no newer version, or there were enough of
    /// them, a device cannot do more than ask again.
    fn update_first(&mut self, around: &Around<'_>, why: Obtaining, wanted: String) {
        let is_late = !around.was_enrolled && around.now >= around.env.enroll_until;
        let updates = around.acquired.map_or(0, |acquired| acquired.updates);
        let is_newer = parts(&wanted) > parts(around.os_version());
        if !is_newer || is_late || updates >= UPDATES_MAX {
            let shown: String = wanted.chars().take(VERSION_MAX).collect();
            let refusal = Refusal {
                name: "update-required".to_owned(),
                what: format!("the target wants version {shown} first"),
            };
            return self.try_again(around, why, refusal);
        }
        self.owes = Some(WakeReason::Enroll);
        self.news = Some(News::Updates(wanted));
    }
}

/// How often in a row a device whose renewed identity was refused asks again, if it has no other.
const RENEWALS_REFUSED_MAX: u32 = 4;

/// The longest version that a device takes for one, in bytes.
const VERSION_MAX: usize = 32;

/// How many updates a device makes in a run because a target wants a newer system.
const UPDATES_MAX: u8 = 4;

/// The numbers of a version such as 18.1.1; `None` for what is none, which is older than any.
fn parts(version: &str) -> Option<Vec<u32>> {
    if version.len() > VERSION_MAX {
        return None;
    }
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// A refusal as the reason of something: its name first, so that reasons can be counted by it.
fn words(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.name, refusal.what)
}
