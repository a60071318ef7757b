//! The gallery of reasons why commands are pending: each file reads cleanly, plans what its golden
//! file says, is rehearsed the same each time, and comes out as its expectations say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod piece_rig;

use std::collections::BTreeSet;
use std::time::Duration;

use mdmstorm::fact::Fact;
use mdmstorm::ids::OrderBook;
use mdmstorm::record::Ledger;
use mdmstorm::record::account::Account;
use mdmstorm::record::cause::Cause;
use mdmstorm::record::setup::Setup;
use mdmstorm::reference_server::Defects;
use mdmstorm::report::expect::{self, Expectation, check};
use mdmstorm::scenario::{Expect, ExpectAt, Expected, HowMany};
use mdmstorm::sim::transcript;
use mdmstorm::time::SimTime;
use piece_rig::{Piece, folder};

/// Every file there must be, and no other.
const NAMES: [&str; 26] = [
    "agent-crashed",
    "background-throttled",
    "before-first-unlock",
    "blank-push",
    "classroom-bell",
    "clock-drift",
    "deep-sleep",
    "firewall-5223",
    "ghost-devices",
    "keychain-locked",
    "licenses-exhausted",
    "locked-profile-install",
    "login-blocked",
    "nat-timeout",
    "notnow-then-success",
    "offline",
    "power-nap",
    "push-certificate-expired",
    "push-lost",
    "push-outage",
    "push-throttled",
    "reissue",
    "steady-state",
    "stored-push",
    "thundering-herd",
    "weekend-reboot",
];

/// With start-up, enrolment and drain a run takes under 20 s.
const LONGEST_RUN: Duration = Duration::from_secs(15);

/// The same without anything that happens at a set time.
fn without_timeline(piece: &Piece) -> Piece {
    let sections = piece.text.split("\n[[");
    let others: Vec<&str> = sections
        .filter(|section| !section.starts_with("timeline]]"))
        .collect();
    piece.with(others.join("\n[["))
}

/// Every fact of a rehearsal.
fn facts(piece: &Piece) -> (Vec<Fact>, OrderBook) {
    let rehearsal = piece.rehearse(Defects::default());
    let findings = rehearsal.outcome.findings;
    assert!(findings.counts.is_empty(), "{}: {findings:#?}", piece.name);
    (rehearsal.facts, rehearsal.book)
}

/// What a ledger makes of a rehearsal, with a look at each time that is asked for.
fn account(piece: &Piece, expectations: &[Expectation]) -> Account {
    let (facts, book) = facts(piece);
    let mut ledger = Ledger::new(Setup::of_plan(&piece.plan, book, false));
    ledger.take_snapshots_after(expect::times(expectations));
    let mut advanced = SimTime::ZERO;
    for fact in &facts {
        if fact.at >= advanced + Duration::from_millis(100) {
            advanced = fact.at;
            ledger.advance(fact.at);
        }
        ledger.record(fact);
    }
    let end = facts.last().map_or(SimTime::ZERO, |fact| fact.at);
    ledger.finish(end)
}

/// The expectations that do not hold, and what came instead.
fn disappointments(piece: &Piece) -> Vec<String> {
    let expects = &piece.scenario.expects;
    let checked: Vec<Expectation> = expects.iter().map(checkable).collect();
    let account = account(piece, &checked);
    let results = checked.iter().map(|it| check(it, &account));
    expects
        .iter()
        .zip(results)
        .filter(|(_, result)| !result.passed)
        .map(|(expect, result)| format!("{}: {}: {}", expect.place, expect.text, result.instead))
        .collect()
}

fn pieces() -> impl Iterator<Item = Piece> {
    NAMES
        .into_iter()
        .map(|name| Piece::read(&folder("gallery"), name))
}

#[test]
fn the_gallery_has_these_files_and_no_others() {
    let files = std::fs::read_dir(folder("gallery")).unwrap();
    let found: BTreeSet<String> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named = NAMES.iter().map(|name| format!("{name}.toml")).collect();
    assert_eq!(found, named);
    let document = std::fs::read_to_string("docs/gallery.md").unwrap();
    for name in NAMES {
        let link = format!("](../scenarios/gallery/{name}.toml)");
        assert!(
            document.contains(&link),
            "docs/gallery.md does not link {name}"
        );
    }
}

#[test]
fn each_file_explains_itself_and_is_small_and_short() {
    for piece in pieces() {
        let (name, plan) = (&piece.name, &piece.plan);
        assert_eq!(plan.name, *name);
        let mut lines = piece.text.lines();
        assert_eq!(
            lines.next(),
            Some("#:schema ../../docs/scenario.schema.json"),
            "{name}"
        );
        let told = lines
            .take_while(|line| line.starts_with('#'))
            .filter(|line| line.len() > 1);
        assert!((2..=4).contains(&told.count()), "{name}: its comment");
        assert!((20..=200).contains(&plan.devices()), "{name}");
        assert!((20..=500).contains(&plan.orders.len()), "{name}");
        let real = plan.needs().real_length;
        assert!(real <= LONGEST_RUN, "{name} takes {real:?}");
        let last = plan.timeline.iter().map(|entry| entry.at);
        let last = last.chain(plan.happenings.iter().map(|happening| happening.at));
        assert!(last.max().unwrap_or_default() < plan.length(), "{name}");
    }
}

#[test]
fn each_file_plans_what_its_golden_file_says() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden/gallery");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for piece in pieces() {
        let name = format!("{}.plan", piece.name);
        settings.bind(|| insta::assert_snapshot!(name, piece.plan.to_string()));
    }
}

#[test]
fn each_file_is_rehearsed_the_same_each_time() {
    for piece in pieces() {
        let told = || {
            let (facts, book) = facts(&piece);
            let lines = facts.iter().map(|fact| transcript::line(fact, &book));
            lines.collect::<Vec<String>>()
        };
        assert!(told() == told(), "{} differs", piece.name);
    }
}

#[test]
fn each_file_comes_out_as_it_expects() {
    let mut wrong = Vec::new();
    for piece in pieces() {
        let expects = &piece.scenario.expects;
        assert!(expects.len() >= 2, "{} expects too little", piece.name);
        for expect in expects {
            assert!(!is_empty(expect), "{}: {}", expect.place, expect.text);
        }
        wrong.extend(disappointments(&piece));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_pending_at_a_named_time_waits_for_what_the_file_is_about() {
    for piece in pieces() {
        let expects: Vec<Expectation> = piece.scenario.expects.iter().map(checkable).collect();
        for snapshot in &account(&piece, &expects).snapshots {
            let at = format!("{} at {:?}", piece.name, snapshot.after);
            let pending = &snapshot.pending;
            let named = |it: &&Expectation| {
                it.after.is_some() && it.after == snapshot.after && it.cause.is_some()
            };
            let unknown = pending.keys().any(|(_, cause)| *cause == Cause::Unknown);
            let is_named = expects.iter().any(|it| named(&it));
            assert!(!(is_named && unknown), "{at}: {pending:?}");
            for expect in expects.iter().filter(named) {
                let about = |cohort: u16| expect.cohort.is_none_or(|it| it.0 == cohort);
                let same = |it: &&Expectation| it.cohort == expect.cohort;
                let causes = expects.iter().filter(named).filter(same);
                let causes: BTreeSet<Cause> = causes.filter_map(|it| it.cause).collect();
                let all = pending.iter().filter(|((cohort, _), _)| about(*cohort));
                let total: u64 = all.clone().map(|(_, count)| count).sum();
                let meant = all.filter(|((_, cause), _)| causes.contains(cause));
                let meant: u64 = meant.map(|(_, count)| count).sum();
                assert!(meant > 0 && meant * 100 >= total * 99, "{at}: {pending:?}");
            }
        }
    }
}

#[test]
fn no_file_comes_out_so_without_its_timeline() {
    // What ends the wait in these is the devices' own life, or nothing does.
    const BY_THEMSELVES: [&str; 3] = ["classroom-bell", "ghost-devices", "steady-state"];
    for piece in pieces() {
        let is_moot = disappointments(&without_timeline(&piece)).is_empty();
        assert_eq!(
            is_moot,
            BY_THEMSELVES.contains(&piece.name.as_str()),
            "{}",
            piece.name
        );
    }
}

#[test]
fn each_file_shows_commands_that_wait_and_then_complete() {
    // Nobody brings a ghost back, and an error is final.
    const FOR_EVER: [&str; 1] = ["ghost-devices"];
    for piece in pieces() {
        let expects = &piece.scenario.expects;
        let waits = |expect: &&Expect| {
            expect.what == Expected::Pending && matches!(expect.at, ExpectAt::Time(_))
        };
        let waiting = expects.iter().find(waits);
        let waits = waiting.is_some() || piece.name == "licenses-exhausted";
        assert!(waits, "{} shows nothing that waits", piece.name);
        let ends = expects
            .iter()
            .any(|expect| expect.what == Expected::Completed && expect.at == ExpectAt::End);
        assert!(
            ends || FOR_EVER.contains(&piece.name.as_str()),
            "{} ends without a remedy",
            piece.name
        );
    }
}

/// Whether nothing is what an expectation asks for, beside "nothing is left pending".
fn is_empty(expect: &Expect) -> bool {
    let is_nothing = match expect.how_many {
        HowMany::Count { to, .. } => to == 0,
        HowMany::Share { to, .. } => to == 0.0,
    };
    let nothing_is_left = expect.what == Expected::Pending && expect.cause.is_none();
    is_nothing && !nothing_is_left
}

/// What the scenario says, as the report checks it.
fn checkable(expect: &Expect) -> Expectation {
    Expectation {
        expression: expect.text.clone(),
        cohort: expect.cohort,
        after: match expect.at {
            ExpectAt::Time(at) => Some(at),
            ExpectAt::End => None,
        },
        what: match expect.what {
            Expected::Pending => expect::Expected::Pending,
            Expected::Completed => expect::Expected::Completed,
            Expected::Failed => expect::Expected::Failed,
            Expected::Cancelled => expect::Expected::Cancelled,
        },
        how_many: match expect.how_many {
            HowMany::Count { from, to } => expect::HowMany::Count { from, to },
            HowMany::Share { from, to } => expect::HowMany::Share { from, to },
        },
        cause: expect.cause.as_ref().map(|name| {
            Cause::find(name)
                .unwrap_or_else(|| panic!("{}: no cause is called {name}", expect.place))
        }),
        code: expect.code,
    }
}
