//! What a ledger has to know before the run: whose commands it will count.

use crate::ids::{Channel, CohortId, OrderBook};
use crate::plan::{Order, Plan, Trouble};

/// What a ledger has to know before the run.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The cohorts in the order of the scenario. Devices are numbered through them: the first
    /// cohort has the first devices.
    pub cohorts: Vec<CohortInfo>,
    /// The stages in the order of the scenario.
    pub stages: Vec<StageInfo>,
    /// The request types orders name, by index.
    pub requests: Vec<String>,
    /// Every order of the plan, by its index.
    pub orders: Vec<OrderInfo>,
    /// Which CommandUUID belongs to which order.
    pub book: OrderBook,
    /// Who orders.
    pub orderer: Orderer,
    /// What goes wrong on purpose.
    pub trouble: Trouble,
}

impl Setup {
    /// What a ledger has to know of a plan; `is_observer` when somebody else orders.
    pub fn of_plan(plan: &Plan, book: OrderBook, is_observer: bool) -> Self {
        let mut requests: Vec<String> = Vec::new();
        let by_command: Vec<u16> = plan
            .commands
            .iter()
            .map(|command| {
                let known = requests
                    .iter()
                    .position(|name| *name == command.request_type);
                let index = known.unwrap_or_else(|| {
                    requests.push(command.request_type.clone());
                    requests.len() - 1
                });
                index as u16
            })
            .collect();
        let order = |order: &Order| {
            let command = &plan.commands[usize::from(order.command)];
            OrderInfo {
                channel: order.channel,
                cohort: plan.cohort_of(order.channel.device),
                stage: command.stage,
                request: by_command[usize::from(order.command)],
                serial: command.serial,
            }
        };
        let cohorts = plan.cohorts.iter();
        let stages = plan.stages.iter();
        Self {
            cohorts: cohorts
                .map(|cohort| CohortInfo {
                    name: cohort.name.clone(),
                    devices: cohort.count,
                })
                .collect(),
            stages: stages
                .map(|stage| StageInfo {
                    name: stage.name.clone(),
                    warm_up: stage.warm_up,
                })
                .collect(),
            orders: plan.orders.iter().map(order).collect(),
            requests,
            book,
            orderer: if is_observer {
                Orderer::Elsewhere
            } else {
                Orderer::Operator
            },
            trouble: Trouble::of_plan(plan),
        }
    }
}

/// Who orders the commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orderer {
    /// Our operator: every command has an order.
    #[default]
    Operator,
    /// Somebody else (observe): a command is born when a device first receives it.
    Elsewhere,
}

/// One cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortInfo {
    /// Its name.
    pub name: String,
    /// How many devices it has.
    pub devices: u32,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageInfo {
    /// Its name.
    pub name: String,
    /// Whether thresholds leave it out.
    pub warm_up: bool,
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderInfo {
    /// The channel it is for.
    pub channel: Channel,
    /// The cohort of its device.
    pub cohort: CohortId,
    /// Its stage's index.
    pub stage: u16,
    /// Its request type's index in [`Setup::requests`].
    pub request: u16,
    /// Whether it waits for its device's previous order; such a wait is no lateness of ours.
    pub serial: bool,
}
