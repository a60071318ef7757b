//! A cohort's own rules: when devices say NotNow, when commands fail, when the protocol is broken.
//!
//! They are numbered through, because an event ends one by its number.

use super::error::Problems;
use super::found::Found;
use crate::device::traits::{FailureRule, Misbehaviour, MisbehaviourRule, NotNowRule, RuleScope};

/// An event ends a rule by its number, and a device remembers the ended ones in 32 bits.
const RULES_MAX: usize = 32;

/// The domain of an error that names none: that of the management client.
const USUAL_DOMAIN: &str = "MCMDMErrorDomain";

/// The rules of a cohort.
pub(super) struct Rules {
    pub(super) not_now: Vec<NotNowRule>,
    pub(super) failures: Vec<FailureRule>,
    pub(super) misbehaves: Vec<MisbehaviourRule>,
}

/// The three lists, in the order of their numbers.
const LISTS: [&str; 3] = ["not-now", "failures", "misbehaves"];

/// The rules of the cohort `found`.
pub(super) fn all(found: &Found, problems: &mut Problems) -> Rules {
    check(found, problems);
    let mut numbers = 0..=u8::MAX;
    let mut scope = |rule: &Found| RuleScope {
        number: numbers.next().unwrap_or(u8::MAX),
        name: rule.text("name").cloned().unwrap_or_default(),
        requests: rule.requests("requests").cloned().unwrap_or_default(),
        probability: rule.number("probability").copied().unwrap_or_default(),
    };
    let not_now = found.tables("not-now").iter().map(|rule| NotNowRule {
        scope: scope(rule),
        lasts: rule.dist("for").cloned(),
    });
    let not_now = not_now.collect();
    let failures = found
        .tables("failures")
        .iter()
        .map(|rule| failure(rule, scope(rule)));
    let failures = failures.collect();
    let misbehaves = found
        .tables("misbehaves")
        .iter()
        .map(|rule| MisbehaviourRule {
            scope: scope(rule),
            does: rule
                .misbehaviour("do")
                .cloned()
                .unwrap_or(Misbehaviour::Never),
        });
    Rules {
        not_now,
        failures,
        misbehaves: misbehaves.collect(),
    }
}

fn failure(rule: &Found, scope: RuleScope) -> FailureRule {
    let domain = rule.text("domain").map_or(USUAL_DOMAIN, String::as_str);
    let code = rule.integer("code").copied().unwrap_or_default();
    FailureRule {
        scope,
        domain: domain.to_owned(),
        code,
        description: match rule.text("description") {
            Some(text) => text.clone(),
            None => format!("The operation couldn’t be completed. ({domain} error {code}.)"),
        },
    }
}

/// Names are unique in a cohort, and there are not too many rules.
fn check(found: &Found, problems: &mut Problems) {
    let rules: Vec<&Found> = LISTS.iter().flat_map(|list| found.tables(list)).collect();
    for (at, rule) in rules.iter().enumerate() {
        let Some(name) = rule.text("name") else {
            continue;
        };
        if rules[..at]
            .iter()
            .any(|other| other.text("name") == Some(name))
        {
            problems.add(
                rule.place_of("name"),
                format!("a second rule of this cohort is called \"{name}\""),
                "another name: an event ends a rule by it",
            );
        }
    }
    if rules.len() > RULES_MAX {
        problems.add(
            &rules[RULES_MAX].place,
            format!("a cohort has {} rules", rules.len()),
            format!("at most {RULES_MAX} in not-now, failures and misbehaves together"),
        );
    }
}
