//! Everything that can be observed in a run.
//!
//! A [`Fact`] is all that measuring and explaining ever see: ledger, phases, causes and report are
//! built from facts alone, so a report can be rebuilt from a recorded bundle. Facts are plain data;
//! whoever records one has already taken the times.

mod exchange;
mod identity;
mod no_entry;
mod push;
mod subject;
mod text;
mod view;

use serde::{Deserialize, Serialize};

use crate::condition::Conditions;
use crate::ids::{Channel, CommandUuid, DeviceId, OrderIndex, PushId};
use crate::time::SimTime;

pub use exchange::{Broken, Got, ResultStatus, Said, Stamps};
pub use identity::{IdentityStep, Obtaining, Refusal};
pub use no_entry::NoEntry;
pub use push::{Ignored, ServerPush, Unanswered};
pub use text::TEXT_MAX;
pub use view::ServerEvent;

/// Something observed, and when it was over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// When it was known. Stamps inside [`FactKind`] are never later than this.
    pub at: SimTime,
    /// What it was.
    #[serde(flatten)]
    pub kind: FactKind,
}

/// What was observed. Texts are at most about [`TEXT_MAX`] bytes once they are noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum FactKind {
    // ---- the crowd -----------------------------------------------------------------------
    /// A device finished enrolling: its first TokenUpdate was accepted. `since` is when it began.
    Enrolled {
        /// The device.
        device: DeviceId,
        /// When its first attempt began.
        since: SimTime,
    },
    /// A device gave up enrolling.
    EnrollmentFailed {
        /// The device.
        device: DeviceId,
        /// The last reason, as a lower-case fragment.
        reason: String,
    },
    /// One step towards a device's identity is over. What precedes Authenticate consists of these.
    IdentityStep {
        /// The device.
        device: DeviceId,
        /// Which step.
        step: IdentityStep,
        /// When it began: our own permits and places had been waited for.
        since: SimTime,
        /// When it was over; it is noted a little later.
        until: SimTime,
        /// Why it failed; `None` when it did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<Refusal>,
    },
    /// A device has an identity that the target has not seen it with before.
    IdentityObtained {
        /// The device.
        device: DeviceId,
        /// What it is for.
        why: Obtaining,
        /// When the device set out for it.
        since: SimTime,
    },
    /// A device goes on with what an earlier run enrolled it with.
    Resumed {
        /// The device.
        device: DeviceId,
    },
    /// Enrolment is over; stages and timeline count from here (design section 3, "time zero").
    TimeZero,
    /// What a device is in changed.
    Condition {
        /// The device.
        device: DeviceId,
        /// All that it is in.
        now: Conditions,
    },
    /// A device's clock was set, wrongly or right, or was wrong to begin with.
    Clock {
        /// The device.
        device: DeviceId,
        /// How far ahead of the right time it is, in milliseconds; negative when it is behind.
        ahead_ms: i64,
    },
    /// A device is not managed any more; it will not come back by itself.
    Unenrolled {
        /// The device.
        device: DeviceId,
        /// Why, as a lower-case fragment.
        why: String,
    },

    // ---- the operator --------------------------------------------------------------------
    /// An order became due and the operator took it up. Every order that counts has this fact.
    Ordered {
        /// The order.
        order: OrderIndex,
        /// When the plan wanted it.
        due: SimTime,
    },
    /// The first byte of an order's enqueue request was written at the fact's time.
    Offered {
        /// The order.
        order: OrderIndex,
    },
    /// The answer to the enqueue request was read: the target has the command.
    Accepted {
        /// The order.
        order: OrderIndex,
        /// What the target says about its own push.
        push: ServerPush,
    },
    /// The admin API said no: this order ends as `rejected`.
    Rejected {
        /// The order.
        order: OrderIndex,
        /// The HTTP status, 0 when the refusal came in another form.
        status: u16,
        /// What the target said.
        reason: String,
    },
    /// The enqueue request could not be delivered, or its answer was lost or unreadable. The order
    /// stays open; whether the target has the command is unknown.
    AcceptanceUnknown {
        /// The order.
        order: OrderIndex,
        /// What happened.
        why: Broken,
    },

    /// The operator gave an order up: it ends as `cancelled`.
    Cancelled {
        /// The order.
        order: OrderIndex,
        /// The order that was placed in its stead, if one was.
        instead: Option<OrderIndex>,
    },

    // ---- the target's own view -------------------------------------------------------------
    /// What the target says of a channel's queue. It was asked from `asked` to the fact's time.
    QueueSeen {
        /// The channel.
        channel: Channel,
        /// When the request was written.
        asked: SimTime,
        /// The commands it calls open.
        open: Vec<CommandUuid>,
        /// Whether `open` names refused commands too; MicroMDM leaves them out.
        names_refused: bool,
    },
    /// The target told of an event at the fact's time.
    EventReceived {
        /// The channel.
        channel: Channel,
        /// What happened, as it says.
        event: ServerEvent,
    },
    /// A request at the webhook's door was refused at the fact's time. It may have been an event.
    EventRefused {
        /// When it began to come in.
        since: SimTime,
        /// Why, as a lower-case fragment.
        why: String,
    },

    // ---- APNs ----------------------------------------------------------------------------
    /// A push's headers were read at `arrived`; the gateway answered at the fact's time.
    PushReceived {
        /// Its number.
        push: PushId,
        /// Whose token it carried; `None` when the token names nobody here.
        channel: Option<Channel>,
        /// When its headers were read.
        arrived: SimTime,
        /// The HTTP status the gateway answered with; 200 is accepted.
        status: u16,
        /// The reason of a refusal, as APNs spells it.
        reason: Option<String>,
    },
    /// The device cannot take the push now; it is kept as the channel's one stored push.
    PushStored {
        /// The push.
        push: PushId,
        /// The channel.
        channel: Channel,
    },
    /// A newer push took the stored one's place.
    PushCoalesced {
        /// The push that is gone.
        push: PushId,
        /// The one that stands for it.
        into: PushId,
        /// The channel.
        channel: Channel,
    },
    /// A stored push is gone undelivered: it expired, or was not to be stored.
    PushDiscarded {
        /// The push.
        push: PushId,
        /// The channel.
        channel: Channel,
    },
    /// The device has the push. It was planned for `due`; what passed since is the harness's.
    PushDelivered {
        /// The push.
        push: PushId,
        /// The channel.
        channel: Channel,
        /// When it should have reached the device.
        due: SimTime,
    },
    /// The push was answered with 200 and lost.
    PushLost {
        /// The push.
        push: PushId,
        /// The channel.
        channel: Channel,
    },
    /// The push was never answered, as the scenario asked, and is lost.
    PushUnanswered {
        /// Its number.
        push: PushId,
        /// Whose token it carried; `None` when the token names nobody here.
        channel: Option<Channel>,
        /// When its headers were read.
        arrived: SimTime,
        /// What happened to it instead.
        how: Unanswered,
    },
    /// The gateway cut a provider off: it spoke no HTTP/2, asked too much, or was too slow.
    ProviderCut {
        /// Why, as a lower-case fragment.
        why: String,
    },
    /// The gateway refused a provider's TLS handshake, its CONNECT, or its connection.
    ProviderRefused {
        /// Why.
        why: NoEntry,
    },
    /// The device has the push and ignores it.
    PushIgnored {
        /// The push.
        push: PushId,
        /// The channel.
        channel: Channel,
        /// Why.
        why: Ignored,
    },

    // ---- sessions ------------------------------------------------------------------------
    /// A device decided to connect. It was planned for `due`; what passed since is the harness's.
    Woke {
        /// The channel.
        channel: Channel,
        /// When it should have decided.
        due: SimTime,
        /// What made it.
        why: WakeReason,
    },
    /// One request of a device and what came back. The fact's time is when the device saw the
    /// answer; `stamps.read` is when it was off the network.
    Exchange {
        /// The channel.
        channel: Channel,
        /// What the device said.
        said: Said,
        /// When each step happened.
        stamps: Stamps,
        /// What came back.
        got: Got,
    },
    /// A command's answer is ready. It was planned for `due`.
    Executed {
        /// The channel.
        channel: Channel,
        /// The command.
        uuid: CommandUuid,
        /// When it should have been ready.
        due: SimTime,
        /// Why it failed; `None` when it did not, or without an error chain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ErrorEnds>,
    },
    /// The device refuses a command with NotNow. A refusal for the same reason is noted each time.
    Refused {
        /// The channel.
        channel: Channel,
        /// The refused command.
        uuid: CommandUuid,
        /// Why: the name of a condition or of a scenario's rule.
        why: String,
    },
    /// The reason for a NotNow is over: the device would now execute the command.
    DeferralEnded {
        /// The channel.
        channel: Channel,
        /// The refused command.
        uuid: CommandUuid,
        /// When it should have ended.
        due: SimTime,
        /// Whether the device polls by itself: only if NotNow was the last status it sent.
        polls: bool,
    },
    /// The session is over: an empty answer, or a connection given up.
    SessionEnded {
        /// The channel.
        channel: Channel,
    },
    /// A server did what no rule allows, or sent what cannot be read. The device goes on.
    Violation {
        /// The channel.
        channel: Channel,
        /// What was wrong, as a lower-case fragment.
        what: String,
    },
}

/// The two ends of an error chain: what failed, and why in the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ErrorEnds {
    /// The top-level error, which comes first.
    pub top: ErrorCode,
    /// The deepest error, which comes last; `None` when the chain has only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deepest: Option<ErrorCode>,
}

/// An error by what identifies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ErrorCode {
    /// `ErrorDomain`, for example `MCMDMErrorDomain`.
    pub domain: String,
    /// `ErrorCode`.
    pub code: i64,
}

/// What made a device connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WakeReason {
    /// It enrols.
    Enroll,
    /// A push.
    Push,
    /// NotNow was the last status it sent, and the reason for it is over.
    NotNowOver,
    /// A request failed earlier; this is the next attempt.
    Retry,
    /// It came back to the network with something unsent, or polls whenever it does.
    NetworkReturn,
    /// It has booted.
    Boot,
    /// It was unlocked.
    Unlock,
    /// Its management agent runs again after it had been stopped or held back.
    AgentReturn,
    /// Its token or enrolment changed.
    CheckIn,
}
