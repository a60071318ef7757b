//! The search for the smallest scenario, with judges that need no run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod any;

use std::time::Duration;

use mdmstorm::apns::fault::Fault;
use mdmstorm::finding::{Evidence, Finding};
use mdmstorm::ids::{Channel, DeviceId, OrderIndex};
use mdmstorm::reduce::{Candidate, Cost, Found, Outcome, Rate, Search, Size, repro};
use mdmstorm::rule::Rule;
use mdmstorm::scenario::{Amount, CommandSource, Scenario, StageCommand};
use mdmstorm::seed::Dist;
use mdmstorm::time::SimTime;

const LARGE: &str = r#"
name = "school"
seed = 7
time-scale = 60

[target.embedded]

[enrollment.issued]
identity = "mtls"

[apns]
rate = "5 per 1m"
faults = [{ fault = "drop", share = 0.1, to = "library" }]

[[cohorts]]
name = "carts"
count = 1200
preset = "cart-ipad"
sleep = { asleep = "5m", awake = "10m" }
not-now = [
  { requests = ["InstallApplication"], probability = 0.5, for = "1m" },
  { name = "lesson", requests = ["ProfileList"], probability = 1.0 },
]

[[cohorts]]
name = "library"
count = 600

[[cohorts]]
name = "staff"
count = 200
preset = "macbook"
users = 1

[[stages]]
name = "warm"
duration = "2m"
warm-up = true
commands = [{ request = "DeviceInformation", each = 1 }]

[[stages]]
name = "rollout"
duration = "10m"
commands = [
  { request = "ProfileList", to = "carts", rate = "8/s" },
  { request = "SecurityInfo", to = "library", each = 2, arrival = "even" },
  { request = "CertificateList", rate = "5/m", keys = { LocalOnly = true } },
]

[[timeline]]
at = "3m"
to = "carts"
do = "end-rule"
rule = "lesson"

[[timeline]]
at = "5m"
to = "library"
do = "wake"
spread = "0s..2m"

[[thresholds]]
metric = "push-to-completion{cohort=carts} p99"
below = "30s"

[[expect]]
cohort = "library"
pending = "0..10"
"#;

/// Plays the search to its end with `judge`, which says whether a scenario shows the finding.
fn reduced(text: &str, cost: Cost, judge: impl Fn(&Scenario) -> bool) -> (Candidate, u32) {
    let from = Candidate::parse(text, "large.toml").unwrap_or_else(|e| panic!("{e}"));
    assert!(judge(from.scenario()), "it does not show in the original");
    let mut search = Search::new(from, cost);
    while let Some(candidate) = search.next() {
        assert!(search.tries() < 5_000, "the search does not end");
        let outcome = if judge(candidate.scenario()) {
            let seed = candidate.scenario().seed.0;
            Outcome::Shows { seed }
        } else {
            Outcome::DoesNot
        };
        search.told(outcome);
    }
    (search.best().clone(), search.tries())
}

/// How many orders of a command there are.
fn orders(scenario: &Scenario, stage: usize, command: &StageCommand) -> u64 {
    let devices = match command.to {
        Some(to) => scenario.cohorts[usize::from(to.0)].count,
        None => scenario.devices(),
    };
    match command.amount {
        Amount::Each(each) => u64::from(each) * u64::from(devices),
        Amount::Rate(rate) => (rate * scenario.stages[stage].duration.as_secs_f64()).round() as u64,
    }
}

/// How many orders of `request` there are that go to the cohort called `cohort`, alone or among others.
fn orders_of(scenario: &Scenario, cohort: &str, request: &str) -> u64 {
    let mut count = 0;
    for (at, stage) in scenario.stages.iter().enumerate() {
        for command in &stage.commands {
            let to = command.to.map(|to| &scenario.cohorts[usize::from(to.0)]);
            let is_there = scenario.cohorts.iter().any(|it| it.name == cohort);
            let is_source = matches!(&command.source,
                CommandSource::Request { request: it, .. } if it == request);
            if is_source && is_there && to.is_none_or(|it| it.name == cohort) {
                count += orders(scenario, at, command);
            }
        }
    }
    count
}

/// The finding needs a device that refuses ProfileList, and two orders of it.
fn refuses_twice(scenario: &Scenario) -> bool {
    let carts = scenario.cohorts.iter().find(|it| it.name == "carts");
    let refuses = carts.is_some_and(|carts| {
        carts.traits.not_now.iter().any(|rule| {
            rule.scope.probability > 0.9 && rule.scope.requests.iter().any(|it| it == "ProfileList")
        })
    });
    refuses && orders_of(scenario, "carts", "ProfileList") >= 2
}

#[test]
fn what_the_finding_needs_is_all_that_is_left() {
    let (best, tries) = reduced(LARGE, Cost::Little, refuses_twice);
    insta::assert_snapshot!(best.text(), @r##"
    name = "school"
    seed = 7
    time-scale = 60

    [target.embedded]

    [[cohorts]]
    name = "carts"
    count = 1

    [[cohorts.not-now]]
    requests = ["ProfileList"]
    probability = 1.0

    [[stages]]
    name = "rollout"
    duration = "1s"

    [[stages.commands]]
    request = "ProfileList"
    each = 2
    "##);
    assert!(tries < 100, "{tries}");
}

/// Where a run takes minutes there are no leaps in the dark, and the way is longer.
#[test]
fn the_same_is_left_where_a_try_costs_much() {
    let (little, _) = reduced(LARGE, Cost::Little, refuses_twice);
    let (much, tries) = reduced(LARGE, Cost::Much, refuses_twice);
    assert_eq!(much.text(), little.text());
    assert!(tries < 100, "{tries}");
}

/// A hundred devices are needed: no leap comes near, and single numbers have to.
#[test]
fn a_finding_that_needs_a_crowd_keeps_the_crowd_it_needs() {
    let judge = |scenario: &Scenario| {
        let library = scenario.cohorts.iter().find(|it| it.name == "library");
        library.is_some_and(|it| it.count >= 101) && !scenario.timeline.events.is_empty()
    };
    let (best, tries) = reduced(LARGE, Cost::Little, judge);
    assert_eq!(best.size().devices, 101);
    assert_eq!(best.size().orders, 0);
    assert_eq!(best.scenario().timeline.events.len(), 1);
    assert!(tries < 200, "{tries}");
}

/// Pushes to 40 devices that APNs answers after a second each hold a queue up for 40 seconds. So does one
/// push that is answered after 40; the search had kept as many devices as the scenario's delay asked for.
#[test]
fn a_crowd_that_holds_something_up_becomes_one_device_that_takes_longer() {
    let slow = |scenario: &Scenario| {
        scenario.apns.faults.iter().any(|fault| {
            let crowd = fault.of.map(|of| &scenario.cohorts[usize::from(of.0)]);
            let devices = crowd.map_or(0, |crowd| crowd.count);
            matches!(fault.fault, Fault::Slow(Dist::Uniform { low, .. })
                if low * devices >= Duration::from_secs(40))
        })
    };
    let text = LARGE.replace("fault = \"drop\",", "fault = \"slow\", by = \"500ms..1s\",");
    let (best, tries) = reduced(&text, Cost::Much, slow);
    assert_eq!(best.size().devices, 1, "{}", best.text());
    assert!(
        best.text().contains("by = \"40s..1m 20s\""),
        "{}",
        best.text()
    );
    assert!(tries < 200, "{tries}");
}

/// A defect that strikes by chance shows with some seeds only; the one it showed with is kept.
#[test]
fn the_seed_that_showed_it_is_written_down() {
    let from = Candidate::parse(LARGE, "large.toml").unwrap();
    let mut search = Search::new(from, Cost::Little);
    let first = search.next().unwrap();
    search.told(Outcome::Shows { seed: 12 });
    assert_eq!(search.best().size(), first.size());
    assert!(search.best().text().contains("\nseed = 12\n"));
    assert_eq!(search.next().unwrap().scenario().seed.0, 12);
}

#[test]
fn a_candidate_that_showed_nothing_is_not_the_best_and_does_not_come_again() {
    let from = Candidate::parse(LARGE, "large.toml").unwrap();
    let whole = from.text().to_owned();
    let mut search = Search::new(from, Cost::Little);
    let mut texts = std::collections::BTreeSet::new();
    for outcome in [Outcome::DoesNot, Outcome::Unclear].into_iter().cycle() {
        let Some(candidate) = search.next() else {
            break;
        };
        assert!(
            texts.insert(candidate.text().to_owned()),
            "{}",
            candidate.text()
        );
        search.told(outcome);
    }
    assert_eq!(search.best().text(), whole);
}

/// A real target stays where it is, and devices reach it as they did.
#[test]
fn where_the_target_is_and_how_devices_enrol_is_not_touched() {
    let text = LARGE.replace(
        "[target.embedded]\n\n[enrollment.issued]\nidentity = \"mtls\"\n\n[apns]\n",
        "[target.nanomdm]\nurl = \"http://127.0.0.1:9000\"\napi-key = { env = \"KEY\" }\n\
         timeout = \"5s\"\nreset = [\"./reset.sh\", \"now\"]\n\n\
         [enrollment]\nwithin = \"9m\"\nissued = { identity = \"signature\" }\n\n\
         [apns]\nlisten = \"127.0.0.1:2197\"\n",
    );
    let (best, _) = reduced(&text, Cost::Much, refuses_twice);
    let head = best.text().split("[[cohorts]]").next().unwrap().to_owned();
    insta::assert_snapshot!(head, @r##"
    name = "school"
    seed = 7
    time-scale = 60

    [target.nanomdm]
    url = "http://127.0.0.1:9000"
    timeout = "5s"
    reset = [
        "./reset.sh",
        "now",
    ]

    [target.nanomdm.api-key]
    env = "KEY"

    [enrollment]
    within = "9m"

    [enrollment.issued]
    identity = "signature"

    [apns]
    listen = "127.0.0.1:2197"
    "##);
    assert_eq!(best.scenario().reset, ["./reset.sh", "now"]);
}

fn finding() -> Finding {
    let evidence = |seconds, what: &str| Evidence {
        at: SimTime::from_secs(seconds),
        what: what.to_owned(),
    };
    Finding {
        rule: Rule::LostCommand,
        at: SimTime::from_secs(12),
        channel: Some(Channel {
            device: DeviceId(1),
            user: 0,
        }),
        uuid: None,
        order: Some(OrderIndex(4)),
        evidence: vec![
            evidence(3, "order 4 (ProfileList) was accepted"),
            evidence(
                12,
                "the device asked, and was told \"nothing\nname = 'a server may say anything'\", \
                 which is long enough to need a second line in the comment that tells of it",
            ),
        ],
    }
}

#[test]
fn the_file_says_what_it_shows_and_is_a_scenario() {
    let (best, tries) = reduced(LARGE, Cost::Little, refuses_twice);
    let from = Candidate::parse(LARGE, "large.toml").unwrap();
    let rule = Rule::LostCommand;
    let text = repro(
        &best,
        &Found {
            finding: &finding(),
            about: rule.meaning(),
            source: rule.source(),
            from: "results/one",
            size: from.size(),
            tries,
            target: "the bundled server on virtual time",
            rate: Rate {
                shown: 10,
                runs: 10,
            },
            other_seeds: Some(Rate { shown: 7, runs: 10 }),
            command: "mdmstorm rehearse repro.toml",
            notes: &["The search was stopped: there may be a smaller one.".to_owned()],
        },
    );
    let again = Candidate::parse(&text, "repro.toml").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again.text(), best.text());
    assert_eq!(
        from.size(),
        Size {
            devices: 2000,
            orders: 8_050
        }
    );
    let header: Vec<&str> = text
        .lines()
        .take_while(|line| line.starts_with('#'))
        .collect();
    insta::assert_snapshot!(header.join("\n"), @r##"
    # lost-command: an accepted command never came, and the server said there was none.
    # Source of the rule: the server's own promise: its API took the commands into a queue
    #
    # What happened, in time since the run began:
    #   3.000s order 4 (ProfileList) was accepted
    #   12.000s the device asked, and was told "nothing name = 'a server may say anything'", which is long
    #       enough to need a second line in the comment that tells of it
    # Device 1, order 4, in the run that this is from.
    #
    # Reduced from results/one: 2000 devices and 8050 orders, to 1 device and 2 orders, with 45 tries
    # against the bundled server on virtual time.
    # It shows in 10 of 10 runs, and in 7 of 10 with other seeds.
    # The search was stopped: there may be a smaller one.
    #
    # To see it again:
    #     mdmstorm rehearse repro.toml
    "##);
}
