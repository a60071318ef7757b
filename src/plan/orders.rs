//! The open-loop schedule: when each order is due and which device it is for.
//!
//! The number of orders is exact. Poisson arrivals are drawn given that number: independent points,
//! evenly likely over the stage, in order of time. Devices come in shuffled rounds, each once per
//! round, so that none is ordered twice before all were ordered once.

use std::time::Duration;

use super::{CohortPlan, Order, devices};
use crate::ids::{Channel, DeviceId, OrderIndex};
use crate::scenario::{Amount, Arrival, Recipient, Scenario, StageCommand};
use crate::seed::{Purpose, Seed};

/// All orders, by due time; at one time in the order of the scenario's commands.
pub(super) fn draw(scenario: &Scenario, cohorts: &[CohortPlan], seed: Seed) -> Vec<Order> {
    let mut orders = Vec::new();
    let mut begins = Duration::ZERO;
    let mut command_index = 0_u16;
    for (stage_index, stage) in scenario.stages.iter().enumerate() {
        for (index, command) in stage.commands.iter().enumerate() {
            // A command added to one stage shifts no draw of another.
            let subject = (stage_index as u64) << 32 | index as u64;
            let devices = devices(cohorts, command.to);
            let count = amount(command, stage.duration, devices.len());
            let times = times(seed, subject, command.arrival, stage.duration, count);
            let targets = targets(seed, subject, devices, count);
            let channels = channels(seed, subject, command, cohorts, targets);
            orders.extend(times.into_iter().zip(channels).map(|(at, channel)| Order {
                due_us: micros(begins) + at,
                channel,
                index: OrderIndex(0),
                command: command_index,
            }));
            command_index += 1;
        }
        begins += stage.duration;
    }
    // Stable: orders due at one moment keep the order of the scenario.
    orders.sort_by_key(|order| order.due_us);
    for (index, order) in orders.iter_mut().enumerate() {
        order.index = self::index(index);
    }
    orders
}

/// The index of the order at `position`.
pub(super) fn index(position: usize) -> OrderIndex {
    OrderIndex(u32::try_from(position).expect("a plan has at most 20 million, and as many again"))
}

pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).expect("no span of a scenario is longer than 400 days")
}

fn amount(command: &StageCommand, duration: Duration, devices: usize) -> usize {
    match command.amount {
        Amount::Rate(rate) => (rate * duration.as_secs_f64()).round() as usize,
        Amount::Each(each) => each as usize * devices,
    }
}

/// When the orders are due, in microseconds from the stage's beginning, ascending.
fn times(seed: Seed, subject: u64, arrival: Arrival, length: Duration, count: usize) -> Vec<u64> {
    let length = micros(length);
    match arrival {
        Arrival::Even => (0..count as u64)
            .map(|n| {
                let at = u128::from(n) * u128::from(length) / count as u128;
                u64::try_from(at).expect("below the length, which is a u64")
            })
            .collect(),
        Arrival::Poisson => {
            let mut draw = seed.draw(Purpose::Arrival, subject, 0, 0);
            let mut times: Vec<u64> = (0..count).map(|_| draw.below(length)).collect();
            times.sort_unstable();
            times
        }
    }
}

/// Which device each order is for.
fn targets(seed: Seed, subject: u64, devices: std::ops::Range<u32>, count: usize) -> Vec<u32> {
    let mut targets = Vec::with_capacity(count);
    let mut round = 0;
    while targets.len() < count {
        let mut draw = seed.draw(Purpose::OrderTarget, subject, round, 0);
        let mut deck: Vec<u32> = devices.clone().collect();
        let wanted = deck.len().min(count - targets.len());
        for at in 0..wanted {
            let rest = (deck.len() - at) as u64;
            deck.swap(at, at + draw.below(rest) as usize);
        }
        targets.extend_from_slice(&deck[..wanted]);
        round += 1;
    }
    targets
}

/// The channel of each order: the device's, or that of one of its users, each as likely.
fn channels(
    seed: Seed,
    subject: u64,
    command: &StageCommand,
    cohorts: &[CohortPlan],
    targets: Vec<u32>,
) -> Vec<Channel> {
    // Another attempt than the rounds of devices have, so that neither draw shifts the other.
    let mut draw = seed.draw(Purpose::OrderTarget, subject, 0, 1);
    let channel = |device| {
        let device = DeviceId(device);
        let user = match command.recipient {
            Recipient::Device => 0,
            Recipient::User => {
                let at = cohorts.partition_point(|cohort| cohort.first <= device);
                let users = u64::from(cohorts[at.saturating_sub(1)].traits.users);
                let drawn = 1 + draw.below(users);
                u8::try_from(drawn).expect("a device has at most 4 users")
            }
        };
        Channel { device, user }
    };
    targets.into_iter().map(channel).collect()
}
