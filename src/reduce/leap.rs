//! Leaps to very small scenarios: most findings need a handful of devices, and a try with so few costs
//! next to nothing.

use std::time::Duration;

use toml::{Table, Value};

use super::address::{Address, items, length};
use super::candidate::Candidate;
use crate::scenario::{Amount, duration, written as written_span};

/// What a try costs, which decides how many leaps are worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Virtual time: milliseconds.
    Little,
    /// Real time: at least as long as the stages.
    Much,
}

/// A leap: so many devices in each cohort, with so many orders each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leap {
    devices: u32,
    /// Of each command for each device; `None` for as many as they had on average.
    each: Option<u32>,
    pace: Pace,
}

/// What becomes of the time between orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// A device gets its orders as slowly as before.
    OfDevice,
    /// The target gets orders as fast as before: everything is over sooner.
    OfTarget,
    /// All orders of a stage come in a moment.
    AtOnce,
}

/// The sizes of cohorts that are tried where tries cost little, before the sizes grow.
const SMALL: [u32; 4] = [1, 2, 3, 5];

/// The orders of each command for each device that are tried with them.
const FEW: [Option<u32>; 5] = [None, Some(1), Some(2), Some(3), Some(4)];

/// Where a try costs much: what is likely to show it first; single numbers come later.
const LIKELY: [u32; 3] = [5, 20, 100];

/// As long as a stage is whose orders come at once.
const MOMENT: Duration = Duration::from_millis(50);

/// No stage is made shorter than this.
const SHORTEST: Duration = Duration::from_millis(10);

/// Tries leaps until one shows the finding.
#[derive(Debug)]
pub(super) struct Leaps {
    leaps: Vec<Leap>,
    at: usize,
}

impl Leaps {
    pub(super) fn new(from: &Candidate, cost: Cost) -> Self {
        let counts = from.scenario().cohorts.iter().map(|cohort| cohort.count);
        let largest = counts.max().unwrap_or(0);
        let leaps = match cost {
            Cost::Little => {
                let small = SMALL.into_iter().flat_map(|devices| {
                    FEW.into_iter()
                        .flat_map(move |each| all_paces(devices, each))
                });
                let more = std::iter::successors(Some(8_u32), |it| Some(it + it / 2));
                let more = more.take_while(|it| *it < largest);
                small
                    .chain(more.flat_map(|devices| all_paces(devices, None)))
                    .collect()
            }
            Cost::Much => {
                let likely = LIKELY.into_iter().filter(|it| *it < largest);
                likely
                    .flat_map(|devices| all_paces(devices, None))
                    .collect()
            }
        };
        Self { leaps, at: 0 }
    }

    /// The next document to try; `None` when no leap is left.
    pub(super) fn propose(&self, from: &Candidate) -> Option<Table> {
        self.leaps.get(self.at).map(|leap| leap.from(from))
    }

    /// One is enough.
    pub(super) fn accept(&mut self) {
        self.at = self.leaps.len();
    }

    pub(super) const fn reject(&mut self) {
        self.at += 1;
    }
}

fn all_paces(devices: u32, each: Option<u32>) -> [Leap; 3] {
    [Pace::OfDevice, Pace::OfTarget, Pace::AtOnce].map(|pace| Leap {
        devices,
        each,
        pace,
    })
}

impl Leap {
    fn from(self, from: &Candidate) -> Table {
        let mut document = from.document.clone();
        let before = from.size().orders;
        for cohort in items(&document, &Address::top("cohorts")) {
            let count = cohort.key("count");
            let old = count.find(&document).and_then(Value::as_integer);
            let new = i64::from(self.devices).min(old.unwrap_or(1));
            count.put(&mut document, Value::Integer(new));
        }
        let scenario = from.scenario();
        let stages = items(&document, &Address::top("stages"));
        for (address, stage) in stages.iter().zip(&scenario.stages) {
            let commands = items(&document, &address.key("commands"));
            for (address, command) in commands.iter().zip(&stage.commands) {
                let devices = match command.to {
                    Some(to) => scenario.cohorts[usize::from(to.0)].count,
                    None => scenario.devices(),
                };
                let average = average(command.amount, stage.duration, devices);
                let each = self.each.unwrap_or(average);
                address.key("rate").remove(&mut document);
                address
                    .key("each")
                    .put(&mut document, Value::Integer(i64::from(each)));
            }
        }
        match self.pace {
            Pace::OfDevice => {}
            Pace::OfTarget => {
                if let Some(small) = Candidate::of(document.clone()) {
                    #[expect(clippy::cast_precision_loss, reason = "at most 20 million orders")]
                    let share = small.size().orders as f64 / before.max(1) as f64;
                    hurry(&mut document, share.min(1.0));
                }
            }
            Pace::AtOnce => {
                for stage in stages {
                    if length(&document, &stage.key("commands")) > 0 {
                        shorten(&mut document, &stage.key("duration"), 0.0, MOMENT);
                    }
                }
            }
        }
        document
    }
}

/// How many orders a device gets on average, at least one.
fn average(amount: Amount, duration: Duration, devices: u32) -> u32 {
    match amount {
        Amount::Each(each) => each,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a scenario has at most 20 million orders"
        )]
        Amount::Rate(rate) => {
            let each = rate * duration.as_secs_f64() / f64::from(devices.max(1));
            (each.round() as u32).max(1)
        }
    }
}

/// Makes stages and timeline this much shorter.
fn hurry(document: &mut Table, share: f64) {
    for stage in items(document, &Address::top("stages")) {
        shorten(document, &stage.key("duration"), share, SHORTEST);
    }
    for event in items(document, &Address::top("timeline")) {
        shorten(document, &event.key("at"), share, Duration::ZERO);
    }
}

fn shorten(document: &mut Table, address: &Address, share: f64, shortest: Duration) {
    let text = address.find(document).and_then(Value::as_str);
    if let Some(Ok(span)) = text.map(duration) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a year has few milliseconds"
        )]
        let millis = Duration::from_millis(span.mul_f64(share).as_millis() as u64);
        let shorter = millis.max(shortest).min(span);
        address.put(document, Value::String(written_span(shorter)));
    }
}
