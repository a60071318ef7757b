//! A swarm: per seed a random scenario on a random network, with some kinds of trouble left out, run
//! under the checkers; then everything is healed, and every order must come to its end.
//!
//! To add a kind of trouble, add a line to [`LIFE`] (what a cohort is like), [`EVENTS`] (what its
//! timeline does), [`PUSHES`] (what it does to pushes) or [`FAULTS`] (what the network does). `MDMSTORM_SWARM_SEEDS` says
//! how many seeds, or which: `100..200`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::fact::{Fact, FactKind, Obtaining, Said};
use mdmstorm::finding::{Finding, Findings};
use mdmstorm::ids::{Channel, DeviceId, OrderBook, OrderIndex};
use mdmstorm::plan::Plan;
use mdmstorm::record::account::Account;
use mdmstorm::rule::Rule;
use mdmstorm::scenario::Scenario;
use mdmstorm::scenario::commands::build;
use mdmstorm::seed::{Draw, Purpose, Seed};
use mdmstorm::sim::checker::Checker;
use mdmstorm::sim::network::{Conditions, Faults};
use mdmstorm::sim::transcript::line;
use mdmstorm::sim::{Settings, World};
use mdmstorm::time::SimTime;

/// Seeds when nobody says how many.
const SEEDS: u64 = 30;

/// Lines of a device's story that a failure shows.
const LAST: usize = 30;

/// How long trouble lasts after the last order, and how long everything has to settle once healed.
const TROUBLE: Duration = Duration::from_secs(3_600);
const HEALING: Duration = Duration::from_secs(3 * 24 * 3_600);

/// What a cohort may be like: lines of its table, each there in half of the scenarios and cohorts.
const LIFE: [&str; 24] = [
    r#"sleep = { asleep = "1m..20m", awake = "10s..5m", share-asleep = 0.5 }"#,
    r#"link = { offline = "5s..10m", online = "10s..20m", share-offline = 0.2 }"#,
    r#"not-now = { requests = ["ProfileList"], probability = 0.6, for = "5s..10m" }"#,
    r#"push-latency = "0s..30s""#,
    r#"stored-push-delay = "0s..1m""#,
    r#"wake-delay = "0s..20s""#,
    r#"reply = { usual = "0s..2m" }"#,
    r#"back-off = { initial = "1s", max = "10m" }"#,
    r#"woken-by-push = "1s..5s""#,
    // Nobody would unlock what only restarts.
    r#"passcode = true
lock = { locked = "1m..1h", unlocked = "10s..10m", share-locked = 0.5 }"#,
    r#"power = { off = "1m..30m", on = "10m..1h", share-off = 0.1, boot = "10s..1m" }"#,
    r#"agent = { stopped = { for = "1m..20m", every = "10m..40m" }, throttled = 0.3 }"#,
    r#"clock = { offset = "+200d", share = 0.3 }"#,
    r#"clock = { offset = "-11m", drift-ppm = 50, resync = "30m", tls-tolerance = "5m" }"#,
    r#"clock = { offset = "-11m", from = "enrollment", resync = "30m", tls-tolerance = "5m" }"#,
    r#"poll-on = ["boot", "network-return", "unlock"]"#,
    r#"not-now = { name = "busy", probability = 0.5 }"#,
    r#"failures = { requests = ["SecurityInfo"], probability = 0.5, domain = "MCMDMErrorDomain", code = 12064 }"#,
    r#"misbehaves = { probability = 0.3, do = "duplicate" }"#,
    r#"misbehaves = { probability = 0.3, do = "unknown-command" }"#,
    r#"misbehaves = { probability = 0.3, do = "never" }"#,
    r#"misbehaves = { probability = 0.3, do = "truncated" }"#,
    r#"misbehaves = { probability = 0.3, do = "wrong-types" }"#,
    r#"misbehaves = { probability = 0.3, do = { late = "10s..5m" } }"#,
];

/// What a timeline may do.
const EVENTS: [&str; 32] = [
    "sleep",
    "wake",
    "go-offline",
    "come-online",
    "power-off",
    "power-on",
    "reboot",
    "lock",
    "unlock",
    "block-push",
    "move-to-hotspot",
    "deafen",
    "enter-setup",
    "throttle",
    "crash-agent",
    "open-agent",
    "log-out",
    "log-in",
    "block-login",
    "lock-keychain",
    "rotate-token",
    "sync-clock",
    "get-token",
    "sync-declarations",
    "get-bootstrap-token",
    "set-bootstrap-token",
    "return-to-service",
    "re-enroll",
    "renew-identity",
    "remove-profile",
    "erase-and-re-enroll",
    "clone",
];

/// What a timeline may do to pushes. A duplicate is left out: the checkers want every push once. So is
/// Unregistered: the server pushes no more to such a token, and nothing that is healed changes that.
const PUSHES: [&str; 15] = [
    r#"do = "lose-pushes"
share = 0.5"#,
    r#"do = "fault-pushes"
fault = "delay"
by = "1s..20m""#,
    r#"do = "fault-pushes"
fault = "reorder"
by = "1s..20m""#,
    r#"do = "fault-pushes"
fault = "slow"
share = 0.5
by = "1s..1m""#,
    r#"do = "fault-pushes"
fault = "hang"
share = 0.5"#,
    r#"do = "fault-pushes"
fault = "reset"
share = 0.3"#,
    r#"do = "fault-pushes"
fault = "goaway"
nth = 3"#,
    r#"do = "fault-pushes"
fault = "garble"
share = 0.5"#,
    r#"do = "fault-pushes"
fault = "answer"
share = 0.5
reason = "TooManyRequests""#,
    r#"do = "fault-pushes"
fault = "answer"
nth = 2
reason = "InternalServerError""#,
    r#"do = "heal-pushes""#,
    r#"do = "push-outage""#,
    r#"do = "end-push-outage""#,
    r#"do = "throttle-pushes"
rate = "1 per 10m""#,
    r#"do = "send-goaway""#,
];

/// What may be ordered.
const REQUESTS: [&str; 5] = [
    "DeviceInformation",
    "SecurityInfo",
    "ProfileList",
    "InstalledApplicationList",
    "CertificateList",
];

/// A kind of trouble with the network, and how much of it at most.
type Fault = (fn(&mut Faults) -> &mut f64, f64);

const FAULTS: [Fault; 7] = [
    (|faults| &mut faults.cut_before, 0.2),
    (|faults| &mut faults.cut_after, 0.2),
    (|faults| &mut faults.lost, 0.2),
    (|faults| &mut faults.push_failed, 0.5),
    (|faults| &mut faults.order_cut_before, 0.2),
    (|faults| &mut faults.order_cut_after, 0.2),
    (|faults| &mut faults.errand_failed, 0.5),
];

/// One seed's scenario and network.
#[derive(Debug)]
struct Case {
    scenario: String,
    faults: Faults,
}

/// The die of a swarm: a purpose whose subject no scenario uses.
fn die(seed: u64, event: u64) -> Draw {
    Seed(seed).draw(Purpose::Traits, u64::MAX, event, 0)
}

fn one_of<T: Copy>(die: &mut Draw, of: &[T]) -> T {
    of[die.below(of.len() as u64) as usize]
}

impl Case {
    fn of(seed: u64) -> Self {
        let mut text = format!(
            "name = \"swarm\"\nseed = {seed}\n\n[target.embedded]\n\n[enrollment]\nwithin = \"2h\"\n"
        );
        let cohorts = 1 + die(seed, 0).below(3);
        // A swarm leaves some kinds of trouble out altogether, so that others show.
        let mut leave = die(seed, 1);
        let kinds: Vec<_> = LIFE.iter().filter(|_| leave.chance(0.6)).collect();
        for cohort in 0..cohorts {
            let mut die = die(seed, 10 + cohort);
            let count = 1 + die.below(20);
            let preset = one_of(&mut die, &["always-on", "macbook", "iphone"]);
            let _ = write!(
                text,
                "\n[[cohorts]]\nname = \"c{cohort}\"\ncount = {count}\npreset = \"{preset}\"\n"
            );
            // Two lines of one key are two ways to be in it: one of them is enough.
            let mut keys = BTreeSet::new();
            for line in kinds.iter().filter(|_| die.chance(0.5)) {
                if keys.insert(line.split(' ').next()) {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        for stage in 0..1 + die(seed, 2).below(2) {
            let mut die = die(seed, 20 + stage);
            let minutes = 1 + die.below(60);
            let _ = write!(
                text,
                "\n[[stages]]\nname = \"s{stage}\"\nduration = \"{minutes}m\"\ncommands = [\n"
            );
            for _ in 0..1 + die.below(4) {
                let request = one_of(&mut die, &REQUESTS);
                let (to, each) = (die.below(cohorts), 1 + die.below(4));
                let (serial, arrival) = (die.chance(0.3), one_of(&mut die, &["even", "poisson"]));
                let _ = writeln!(
                    text,
                    "  {{ request = \"{request}\", to = \"c{to}\", each = {each}, serial = {serial}, \
                     arrival = \"{arrival}\" }},"
                );
            }
            text.push_str("]\n");
        }
        let mut die_of_events = die(seed, 3);
        for _ in 0..die_of_events.below(6) {
            let (minute, spread) = (die_of_events.below(90), die_of_events.below(120));
            let (what, to) = (
                one_of(&mut die_of_events, &EVENTS),
                die_of_events.below(cohorts),
            );
            let _ = write!(
                text,
                "\n[[timeline]]\nat = \"{minute}m\"\nto = \"c{to}\"\ndo = \"{what}\"\n\
                 spread = \"0s..{}s\"\n",
                spread + 1
            );
        }
        let mut die_of_pushes = die(seed, 5);
        for _ in 0..die_of_pushes.below(4) {
            let (minute, what) = (die_of_pushes.below(90), one_of(&mut die_of_pushes, &PUSHES));
            let _ = write!(text, "\n[[timeline]]\nat = \"{minute}m\"\n{what}\n");
        }
        let (mut faults, mut die) = (Faults::default(), die(seed, 4));
        for (fault, most) in FAULTS {
            let amount = die.unit() * most;
            if die.chance(0.5) {
                *fault(&mut faults) = amount;
            }
        }
        Self {
            scenario: text,
            faults,
        }
    }

    fn world(&self) -> Result<World, String> {
        let scenario = Scenario::parse(&self.scenario, "swarm.toml").map_err(|e| e.to_string())?;
        let built = scenario.commands().map(|command| build(command, None));
        let built: Result<Vec<_>, _> = built.collect();
        let built = built.map_err(|error| error.to_string())?;
        let plan = Arc::new(Plan::new(&scenario, built, scenario.seed));
        let settings = Settings {
            drain: TROUBLE + HEALING,
            waits_for_all: true,
            conditions: Conditions {
                faults: self.faults,
                ..Conditions::default()
            },
            ..Settings::default()
        };
        Ok(World::new(&scenario, plan, settings))
    }

    /// The server keeps the rules, whatever goes wrong around it.
    fn judge(&self, findings: &Findings, eyes: &Eyes) -> Result<(), String> {
        // The network between server and gateway is the one place that no fact tells of.
        let unseen = |rule| matches!(rule, Rule::NoPush | Rule::NotNowNotRepushed);
        let loses_pushes = self.faults.push_failed > 0.0;
        let found = |it: &&Finding| !(loses_pushes && unseen(it.rule));
        let Some(first) = findings.examples.iter().find(found) else {
            return Ok(());
        };
        let evidence = first.evidence.iter();
        let evidence: String = evidence
            .map(|it| format!("    {} {}\n", it.at, it.what))
            .collect();
        let story = first.channel.map(|channel| eyes.last_of(channel));
        Err(format!(
            "{} of {:?} at {}: {:?}\n{evidence}  the end of its story\n{}",
            first.rule.name(),
            first.channel,
            first.at,
            findings.counts,
            story.unwrap_or_default()
        ))
    }

    /// Runs, heals, and runs to the end.
    fn run(&self) -> Result<(), String> {
        let mut world = self.world()?;
        let mut eyes = Eyes::of(&world);
        let mut heal_at = SimTime::NEVER;
        while let Some(facts) = world.step() {
            eyes.look(facts)?;
            if heal_at == SimTime::NEVER && world.is_draining() {
                heal_at = world.now() + TROUBLE;
            }
            if world.is_draining() && world.now() >= heal_at && !eyes.healed {
                eyes.healed = true;
                eyes.look(world.heal())?;
            }
        }
        let devices = (0..world.devices()).map(DeviceId);
        let queues: Vec<_> = devices.map(|it| (it, world.open_at_server(it))).collect();
        let finished = world.finish();
        if finished.enrollment_failed {
            // Nothing was ordered, so there is nothing to settle.
            return Ok(());
        }
        eyes.checker.close(&finished.account)?;
        self.judge(&finished.findings, &eyes)?;
        for pending in &finished.account.pending {
            // The server never had it, or it stands in line behind one that the server never had.
            let in_line = !eyes.offered.contains_key(&pending.order)
                && account_has(&finished.account, pending.channel, &eyes.unknown);
            // A server forgets what was queued when a device authenticates anew, or leaves.
            let forgotten = eyes.is_forgotten(pending.order, pending.channel.device);
            // It does not let one in that shows the identity of another.
            let refused = eyes.copies.contains(&pending.channel.device);
            if !eyes.unknown.contains(&pending.order) && !in_line && !forgotten && !refused {
                return Err(format!(
                    "order {} is still open after everything was healed: {:?}, {}\n{}",
                    pending.order.0,
                    pending.cause,
                    pending.evidence,
                    eyes.last_of(pending.channel)
                ));
            }
        }
        for (device, open) in queues {
            let is_out = eyes.gone.contains(&device) || eyes.copies.contains(&device);
            if open > 0 && !is_out {
                let story = eyes.last_of(Channel::device(device));
                return Err(format!("the server still has {open} commands\n{story}"));
            }
        }
        Ok(())
    }
}

/// The checkers, and the orders of which nobody knows whether the server has them.
struct Eyes {
    checker: Checker,
    unknown: BTreeSet<OrderIndex>,
    /// When each order was offered.
    offered: BTreeMap<OrderIndex, SimTime>,
    healed: bool,
    /// When devices last authenticated since time zero.
    anew: BTreeMap<DeviceId, SimTime>,
    /// Devices that are not managed.
    gone: BTreeSet<DeviceId>,
    /// Devices that have shown the identity of another.
    copies: BTreeSet<DeviceId>,
    has_begun: bool,
    book: OrderBook,
    /// The last that was seen of each device.
    last: BTreeMap<DeviceId, VecDeque<String>>,
}

impl Eyes {
    fn of(world: &World) -> Self {
        Self {
            checker: Checker::new(*world.book()),
            unknown: BTreeSet::new(),
            offered: BTreeMap::new(),
            healed: false,
            anew: BTreeMap::new(),
            gone: BTreeSet::new(),
            copies: BTreeSet::new(),
            has_begun: false,
            book: *world.book(),
            last: BTreeMap::new(),
        }
    }

    /// The end of a device's story.
    fn last_of(&self, channel: Channel) -> String {
        let lines = self.last.get(&channel.device).into_iter().flatten();
        lines.map(|line| format!("    {line}\n")).collect()
    }

    /// Whether the server does not have an order any more, or never had it, because its device left, or
    /// authenticated anew since. An order that overlaps an Authenticate may be cleared by it, although
    /// its acceptance is read later.
    fn is_forgotten(&self, order: OrderIndex, device: DeviceId) -> bool {
        let since = self.offered.get(&order);
        let anew = self.anew.get(&device);
        self.gone.contains(&device) || anew.is_some_and(|at| since.is_none_or(|it| it <= at))
    }

    fn look(&mut self, facts: &[Fact]) -> Result<(), String> {
        for fact in facts {
            self.checker.look(fact)?;
            if let Some(device) = fact.kind.device()
                && !matches!(fact.kind, FactKind::Condition { .. })
            {
                let lines = self.last.entry(device).or_default();
                if lines.len() == LAST {
                    lines.pop_front();
                }
                lines.push_back(line(fact, &self.book));
            }
            if let FactKind::AcceptanceUnknown { order, .. } = fact.kind {
                self.unknown.insert(order);
            }
            if fact.kind == FactKind::TimeZero {
                self.has_begun = true;
            }
            if let FactKind::IdentityObtained { device, why, .. } = &fact.kind
                && *why == Obtaining::Clone
            {
                self.copies.insert(*device);
            }
            if let FactKind::Unenrolled { device, .. } = &fact.kind {
                self.gone.insert(*device);
            }
            if let FactKind::Exchange {
                channel, said, got, ..
            } = &fact.kind
                && channel.user == 0
            {
                if *said == Said::Authenticate && self.has_begun {
                    // Whatever came of it here: the server may have taken it.
                    self.anew.insert(channel.device, fact.at);
                }
                if *said == Said::TokenUpdate && got.is_delivered() {
                    self.gone.remove(&channel.device);
                }
            }
            if let FactKind::Offered { order } = fact.kind {
                self.offered.entry(order).or_insert(fact.at);
            }
        }
        Ok(())
    }
}

/// Whether one of these orders is pending on `channel`.
fn account_has(account: &Account, channel: Channel, orders: &BTreeSet<OrderIndex>) -> bool {
    let mut pending = account.pending.iter();
    pending.any(|it| it.channel == channel && orders.contains(&it.order))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how `make swarm` says how many seeds"
)]
fn seeds() -> Range<u64> {
    let said = std::env::var("MDMSTORM_SWARM_SEEDS").unwrap_or_else(|_| SEEDS.to_string());
    let (first, end) = said.split_once("..").unwrap_or(("0", &said));
    first.parse().unwrap()..end.parse().unwrap()
}

/// A renewal keeps what the device has not delivered yet, but the server has forgotten the command.
#[test]
fn a_result_that_comes_after_a_renewal_is_late_and_ends_nothing() {
    let case = Case {
        scenario: r#"
name = "late"
seed = 1
target.embedded = {}
cohorts = [{ name = "c0", count = 20, preset = "always-on", reply.usual = "1m..5m" }]
stages = [{ name = "s0", duration = "1m", commands = [{ request = "ProfileList", each = 1 }] }]
timeline = [{ at = "3m", do = "renew-identity" }]
"#
        .to_owned(),
        faults: Faults {
            cut_before: 0.5,
            ..Faults::default()
        },
    };
    case.run().unwrap();
    let mut world = case.world().unwrap();
    while world.step().is_some() {}
    let account = world.finish().account;
    assert!(account.beside.late > 0 && account.pending.is_empty());
    assert!(account.tally(|_, _| true).cancelled >= account.beside.late);
}

#[test]
fn whatever_happens_every_order_comes_to_its_end_once_everything_is_healed() {
    let mut failed = Vec::new();
    for seed in seeds() {
        let case = Case::of(seed);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.run()));
        let why = match ended {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(_) => "a machine panicked, as it said above".to_owned(),
        };
        println!("seed {seed}: {why}\n{:?}\n{}\n", case.faults, case.scenario);
        failed.push(seed);
    }
    assert!(failed.is_empty(), "seeds {failed:?} failed, as said above");
}
