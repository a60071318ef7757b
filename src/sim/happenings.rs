//! The gateway's state, and what the timeline does to pushes and by the operator's hand, rather than to a device.

use std::collections::BTreeMap;

use super::World;
use super::agenda::Event;
use crate::apns::fault::Faults;
use crate::apns::service::ServiceChange;
use crate::apns::slot::Keep;
use crate::device::contract::Push;
use crate::device::messages;
use crate::ids::{Channel, CohortId, DeviceId};
use crate::plan::{Event as Deed, Plan};
use crate::reference_server::Submission;
use crate::scenario::Scenario;
use crate::seed::Seed;

/// What the scenario makes of the gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    /// The push certificate has expired: no provider is let in.
    pub(super) is_expired: bool,
    /// The push service is gone.
    pub(super) is_out: bool,
    /// How often the server's connection was reset.
    pub(super) resets: u32,
    pub(super) faults: Faults,
    /// Accepted pushes that set out later, by a number of their own.
    pub(super) late: BTreeMap<u64, (Push, Keep)>,
    /// Of those the ones that the next accepted push sets free.
    pub(super) reordered: Vec<u64>,
    pub(super) held_back: u64,
    /// How many of the plan's happenings have happened.
    done: usize,
}

impl Gateway {
    pub(super) fn new(scenario: &Scenario, plan: &Plan) -> Self {
        let mut gateway = Self::sound(plan.seed, 0);
        for fault in &scenario.apns.faults {
            gateway.faults.add(plan.fault_rule(fault));
        }
        gateway
    }

    /// One with which nothing is wrong.
    const fn sound(seed: Seed, done: usize) -> Self {
        Self {
            is_expired: false,
            is_out: false,
            resets: 0,
            faults: Faults::none(seed),
            late: BTreeMap::new(),
            reordered: Vec::new(),
            held_back: 0,
            done,
        }
    }

    /// Nothing is wrong with it, and nothing more happens of all that was planned. What it holds back
    /// sets out in its time.
    pub(super) fn heal(&mut self, seed: Seed, planned: usize) {
        *self = Self {
            resets: self.resets,
            late: std::mem::take(&mut self.late),
            held_back: self.held_back,
            ..Self::sound(seed, planned)
        };
    }

    /// Whether a push is yet to set out.
    pub(super) fn holds_back(&self) -> bool {
        !self.late.is_empty()
    }

    /// The next of the plan's happenings, by its number.
    pub(super) const fn next(&self) -> usize {
        self.done
    }
}

impl World {
    pub(super) fn plan_happening(&mut self) {
        if let Some(next) = self.plan.happenings.get(self.gateway.done) {
            self.agenda.add(self.zero + next.at, Event::HappeningDue);
        }
    }

    /// The plan's next happening happens.
    pub(super) fn happening(&mut self) {
        let Some(happening) = self.plan.happenings.get(self.gateway.done).cloned() else {
            return;
        };
        self.gateway.done += 1;
        match happening.what {
            Deed::BlankPush(to) => self.push_blank(to),
            Deed::ExpirePushCertificate => self.gateway.is_expired = true,
            Deed::RenewPushCertificate => self.gateway.is_expired = false,
            Deed::FaultPushes(fault) => self.gateway.faults.add(self.plan.fault_rule(&fault)),
            Deed::HealPushes(of) => self.gateway.faults.heal(self.plan.range(of).as_ref()),
            Deed::Service(change) => self.change_service(change),
        }
        self.plan_happening();
    }

    /// The administrator sends a push without a command to each device.
    fn push_blank(&mut self, to: Option<CohortId>) {
        for device in (0..self.plan.devices()).map(DeviceId) {
            if to.is_some_and(|to| self.plan.cohort_of(device) != to) {
                continue;
            }
            let id = self.enrollment_id(Channel::device(device));
            let Submission { pushes, .. } = self.server.push(self.now, &[id]);
            for push in pushes {
                self.send_push(push, None);
            }
        }
    }

    /// The push service changes. The server speaks straight to it, a push at a time on each stream: what
    /// CONNECT does and how many streams there may be is nothing to it.
    fn change_service(&mut self, change: ServiceChange) {
        match change {
            ServiceChange::Out(is_out) => {
                self.gateway.is_out = is_out;
                if is_out {
                    self.gateway.resets += 1;
                }
            }
            ServiceChange::Rate(rate) => self.admission.set_rate(rate),
            // After GOAWAY a connection's streams are answered, and the next push makes another one.
            ServiceChange::RefuseConnect(_)
            | ServiceChange::Streams(_)
            | ServiceChange::GoAway(_) => {}
        }
    }

    /// What the server calls a channel.
    pub(super) fn enrollment_id(&self, channel: Channel) -> String {
        let platform = self
            .env
            .traits(self.plan.cohort_of(channel.device))
            .platform;
        messages::enrollment_id(&self.env.crowd, &self.env.terms, platform, channel)
    }
}
