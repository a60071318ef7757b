//! The smallest scenario that still shows a finding, by delta debugging.
//!
//! A [`Search`] proposes candidates and is told what a run of each has shown; how they are run is not
//! its business. It leaps to very few devices first, then takes away what is not needed, coarse to
//! fine, and lowers numbers, some of them with a longer wait in exchange, until nothing single can be
//! taken away or lowered any more.
//!
//! It works on the document that somebody wrote, not on the `Scenario`: what a user did not write is
//! not there to be shrunk, names stay, and what is written out is what was run. Comments do not stay:
//! they speak of the large scenario, and would be false of the small one.

mod address;
mod candidate;
mod header;
mod leap;
mod list;
mod number;
mod trade;

use std::collections::BTreeSet;

use toml::Table;

pub use self::candidate::{Candidate, Size};
pub use self::header::{Found, Rate, repro};
pub use self::leap::Cost;
use self::leap::Leaps;
use self::list::{Fewer, Kind};
use self::number::Lower;

/// What the runs of a candidate have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The finding, at least once; with this seed.
    Shows {
        /// The seed.
        seed: u64,
    },
    /// Not the finding.
    DoesNot,
    /// Nothing: the run did not come to its end.
    Unclear,
}

/// Looks for a smaller scenario.
#[derive(Debug)]
pub struct Search {
    best: Candidate,
    step: Step,
    asked: Option<Candidate>,
    /// Whether this round of steps has made it smaller.
    is_smaller: bool,
    /// Those that do not show it, by their text.
    failed: BTreeSet<[u8; 32]>,
    tries: u32,
}

/// What is being tried.
#[derive(Debug)]
enum Step {
    Leap(Leaps),
    Fewer(Fewer, Kind),
    Lower(Lower),
    Over,
}

impl Search {
    /// A search from `from`, which shows the finding, where a try costs so much.
    pub fn new(from: Candidate, cost: Cost) -> Self {
        Self {
            step: Step::Leap(Leaps::new(&from, cost)),
            best: from,
            asked: None,
            is_smaller: false,
            failed: BTreeSet::new(),
            tries: 0,
        }
    }

    /// The next candidate to run; `None` when nothing is left to try.
    #[expect(
        clippy::should_implement_trait,
        reason = "what comes next depends on what is told in between"
    )]
    pub fn next(&mut self) -> Option<Candidate> {
        loop {
            let Some(document) = self.propose() else {
                if matches!(self.step, Step::Over) {
                    return None;
                }
                self.next_step();
                continue;
            };
            match self.worth_a_try(document) {
                Some(candidate) => {
                    self.tries += 1;
                    self.asked = Some(candidate.clone());
                    return Some(candidate);
                }
                None => self.reject(),
            }
        }
    }

    /// Tells what the candidate that was asked for has shown.
    pub fn told(&mut self, outcome: Outcome) {
        let Some(candidate) = self.asked.take() else {
            return;
        };
        match outcome {
            Outcome::Shows { seed } => {
                self.is_smaller = true;
                self.best = if candidate.scenario().seed.0 == seed {
                    candidate
                } else {
                    candidate.with_seed(seed)
                };
                self.accept();
            }
            Outcome::DoesNot | Outcome::Unclear => {
                self.failed.insert(print_of(&candidate));
                self.reject();
            }
        }
    }

    /// The smallest so far that shows the finding.
    pub const fn best(&self) -> &Candidate {
        &self.best
    }

    /// How many candidates there were.
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    fn propose(&mut self) -> Option<Table> {
        match &mut self.step {
            Step::Leap(leaps) => leaps.propose(&self.best),
            Step::Fewer(fewer, _) => fewer.propose(&self.best),
            Step::Lower(lower) => lower.propose(&self.best),
            Step::Over => None,
        }
    }

    fn accept(&mut self) {
        match &mut self.step {
            Step::Leap(leaps) => leaps.accept(),
            Step::Fewer(fewer, _) => fewer.accept(&self.best),
            Step::Lower(lower) => lower.accept(&self.best),
            Step::Over => {}
        }
    }

    fn reject(&mut self) {
        match &mut self.step {
            Step::Leap(leaps) => leaps.reject(),
            Step::Fewer(fewer, _) => fewer.reject(),
            Step::Lower(lower) => lower.reject(),
            Step::Over => {}
        }
    }

    /// The candidate in a document, unless it is none, is not smaller, or is known not to show it.
    fn worth_a_try(&self, document: Table) -> Option<Candidate> {
        if document == self.best.document {
            return None;
        }
        let candidate = Candidate::of(document)?;
        let (new, old) = (candidate.size(), self.best.size());
        let is_larger = new.devices > old.devices || new.orders > old.orders;
        (!is_larger && !self.failed.contains(&print_of(&candidate))).then_some(candidate)
    }

    /// Coarse to fine, and from the beginning as long as a round has made it smaller.
    fn next_step(&mut self) {
        let fewer = |kind, best| Step::Fewer(Fewer::new(kind, best), kind);
        let best = &self.best;
        self.step = match &self.step {
            Step::Leap(_) => fewer(Kind::Cohorts, best),
            Step::Fewer(_, Kind::Cohorts) => fewer(Kind::Stages, best),
            Step::Fewer(_, Kind::Stages) => fewer(Kind::Commands, best),
            Step::Fewer(_, Kind::Commands) => fewer(Kind::Events, best),
            Step::Fewer(_, Kind::Events) => fewer(Kind::Faults, best),
            Step::Fewer(_, Kind::Faults) => fewer(Kind::Rest, best),
            Step::Fewer(_, Kind::Rest) => Step::Lower(Lower::new(best)),
            Step::Lower(_) if self.is_smaller => {
                self.is_smaller = false;
                fewer(Kind::Cohorts, &self.best)
            }
            Step::Lower(_) | Step::Over => Step::Over,
        };
    }
}

/// What tells one candidate from another.
fn print_of(candidate: &Candidate) -> [u8; 32] {
    *blake3::hash(candidate.text().as_bytes()).as_bytes()
}
