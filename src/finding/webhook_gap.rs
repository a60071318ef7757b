//! An event of the server's was missing, late or out of order.
//!
//! The server's own promise: it tells of each check-in and each status. Judged from the first event
//! of the run on, and only for kinds of which it has told any. An exchange counts whose 2xx was
//! read whole. Its event is late when it comes more than the limit after that; missing when a later
//! one of the same channel has come and it has not, or when the limit is over at the end of the
//! run; out of order when that of a later exchange came more than a settle time before it. Events
//! for which there is no such exchange are none's business: the answer may have been lost. Our own
//! door refuses what it cannot read, and what is too large or too slow: where something was refused
//! between an exchange and the end of its event's time, that may have been its event, and nothing is
//! said of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::fact::{ResultStatus, ServerEvent};
use crate::ids::{Channel, CommandUuid};
use crate::rule::Rule;
use crate::time::SimTime;

use super::Findings;
use super::event::{Exchange, Name, Says};
use super::watch::Watch;

/// What a server tells of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Authenticate,
    TokenUpdate,
    CheckOut,
    Idle,
    Result(CommandUuid, ResultStatus),
}

/// Kinds, of which a server may tell some and not others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Authenticate,
    TokenUpdate,
    CheckOut,
    Idle,
    Result,
}

/// An exchange that waits for its event.
#[derive(Clone, Debug)]
struct Half {
    told: Told,
    sent: SimTime,
    read: SimTime,
}

#[derive(Debug, Default)]
struct Line {
    /// Exchanges without an event, in order.
    exchanges: VecDeque<Half>,
    /// Events that came before their exchange was known.
    events: VecDeque<Told>,
    /// The last exchanges with an event: when each was read, and when its event came.
    matched: VecDeque<(SimTime, SimTime)>,
}

/// All that servers told, and what they had to.
#[derive(Debug, Default)]
pub(super) struct Webhook {
    since: Option<SimTime>,
    kinds: BTreeSet<Kind>,
    refused: Refused,
    lines: BTreeMap<Channel, Line>,
}

/// When requests came in that our door refused, as spans in order of time. Between two of them is more
/// than the time of an event, so that each exchange meets one or none.
#[derive(Debug, Default)]
struct Refused(Vec<(SimTime, SimTime)>);

/// Where the evidence against a channel goes.
struct Case<'a> {
    watch: &'a Watch,
    refused: &'a Refused,
    channel: Channel,
    found: &'a mut Findings,
}

/// How many spans of refusals are kept; what comes after the last is one with it.
const SPANS_KEPT: usize = 10_000;

/// How many halves of a channel are kept of either kind.
const KEPT: usize = 256;

/// How many pairs are kept of a channel.
const MATCHED_KEPT: usize = 8;

impl Webhook {
    /// A device's request was taken.
    pub(super) fn exchanged(&mut self, watch: &Watch, channel: Channel, exchange: &Exchange) {
        let is_after = self.since.is_some_and(|since| since <= exchange.sent);
        if !is_after || !exchange.answer.is_taken() {
            return;
        }
        let Some(told) = told_of(watch, &exchange.says) else {
            return;
        };
        // MicroMDM tells of a user's channel under the device's name, but for results; and what cannot
        // be read may be answered and not told of.
        let is_result = matches!(told, Told::Result(..));
        if (channel.user != 0 && !is_result) || watch.garbles(channel.device) {
            return;
        }
        let (sent, read) = (exchange.sent, exchange.read);
        let line = self.lines.entry(channel).or_default();
        if let Some(place) = line.events.iter().position(|event| *event == told) {
            line.events.remove(place);
            return;
        }
        if line.exchanges.len() == KEPT {
            line.exchanges.pop_front();
        }
        line.exchanges.push_back(Half { told, sent, read });
    }

    /// Our door refused something that came in during `span`.
    pub(super) fn refused(&mut self, watch: &Watch, span: (SimTime, SimTime)) {
        self.refused.add(span, watch.limits.event_within);
    }

    /// The server has told of something.
    pub(super) fn told(
        &mut self,
        watch: &Watch,
        (channel, at): (Channel, SimTime),
        event: &ServerEvent,
        found: &mut Findings,
    ) {
        self.since.get_or_insert(at);
        let told = match event {
            ServerEvent::Authenticate => Told::Authenticate,
            ServerEvent::TokenUpdate => Told::TokenUpdate,
            ServerEvent::CheckOut => Told::CheckOut,
            ServerEvent::Idle => Told::Idle,
            ServerEvent::Result {
                uuid: Some(uuid),
                status,
            } => Told::Result(uuid.clone(), *status),
            ServerEvent::Result { uuid: None, .. } | ServerEvent::Other(_) => return,
        };
        self.kinds.insert(told.kind());
        let line = self.lines.entry(channel).or_default();
        let within = watch.limits.event_within;
        let mut case = Case {
            watch,
            refused: &self.refused,
            channel,
            found,
        };
        // Of those that look the same, one whose event may have been refused needs this one least.
        let is_it = |it: &Half| it.told == told;
        let mut all = line.exchanges.iter();
        let place = all.position(|it| is_it(it) && !case.may_be_refused(it));
        let Some(place) = place.or_else(|| line.exchanges.iter().position(is_it)) else {
            if line.events.len() == KEPT {
                line.events.pop_front();
            }
            line.events.push_back(told);
            return;
        };
        let Some(exchange) = line.exchanges.remove(place) else {
            return;
        };
        if exchange.read + within < at {
            case.judge(&exchange, (at, "its event came late"));
        }
        // Those before it, whose time is over: they are missing, or come later and are out of order.
        let kinds = &self.kinds;
        let mut kept = VecDeque::new();
        for earlier in line.exchanges.drain(..) {
            let is_due = earlier.read + within < at && earlier.read < exchange.read;
            if is_due && kinds.contains(&earlier.told.kind()) {
                let what = "its event has not come, and that of a later one has";
                case.judge(&earlier, (at, what));
            } else {
                kept.push_back(earlier);
            }
        }
        line.exchanges = kept;
        line.note_order(&mut case, &exchange, at);
    }

    /// The run is over.
    pub(super) fn finish(&self, watch: &Watch, end: SimTime, found: &mut Findings) {
        for (channel, line) in &self.lines {
            let mut case = Case {
                watch,
                refused: &self.refused,
                channel: *channel,
                found,
            };
            for exchange in &line.exchanges {
                let is_due = exchange.read + watch.limits.event_within < end;
                if is_due && self.kinds.contains(&exchange.told.kind()) {
                    let what = "the run ended, and its event had not come";
                    case.judge(exchange, (end, what));
                }
            }
        }
    }
}

impl Line {
    /// An exchange has its event: whether that of a later one had come long before it.
    fn note_order(&mut self, case: &mut Case<'_>, exchange: &Half, at: SimTime) {
        let settle = case.watch.limits.settle;
        let mut matched = self.matched.iter();
        let overtaken = matched.any(|(read, came)| *read > exchange.read && *came + settle <= at);
        // Of two that look the same nobody knows which is which.
        if overtaken && exchange.told.kind() == Kind::Result {
            let what = "its event came after that of a later one";
            case.judge(exchange, (at, what));
        }
        if self.matched.len() == MATCHED_KEPT {
            self.matched.pop_front();
        }
        self.matched.push_back((exchange.read, at));
    }
}

impl Told {
    const fn kind(&self) -> Kind {
        match self {
            Self::Authenticate => Kind::Authenticate,
            Self::TokenUpdate => Kind::TokenUpdate,
            Self::CheckOut => Kind::CheckOut,
            Self::Idle => Kind::Idle,
            Self::Result(..) => Kind::Result,
        }
    }
}

/// The event that belongs to a request; `None` where a server need not have one.
fn told_of(watch: &Watch, says: &Says) -> Option<Told> {
    Some(match says {
        Says::Authenticate => Told::Authenticate,
        Says::TokenUpdate => Told::TokenUpdate,
        Says::CheckOut => Told::CheckOut,
        Says::Idle => Told::Idle,
        Says::Result(Some(Name::Order(order)), status) => {
            Told::Result(watch.setup.book.uuid(*order), *status)
        }
        Says::Result(Some(Name::Foreign(uuid)), status) => Told::Result(uuid.clone(), *status),
        Says::Result(None, _) | Says::UserAuthenticate | Says::Service => return None,
    })
}

impl Case<'_> {
    /// Whether the event of an exchange may be among those that were refused.
    fn may_be_refused(&self, exchange: &Half) -> bool {
        let until = exchange.read + self.watch.limits.event_within;
        self.refused.meets(exchange.sent, until)
    }

    /// Notes that an event was not as it should be, unless that may be our own fault.
    fn judge(&mut self, exchange: &Half, (at, what): (SimTime, &str)) {
        if self.may_be_refused(exchange) {
            self.found.unjudged_events += 1;
            return;
        }
        let words = match &exchange.told {
            Told::Authenticate => "Authenticate".to_owned(),
            Told::TokenUpdate => "TokenUpdate".to_owned(),
            Told::CheckOut => "CheckOut".to_owned(),
            Told::Idle => "Idle".to_owned(),
            Told::Result(uuid, status) => format!("{status:?} of {uuid}"),
        };
        let read = exchange.read;
        let evidence = [
            (read, format!("a 2xx to {words} was read whole")),
            (at, what.to_owned()),
        ];
        let finding = self
            .watch
            .finding(Rule::WebhookGap, read, self.channel, None, evidence);
        self.found.add(finding);
    }
}

impl Refused {
    fn add(&mut self, (mut since, until): (SimTime, SimTime), within: Duration) {
        let mut is_full = self.0.len() == SPANS_KEPT;
        while let Some(last) = self.0.last().copied()
            && (is_full || since <= last.1 + within)
        {
            since = since.min(last.0);
            self.0.pop();
            is_full = false;
        }
        self.0.push((since, until));
    }

    /// Whether anything came in between two times.
    fn meets(&self, from: SimTime, until: SimTime) -> bool {
        let first = self.0.partition_point(|span| span.1 < from);
        self.0.get(first).is_some_and(|span| span.0 <= until)
    }
}
