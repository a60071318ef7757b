//! Facts of several producers come a little out of order; within what a watermark allows that changes
//! nothing.

use mdmstorm::fact::{Fact, Got};
use mdmstorm::rule::Rule;
use proptest::prelude::*;

use crate::tale::{Tale, command, secs};

/// Who notes a fact: the operator, the gateway or the devices' worker.
fn producer(fact: &Fact) -> usize {
    let is = |known: &[&str]| {
        let written = serde_json::to_value(&fact.kind).unwrap();
        known.iter().any(|known| written["fact"] == *known)
    };
    match (
        is(&["ordered", "offered", "accepted"]),
        is(&["push-received"]),
    ) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

/// A run that breaks several rules.
fn tale() -> Tale {
    let tale = Tale::new().pushed_order(70.0, 20).pushed_order(71.0, 21);
    let tale = (0..6).fold(tale, |tale, order| {
        let at = 80.0 + f64::from(order) * 20.0;
        tale.pushed_order(at, order)
            .idle(at + 1.0, command(order))
            .done(at + 2.0, order, command(21))
            .done(at + 3.0, 21, Got::Empty)
            .ends(at + 3.1)
    });
    tale.order(300.0, 30).idle(330.0, Got::Empty)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn facts_may_come_in_any_order_that_the_watermark_allows(picks in prop::collection::vec(0..3_usize, 400)) {
        let tale = tale();
        let expected = tale.found(1_000.0);
        prop_assert!(expected.counts.contains_key(&Rule::DuplicateAfterAck));
        prop_assert!(expected.counts.contains_key(&Rule::Reordered));
        let mut sorted = tale.facts.clone();
        sorted.sort_by_key(|fact| fact.at);
        let mut lines: [std::collections::VecDeque<Fact>; 3] = Default::default();
        for fact in sorted {
            lines[producer(&fact)].push_back(fact);
        }
        let mut detectors = tale.detectors();
        for pick in picks {
            if let Some(fact) = lines[pick].pop_front() {
                detectors.record(&fact);
            }
            let next = lines.iter().filter_map(|line| line.front()).map(|fact| fact.at).min();
            if let Some(next) = next {
                detectors.advance(next);
            }
        }
        for fact in lines.into_iter().flatten() {
            detectors.record(&fact);
        }
        prop_assert_eq!(detectors.finish(secs(1_000.0)), expected);
    }
}

#[test]
fn what_waits_for_a_watermark_is_what_came_after_it() {
    let tale = tale();
    let mut detectors = tale.detectors();
    for fact in &tale.facts {
        detectors.record(fact);
    }
    assert!(detectors.backlog() > 0);
    detectors.advance(mdmstorm::time::SimTime::NEVER);
    assert_eq!(detectors.backlog(), 0);
}
