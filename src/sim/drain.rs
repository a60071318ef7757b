//! When waiting for open orders has no point any more, as `engine`'s drain decides it.

use std::time::Duration;

use super::World;
use super::agenda::Event;
use super::world::Step;
use crate::ids::DeviceId;
use crate::time::SimTime;

/// How often it is looked whether an order is open.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The same when the drain may take days.
const LOOK_EVERY_WHEN_PATIENT: Duration = Duration::from_secs(60);

/// How far apart two looks at the devices' plans must be, so that what was on its way between them is
/// seen.
const LOOKS_APART: Duration = Duration::from_secs(1);

/// What the looks so far have seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// Since when no device with an open order has had plans.
    idle_since: Option<SimTime>,
    looked: Option<SimTime>,
}

impl World {
    /// Every order was taken up: waits for those that are open.
    pub(super) fn drain(&mut self) {
        // What the timeline does before the stages are over still counts.
        let stages_end = self.zero + self.plan.length();
        let end = self.now.max(stages_end) + self.drain_longest;
        self.step = Step::Draining { end };
        self.agenda.add(end, Event::DrainOver);
        self.look_later();
    }

    fn look_later(&mut self) {
        let every = if self.waits_for_all {
            LOOK_EVERY_WHEN_PATIENT
        } else {
            LOOK_EVERY
        };
        // Nothing changes before something happens: days in which nothing does cost nothing.
        let waits = self.patience.idle_since.is_none() && self.patience.looked.is_some();
        let next = if waits { self.next_event() } else { self.now };
        self.agenda.add(next.max(self.now) + every, Event::Look);
    }

    /// Ends the drain when no order is open, or when no device with an open order has anything planned
    /// before its end: the latter seen twice, since a push may be on its way between two looks.
    pub(super) fn look(&mut self) {
        let Step::Draining { end } = self.step else {
            return;
        };
        if self.is_in_vain(end) {
            self.step = Step::Over;
        } else {
            self.look_later();
        }
    }

    fn is_in_vain(&mut self, end: SimTime) -> bool {
        if !self.operator.is_idle() {
            self.patience = Patience::default();
            return false;
        }
        self.ledger.advance(self.now);
        if self.ledger.open_count() == 0 {
            return true;
        }
        let now = self.now;
        let looked = self.patience.looked;
        if self.waits_for_all || looked.is_some_and(|looked| now < looked + LOOKS_APART) {
            return false;
        }
        self.patience.looked = Some(now);
        let devices = self.ledger.open_devices();
        if devices.is_empty() {
            return true;
        }
        if self.anyone_has_plans(&devices, end) {
            self.patience.idle_since = None;
            return false;
        }
        now >= *self.patience.idle_since.get_or_insert(now) + LOOKS_APART
    }

    /// Whether one of these devices, in ascending order, or the timeline on its behalf, has anything
    /// planned before `end`.
    fn anyone_has_plans(&self, devices: &[DeviceId], end: SimTime) -> bool {
        let by_itself = devices
            .iter()
            .any(|&device| self.shard.has_plans(device, end));
        let rest = &self.plan.timeline[self.changes_done..];
        let mut events = rest.iter().take_while(|event| self.zero + event.at < end);
        let happens = self
            .plan
            .happenings
            .get(self.gateway.next())
            .is_some_and(|next| self.zero + next.at < end);
        by_itself
            || happens
            || self.gateway.holds_back()
            || events.any(|event| devices.binary_search(&event.device).is_ok())
    }
}
