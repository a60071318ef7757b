//! The worker of a server that sends one push at a time.

use std::collections::{BTreeSet, VecDeque};

use super::Server;
use super::admin::PushOrder;
use super::defect::Defect;

/// The line of pushes. A channel stands in it once, so that it is as long as there are channels.
#[derive(Debug, Default)]
pub(super) struct PushWorker {
    line: VecDeque<PushOrder>,
    waiting: BTreeSet<u32>,
    is_busy: bool,
}

impl PushWorker {
    /// Whether a push can set out at once.
    pub(super) fn is_ready(&self) -> bool {
        !self.is_busy && !self.line.is_empty()
    }

    /// A push was answered.
    pub(super) const fn be_free(&mut self) {
        self.is_busy = false;
    }

    fn join(&mut self, order: PushOrder) {
        if self.waiting.insert(order.ticket.slot) {
            self.line.push_back(order);
        }
    }

    fn take(&mut self) -> Option<PushOrder> {
        if self.is_busy {
            return None;
        }
        let order = self.line.pop_front()?;
        self.waiting.remove(&order.ticket.slot);
        self.is_busy = true;
        Some(order)
    }
}

impl Server {
    /// What of these pushes of an administrator is sent before the answer; all, if no worker sends
    /// them behind it.
    pub(super) fn hand_to_worker(&mut self, orders: Vec<PushOrder>) -> Vec<PushOrder> {
        if !self.settings.defects.has(Defect::PushWorkerSerial) {
            return orders;
        }
        for order in orders {
            self.push_worker.join(order);
        }
        Vec::new()
    }

    /// What of these pushes that are due again, and of those in line, is sent now.
    pub(super) fn with_worker(&mut self, orders: Vec<PushOrder>) -> Vec<PushOrder> {
        let mut now = self.hand_to_worker(orders);
        now.extend(self.push_worker.take());
        now
    }
}
