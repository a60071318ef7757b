//! A story about the first device, told in facts, and what the ledger makes of it.

use std::fmt::Write as _;

use mdmstorm::condition::{Condition, Conditions};
use mdmstorm::fact::{
    ErrorCode, ErrorEnds, Fact, FactKind, Got, ResultStatus, Said, ServerPush, Stamps, WakeReason,
};
use mdmstorm::ids::{
    Channel, CohortId, CommandUuid, DeviceId, OrderBook, OrderIndex, PushId, RunId,
};
use mdmstorm::metric::{Metric, Owner, Phase};
use mdmstorm::record::Ledger;
use mdmstorm::record::account::Account;
use mdmstorm::record::setup::{CohortInfo, OrderInfo, Orderer, Setup, StageInfo};
use mdmstorm::time::SimTime;

pub(crate) const RUN: RunId = RunId([7; 16]);
pub(crate) const CHANNEL: Channel = Channel::device(DeviceId(0));

pub(crate) fn ms(millis: u64) -> SimTime {
    SimTime::from_micros(millis * 1_000)
}

pub(crate) fn uuid(order: u32) -> CommandUuid {
    CommandUuid::of_order(RUN, OrderIndex(order))
}

/// Two devices; the even orders are for the first, the odd ones for the second.
pub(crate) fn setup(orders: u32) -> Setup {
    Setup {
        cohorts: vec![
            CohortInfo {
                name: "carts".into(),
                devices: 1,
            },
            CohortInfo {
                name: "library".into(),
                devices: 1,
            },
        ],
        stages: vec![StageInfo {
            name: "work".into(),
            warm_up: false,
        }],
        requests: vec!["DeviceInformation".into()],
        orders: (0..orders)
            .map(|order| OrderInfo {
                channel: Channel::device(DeviceId(order % 2)),
                cohort: CohortId(u16::from(order % 2 == 1)),
                stage: 0,
                request: 0,
                serial: false,
            })
            .collect(),
        book: OrderBook::new(RUN, orders),
        orderer: Orderer::Operator,
        ..Setup::default()
    }
}

/// Facts about the first device, in the order of a story; times in milliseconds.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) facts: Vec<Fact>,
}

impl Story {
    pub(crate) fn at(mut self, at: u64, kind: FactKind) -> Self {
        self.facts.push(Fact { at: ms(at), kind });
        self
    }

    pub(crate) fn ordered(self, order: u32, due: u64) -> Self {
        let order = OrderIndex(order);
        self.at(
            due,
            FactKind::Ordered {
                order,
                due: ms(due),
            },
        )
    }

    pub(crate) fn offered(self, order: u32, at: u64) -> Self {
        let order = OrderIndex(order);
        self.at(at, FactKind::Offered { order })
    }

    pub(crate) fn accepted(self, order: u32, at: u64) -> Self {
        let order = OrderIndex(order);
        let push = ServerPush::NotReported;
        self.at(at, FactKind::Accepted { order, push })
    }

    pub(crate) fn enqueued(self, order: u32, due: u64, offered: u64, accepted: u64) -> Self {
        self.ordered(order, due)
            .offered(order, offered)
            .accepted(order, accepted)
    }

    pub(crate) fn push(self, id: u64, arrived: u64) -> Self {
        self.push_with(id, arrived, 200)
    }

    pub(crate) fn push_with(self, id: u64, arrived: u64, status: u16) -> Self {
        self.at(
            arrived,
            FactKind::PushReceived {
                push: PushId(id),
                channel: Some(CHANNEL),
                arrived: ms(arrived),
                status,
                reason: (status != 200).then(|| "Unregistered".to_owned()),
            },
        )
    }

    pub(crate) fn delivered(self, id: u64, due: u64, at: u64) -> Self {
        self.at(
            at,
            FactKind::PushDelivered {
                push: PushId(id),
                channel: CHANNEL,
                due: ms(due),
            },
        )
    }

    pub(crate) fn woke(self, due: u64, at: u64, why: WakeReason) -> Self {
        let channel = CHANNEL;
        let due = ms(due);
        self.at(at, FactKind::Woke { channel, due, why })
    }

    /// A request: asked, permitted, sent, read, seen.
    pub(crate) fn exchange(
        self,
        said: Said,
        got: Got,
        [asked, permitted, sent, read, seen]: [u64; 5],
    ) -> Self {
        self.at(
            seen,
            FactKind::Exchange {
                channel: CHANNEL,
                said,
                got,
                stamps: Stamps {
                    asked: ms(asked),
                    permitted: ms(permitted),
                    connected: None,
                    sent: Some(ms(sent)),
                    first_byte: None,
                    read: ms(read),
                },
            },
        )
    }

    /// What the first device is in from then on.
    pub(crate) fn condition(self, at: u64, now: &[Condition]) -> Self {
        let (device, now) = (DeviceId(0), Conditions::of(now));
        self.at(at, FactKind::Condition { device, now })
    }

    /// The first device's clock, in minutes ahead.
    pub(crate) fn clock(self, at: u64, minutes: i64) -> Self {
        let (device, ahead_ms) = (DeviceId(0), minutes * 60_000);
        self.at(at, FactKind::Clock { device, ahead_ms })
    }

    /// The command is refused, and the refusal delivered, with an empty answer.
    pub(crate) fn not_now(self, order: u32, at: u64, why: &str, got: Got) -> Self {
        let refused = FactKind::Refused {
            channel: CHANNEL,
            uuid: uuid(order),
            why: why.to_owned(),
        };
        self.at(at, refused).exchange(
            result(order, ResultStatus::NotNow),
            got,
            [at, at, at, at + 5, at + 5],
        )
    }

    /// The command fails on the device with these codes, and its result is delivered.
    pub(crate) fn fails(self, order: u32, at: u64, top: i64, deepest: Option<i64>) -> Self {
        let code = |code| ErrorCode {
            domain: "MCMDMErrorDomain".to_owned(),
            code,
        };
        let error = Some(ErrorEnds {
            top: code(top),
            deepest: deepest.map(code),
        });
        let executed = FactKind::Executed {
            channel: CHANNEL,
            uuid: uuid(order),
            due: ms(at),
            error,
        };
        self.at(at, executed).exchange(
            result(order, ResultStatus::Error),
            Got::Empty,
            [at, at, at, at + 5, at + 5],
        )
    }

    pub(crate) fn executed(self, order: u32, due: u64, at: u64) -> Self {
        self.at(
            at,
            FactKind::Executed {
                channel: CHANNEL,
                uuid: uuid(order),
                due: ms(due),
                error: None,
            },
        )
    }

    pub(crate) fn deferral_ended(self, order: u32, due: u64, at: u64, polls: bool) -> Self {
        self.at(
            at,
            FactKind::DeferralEnded {
                channel: CHANNEL,
                uuid: uuid(order),
                due: ms(due),
                polls,
            },
        )
    }

    pub(crate) fn ended(self, at: u64) -> Self {
        self.at(at, FactKind::SessionEnded { channel: CHANNEL })
    }

    pub(crate) fn account(self, end: u64) -> Account {
        self.account_with(setup(4), end)
    }

    pub(crate) fn account_with(&self, setup: Setup, end: u64) -> Account {
        let mut ledger = Ledger::new(setup);
        for fact in &self.facts {
            ledger.record(fact);
        }
        ledger.finish(ms(end))
    }
}

pub(crate) fn brings(order: u32) -> Got {
    Got::Command {
        uuid: uuid(order),
        request_type: "DeviceInformation".into(),
    }
}

pub(crate) fn result(order: u32, status: ResultStatus) -> Said {
    Said::Result {
        uuid: Some(uuid(order)),
        status,
    }
}

pub(crate) fn done(order: u32) -> Said {
    result(order, ResultStatus::Acknowledged)
}

/// Phases with their owners in milliseconds, push-to-completion, and what is pending.
pub(crate) fn show(account: &Account) -> String {
    let mut text = String::new();
    for phase in Phase::ALL {
        if account.slices.phase(phase) == Some(0) {
            writeln!(text, "{} 0", phase.name()).unwrap();
        }
        for owner in Owner::ALL {
            let micros = account.slices.owned(phase, owner);
            if micros > 0 {
                let (phase, owner) = (phase.name(), owner.name());
                writeln!(text, "{phase} {owner} {}", micros / 1_000).unwrap();
            }
        }
    }
    let push = account
        .histograms
        .merged(Metric::PushToCompletion, |_, _| true);
    for value in push.iter_recorded() {
        let millis = value.value_iterated_to() / 1_000;
        writeln!(text, "push-to-completion {millis}").unwrap();
    }
    for pending in &account.pending {
        let (order, cause) = (pending.order.0, pending.cause.name());
        let (phase, owner) = (pending.phase.name(), pending.owner.name());
        writeln!(text, "{order} pending in {phase}: {cause} of {owner}").unwrap();
    }
    text
}

/// Everything up to the first Idle's answer: fetched at 170.
pub(crate) fn fetched() -> Story {
    Story::default()
        .enqueued(0, 0, 10, 30)
        .push(1, 40)
        .delivered(1, 60, 65)
        .woke(100, 103, WakeReason::Push)
        .exchange(Said::Idle, brings(0), [103, 110, 130, 170, 171])
}
