//! What is found of each defect in each scenario of `scenarios/bugs`, on virtual time: all that should be,
//! and nothing else. `docs/findings.md` keeps the table.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "a part of the rig is for others")]
mod piece_rig;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use mdmstorm::reference_server::{Defect, Defects};
use mdmstorm::rule::Rule;
use piece_rig::{Piece, folder};

/// What is to be found of a defect.
struct Expected {
    defect: Defect,
    /// What it is found by.
    by: Option<Rule>,
    /// What may be found as well, because it follows from the defect.
    and: &'static [Rule],
    /// The scenarios in which it has to be found.
    within: &'static [&'static str],
}

const fn expect(
    defect: Defect,
    by: Rule,
    and: &'static [Rule],
    within: &'static [&'static str],
) -> Expected {
    Expected {
        defect,
        by: Some(by),
        and,
        within,
    }
}

use {Defect as D, Rule as R};

/// What is to be found of each defect.
const EXPECTED: [Expected; 20] = [
    // What is lost within a minute of a renewal is called lost by it: nobody can tell.
    expect(
        D::LosesOnOverlap,
        R::LostCommand,
        &[R::LostOnRenewal],
        &["overlap", "parallel-orders", "same-second"],
    ),
    expect(
        D::DoublesOnOverlap,
        R::DuplicateAfterAck,
        &[],
        &["overlap", "parallel-orders", "same-second"],
    ),
    // The head that is dropped may be a command that its device has, and sent no status of.
    expect(
        D::UnknownResultDamagesQueue,
        R::LostCommand,
        &[R::Reordered],
        &["strange-results"],
    ),
    expect(
        D::OrderLostOnRedelivery,
        R::Reordered,
        &[],
        &["lost-responses"],
    ),
    // What is forgotten is not pushed for either.
    expect(
        D::NotNowForgotten,
        R::NotNowStarved,
        &[R::NotNowNotRepushed],
        &["not-now-all", "not-now-first"],
    ),
    expect(
        D::NotNowSpins,
        R::NotNowSpin,
        &[],
        &["not-now-all", "not-now-first", "re-enroll"],
    ),
    expect(D::NotNowStarves, R::NotNowStarved, &[], &["not-now-first"]),
    expect(
        D::NotNowNeverPushed,
        R::NotNowNotRepushed,
        &[],
        &["not-now-first"],
    ),
    // The command that stays the head was answered with a 2xx, and comes again.
    expect(
        D::HeadBlocks,
        R::HeadOfLineBlocked,
        &[R::DuplicateAfterAck],
        &["errors-first"],
    ),
    // A result that is refused is sent again in each session, and holds up what is behind it.
    expect(
        D::ResultsRefused,
        R::HttpErrors,
        &[R::HeadOfLineBlocked],
        &["bulk", "parallel-orders"],
    ),
    expect(
        D::PushBeforeCommit,
        R::EarlyPush,
        &[],
        &["bulk", "same-second"],
    ),
    expect(D::PushesOnce, R::NotNowNotRepushed, &[], &["not-now-first"]),
    expect(
        D::PushesOldToken,
        R::WrongPush,
        &[],
        &["re-enroll", "rotate-token"],
    ),
    expect(D::PushWorkerSerial, R::NoPush, &[], &["silent-devices"]),
    expect(
        D::BulkTruncated,
        R::LostCommand,
        &[R::LostOnRenewal, R::NoPush],
        &["bulk", "parallel-orders", "same-second"],
    ),
    expect(
        D::StaleAfterReenroll,
        R::StaleAfterReenroll,
        &[],
        &["re-enroll"],
    ),
    expect(D::WipedByRenewal, R::LostOnRenewal, &[], &["renew"]),
    // A copy that lacks what was answered lacks what was ordered, too.
    expect(
        D::LaggingReplica,
        R::DuplicateAfterAck,
        &[R::EarlyPush],
        &["overlap", "same-second"],
    ),
    expect(D::Random500s, R::HttpErrors, &[], &["bulk", "overlap"]),
    // Slowness breaks no rule: thresholds are for that, and causes say whose fault it is.
    Expected {
        defect: D::SlowQueries,
        by: None,
        and: &[],
        within: &[],
    },
];

/// How many rehearsals are under way at once.
const HANDS: usize = 2;

const DOCUMENT: &str = "docs/findings.md";
const BEGIN: &str = "<!-- made by tests/matrix.rs; `make golden` writes it -->\n";
const END: &str = "<!-- until here -->\n";

/// The scenarios that provoke bugs, by name.
fn provoking() -> Vec<Piece> {
    let folder = folder("bugs");
    let files = std::fs::read_dir(&folder).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let name = |file: PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    let names: BTreeSet<String> = files.map(name).collect();
    let read = |name: &String| Piece::read(&folder, name);
    names.iter().map(read).collect()
}

/// What was found of a defect, in which scenario.
type Found = BTreeMap<(Defect, String), BTreeSet<Rule>>;

/// Every defect in every scenario.
fn all(pieces: &[Piece]) -> Found {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let cell = next.fetch_add(1, Ordering::Relaxed);
            let Some(defect) = Defect::ALL.get(cell / pieces.len()) else {
                return found;
            };
            let piece = &pieces[cell % pieces.len()];
            let findings = piece.rehearse((*defect).into()).outcome.findings;
            let rules: BTreeSet<Rule> = findings.counts.keys().copied().collect();
            found.push(((*defect, piece.name.clone()), rules));
        }
    };
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(work)).collect();
        let found = hands.into_iter().flat_map(|hand| hand.join().unwrap());
        found.collect()
    })
}

/// How many of the cells that are looked at are as they should be, and which are not.
#[derive(Default)]
struct Score {
    right: usize,
    wrong: Vec<String>,
}

impl Score {
    fn count(&mut self, is_right: bool, cell: impl FnOnce() -> String) {
        if is_right {
            self.right += 1;
        } else {
            self.wrong.push(cell());
        }
    }

    fn words(&self, what: &str) -> String {
        let all = self.right + self.wrong.len();
        let percent = 100.0 * self.right as f64 / all as f64;
        format!("{what} {percent:.1} % ({} of {all})", self.right)
    }
}

/// Whether what was found should have been, and whether what should have been found was.
fn score(found: &Found) -> (Score, Score) {
    let (mut precision, mut recall) = (Score::default(), Score::default());
    for expected in &EXPECTED {
        let name = expected.defect.name();
        for ((_, scenario), rules) in found.iter().filter(|(key, _)| key.0 == expected.defect) {
            for rule in rules {
                let is_right = expected.by == Some(*rule) || expected.and.contains(rule);
                precision.count(is_right, || format!("{name} {scenario}: {}", rule.name()));
            }
        }
        for scenario in expected.within {
            let rules = &found[&(expected.defect, (*scenario).to_owned())];
            let is_found = expected.by.is_some_and(|by| rules.contains(&by));
            recall.count(is_found, || format!("{name} {scenario}: nothing"));
        }
    }
    (precision, recall)
}

fn table(found: &Found) -> String {
    let mut text = String::from("| Defect | Found by | In | Beside it |\n|---|---|---|---|\n");
    for expected in &EXPECTED {
        let cells = found.iter().filter(|(key, _)| key.0 == expected.defect);
        let shows = |rules: &BTreeSet<Rule>| expected.by.is_some_and(|by| rules.contains(&by));
        let within = cells.clone().filter(|(_, rules)| shows(rules));
        let within: Vec<&str> = within.map(|((_, name), _)| name.as_str()).collect();
        let beside = cells.flat_map(|(_, rules)| rules);
        let beside: BTreeSet<Rule> = beside
            .filter(|it| expected.by != Some(**it))
            .copied()
            .collect();
        let beside: Vec<String> = beside.iter().map(|it| format!("`{}`", it.name())).collect();
        let by = expected
            .by
            .map_or_else(|| "no rule".to_owned(), |by| format!("`{}`", by.name()));
        let (within, beside) = (within.join(", "), beside.join(", "));
        let name = expected.defect.name();
        writeln!(text, "| `{name}` | {by} | {within} | {beside} |").unwrap();
    }
    text
}

#[test]
fn each_defect_is_found_by_its_rule_and_by_no_other() {
    let expected: Vec<Defect> = EXPECTED.iter().map(|it| it.defect).collect();
    assert_eq!(expected, Defect::ALL);
    let pieces = provoking();
    let found = all(&pieces);
    let (precision, recall) = score(&found);
    let (precise, whole) = (precision.words("Precision"), recall.words("recall"));
    let (defects, scenarios) = (Defect::ALL.len(), pieces.len());
    let text = format!(
        "{}\n{precise}, {whole}, over {defects} defects in {scenarios} scenarios.\n",
        table(&found)
    );
    println!("{text}");
    let wrong = [precision.wrong, recall.wrong].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (kept, after) = rest.split_once(END).unwrap();
    if kept == text {
        return;
    }
    assert!(update(), "{DOCUMENT} is not so; `make golden` writes it");
    std::fs::write(DOCUMENT, format!("{before}{BEGIN}{text}{END}{after}")).unwrap();
}

/// The gallery is judged in the same way, by `tests/gallery.rs`.
#[test]
fn a_server_that_keeps_the_rules_is_found_to_break_none() {
    let quickstart = Piece::read(&folder(""), "quickstart");
    let fewer = quickstart.text.replace("count = 600", "count = 60");
    let fewer = fewer.replace("count = 200", "count = 20");
    let mut pieces = provoking();
    pieces.push(quickstart.with(fewer));
    for piece in pieces {
        let found = piece.rehearse(Defects::default()).outcome.findings;
        assert!(found.counts.is_empty(), "{}: {found:#?}", piece.name);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the same variable that insta reads"
)]
fn update() -> bool {
    std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always")
}
