//! What a fact is about: a device, a channel or an order, where there is one.

use super::FactKind;
use crate::ids::{Channel, DeviceId, OrderIndex};

/// The device or channel that a fact is about.
enum Subject {
    Device(DeviceId),
    Channel(Channel),
    /// An order, a push of nobody, or the run itself.
    Elsewhere,
}

impl FactKind {
    /// The device it is about; `None` for orders, pushes of nobody and the run itself.
    pub const fn device(&self) -> Option<DeviceId> {
        match self.subject() {
            Subject::Device(device) => Some(device),
            Subject::Channel(channel) => Some(channel.device),
            Subject::Elsewhere => None,
        }
    }

    /// The channel it is about; `None` for what is about a whole device, an order, a push of nobody,
    /// or the run itself.
    pub const fn channel(&self) -> Option<Channel> {
        match self.subject() {
            Subject::Channel(channel) => Some(channel),
            Subject::Device(_) | Subject::Elsewhere => None,
        }
    }

    const fn subject(&self) -> Subject {
        match self {
            Self::Enrolled { device, .. }
            | Self::EnrollmentFailed { device, .. }
            | Self::IdentityStep { device, .. }
            | Self::IdentityObtained { device, .. }
            | Self::Resumed { device }
            | Self::Condition { device, .. }
            | Self::Clock { device, .. }
            | Self::Unenrolled { device, .. } => Subject::Device(*device),
            Self::PushReceived { channel, .. } | Self::PushUnanswered { channel, .. } => {
                match channel {
                    Some(channel) => Subject::Channel(*channel),
                    None => Subject::Elsewhere,
                }
            }
            Self::PushStored { channel, .. }
            | Self::PushCoalesced { channel, .. }
            | Self::PushDiscarded { channel, .. }
            | Self::PushDelivered { channel, .. }
            | Self::PushLost { channel, .. }
            | Self::PushIgnored { channel, .. }
            | Self::Woke { channel, .. }
            | Self::Exchange { channel, .. }
            | Self::Executed { channel, .. }
            | Self::Refused { channel, .. }
            | Self::DeferralEnded { channel, .. }
            | Self::SessionEnded { channel }
            | Self::QueueSeen { channel, .. }
            | Self::EventReceived { channel, .. }
            | Self::Violation { channel, .. } => Subject::Channel(*channel),
            Self::TimeZero
            | Self::EventRefused { .. }
            | Self::Ordered { .. }
            | Self::Offered { .. }
            | Self::Accepted { .. }
            | Self::Rejected { .. }
            | Self::AcceptanceUnknown { .. }
            | Self::Cancelled { .. }
            | Self::ProviderCut { .. }
            | Self::ProviderRefused { .. } => Subject::Elsewhere,
        }
    }

    /// The order that the operator did something with.
    pub const fn order(&self) -> Option<OrderIndex> {
        if let Self::Ordered { order, .. }
        | Self::Offered { order }
        | Self::Accepted { order, .. }
        | Self::Rejected { order, .. }
        | Self::AcceptanceUnknown { order, .. }
        | Self::Cancelled { order, .. } = self
        {
            Some(*order)
        } else {
            None
        }
    }
}
