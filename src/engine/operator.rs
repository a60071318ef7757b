//! The operator: plays the administrator who orders commands, on time whatever the target does.
//!
//! It is an open loop. An order that is due is taken up; at most so many enqueue requests are in
//! flight, and waiting for one of those places, or for the device's previous order where the
//! scenario says `serial`, is the order's lateness.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::adapter::{Adapter, Enqueued};
use super::clock::Clock;
use super::scribe::Scribe;
use crate::fact::FactKind;
use crate::ids::{CommandUuid, Crowd, OrderIndex, RunId};
use crate::plan::{Lines, Plan};
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
    pub(super) run: RunId,
    pub(super) scribe: RefCell<Scribe>,
    pub(super) places: Arc<Semaphore>,
}

impl Operator {
    /// Orders everything from `zero` on, and tells how far it is. Ends when every order is through,
    /// or when it is halted.
    pub(super) async fn run(
        self: Rc<Self>,
        zero: SimTime,
        mut settled: mpsc::Receiver<OrderIndex>,
        mut halt: watch::Receiver<Halt>,
        standing: &watch::Sender<Standing>,
    ) {
        let commands = self.plan.commands.iter();
        let templates: Rc<[Template]> = commands
            .map(|command| Template::new(&command.dictionary))
            .collect();
        self.note(FactKind::TimeZero);
        let mut in_flight = JoinSet::new();
        let mut lines = Lines::default();
        let mut next = 0;
        loop {
            let due = self
                .plan
                .orders
                .get(next)
                .map(|order| zero + self.plan.real(order.due()));
            if due.is_none() {
                let idle = in_flight.is_empty();
                standing.send_replace(if idle { Standing::Idle } else { Standing::Busy });
                if idle && lines.is_empty() {
                    return;
                }
            }
            let ready = self.clock.instant(due.unwrap_or(SimTime::NEVER)).into();
            tokio::select! {
                biased;
                _ = halt.wait_for(|halt| *halt != Halt::No) => break,
                Some(order) = settled.recv() => {
                    let channel = self.plan.orders[order.0 as usize].channel;
                    if let Some(following) = lines.leave(channel) {
                        self.begin(following, &templates, &mut in_flight);
                    }
                }
                Some(_) = in_flight.join_next() => {}
                () = tokio::time::sleep_until(ready), if due.is_some() => {
                    let index = OrderIndex(next as u32);
                    let order = &self.plan.orders[next];
                    next += 1;
                    self.note(FactKind::Ordered { order: index, due: due.unwrap_or_default() });
                    let serial = self.plan.commands[usize::from(order.command)].serial;
                    if !serial || lines.enter(order.channel, index) {
                        self.begin(index, &templates, &mut in_flight);
                    }
                }
            }
        }
        // Halted: requests that are out are still answered, unless everything is to end.
        standing.send_replace(Standing::Busy);
        tokio::select! {
            _ = halt.wait_for(|halt| *halt == Halt::Everything) => {}
            () = async { while in_flight.join_next().await.is_some() {} } => {}
        }
        standing.send_replace(Standing::Idle);
    }

    fn begin(
        self: &Rc<Self>,
        index: OrderIndex,
        templates: &Rc<[Template]>,
        in_flight: &mut JoinSet<()>,
    ) {
        let (operator, templates) = (Rc::clone(self), Rc::clone(templates));
        in_flight.spawn_local(async move {
            let place = operator.places.acquire().await;
            let _place = place.expect("the operator's semaphore is never closed");
            operator.offer(index, &templates).await;
        });
    }

    async fn offer(&self, index: OrderIndex, templates: &[Template]) {
        let order = &self.plan.orders[index.0 as usize];
        let uuid = CommandUuid::of_order(self.run, index);
        let body = templates[usize::from(order.command)].with(&uuid);
        let udid = self.crowd.udid(order.channel.device);
        let is_offered = Cell::new(false);
        let offered = |_at: SimTime| {
            if !is_offered.replace(true) {
                self.note(FactKind::Offered { order: index });
            }
        };
        let fact = match self.adapter.enqueue(&udid, &body, &offered).await {
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

    fn note(&self, fact: FactKind) {
        self.scribe.borrow_mut().note(self.clock.now(), fact);
    }

    /// Sends the facts noted so far.
    pub(super) async fn flush(&self) {
        let (to, batch) = self.scribe.borrow_mut().take();
        let _ = to.send(batch).await;
    }
}
