//! Verdicts depend on (seed, device, order, attempt) and on nothing else that happens.

use std::collections::BTreeMap;
use std::time::Duration;

use mdmstorm::device::Device;
use mdmstorm::device::contract::{Answer, Input, Output, Reply};
use mdmstorm::device::environment::Environment;
use mdmstorm::device::keepsake::{Keepsake, Start};
use mdmstorm::fact::{ResultStatus, Said, Stamps};
use mdmstorm::ids::{CohortId, DeviceId};
use mdmstorm::time::SimTime;

use crate::rig::{command, environment, push, refuses, uuid};

/// Longer than a refusal lasts, and than a session.
const BETWEEN: Duration = Duration::from_secs(60);

/// A device that refuses every second command, and whose server never has more than one for it.
struct Offers {
    env: Environment,
    device: Device,
    id: DeviceId,
    now: SimTime,
    pushes: u64,
}

impl Offers {
    fn new(seed: u64, device: u32) -> Self {
        let mut traits = refuses("ProfileList", 10);
        traits.not_now[0].scope.probability = 0.5;
        let id = DeviceId(device);
        let env = environment(seed, traits);
        Self {
            device: Device::new(
                id,
                CohortId(0),
                &env,
                Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO),
            ),
            env,
            id,
            now: SimTime::ZERO,
            pushes: 0,
        }
    }

    /// Offers an order in a session of its own; whether the device refuses it.
    fn is_refused(&mut self, order: u32) -> bool {
        let end = self.now + BETWEEN;
        let mut out = Vec::new();
        let push = push(self.id, self.pushes, self.now);
        self.pushes += 1;
        self.device
            .handle(&self.env, self.now, Input::Push(push), &mut out);
        let mut offered = Some(order);
        let mut refused = None;
        while !out.is_empty() || self.device.deadline() <= end {
            if out.is_empty() {
                self.now = self.device.deadline();
                self.device
                    .handle(&self.env, self.now, Input::Tick, &mut out);
            }
            for output in std::mem::take(&mut out) {
                let Output::Send(request) = output else {
                    continue;
                };
                if let Said::Result {
                    uuid: Some(about),
                    status,
                } = &request.said
                {
                    assert_eq!(*about, uuid(order));
                    refused = Some(*status == ResultStatus::NotNow);
                }
                let body = offered.take().map(|order| command(order, "ProfileList"));
                let answer = Answer {
                    status: 200,
                    body: body.unwrap_or_default(),
                };
                let reply = Reply {
                    stamps: Stamps::default(),
                    answer: Ok(answer),
                };
                let input = Input::Reply(request.channel, request.id, reply);
                self.device.handle(&self.env, self.now, input, &mut out);
            }
        }
        self.now = end;
        refused.unwrap()
    }

    /// How often each order was refused before it was executed, when they are offered by turns.
    fn refusals(mut self, orders: impl IntoIterator<Item = u32>) -> BTreeMap<u32, u32> {
        let mut open: Vec<u32> = orders.into_iter().collect();
        let mut refusals = BTreeMap::new();
        while !open.is_empty() {
            open.retain(|order| {
                let refused = self.is_refused(*order);
                *refusals.entry(*order).or_default() += u32::from(refused);
                refused
            });
        }
        refusals
    }
}

#[test]
fn the_order_of_arrival_changes_no_verdict() {
    let forwards = Offers::new(7, 3).refusals(0..40);
    let backwards = Offers::new(7, 3).refusals((0..40).rev());
    assert_eq!(forwards, backwards);
}

#[test]
fn further_orders_change_no_verdict() {
    let few = Offers::new(7, 3).refusals((0..40).step_by(3));
    let many = Offers::new(7, 3).refusals(0..40);
    for (order, refusals) in few {
        assert_eq!(many[&order], refusals, "order {order}");
    }
}

#[test]
fn another_seed_or_device_draws_its_own_verdicts() {
    let base = Offers::new(7, 3).refusals(0..40);
    assert!(
        base.values().any(|refusals| *refusals > 1),
        "each attempt throws the die anew"
    );
    assert_ne!(base, Offers::new(8, 3).refusals(0..40));
    assert_ne!(base, Offers::new(7, 4).refusals(0..40));
}
