//! Slim copies of the facts that matter to detectors, and their order of time.

use std::collections::BTreeSet;

use crate::fact::{
    Fact, FactKind, Got, Ignored, NoEntry, Obtaining, ResultStatus, Said, ServerEvent, ServerPush,
};
use crate::ids::{Channel, CommandUuid, DeviceId, OrderBook, OrderIndex, PushId};
use crate::record::setup::OrderInfo;
use crate::time::SimTime;

/// A command by what tells it from others on its channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// One of our orders.
    Order(OrderIndex),
    /// One that nobody here ordered.
    Foreign(CommandUuid),
}

impl Name {
    /// Whose command `uuid` is on `channel`.
    pub(super) fn of(
        channel: Channel,
        uuid: &CommandUuid,
        book: &OrderBook,
        orders: &[OrderInfo],
    ) -> Self {
        let order = book.order(uuid).filter(|order| {
            orders
                .get(order.0 as usize)
                .is_some_and(|it| it.channel == channel)
        });
        order.map_or_else(|| Self::Foreign(uuid.clone()), Self::Order)
    }

    /// The order, when it is ours.
    pub(super) const fn order(&self) -> Option<OrderIndex> {
        match self {
            Self::Order(order) => Some(*order),
            Self::Foreign(_) => None,
        }
    }
}

/// What a device's request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Authenticate,
    TokenUpdate,
    CheckOut,
    UserAuthenticate,
    /// A check-in message for a service, which a server need not have.
    Service,
    Idle,
    /// A result; `None` for one of no command that could be told.
    Result(Option<Name>, ResultStatus),
}

impl Says {
    /// As a person would call it.
    pub(super) const fn words(&self) -> &'static str {
        match self {
            Self::Authenticate => "Authenticate",
            Self::TokenUpdate => "TokenUpdate",
            Self::CheckOut => "CheckOut",
            Self::UserAuthenticate => "UserAuthenticate",
            Self::Service => "a service's check-in message",
            Self::Idle => "Idle",
            Self::Result(_, ResultStatus::Acknowledged) => "Acknowledged",
            Self::Result(_, ResultStatus::Error) => "Error",
            Self::Result(_, ResultStatus::CommandFormatError) => "CommandFormatError",
            Self::Result(_, ResultStatus::NotNow) => "NotNow",
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 2xx without a body.
    Empty,
    /// 2xx with a command; its request type is kept of those nobody here ordered.
    Command(Name, Option<Box<str>>),
    /// 2xx with something else.
    Other,
    /// Any other status.
    Status(u16),
    /// No complete answer.
    Lost,
}

impl Answer {
    /// Whether a 2xx was read whole.
    pub(super) const fn is_taken(&self) -> bool {
        match self {
            Self::Empty | Self::Command(..) | Self::Other => true,
            Self::Status(_) | Self::Lost => false,
        }
    }
}

/// A device's request and what came back.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) says: Says,
    /// When the device had written it.
    pub(super) asked: SimTime,
    /// Just before its first byte was written; when it was given up, if that was before.
    pub(super) sent: SimTime,
    pub(super) read: SimTime,
    pub(super) answer: Answer,
}

/// A push as it reached the gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Push {
    pub(super) id: PushId,
    pub(super) arrived: SimTime,
    /// 0 for one that was never answered.
    pub(super) status: u16,
    pub(super) calls_token_bad: bool,
}

/// What a server said of a queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) asked: SimTime,
    pub(super) open: BTreeSet<Name>,
    pub(super) names_refused: bool,
}

/// What happened to one channel.
#[derive(Clone, Debug)]
pub(super) enum OnChannel {
    Push(Push),
    Ignored(PushId, Ignored),
    Exchange(Box<Exchange>),
    DeferralEnded(Name, Return),
    SessionEnded,
    Queue(Box<Queue>),
    Told(ServerEvent),
}

/// What happened to an order.
#[derive(Clone, Copy, Debug)]
pub(super) enum OnOrder {
    Offered,
    Accepted(OwnPush),
    Withdrawn(Withdrawal),
}

/// What the target says of the push for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnPush {
    /// That it failed.
    Failed,
    /// That it went well, or nothing.
    Fine,
}

/// Why the target does not have an order, or need not have it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawal {
    Rejected,
    Cancelled,
}

/// Who has to act when the reason for a refusal is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// The device comes by itself.
    Polls,
    /// The target has to push.
    AwaitsPush,
}

/// What happened to a device.
#[derive(Clone, Copy, Debug)]
pub(super) enum OnDevice {
    Joined,
    /// As in an earlier run.
    Resumed,
    Left,
    Identity(Obtaining),
    /// Its clock; whether it is wrong.
    Clock(bool),
}

/// What a detector has to know of a fact.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Order(OrderIndex, OnOrder),
    Channel(Channel, OnChannel),
    Device(DeviceId, OnDevice),
    /// A push whose token names nobody here, or a provider that did not get in.
    Gateway {
        trouble: bool,
    },
    /// What came in since then may have been an event, and was refused.
    Refused {
        since: SimTime,
    },
    TimeZero,
}

/// Where a fact stands among others: by time; then the operator's, the gateway's, the devices' and the
/// target's own, each of which has one producer per channel; then as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at: SimTime,
    class: u8,
    number: u64,
}

impl Place {
    /// How many classes there are.
    pub(super) const CLASSES: usize = 4;

    /// Which class a fact is of, from 0.
    pub(super) fn class(self) -> usize {
        usize::from(self.class)
    }

    pub(super) const fn new(at: SimTime, event: &Event, number: u64) -> Self {
        let class = match event {
            Event::Order(..) => 0,
            Event::Gateway { .. } | Event::Channel(_, OnChannel::Push(_)) => 1,
            Event::Device(..)
            | Event::TimeZero
            | Event::Channel(
                _,
                OnChannel::Ignored(..)
                | OnChannel::Exchange(_)
                | OnChannel::DeferralEnded(..)
                | OnChannel::SessionEnded,
            ) => 2,
            Event::Refused { .. } | Event::Channel(_, OnChannel::Queue(_) | OnChannel::Told(_)) => {
                3
            }
        };
        Self { at, class, number }
    }
}

/// The reasons by which APNs says that a token is no good for what it was used for.
const BAD_TOKEN: [&str; 4] = [
    "BadDeviceToken",
    "Unregistered",
    "ExpiredToken",
    "DeviceTokenNotForTopic",
];

impl Event {
    /// What matters of a fact; `None` for nothing.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of fact")]
    pub(super) fn of(fact: &Fact, book: &OrderBook, orders: &[OrderInfo]) -> Option<Self> {
        let name = |channel: Channel, uuid: &CommandUuid| Name::of(channel, uuid, book, orders);
        Some(match &fact.kind {
            FactKind::Enrolled { device, .. } => Self::Device(*device, OnDevice::Joined),
            FactKind::Resumed { device } => Self::Device(*device, OnDevice::Resumed),
            FactKind::Unenrolled { device, .. } => Self::Device(*device, OnDevice::Left),
            FactKind::IdentityObtained { device, why, .. } => {
                Self::Device(*device, OnDevice::Identity(*why))
            }
            FactKind::Clock { device, ahead_ms } => {
                Self::Device(*device, OnDevice::Clock(*ahead_ms != 0))
            }
            FactKind::TimeZero => Self::TimeZero,
            FactKind::Offered { order } => Self::Order(*order, OnOrder::Offered),
            FactKind::Accepted { order, push } => {
                let push = match push {
                    ServerPush::Failed(_) => OwnPush::Failed,
                    ServerPush::Accepted | ServerPush::NotReported => OwnPush::Fine,
                };
                Self::Order(*order, OnOrder::Accepted(push))
            }
            FactKind::Rejected { order, .. } => {
                Self::Order(*order, OnOrder::Withdrawn(Withdrawal::Rejected))
            }
            FactKind::Cancelled { order, .. } => {
                Self::Order(*order, OnOrder::Withdrawn(Withdrawal::Cancelled))
            }
            FactKind::PushReceived {
                push,
                channel,
                arrived,
                status,
                reason,
            } => {
                let Some(channel) = channel else {
                    return Some(Self::Gateway { trouble: false });
                };
                let push = Push {
                    id: *push,
                    arrived: (*arrived).min(fact.at),
                    status: *status,
                    calls_token_bad: reason.as_deref().is_some_and(|it| BAD_TOKEN.contains(&it)),
                };
                Self::Channel(*channel, OnChannel::Push(push))
            }
            FactKind::PushUnanswered {
                push,
                channel,
                arrived,
                ..
            } => {
                let Some(channel) = channel else {
                    return Some(Self::Gateway { trouble: true });
                };
                let push = Push {
                    id: *push,
                    arrived: (*arrived).min(fact.at),
                    status: 0,
                    calls_token_bad: false,
                };
                Self::Channel(*channel, OnChannel::Push(push))
            }
            FactKind::ProviderCut { .. } => Self::Gateway { trouble: true },
            FactKind::ProviderRefused { why } => match why {
                NoEntry::Certificate(_) | NoEntry::Connect | NoEntry::Service => {
                    Self::Gateway { trouble: true }
                }
                NoEntry::Stray(_) => return None,
            },
            FactKind::PushIgnored { push, channel, why } => {
                Self::Channel(*channel, OnChannel::Ignored(*push, *why))
            }
            FactKind::Exchange {
                channel,
                said,
                stamps,
                got,
            } => {
                let says = says(said, |uuid| name(*channel, uuid));
                let answer = answer(got, |uuid| name(*channel, uuid));
                let sent = stamps.sent.unwrap_or(stamps.read).min(fact.at);
                let read = stamps.read.min(fact.at);
                let exchange = Exchange {
                    asked: stamps.asked,
                    says,
                    sent,
                    read,
                    answer,
                };
                Self::Channel(*channel, OnChannel::Exchange(exchange.into()))
            }
            FactKind::DeferralEnded {
                channel,
                uuid,
                polls,
                ..
            } => {
                let back = match polls {
                    true => Return::Polls,
                    false => Return::AwaitsPush,
                };
                let ended = OnChannel::DeferralEnded(name(*channel, uuid), back);
                Self::Channel(*channel, ended)
            }
            FactKind::SessionEnded { channel } => Self::Channel(*channel, OnChannel::SessionEnded),
            FactKind::QueueSeen {
                channel,
                asked,
                open,
                names_refused,
            } => {
                let queue = Queue {
                    asked: (*asked).min(fact.at),
                    open: open.iter().map(|uuid| name(*channel, uuid)).collect(),
                    names_refused: *names_refused,
                };
                Self::Channel(*channel, OnChannel::Queue(queue.into()))
            }
            FactKind::EventReceived { channel, event } => {
                Self::Channel(*channel, OnChannel::Told(event.clone()))
            }
            FactKind::EventRefused { since, .. } => {
                let since = (*since).min(fact.at);
                Self::Refused { since }
            }
            FactKind::EnrollmentFailed { .. }
            | FactKind::IdentityStep { .. }
            | FactKind::Condition { .. }
            | FactKind::Ordered { .. }
            | FactKind::AcceptanceUnknown { .. }
            | FactKind::PushStored { .. }
            | FactKind::PushCoalesced { .. }
            | FactKind::PushDiscarded { .. }
            | FactKind::PushDelivered { .. }
            | FactKind::PushLost { .. }
            | FactKind::Woke { .. }
            | FactKind::Executed { .. }
            | FactKind::Refused { .. }
            | FactKind::Violation { .. } => return None,
        })
    }
}

fn says(said: &Said, name: impl Fn(&CommandUuid) -> Name) -> Says {
    match said {
        Said::Authenticate => Says::Authenticate,
        Said::TokenUpdate => Says::TokenUpdate,
        Said::CheckOut => Says::CheckOut,
        Said::UserAuthenticate => Says::UserAuthenticate,
        Said::SetBootstrapToken
        | Said::GetBootstrapToken
        | Said::GetToken
        | Said::ReturnToService
        | Said::DeclarativeManagement { .. } => Says::Service,
        Said::Idle => Says::Idle,
        Said::Result { uuid, status } => Says::Result(uuid.as_ref().map(name), *status),
    }
}

fn answer(got: &Got, name: impl Fn(&CommandUuid) -> Name) -> Answer {
    match got {
        Got::Empty => Answer::Empty,
        Got::Command { uuid, request_type } => {
            let name = name(uuid);
            let request = name.order().is_none().then(|| request_type.as_str().into());
            Answer::Command(name, request)
        }
        Got::Content { .. } | Got::Unreadable { .. } => Answer::Other,
        Got::Status(status) => Answer::Status(*status),
        Got::Lost(_) => Answer::Lost,
    }
}
