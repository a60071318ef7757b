//! The lines of a transcript: what a device sends, and what is observed of it.

use mdmstorm::device::contract::Request;
use mdmstorm::fact::{FactKind, Got, ResultStatus, Said};
use mdmstorm::ids::{Channel, CommandUuid, OrderBook};
use mdmstorm::protocol::status_report::StatusReport;

/// Tells the commands of the story's orders apart.
pub(crate) struct Words(pub(crate) OrderBook);

/// Whose line it is, where it is not the device's own.
pub(crate) fn of(channel: Channel) -> String {
    match channel.user {
        0 => String::new(),
        user => format!("user {user} "),
    }
}

pub(crate) fn channel_of(fact: &FactKind) -> Option<Channel> {
    let json = serde_json::to_value(fact).unwrap();
    serde_json::from_value(json.get("channel")?.clone()).ok()
}

impl Words {
    /// A request as it goes out.
    pub(crate) fn request(&self, request: &Request) -> String {
        let said = match &request.said {
            Said::Authenticate => return "Authenticate".into(),
            Said::TokenUpdate => return "TokenUpdate".into(),
            Said::CheckOut => return "CheckOut".into(),
            Said::UserAuthenticate => return "UserAuthenticate".into(),
            Said::SetBootstrapToken => return "SetBootstrapToken".into(),
            Said::GetBootstrapToken => return "GetBootstrapToken".into(),
            Said::GetToken => return "GetToken".into(),
            Said::ReturnToService => return "ReturnToService".into(),
            Said::DeclarativeManagement { endpoint } => {
                return format!("DeclarativeManagement {endpoint}");
            }
            Said::Idle => "Idle".into(),
            Said::Result { uuid, status } => self.result(uuid.as_ref(), *status),
        };
        let Ok(report) = StatusReport::decode(&request.body) else {
            return said + " garbled";
        };
        let codes = report
            .error_chain
            .iter()
            .map(|it| format!(" {} {}", it.domain, it.code));
        said + &codes.collect::<String>()
    }

    fn result(&self, uuid: Option<&CommandUuid>, status: ResultStatus) -> String {
        format!(
            "{status:?} {}",
            uuid.map_or_else(|| "-".into(), |uuid| self.order(uuid))
        )
    }

    fn order(&self, uuid: &CommandUuid) -> String {
        self.0
            .order(uuid)
            .map_or_else(|| "?".into(), |order| format!("#{}", order.0))
    }

    /// What was observed.
    pub(crate) fn fact(&self, fact: &FactKind) -> String {
        match fact {
            FactKind::Enrolled { since, .. } => format!("enrolled, begun at {since}"),
            FactKind::EnrollmentFailed { reason, .. } => format!("gives up enrolling: {reason}"),
            FactKind::IdentityObtained { why, .. } => format!("has an identity: {why:?}"),
            FactKind::IdentityStep { step, .. } => format!("step {step:?}"),
            FactKind::Resumed { .. } => "resumes".into(),
            FactKind::Condition { now, .. } => format!("is {now}"),
            FactKind::Clock { ahead_ms, .. } => format!("has a clock {ahead_ms} ms ahead"),
            FactKind::Unenrolled { why, .. } => format!("is not managed any more: {why}"),
            FactKind::Refused { uuid, why, .. } => {
                format!("refuses {}: {why}", self.order(uuid))
            }
            FactKind::PushStored { push, .. } => format!("push {} stored", push.0),
            FactKind::PushCoalesced { push, into, .. } => {
                format!("push {} gives way to {}", push.0, into.0)
            }
            FactKind::PushDiscarded { push, .. } => format!("push {} discarded", push.0),
            FactKind::PushDelivered { push, .. } => format!("push {} delivered", push.0),
            FactKind::PushIgnored { push, why, .. } => format!("push {} ignored: {why:?}", push.0),
            FactKind::Woke { why, .. } => format!("wakes: {why:?}"),
            FactKind::Exchange { got, .. } => match got {
                Got::Empty => "<- nothing".into(),
                Got::Command { uuid, request_type } if request_type.is_empty() => {
                    format!("<- {} without request type", self.order(uuid))
                }
                Got::Command { uuid, request_type } => {
                    format!("<- {} {request_type}", self.order(uuid))
                }
                Got::Content { bytes } => format!("<- {bytes} bytes"),
                Got::Unreadable { what } => format!("<- unreadable: {what}"),
                Got::Status(status) => format!("<- {status}"),
                Got::Lost(broken) => format!("<- {broken}"),
            },
            FactKind::Executed { uuid, .. } => format!("has executed {}", self.order(uuid)),
            FactKind::DeferralEnded { uuid, polls, .. } => {
                let then = if *polls { "polls" } else { "waits for a push" };
                format!("would execute {} again, {then}", self.order(uuid))
            }
            FactKind::SessionEnded { .. } => "session over".into(),
            FactKind::Violation { what, .. } => format!("violation: {what}"),
            FactKind::TimeZero
            | FactKind::Cancelled { .. }
            | FactKind::PushLost { .. }
            | FactKind::PushUnanswered { .. }
            | FactKind::ProviderCut { .. }
            | FactKind::ProviderRefused { .. }
            | FactKind::Ordered { .. }
            | FactKind::Offered { .. }
            | FactKind::Accepted { .. }
            | FactKind::Rejected { .. }
            | FactKind::AcceptanceUnknown { .. }
            | FactKind::PushReceived { .. }
            | FactKind::QueueSeen { .. }
            | FactKind::EventReceived { .. }
            | FactKind::EventRefused { .. } => panic!("no device observes {fact:?}"),
        }
    }
}
