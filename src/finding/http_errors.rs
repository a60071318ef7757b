//! Requests that keep the rules were answered with errors.
//!
//! RFC 9110: a 4xx says that the request is wrong, a 5xx that the server failed. Counted by status
//! and message over the whole run; a few are an accident. Guards: a device whose clock is wrong,
//! that sends what cannot be read, shows another's identity, or is between two identities or
//! enrolments may be refused; 401, 403 and 410 are how a server lets a device or a user go; a
//! service need not exist; a result of a command that the device never had from here is the
//! device's fault.

use std::collections::BTreeMap;

use crate::ids::Channel;
use crate::rule::Rule;
use crate::time::SimTime;

use super::event::{Answer, Exchange, Says};
use super::watch::{Case, Watch};
use super::{Finding, Findings};

/// What was answered with which status: how often, and the first few times.
#[derive(Debug, Default)]
pub(super) struct Errors(BTreeMap<(u16, &'static str), Group>);

#[derive(Debug, Default)]
struct Group {
    count: u64,
    first: Vec<(SimTime, Channel)>,
}

/// How many of a kind are shown.
const SHOWN: usize = 3;

impl Errors {
    pub(super) fn exchanged(&mut self, case: &Case<'_>, exchange: &Exchange) {
        let Answer::Status(status) = exchange.answer else {
            return;
        };
        if is_excused(case, status, exchange) {
            return;
        }
        let group = self.0.entry((status, exchange.says.words())).or_default();
        group.count += 1;
        if group.first.len() < SHOWN {
            group.first.push((exchange.read, case.channel));
        }
    }

    /// The run is over.
    pub(super) fn finish(&self, watch: &Watch, found: &mut Findings) {
        for ((status, words), group) in &self.0 {
            let Some((at, channel)) = group.first.first().copied() else {
                continue;
            };
            if group.count < u64::from(watch.limits.errors) {
                continue;
            }
            let evidence = group.first.iter().map(|(at, channel)| {
                (
                    *at,
                    format!("{words} of {channel} was answered with {status}"),
                )
            });
            let count = group.count;
            let sum = (at, format!("so were {count} in all"));
            let evidence = evidence.chain([sum]);
            let finding = watch.finding(Rule::HttpErrors, at, channel, None, evidence);
            found.add_many(
                Finding {
                    channel: None,
                    ..finding
                },
                count,
            );
        }
    }
}

fn is_excused(case: &Case<'_>, status: u16, exchange: &Exchange) -> bool {
    // To let a device go, or to ask it to come back later, breaks no rule.
    if matches!(status, 401 | 403 | 410 | 429 | 503) || !(400..600).contains(&status) {
        return true;
    }
    if !case.device.keeps_the_rules(exchange.sent) || case.watch.garbles(case.channel.device) {
        return true;
    }
    match &exchange.says {
        Says::Service | Says::UserAuthenticate => status < 500,
        Says::Result(None, _) => true,
        Says::Result(Some(name), _) => {
            let is_settled = case.watch.settled_at(case.channel, name).is_some();
            let open = case.story.command(name);
            let was_delivered = open.is_some_and(|it| it.first.is_some() && !it.is_void);
            !is_settled && !was_delivered
        }
        Says::Authenticate | Says::TokenUpdate | Says::CheckOut | Says::Idle => false,
    }
}
