//! One plan for many machines: each device belongs to exactly one of them.

use std::fmt;

use super::Plan;
use crate::ids::DeviceId;

/// Part `index` of `of`: the devices whose id leaves that remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: u32,
    of: u32,
}

impl Part {
    /// All devices.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Part `index`, from 0, of `of`; `None` unless `index` is below `of`.
    pub const fn new(index: u32, of: u32) -> Option<Self> {
        if index < of {
            Some(Self { index, of })
        } else {
            None
        }
    }

    /// How many parts there are.
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Whether the device is in this part.
    pub const fn has(self, device: DeviceId) -> bool {
        device.0 % self.of == self.index
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Plan {
    /// The orders and changes of one part's devices. Ids, order indexes and the hash stay those of
    /// the whole, so that the parts' results can be laid together.
    #[must_use]
    pub fn split(&self, part: Part) -> Self {
        let orders = self
            .orders
            .iter()
            .filter(|order| part.has(order.channel.device));
        let timeline = self.timeline.iter().filter(|entry| part.has(entry.device));
        Self {
            name: self.name.clone(),
            seed: self.seed,
            time_scale: self.time_scale,
            starts: self.starts,
            cohorts: self.cohorts.clone(),
            commands: self.commands.clone(),
            stages: self.stages.clone(),
            orders: orders.copied().collect(),
            timeline: timeline.copied().collect(),
            push: self.push.clone(),
            happenings: self.happenings.clone(),
            reissues: self.reissues.clone(),
            part,
            hash: self.hash.clone(),
        }
    }
}
