//! What defects do to the server as a whole. Without defects nothing of it is there.

use std::time::Duration;

use super::defect::{Defect, Defects};
use super::{Reply, Server};
use crate::seed::Purpose;
use crate::time::SimTime;

/// What defects have to count.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Requests of devices.
    requests: u64,
    /// Commands that were queued.
    queued: u64,
    /// When the burst of commands began, and how many it has.
    burst: Option<(SimTime, u32)>,
}

/// How likely a request of a device is answered with 500.
const FAILURE_SHARE: f64 = 0.05;

/// The result of every so manieth command is refused.
const CURSED_EVERY: u64 = 3;

/// Commands within this time are one bulk order.
const BURST_TIME: Duration = Duration::from_millis(100);

/// How many commands of a bulk order are queued.
const BURST_MAX: u32 = 10;

/// How long what is queued is lost once a device has come with another certificate.
const WIPED_FOR: Duration = Duration::from_secs(5);

/// How much slower each open command makes each answer.
const SLOWER_BY: Duration = Duration::from_millis(10);

/// The longest that an answer waits.
const SLOWEST: Duration = Duration::from_secs(5);

impl Trouble {
    /// Whether the result of the command that is being queued is to be refused.
    pub(super) const fn is_cursed(&mut self, defects: Defects) -> bool {
        if !defects.has(Defect::ResultsRefused) {
            return false;
        }
        self.queued += 1;
        self.queued.is_multiple_of(CURSED_EVERY)
    }
}

impl Server {
    /// Whether this request of a device fails for no reason.
    pub(super) fn fails_by_chance(&mut self) -> bool {
        if !self.settings.defects.has(Defect::Random500s) {
            return false;
        }
        let number = self.trouble.requests;
        self.trouble.requests += 1;
        let mut die = self.settings.seed.draw(Purpose::Defect, 0, number, 0);
        die.chance(FAILURE_SHARE)
    }

    /// The answer, as late as a scan of all that is open makes it.
    pub(super) fn slowed(&self, reply: Reply) -> Reply {
        if !self.settings.defects.has(Defect::SlowQueries) {
            return reply;
        }
        let open: usize = self.enrollments.iter().map(|it| it.queue.open()).sum();
        let open = u32::try_from(open).unwrap_or(u32::MAX);
        let delay = SLOWER_BY.saturating_mul(open).min(SLOWEST);
        Reply { delay, ..reply }
    }

    /// Whether a command is one too many of a bulk order.
    pub(super) fn is_past_a_burst(&mut self, now: SimTime) -> bool {
        if !self.settings.defects.has(Defect::BulkTruncated) {
            return false;
        }
        let lasts = |(begun, _): &(SimTime, u32)| now < *begun + BURST_TIME;
        let (begun, count) = self.trouble.burst.filter(lasts).unwrap_or((now, 0));
        self.trouble.burst = Some((begun, count.saturating_add(1)));
        count >= BURST_MAX
    }

    /// Whether what is queued for a channel goes to a record that is not there any more.
    pub(super) fn is_wiped(&self, now: SimTime, slot: u32) -> bool {
        let renewed = self.enrollments[slot as usize].renewed;
        self.settings.defects.has(Defect::WipedByRenewal)
            && renewed.is_some_and(|renewed| now < renewed + WIPED_FOR)
    }
}
