//! What the devices of a small world are like, in calm weather and in a storm.

use std::collections::BTreeMap;
use std::time::Duration;

use mdmstorm::condition::Condition;
use mdmstorm::device::traits::{
    BackOff, NotNowRule, Platform, ReplyTimes, Rhythm, RuleScope, Traits,
};
use mdmstorm::seed::Dist;

/// What makes the life of a crowd hard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// How likely a request, and how likely an answer, is lost.
    pub(crate) loss: f64,
    /// How likely ProfileList is refused.
    pub(crate) not_now: f64,
    /// Whether devices sleep and leave the network.
    pub(crate) absences: bool,
}

pub(crate) const CALM: Weather = Weather {
    loss: 0.0,
    not_now: 0.0,
    absences: false,
};
pub(crate) const STORM: Weather = Weather {
    loss: 0.1,
    not_now: 0.5,
    absences: true,
};

pub(crate) fn traits(weather: Weather) -> Traits {
    let log_normal = |median, p95| Dist::LogNormal {
        median: Duration::from_millis(median),
        p95: Duration::from_millis(p95),
    };
    let exponential = |secs| Dist::Exponential {
        mean: Duration::from_secs(secs),
    };
    let absence = |condition, inside, outside, begins_inside| {
        Rhythm::by_turns(
            condition,
            exponential(inside),
            exponential(outside),
            begins_inside,
        )
    };
    let absences = [
        absence(Condition::Asleep, 300, 120, 0.5),
        absence(Condition::Offline, 60, 600, 0.1),
    ];
    let rule = NotNowRule {
        scope: RuleScope {
            number: 0,
            name: "busy".into(),
            requests: vec!["ProfileList".into()],
            probability: weather.not_now,
        },
        lasts: Some(log_normal(60_000, 600_000)),
    };
    Traits {
        push_latency: log_normal(300, 2_000),
        stored_push_delay: log_normal(1_000, 5_000),
        wake_delay: log_normal(500, 2_000),
        poll_delay: log_normal(500, 2_000),
        reply: ReplyTimes {
            usual: log_normal(400, 3_000),
            by_request: BTreeMap::new(),
        },
        rhythms: absences.into_iter().filter(|_| weather.absences).collect(),
        not_now: vec![rule],
        back_off: BackOff {
            initial: Duration::from_secs(10),
            max: Duration::from_secs(300),
        },
        ..Traits::prompt("carts", Platform::Ipad)
    }
}
