//! The names of what is measured, and the limits a scenario may put on them.

use serde::{Deserialize, Serialize};

/// A named slice of one command's life (design section 6). In the order of a command's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Due, not yet offered.
    Lateness,
    /// Offered, no push and no acceptance yet.
    Queue,
    /// Accepted, no push yet.
    Dispatch,
    /// Pushed, the device does not have it.
    Delivery,
    /// The device has it and is not yet connected.
    Wake,
    /// Waiting for our own socket permit, handshake slot, mailbox or timer.
    Harness,
    /// The channel's session is serving other commands.
    Line,
    /// The request whose answer is this command, sent until read.
    Fetch,
    /// Received until the answer is ready.
    Execute,
    /// NotNow sent until its reason is over.
    Deferral,
    /// Reason over until the device's own Idle, when NotNow was its last status.
    ReturnDevice,
    /// Otherwise, or from that Idle on, until offered again.
    ReturnTarget,
    /// Result undelivered until the next attempt.
    Retry,
    /// The request that carried the result, sent until its 2xx was read.
    Settle,
}

impl Phase {
    /// All phases in the order of a command's life.
    pub const ALL: [Self; 14] = [
        Self::Lateness,
        Self::Queue,
        Self::Dispatch,
        Self::Delivery,
        Self::Wake,
        Self::Harness,
        Self::Line,
        Self::Fetch,
        Self::Execute,
        Self::Deferral,
        Self::ReturnDevice,
        Self::ReturnTarget,
        Self::Retry,
        Self::Settle,
    ];

    /// The name in reports and scenarios.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lateness => "lateness",
            Self::Queue => "queue",
            Self::Dispatch => "dispatch",
            Self::Delivery => "delivery",
            Self::Wake => "wake",
            Self::Harness => "harness",
            Self::Line => "line",
            Self::Fetch => "fetch",
            Self::Execute => "execute",
            Self::Deferral => "deferral",
            Self::ReturnDevice => "return-device",
            Self::ReturnTarget => "return-target",
            Self::Retry => "retry",
            Self::Settle => "settle",
        }
    }
}

/// Who is responsible for a slice of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The server under test.
    Target,
    /// The simulated device, as its scenario says.
    Device,
    /// The connection between device and target.
    Network,
    /// The push service: a fault of the gateway that the scenario asked for.
    Apns,
    /// The one who orders, here our operator.
    Operator,
    /// mdmstorm itself.
    Harness,
}

impl Owner {
    /// All owners.
    pub const ALL: [Self; 6] = [
        Self::Target,
        Self::Device,
        Self::Network,
        Self::Apns,
        Self::Operator,
        Self::Harness,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Device => "device",
            Self::Network => "network",
            Self::Apns => "apns",
            Self::Operator => "operator",
            Self::Harness => "harness",
        }
    }
}

/// Something a threshold can look at. In the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// First push (headers read at the gateway) until settled.
    PushToCompletion,
    /// Last push until settled.
    LastPushToCompletion,
    /// The sum of a command's target-owned slices.
    ServerTime,
    /// The age of commands that are still open at the end.
    PendingAge,
    /// One phase.
    Phase(Phase),
    /// How long devices took to enrol, from setting out.
    Enrollment,
    /// Count of orders that completed.
    Completed,
    /// Count of orders that failed.
    Failed,
    /// Count of orders that the admin API rejected.
    Rejected,
    /// Count of orders still open at the end.
    Pending,
    /// Count of orders still open at the end whose wait the target owns.
    PendingTarget,
    /// Count of devices that gave up enrolling.
    EnrollmentFailed,
}

impl Metric {
    /// Whether it is a latency (compared with a duration) rather than a count.
    pub const fn is_latency(self) -> bool {
        match self {
            Self::PushToCompletion
            | Self::LastPushToCompletion
            | Self::ServerTime
            | Self::PendingAge
            | Self::Enrollment
            | Self::Phase(_) => true,
            Self::Completed
            | Self::Failed
            | Self::Rejected
            | Self::Pending
            | Self::PendingTarget
            | Self::EnrollmentFailed => false,
        }
    }

    /// Whether it is of devices rather than of commands, so that it has neither cohort nor stage.
    pub const fn is_of_enrollment(self) -> bool {
        matches!(self, Self::Enrollment | Self::EnrollmentFailed)
    }

    /// Every metric.
    pub fn all() -> impl Iterator<Item = Self> {
        let latencies = [
            Self::PushToCompletion,
            Self::LastPushToCompletion,
            Self::ServerTime,
            Self::PendingAge,
            Self::Enrollment,
        ];
        let counts = [
            Self::Completed,
            Self::Failed,
            Self::Rejected,
            Self::Pending,
            Self::PendingTarget,
            Self::EnrollmentFailed,
        ];
        latencies
            .into_iter()
            .chain(Phase::ALL.map(Self::Phase))
            .chain(counts)
    }

    /// The name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PushToCompletion => "push-to-completion",
            Self::LastPushToCompletion => "last-push-to-completion",
            Self::ServerTime => "server-time",
            Self::PendingAge => "pending-age",
            Self::Phase(phase) => phase.name(),
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Pending => "pending",
            Self::PendingTarget => "pending-owned-by-target",
            Self::Enrollment => "enrollment",
            Self::EnrollmentFailed => "enrollment-failed",
        }
    }
}

/// How a metric's samples become one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// A percentile, 0 to 100.
    Percentile(f64),
    /// The largest sample.
    Max,
    /// The mean.
    Mean,
    /// How many samples; for counts, the count itself.
    Count,
    /// A count as a share of the orders, 0 to 1.
    Share,
}

/// A bound on a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Must be below, in microseconds for latencies.
    Below(f64),
    /// Must be above.
    Above(f64),
    /// Must be at most.
    AtMost(f64),
    /// Must be at least.
    AtLeast(f64),
}

impl Limit {
    /// Whether `observed` keeps to it.
    pub fn holds(self, observed: f64) -> bool {
        match self {
            Self::Below(limit) => observed < limit,
            Self::Above(limit) => observed > limit,
            Self::AtMost(limit) => observed <= limit,
            Self::AtLeast(limit) => observed >= limit,
        }
    }
}

/// A condition a run must meet; when it does not, the run exits with 99.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// How the scenario wrote it, with its limit: `push-to-completion{cohort=carts} p99 < 30s`.
    pub expression: String,
    /// What is measured.
    pub metric: Metric,
    /// Only this cohort; `None` for all.
    pub cohort: Option<String>,
    /// Only this stage; `None` for all that are no warm-up.
    pub stage: Option<String>,
    /// How samples become one number.
    pub aggregate: Aggregate,
    /// The bound. Latencies are in microseconds.
    pub limit: Limit,
}
