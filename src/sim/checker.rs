//! What must hold after each step of a run, whatever the scenario, the network and the server do.
//! Written from facts alone, a second time and simply, beside what the machines do.

use std::collections::{BTreeMap, BTreeSet};

use crate::fact::{Fact, FactKind, ResultStatus, Said};
use crate::ids::{Channel, CommandUuid, DeviceId, OrderBook, OrderIndex, PushId};
use crate::record::account::Account;
use crate::time::SimTime;

/// Looks at every fact, and says which rule was broken.
#[derive(Debug, Default)]
pub struct Checker {
    book: OrderBook,
    now: SimTime,
    /// When each channel read its last answer.
    read: BTreeMap<Channel, SimTime>,
    /// Commands whose result a 2xx has confirmed.
    settled: BTreeSet<(Channel, CommandUuid)>,
    delivered: BTreeSet<PushId>,
    ordered: BTreeSet<OrderIndex>,
    offered: BTreeSet<OrderIndex>,
    rejected: BTreeSet<OrderIndex>,
    /// When the target had each order for certain.
    accepted: BTreeMap<OrderIndex, SimTime>,
    /// When the last Authenticate of each device that was accepted was sent: the target has
    /// forgotten what it had before.
    authenticated: BTreeMap<DeviceId, SimTime>,
    /// Results of orders that the target had forgotten by then: they end nothing any more.
    late: BTreeSet<(Channel, CommandUuid)>,
    /// Devices that finished enrolling, and those that are not managed any more.
    enrolled: BTreeSet<DeviceId>,
    gone: BTreeSet<DeviceId>,
}

impl Checker {
    /// A checker of a run whose orders are in `book`; results of other commands are nobody's.
    pub fn new(book: OrderBook) -> Self {
        Self {
            book,
            ..Self::default()
        }
    }

    /// Takes one fact.
    ///
    /// # Errors
    /// The rule that it breaks, as a sentence.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of fact")]
    pub fn look(&mut self, fact: &Fact) -> Result<(), String> {
        let at = fact.at;
        if at < self.now {
            return Err(format!("time went back from {} to {at}", self.now));
        }
        self.now = at;
        match &fact.kind {
            FactKind::Exchange {
                channel,
                said,
                stamps,
                got,
            } => {
                let device = channel.device;
                if *said == Said::Authenticate {
                    self.gone.remove(&device);
                    if let (Some(sent), true) = (stamps.sent, got.is_delivered()) {
                        self.authenticated.insert(device, sent);
                    }
                } else if *said != Said::CheckOut && self.gone.contains(&device) {
                    return Err(format!("{channel} spoke although it is not managed"));
                }
                let before = self.read.insert(*channel, at).unwrap_or_default();
                if stamps.asked < before {
                    return Err(format!("{channel} had two requests in flight at {before}"));
                }
                if let Said::Result {
                    uuid: Some(uuid),
                    status,
                } = said
                    && *status != ResultStatus::NotNow
                    && got.is_delivered()
                    && let Some(order) = self.book.order(uuid)
                {
                    let forgotten = self.is_forgotten(device, order);
                    if self.settled.insert((*channel, uuid.clone())) && forgotten {
                        self.late.insert((*channel, uuid.clone()));
                    }
                }
            }
            FactKind::Executed { channel, uuid, .. } => {
                if self.settled.contains(&(*channel, uuid.clone())) {
                    return Err(format!("{channel} executed {uuid} again after a 2xx"));
                }
            }
            FactKind::PushDelivered { push, .. } => {
                once(&mut self.delivered, *push, || {
                    format!("push {} was delivered twice", push.0)
                })?;
            }
            FactKind::Ordered { order, .. } => {
                once(&mut self.ordered, *order, || {
                    format!("order {} was taken up twice", order.0)
                })?;
            }
            FactKind::Offered { order } => {
                if !self.ordered.contains(order) {
                    return Err(format!("order {} was offered before it was due", order.0));
                }
                once(&mut self.offered, *order, || {
                    format!("order {} was offered twice", order.0)
                })?;
            }
            FactKind::Accepted { order, .. } => {
                self.accepted.insert(*order, at);
            }
            FactKind::Rejected { order, .. } => {
                self.rejected.insert(*order);
            }
            FactKind::Enrolled { device, .. } | FactKind::Resumed { device } => {
                once(&mut self.enrolled, *device, || {
                    format!("device {} joined the crowd twice", device.0)
                })?;
            }
            FactKind::Unenrolled { device, .. } => {
                self.gone.insert(*device);
            }
            FactKind::EnrollmentFailed { .. }
            | FactKind::IdentityStep { .. }
            | FactKind::IdentityObtained { .. }
            | FactKind::TimeZero
            | FactKind::Condition { .. }
            | FactKind::ProviderRefused { .. }
            | FactKind::ProviderCut { .. }
            | FactKind::PushUnanswered { .. }
            | FactKind::PushLost { .. }
            | FactKind::Clock { .. }
            | FactKind::Refused { .. }
            | FactKind::Cancelled { .. }
            | FactKind::AcceptanceUnknown { .. }
            | FactKind::PushReceived { .. }
            | FactKind::PushStored { .. }
            | FactKind::PushCoalesced { .. }
            | FactKind::PushDiscarded { .. }
            | FactKind::PushIgnored { .. }
            | FactKind::Woke { .. }
            | FactKind::DeferralEnded { .. }
            | FactKind::SessionEnded { .. }
            | FactKind::QueueSeen { .. }
            | FactKind::EventReceived { .. }
            | FactKind::EventRefused { .. }
            | FactKind::Violation { .. } => {}
        }
        Ok(())
    }

    /// Whether the target had the order before its device authenticated anew.
    fn is_forgotten(&self, device: DeviceId, order: OrderIndex) -> bool {
        let accepted = self.accepted.get(&order);
        let authenticated = self.authenticated.get(&device);
        accepted.is_some_and(|at| authenticated.is_some_and(|sent| at <= sent))
    }

    /// Compares the ledger's account with what was seen here. The ledger asserts by itself that
    /// phases and orders add up.
    ///
    /// # Errors
    /// What does not agree, as a sentence.
    pub fn close(&self, account: &Account) -> Result<(), String> {
        let tally = account.tally(|_, _| true);
        let ended = tally.completed + tally.failed;
        let pairs = [
            ("ordered", tally.ordered, self.ordered.len()),
            ("rejected", tally.rejected, self.rejected.len()),
            (
                "completed and failed",
                ended,
                self.settled.len() - self.late.len(),
            ),
            ("pending", tally.pending, account.pending.len()),
        ];
        for (what, booked, seen) in pairs {
            if booked != seen as u64 {
                return Err(format!(
                    "{booked} orders are booked as {what}, {seen} were seen"
                ));
            }
        }
        Ok(())
    }
}

fn once<T: Ord>(
    seen: &mut BTreeSet<T>,
    it: T,
    what: impl FnOnce() -> String,
) -> Result<(), String> {
    if seen.insert(it) { Ok(()) } else { Err(what()) }
}
