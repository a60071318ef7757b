//! What a run asks of its target over time: requests, connections, pushes, admin requests, sessions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::fact::{Fact, FactKind};
use crate::time::SimTime;

/// What happens at a target in some stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests of devices.
    pub requests: u64,
    /// Connections that devices opened.
    pub connections: u64,
    /// Pushes that the gateway took.
    pub pushes: u64,
    /// Admin requests.
    pub admin_requests: u64,
    /// The most sessions that were open at once.
    pub sessions_max: u64,
}

/// Facts folded into the load on the target.
#[derive(Debug, Default)]
pub struct Load {
    sessions: u64,
    /// Seconds that facts to come may still belong to.
    recent: BTreeMap<u64, Counts>,
    peak: Counts,
    /// Stretches of `width` seconds from the beginning.
    stretches: Vec<Counts>,
    width: u64,
    /// The last second that had a fact.
    last: u64,
}

/// An exchange is known when its answer was read; so long after it began at most.
const SECONDS_KEPT: u64 = 600;

/// How many stretches are kept; then each two become one.
const STRETCHES_MAX: usize = 1_024;

/// Rows of the table.
const ROWS: usize = 12;

impl Load {
    /// Takes one fact.
    pub fn record(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::Exchange { stamps, .. } => {
                if let Some(connected) = stamps.connected {
                    self.second(connected).connections += 1;
                }
                if let Some(sent) = stamps.sent {
                    self.second(sent).requests += 1;
                }
            }
            FactKind::PushReceived { arrived, .. } => self.second(*arrived).pushes += 1,
            FactKind::Offered { .. } => self.second(fact.at).admin_requests += 1,
            FactKind::Woke { .. } => {
                self.sessions += 1;
                let open = self.sessions;
                let second = self.second(fact.at);
                second.sessions_max = second.sessions_max.max(open);
            }
            FactKind::SessionEnded { .. } => self.sessions = self.sessions.saturating_sub(1),
            FactKind::Enrolled { .. }
            | FactKind::EnrollmentFailed { .. }
            | FactKind::IdentityStep { .. }
            | FactKind::IdentityObtained { .. }
            | FactKind::Resumed { .. }
            | FactKind::TimeZero
            | FactKind::Condition { .. }
            | FactKind::ProviderRefused { .. }
            | FactKind::ProviderCut { .. }
            | FactKind::PushUnanswered { .. }
            | FactKind::PushLost { .. }
            | FactKind::Clock { .. }
            | FactKind::Unenrolled { .. }
            | FactKind::Refused { .. }
            | FactKind::Cancelled { .. }
            | FactKind::Ordered { .. }
            | FactKind::Accepted { .. }
            | FactKind::Rejected { .. }
            | FactKind::AcceptanceUnknown { .. }
            | FactKind::PushStored { .. }
            | FactKind::PushCoalesced { .. }
            | FactKind::PushDiscarded { .. }
            | FactKind::PushDelivered { .. }
            | FactKind::PushIgnored { .. }
            | FactKind::Executed { .. }
            | FactKind::DeferralEnded { .. }
            | FactKind::QueueSeen { .. }
            | FactKind::EventReceived { .. }
            | FactKind::EventRefused { .. }
            | FactKind::Violation { .. } => return,
        }
        let now = fact.at.as_micros() / 1_000_000;
        self.last = self.last.max(now);
        while let Some(entry) = self.recent.first_entry()
            && entry.key() + SECONDS_KEPT < now
        {
            let (second, counts) = entry.remove_entry();
            self.fold(second, counts);
        }
    }

    /// The most that happened in any one second, each kind by itself.
    pub fn peak(&mut self) -> Counts {
        self.fold_all();
        self.peak
    }

    /// A table of at most 12 rows, means per second over each, and the peaks.
    pub fn table(&mut self) -> String {
        self.fold_all();
        let seconds = self.last + 1;
        let per_row = seconds.div_ceil(ROWS as u64).div_ceil(self.width.max(1)) as usize;
        let mut text = String::from(
            "   from           requests/s  connections/s  pushes/s  admin requests/s  sessions\n",
        );
        for (row, stretches) in self.stretches.chunks(per_row.max(1)).enumerate() {
            let from = row as u64 * per_row as u64 * self.width;
            let length = (per_row as u64 * self.width).min(seconds.saturating_sub(from));
            let mut sum = Counts::default();
            stretches.iter().for_each(|counts| sum.add(counts));
            sum.write(&mut text, &clock(from), length.max(1));
        }
        self.peak.write(&mut text, "peak of 1 s", 1);
        text
    }

    fn second(&mut self, at: SimTime) -> &mut Counts {
        self.recent.entry(at.as_micros() / 1_000_000).or_default()
    }

    fn fold_all(&mut self) {
        for (second, counts) in std::mem::take(&mut self.recent) {
            self.fold(second, counts);
        }
    }

    fn fold(&mut self, second: u64, counts: Counts) {
        self.peak.raise(&counts);
        self.width = self.width.max(1);
        while second / self.width >= STRETCHES_MAX as u64 {
            self.width *= 2;
            let halves = self.stretches.chunks(2).map(|pair| {
                let mut sum = pair[0];
                pair[1..].iter().for_each(|counts| sum.add(counts));
                sum
            });
            self.stretches = halves.collect();
        }
        let at = (second / self.width) as usize;
        if self.stretches.len() <= at {
            self.stretches.resize(at + 1, Counts::default());
        }
        self.stretches[at].add(&counts);
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.connections += other.connections;
        self.pushes += other.pushes;
        self.admin_requests += other.admin_requests;
        self.sessions_max = self.sessions_max.max(other.sessions_max);
    }

    fn raise(&mut self, other: &Self) {
        self.requests = self.requests.max(other.requests);
        self.connections = self.connections.max(other.connections);
        self.pushes = self.pushes.max(other.pushes);
        self.admin_requests = self.admin_requests.max(other.admin_requests);
        self.sessions_max = self.sessions_max.max(other.sessions_max);
    }

    fn write(&self, text: &mut String, name: &str, seconds: u64) {
        #[expect(clippy::cast_precision_loss, reason = "rates for people")]
        let rate = |count: u64| count as f64 / seconds as f64;
        let _ = writeln!(
            text,
            "   {name:<13}  {:>10.1}  {:>13.1}  {:>8.1}  {:>16.1}  {:>8}",
            rate(self.requests),
            rate(self.connections),
            rate(self.pushes),
            rate(self.admin_requests),
            self.sessions_max
        );
    }
}

/// `1d 02:03:04`, or without the days when there are none.
fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    if days == 0 {
        time
    } else {
        format!("{days}d {time}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OrderIndex;

    #[test]
    fn a_long_run_fits_the_table_and_keeps_its_peak() {
        let mut load = Load::default();
        for second in 0..100_000 {
            let count = if second == 50_000 { 7 } else { 1 };
            for _ in 0..count {
                load.record(&Fact {
                    at: SimTime::from_secs(second),
                    kind: FactKind::Offered {
                        order: OrderIndex(0),
                    },
                });
            }
        }
        let table = load.table();
        assert!((3..=14).contains(&table.lines().count()), "{table}");
        assert_eq!(load.peak().admin_requests, 7);
        assert!(table.contains("1d 01:"), "{table}");
    }
}
