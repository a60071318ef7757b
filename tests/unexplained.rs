//! No command of a bundled scenario waits without a cause, whenever one looks.
//!
//! A rehearsal of `nat-timeout` that was asked in its 14th minute told of a command `unknown`: a stored
//! push was on its way. Only the times that files name had been looked at.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod plan_rig;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::fact::{Fact, FactKind};
use mdmstorm::ids::OrderBook;
use mdmstorm::plan::Plan;
use mdmstorm::record::Ledger;
use mdmstorm::record::cause::Cause;
use mdmstorm::record::setup::Setup;
use mdmstorm::reference_server::{self, Defect, Defects};
use mdmstorm::scenario::Scenario;
use mdmstorm::sim::{Settings, World};
use mdmstorm::time::SimTime;
use plan_rig::plan_of;

/// As `mdmstorm rehearse` drains by default, before it is scaled.
const DRAIN: Duration = Duration::from_secs(60);

/// A long run is looked at every minute of the scenario, a short one so often in all.
const LOOKS: u32 = 100;

/// The scenario files of a folder, in order of their names.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(folder);
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "{files:?}");
    files
}

/// Every fact of a rehearsal.
struct Rehearsal {
    name: String,
    plan: Arc<Plan>,
    book: OrderBook,
    facts: Vec<Fact>,
}

impl Rehearsal {
    fn of(file: &Path, defects: Defects) -> Self {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(file).unwrap();
        let scenario = Scenario::parse(&text, &name).unwrap_or_else(|errors| panic!("{errors}"));
        let plan = plan_of(&scenario, file.parent().unwrap());
        let settings = Settings {
            drain: DRAIN.mul_f64(scenario.time_scale),
            server: reference_server::Settings {
                defects,
                ..reference_server::Settings::default()
            },
            ..Settings::default()
        };
        let mut world = World::new(&scenario, Arc::clone(&plan), settings);
        let book = *world.book();
        let mut facts = Vec::new();
        while let Some(news) = world.step() {
            facts.extend_from_slice(news);
        }
        Self {
            name,
            plan,
            book,
            facts,
        }
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(Setup::of_plan(&self.plan, self.book, false))
    }

    /// When somebody looks, from time zero on.
    fn looks(&self) -> Vec<SimTime> {
        let mut facts = self.facts.iter();
        let zero = facts
            .find(|fact| matches!(fact.kind, FactKind::TimeZero))
            .unwrap()
            .at;
        let length = self.facts.last().unwrap().at.since(zero);
        let every = (length / LOOKS).min(Duration::from_secs(60));
        (1..)
            .map(|look| every * look)
            .take_while(|after| *after < length)
            .map(|after| zero + after)
            .collect()
    }

    /// What no rule explains, the first time that there is any.
    fn unexplained(&self) -> Option<String> {
        let mut ledger = self.ledger();
        let mut facts = self.facts.iter().peekable();
        for look in self.looks() {
            while let Some(fact) = facts.next_if(|fact| fact.at <= look) {
                ledger.record(fact);
            }
            ledger.advance(look);
            let pending = ledger.pending_by_cause(look);
            if pending.keys().any(|(_, cause)| *cause == Cause::Unknown) {
                return Some(self.story(look));
            }
        }
        None
    }

    /// What is known of one that nothing explains at `look`.
    fn story(&self, look: SimTime) -> String {
        let mut ledger = self.ledger();
        let facts = self.facts.iter().take_while(|fact| fact.at <= look);
        facts.for_each(|fact| ledger.record(fact));
        let pending = ledger.finish(look).pending;
        let one = pending.iter().find(|it| it.cause == Cause::Unknown);
        let one = one.expect("the ledger says the same of the same facts");
        let (order, evidence) = (one.order.0, &one.evidence);
        format!("{}: order {order}, {}: {evidence}", self.name, one.channel)
    }
}

#[test]
fn whenever_one_looks_every_wait_has_its_cause() {
    let files = ["gallery", "bugs"].into_iter().flat_map(files);
    let unexplained: Vec<String> = files
        .filter_map(|file| Rehearsal::of(&file, Defects::default()).unexplained())
        .collect();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
}

/// A server that pushed too early left commands `unknown` until it pushed again.
#[test]
fn whatever_is_wrong_with_the_server_every_wait_has_its_cause() {
    const FILES: [&str; 3] = ["not-now-all.toml", "renew.toml", "same-second.toml"];
    let files = files("bugs").into_iter();
    let files = files.filter(|file| FILES.iter().any(|name| file.ends_with(name)));
    let unexplained: Vec<String> = files
        .flat_map(|file| Defect::ALL.map(|defect| (file.clone(), defect)))
        .filter_map(|(file, defect)| {
            let story = Rehearsal::of(&file, defect.into()).unexplained()?;
            Some(format!("{}: {story}", defect.name()))
        })
        .collect();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
}
