//! What happens at set times: changes of devices, and orders that are placed again.

use std::collections::{BTreeMap, BTreeSet};

use super::{CohortPlan, Order, TimelineEntry, devices, orders};
use crate::device::contract::Change;
use crate::ids::{DeviceId, OrderIndex};
use crate::scenario::{Event, Reissue, Scenario};
use crate::seed::{Purpose, Seed};

/// Which of a timeline's draws a die is thrown for: its attempt.
const SPREAD: u32 = 0;
const SHARE: u32 = 1;
const REISSUE: u32 = 2;

/// The changes of all devices, by time, then device; what happens at one time to one device keeps
/// the order of the scenario.
pub(super) fn changes(
    scenario: &Scenario,
    cohorts: &[CohortPlan],
    seed: Seed,
) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    for event in &scenario.timeline.events {
        for device in concerned(event, cohorts, seed) {
            let subject = u64::from(device);
            let mut draw = seed.draw(Purpose::Spread, subject, u64::from(event.number), SPREAD);
            let at = event.at + draw.span(&event.spread);
            let device = DeviceId(device);
            let changes = event.changes.iter();
            entries.extend(changes.filter_map(|change| {
                let change = of_device(*change, device, cohorts)?;
                Some(TimelineEntry { at, device, change })
            }));
        }
    }
    entries.sort_by_key(|entry| (entry.at, entry.device));
    entries
}

/// A change as it happens to one device: a clone is one of the device before it in its cohort, the
/// first of the last. `None` for the only device of a cohort, which is nobody's copy.
fn of_device(change: Change, device: DeviceId, cohorts: &[CohortPlan]) -> Option<Change> {
    if !matches!(change, Change::CloneOf(_)) {
        return Some(change);
    }
    let is_its = |it: &&CohortPlan| (it.first.0..it.first.0 + it.count).contains(&device.0);
    let cohort = cohorts.iter().find(is_its)?;
    let place = device.0 - cohort.first.0;
    let before = (place + cohort.count - 1) % cohort.count;
    (before != place).then(|| Change::CloneOf(DeviceId(cohort.first.0 + before)))
}

/// The devices an event happens to: of each cohort exactly its share, to the nearest device.
fn concerned(event: &Event, cohorts: &[CohortPlan], seed: Seed) -> Vec<u32> {
    if event.share >= 1.0 {
        return devices(cohorts, event.to).collect();
    }
    let meant = match event.to {
        Some(id) => std::slice::from_ref(&cohorts[usize::from(id.0)]),
        None => cohorts,
    };
    let mut concerned = Vec::new();
    for cohort in meant {
        let mut ranked: Vec<(f64, u32)> = (cohort.first.0..cohort.first.0 + cohort.count)
            .map(|device| {
                let number = u64::from(event.number);
                let mut draw = seed.draw(Purpose::Spread, u64::from(device), number, SHARE);
                (draw.unit(), device)
            })
            .collect();
        ranked.sort_by(|one, other| one.0.total_cmp(&other.0));
        let count = (event.share * f64::from(cohort.count)).round() as usize;
        concerned.extend(ranked.into_iter().take(count).map(|(_, device)| device));
    }
    concerned
}

/// Adds the orders that are placed again behind all others, and says which one each replaces. An
/// order that is placed again twice is replaced by its replacement's.
pub(super) fn reissue(
    scenario: &Scenario,
    cohorts: &[CohortPlan],
    seed: Seed,
    orders: &mut Vec<Order>,
) -> BTreeMap<OrderIndex, OrderIndex> {
    let mut reissues: Vec<&Reissue> = scenario.timeline.reissues.iter().collect();
    reissues.sort_by_key(|reissue| reissue.at);
    let mut replaces = BTreeMap::new();
    let mut replaced = BTreeSet::new();
    for reissue in reissues {
        let range = devices(cohorts, reissue.to);
        let matching: Vec<Order> = orders
            .iter()
            .filter(|order| {
                order.due() <= reissue.at
                    && range.contains(&order.channel.device.0)
                    && reissue.commands.contains(&order.command)
                    && !replaced.contains(&order.index)
            })
            .copied()
            .collect();
        for first in matching {
            let (subject, number) = (u64::from(first.index.0), u64::from(reissue.number));
            let mut draw = seed.draw(Purpose::Spread, subject, number, REISSUE);
            let index = orders::index(orders.len());
            orders.push(Order {
                due_us: orders::micros(reissue.at + draw.span(&reissue.spread)),
                index,
                ..first
            });
            replaces.insert(index, first.index);
            replaced.insert(first.index);
        }
    }
    replaces
}
