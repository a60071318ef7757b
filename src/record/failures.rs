//! Failed commands by what their error chains say.

use std::collections::BTreeMap;

use crate::fact::ErrorEnds;

use super::setup::OrderInfo;

/// What failed commands have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailureKey {
    /// Their cohort's index.
    pub cohort: u16,
    /// Their request type's index.
    pub request: u16,
    /// Their error; `None` for a result without an error chain.
    pub error: Option<ErrorEnds>,
}

/// How many commands failed, by what they have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(BTreeMap<FailureKey, u64>);

impl Failures {
    /// One more.
    pub(super) fn add(&mut self, info: OrderInfo, error: Option<ErrorEnds>) {
        *self.0.entry(key(info, error)).or_default() += 1;
    }

    /// One less.
    pub(super) fn remove(&mut self, info: OrderInfo, error: Option<ErrorEnds>) {
        if let Some(count) = self.0.get_mut(&key(info, error)) {
            *count = count.saturating_sub(1);
        }
    }

    /// All of them, with how many there are.
    pub fn iter(&self) -> impl Iterator<Item = (&FailureKey, u64)> {
        self.0
            .iter()
            .map(|(key, count)| (key, *count))
            .filter(|(_, count)| *count > 0)
    }
}

const fn key(info: OrderInfo, error: Option<ErrorEnds>) -> FailureKey {
    FailureKey {
        cohort: info.cohort.0,
        request: info.request,
        error,
    }
}
