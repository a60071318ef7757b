//! Rules that the server broke, found in facts alone: what a vendor can file as a bug.
//!
//! [`Detectors`] put facts into order of time, fold them into a [`story`] per channel, and ask one
//! detector per rule. Each file says which rule it watches, where the rule is from, what its evidence
//! is, and what keeps it from a false alarm: a false alarm is worse than a miss.

mod blank_check_in;
mod coming;
mod duplicate_after_ack;
mod early_push;
mod event;
mod few;
mod fold;
mod head_of_line_blocked;
mod http_errors;
mod lost_command;
mod lost_on_renewal;
mod no_push;
mod not_now_not_repushed;
mod not_now_spin;
mod not_now_starved;
mod push_storm;
mod queue_view;
mod reordered;
mod repeat_storm;
mod stale_after_reenroll;
mod story;
mod watch;
mod webhook_gap;
mod wrong_push;

use std::collections::BTreeMap;

use crate::fact::Fact;
use crate::ids::{Channel, Channels, CommandUuid, DeviceId, OrderIndex};
use crate::record::setup::Setup;
use crate::rule::{Limits, Rule};
use crate::time::SimTime;

use coming::Coming;
use event::{Event, Place};
use story::Story;
use watch::{Device, Timers, Watch};

/// A rule that was broken once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// When it was broken; the evidence may begin earlier.
    pub at: SimTime,
    /// Whose channel; `None` for the server as a whole.
    pub channel: Option<Channel>,
    /// The command, when it is about one.
    pub uuid: Option<CommandUuid>,
    /// The command's order, when it is ours.
    pub order: Option<OrderIndex>,
    /// The facts that show it, in order of time.
    pub evidence: Vec<Evidence>,
}

/// One fact, as a person would note it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When.
    pub at: SimTime,
    /// What, as a lower-case fragment.
    pub what: String,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How often each rule was broken.
    pub counts: BTreeMap<Rule, u64>,
    /// The first few of each rule, in order of time.
    pub examples: Vec<Finding>,
    /// Exchanges whose event was not seen in time or in order, and may be among what our own door refused:
    /// `webhook-gap` is silent about them.
    pub unjudged_events: u64,
}

/// How many findings of a rule are kept with their evidence.
const EXAMPLES_MAX: usize = 5;

impl Findings {
    /// Counts a finding, and keeps it if it is one of the first of its rule.
    fn add(&mut self, finding: Finding) {
        *self.counts.entry(finding.rule).or_default() += 1;
        let key = |it: &Finding| (it.at, it.channel, it.order, it.uuid.clone());
        let mine = key(&finding);
        let rule = finding.rule;
        let place = self.examples.partition_point(|it| key(it) <= mine);
        self.examples.insert(place, finding);
        let of_rule = self.examples.iter().filter(|it| it.rule == rule).count();
        if of_rule > EXAMPLES_MAX
            && let Some(last) = self.examples.iter().rposition(|it| it.rule == rule)
        {
            self.examples.remove(last);
        }
    }

    /// Counts a finding for many of its kind.
    fn add_many(&mut self, finding: Finding, times: u64) {
        *self.counts.entry(finding.rule).or_default() += times.saturating_sub(1);
        self.add(finding);
    }

    /// Forgets what was found of a rule.
    fn drop_rule(&mut self, rule: Rule) {
        self.counts.remove(&rule);
        self.examples.retain(|it| it.rule != rule);
    }
}

/// Everything that watches, fed with facts in any order that a watermark allows.
#[derive(Debug)]
pub struct Detectors {
    watch: Watch,
    coming: Coming,
    number: u64,
    devices: BTreeMap<DeviceId, Device>,
    stories: Channels<Story>,
    timers: Timers,
    errors: http_errors::Errors,
    repeats: repeat_storm::Counts,
    views: queue_view::Told,
    webhook: webhook_gap::Webhook,
    findings: Findings,
}

impl Detectors {
    /// What watches the orders of `setup`, with the usual limits.
    pub fn new(setup: &Setup) -> Self {
        Self::with_limits(setup, Limits::default())
    }

    /// What watches the orders of `setup`.
    pub fn with_limits(setup: &Setup, limits: Limits) -> Self {
        Self {
            watch: Watch::new(setup, limits),
            coming: Coming::default(),
            number: 0,
            devices: BTreeMap::new(),
            stories: Channels::default(),
            timers: Timers::new(),
            errors: http_errors::Errors::default(),
            repeats: repeat_storm::Counts::default(),
            views: queue_view::Told::new(),
            webhook: webhook_gap::Webhook::default(),
            findings: Findings::default(),
        }
    }

    /// Takes one fact.
    pub fn record(&mut self, fact: &Fact) {
        let setup = &self.watch.setup;
        if let Some(event) = Event::of(fact, &setup.book, &setup.orders) {
            self.number += 1;
            let place = Place::new(fact.at, &event, self.number);
            self.coming.add(place, event);
        }
    }

    /// Promises that every fact before `watermark` has been recorded.
    pub fn advance(&mut self, watermark: SimTime) {
        while let Some((place, event)) = self.coming.pop_before(watermark) {
            self.look_until(place.at);
            self.fold(place.at, event);
        }
    }

    /// What was found until `end`, when the run was over.
    pub fn finish(mut self, end: SimTime) -> Findings {
        self.advance(SimTime::NEVER);
        self.look_until(end);
        self.close(end);
        self.findings
    }

    /// What was found up to the last promise. A finding may be taken back at the end, when more is known.
    pub const fn so_far(&self) -> &Findings {
        &self.findings
    }

    /// How many facts wait for others that may come before them.
    pub fn backlog(&self) -> usize {
        self.coming.len()
    }
}
