//! What the benches with sockets share: a state folder of their own, a crowd of iPads without
//! delays, and a toy server that knows them.

#![allow(dead_code, reason = "each bench uses a part of the world")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::device::environment::{Environment, Terms};
use mdmstorm::device::traits::{BackOff, Platform, ReplyTimes, Traits};
use mdmstorm::engine::authority::LOCAL_NAMES;
use mdmstorm::engine::clock::{Clock, wall_now};
use mdmstorm::engine::state::State;
use mdmstorm::ids::{Channel, CommandUuid, DeviceId, OrderBook, OrderIndex, RunId, hex_lower};
use mdmstorm::protocol::push::payload;
use mdmstorm::seed::{Dist, Seed};

use crate::toy::Setup;

/// The run whose orders the toy's commands carry.
pub(crate) const RUN: RunId = RunId([7; 16]);

/// A state folder, and how many devices and orders there are.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) state: State,
    pub(crate) clock: Clock,
    pub(crate) devices: u32,
    pub(crate) orders: u32,
}

impl World {
    pub(crate) fn new(devices: u32, orders: u32) -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        let state = State::open(&folder.path().join("state")).expect("it can be made");
        Self {
            folder,
            state,
            clock: Clock::start(),
            devices,
            orders,
        }
    }

    pub(crate) fn toy_setup(&self) -> Setup {
        let crowd = &self.state.crowd;
        let server = self
            .state
            .device_authority
            .server_certificate(&LOCAL_NAMES, wall_now())
            .expect("our authority signs");
        let channels = || (0..self.devices).map(|device| Channel::device(DeviceId(device)));
        let path = |channel| format!("/3/device/{}", hex_lower(&crowd.token(channel, 0).0));
        let magic = |channel| payload(&crowd.magic(channel, 0));
        let uuid = |order| CommandUuid::of_order(RUN, OrderIndex(order)).to_string();
        Setup {
            certificate: server.certificates_pem(),
            key: server.key_pem(),
            devices: self.state.device_authority.certificate_pem(),
            push_certificate: self.state.push.certificates_pem(),
            push_key: self.state.push.key_pem(),
            apns: self.state.apns_authority.certificate_pem(),
            paths: channels().map(path).collect(),
            payloads: channels()
                .map(|channel| String::from_utf8(magic(channel)).expect("JSON is text"))
                .collect(),
            uuids: (0..self.orders).map(uuid).collect(),
        }
    }

    /// What the devices share: no device waits for anything but the network.
    pub(crate) fn environment(&self) -> Arc<Environment> {
        Arc::new(Environment {
            seed: Seed(42),
            crowd: self.state.crowd.clone(),
            topic: self.state.topic.as_str().into(),
            terms: Terms::default(),
            time_scale: 1.0,
            epoch: self.clock.epoch(),
            orders: OrderBook::new(RUN, self.orders),
            cohorts: vec![Arc::new(prompt_ipads())],
            starts: Duration::ZERO,
            enroll_until: self.clock.now() + Duration::from_secs(600),
        })
    }
}

/// iPads that do everything at once.
pub(crate) fn prompt_ipads() -> Traits {
    Traits {
        push_latency: Dist::ZERO,
        stored_push_delay: Dist::ZERO,
        wake_delay: Dist::ZERO,
        reply: ReplyTimes {
            usual: Dist::ZERO,
            by_request: BTreeMap::new(),
        },
        back_off: BackOff {
            initial: Duration::from_secs(5),
            max: Duration::from_secs(60),
        },
        ..Traits::prompt("ipads", Platform::Ipad)
    }
}
