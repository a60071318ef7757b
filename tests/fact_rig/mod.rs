//! Facts as no run would have them: any kind about a few devices and orders, plausible or not.

use mdmstorm::condition::{Condition, Conditions};
use mdmstorm::fact::{
    Broken, Fact, FactKind, Got, IdentityStep, Ignored, NoEntry, Obtaining, Refusal, ResultStatus,
    Said, ServerEvent, ServerPush, Stamps, Unanswered, WakeReason,
};
use mdmstorm::ids::{Channel, CommandUuid, DeviceId, OrderIndex, PushId, RunId};
use mdmstorm::time::SimTime;
use proptest::prelude::*;

/// The run whose orders they are about.
const RUN: RunId = RunId([7; 16]);

/// Everything happens within ten seconds.
const LAST_MS: u64 = 10_000;

/// Any fact about three devices, a user of each, and five orders.
pub(crate) fn any_fact() -> impl Strategy<Value = Fact> {
    let kind = prop_oneof![
        2 => about_orders(),
        2 => about_pushes(),
        3 => about_sessions(),
        1 => about_devices(),
        1 => about_the_target(),
    ];
    (time(), kind).prop_map(|(at, kind)| Fact { at, kind })
}

fn time() -> impl Strategy<Value = SimTime> {
    (0..LAST_MS).prop_map(|millis| SimTime::from_micros(millis * 1_000))
}

fn order() -> impl Strategy<Value = OrderIndex> {
    (0..5_u32).prop_map(OrderIndex)
}

fn device() -> impl Strategy<Value = DeviceId> {
    (0..3_u32).prop_map(DeviceId)
}

fn channel() -> impl Strategy<Value = Channel> {
    let user = prop_oneof![4 => Just(0), 1 => Just(1)];
    (device(), user).prop_map(|(device, user)| Channel { device, user })
}

fn push() -> impl Strategy<Value = PushId> {
    (0..6_u64).prop_map(PushId)
}

/// Of one of our orders, mostly.
fn uuid() -> impl Strategy<Value = CommandUuid> {
    let ours = order().prop_map(|order| CommandUuid::of_order(RUN, order));
    let foreign = "[a-c]".prop_map(|name| CommandUuid(name.as_str().into()));
    prop_oneof![4 => ours, 1 => foreign]
}

fn text() -> impl Strategy<Value = String> {
    "[a-z ]{0,8}"
}

fn status() -> impl Strategy<Value = ResultStatus> {
    prop_oneof![
        1 => Just(ResultStatus::Acknowledged),
        1 => Just(ResultStatus::Error),
        1 => Just(ResultStatus::CommandFormatError),
        2 => Just(ResultStatus::NotNow),
    ]
}

fn broken() -> impl Strategy<Value = Broken> {
    prop_oneof![
        Just(Broken::TimedOut),
        text().prop_map(Broken::Unreachable),
        text().prop_map(Broken::Tls),
        text().prop_map(Broken::Cut),
        text().prop_map(Broken::Malformed),
        text().prop_map(Broken::TooLarge),
        text().prop_map(Broken::Harness),
    ]
}

fn about_orders() -> impl Strategy<Value = FactKind> {
    let push = prop_oneof![
        Just(ServerPush::Accepted),
        Just(ServerPush::NotReported),
        text().prop_map(ServerPush::Failed),
    ];
    prop_oneof![
        2 => (order(), time()).prop_map(|(order, due)| FactKind::Ordered { order, due }),
        2 => order().prop_map(|order| FactKind::Offered { order }),
        2 => (order(), push).prop_map(|(order, push)| FactKind::Accepted { order, push }),
        1 => (order(), 0..600_u16, text()).prop_map(|(order, status, reason)| FactKind::Rejected {
            order,
            status,
            reason,
        }),
        1 => (order(), broken()).prop_map(|(order, why)| FactKind::AcceptanceUnknown { order, why }),
        1 => (order(), prop::option::of(order()))
            .prop_map(|(order, instead)| FactKind::Cancelled { order, instead }),
    ]
}

fn about_pushes() -> impl Strategy<Value = FactKind> {
    let whose = || prop::option::weighted(0.9, channel());
    let answer = prop_oneof![
        4 => Just((200, None)),
        1 => Just((410, Some("Unregistered".to_owned()))),
        1 => Just((429, Some("TooManyRequests".to_owned()))),
    ];
    let how = prop_oneof![
        Just(Unanswered::Hang),
        Just(Unanswered::Reset),
        Just(Unanswered::GoAway),
    ];
    let ignored = prop_oneof![
        Just(Ignored::WrongTopic),
        Just(Ignored::WrongMagic),
        Just(Ignored::NotEnrolled),
    ];
    let no_entry = prop_oneof![
        text().prop_map(NoEntry::Certificate),
        Just(NoEntry::Connect),
        Just(NoEntry::Service),
        text().prop_map(NoEntry::Stray),
    ];
    prop_oneof![
        4 => (push(), whose(), time(), answer).prop_map(|(push, channel, arrived, answer)| {
            let (status, reason) = answer;
            FactKind::PushReceived { push, channel, arrived, status, reason }
        }),
        2 => (push(), channel(), time())
            .prop_map(|(push, channel, due)| FactKind::PushDelivered { push, channel, due }),
        1 => (push(), channel()).prop_map(|(push, channel)| FactKind::PushStored { push, channel }),
        1 => (push(), push(), channel())
            .prop_map(|(push, into, channel)| FactKind::PushCoalesced { push, into, channel }),
        1 => (push(), channel()).prop_map(|(push, channel)| FactKind::PushDiscarded { push, channel }),
        1 => (push(), channel()).prop_map(|(push, channel)| FactKind::PushLost { push, channel }),
        1 => (push(), whose(), time(), how).prop_map(|(push, channel, arrived, how)| {
            FactKind::PushUnanswered { push, channel, arrived, how }
        }),
        1 => (push(), channel(), ignored)
            .prop_map(|(push, channel, why)| FactKind::PushIgnored { push, channel, why }),
        1 => text().prop_map(|why| FactKind::ProviderCut { why }),
        1 => no_entry.prop_map(|why| FactKind::ProviderRefused { why }),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let uuid = prop::option::weighted(0.9, uuid());
    prop_oneof![
        4 => Just(Said::Idle),
        6 => (uuid, status()).prop_map(|(uuid, status)| Said::Result { uuid, status }),
        1 => Just(Said::TokenUpdate),
        1 => Just(Said::Authenticate),
        1 => Just(Said::CheckOut),
        1 => Just(Said::UserAuthenticate),
        1 => text().prop_map(|endpoint| Said::DeclarativeManagement { endpoint }),
    ]
}

fn got() -> impl Strategy<Value = Got> {
    let brought =
        (uuid(), "[AB]").prop_map(|(uuid, request_type)| Got::Command { uuid, request_type });
    prop_oneof![
        3 => Just(Got::Empty),
        4 => brought,
        1 => Just(Got::Content { bytes: 1 }),
        1 => text().prop_map(|what| Got::Unreadable { what }),
        1 => Just(Got::Status(500)),
        1 => broken().prop_map(Got::Lost),
    ]
}

fn stamps() -> impl Strategy<Value = Stamps> {
    let at = || prop::option::of(time());
    (time(), time(), at(), at(), time()).prop_map(|(asked, permitted, connected, sent, read)| {
        Stamps {
            asked,
            permitted,
            connected,
            sent,
            first_byte: None,
            read,
        }
    })
}

fn about_sessions() -> impl Strategy<Value = FactKind> {
    let why = prop_oneof![
        Just(WakeReason::Push),
        Just(WakeReason::NotNowOver),
        Just(WakeReason::Enroll),
    ];
    prop_oneof![
        6 => (channel(), said(), stamps(), got())
            .prop_map(|(channel, said, stamps, got)| FactKind::Exchange { channel, said, stamps, got }),
        1 => (channel(), time(), why).prop_map(|(channel, due, why)| FactKind::Woke { channel, due, why }),
        2 => (channel(), uuid(), time())
            .prop_map(|(channel, uuid, due)| FactKind::Executed { channel, uuid, due, error: None }),
        1 => (channel(), uuid(), text())
            .prop_map(|(channel, uuid, why)| FactKind::Refused { channel, uuid, why }),
        1 => (channel(), uuid(), time(), any::<bool>()).prop_map(|(channel, uuid, due, polls)| {
            FactKind::DeferralEnded { channel, uuid, due, polls }
        }),
        2 => channel().prop_map(|channel| FactKind::SessionEnded { channel }),
        1 => (channel(), text()).prop_map(|(channel, what)| FactKind::Violation { channel, what }),
    ]
}

fn about_devices() -> impl Strategy<Value = FactKind> {
    let why = || {
        prop_oneof![
            Just(Obtaining::Enroll),
            Just(Obtaining::Renew),
            Just(Obtaining::Clone),
            Just(Obtaining::Restore),
        ]
    };
    let failed = prop::option::of((text(), text()).prop_map(|(name, what)| Refusal { name, what }));
    prop_oneof![
        4 => (device(), any::<bool>()).prop_map(|(device, is_off)| {
            let now = match is_off {
                true => Conditions::of(&[Condition::Off]),
                false => Conditions::NONE,
            };
            FactKind::Condition { device, now }
        }),
        2 => Just(FactKind::TimeZero),
        2 => (device(), time()).prop_map(|(device, since)| FactKind::Enrolled { device, since }),
        1 => (device(), text()).prop_map(|(device, reason)| FactKind::EnrollmentFailed { device, reason }),
        1 => (device(), time(), time(), failed).prop_map(|(device, since, until, failed)| {
            let step = IdentityStep::Profile;
            FactKind::IdentityStep { device, step, since, until, failed }
        }),
        1 => (device(), why(), time())
            .prop_map(|(device, why, since)| FactKind::IdentityObtained { device, why, since }),
        1 => device().prop_map(|device| FactKind::Resumed { device }),
        1 => (device(), -1_000..1_000_i64)
            .prop_map(|(device, ahead_ms)| FactKind::Clock { device, ahead_ms }),
        1 => (device(), text()).prop_map(|(device, why)| FactKind::Unenrolled { device, why }),
    ]
}

fn about_the_target() -> impl Strategy<Value = FactKind> {
    let uuid_or_none = prop::option::weighted(0.9, uuid());
    let event = prop_oneof![
        2 => Just(ServerEvent::Idle),
        4 => (uuid_or_none, status()).prop_map(|(uuid, status)| ServerEvent::Result { uuid, status }),
        1 => Just(ServerEvent::Authenticate),
        1 => Just(ServerEvent::TokenUpdate),
        1 => Just(ServerEvent::CheckOut),
        1 => text().prop_map(ServerEvent::Other),
    ];
    let seen = (
        channel(),
        time(),
        prop::collection::vec(uuid(), 0..4),
        any::<bool>(),
    );
    prop_oneof![
        2 => seen.prop_map(|(channel, asked, open, names_refused)| {
            FactKind::QueueSeen { channel, asked, open, names_refused }
        }),
        4 => (channel(), event)
            .prop_map(|(channel, event)| FactKind::EventReceived { channel, event }),
        1 => (time(), text()).prop_map(|(since, why)| FactKind::EventRefused { since, why }),
    ]
}
