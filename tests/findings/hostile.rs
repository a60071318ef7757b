//! Detectors take whatever a server and a network may make of facts: they never panic, find no more than
//! there is, and keep no more than they say.

use std::time::Duration;

use mdmstorm::fact::{Fact, FactKind, Got, ResultStatus, Said, ServerEvent};
use mdmstorm::finding::Detectors;
use mdmstorm::ids::{Channel, CommandUuid, DeviceId};
use mdmstorm::record::setup::{Orderer, Setup};
use mdmstorm::rule::{Limits, Rule};
use mdmstorm::seed::{Purpose, Seed};
use proptest::prelude::*;

use crate::fact_rig::any_fact;
use crate::tale::{Tale, command, secs, setup};

/// How many examples of a rule are kept.
const EXAMPLES_MAX: usize = 5;

/// The orders of `any_fact`, for two devices and a user; limits that are over within its ten seconds.
fn scene(orderer: Orderer, limit: Duration) -> Detectors {
    let mut setup = Setup { orderer, ..setup() };
    setup.cohorts[0].devices = 2;
    for (order, info) in setup.orders.iter_mut().take(5).enumerate() {
        info.channel = Channel {
            device: DeviceId(order as u32 % 2),
            user: u8::from(order == 4),
        };
    }
    let limits = Limits {
        settle: limit,
        push_within: limit,
        repush_within: limit,
        event_within: limit,
        errors: 1,
        per_minute: 1,
    };
    Detectors::with_limits(&setup, limits)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Whatever is recorded in whatever order, and however far the watermarks are: what proptest prints of a
    /// failure is the facts, made smaller.
    #[test]
    fn no_facts_make_detectors_panic_or_find_more_than_there_is(
        facts in prop::collection::vec(any_fact(), 0..200),
        advances in prop::collection::vec(0..10_000_u64, 0..10),
        is_sorted in any::<bool>(),
        is_observed in any::<bool>(),
        limit in 0..3_u64,
    ) {
        let mut facts = facts;
        if is_sorted {
            facts.sort_by_key(|fact| fact.at);
        }
        let orderer = match is_observed {
            true => Orderer::Elsewhere,
            false => Orderer::Operator,
        };
        let mut detectors = scene(orderer, Duration::from_secs(limit));
        let every = facts.len() / (advances.len() + 1) + 1;
        for (number, fact) in facts.iter().enumerate() {
            if is_sorted {
                detectors.advance(fact.at);
            } else if number % every == every - 1 {
                let advance = advances[number / every % advances.len().max(1)];
                detectors.advance(secs(advance as f64 / 1e3));
            }
            detectors.record(fact);
        }
        let found = detectors.finish(secs(30.0));
        for rule in Rule::ALL {
            let examples: Vec<_> = found.examples.iter().filter(|it| it.rule == rule).collect();
            let count = found.counts.get(&rule).copied().unwrap_or_default();
            // An answer can show two of a kind at most, and a look into a queue as many as it names.
            prop_assert!(count <= 4 * facts.len() as u64, "{} {}", count, rule.name());
            // Errors of one kind are one example.
            prop_assert!(examples.len() <= EXAMPLES_MAX && examples.len() as u64 <= count);
            prop_assert_eq!(examples.is_empty(), count == 0);
            for example in examples {
                prop_assert!(!example.evidence.is_empty() && example.evidence.len() <= 8);
                prop_assert!(example.evidence.is_sorted_by_key(|it| it.at));
            }
        }
    }
}

/// One exchange after another in which a server sends commands that nobody ordered, each with a name of
/// its own, to a device that takes, refuses or forgets them, while its webhook tells anything.
fn torrent(seed: u64, exchanges: u32) -> Vec<Fact> {
    let mut draw = Seed(seed).draw(Purpose::Misbehaviour, 0, 0, 0);
    let mut tale = Tale::new();
    for number in 0..exchanges {
        let at = 400.0 + f64::from(number) * 0.5;
        let name = |number: u32| CommandUuid(format!("command-{number:06}").as_str().into());
        let last = Said::Result {
            uuid: Some(name(number.saturating_sub(1))),
            status: match draw.below(3) {
                0 => ResultStatus::NotNow,
                1 => ResultStatus::Error,
                _ => ResultStatus::Acknowledged,
            },
        };
        let said = match draw.below(3) {
            0 => Said::Idle,
            _ => last,
        };
        let got = match draw.below(8) {
            0 => Got::Empty,
            1 => command(draw.below(50) as u32),
            2 => Got::Status(500),
            _ => Got::Command {
                uuid: name(number),
                request_type: format!("Type{}", draw.below(10)),
            },
        };
        tale = tale.says(at, said, got);
        tale = match draw.below(6) {
            0 => tale.push(at + 0.2),
            1 => tale.order(at + 0.2, draw.below(50) as u32),
            2 => tale.ends(at + 0.2),
            3 => tale.refuses_event(at),
            _ => {
                let uuid = Some(name(draw.below(u64::from(number) + 1) as u32));
                let status = ResultStatus::Acknowledged;
                tale.told(at + 0.2, ServerEvent::Result { uuid, status })
            }
        };
        if draw.below(8) == 0 {
            let channel = crate::tale::channel();
            let (uuid, due) = (name(number.saturating_sub(2)), secs(at));
            let polls = draw.below(2) == 0;
            let ended = FactKind::DeferralEnded {
                channel,
                uuid,
                due,
                polls,
            };
            tale = tale.at(at + 0.3, ended);
        }
    }
    tale.facts.sort_by_key(|fact| fact.at);
    tale.facts
}

/// What they keep is in what they show of themselves for debugging.
#[test]
fn what_is_kept_of_a_server_that_never_stops_does_not_grow() {
    for seed in 0..4 {
        let mut detectors = Tale::new().detectors();
        let facts = torrent(seed, 12_000);
        let mut kept = Vec::new();
        let quarter = facts.len() / 4;
        for (number, fact) in facts.iter().enumerate() {
            detectors.advance(fact.at);
            detectors.record(fact);
            if (number + 1) % quarter == 0 {
                kept.push(format!("{detectors:?}").len());
            }
        }
        let (half, whole) = (kept[1], kept[3]);
        assert!(whole < half + half / 4, "seed {seed}: {kept:?}");
    }
}
