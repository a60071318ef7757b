//! What the devices of a cohort share: plain data, resolved from the scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::condition::Condition;
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
    /// Whether a passcode is set: without one nothing is ever locked.
    pub passcode: bool,
    /// How many users have a channel of their own: of a Mac, or of a Shared iPad.
    pub users: u8,
    /// Whether a Mac's users are network users, who prove who they are by UserAuthenticate.
    pub network_users: bool,
    /// From the gateway's acceptance until the device has the push, while it is reachable. Not
    /// scaled.
    pub push_latency: Dist,
    /// From its return until a stored push is delivered. Not scaled.
    pub stored_push_delay: Dist,
    /// From having the push until the device connects. Not scaled.
    pub wake_delay: Dist,
    /// From the end of a reason for NotNow until the device polls. Not scaled.
    pub poll_delay: Dist,
    /// How long it takes to execute a command. Not scaled.
    pub reply: ReplyTimes,
    /// Conditions that come and go by themselves, each at most once.
    pub rhythms: Vec<Rhythm>,
    /// Conditions that some devices are in from the beginning, until an event ends them.
    pub begins: Vec<Begins>,
    /// What a push takes longer to reach a sleeping device; `None` when pushes wait until it wakes.
    /// Not scaled.
    pub woken_by_push: Option<Dist>,
    /// Whether it is off the network until it is unlocked for the first time after a boot, as one is
    /// whose Wi-Fi password is in a keychain that is locked until then.
    pub offline_before_first_unlock: bool,
    /// How long a restart takes. Scaled.
    pub boot: Dist,
    /// What it does when a server wants a newer system before it enrols.
    pub update: Update,
    /// When it polls by itself, beside NotNow.
    pub poll_on: PollOn,
    /// Its way to the push service.
    pub push_link: PushLink,
    /// Its way to the server.
    pub link: Link,
    /// What it believes the time is.
    pub clock: ClockTraits,
    /// Seconds its local time is ahead of that of the scenario.
    pub utc_offset_seconds: i32,
    /// When it answers NotNow beside what its condition asks: the first rule that matches throws
    /// the die.
    pub not_now: Vec<NotNowRule>,
    /// When a command fails: the first rule that matches throws the die.
    pub failures: Vec<FailureRule>,
    /// When it breaks the protocol: the first rule that matches throws the die.
    pub misbehaves: Vec<MisbehaviourRule>,
    /// How long it waits after a failed request. Scaled.
    pub back_off: BackOff,
}

impl Traits {
    /// A supervised device of `platform` that is always awake, online and unlocked, whose clock is
    /// right and that takes no time for anything. What a cohort says is laid over this.
    pub fn prompt(cohort: &str, platform: Platform) -> Self {
        let (product, model_name, os_version, build) = match platform {
            Platform::Ipad => ("iPad14,1", "iPad mini (6th generation)", "18.1", "22B83"),
            Platform::Iphone => ("iPhone15,4", "iPhone 15", "18.1", "22B83"),
            Platform::Mac => ("Mac14,2", "MacBook Air", "15.1", "24B83"),
            Platform::AppleTv => ("AppleTV14,1", "Apple TV 4K", "18.1", "22J580"),
        };
        Self {
            cohort: cohort.to_owned(),
            platform,
            product: product.to_owned(),
            model_name: model_name.to_owned(),
            os_version: os_version.to_owned(),
            build: build.to_owned(),
            supervised: true,
            passcode: false,
            users: 0,
            network_users: false,
            push_latency: Dist::ZERO,
            stored_push_delay: Dist::ZERO,
            wake_delay: Dist::ZERO,
            poll_delay: Dist::ZERO,
            reply: ReplyTimes {
                usual: Dist::ZERO,
                by_request: BTreeMap::new(),
            },
            rhythms: Vec::new(),
            begins: Vec::new(),
            woken_by_push: None,
            offline_before_first_unlock: false,
            boot: Dist::ZERO,
            update: Update {
                takes: Dist::ZERO,
                latest: "26.1".to_owned(),
                builds: BTreeMap::new(),
            },
            poll_on: PollOn {
                boot: false,
                unlock: false,
                network_return: false,
            },
            push_link: PushLink {
                fallback_443: false,
                nat: None,
            },
            link: Link {
                latency: Dist::ZERO,
                loss: 0.0,
                cut_before: 0.0,
                cut_after: 0.0,
                slow_read: Dist::ZERO,
            },
            clock: ClockTraits {
                share: 0.0,
                from: ClockFrom::TimeZero,
                offset_us: 0,
                drift_ppm: 0.0,
                resync: None,
                flat_battery: false,
                tls_tolerance: None,
            },
            utc_offset_seconds: 0,
            not_now: Vec::new(),
            failures: Vec::new(),
            misbehaves: Vec::new(),
            back_off: BackOff {
                initial: Duration::from_secs(10),
                max: Duration::from_secs(60),
            },
        }
    }

    /// `BuildVersion` of a device that runs this version; `None` for one that it was updated to and
    /// whose build is not known.
    pub fn build_of(&self, os_version: &str) -> Option<&str> {
        if os_version == self.os_version {
            return Some(&self.build);
        }
        self.update.builds.get(os_version).map(String::as_str)
    }
}

impl Rhythm {
    /// A condition that comes and goes by turns.
    pub const fn by_turns(
        condition: Condition,
        inside: Dist,
        outside: Dist,
        begins_inside: f64,
    ) -> Self {
        let shape = Shape::Alternates {
            inside,
            outside,
            begins_inside,
        };
        Self { condition, shape }
    }
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

/// A condition that comes and goes. Scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Rhythm {
    /// Which.
    pub condition: Condition,
    /// When.
    pub shape: Shape,
}

/// When a condition comes and goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// In turns, each stretch drawn anew.
    Alternates {
        /// How long it holds.
        inside: Dist,
        /// How long it does not.
        outside: Dist,
        /// The share of devices that begin in it, 0 to 1.
        begins_inside: f64,
    },
    /// At times of the day, in the device's local time.
    Daily {
        /// The windows in which it holds.
        windows: Vec<Window>,
        /// The days on which a window may begin, Monday first.
        days: [bool; 7],
        /// How much later than a window's edge each device changes, drawn anew each time.
        spread: Dist,
    },
}

/// A stretch of a day; one that ends before it begins goes past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Since midnight, below 24 h.
    pub from: Duration,
    /// Since midnight, at most 24 h.
    pub to: Duration,
}

/// A condition that a share of devices is in from time zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Begins {
    /// Which.
    pub condition: Condition,
    /// Which share, 0 to 1.
    pub share: f64,
}

/// How a device updates its system.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// How long it is off for it. Scaled.
    pub takes: Dist,
    /// `OSVersion` afterwards, when the server names none.
    pub latest: String,
    /// `BuildVersion` by `OSVersion`, as far as they are known.
    pub builds: BTreeMap<String, String>,
}

/// When a device polls by itself (design section 5, `poll-on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollOn {
    /// After a restart.
    pub boot: bool,
    /// When it is unlocked.
    pub unlock: bool,
    /// When it comes back to the network.
    pub network_return: bool,
}

/// A device's way to the push service.
#[derive(Clone, Debug, PartialEq)]
pub struct PushLink {
    /// Whether it falls back to TCP 443 where 5223 is blocked.
    pub fallback_443: bool,
    /// What a NAT on the way does; `None` for none that forgets.
    pub nat: Option<Nat>,
}

/// A NAT that forgets connections. Scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Nat {
    /// How long after the last packet it forgets.
    pub timeout: Duration,
    /// How long after the last packet the device sends one, and finds out.
    pub keep_alive: Dist,
}

/// A device's way to the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Added to each request, on its way and back together. Not scaled.
    pub latency: Dist,
    /// The share of requests that get no answer within the timeout, 0 to 1.
    pub loss: f64,
    /// The share whose connection is cut before the server has them, 0 to 1.
    pub cut_before: f64,
    /// The share whose connection is cut after the server has answered, 0 to 1.
    pub cut_after: f64,
    /// How much longer the device takes to read an answer. Not scaled.
    pub slow_read: Dist,
}

impl Link {
    /// Whether the network does nothing to a request, so that no die need be thrown.
    pub fn is_calm(&self) -> bool {
        let shares = self.loss + self.cut_before + self.cut_after;
        shares == 0.0 && self.latency == Dist::ZERO && self.slow_read == Dist::ZERO
    }
}

/// What a device believes the time is.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockTraits {
    /// The share of devices whose clock is wrong, 0 to 1.
    pub share: f64,
    /// Since when it is wrong.
    pub from: ClockFrom,
    /// How far ahead it is, in microseconds of scenario time; negative when it is behind.
    pub offset_us: i64,
    /// How fast it runs away, in millionths of scenario time.
    pub drift_ppm: f64,
    /// How often it is set right; `None` for never. Scaled.
    pub resync: Option<Dist>,
    /// Whether it begins at [`ClockTraits::RESET_TO_SECONDS`] after the device was off.
    pub flat_battery: bool,
    /// How wrong it may be before the device refuses TLS whatever the certificates say; `None` for
    /// no such limit (docs/scenarios.md, "Clocks").
    pub tls_tolerance: Option<Duration>,
}

/// Since when a clock is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockFrom {
    /// It is right while the device enrols, and wrong from time zero.
    #[default]
    TimeZero,
    /// From the beginning of the run.
    Enrollment,
}

impl ClockFrom {
    /// As a scenario says it.
    pub const NAMES: [&str; 2] = ["time-zero", "enrollment"];
}

impl ClockTraits {
    /// Where a clock begins that lost its battery: 1 January 2000, in seconds since 1970.
    pub const RESET_TO_SECONDS: i64 = 946_684_800;
}

/// Which commands a rule is about, and how likely it applies.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleScope {
    /// The number by which an event ends it; unique among all rules of the cohort, below 32.
    pub number: u8,
    /// Its name, for events and facts; empty when it has none.
    pub name: String,
    /// Request types it is about; empty for all it can be about.
    pub requests: Vec<String>,
    /// How likely, each time the command is offered anew, 0 to 1.
    pub probability: f64,
}

/// A reason to answer NotNow.
#[derive(Clone, Debug, PartialEq)]
pub struct NotNowRule {
    /// What it is about.
    pub scope: RuleScope,
    /// How long the reason lasts; `None` until an event ends the rule. Scaled.
    pub lasts: Option<Dist>,
}

/// A reason for a command to fail.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureRule {
    /// What it is about.
    pub scope: RuleScope,
    /// `ErrorDomain`.
    pub domain: String,
    /// `ErrorCode`.
    pub code: i64,
    /// `LocalizedDescription`.
    pub description: String,
}

/// A way to break the protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct MisbehaviourRule {
    /// What it is about.
    pub scope: RuleScope,
    /// What the device does instead of answering properly.
    pub does: Misbehaviour,
}

/// What a device does that breaks the protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Misbehaviour {
    /// Sends the result a second time.
    Duplicate,
    /// Sends a result for a command nobody sent, then the right one.
    UnknownCommand,
    /// Sends the result this much later, on a connection of its own. Scaled.
    Late(Dist),
    /// Sends no result at all, and ends the session.
    Never,
    /// Sends half of the result's body.
    Truncated,
    /// Sends the result with values of the wrong types.
    WrongTypes,
    /// Sends the result and drops the connection before the answer.
    Drops,
}

/// Waiting after a failed request: full jitter over an exponentially growing ceiling.
#[derive(Clone, Debug, PartialEq)]
pub struct BackOff {
    /// The first ceiling.
    pub initial: Duration,
    /// The largest ceiling.
    pub max: Duration,
}
