//! What a worker's devices have to remember, until the roster's thread has it.

use std::collections::{BTreeMap, BTreeSet};

use super::keeper::Keeper;
use super::record::Kept;
use crate::ids::DeviceId;
use crate::shard::Shard;

/// The devices of a worker that have changed. One that changes twice is written once.
#[derive(Debug)]
pub(in crate::engine) struct Changes {
    /// `None` when nothing is kept.
    keeper: Option<Keeper>,
    devices: BTreeSet<DeviceId>,
}

impl Changes {
    pub(in crate::engine) const fn new(keeper: Option<Keeper>) -> Self {
        let devices = BTreeSet::new();
        Self { keeper, devices }
    }

    /// A device has something else to remember.
    pub(in crate::engine) fn note(&mut self, device: DeviceId) {
        if self.keeper.is_some() {
            self.devices.insert(device);
        }
    }

    /// Sends what has changed, if there is room for it.
    pub(in crate::engine) fn pass_on(&mut self, shard: &Shard) {
        if self.devices.is_empty() {
            return;
        }
        let Some(room) = self.keeper.as_ref().and_then(Keeper::room) else {
            return;
        };
        let devices = std::mem::take(&mut self.devices);
        room.keep(kept(&devices, shard));
    }

    /// Sends the last of it.
    pub(in crate::engine) async fn finish(&mut self, shard: &Shard) {
        if let Some(keeper) = self.keeper.take()
            && !self.devices.is_empty()
        {
            keeper.keep(kept(&self.devices, shard)).await;
        }
    }
}

fn kept(devices: &BTreeSet<DeviceId>, shard: &Shard) -> BTreeMap<DeviceId, Kept> {
    let kept = |&device| {
        (
            device,
            Kept::new(shard.traits(device), shard.keepsake(device)),
        )
    };
    devices.iter().map(kept).collect()
}
