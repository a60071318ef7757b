//! Fewer of something, each with a longer wait: where a crowd holds something up for a while, one that
//! is slow enough does.

use std::time::Duration;

use toml::{Table, Value};

use super::address::{Address, Step, everything};
use crate::scenario::{duration, written as written_span};

/// A count, and a wait that grows as the count falls, so that their product stays.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trade {
    count: Address,
    wait: Address,
    /// What the count is.
    from: u64,
    /// How the wait is written.
    written: String,
}

impl Trade {
    /// Each of `counts` against each wait that a scenario has.
    pub(super) fn all(document: &Table, counts: &[Address]) -> Vec<Self> {
        let waits = everything(document).into_iter();
        let waits: Vec<Address> = waits.filter(|address| is_wait(document, address)).collect();
        let pairs = counts
            .iter()
            .flat_map(|count| waits.iter().map(move |wait| (count, wait)));
        pairs
            .map(|(count, wait)| {
                let (count, wait) = (count.clone(), wait.clone());
                let mut trade = Self {
                    count,
                    wait,
                    from: 1,
                    written: String::new(),
                };
                trade.refresh(document);
                trade
            })
            .collect()
    }

    /// Reads again what may have changed.
    pub(super) fn refresh(&mut self, document: &Table) {
        let count = self.count.find(document).and_then(Value::as_integer);
        self.from = count.and_then(|it| u64::try_from(it).ok()).unwrap_or(1);
        let wait = self.wait.find(document).and_then(Value::as_str);
        self.written = wait.unwrap_or_default().to_owned();
    }

    /// What the count is.
    pub(super) const fn count(&self) -> u64 {
        self.from
    }

    /// Puts a smaller count and the longer wait.
    pub(super) fn put(&self, document: &mut Table, count: u64) {
        let times = u32::try_from(self.from.div_ceil(count.max(1))).unwrap_or(u32::MAX);
        if let Some(longer) = longer(&self.written, times) {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.count.put(document, Value::Integer(count));
            self.wait.put(document, Value::String(longer));
        }
    }
}

/// Whether it is a length of time that devices, networks or APNs take for something. When things
/// happen, and what a finding takes for late, is no such thing.
fn is_wait(document: &Table, address: &Address) -> bool {
    let is_there = match address.steps() {
        [Step::Key(top), Step::Item(_), ..] => top == "cohorts",
        [Step::Key(top), Step::Key(key), ..] => top == "apns" && key == "faults",
        [..] => false,
    };
    let text = address.find(document).and_then(Value::as_str);
    is_there && text.is_some_and(|text| longer(text, 1).is_some())
}

/// So many times `text`, a length of time or two with dots between; `None` when it is neither.
fn longer(text: &str, times: u32) -> Option<String> {
    let one = |text: &str| {
        let span: Duration = duration(text.trim()).ok()?;
        Some(written_span(span.checked_mul(times)?))
    };
    match text.split_once("..") {
        Some((low, high)) => Some(format!("{}..{}", one(low)?, one(high)?)),
        None => one(text),
    }
}
