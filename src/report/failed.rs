//! Failed commands by what their error chains say.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fact::{ErrorCode, ErrorEnds};
use crate::record::account::Account;
use crate::record::cause::Cause;

/// Failed commands with one request type and error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FailedGroup {
    /// The request type.
    pub request: String,
    /// The top-level error; null for a result without an error chain (CommandFormatError).
    pub error: Option<ErrorReport>,
    /// The deepest error, when the chain has more than one.
    pub deepest: Option<ErrorReport>,
    /// How many.
    pub count: u64,
    /// What the error says of why, when that has a name.
    pub cause: Option<String>,
    /// What an administrator would try then.
    pub remedy: Option<String>,
}

/// An error by what identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ErrorReport {
    /// `ErrorDomain`.
    pub domain: String,
    /// `ErrorCode`.
    pub code: i64,
}

impl FailedGroup {
    /// The error in one line: `MCProfileErrorDomain 1009 (MCProfileErrorDomain 1000)`.
    pub(super) fn line(&self) -> String {
        let show = |error: &ErrorReport| format!("{} {}", error.domain, error.code);
        match (&self.error, &self.deepest) {
            (None, _) => "CommandFormatError, without an error chain".to_owned(),
            (Some(top), None) => show(top),
            (Some(top), Some(deepest)) => format!("{} ({})", show(top), show(deepest)),
        }
    }
}

/// The failed commands of a run, most frequent first.
pub(super) fn groups(account: &Account) -> Vec<FailedGroup> {
    let mut counts: BTreeMap<(u16, Option<&ErrorEnds>), u64> = BTreeMap::new();
    for (key, count) in account.failures.iter() {
        *counts.entry((key.request, key.error.as_ref())).or_default() += count;
    }
    let mut groups: Vec<FailedGroup> = counts
        .into_iter()
        .map(|((request, error), count)| group(account, request, error, count))
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

fn group(account: &Account, request: u16, error: Option<&ErrorEnds>, count: u64) -> FailedGroup {
    let report = |error: &ErrorCode| ErrorReport {
        domain: error.domain.clone(),
        code: error.code,
    };
    let cause = error.and_then(Cause::of_error);
    FailedGroup {
        request: account.requests[usize::from(request)].clone(),
        error: error.map(|error| report(&error.top)),
        deepest: error.and_then(|error| error.deepest.as_ref().map(report)),
        count,
        cause: cause.map(|cause| cause.name().to_owned()),
        remedy: cause.map(|cause| cause.remedy().to_owned()),
    }
}
