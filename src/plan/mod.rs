//! What will happen: every order with its device and time, drawn from the seed.
//!
//! A plan is made of a scenario and a seed alone, cannot fail, and does not depend on the machine,
//! the number of workers or `time-scale`. Main type: [`Plan`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::apns::fault::FaultRule;
use crate::device::contract::Change;
use crate::device::traits::Traits;
use crate::ids::{Channel, CohortId, DeviceId, OrderIndex};
use crate::scenario::commands::request_type;
use crate::scenario::{PushFault, Scenario};
use crate::seed::Seed;

mod hash;
mod lines;
mod note;
mod orders;
mod push;
mod show;
mod split;
mod timeline;
mod trouble;

pub use crate::scenario::{Deed as Event, Happening};
pub use lines::Lines;
pub use push::PushPlan;
pub use show::Shown;
pub use split::Part;
pub use trouble::Trouble;

/// What will happen.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// The seed it was drawn from.
    pub seed: Seed,
    /// How much faster than real time device life runs.
    pub time_scale: f64,
    /// The time of the week at time zero, since Monday 00:00, in scenario time.
    pub starts: Duration,
    /// Groups of devices, in the order of their ids.
    pub cohorts: Vec<CohortPlan>,
    /// What is ordered.
    pub commands: Vec<CommandPlan>,
    /// Stretches of work, one after another from time zero.
    pub stages: Vec<StagePlan>,
    /// The orders, by index: those of the stages by due time, behind them those of
    /// [`Plan::reissues`]. [`Plan::by_due`] has them all by due time.
    pub orders: Vec<Order>,
    /// The timeline's changes, by time, then device.
    pub timeline: Vec<TimelineEntry>,
    /// How the push service is from the beginning, and what goes wrong with pushes.
    pub push: PushPlan,
    /// What happens to pushes and what the operator does at set times, by time.
    pub happenings: Vec<Happening>,
    /// Orders that are placed only if an earlier one is still open when they are due, which is
    /// cancelled then: the later one, and the earlier one.
    pub reissues: BTreeMap<OrderIndex, OrderIndex>,
    /// Which part of the crowd this plan is about.
    pub part: Part,
    hash: String,
}

/// A group of devices that share their traits.
#[derive(Clone, Debug)]
pub struct CohortPlan {
    /// Its name.
    pub name: String,
    /// What its devices share.
    pub traits: Arc<Traits>,
    /// Its first device; the others follow.
    pub first: DeviceId,
    /// How many devices.
    pub count: u32,
}

/// A command that is ordered.
#[derive(Clone, Debug)]
pub struct CommandPlan {
    /// Its request type.
    pub request_type: String,
    /// The whole command, `RequestType` included.
    pub dictionary: plist::Dictionary,
    /// The stage it belongs to, an index.
    pub stage: u16,
    /// The cohort it goes to; `None` for all devices.
    pub to: Option<CohortId>,
    /// Whether a device's next order of it waits until the last one settled.
    pub serial: bool,
}

/// A stretch of work, in scenario time from time zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// Whether thresholds leave it out.
    pub warm_up: bool,
    /// When it begins.
    pub from: Duration,
    /// When it ends.
    pub to: Duration,
}

/// One command for one channel. Small, because there may be millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    due_us: u64,
    /// The channel it is for.
    pub channel: Channel,
    /// Its number in the whole plan: what its CommandUUID is made of.
    pub index: OrderIndex,
    /// Which of the plan's commands, an index.
    pub command: u16,
}

impl Order {
    /// When it is due, in scenario time from time zero.
    pub const fn due(&self) -> Duration {
        Duration::from_micros(self.due_us)
    }
}

/// A change of one device's condition at a set time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimelineEntry {
    /// When, in scenario time from time zero.
    pub at: Duration,
    /// The device.
    pub device: DeviceId,
    /// What happens to it.
    pub change: Change,
}

/// What a plan asks of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Needs {
    /// Devices.
    pub devices: u32,
    /// Orders in all.
    pub orders: u32,
    /// The most orders due in any one second of real time: each wakes a device, so this is the peak
    /// rate of handshakes too.
    pub peak_orders_per_second: u32,
    /// Length of the stages in real time.
    pub real_length: Duration,
}

impl Plan {
    /// The plan of `scenario`. `commands` are its commands in order, as
    /// [`crate::scenario::commands::build`] makes them.
    pub fn new(scenario: &Scenario, commands: Vec<plist::Dictionary>, seed: Seed) -> Self {
        assert_eq!(
            scenario.commands().count(),
            commands.len(),
            "each command of the scenario is built once"
        );
        let cohorts = cohorts(scenario);
        let commands = command_plans(scenario, commands);
        let mut orders = orders::draw(scenario, &cohorts, seed);
        let reissues = timeline::reissue(scenario, &cohorts, seed, &mut orders);
        let timeline = timeline::changes(scenario, &cohorts, seed);
        let mut happenings = scenario.timeline.happenings.clone();
        happenings.sort_by_key(|happening| happening.at);
        let mut plan = Self {
            name: scenario.name.clone(),
            seed,
            time_scale: scenario.time_scale,
            starts: scenario.starts,
            cohorts,
            commands,
            stages: stages(scenario),
            orders,
            timeline,
            push: PushPlan::new(scenario),
            happenings,
            reissues,
            part: Part::WHOLE,
            hash: String::new(),
        };
        plan.hash = hash::of(&plan, hash::Contents::Whole);
        plan
    }

    /// The number of devices of the whole crowd.
    pub fn devices(&self) -> u32 {
        self.cohorts.iter().map(|cohort| cohort.count).sum()
    }

    /// The cohort a device belongs to.
    pub fn cohort_of(&self, device: DeviceId) -> CohortId {
        let after = self
            .cohorts
            .partition_point(|cohort| cohort.first <= device);
        let index = after.saturating_sub(1);
        CohortId(u16::try_from(index).expect("a scenario has fewer cohorts than 65,536"))
    }

    /// The devices of a cohort; `None` for all.
    pub fn range(&self, of: Option<CohortId>) -> Option<Range<DeviceId>> {
        let cohort = &self.cohorts[usize::from(of?.0)];
        Some(cohort.first..DeviceId(cohort.first.0 + cohort.count))
    }

    /// A fault of pushes with the devices it is about.
    pub fn fault_rule(&self, fault: &PushFault) -> FaultRule {
        FaultRule {
            of: self.range(fault.of),
            strikes: fault.strikes,
            fault: fault.fault.clone(),
        }
    }

    /// How long the stages take, in scenario time.
    pub fn length(&self) -> Duration {
        self.stages.last().map_or(Duration::ZERO, |stage| stage.to)
    }

    /// `span` of scenario time in real time.
    pub fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.time_scale)
    }

    /// 64 hexadecimal digits over traits, orders, pushes, timeline, seed and version; the first 16 are
    /// enough for names. A part of a plan has the hash of the whole.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The same without what is in the commands but their request types: what a plan that is made again
    /// without the files of its commands has in common with this one.
    pub fn outline(&self) -> String {
        hash::of(self, hash::Contents::RequestTypes)
    }

    /// How many orders are placed at least: one that replaces another is placed only if that other
    /// is still open.
    pub fn orders_certain(&self) -> usize {
        self.orders.len() - self.reissues.len()
    }

    /// All orders by due time; at one time by index.
    pub fn by_due(&self) -> Vec<&Order> {
        let mut orders: Vec<&Order> = self.orders.iter().collect();
        // Those of the stages are sorted already: this is one pass unless something is reissued.
        orders.sort_by_key(|order| (order.due_us, order.index));
        orders
    }

    /// What it asks of the machine.
    pub fn needs(&self) -> Needs {
        let mut peak = 0;
        let (mut second, mut count) = (u64::MAX, 0_u32);
        for order in self.by_due() {
            let at = self.real(order.due()).as_secs();
            if at != second {
                (second, count) = (at, 0);
            }
            count += 1;
            peak = peak.max(count);
        }
        Needs {
            devices: self.devices(),
            orders: u32::try_from(self.orders.len()).unwrap_or(u32::MAX),
            peak_orders_per_second: peak,
            real_length: self.real(self.length()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self).fmt(f)
    }
}

fn cohorts(scenario: &Scenario) -> Vec<CohortPlan> {
    let mut first = 0;
    let mut cohorts = Vec::with_capacity(scenario.cohorts.len());
    for cohort in &scenario.cohorts {
        cohorts.push(CohortPlan {
            name: cohort.name.clone(),
            traits: Arc::new(cohort.traits.clone()),
            first: DeviceId(first),
            count: cohort.count,
        });
        first += cohort.count;
    }
    cohorts
}

fn command_plans(scenario: &Scenario, built: Vec<plist::Dictionary>) -> Vec<CommandPlan> {
    let stages = scenario.stages.iter().enumerate();
    let commands = stages.flat_map(|(stage, spec)| spec.commands.iter().map(move |c| (stage, c)));
    commands
        .zip(built)
        .map(|((stage, command), dictionary)| CommandPlan {
            request_type: request_type(&dictionary).to_owned(),
            dictionary,
            stage: u16::try_from(stage).expect("a scenario has fewer stages than 65,536"),
            to: command.to,
            serial: command.serial,
        })
        .collect()
}

fn stages(scenario: &Scenario) -> Vec<StagePlan> {
    let mut from = Duration::ZERO;
    let mut stages = Vec::with_capacity(scenario.stages.len());
    for stage in &scenario.stages {
        let to = from + stage.duration;
        stages.push(StagePlan {
            name: stage.name.clone(),
            warm_up: stage.warm_up,
            from,
            to,
        });
        from = to;
    }
    stages
}

/// The devices of a cohort, or all.
fn devices(cohorts: &[CohortPlan], of: Option<CohortId>) -> Range<u32> {
    match of {
        Some(id) => {
            let cohort = &cohorts[usize::from(id.0)];
            cohort.first.0..cohort.first.0 + cohort.count
        }
        None => 0..cohorts.iter().map(|cohort| cohort.count).sum(),
    }
}
