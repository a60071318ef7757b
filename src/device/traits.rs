//! What the devices of a cohort share: plain data, resolved from the scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::seed::Dist;

/// Everything a device takes from its cohort.
#[derive(Clone, Debug, PartialEq)]
pub struct Traits {
    /// The cohort's name.
    pub cohort: String,
    /// Kind of device.
    pub platform: Platform,
    /// Hardware identifier, `iPad14,1`: ProductName in messages.
    pub product: String,
    /// Marketing name of the model, `iPad mini (6th generation)`: ModelName.
    pub model_name: String,
    /// `18.1`.
    pub os_version: String,
    /// `22B83`.
    pub build: String,
    /// Whether the device is supervised.
    pub supervised: bool,
    /// From the gateway's acceptance until the device has the push, while it is reachable. Not
    /// scaled.
    pub push_latency: Dist,
    /// From its return until a stored push is delivered. Not scaled.
    pub stored_push_delay: Dist,
    /// From having the push until the device connects. Not scaled.
    pub wake_delay: Dist,
    /// How long it takes to execute a command. Not scaled.
    pub reply: ReplyTimes,
    /// Sleep; `None` for a device that is always awake.
    pub sleep: Option<Alternation>,
    /// Absence from the network; `None` for a device that is always online.
    pub offline: Option<Alternation>,
    /// When it answers NotNow: the first rule that matches a command throws the die.
    pub not_now: Vec<NotNowRule>,
    /// How long it waits after a failed request. Scaled.
    pub back_off: BackOff,
}

/// Kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// iPadOS.
    Ipad,
    /// iOS.
    Iphone,
    /// macOS.
    Mac,
    /// tvOS.
    AppleTv,
}

/// How long commands take on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplyTimes {
    /// For a request type without an entry of its own.
    pub usual: Dist,
    /// By request type.
    pub by_request: BTreeMap<String, Dist>,
}

/// A device that is in turns in a state and out of it. Scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternation {
    /// How long it stays in.
    pub inside: Dist,
    /// How long it stays out.
    pub outside: Dist,
    /// The share of devices that begin inside, 0 to 1.
    pub begins_inside: f64,
}

/// A reason to answer NotNow.
#[derive(Clone, Debug, PartialEq)]
pub struct NotNowRule {
    /// Request types it is about; empty for all that may be answered so on this platform.
    pub requests: Vec<String>,
    /// How likely, each time the command is offered anew, 0 to 1.
    pub probability: f64,
    /// How long the reason lasts. Scaled.
    pub lasts: Dist,
}

/// Waiting after a failed request: full jitter over an exponentially growing ceiling.
#[derive(Clone, Debug, PartialEq)]
pub struct BackOff {
    /// The first ceiling.
    pub initial: Duration,
    /// The largest ceiling.
    pub max: Duration,
}
