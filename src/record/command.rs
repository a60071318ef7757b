//! What is kept of a command while it is open, and the facts that change it.

use crate::fact::{Broken, ErrorEnds, ServerPush};
use crate::ids::{Channel, CohortId, CommandUuid, OrderIndex};
use crate::time::SimTime;

use super::account::Tally;
use super::cause::situation::{Failure, FailureKind, NotNow};
use super::exchange::failure_kind;
use super::histogram::sample;
use super::log::CommandId;
use super::phase::{Fold, Marks};
use super::setup::{OrderInfo, Orderer};
use super::slices::Packed;
use super::{Ledger, micros};

/// Where a command stands; one byte for each order of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// No fact has named it.
    Unseen,
    /// It is open, or not all of its facts are here.
    Open,
    /// A result ended it.
    Answered,
    /// The admin API refused it, or the operator gave it up.
    GivenUp,
}

/// What is kept of a command while it is open.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    /// When it was due; `None` while that fact is not here.
    pub(super) due: Option<SimTime>,
    pub(super) marks: Marks,
    pub(super) settled: Option<Settled>,
    /// How its enqueue request failed.
    pub(super) enqueue: Option<Failure>,
    /// What the target said of its push, when that failed.
    pub(super) push_failed: Option<String>,
    /// The device's NotNow answers.
    pub(super) not_now: Option<Box<NotNow>>,
    /// Why it failed on the device.
    pub(super) error: Option<ErrorEnds>,
    /// How far its life has been folded, when the log has lost its beginning.
    pub(super) fold: Option<Box<Fold<Packed>>>,
    /// For an observed command: when the request that first brought it was sent, and its answer
    /// read.
    pub(super) born: Option<(SimTime, SimTime)>,
}

/// The end of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    /// When it was over.
    pub(super) at: SimTime,
    /// When that was known.
    pub(super) seen: SimTime,
    pub(super) ending: Ending,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Failed,
    Rejected,
    Cancelled,
}

impl Ledger {
    pub(super) fn ordered(&mut self, order: OrderIndex, due: SimTime) {
        let Some(open) = self.open_order(order) else {
            return;
        };
        if open.due.is_some() {
            return;
        }
        open.due = Some(due);
        let id = CommandId(order.0);
        self.slow.watch(id, due);
        self.current.counts.ordered += 1;
        self.tally(id).ordered += 1;
        self.conclude(id);
    }

    pub(super) fn offered(&mut self, order: OrderIndex, at: SimTime) {
        let Some(open) = self.open_order(order) else {
            return;
        };
        open.marks.offered.get_or_insert(at);
        let due = open.due.unwrap_or(at);
        self.current.counts.offered += 1;
        if !self.info(CommandId(order.0)).serial {
            sample(&mut self.lateness, micros(due, at));
        }
    }

    pub(super) fn accepted(&mut self, order: OrderIndex, at: SimTime, push: &ServerPush) {
        match push {
            ServerPush::Accepted => self.pushes.reported_accepted += 1,
            ServerPush::Failed(_) => self.pushes.reported_failed += 1,
            ServerPush::NotReported => {}
        }
        self.target_answered(at);
        self.current.counts.accepted += 1;
        let said = match push {
            ServerPush::Failed(why) => Some(why.clone()),
            ServerPush::Accepted | ServerPush::NotReported => None,
        };
        if let Some(open) = self.open_order(order) {
            open.marks.accepted.get_or_insert(at);
            open.push_failed = said;
            self.cancel_if_cleared(CommandId(order.0));
        }
    }

    pub(super) fn rejected(&mut self, order: OrderIndex, at: SimTime) {
        self.target_answered(at);
        if self.is_planned(order) {
            let ending = Ending::Rejected;
            let seen = at;
            self.settle(CommandId(order.0), Settled { at, seen, ending });
        }
    }

    pub(super) fn cancelled(&mut self, order: OrderIndex, at: SimTime) {
        // A result that came first wins.
        if self
            .open_order(order)
            .is_some_and(|open| open.settled.is_none())
        {
            let (seen, ending) = (at, Ending::Cancelled);
            self.settle(CommandId(order.0), Settled { at, seen, ending });
        }
    }

    pub(super) fn enqueue_lost(&mut self, order: OrderIndex, at: SimTime, why: &Broken) {
        // Whether the request was sent is not known, so that a timeout is taken for the target's.
        let kind = failure_kind(why, Some(at));
        match kind {
            FailureKind::NoAnswer(_) | FailureKind::Tls(_) | FailureKind::TimedOut => {
                self.target_failed(at);
            }
            FailureKind::Harness(_) => self.beside.harness_failures += 1,
            FailureKind::Status(_) | FailureKind::Unreadable(_) => {
                self.target_answered(at);
            }
        }
        if let Some(open) = self.open_order(order) {
            open.enqueue = Some(Failure { at, kind });
        }
    }

    /// The device has executed `id`.
    pub(super) fn executed(&mut self, id: CommandId, error: Option<&ErrorEnds>) {
        if let Some(open) = self.open_command(id) {
            open.error = error.cloned();
        }
    }

    /// The device has refused `id` with NotNow.
    pub(super) fn refused(&mut self, id: CommandId, at: SimTime, why: &str) {
        if let Some(open) = self.open_command(id) {
            let not_now = open.not_now.get_or_insert_default();
            not_now.at = at;
            // A refusal whose reason is just over has none of its own.
            if !why.is_empty() {
                why.clone_into(&mut not_now.why);
            }
            not_now.times += 1;
        }
    }

    /// Makes the command that `channel` received an observed one; `None` when it is known.
    pub(super) fn observe(
        &mut self,
        channel: Channel,
        uuid: &CommandUuid,
        request_type: &str,
    ) -> Option<CommandId> {
        debug_assert_eq!(self.setup.orderer, Orderer::Elsewhere);
        let cohort = CohortId(self.cohort_of(channel.device));
        let key = (channel, uuid.clone());
        if self.observed.contains_key(&key) || usize::from(cohort.0) >= self.tallies.len() {
            return None;
        }
        let id = CommandId(u32::try_from(self.stands.len()).ok()?);
        let request = self.request(request_type);
        self.setup.orders.push(OrderInfo {
            channel,
            cohort,
            stage: 0,
            request,
            serial: false,
        });
        self.stands.push(Stand::Unseen);
        self.observed.insert(key, id);
        self.open_command(id);
        self.current.counts.ordered += 1;
        self.tally(id).ordered += 1;
        Some(id)
    }

    /// The index of a request type that came up; those beyond the first 65,535 share the last.
    fn request(&mut self, request_type: &str) -> u16 {
        let requests = &mut self.setup.requests;
        let known = requests.iter().position(|known| known == request_type);
        let index = known.unwrap_or_else(|| {
            if requests.len() < usize::from(u16::MAX) {
                requests.push(request_type.to_owned());
            }
            requests.len() - 1
        });
        u16::try_from(index).expect("there are at most 65,535 request types")
    }

    /// The end of `id` came; what comes after the first one stands beside the sum.
    pub(super) fn settle(&mut self, id: CommandId, mut settled: Settled) {
        let channel = self.info(id).channel;
        let floor = self
            .channels
            .get(channel)
            .map_or(SimTime::ZERO, |record| record.log.floor);
        settled.at = settled.at.max(floor);
        let Some(open) = self.open_command(id) else {
            match self.stands[id.0 as usize] {
                Stand::GivenUp => self.beside.late += 1,
                Stand::Unseen | Stand::Open | Stand::Answered => self.beside.duplicate += 1,
            }
            return;
        };
        match open.settled {
            None => {
                open.settled = Some(settled);
                self.conclude(id);
            }
            Some(first) if matches!(first.ending, Ending::Rejected | Ending::Cancelled) => {
                self.beside.late += 1;
            }
            Some(_) => self.beside.duplicate += 1,
        }
    }

    /// Counts a command once it is known both that it was ordered and how it ended.
    fn conclude(&mut self, id: CommandId) {
        let observed = self.setup.orderer == Orderer::Elsewhere;
        let open = self.open.get(&id);
        let Some((settled, error)) = open
            .filter(|open| observed || open.due.is_some())
            .and_then(|open| Some((open.settled?, open.error.clone())))
        else {
            return;
        };
        let counts = &mut self.current.counts;
        match settled.ending {
            Ending::Completed => counts.completed += 1,
            Ending::Failed | Ending::Rejected | Ending::Cancelled => counts.failed += 1,
        }
        if settled.ending == Ending::Failed {
            self.failures.add(self.info(id), error);
        }
        let tally = self.tally(id);
        match settled.ending {
            Ending::Completed => tally.completed += 1,
            Ending::Failed => tally.failed += 1,
            Ending::Rejected => tally.rejected += 1,
            Ending::Cancelled => tally.cancelled += 1,
        }
        self.settled.push(OrderIndex(id.0));
        self.settling.insert((settled.seen, id));
    }

    pub(super) fn tally(&mut self, id: CommandId) -> &mut Tally {
        let info = self.info(id);
        &mut self.tallies[usize::from(info.cohort.0)][usize::from(info.stage)]
    }

    /// Whether the plan has `order`; an observed command has a number, but nobody ordered it.
    fn is_planned(&self, order: OrderIndex) -> bool {
        self.setup.orderer == Orderer::Operator && (order.0 as usize) < self.stands.len()
    }

    /// What is kept of `order`; `None` when it is over, or not in the plan.
    fn open_order(&mut self, order: OrderIndex) -> Option<&mut Open> {
        self.is_planned(order)
            .then(|| self.open_command(CommandId(order.0)))
            .flatten()
    }

    fn open_command(&mut self, id: CommandId) -> Option<&mut Open> {
        let channel = self.info(id).channel;
        let stand = &mut self.stands[id.0 as usize];
        if *stand == Stand::Unseen {
            *stand = Stand::Open;
            self.open.insert(id, Box::default());
            self.channel(channel).open.push(id);
        }
        self.open.get_mut(&id).map(Box::as_mut)
    }
}
