//! A fact as a person would tell it, in one line: who did what, what came back, how long it took.

use serde::Serialize;

use crate::fact::{
    Broken, FactKind, Got, Ignored, Said, ServerEvent, ServerPush, Stamps, Unanswered,
};
use crate::ids::{CommandUuid, OrderIndex};
use crate::record::setup::Setup;
use crate::time::SimTime;

use super::latency::{millis, show};

/// Tells facts with the names that a run's orders have.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    setup: &'a Setup,
}

impl<'a> Words<'a> {
    /// For the orders of `setup`.
    pub const fn new(setup: &'a Setup) -> Self {
        Self { setup }
    }

    /// What happened, when it was over at `at`.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of fact")]
    pub fn tell(&self, at: SimTime, kind: &FactKind) -> String {
        match kind {
            FactKind::Enrolled { since, .. } => format!("enrolled, in {}", span(*since, at)),
            FactKind::EnrollmentFailed { reason, .. } => format!("gave up enrolling: {reason}"),
            FactKind::IdentityStep {
                step,
                since,
                until,
                failed,
                ..
            } => {
                let (step, took) = (word(step), span(*since, *until));
                match failed {
                    None => format!("on its way to an identity: {step}, {took}"),
                    Some(why) => {
                        let (name, what) = (&why.name, &why.what);
                        format!("on its way to an identity: {step} failed: {name}: {what}")
                    }
                }
            }
            FactKind::IdentityObtained { why, since, .. } => {
                let (why, took) = (word(why), span(*since, at));
                format!("has a new identity, to {why}, in {took}")
            }
            FactKind::Resumed { .. } => "goes on with an earlier run's enrolment".to_owned(),
            FactKind::TimeZero => "enrolment is over: stages and timeline begin".to_owned(),
            FactKind::Condition { now, .. } => format!("is {now}"),
            FactKind::Clock { ahead_ms, .. } => clock(*ahead_ms),
            FactKind::Unenrolled { why, .. } => format!("is not managed any more: {why}"),
            FactKind::Ordered { order, due } => {
                let name = self.order(*order);
                match at > *due {
                    true => format!("{name} is due; taken up {} later", span(*due, at)),
                    false => format!("{name} is due"),
                }
            }
            FactKind::Offered { order } => {
                format!("{} is being sent to the target", self.order(*order))
            }
            FactKind::Accepted { order, push } => {
                format!(
                    "the target has {}{}",
                    self.order(*order),
                    said_of_push(push)
                )
            }
            FactKind::Rejected {
                order,
                status,
                reason,
            } => format!(
                "the target refuses {}: {status} {reason}",
                self.order(*order)
            ),
            FactKind::AcceptanceUnknown { order, why } => {
                format!(
                    "whether the target has {} is unknown: {why}",
                    self.order(*order)
                )
            }
            FactKind::Cancelled { order, instead } => {
                let instead = instead.map(|it| format!(", and orders {} instead", self.order(it)));
                let instead = instead.unwrap_or_default();
                format!("the operator gives {} up{instead}", self.order(*order))
            }
            FactKind::QueueSeen { open, .. } => {
                let open: Vec<String> = open.iter().map(|uuid| self.command(uuid)).collect();
                match open.is_empty() {
                    true => "the target says: nothing is open".to_owned(),
                    false => format!("the target says: open are {}", open.join(", ")),
                }
            }
            FactKind::EventReceived { event, .. } => {
                format!("the target tells: {}", self.event(event))
            }
            FactKind::EventRefused { why, .. } => {
                format!("a request at the webhook's door is refused: {why}")
            }
            FactKind::PushReceived {
                push,
                status,
                reason,
                ..
            } => {
                let reason = reason.as_deref().unwrap_or_default();
                match status {
                    200 => format!("push {} arrives at the gateway: 200", push.0),
                    _ => format!("push {} arrives at the gateway: {status} {reason}", push.0),
                }
            }
            FactKind::PushStored { push, .. } => {
                format!("push {} is stored: the device cannot take it", push.0)
            }
            FactKind::PushCoalesced { push, into, .. } => {
                format!("push {} is dropped for the newer push {}", push.0, into.0)
            }
            FactKind::PushDiscarded { push, .. } => {
                format!(
                    "push {} is gone undelivered: it expired, or was not to be stored",
                    push.0
                )
            }
            FactKind::PushDelivered { push, .. } => format!("push {} is at the device", push.0),
            FactKind::PushLost { push, .. } => {
                format!("push {} is lost on its way, as the scenario asked", push.0)
            }
            FactKind::PushUnanswered { push, how, .. } => {
                let how = match how {
                    Unanswered::Hang => "the service keeps silent",
                    Unanswered::Reset => "the connection is reset",
                    Unanswered::GoAway => "the connection ends with GOAWAY",
                };
                format!("push {} is not answered: {how}", push.0)
            }
            FactKind::ProviderCut { why } => format!("the gateway cuts a provider off: {why}"),
            FactKind::ProviderRefused { why } => format!("the gateway refuses a provider: {why}"),
            FactKind::PushIgnored { push, why, .. } => {
                let why = match why {
                    Ignored::WrongTopic => "another topic than it enrolled with",
                    Ignored::WrongMagic => "another PushMagic than its own",
                    Ignored::NotEnrolled => "it is not enrolled",
                };
                format!("ignores push {}: {why}", push.0)
            }
            FactKind::Woke { why, .. } => format!("connects: {}", word(why)),
            FactKind::Exchange {
                said, stamps, got, ..
            } => format!(
                "{} -> {}  ({})",
                self.said(said),
                self.got(got),
                times(stamps)
            ),
            FactKind::Executed { uuid, error, .. } => match error {
                None => format!("{} is done", self.command(uuid)),
                Some(ends) => {
                    let end = ends.deepest.as_ref().unwrap_or(&ends.top);
                    let (domain, code) = (&end.domain, end.code);
                    format!("{} failed: {domain} {code}", self.command(uuid))
                }
            },
            FactKind::Refused { uuid, why, .. } => match why.as_str() {
                "" => format!("refuses {} with NotNow", self.command(uuid)),
                _ => format!("refuses {} with NotNow: {why}", self.command(uuid)),
            },
            FactKind::DeferralEnded { uuid, polls, .. } => {
                let then = if *polls {
                    "it asks by itself"
                } else {
                    "it waits for a push"
                };
                format!("would take {} now; {then}", self.command(uuid))
            }
            FactKind::SessionEnded { .. } => "the session is over".to_owned(),
            FactKind::Violation { what, .. } => format!("the target broke the protocol: {what}"),
        }
    }

    /// An order with its request type: `order 7 (DeviceInformation)`.
    pub fn order(&self, order: OrderIndex) -> String {
        let info = self.setup.orders.get(order.0 as usize);
        let request = info.and_then(|info| self.setup.requests.get(usize::from(info.request)));
        match request {
            Some(request) => format!("order {} ({request})", order.0),
            None => format!("order {}", order.0),
        }
    }

    /// A command by its order, or by its UUID when this run did not order it.
    pub fn command(&self, uuid: &CommandUuid) -> String {
        match self.setup.book.order(uuid) {
            Some(order) => self.order(order),
            None => format!("command {uuid}"),
        }
    }

    fn said(&self, said: &Said) -> String {
        match said {
            Said::Authenticate => "Authenticate".to_owned(),
            Said::TokenUpdate => "TokenUpdate".to_owned(),
            Said::CheckOut => "CheckOut".to_owned(),
            Said::UserAuthenticate => "UserAuthenticate".to_owned(),
            Said::SetBootstrapToken => "SetBootstrapToken".to_owned(),
            Said::GetBootstrapToken => "GetBootstrapToken".to_owned(),
            Said::GetToken => "GetToken".to_owned(),
            Said::ReturnToService => "ReturnToService".to_owned(),
            Said::DeclarativeManagement { endpoint } => {
                format!("DeclarativeManagement {endpoint}")
            }
            Said::Idle => "Idle".to_owned(),
            Said::Result { uuid, status } => {
                let of = uuid
                    .as_ref()
                    .map(|uuid| format!(" of {}", self.command(uuid)));
                format!("{}{}", word(status), of.unwrap_or_default())
            }
        }
    }

    fn got(&self, got: &Got) -> String {
        match got {
            Got::Empty => "2xx, empty".to_owned(),
            Got::Command { uuid, request_type } => match self.setup.book.order(uuid) {
                Some(order) => format!("2xx with {}", self.order(order)),
                None => format!("2xx with command {uuid} ({request_type})"),
            },
            Got::Content { bytes } => format!("2xx with {bytes} bytes"),
            Got::Unreadable { what } => format!("2xx that cannot be read: {what}"),
            Got::Status(status) => format!("HTTP {status}"),
            Got::Lost(broken) => lost(broken),
        }
    }

    fn event(&self, event: &ServerEvent) -> String {
        match event {
            ServerEvent::Authenticate => "Authenticate".to_owned(),
            ServerEvent::TokenUpdate => "TokenUpdate".to_owned(),
            ServerEvent::CheckOut => "CheckOut".to_owned(),
            ServerEvent::Idle => "Idle".to_owned(),
            ServerEvent::Result { uuid, status } => {
                let of = uuid
                    .as_ref()
                    .map(|uuid| format!(" of {}", self.command(uuid)));
                format!("{}{}", word(status), of.unwrap_or_default())
            }
            ServerEvent::Other(name) => name.clone(),
        }
    }
}

fn lost(broken: &Broken) -> String {
    format!("no answer: {broken}")
}

fn said_of_push(push: &ServerPush) -> String {
    match push {
        ServerPush::Accepted => " and says that APNs took its push".to_owned(),
        ServerPush::Failed(why) => format!(" and says that its push failed: {why}"),
        ServerPush::NotReported => String::new(),
    }
}

fn clock(ahead_ms: i64) -> String {
    let by = show(Some(millis(ahead_ms.unsigned_abs().saturating_mul(1_000))));
    match ahead_ms {
        0 => "its clock is right".to_owned(),
        1.. => format!("its clock is {by} ahead"),
        ..0 => format!("its clock is {by} behind"),
    }
}

/// Where the time of a request went: the waits that are ours or the network's, then the server.
fn times(stamps: &Stamps) -> String {
    let mut parts = Vec::new();
    if stamps.permitted > stamps.asked {
        parts.push(format!("harness {}", span(stamps.asked, stamps.permitted)));
    }
    if let Some(connected) = stamps.connected {
        parts.push(format!(
            "connected in {}",
            span(stamps.permitted, connected)
        ));
    }
    match stamps.sent {
        Some(sent) => parts.push(format!("server {}", span(sent, stamps.read))),
        None => parts.push("nothing was sent".to_owned()),
    }
    parts.join(", ")
}

fn span(from: SimTime, to: SimTime) -> String {
    let micros = to.as_micros().saturating_sub(from.as_micros());
    show(Some(millis(micros)))
}

/// A value's name as facts spell it; nothing for one that has more than a name.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
