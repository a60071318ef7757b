//! One round through a plan: which order or happening is next, which orders wait for others, and
//! which have been replaced.

use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use tokio::task::JoinSet;

use super::gateway::Gateway;
use super::operator::Operator;
use crate::fact::FactKind;
use crate::ids::{CohortId, DeviceId, OrderIndex};
use crate::plan::{Event, Lines, Order};
use crate::protocol::command::Template;
use crate::time::SimTime;

/// How many pushes without a command are asked for at once: an address of 3 KiB.
const PUSHES_A_REQUEST: usize = 100;

/// How far one run of the plan is.
pub(super) struct Round {
    operator: Rc<Operator>,
    zero: SimTime,
    templates: Rc<[Template]>,
    in_flight: JoinSet<()>,
    lines: Lines,
    /// The places in the plan of its orders, by due time.
    by_due: Vec<u32>,
    /// How many of them were taken up, and how many happenings.
    next_order: usize,
    next_happening: usize,
    /// Where the order of each index is in the plan.
    places: Vec<u32>,
    /// Those orders that another may replace, as long as they are not settled.
    replaceable: BTreeSet<OrderIndex>,
}

impl Round {
    pub(super) fn new(operator: Rc<Operator>, zero: SimTime) -> Self {
        let plan = &operator.plan;
        let mut places = vec![0; plan.orders.len()];
        for (place, order) in plan.orders.iter().enumerate() {
            places[order.index.0 as usize] = place as u32;
        }
        let mut by_due: Vec<u32> = (0..plan.orders.len() as u32).collect();
        // Those of the stages are sorted already; those that may replace them stand behind.
        by_due.sort_by_key(|&place| {
            let order = &plan.orders[place as usize];
            (order.due(), order.index)
        });
        Self {
            by_due,
            zero,
            templates: plan
                .commands
                .iter()
                .map(|command| Template::new(&command.dictionary))
                .collect(),
            in_flight: JoinSet::new(),
            lines: Lines::default(),
            next_order: 0,
            next_happening: 0,
            places,
            replaceable: plan.reissues.values().copied().collect(),
            operator,
        }
    }

    /// When there is something to do; `None` when the plan is through.
    pub(super) fn due(&self) -> Option<SimTime> {
        let (order, happening) = (self.order_due(), self.happening_due());
        order.into_iter().chain(happening).min()
    }

    /// Whether every order was taken up; there may be happenings to come.
    pub(super) fn is_ordered(&self) -> bool {
        self.next_order == self.by_due.len()
    }

    fn order_due(&self) -> Option<SimTime> {
        let plan = &self.operator.plan;
        let &place = self.by_due.get(self.next_order)?;
        let order = &plan.orders[place as usize];
        Some(self.zero + plan.real(order.due()))
    }

    fn happening_due(&self) -> Option<SimTime> {
        let plan = &self.operator.plan;
        let happening = plan.happenings.get(self.next_happening)?;
        Some(self.zero + plan.real(happening.at))
    }

    fn order(&self, index: OrderIndex) -> Order {
        self.operator.plan.orders[self.places[index.0 as usize] as usize]
    }

    /// Does what is due first; of two at one time the happening.
    pub(super) fn take_up(&mut self, gateway: &Gateway) {
        let (order, happening) = (self.order_due(), self.happening_due());
        match (order, happening) {
            (order, Some(at)) if order.is_none_or(|due| at <= due) => {
                let happening = self.operator.plan.happenings[self.next_happening].clone();
                self.next_happening += 1;
                self.happen(&happening.what, gateway);
            }
            (Some(due), _) => {
                let place = self.by_due[self.next_order];
                let order = self.operator.plan.orders[place as usize];
                self.next_order += 1;
                self.place_order(order, due);
            }
            (None, _) => {}
        }
    }

    /// Whether nothing is in flight; orders may wait in line all the same.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether nothing waits in line either.
    pub(super) fn is_over(&self) -> bool {
        self.is_idle() && self.lines.is_empty()
    }

    /// Ready when a request in flight has been answered; never when none is.
    pub(super) async fn answered(&mut self) {
        if self.in_flight.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Waits for every request in flight.
    pub(super) async fn finish(&mut self) {
        while self.in_flight.join_next().await.is_some() {}
    }

    fn place_order(&mut self, order: Order, due: SimTime) {
        let index = order.index;
        let earlier = self.operator.plan.reissues.get(&index).copied();
        if let Some(earlier) = earlier {
            if !self.replaceable.remove(&earlier) {
                // It has settled, so there is nothing to replace, nor for what would replace this.
                self.replaceable.remove(&index);
                return;
            }
            self.operator.note(FactKind::Cancelled {
                order: earlier,
                instead: Some(index),
            });
        }
        self.operator.note(FactKind::Ordered { order: index, due });
        let earlier = earlier.map(|earlier| self.order(earlier));
        if let Some(earlier) = earlier {
            self.follow(earlier);
        }
        let serial = self.operator.plan.commands[usize::from(order.command)].serial;
        let goes = !serial || self.lines.enter(order.channel, index);
        let templates = Rc::clone(&self.templates);
        self.spawn(move |operator| async move {
            if let Some(earlier) = earlier {
                operator.cancel(earlier).await;
            }
            if goes {
                operator.offer(order, &templates).await;
            }
        });
    }

    /// An order has settled.
    pub(super) fn settled(&mut self, index: OrderIndex) {
        self.replaceable.remove(&index);
        self.follow(self.order(index));
    }

    /// The next in the line of an order that is over goes.
    fn follow(&mut self, order: Order) {
        if let Some(next) = self.lines.leave(order.channel, order.index) {
            let (next, templates) = (self.order(next), Rc::clone(&self.templates));
            self.spawn(move |operator| async move { operator.offer(next, &templates).await });
        }
    }

    fn happen(&mut self, event: &Event, gateway: &Gateway) {
        match event {
            Event::BlankPush(of) => {
                let devices: Vec<DeviceId> = self.devices(*of).map(DeviceId).collect();
                for devices in devices.chunks(PUSHES_A_REQUEST) {
                    let devices = devices.to_vec();
                    self.spawn(move |operator| async move { operator.push(&devices).await });
                }
            }
            Event::ExpirePushCertificate => gateway.expire_certificate(),
            Event::RenewPushCertificate => gateway.renew_certificate(),
            Event::FaultPushes(fault) => gateway.fault(self.operator.plan.fault_rule(fault)),
            Event::HealPushes(of) => gateway.heal(self.operator.plan.range(*of).as_ref()),
            Event::Service(change) => gateway.service(*change),
        }
    }

    /// The devices of a cohort, or all.
    fn devices(&self, of: Option<CohortId>) -> Range<u32> {
        let plan = &self.operator.plan;
        match of {
            Some(cohort) => {
                let cohort = &plan.cohorts[usize::from(cohort.0)];
                cohort.first.0..cohort.first.0 + cohort.count
            }
            None => 0..plan.devices(),
        }
    }

    /// Does something at the target, once there is a place for it.
    fn spawn<F>(&mut self, act: impl FnOnce(Rc<Operator>) -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let operator = Rc::clone(&self.operator);
        self.in_flight.spawn_local(async move {
            let _place = operator.place().await;
            act(Rc::clone(&operator)).await;
        });
    }
}
