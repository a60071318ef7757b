//! Fewer things: delta debugging over what a document has of one kind.
//!
//! All of them at once are tried first, then halves, quarters and so on, down to one by one; what is
//! not needed goes, and the search goes on where it was.

use toml::Table;

use super::address::{Address, Step, everything, items};
use super::candidate::Candidate;
use crate::scenario::Target;

/// What there may be less of, coarse to fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cohorts,
    Stages,
    Commands,
    Events,
    Faults,
    /// Whatever else a scenario can do without: sections, rules, single keys.
    Rest,
}

impl Kind {
    /// What of this kind may go, each before what is in it.
    fn all(self, candidate: &Candidate) -> Vec<Address> {
        let document = &candidate.document;
        let list = |key| items(document, &Address::top(key));
        match self {
            Self::Cohorts => list("cohorts"),
            Self::Stages => list("stages"),
            Self::Commands => {
                let stages = list("stages").into_iter();
                let commands = stages.flat_map(|stage| items(document, &stage.key("commands")));
                commands.collect()
            }
            Self::Events => list("timeline"),
            Self::Faults => items(document, &Address::top("apns").key("faults")),
            Self::Rest => {
                let rest = everything(document).into_iter();
                let rest = rest.filter(|address| !is_kept(address, &candidate.scenario().target));
                let is_free = |address: &Address| {
                    let without = candidate.without(std::slice::from_ref(address));
                    Candidate::of(without).is_some()
                };
                rest.filter(is_free).collect()
            }
        }
    }
}

/// What says where the target is and how devices reach it: a smaller scenario of another setting
/// would show nothing.
fn is_kept(address: &Address, target: &Target) -> bool {
    let is_embedded = matches!(target, Target::Embedded(_));
    match address.steps() {
        [Step::Key(top)] if top == "apns" => !is_embedded,
        [Step::Key(top), ..] if top == "enrollment" => !is_embedded,
        [Step::Key(top), Step::Key(key), ..] if top == "apns" => {
            !is_embedded && !OF_PUSHES.contains(&key.as_str())
        }
        [Step::Key(top), ..] => KEPT.contains(&top.as_str()),
        [] | [Step::Item(_), ..] => true,
    }
}

/// What stays as it is. A run in real time is the same run only as fast as before.
const KEPT: [&str; 4] = ["name", "seed", "target", "time-scale"];

/// The keys of `[apns]` that say what happens to pushes, not where they come in.
const OF_PUSHES: [&str; 5] = [
    "store-without-expiration",
    "streams",
    "lower-streams-after-rejection",
    "rate",
    "faults",
];

/// Tries to do without things of one kind.
#[derive(Debug)]
pub(super) struct Fewer {
    kind: Kind,
    /// What may go, of the best candidate so far.
    things: Vec<Address>,
    /// How many go at once.
    chunk: usize,
    at: usize,
}

impl Fewer {
    pub(super) fn new(kind: Kind, best: &Candidate) -> Self {
        let things = kind.all(best);
        Self {
            kind,
            chunk: things.len(),
            things,
            at: 0,
        }
    }

    /// The next document to try; `None` when nothing is left to try.
    pub(super) fn propose(&self, best: &Candidate) -> Option<Table> {
        let end = (self.at + self.chunk).min(self.things.len());
        let chunk = self.things.get(self.at..end)?;
        (!chunk.is_empty()).then(|| best.without(chunk))
    }

    /// It goes on without those.
    pub(super) fn accept(&mut self, best: &Candidate) {
        self.things = self.kind.all(best);
        self.chunk = self.chunk.min(self.things.len());
        self.settle();
    }

    /// Those are needed.
    pub(super) fn reject(&mut self) {
        self.at += self.chunk;
        self.settle();
    }

    /// At the end of the list it begins again with half as many at once.
    fn settle(&mut self) {
        if self.at >= self.things.len() && self.chunk > 1 {
            self.chunk /= 2;
            self.at = 0;
        }
    }
}
