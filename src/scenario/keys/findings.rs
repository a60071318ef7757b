//! What the server is given before it is said to have broken a rule.

use super::key;
use crate::rule::Rule;
use crate::scenario::kind::Need::Default;
use crate::scenario::kind::{Kind, Section};

/// The names of all rules.
static NAMES: [&str; Rule::ALL.len()] = {
    let mut names = [""; Rule::ALL.len()];
    let mut number = 0;
    while number < names.len() {
        names[number] = Rule::ALL[number].name();
        number += 1;
    }
    names
};

pub(super) static FINDINGS: Section = Section {
    is: "findings",
    keys: &[
        key(
            "accept",
            Kind::Words(&NAMES),
            Default("[]"),
            "Rules that you know the server to break: they are told, and do not end the run with exit code 94.",
        ),
        key(
            "settle",
            Kind::Duration,
            Default(r#""5s""#),
            "How long what the server has taken may need to show: a command, a token, a result. Not scaled.",
        ),
        key(
            "push-within",
            Kind::Duration,
            Default(r#""1m""#),
            "How long the push for an accepted command may take. Not scaled.",
        ),
        key(
            "repush-within",
            Kind::Duration,
            Default(r#""15m""#),
            "How long a device that does not come by itself may wait for a push after the reason for its NotNow is over. Not scaled.",
        ),
        key(
            "event-within",
            Kind::Duration,
            Default(r#""1m""#),
            "How long an event that the server tells may take. Not scaled.",
        ),
        key(
            "errors",
            Kind::Count,
            Default("3"),
            "How many HTTP errors of one kind, to requests that keep the rules, are no accident any more.",
        ),
        key(
            "per-minute",
            Kind::Count,
            Default("10"),
            "How many commands of one type, or pushes, that nobody ordered a channel may get in a minute.",
        ),
    ],
};
