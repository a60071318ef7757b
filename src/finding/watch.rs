//! What every detector knows: the limits, whose orders there are, how the gateway and each device
//! are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::fact::Obtaining;
use crate::ids::{Channel, CommandUuid, DeviceId, OrderIndex};
use crate::record::setup::{Orderer, Setup};
use crate::rule::{Limits, Rule};
use crate::time::SimTime;

use super::event::Name;
use super::story::{Promise, Story};
use super::{Evidence, Finding, Findings};

/// What does not depend on a channel.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) limits: Limits,
    pub(super) setup: Setup,
    /// When the result of each order was taken; [`SimTime::NEVER`] for not yet.
    pub(super) settled: Vec<SimTime>,
    /// The last commands nobody ordered whose results were taken.
    pub(super) settled_foreign: BTreeMap<Channel, VecDeque<(CommandUuid, SimTime)>>,
    /// Devices that send what cannot be read, as ranges of their numbers.
    garbling: Vec<(u32, u32)>,
    /// When stages and timeline began to count.
    pub(super) zero: Option<SimTime>,
    pub(super) gateway: Gateway,
}

/// How pushes fared, whosever they were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gateway {
    /// Whether any push ever came.
    pub(super) has_pushes: bool,
    /// When something last went wrong between a provider and the gateway.
    pub(super) trouble: Option<SimTime>,
}

/// One device.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Device {
    /// It has enrolled, and has not left.
    pub(super) is_managed: bool,
    /// An earlier run enrolled it, and it has not authenticated in this one.
    pub(super) is_resumed: bool,
    /// Its clock is wrong.
    pub(super) has_wrong_clock: bool,
    /// It shows the identity of another.
    pub(super) is_copy: bool,
    /// It has another identity, or has begun to enrol anew, and the target has not said yes yet.
    pub(super) is_between: bool,
    /// What its last identity is for, until it has authenticated with it.
    pub(super) identity: Option<Obtaining>,
    /// When its last enrolment was renewed, by the answer to Authenticate.
    pub(super) renewed: Option<SimTime>,
    /// When the first order since then that came was offered.
    pub(super) served: Option<SimTime>,
    /// When any of this last changed.
    pub(super) changed: SimTime,
}

impl Device {
    /// Whether the target has to keep what it takes for it.
    pub(super) const fn promise(&self) -> Promise {
        match self.is_between {
            true => Promise::Void,
            false => Promise::Holds,
        }
    }

    /// Whether what it sent at a time was as it should be.
    pub(super) fn keeps_the_rules(&self, sent: SimTime) -> bool {
        let is_odd = self.has_wrong_clock || self.is_copy || self.is_between;
        self.is_managed && !is_odd && self.changed < sent
    }
}

/// How many settled commands that nobody ordered are remembered of a channel.
const FOREIGN_KEPT: usize = 32;

/// For how long a server may be careful after its pushes have failed.
const CAUTION: Duration = Duration::from_secs(600);

impl Watch {
    pub(super) fn new(setup: &Setup, limits: Limits) -> Self {
        let mut garbling = Vec::new();
        let mut first = 0;
        for (number, cohort) in (0_u16..).zip(&setup.cohorts) {
            let end = first + cohort.devices;
            if setup.trouble.garbles.iter().any(|it| it.0 == number) {
                garbling.push((first, end));
            }
            first = end;
        }
        Self {
            limits,
            settled: vec![SimTime::NEVER; setup.orders.len()],
            setup: setup.clone(),
            settled_foreign: BTreeMap::new(),
            garbling,
            zero: None,
            gateway: Gateway::default(),
        }
    }

    /// The channel an order is for; `None` for one that is not in the plan.
    pub(super) fn channel_of(&self, order: OrderIndex) -> Option<Channel> {
        let is_ours = self.setup.orderer == Orderer::Operator;
        let info = is_ours.then(|| self.setup.orders.get(order.0 as usize));
        Some(info.flatten()?.channel)
    }

    /// Whether a device may send what nobody can read, which facts do not show.
    pub(super) fn garbles(&self, device: DeviceId) -> bool {
        let mut ranges = self.garbling.iter();
        ranges.any(|(from, to)| (*from..*to).contains(&device.0))
    }

    /// When the final result of a command was taken.
    pub(super) fn settled_at(&self, channel: Channel, name: &Name) -> Option<SimTime> {
        match name {
            Name::Order(order) => {
                let at = *self.settled.get(order.0 as usize)?;
                (at != SimTime::NEVER).then_some(at)
            }
            Name::Foreign(uuid) => {
                let kept = self.settled_foreign.get(&channel)?;
                let known = kept.iter().find(|(known, _)| known == uuid)?;
                Some(known.1)
            }
        }
    }

    /// The final result of a command was taken; the first time counts.
    pub(super) fn settle(&mut self, channel: Channel, name: &Name, at: SimTime) {
        match name {
            Name::Order(order) => {
                if let Some(settled) = self.settled.get_mut(order.0 as usize) {
                    *settled = (*settled).min(at);
                }
            }
            Name::Foreign(uuid) => {
                let kept = self.settled_foreign.entry(channel).or_default();
                if kept.iter().any(|(known, _)| known == uuid) {
                    return;
                }
                if kept.len() == FOREIGN_KEPT {
                    kept.pop_front();
                }
                kept.push_back((uuid.clone(), at));
            }
        }
    }

    /// Whether a server may have had a reason not to push between two times.
    pub(super) fn may_not_push(&self, from: SimTime, until: SimTime) -> bool {
        let trouble = self.gateway.trouble;
        trouble.is_some_and(|at| at + CAUTION >= from && at <= until)
    }

    /// Whether the plan changed the tokens of a device after `since`, and by `until`.
    pub(super) fn token_changes(&self, device: DeviceId, since: SimTime, until: SimTime) -> bool {
        let trouble = &self.setup.trouble;
        let (Some(zero), Some(changes)) = (self.zero, trouble.token_changes.get(&device)) else {
            return false;
        };
        let real = |at: &Duration| zero + at.div_f64(trouble.time_scale.max(1e-6));
        // One that was due before that is what it told; one due by then may be a little late, if this
        // machine is busy.
        changes
            .iter()
            .map(real)
            .any(|at| at > since && at <= until + SLIP)
    }

    /// A command as a person would call it.
    pub(super) fn words(&self, name: &Name) -> String {
        match name {
            Name::Order(order) => {
                let request = self.setup.orders.get(order.0 as usize).map(|it| it.request);
                let request = request.and_then(|it| self.setup.requests.get(usize::from(it)));
                let request = request.map_or("command", String::as_str);
                format!("{request} {}", self.setup.book.uuid(*order))
            }
            Name::Foreign(uuid) => format!("command {uuid}"),
        }
    }
}

/// What storms are counted over.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// By how much the timeline may be late.
const SLIP: Duration = Duration::from_secs(2);

/// What will be looked at when its time has come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Whether an accepted order was pushed for.
    Push(Channel, OrderIndex),
    /// Whether a device that refused a command was pushed.
    Repush(Channel, Name),
    /// Whether commands were pushed for too early.
    Early(Channel),
}

/// Times that something will be looked at.
pub(super) type Timers = BTreeSet<(SimTime, Timer)>;

/// One channel, and all that detectors may look at and change.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) watch: &'a Watch,
    pub(super) device: Device,
    pub(super) channel: Channel,
    pub(super) story: &'a mut Story,
    pub(super) timers: &'a mut Timers,
    pub(super) found: &'a mut Findings,
}

impl Case<'_> {
    pub(super) const fn limits(&self) -> &Limits {
        &self.watch.limits
    }

    /// Notes that a rule was broken. `evidence` is put into order of time.
    pub(super) fn report(
        &mut self,
        rule: Rule,
        at: SimTime,
        name: Option<&Name>,
        evidence: impl IntoIterator<Item = (SimTime, String)>,
    ) {
        let finding = self.watch.finding(rule, at, self.channel, name, evidence);
        self.found.add(finding);
    }
}

impl Watch {
    pub(super) fn finding(
        &self,
        rule: Rule,
        at: SimTime,
        channel: Channel,
        name: Option<&Name>,
        evidence: impl IntoIterator<Item = (SimTime, String)>,
    ) -> Finding {
        let order = name.and_then(Name::order);
        let uuid = name.map(|name| match name {
            Name::Order(order) => self.setup.book.uuid(*order),
            Name::Foreign(uuid) => uuid.clone(),
        });
        let evidence = evidence.into_iter().map(|(at, what)| Evidence { at, what });
        let mut evidence: Vec<_> = evidence.collect();
        evidence.sort_by_key(|it| it.at);
        Finding {
            rule,
            at,
            channel: Some(channel),
            uuid,
            order,
            evidence,
        }
    }
}
