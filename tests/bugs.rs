//! The scenarios that provoke bugs of servers: each reads cleanly, comes out well with a server that
//! keeps the rules, and does not with one that has a defect it provokes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "a part of the rig is for others")]
mod piece_rig;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mdmstorm::fact::{Fact, FactKind, Got, ResultStatus, Said};
use mdmstorm::ids::{Channel, DeviceId, OrderBook, OrderIndex};
use mdmstorm::record::account::Tally;
use mdmstorm::reference_server::{Defect, Defects};
use mdmstorm::scenario::{Changes, Scenario, Target};
use mdmstorm::time::SimTime;
use piece_rig::{Piece, folder};

/// What a defect does that a scenario shows.
#[derive(Clone, Copy, Debug)]
enum Shows {
    /// More commands are pending at the end.
    Pending,
    /// More commands take longer than five seconds.
    Late,
    /// More commands come again after their result was taken.
    Repeats,
    /// More commands are settled before older ones.
    Inversions,
    /// More commands come that an enrolment has made void.
    Stale,
    /// More requests of devices are answered with an error.
    Errors,
    /// Ten times as many requests.
    Storm,
    /// The slowest answer takes three times as long.
    Slowness,
}

use Defect as D;

/// Every file there must be, and how it shows what it provokes.
const FILES: [(&str, &[(Defect, Shows)]); 13] = [
    (
        "bulk",
        &[
            (D::BulkTruncated, Shows::Pending),
            (D::PushBeforeCommit, Shows::Late),
            (D::ResultsRefused, Shows::Pending),
            (D::Random500s, Shows::Errors),
            (D::SlowQueries, Shows::Slowness),
        ],
    ),
    ("errors-first", &[(D::HeadBlocks, Shows::Pending)]),
    (
        "lost-responses",
        &[(D::OrderLostOnRedelivery, Shows::Inversions)],
    ),
    (
        "not-now-all",
        &[
            (D::NotNowSpins, Shows::Storm),
            (D::NotNowForgotten, Shows::Pending),
        ],
    ),
    (
        "not-now-first",
        &[
            (D::NotNowForgotten, Shows::Pending),
            (D::NotNowStarves, Shows::Inversions),
            (D::NotNowNeverPushed, Shows::Pending),
            (D::PushesOnce, Shows::Pending),
            (D::HeadBlocks, Shows::Late),
        ],
    ),
    (
        "overlap",
        &[
            (D::LosesOnOverlap, Shows::Pending),
            (D::DoublesOnOverlap, Shows::Repeats),
            (D::LaggingReplica, Shows::Repeats),
            (D::Random500s, Shows::Errors),
        ],
    ),
    (
        "parallel-orders",
        &[
            (D::LosesOnOverlap, Shows::Pending),
            (D::BulkTruncated, Shows::Pending),
            (D::ResultsRefused, Shows::Pending),
        ],
    ),
    (
        "re-enroll",
        &[
            (D::StaleAfterReenroll, Shows::Stale),
            (D::PushesOldToken, Shows::Pending),
        ],
    ),
    ("renew", &[(D::WipedByRenewal, Shows::Pending)]),
    ("rotate-token", &[(D::PushesOldToken, Shows::Pending)]),
    (
        "same-second",
        &[
            (D::PushBeforeCommit, Shows::Late),
            (D::LaggingReplica, Shows::Repeats),
            (D::LosesOnOverlap, Shows::Pending),
            (D::BulkTruncated, Shows::Pending),
        ],
    ),
    ("silent-devices", &[(D::PushWorkerSerial, Shows::Late)]),
    (
        "strange-results",
        &[(D::UnknownResultDamagesQueue, Shows::Pending)],
    ),
];

/// A command that takes longer is late.
const LATE: Duration = Duration::from_secs(5);

/// What is ordered within this time may come in any order.
const APART: Duration = Duration::from_millis(200);

fn read(name: &str) -> Piece {
    Piece::read(&folder("bugs"), name)
}

/// What came of a rehearsal with these defects.
fn rehearse(piece: &Piece, defects: Defects) -> Seen {
    let rehearsal = piece.rehearse(defects);
    let tally = rehearsal.outcome.account.tally(|_, _| true);
    look(&rehearsal.facts, &rehearsal.book, tally)
}

/// What a rehearsal comes to.
#[derive(Debug)]
struct Seen {
    tally: Tally,
    late: usize,
    repeats: usize,
    inversions: usize,
    stale: usize,
    errors: usize,
    requests: usize,
    slowest: Duration,
}

impl Seen {
    /// Whether this shows what `well` does not.
    fn shows(&self, what: Shows, well: &Self) -> bool {
        match what {
            Shows::Pending => self.tally.pending > well.tally.pending,
            Shows::Late => self.late > well.late,
            Shows::Repeats => self.repeats > well.repeats,
            Shows::Inversions => self.inversions > well.inversions,
            Shows::Stale => self.stale > well.stale,
            Shows::Errors => self.errors > well.errors,
            Shows::Storm => self.requests > 10 * well.requests,
            Shows::Slowness => self.slowest > 3 * well.slowest,
        }
    }
}

#[expect(
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "one pass over the facts, of which three kinds matter"
)]
fn look(facts: &[Fact], book: &OrderBook, tally: Tally) -> Seen {
    let mut ordered: BTreeMap<OrderIndex, SimTime> = BTreeMap::new();
    let mut settled: BTreeMap<OrderIndex, SimTime> = BTreeMap::new();
    let mut accepted: BTreeMap<OrderIndex, SimTime> = BTreeMap::new();
    let mut enrolled: BTreeMap<DeviceId, SimTime> = BTreeMap::new();
    let mut of_channel: BTreeMap<Channel, Vec<OrderIndex>> = BTreeMap::new();
    let mut seen = Seen {
        tally,
        late: 0,
        repeats: 0,
        inversions: 0,
        stale: 0,
        errors: 0,
        requests: 0,
        slowest: Duration::ZERO,
    };
    for fact in facts {
        match &fact.kind {
            FactKind::Ordered { order, .. } => {
                ordered.insert(*order, fact.at);
            }
            FactKind::Accepted { order, .. } => {
                accepted.insert(*order, fact.at);
            }
            FactKind::Exchange {
                channel,
                said,
                stamps,
                got,
            } => {
                seen.requests += 1;
                seen.errors += usize::from(matches!(got, Got::Status(500..)));
                if got.is_delivered() {
                    let sent = stamps.sent.unwrap_or(stamps.asked);
                    seen.slowest = seen.slowest.max(stamps.read.since(sent));
                }
                if let (Said::Authenticate, true) = (said, got.is_delivered()) {
                    enrolled.insert(channel.device, stamps.asked);
                }
                if let Got::Command { uuid, .. } = got
                    && let Some(order) = book.order(uuid)
                {
                    seen.repeats += usize::from(settled.contains_key(&order));
                    let void = enrolled.get(&channel.device);
                    let is_stale = accepted.get(&order).zip(void).is_some_and(|(a, e)| a < e);
                    seen.stale += usize::from(is_stale);
                }
                if let Said::Result {
                    uuid: Some(uuid),
                    status,
                } = said
                    && *status != ResultStatus::NotNow
                    && got.is_delivered()
                    && let Some(order) = book.order(uuid)
                    && settled.insert(order, stamps.read).is_none()
                {
                    of_channel.entry(*channel).or_default().push(order);
                }
            }
            _ => {}
        }
    }
    let end = facts.last().map_or(SimTime::ZERO, |fact| fact.at);
    let took =
        |order: &OrderIndex, at: SimTime| settled.get(order).copied().unwrap_or(end).since(at);
    seen.late = ordered
        .iter()
        .filter(|(order, at)| took(order, **at) > LATE)
        .count();
    for orders in of_channel.values() {
        for (place, later) in orders.iter().enumerate() {
            let after = &orders[place + 1..];
            let older = after
                .iter()
                .filter(|order| ordered[order] + APART < ordered[later]);
            seen.inversions += older.count();
        }
    }
    seen
}

#[test]
fn the_folder_has_these_files_and_no_others_and_the_document_tells_of_each() {
    let files = std::fs::read_dir(folder("bugs")).unwrap();
    let found: BTreeSet<String> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named = FILES
        .iter()
        .map(|(name, _)| format!("{name}.toml"))
        .collect();
    assert_eq!(found, named);
    let document = std::fs::read_to_string("docs/bugs.md").unwrap();
    for (name, provokes) in FILES {
        let link = format!("](../scenarios/bugs/{name}.toml)");
        let row = document.lines().find(|line| line.contains(&link));
        let row = row.unwrap_or_else(|| panic!("docs/bugs.md does not link {name}"));
        for (defect, _) in provokes {
            let said = format!("`{}`", defect.name());
            assert!(row.contains(&said), "docs/bugs.md: {name} lacks {said}");
        }
    }
    for defect in Defect::ALL {
        let row = format!("| `{}` | {} |", defect.name(), defect.about());
        assert!(document.contains(&row), "docs/bugs.md lacks: {row}");
    }
}

#[test]
fn each_file_explains_itself_and_is_small_and_short() {
    for (name, provokes) in FILES {
        let piece = read(name);
        assert_eq!(piece.plan.name, name);
        let comment: Vec<&str> = piece
            .text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        assert_eq!(
            comment.first(),
            Some(&"#:schema ../../docs/scenario.schema.json")
        );
        let comment = comment.join("\n");
        assert!(comment.contains("--set target.nanomdm.url="), "{name}");
        for (defect, _) in provokes {
            assert!(comment.contains(defect.name()), "{name}: {defect:?}");
        }
        assert!((20..=200).contains(&piece.plan.devices()), "{name}");
        let real = piece.plan.needs().real_length;
        assert!(real <= Duration::from_secs(25), "{name} takes {real:?}");
    }
}

#[test]
fn each_file_comes_out_well_without_a_defect_and_shows_each_that_it_provokes() {
    let mut wrong = Vec::new();
    for (name, provokes) in FILES {
        let piece = read(name);
        let well = rehearse(&piece, Defects::default());
        if well.tally.pending + well.errors as u64 + well.stale as u64 > 0 {
            wrong.push(format!("{name}: {well:?}"));
        }
        for (defect, what) in provokes {
            let seen = rehearse(&piece, (*defect).into());
            if !seen.shows(*what, &well) {
                let name = format!("{name} {}: no {what:?}", defect.name());
                wrong.push(format!("{name}\n  without {well:?}\n  with    {seen:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn another_target_takes_the_place_of_the_bundled_server() {
    for (name, _) in FILES {
        let piece = read(name);
        let sets = [
            "target.nanomdm.url=http://127.0.0.1:9000",
            "target.nanomdm.api-key={ env = \"KEY\" }",
        ];
        let changes = Changes {
            sets: sets.map(str::to_owned).to_vec(),
            only: None,
        };
        let scenario = Scenario::parse_with(&piece.text, name, &changes);
        let scenario = scenario.unwrap_or_else(|errors| panic!("{errors}"));
        assert!(matches!(scenario.target, Target::Nanomdm(_)), "{name}");
    }
}

#[test]
fn the_scenario_says_what_is_wrong_with_the_bundled_server() {
    let piece = read("not-now-all");
    let changes = Changes {
        sets: vec!["target.embedded.defects=[\"not-now-forgotten\"]".to_owned()],
        only: None,
    };
    let scenario = Scenario::parse_with(&piece.text, "not-now-all", &changes).unwrap();
    let broken = Piece { scenario, ..piece };
    let seen = rehearse(&broken, Defects::default());
    assert_eq!(
        seen.tally.pending,
        seen.tally.ordered - seen.tally.completed
    );
    assert!(seen.tally.pending > 0, "{seen:?}");
}

#[test]
fn some_file_provokes_each_defect() {
    let provoked: BTreeSet<Defect> = FILES
        .iter()
        .flat_map(|(_, provokes)| provokes.iter().map(|(defect, _)| *defect))
        .collect();
    assert_eq!(provoked, BTreeSet::from(Defect::ALL));
}
