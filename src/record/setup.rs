//! What a ledger has to know before the run: whose commands it will count.

use crate::ids::{Channel, CohortId, OrderBook};

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
