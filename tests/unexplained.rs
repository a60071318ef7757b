//! No command of a bundled scenario waits without a cause, whenever one looks.
//!
//! A rehearsal of `nat-timeout` that was asked in its 14th minute told of a command `unknown`: a stored
//! push was on its way. Only the times that files name had been looked at.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "a part of the rig is for others")]
mod piece_rig;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mdmstorm::fact::FactKind;
use mdmstorm::record::Ledger;
use mdmstorm::record::cause::Cause;
use mdmstorm::record::setup::Setup;
use mdmstorm::reference_server::{Defect, Defects};
use mdmstorm::time::SimTime;
use piece_rig::{Piece, Rehearsal, folder};

/// A long run is looked at every minute of the scenario, a short one so often in all.
const LOOKS: u32 = 100;

/// The scenario files of a folder, in order of their names.
fn files(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "{files:?}");
    files
}

/// A rehearsal, and what was rehearsed.
struct Looked {
    piece: Piece,
    rehearsal: Rehearsal,
}

impl Looked {
    fn at(file: &Path, defects: Defects) -> Self {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let piece = Piece::read(file.parent().unwrap(), name);
        let rehearsal = piece.rehearse(defects);
        Self { piece, rehearsal }
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(Setup::of_plan(&self.piece.plan, self.rehearsal.book, false))
    }

    /// When somebody looks, from time zero on.
    fn looks(&self) -> Vec<SimTime> {
        let mut facts = self.rehearsal.facts.iter();
        let zero = facts
            .find(|fact| matches!(fact.kind, FactKind::TimeZero))
            .unwrap()
            .at;
        let length = self.rehearsal.facts.last().unwrap().at.since(zero);
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
        let mut facts = self.rehearsal.facts.iter().peekable();
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
        let facts = self
            .rehearsal
            .facts
            .iter()
            .take_while(|fact| fact.at <= look);
        facts.for_each(|fact| ledger.record(fact));
        let pending = ledger.finish(look).pending;
        let one = pending.iter().find(|it| it.cause == Cause::Unknown);
        let one = one.expect("the ledger says the same of the same facts");
        let (order, evidence) = (one.order.0, &one.evidence);
        format!(
            "{}: order {order}, {}: {evidence}",
            self.piece.name, one.channel
        )
    }
}

#[test]
fn whenever_one_looks_every_wait_has_its_cause() {
    let files = ["gallery", "bugs"].into_iter().flat_map(files);
    let unexplained: Vec<String> = files
        .filter_map(|file| Looked::at(&file, Defects::default()).unexplained())
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
            let story = Looked::at(&file, defect.into()).unexplained()?;
            Some(format!("{}: {story}", defect.name()))
        })
        .collect();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
}
