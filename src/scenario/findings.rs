//! What a scenario says of findings: which are known, and what a server is given before there is one.

use std::collections::BTreeSet;

use super::found::Found;
use super::resolve::Resolving;
use crate::rule::{Limits, Rule};

/// How findings are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingRules {
    /// Rules that the user knows the server to break.
    pub accepted: BTreeSet<Rule>,
    /// What a server is given.
    pub limits: Limits,
}

/// Keys whose defaults are guesses.
const GUESSES: [(&str, &str); 4] = [
    ("settle", "findings.settle"),
    ("push-within", "findings.push-within"),
    ("repush-within", "findings.repush-within"),
    ("event-within", "findings.event-within"),
];

pub(super) fn findings(found: &Found, resolving: &mut Resolving) -> FindingRules {
    let usual = Limits::default();
    let table = found.table("findings");
    for (key, path) in GUESSES {
        if table.is_none_or(|table| !table.is_present(key)) {
            resolving.assumed.insert(path);
        }
    }
    let Some(table) = table else {
        return FindingRules::default();
    };
    let span = |key, usual| table.span(key).copied().unwrap_or(usual);
    let count = |key, usual| table.count(key).copied().unwrap_or(usual);
    let accepted = table.words("accept").into_iter().flatten();
    FindingRules {
        accepted: accepted.filter_map(|name| Rule::find(name)).collect(),
        limits: Limits {
            settle: span("settle", usual.settle),
            push_within: span("push-within", usual.push_within),
            repush_within: span("repush-within", usual.repush_within),
            event_within: span("event-within", usual.event_within),
            errors: count("errors", usual.errors),
            per_minute: count("per-minute", usual.per_minute),
        },
    }
}
