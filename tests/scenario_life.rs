//! What a cohort's keys mean for its devices: each becomes the trait it names.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use mdmstorm::condition::Condition;
use mdmstorm::device::traits::{
    Begins, ClockFrom, ClockTraits, Misbehaviour, Nat, PollOn, Rhythm, Shape, Traits, Window,
};
use mdmstorm::scenario::{Changes, Expect, ExpectAt, Expected, HowMany, Scenario};
use mdmstorm::seed::Dist;

fn scenario(cohort: &str) -> Scenario {
    let text = format!(
        "name = \"life\"\n[target.embedded]\n[[cohorts]]\nname = \"a\"\ncount = 1\n{cohort}\n"
    );
    Scenario::parse(&text, "life.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

fn traits(cohort: &str) -> Traits {
    scenario(cohort).cohorts.remove(0).traits
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn shape(traits: &Traits, condition: Condition) -> Option<&Shape> {
    let mut rhythms = traits.rhythms.iter();
    let rhythm = rhythms.find(|rhythm| rhythm.condition == condition);
    rhythm.map(|rhythm| &rhythm.shape)
}

/// Every condition that comes and goes, with the section, the key and the words it is written with.
const RHYTHMS: [(Condition, &str, &str, [&str; 3]); 12] = {
    const TURNS: [&str; 3] = ["for", "every", "share"];
    [
        (
            Condition::Asleep,
            "",
            "sleep",
            ["asleep", "awake", "share-asleep"],
        ),
        (
            Condition::Offline,
            "",
            "link",
            ["offline", "online", "share-offline"],
        ),
        (Condition::Off, "", "power", ["off", "on", "share-off"]),
        (
            Condition::Locked,
            "",
            "lock",
            ["locked", "unlocked", "share-locked"],
        ),
        (
            Condition::OnBattery,
            "power",
            "battery",
            ["on-battery", "on-mains", "share-on-battery"],
        ),
        (Condition::LowPower, "power", "low-power", TURNS),
        (Condition::DarkWake, "mac", "power-nap", TURNS),
        (Condition::LoggedOut, "mac", "logged-out", TURNS),
        (Condition::LoginBlocked, "mac", "login-blocked", TURNS),
        (Condition::KeychainLocked, "mac", "keychain-locked", TURNS),
        (Condition::AgentStopped, "agent", "stopped", TURNS),
        (Condition::Throttled, "agent", "throttled", TURNS),
    ]
};

/// A Mac that says `value` for one condition.
fn mac_with(section: &str, key: &str, value: &str) -> Traits {
    let line = match section {
        "" => format!("{key} = {value}"),
        section => format!("{section} = {{ {key} = {value} }}"),
    };
    traits(&format!("model = \"Mac14,2\"\n{line}"))
}

#[test]
fn every_condition_that_comes_and_goes_is_written_alike() {
    for (condition, section, key, [inside, outside, share]) in RHYTHMS {
        let by_turns = format!("{{ {inside} = \"1m..3m\", {outside} = \"5m\", {share} = 0.25 }}");
        let expected = Rhythm::by_turns(
            condition,
            Dist::Uniform {
                low: minutes(1),
                high: minutes(3),
            },
            Dist::Constant(minutes(5)),
            0.25,
        );
        assert_eq!(mac_with(section, key, &by_turns).rhythms, [expected]);

        let daily = "{ daily = [\"22:00..07:00\"], days = [\"sat\"], spread = \"5m\" }";
        let shape = Shape::Daily {
            windows: vec![Window {
                from: minutes(22 * 60),
                to: minutes(7 * 60),
            }],
            days: [false, false, false, false, false, true, false],
            spread: Dist::Constant(minutes(5)),
        };
        let expected = Rhythm { condition, shape };
        assert_eq!(mac_with(section, key, daily).rhythms, [expected]);

        // Without turns a share begins in it, and an event ends it.
        let traits = mac_with(section, key, &format!("{{ {share} = 0.25 }}"));
        let share = 0.25;
        assert_eq!(traits.begins, [Begins { condition, share }]);
        assert!(traits.rhythms.is_empty());
    }
}

#[test]
fn a_share_alone_changes_only_how_a_presets_turns_begin() {
    let usual = traits("preset = \"one-to-one-ipad\"");
    let changed = traits("preset = \"one-to-one-ipad\"\nsleep = { share-asleep = 0.1 }");
    let begins = |traits: &Traits| match shape(traits, Condition::Asleep) {
        Some(Shape::Alternates {
            inside,
            begins_inside,
            ..
        }) => (inside.clone(), *begins_inside),
        Some(Shape::Daily { .. }) | None => panic!("one-to-one iPads sleep by turns"),
    };
    assert_eq!(begins(&usual).0, begins(&changed).0);
    assert_eq!((begins(&usual).1, begins(&changed).1), (0.7, 0.1));
}

#[test]
fn a_word_switches_a_rhythm_off_or_on_for_good() {
    let never = traits("preset = \"cart-ipad\"\nsleep = \"never\"\nlock = \"never\"");
    assert!(never.rhythms.is_empty() && never.begins.is_empty());
    let always = traits("preset = \"cart-ipad\"\nsleep = \"always\"");
    let asleep = Begins {
        condition: Condition::Asleep,
        share: 1.0,
    };
    assert_eq!(always.begins, [asleep]);
    assert!(shape(&always, Condition::Asleep).is_none());
    assert!(shape(&always, Condition::Locked).is_some());
}

#[test]
fn what_only_macs_are_in_stays_behind_when_a_preset_moves_to_another_model() {
    let moved = traits("preset = \"macbook\"\nmodel = \"AppleTV14,1\"");
    assert_eq!(moved.users, 0);
    for condition in [Condition::DarkWake, Condition::KeychainLocked] {
        assert!(shape(&moved, condition).is_none());
        assert!(shape(&traits("preset = \"macbook\""), condition).is_some());
    }
}

#[test]
fn states_that_a_share_begins_in() {
    let traits = traits(
        "setup-assistant = 0.1\nlost-mode = \"20%\"\ngone = 0.3\n\
         lock = { first-unlock-share = 0.4 }\nlink = { push = \"blocked\" }",
    );
    let begins: Vec<(Condition, f64)> = traits
        .begins
        .iter()
        .map(|begins| (begins.condition, begins.share))
        .collect();
    let expected = [
        (Condition::SetupAssistant, 0.1),
        (Condition::LostMode, 0.2),
        (Condition::Gone, 0.3),
        (Condition::BeforeFirstUnlock, 0.4),
        (Condition::PushBlocked, 1.0),
    ];
    assert_eq!(begins, expected);
}

#[test]
fn links_clocks_and_polling_are_as_written() {
    let traits = traits(
        r#"
passcode = true
users = 2
utc-offset = "-3h30m"
woken-by-push = "1s"
poll-delay = "3s"
poll-on = ["unlock", "network-return"]
power = { boot = "40s" }
link = { fallback-443 = true, nat-timeout = "5m", latency = "20ms", loss = 0.1, cut-before = 0.2, cut-after = 0.3, slow-read = "2s" }
clock = { offset = "-11m", from = "enrollment", share = 0.5, drift-ppm = -20.5, resync = "1h", flat-battery = true, tls-tolerance = "5m" }
"#,
    );
    assert!(traits.passcode);
    assert_eq!((traits.users, traits.utc_offset_seconds), (2, -12_600));
    assert_eq!(
        traits.woken_by_push,
        Some(Dist::Constant(Duration::from_secs(1)))
    );
    assert_eq!(traits.poll_delay, Dist::Constant(Duration::from_secs(3)));
    assert_eq!(traits.boot, Dist::Constant(Duration::from_secs(40)));
    let poll_on = PollOn {
        boot: false,
        unlock: true,
        network_return: true,
    };
    assert_eq!(traits.poll_on, poll_on);
    assert!(traits.push_link.fallback_443);
    let nat = Nat {
        timeout: minutes(5),
        keep_alive: Dist::Uniform {
            low: minutes(10),
            high: minutes(15),
        },
    };
    assert_eq!(traits.push_link.nat, Some(nat));
    let link = &traits.link;
    assert_eq!(
        (link.loss, link.cut_before, link.cut_after),
        (0.1, 0.2, 0.3)
    );
    assert_eq!(link.latency, Dist::Constant(Duration::from_millis(20)));
    assert_eq!(link.slow_read, Dist::Constant(Duration::from_secs(2)));
    let clock = ClockTraits {
        share: 0.5,
        from: ClockFrom::Enrollment,
        offset_us: -660_000_000,
        drift_ppm: -20.5,
        resync: Some(Dist::Constant(minutes(60))),
        flat_battery: true,
        tls_tolerance: Some(minutes(5)),
    };
    assert_eq!(traits.clock, clock);
}

#[test]
fn rules_are_numbered_through_so_that_an_event_can_end_one() {
    let scenario = scenario(
        r#"
not-now = [{ probability = 0.5, for = "5s" }, { name = "exam", probability = 1.0 }]
failures = { name = "licence", requests = ["InstallApplication"], probability = 0.2, code = 12064 }
misbehaves = [{ name = "slow", probability = 0.1, do = { late = "10s" } }, { probability = 0.1, do = "wrong-types" }]
[[timeline]]
at = "1s"
do = "end-rule"
rule = "slow"
"#,
    );
    let traits = &scenario.cohorts[0].traits;
    let scopes = traits.not_now.iter().map(|rule| &rule.scope);
    let scopes = scopes.chain(traits.failures.iter().map(|rule| &rule.scope));
    let scopes = scopes.chain(traits.misbehaves.iter().map(|rule| &rule.scope));
    let named: Vec<(u8, &str)> = scopes
        .map(|scope| (scope.number, scope.name.as_str()))
        .collect();
    assert_eq!(
        named,
        [(0, ""), (1, "exam"), (2, "licence"), (3, "slow"), (4, "")]
    );
    assert_eq!(traits.not_now[1].lasts, None);
    assert_eq!(traits.failures[0].domain, "MCMDMErrorDomain");
    assert!(traits.failures[0].description.contains("12064"));
    let late = Misbehaviour::Late(Dist::Constant(Duration::from_secs(10)));
    assert_eq!(traits.misbehaves[0].does, late);
    let ended = mdmstorm::device::contract::Change::EndRule(3);
    assert_eq!(scenario.timeline.events[0].changes, [ended]);
}

#[test]
fn expectations_say_whose_when_what_and_how_many() {
    let scenario = scenario(
        r#"
[[expect]]
cohort = "a"
at = "5m"
pending = "40..60"
cause = "push-port-blocked"
[[expect]]
failed = "10%..20%"
code = 12064
"#,
    );
    let texts: Vec<&str> = scenario
        .expects
        .iter()
        .map(|expect| expect.text.as_str())
        .collect();
    let expected = [
        "pending 40..60 in a at 5m for push-port-blocked",
        "failed 10%..20% at the end with 12064",
    ];
    assert_eq!(texts, expected);
    let Expect {
        at, what, how_many, ..
    } = &scenario.expects[0];
    assert_eq!(
        (*at, *what),
        (ExpectAt::Time(minutes(5)), Expected::Pending)
    );
    assert_eq!(*how_many, HowMany::Count { from: 40, to: 60 });
    assert_eq!(scenario.expects[0].place, "life.toml:7");
    let changes = Changes {
        sets: vec![
            "expect.0.pending=1".to_owned(),
            "cohorts.a.agent.stopped=0.5".to_owned(),
        ],
        only: None,
    };
    let text = scenario.effective_toml();
    let changed = Scenario::parse_with(text, "life.toml", &changes).unwrap();
    assert_eq!(
        changed.expects[0].how_many,
        HowMany::Count { from: 1, to: 1 }
    );
    assert_eq!(
        changed.cohorts[0].traits.begins[0].condition,
        Condition::AgentStopped
    );
}

#[test]
fn a_guess_is_listed_as_long_as_the_scenario_leaves_it() {
    let left = |cohort: &str| -> BTreeSet<&str> {
        scenario(cohort)
            .left_default
            .iter()
            .map(|left| left.key)
            .collect()
    };
    let usual = left("");
    for (key, written) in [
        ("cohorts.passcode", "passcode = false"),
        ("cohorts.poll-on", "poll-on = []"),
        ("cohorts.poll-delay", "poll-delay = \"1s\""),
        ("cohorts.woken-by-push", "woken-by-push = \"never\""),
        ("cohorts.power.boot", "power = { boot = \"1m\" }"),
        (
            "cohorts.link.fallback-443",
            "link = { fallback-443 = false }",
        ),
    ] {
        assert!(usual.contains(key), "{key}");
        assert!(!left(written).contains(key), "{key}");
    }
    assert!(left("clock = { offset = \"+1d\" }").contains("cohorts.clock.resync"));
    assert!(left("link = { nat-timeout = \"5m\" }").contains("cohorts.link.keep-alive"));
    let carts = left("preset = \"cart-ipad\"");
    assert!(carts.contains("cohorts.sleep") && carts.contains("cohorts.lock"));
}
