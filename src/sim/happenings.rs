//! What the timeline does to pushes and by the operator's hand, rather than to a device.

use super::World;
use super::agenda::Event;
use crate::device::messages;
use crate::ids::{Channel, CohortId, DeviceId};
use crate::plan::Event as Deed;
use crate::reference_server::Submission;

/// What the timeline has made of the gateway.
#[derive(Debug, Default)]
pub(super) struct Gateway {
    /// The push certificate has expired: no provider is let in.
    pub(super) is_expired: bool,
    /// The share of pushes that is lost, by cohort; the latest word on a cohort counts.
    loses: Vec<(Option<CohortId>, f64)>,
    /// How many of the plan's happenings have happened.
    pub(super) done: usize,
}

impl Gateway {
    /// Nothing is wrong with it, and nothing more happens of all that was planned.
    pub(super) fn heal(&mut self, planned: usize) {
        *self = Self {
            done: planned,
            ..Self::default()
        };
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
        let Some(happening) = self.plan.happenings.get(self.gateway.done).copied() else {
            return;
        };
        self.gateway.done += 1;
        match happening.what {
            Deed::BlankPush(to) => self.push_blank(to),
            Deed::ExpirePushCertificate => self.gateway.is_expired = true,
            Deed::RenewPushCertificate => self.gateway.is_expired = false,
            Deed::LosePushes { of, share } => self.gateway.loses.push((of, share)),
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

    /// The share of a device's pushes that is lost.
    pub(super) fn share_lost(&self, device: DeviceId) -> f64 {
        let cohort = self.plan.cohort_of(device);
        let about = |of: Option<CohortId>| of.is_none_or(|of| of == cohort);
        let latest = self.gateway.loses.iter().rfind(|(of, _)| about(*of));
        latest.map_or(0.0, |(_, share)| *share)
    }

    /// What the server calls a channel.
    pub(super) fn enrollment_id(&self, channel: Channel) -> String {
        let platform = self
            .env
            .traits(self.plan.cohort_of(channel.device))
            .platform;
        messages::enrollment_id(&self.env.crowd, platform, channel)
    }
}
