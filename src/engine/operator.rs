//! The operator: plays the administrator who orders commands, on time whatever the target does.
//!
//! It is an open loop. An order that is due is taken up; at most so many enqueue requests are in
//! flight, and waiting for one of those places, or for the device's previous order where the
//! scenario says `serial`, is the order's lateness.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};

use super::adapter::{Adapter, Enqueued};
use super::clock::Clock;
use super::gateway::Gateway;
use super::round::Round;
use super::scribe::Scribe;
use crate::device::environment::Terms;
use crate::device::messages::enrollment_id;
use crate::fact::FactKind;
use crate::ids::{Channel, CommandUuid, Crowd, DeviceId, OrderIndex, RunId};
use crate::plan::{Order, Plan};
use crate::protocol::command::Template;
use crate::time::SimTime;

/// What ends the operator's work early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Halt {
    /// Nothing does.
    #[default]
    No,
    /// No new orders.
    Orders,
    /// Nothing at all any more.
    Everything,
}

/// How far the operator is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Orders are still to become due.
    #[default]
    Ordering,
    /// Every order has been taken up; requests are in flight.
    Busy,
    /// Every order has been taken up and no request is in flight. Orders may still wait for their
    /// device's previous one.
    Idle,
}

/// What the operator shares with its requests in flight.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) clock: Clock,
    pub(super) adapter: Adapter,
    pub(super) plan: Arc<Plan>,
    pub(super) crowd: Crowd,
    /// Under which the devices enrol: they decide what the target calls a device.
    pub(super) terms: Terms,
    pub(super) run: RunId,
    pub(super) scribe: RefCell<Scribe>,
    pub(super) places: Arc<Semaphore>,
}

/// What happens next to the operator.
enum Event {
    Halted,
    Settled(OrderIndex),
    Answered,
    Due,
}

impl Operator {
    /// Orders everything from `zero` on, and tells how far it is. What happens to pushes at set
    /// times it does at `gateway`. Ends when everything is through, or when it is halted.
    pub(super) async fn run(
        self: Rc<Self>,
        zero: SimTime,
        mut settled: mpsc::Receiver<OrderIndex>,
        mut halt: watch::Receiver<Halt>,
        standing: &watch::Sender<Standing>,
        gateway: &Gateway,
    ) {
        self.note(FactKind::TimeZero);
        let mut round = Round::new(Rc::clone(&self), zero);
        loop {
            let due = round.due();
            if round.is_ordered() {
                let idle = round.is_idle();
                standing.send_replace(if idle { Standing::Idle } else { Standing::Busy });
                if due.is_none() && round.is_over() {
                    return;
                }
            }
            let ready = self.clock.instant(due.unwrap_or(SimTime::NEVER));
            let event = tokio::select! {
                biased;
                _ = halt.wait_for(|halt| *halt != Halt::No) => Event::Halted,
                Some(order) = settled.recv() => Event::Settled(order),
                () = round.answered() => Event::Answered,
                () = tokio::time::sleep_until(ready), if due.is_some() => Event::Due,
            };
            match event {
                Event::Halted => break,
                Event::Settled(order) => round.settled(order),
                Event::Answered => {}
                Event::Due => round.take_up(gateway),
            }
        }
        // Halted: requests that are out are still answered, unless everything is to end.
        standing.send_replace(Standing::Busy);
        tokio::select! {
            _ = halt.wait_for(|halt| *halt == Halt::Everything) => {}
            () = round.finish() => {}
        }
        standing.send_replace(Standing::Idle);
    }

    pub(super) async fn offer(&self, order: Order, templates: &[Template]) {
        let index = order.index;
        let uuid = CommandUuid::of_order(self.run, index);
        let body = templates[usize::from(order.command)].with(&uuid);
        let id = self.enrollment_id(order.channel);
        let is_offered = Cell::new(false);
        let offered = |_at: SimTime| {
            if !is_offered.replace(true) {
                self.note(FactKind::Offered { order: index });
            }
        };
        let fact = match self.adapter.enqueue(&id, &body, &offered).await {
            Enqueued::Accepted(push) => FactKind::Accepted { order: index, push },
            Enqueued::Rejected { status, reason } => FactKind::Rejected {
                order: index,
                status,
                reason,
            },
            Enqueued::Unknown(why) => FactKind::AcceptanceUnknown { order: index, why },
        };
        self.note(fact);
        if self.scribe.borrow().is_full() {
            self.flush().await;
        }
    }

    /// Takes an order back at the target. What it cannot take back, a device may still execute.
    pub(super) async fn cancel(&self, order: Order) {
        let uuid = CommandUuid::of_order(self.run, order.index);
        let id = self.enrollment_id(order.channel);
        if let Err(error) = self.adapter.cancel(&id, &uuid).await {
            tracing::warn!(%error, "a command could not be taken back");
        }
    }

    pub(super) async fn push(&self, devices: &[DeviceId]) {
        let ids: Vec<String> = devices
            .iter()
            .map(|it| self.enrollment_id(Channel::device(*it)))
            .collect();
        if let Err(error) = self.adapter.push(&ids).await {
            tracing::warn!(%error, "pushes without a command were not sent");
        }
    }

    /// What the target calls a channel.
    pub(super) fn enrollment_id(&self, channel: Channel) -> String {
        let cohort = self.plan.cohort_of(channel.device);
        let traits = &self.plan.cohorts[usize::from(cohort.0)].traits;
        enrollment_id(&self.crowd, &self.terms, traits.platform, channel)
    }

    /// Waits for a place among the requests in flight.
    pub(super) async fn place(&self) -> SemaphorePermit<'_> {
        let place = self.places.acquire().await;
        place.expect("the operator's semaphore is never closed")
    }

    pub(super) fn note(&self, fact: FactKind) {
        self.scribe.borrow_mut().note(self.clock.now(), fact);
    }

    /// Sends the facts noted so far.
    pub(super) async fn flush(&self) {
        let to = self.scribe.borrow().to();
        let place = to.reserve().await;
        let batch = self.scribe.borrow_mut().take();
        if let Ok(place) = place {
            place.send(batch);
        }
    }
}
