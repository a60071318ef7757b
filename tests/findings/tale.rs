//! Facts as a person would tell them: one device, times in seconds, an answer 100 ms after each request.

use mdmstorm::fact::{
    Fact, FactKind, Got, Ignored, ResultStatus, Said, ServerEvent, ServerPush, Stamps,
};
use mdmstorm::finding::{Detectors, Findings};
use mdmstorm::ids::{
    Channel, CohortId, CommandUuid, DeviceId, OrderBook, OrderIndex, PushId, RunId,
};
use mdmstorm::record::setup::{CohortInfo, OrderInfo, Orderer, Setup, StageInfo};
use mdmstorm::rule::Rule;
use mdmstorm::time::SimTime;

const RUN: RunId = RunId([7; 16]);
const ORDERS: u32 = 50;

/// The device that all is about.
pub(crate) const DEVICE: DeviceId = DeviceId(0);

pub(crate) const fn channel() -> Channel {
    Channel::device(DEVICE)
}

pub(crate) fn secs(at: f64) -> SimTime {
    SimTime::from_micros((at * 1e6) as u64)
}

pub(crate) fn uuid(order: u32) -> CommandUuid {
    CommandUuid::of_order(RUN, OrderIndex(order))
}

/// A run with one device and some orders for it.
pub(crate) fn setup() -> Setup {
    let order = OrderInfo {
        channel: channel(),
        cohort: CohortId(0),
        stage: 0,
        request: 0,
        serial: false,
    };
    Setup {
        cohorts: vec![CohortInfo {
            name: "all".into(),
            devices: 1,
        }],
        stages: vec![StageInfo {
            name: "run".into(),
            warm_up: false,
        }],
        requests: vec!["DeviceInformation".into()],
        orders: vec![order; ORDERS as usize],
        book: OrderBook::new(RUN, ORDERS),
        orderer: Orderer::Operator,
        ..Setup::default()
    }
}

/// The facts of a run, in the order in which they are told.
#[derive(Clone, Default)]
pub(crate) struct Tale {
    pub(crate) facts: Vec<Fact>,
    pub(crate) setup: Option<Setup>,
    pushes: u64,
}

pub(crate) fn command(order: u32) -> Got {
    Got::Command {
        uuid: uuid(order),
        request_type: "DeviceInformation".into(),
    }
}

pub(crate) fn foreign(name: &str) -> Got {
    Got::Command {
        uuid: CommandUuid(name.into()),
        request_type: "InstallProfile".into(),
    }
}

impl Tale {
    /// A device that has enrolled in the first second; the timeline counts from 2 s.
    pub(crate) fn new() -> Self {
        Self::default()
            .says(0.1, Said::Authenticate, Got::Empty)
            .says(0.5, Said::TokenUpdate, Got::Empty)
            .at(
                0.7,
                FactKind::Enrolled {
                    device: DEVICE,
                    since: secs(0.1),
                },
            )
            .at(2.0, FactKind::TimeZero)
    }

    pub(crate) fn at(mut self, at: f64, kind: FactKind) -> Self {
        self.facts.push(Fact { at: secs(at), kind });
        self
    }

    pub(crate) fn says(self, sent: f64, said: Said, got: Got) -> Self {
        let stamps = Stamps {
            asked: secs(sent),
            permitted: secs(sent),
            connected: None,
            sent: Some(secs(sent)),
            first_byte: Some(secs(sent + 0.1)),
            read: secs(sent + 0.1),
        };
        let kind = FactKind::Exchange {
            channel: channel(),
            said,
            stamps,
            got,
        };
        self.at(sent + 0.1, kind)
    }

    pub(crate) fn idle(self, sent: f64, got: Got) -> Self {
        self.says(sent, Said::Idle, got)
    }

    pub(crate) fn result(self, sent: f64, order: u32, status: ResultStatus, got: Got) -> Self {
        let uuid = Some(uuid(order));
        self.says(sent, Said::Result { uuid, status }, got)
    }

    pub(crate) fn done(self, sent: f64, order: u32, got: Got) -> Self {
        self.result(sent, order, ResultStatus::Acknowledged, got)
    }

    pub(crate) fn not_now(self, sent: f64, order: u32, got: Got) -> Self {
        self.result(sent, order, ResultStatus::NotNow, got)
    }

    pub(crate) fn ends(self, at: f64) -> Self {
        let channel = channel();
        self.at(at, FactKind::SessionEnded { channel })
    }

    /// An order that is offered, and accepted 200 ms later.
    pub(crate) fn order(self, at: f64, order: u32) -> Self {
        self.offers(at, order)
            .accepts(at + 0.2, order, ServerPush::Accepted)
    }

    pub(crate) fn offers(self, at: f64, order: u32) -> Self {
        let order = OrderIndex(order);
        let due = secs(at);
        self.at(at, FactKind::Ordered { order, due })
            .at(at, FactKind::Offered { order })
    }

    pub(crate) fn accepts(self, at: f64, order: u32, push: ServerPush) -> Self {
        let order = OrderIndex(order);
        self.at(at, FactKind::Accepted { order, push })
    }

    /// An order that is pushed for within its request.
    pub(crate) fn pushed_order(self, at: f64, order: u32) -> Self {
        self.order(at, order).push(at + 0.1)
    }

    pub(crate) fn push(self, at: f64) -> Self {
        self.push_answered(at, 200, None)
    }

    pub(crate) fn push_answered(mut self, at: f64, status: u16, reason: Option<&str>) -> Self {
        self.pushes += 1;
        let kind = FactKind::PushReceived {
            push: PushId(self.pushes),
            channel: Some(channel()),
            arrived: secs(at),
            status,
            reason: reason.map(str::to_owned),
        };
        self.at(at, kind)
    }

    /// The device ignores the last push.
    pub(crate) fn ignored(self, at: f64, why: Ignored) -> Self {
        let kind = FactKind::PushIgnored {
            push: PushId(self.pushes),
            channel: channel(),
            why,
        };
        self.at(at, kind)
    }

    pub(crate) fn deferral_ends(self, at: f64, order: u32, polls: bool) -> Self {
        let kind = FactKind::DeferralEnded {
            channel: channel(),
            uuid: uuid(order),
            due: secs(at),
            polls,
        };
        self.at(at, kind)
    }

    pub(crate) fn told(self, at: f64, event: ServerEvent) -> Self {
        let channel = channel();
        self.at(at, FactKind::EventReceived { channel, event })
    }

    /// Something comes to the webhook's door that takes a second, and is refused.
    pub(crate) fn refuses_event(self, at: f64) -> Self {
        let (since, why) = (secs(at), "the event did not come in time".into());
        self.at(at + 1.0, FactKind::EventRefused { since, why })
    }

    pub(crate) fn queue(self, asked: f64, open: &[u32]) -> Self {
        let kind = FactKind::QueueSeen {
            channel: channel(),
            asked: secs(asked),
            open: open.iter().map(|order| uuid(*order)).collect(),
            names_refused: true,
        };
        self.at(asked + 0.1, kind)
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(self.setup.get_or_insert_with(setup));
        self
    }

    pub(crate) fn detectors(&self) -> Detectors {
        Detectors::new(&self.setup.clone().unwrap_or_else(setup))
    }

    /// What is found when the run ends at `end`.
    pub(crate) fn found(&self, end: f64) -> Findings {
        let mut detectors = self.detectors();
        let mut facts: Vec<&Fact> = self.facts.iter().collect();
        facts.sort_by_key(|fact| fact.at);
        for fact in facts {
            detectors.advance(fact.at);
            detectors.record(fact);
        }
        detectors.finish(secs(end))
    }

    /// Checks which rules were broken, each how often, by an end long after.
    #[track_caller]
    pub(crate) fn breaks(&self, rules: &[(Rule, u64)]) {
        self.breaks_by(10_000.0, rules);
    }

    #[track_caller]
    pub(crate) fn breaks_by(&self, end: f64, rules: &[(Rule, u64)]) {
        let found = self.found(end);
        let counts: Vec<(Rule, u64)> = found.counts.iter().map(|(r, n)| (*r, *n)).collect();
        assert_eq!(counts, rules, "{:#?}", found.examples);
    }

    #[track_caller]
    pub(crate) fn breaks_nothing(&self) {
        self.breaks(&[]);
    }
}
