//! Smaller numbers: how many devices and orders, how long.
//!
//! A number is a ladder. Its lowest rung is tried first, then the middle between the highest that does
//! not show the finding and the lowest that does, as if all above showed it too. Numbers that are as low
//! as they can be alone are tried once more with a longer wait elsewhere.

use std::time::Duration;

use toml::{Table, Value};

use super::address::{Address, items};
use super::candidate::Candidate;
use super::trade::Trade;
use crate::scenario::{Amount, duration, written as written_span};

/// No stage is made shorter: servers and devices need a moment for each thing.
const SHORTEST: Duration = Duration::from_secs(1);

/// The most times that a rate is halved.
const HALVINGS_MAX: u32 = 20;

/// A number of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number {
    /// A count from 1.
    Count(Address),
    /// Orders at a rate, as so many for each device.
    RateAsEach { command: Address, each: u32 },
    /// A rate, by halves.
    Rate {
        address: Address,
        number: f64,
        unit: String,
    },
    /// Lengths of time together, by halves.
    Spans(Vec<(Address, Duration)>),
    /// A count from 1, for a longer wait.
    Trade(Trade),
}

impl Number {
    /// The numbers of a candidate, coarse to fine.
    pub(super) fn all(candidate: &Candidate) -> Vec<Self> {
        let document = &candidate.document;
        let (mut counts, mut amounts, mut stages_spans, mut events_spans) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for cohort in items(document, &Address::top("cohorts")) {
            counts.push(Self::Count(cohort.key("count")));
        }
        let stages = items(document, &Address::top("stages"));
        for (stage, at) in stages.iter().zip(0..) {
            stages_spans.extend(span(document, stage.key("duration")));
            let commands = items(document, &stage.key("commands"));
            for (command, number) in commands.into_iter().zip(0..) {
                amounts.extend(amounts_of(candidate, command, at, number));
            }
        }
        for event in items(document, &Address::top("timeline")) {
            events_spans.extend(span(document, event.key("at")));
        }
        let all_spans: Vec<_> = stages_spans.into_iter().chain(events_spans).collect();
        let single = all_spans.iter().map(|one| Self::Spans(vec![one.clone()]));
        let single: Vec<Self> = single.collect();
        let together = (single.len() > 1).then_some(Self::Spans(all_spans));
        let spans = together.into_iter().chain(single);
        let numbers = counts.into_iter().chain(amounts).chain(spans);
        let mut numbers: Vec<Self> = numbers.collect();
        let counts = numbers.iter().filter_map(|number| match number {
            Self::Count(address) => Some(address.clone()),
            Self::RateAsEach { .. } | Self::Rate { .. } | Self::Spans(_) | Self::Trade(_) => None,
        });
        let counts: Vec<Address> = counts.collect();
        numbers.extend(Trade::all(document, &counts).into_iter().map(Self::Trade));
        numbers
    }

    /// Reads again what may have changed since the number was found.
    fn refresh(&mut self, document: &Table) {
        match self {
            Self::Spans(spans) => {
                for (address, length) in spans {
                    if let Some((_, current)) = span(document, address.clone()) {
                        *length = current;
                    }
                }
            }
            Self::Trade(trade) => trade.refresh(document),
            Self::Count(_) | Self::RateAsEach { .. } | Self::Rate { .. } => {}
        }
    }

    /// The highest rung: what the number is.
    fn top(&self, document: &Table) -> u64 {
        match self {
            Self::Count(address) => {
                let count = address.find(document).and_then(Value::as_integer);
                u64::try_from(count.unwrap_or(1)).unwrap_or(1).max(1) - 1
            }
            Self::RateAsEach { each, .. } => u64::from(*each),
            Self::Rate { .. } => u64::from(HALVINGS_MAX),
            Self::Spans(spans) => {
                let longest = spans.iter().map(|(_, span)| *span).max();
                let seconds = longest.unwrap_or_default().as_secs();
                seconds.checked_ilog2().map_or(0, u64::from)
            }
            Self::Trade(trade) => trade.count().max(1) - 1,
        }
    }

    /// The document with the number on a rung; `top` leaves it as it is.
    fn on_rung(&self, document: &Table, rung: u64, top: u64) -> Table {
        let mut document = document.clone();
        let halvings = u32::try_from(top - rung).unwrap_or(u32::MAX);
        match self {
            Self::Count(address) => {
                put_count(&mut document, address, rung + 1);
            }
            Self::RateAsEach { command, .. } => {
                command.key("rate").remove(&mut document);
                put_count(&mut document, &command.key("each"), rung + 1);
            }
            Self::Rate {
                address,
                number,
                unit,
            } => {
                let rate = number / f64::from(1 << halvings.min(HALVINGS_MAX));
                address.put(&mut document, Value::String(format!("{rate}/{unit}")));
            }
            Self::Spans(spans) => {
                for (address, span) in spans {
                    let shorter = shortened(*span, halvings);
                    address.put(&mut document, Value::String(written_span(shorter)));
                }
            }
            Self::Trade(trade) => trade.put(&mut document, rung + 1),
        }
        document
    }
}

fn put_count(document: &mut Table, address: &Address, count: u64) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    address.put(document, Value::Integer(count));
}

/// So many times half as long, in whole seconds and never below the shortest.
fn shortened(span: Duration, halvings: u32) -> Duration {
    let shorter = Duration::from_secs(span.as_secs().checked_shr(halvings).unwrap_or(0));
    if halvings == 0 {
        span
    } else {
        shorter.max(SHORTEST).min(span)
    }
}

fn span(document: &Table, address: Address) -> Option<(Address, Duration)> {
    let text = address.find(document)?.as_str()?;
    let span = duration(text).ok()?;
    Some((address, span))
}

/// How a command's orders can become fewer.
fn amounts_of(candidate: &Candidate, command: Address, stage: usize, at: usize) -> Vec<Number> {
    let scenario = candidate.scenario();
    let stage = &scenario.stages[stage];
    let meant = &stage.commands[at];
    let Amount::Rate(rate) = meant.amount else {
        return vec![Number::Count(command.key("each"))];
    };
    let devices = match meant.to {
        Some(to) => scenario.cohorts[usize::from(to.0)].count,
        None => scenario.devices(),
    };
    let each = rate * stage.duration.as_secs_f64() / f64::from(devices.max(1));
    let mut numbers = Vec::new();
    if each >= 1.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is at least 1, and a scenario has at most 20 million orders"
        )]
        let each = each as u32;
        numbers.push(Number::RateAsEach {
            command: command.clone(),
            each,
        });
    }
    let address = command.key("rate");
    let text = address.find(&candidate.document).and_then(Value::as_str);
    if let Some((number, unit)) = text.and_then(|text| text.split_once('/'))
        && let Ok(number) = number.trim().parse()
    {
        let unit = unit.trim().to_owned();
        numbers.push(Number::Rate {
            address,
            number,
            unit,
        });
    }
    numbers
}

/// Tries smaller numbers, one after another.
#[derive(Debug)]
pub(super) struct Lower {
    numbers: Vec<Number>,
    at: usize,
    /// What the number was when its turn came.
    top: u64,
    /// The highest rung that does not show the finding.
    fails: Option<u64>,
    /// The lowest that does.
    shows: u64,
}

impl Lower {
    pub(super) fn new(best: &Candidate) -> Self {
        let mut lower = Self {
            numbers: Number::all(best),
            at: 0,
            top: 0,
            fails: None,
            shows: 0,
        };
        lower.begin(best);
        lower
    }

    /// Begins with the number whose turn it is.
    fn begin(&mut self, best: &Candidate) {
        let Some(number) = self.numbers.get_mut(self.at) else {
            return;
        };
        number.refresh(&best.document);
        self.top = number.top(&best.document);
        self.shows = self.top;
        self.fails = None;
    }

    const fn rung(&self) -> Option<u64> {
        match self.fails {
            None if self.shows > 0 => Some(0),
            Some(fails) if self.shows > fails + 1 => Some(fails + (self.shows - fails) / 2),
            None | Some(_) => None,
        }
    }

    /// The next document to try; `None` when no number can be lower.
    pub(super) fn propose(&mut self, best: &Candidate) -> Option<Table> {
        loop {
            let number = self.numbers.get(self.at)?;
            if let Some(rung) = self.rung() {
                return Some(number.on_rung(&best.document, rung, self.top));
            }
            self.at += 1;
            self.begin(best);
        }
    }

    /// It goes on with that number. Others may be written differently from now on.
    pub(super) fn accept(&mut self, best: &Candidate) {
        if let Some(rung) = self.rung() {
            self.shows = rung;
        }
        if let Some(Number::RateAsEach { command, .. }) = self.numbers.get(self.at).cloned() {
            // What was a rate is a count.
            let count = Number::Count(command.key("each"));
            let rate = command.key("rate");
            self.numbers
                .retain(|it| !matches!(it, Number::Rate { address, .. } if *address == rate));
            self.numbers[self.at] = count;
            self.begin(best);
        }
    }

    /// That number is too low.
    pub(super) fn reject(&mut self) {
        self.fails = self.rung().or(self.fails);
    }
}
