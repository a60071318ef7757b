//! What devices that somebody watches say and are told, word for word.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::World;
use crate::device::contract::{Answer, Reply, Request};
use crate::fact::Broken;
use crate::ids::{Channel, DeviceId, RequestId};
use crate::time::SimTime;

/// One request of a device and what came back. It has secrets: whoever keeps it redacts it first.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// Whose.
    pub channel: Channel,
    /// When the device wanted it.
    pub asked: SimTime,
    /// What it said.
    pub request: Arc<[u8]>,
    /// What came back.
    pub answer: Result<Answer, Broken>,
}

/// The devices that are watched, and what was seen of them.
#[derive(Debug, Default)]
pub(super) struct Watch {
    devices: Vec<DeviceId>,
    asked: BTreeMap<(Channel, RequestId), Arc<[u8]>>,
    seen: Vec<Exchanged>,
}

impl Watch {
    pub(super) fn asks(&mut self, request: &Request) {
        if self.devices.contains(&request.channel.device) {
            let key = (request.channel, request.id);
            self.asked.insert(key, Arc::clone(&request.body));
        }
    }

    pub(super) fn hears(&mut self, channel: Channel, id: RequestId, reply: &Reply) {
        if let Some(request) = self.asked.remove(&(channel, id)) {
            self.seen.push(Exchanged {
                channel,
                asked: reply.stamps.asked,
                request,
                answer: reply.answer.clone(),
            });
        }
    }
}

impl World {
    /// Watches these devices from now on.
    pub fn watch(&mut self, devices: &[DeviceId]) {
        self.watch.devices = devices.to_vec();
    }

    /// What the watched devices said and were told since the last call.
    pub fn take_exchanged(&mut self) -> Vec<Exchanged> {
        std::mem::take(&mut self.watch.seen)
    }
}
