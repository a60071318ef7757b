//! A scenario that can be made smaller: the document somebody wrote, and what it means.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use toml::{Table, Value};

use super::address::{Address, Step, everything, items};
use crate::scenario::{Amount, Scenario, ScenarioErrors, StageCommand};

/// How large a scenario is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its devices.
    pub devices: u64,
    /// The orders of its stages.
    pub orders: u64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        let Self { devices, orders } = *self;
        write!(
            f,
            "{devices} device{} and {orders} order{}",
            plural(devices),
            plural(orders)
        )
    }
}

/// A scenario as data, and as what it means.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub(super) document: Table,
    text: String,
    scenario: Scenario,
}

/// Lists of which a file may have one table in place of a list of one.
const LISTS: [&str; 5] = ["cohorts", "stages", "timeline", "thresholds", "expect"];

/// The keys that name files.
const PATHS: [&str; 7] = [
    "payload",
    "file",
    "ca",
    "ca-key",
    "push-certificate",
    "push-key",
    "public-key",
];

/// What candidates are called in messages.
const FILE: &str = "repro.toml";

impl Candidate {
    /// The scenario written in `text`, a file called `file` in messages.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioErrors> {
        let scenario = Scenario::parse(text, file)?;
        let mut document: Table = toml::from_str(text).expect("a scenario is TOML");
        for key in LISTS {
            make_list(&mut document, &Address::top(key));
        }
        for stage in items(&document, &Address::top("stages")) {
            make_list(&mut document, &stage.key("commands"));
        }
        Ok(Self {
            text: written(&document),
            document,
            scenario,
        })
    }

    /// What is in `document`; `None` when it is no scenario.
    pub(super) fn of(document: Table) -> Option<Self> {
        let text = written(&document);
        let scenario = Scenario::parse(&text, FILE).ok()?;
        Some(Self {
            document,
            text,
            scenario,
        })
    }

    /// The same with another seed.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut document = self.document.clone();
        // Beyond what TOML can say nobody looks for a seed.
        let seed = i64::try_from(seed).unwrap_or(i64::MAX);
        Address::top("seed").put(&mut document, Value::Integer(seed));
        Self::of(document).expect("any number is a seed")
    }

    /// The same with the files it names in `folder` instead of beside it; `None` when it names none.
    pub fn with_paths_from(&self, folder: &Path) -> Option<Self> {
        let mut document = self.document.clone();
        for address in everything(&document) {
            let steps = address.steps();
            let is_path =
                matches!(steps.last(), Some(Step::Key(key)) if PATHS.contains(&key.as_str()));
            // What a command says is not ours.
            let is_said = steps.contains(&Step::Key("keys".to_owned()));
            let path = address.find(&document).and_then(Value::as_str);
            if let (true, false, Some(path)) = (is_path, is_said, path) {
                let path = folder.join(path).display().to_string();
                address.put(&mut document, Value::String(path));
            }
        }
        (document != self.document).then(|| Self::of(document))?
    }

    /// As TOML.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        let scenario = &self.scenario;
        let orders = scenario.stages.iter().flat_map(|stage| {
            let of = |command| orders(scenario, command, stage.duration);
            stage.commands.iter().map(of)
        });
        Size {
            devices: u64::from(scenario.devices()),
            orders: orders.sum(),
        }
    }

    /// The document without what is at `addresses`, each before what is in it, and without what
    /// speaks of a cohort or stage among them.
    pub(super) fn without(&self, addresses: &[Address]) -> Table {
        let mut document = self.document.clone();
        let mut gone = Vec::new();
        for address in addresses.iter().rev() {
            let removed = address.remove(&mut document);
            let name = removed.as_ref().and_then(|it| it.get("name"));
            if let (Some(name), Some(keys)) = (name.and_then(Value::as_str), referring(address)) {
                gone.push((keys, name.to_owned()));
            }
        }
        for (keys, name) in gone {
            forget(&mut document, keys, &name);
        }
        document
    }
}

/// The document as a file: lists of tables in full, as people write them.
fn written(document: &Table) -> String {
    toml::to_string_pretty(document).expect("what was read from TOML can be written")
}

fn make_list(document: &mut Table, address: &Address) {
    if let Some(Value::Table(one)) = address.find(document).cloned() {
        address.put(document, Value::Array(vec![Value::Table(one)]));
    }
}

/// How many orders a command makes.
fn orders(scenario: &Scenario, command: &StageCommand, duration: Duration) -> u64 {
    match command.amount {
        Amount::Each(each) => {
            let cohort = command.to.map(|to| &scenario.cohorts[usize::from(to.0)]);
            let devices = cohort.map_or_else(|| scenario.devices(), |cohort| cohort.count);
            u64::from(devices) * u64::from(each)
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a scenario has at most 20 million orders"
        )]
        Amount::Rate(rate) => (rate * duration.as_secs_f64()).round() as u64,
    }
}

/// The keys that speak of what stands at `address`, when it is a cohort or a stage.
fn referring(address: &Address) -> Option<&'static [&'static str]> {
    match address.steps() {
        [Step::Key(list), Step::Item(_)] if list == "cohorts" => Some(&["to", "cohort"]),
        [Step::Key(list), Step::Item(_)] if list == "stages" => Some(&["stage"]),
        _ => None,
    }
}

/// Takes out what speaks of `name` under one of `keys`.
fn forget(document: &mut Table, keys: &[&str], name: &str) {
    let speaks = |item: &Value| {
        let by_key = keys.iter().filter_map(|key| item.get(*key));
        let metric = item.get("metric").and_then(Value::as_str);
        let in_metric = metric.is_some_and(|metric| {
            let labels = metric.split(['{', '}', ',']);
            let pairs = labels.filter_map(|label| label.trim().split_once('='));
            pairs.into_iter().any(|(key, value)| {
                keys.contains(&key.trim()) && value.trim().trim_matches('"') == name
            })
        });
        in_metric || by_key.into_iter().any(|value| value.as_str() == Some(name))
    };
    let mut lists: Vec<Address> = ["timeline", "thresholds", "expect"]
        .map(Address::top)
        .to_vec();
    lists.push(Address::top("apns").key("faults"));
    for stage in items(document, &Address::top("stages")) {
        lists.push(stage.key("commands"));
    }
    for list in lists {
        for item in items(document, &list).iter().rev() {
            if item.find(document).is_some_and(speaks) {
                item.remove(document);
            }
        }
    }
}
