//! The operator: takes up orders when they are due, as `engine`'s does. At most so many requests are in
//! flight; waiting for a place, or for the device's previous order where it is `serial`, is lateness.

use std::collections::{BTreeSet, VecDeque};

use super::World;
use super::agenda::Event;
use super::network::OrderFate;
use crate::fact::{Broken, FactKind, ServerPush};
use crate::ids::{CommandUuid, OrderIndex};
use crate::plan::{Lines, Plan};
use crate::protocol::command::Template;
use crate::reference_server::{Answer, Submission, WithPush};
use crate::time::SimTime;

/// What the operator knows and waits for.
#[derive(Debug)]
pub(super) struct Operator {
    templates: Vec<Template>,
    lines: Lines,
    /// The plan's orders by due time, and the next of them.
    by_due: Vec<OrderIndex>,
    next: usize,
    /// Of the orders that may be placed again, those that need not be.
    through: BTreeSet<OrderIndex>,
    /// Requests that may be under way at once.
    places: usize,
    in_flight: usize,
    /// Orders that wait for a place.
    waiting: VecDeque<OrderIndex>,
}

impl Operator {
    pub(super) fn new(plan: &Plan, places: usize) -> Self {
        let commands = plan.commands.iter();
        Self {
            templates: commands
                .map(|command| Template::new(&command.dictionary))
                .collect(),
            lines: Lines::default(),
            by_due: plan.by_due().into_iter().map(|order| order.index).collect(),
            next: 0,
            through: BTreeSet::new(),
            places: places.max(1),
            in_flight: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Whether no request is in flight. Orders may still stand in line behind others of their device.
    pub(super) const fn is_idle(&self) -> bool {
        self.in_flight == 0
    }
}

impl World {
    /// When the plan's next order is due; `None` when all were taken up.
    pub(super) fn next_due(&self) -> Option<SimTime> {
        let index = self.operator.by_due.get(self.operator.next)?;
        Some(self.zero + self.plan.orders[index.0 as usize].due())
    }

    /// The plan's next order is due.
    pub(super) fn take_up(&mut self) {
        let Some(due) = self.next_due() else { return };
        let index = self.operator.by_due[self.operator.next];
        let order = self.plan.orders[index.0 as usize];
        self.operator.next += 1;
        let first = self.plan.reissues.get(&index).copied();
        if first.is_some_and(|first| self.operator.through.contains(&first)) {
            self.operator.through.insert(index);
        } else {
            if let Some(first) = first {
                self.cancel(first, index);
            }
            self.note(FactKind::Ordered { order: index, due });
            let serial = self.plan.commands[usize::from(order.command)].serial;
            if !serial || self.operator.lines.enter(order.channel, index) {
                self.begin(index);
            }
        }
        match self.next_due() {
            Some(due) => self.agenda.add(due, Event::OrderDue),
            None => self.drain(),
        }
    }

    /// Takes an order back, which another is placed for.
    fn cancel(&mut self, order: OrderIndex, instead: OrderIndex) {
        let channel = self.plan.orders[order.0 as usize].channel;
        let (id, uuid) = (
            self.enrollment_id(channel),
            CommandUuid::of_order(self.run, order),
        );
        self.server.cancel(&id, &uuid);
        self.note(FactKind::Cancelled {
            order,
            instead: Some(instead),
        });
    }

    /// An order settled: the next in line goes.
    pub(super) fn settled(&mut self, order: OrderIndex) {
        if !self.plan.reissues.is_empty() {
            self.operator.through.insert(order);
        }
        let channel = self.plan.orders[order.0 as usize].channel;
        if let Some(following) = self.operator.lines.leave(channel, order) {
            self.begin(following);
        }
    }

    fn begin(&mut self, order: OrderIndex) {
        if self.operator.in_flight < self.operator.places {
            self.offer(order);
        } else {
            self.operator.waiting.push_back(order);
        }
    }

    fn offer(&mut self, order: OrderIndex) {
        self.operator.in_flight += 1;
        self.note(FactKind::Offered { order });
        let there = self.now + self.network.order_latency(order, 0);
        let event = match self.network.order_fate(order) {
            OrderFate::CutBefore => Event::EnqueueLost(order),
            OrderFate::CutAfter | OrderFate::Answered => Event::Enqueue(order),
        };
        self.agenda.add(there, event);
    }

    /// The server has the request for an order.
    pub(super) fn enqueue(&mut self, index: OrderIndex) {
        let order = self.plan.orders[index.0 as usize];
        let uuid = CommandUuid::of_order(self.run, index);
        let body = self.operator.templates[usize::from(order.command)].with(&uuid);
        let id = self.enrollment_id(order.channel);
        let Submission { answer, pushes } =
            self.server.enqueue(self.now, &[id], &body, WithPush::Yes);
        // One enrolment was named, so there is one push or none.
        let mut answer = Some((index, Box::new(answer)));
        for push in pushes {
            self.send_push(push, answer.take());
        }
        if let Some((order, answer)) = answer {
            self.answer_operator(order, answer);
        }
    }

    /// The server answers the request for an order.
    pub(super) fn answer_operator(&mut self, order: OrderIndex, answer: Box<Answer>) {
        let back = self.now + self.network.order_latency(order, 1);
        let event = match self.network.order_fate(order) {
            OrderFate::Answered => Event::Enqueued(order, answer),
            OrderFate::CutBefore | OrderFate::CutAfter => Event::EnqueueLost(order),
        };
        self.agenda.add(back, event);
    }

    /// The operator has the answer for an order.
    pub(super) fn enqueued(&mut self, index: OrderIndex, answer: &Answer) {
        let order = &self.plan.orders[index.0 as usize];
        let id = self.enrollment_id(order.channel);
        let fact = match answer.command_error(&id) {
            Some(error) => FactKind::Rejected {
                order: index,
                status: answer.status(),
                reason: error.to_owned(),
            },
            None => FactKind::Accepted {
                order: index,
                push: match answer.push_outcome(&id) {
                    Some(Ok(())) => ServerPush::Accepted,
                    Some(Err(why)) => ServerPush::Failed(why.to_owned()),
                    None => ServerPush::NotReported,
                },
            },
        };
        self.end_request(fact);
    }

    /// The request for an order, or its answer, was cut.
    pub(super) fn enqueue_lost(&mut self, order: OrderIndex) {
        let why = Broken::Cut("the connection was reset".to_owned());
        self.end_request(FactKind::AcceptanceUnknown { order, why });
    }

    fn end_request(&mut self, fact: FactKind) {
        self.note(fact);
        self.operator.in_flight -= 1;
        if let Some(next) = self.operator.waiting.pop_front() {
            self.offer(next);
        }
    }
}
