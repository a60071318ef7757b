//! Any scenario, any judge: nothing single can be taken from what is left.

use mdmstorm::reduce::{Candidate, Cost};
use mdmstorm::scenario::Scenario;
use proptest::prelude::*;

use super::{orders_of, reduced};

#[derive(Clone, Debug)]
struct Written {
    cohorts: Vec<(u32, bool)>,
    /// To which cohort, if to one; how many each, or a rate.
    commands: Vec<(Option<usize>, Result<u32, u32>, u8)>,
    stages: usize,
    events: Vec<usize>,
}

impl Written {
    fn text(&self) -> String {
        let mut text = "name = \"any\"\n[target.embedded]\n".to_owned();
        for (at, (count, refuses)) in self.cohorts.iter().enumerate() {
            text += &format!("[[cohorts]]\nname = \"c{at}\"\ncount = {count}\n");
            if *refuses {
                text += "not-now = { probability = 0.5, for = \"1m\" }\n";
            }
        }
        for stage in 0..self.stages {
            text += &format!(
                "[[stages]]\nname = \"s{stage}\"\nduration = \"{}m\"\n",
                stage + 1
            );
            text += "commands = [\n";
            for (to, amount, request) in self.commands.iter().skip(stage).step_by(self.stages) {
                let request = ["SecurityInfo", "ProfileList"][usize::from(*request) % 2];
                let to = to.map_or_else(String::new, |to| {
                    format!("to = \"c{}\", ", to % self.cohorts.len())
                });
                let amount = match amount {
                    Ok(each) => format!("each = {each}"),
                    Err(rate) => format!("rate = \"{rate}/m\""),
                };
                text += &format!("  {{ request = \"{request}\", {to}{amount} }},\n");
            }
            text += "]\n";
        }
        for event in &self.events {
            let to = event % self.cohorts.len();
            text += &format!("[[timeline]]\nat = \"{event}s\"\nto = \"c{to}\"\ndo = \"wake\"\n");
        }
        text
    }
}

fn written() -> impl Strategy<Value = Written> {
    let amount = prop_oneof![(1..6_u32).prop_map(Ok), (1..400_u32).prop_map(Err)];
    let command = (proptest::option::of(0..4_usize), amount, 0..2_u8);
    (
        proptest::collection::vec((1..300_u32, any::<bool>()), 1..4),
        proptest::collection::vec(command, 1..6),
        1..3_usize,
        proptest::collection::vec(0..200_usize, 0..3),
    )
        .prop_map(|(cohorts, commands, stages, events)| Written {
            cohorts,
            commands,
            stages,
            events,
        })
}

/// What a finding may need: devices of a cohort, orders of a request, a rule, an event.
#[derive(Clone, Debug)]
struct Needs {
    cohort: usize,
    devices: u32,
    orders: u64,
    a_rule: bool,
    an_event: bool,
}

impl Needs {
    fn shows(&self, scenario: &Scenario) -> bool {
        let name = format!("c{}", self.cohort);
        let Some(cohort) = scenario.cohorts.iter().find(|it| it.name == name) else {
            return false;
        };
        cohort.count >= self.devices
            && orders_of(scenario, &name, "ProfileList") >= self.orders
            && !(self.a_rule && cohort.traits.not_now.is_empty())
            && !(self.an_event && scenario.timeline.events.is_empty())
    }
}

fn needs() -> impl Strategy<Value = Needs> {
    (
        0..4_usize,
        1..40_u32,
        0..30_u64,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(cohort, devices, orders, a_rule, an_event)| Needs {
            cohort,
            devices,
            orders,
            a_rule,
            an_event,
        })
}

/// Every document with one thing less: a key, an item, or one of a count.
fn one_less(value: &toml::Value) -> Vec<toml::Value> {
    let mut less = Vec::new();
    match value {
        toml::Value::Table(table) => {
            for (key, inner) in table {
                let mut without = table.clone();
                without.remove(key);
                less.push(toml::Value::Table(without));
                for smaller in one_less(inner) {
                    let mut changed = table.clone();
                    changed.insert(key.clone(), smaller);
                    less.push(toml::Value::Table(changed));
                }
            }
        }
        toml::Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                let mut without = list.clone();
                without.remove(at);
                less.push(toml::Value::Array(without));
                for smaller in one_less(inner) {
                    let mut changed = list.clone();
                    changed[at] = smaller;
                    less.push(toml::Value::Array(changed));
                }
            }
        }
        toml::Value::Integer(number) => less.push(toml::Value::Integer(number - 1)),
        toml::Value::String(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
    less
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_single_can_be_taken_from_what_is_left(written in written(), needs in needs()) {
        let text = written.text();
        let from = Candidate::parse(&text, "any.toml").unwrap_or_else(|e| panic!("{e}\n{text}"));
        prop_assume!(needs.shows(from.scenario()));
        let seeded = from.with_seed(1);
        let (best, _) = reduced(seeded.text(), Cost::Little, |scenario| needs.shows(scenario));
        let document: toml::Value = toml::from_str(best.text()).unwrap();
        for less in one_less(&document) {
            let text = toml::to_string(&less).unwrap();
            let is_kept = ["name", "seed", "target"].iter().any(|key| less.get(key) != document.get(key));
            let Ok(smaller) = Candidate::parse(&text, "less.toml") else { continue };
            let (new, old) = (smaller.size(), best.size());
            if is_kept || new.devices > old.devices || new.orders > old.orders {
                continue;
            }
            prop_assert!(!needs.shows(smaller.scenario()), "{}\nis not the smallest: {text}", best.text());
        }
    }
}
