//! A device was sent the same request type over and over.
//!
//! Commands of the server's own are its business, until a channel gets more than so many of one
//! type in a minute: what Fleet did with InstallProfile that failed, every 2 s for ever. Only
//! commands count that nobody here ordered, each once: one that comes again is another rule's. Not in
//! the first minutes after a TokenUpdate, when a server sends what every device gets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::Channel;
use crate::record::setup::Orderer;
use crate::rule::Rule;
use crate::time::SimTime;

use super::event::{Exchange, Name};
use super::watch::{Case, MINUTE};

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Since when commands of a type are counted on a channel, and how many there were.
    pairs: BTreeMap<(Channel, Box<str>), (SimTime, u32)>,
    /// When those whose minute was over were last forgotten.
    pruned: SimTime,
}

/// How many pairs of a channel and a type are counted at once: more than come in a minute are not.
const COUNTED_MAX: usize = 100_000;

/// For how long after a TokenUpdate a server may set a device up with profiles and apps of its own.
pub(super) const SETUP: Duration = Duration::from_secs(300);

/// A command came for the first time that nobody here ordered.
pub(super) fn delivered(
    case: &mut Case<'_>,
    counts: &mut Counts,
    (name, request): (&Name, &str),
    exchange: &Exchange,
) {
    if case.watch.setup.orderer == Orderer::Elsewhere {
        return;
    }
    let at = exchange.read;
    // A server sets up a device that has just enrolled.
    let is_new = case.story.told.is_some_and(|(_, read)| read + SETUP > at);
    let key = (case.channel, request.into());
    if is_new || !counts.has_room(&key, at) {
        return;
    }
    let entry = counts.pairs.entry(key);
    let (since, count) = entry.or_insert((at, 0));
    if *since + MINUTE <= at {
        (*since, *count) = (at, 0);
    }
    *count += 1;
    let (since, count) = (*since, *count);
    if count != case.limits().per_minute + 1 {
        return;
    }
    let evidence = [
        (since, format!("a {request} came that nobody had ordered")),
        (at, format!("the {count}. of them since then")),
    ];
    case.report(Rule::RepeatStorm, at, Some(name), evidence);
}

impl Counts {
    /// Whether a pair can be counted. One whose minute is over counts from the beginning anyway, so it
    /// makes room; that is looked for once in a minute.
    fn has_room(&mut self, key: &(Channel, Box<str>), at: SimTime) -> bool {
        if self.pairs.len() < COUNTED_MAX || self.pairs.contains_key(key) {
            return true;
        }
        if self.pruned + MINUTE <= at {
            self.pruned = at;
            self.pairs.retain(|_, (since, _)| *since + MINUTE > at);
        }
        self.pairs.len() < COUNTED_MAX
    }
}
