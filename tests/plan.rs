//! Plans: reproducible, exact in number, independent of what does not concern them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use mdmstorm::condition::Condition;
use mdmstorm::device::contract::Change;
use mdmstorm::device::traits::Platform;
use mdmstorm::ids::{CohortId, DeviceId, OrderIndex};
use mdmstorm::plan::{Order, Part, Plan};
use mdmstorm::scenario::{Changes, IdentityMode, Scenario, commands, schema};
use mdmstorm::seed::Seed;

fn plan_of(scenario: &Scenario, seed: Seed) -> Plan {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let built = scenario
        .commands()
        .zip(scenario.files())
        .map(|(command, file)| {
            let bytes = file.map(|file| std::fs::read(folder.join(file.path)).unwrap());
            commands::build(command, bytes.as_deref()).unwrap()
        });
    let built = built.collect();
    Plan::new(scenario, built, seed)
}

fn parse(text: &str) -> Scenario {
    Scenario::parse(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

fn example(name: &str) -> (String, Scenario) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let scenario = parse(&text);
    (text, scenario)
}

const TWO_COHORTS: &str = r#"
name = "two"
[target.embedded]
[[stages]]
name = "a"
duration = "10s"
commands = [
  { request = "DeviceInformation", to = "carts", rate = "7.7/s" },
  { request = "ProfileList", to = "macs", each = 3, arrival = "even" },
]
[[stages]]
name = "b"
duration = "5s"
warm-up = true
commands = [{ request = "SecurityInfo", to = "carts", rate = "10/s", serial = true }]
[[timeline]]
at = "1s"
to = "carts"
do = "go-offline"
spread = "0s..2s"
[[cohorts]]
name = "carts"
count = 20
[[cohorts]]
name = "macs"
count = 5
model = "Mac14,2"
"#;

#[test]
fn the_quickstart_orders_5000_commands_for_1000_devices() {
    let (_, scenario) = example("quickstart.toml");
    let plan = plan_of(&scenario, scenario.seed);
    assert_eq!(plan.devices(), 1_000);
    assert_eq!(plan.orders.len(), 5_000);
    assert_eq!(plan.length(), Duration::from_secs(40));
    let count = |platform| {
        let of = plan
            .cohorts
            .iter()
            .filter(|c| c.traits.platform == platform);
        of.map(|cohort| cohort.count).sum::<u32>()
    };
    assert_eq!((count(Platform::Ipad), count(Platform::Mac)), (800, 200));
    assert_eq!(scenario.enrollment.identity, IdentityMode::Mtls);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("quickstart.plan", plan.to_string()));
}

#[test]
fn the_nanomdm_scenario_orders_5000_serial_commands_for_1000_devices() {
    let (_, scenario) = example("nanomdm.toml");
    let plan = plan_of(&scenario, scenario.seed);
    assert_eq!((plan.devices(), plan.orders.len()), (1_000, 5_000));
    assert!(plan.commands.iter().all(|command| command.serial));
}

#[test]
fn the_micromdm_scenario_orders_2000_serial_commands_for_500_devices() {
    let (_, scenario) = example("micromdm.toml");
    let plan = plan_of(&scenario, scenario.seed);
    assert_eq!((plan.devices(), plan.orders.len()), (500, 2_000));
    assert!(plan.commands.iter().all(|command| command.serial));
}

#[test]
fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
    let (_, scenario) = example("quickstart.toml");
    let (one, two) = (plan_of(&scenario, Seed(42)), plan_of(&scenario, Seed(42)));
    let other = plan_of(&scenario, Seed(7));
    assert_eq!(one.hash(), two.hash());
    assert_eq!(one.orders, two.orders);
    assert_eq!(one.timeline, two.timeline);
    assert_ne!(one.hash(), other.hash());
    assert_ne!(one.orders, other.orders);
}

#[test]
fn time_scale_changes_neither_hash_nor_orders() {
    let scenario = parse(TWO_COHORTS);
    let changes = Changes {
        sets: vec!["time-scale=60".to_owned()],
        only: None,
    };
    let fast = Scenario::parse_with(TWO_COHORTS, "test.toml", &changes).unwrap();
    let (slow, fast) = (plan_of(&scenario, Seed(1)), plan_of(&fast, Seed(1)));
    assert_eq!(slow.hash(), fast.hash());
    assert_eq!(slow.orders, fast.orders);
    assert_eq!(fast.needs().real_length, Duration::from_millis(250));
}

#[test]
fn rates_are_exact_and_orders_stay_in_their_stage_and_cohort() {
    let plan = plan_of(&parse(TWO_COHORTS), Seed(3));
    let mut counts = BTreeMap::new();
    for order in &plan.orders {
        *counts.entry(order.command).or_insert(0) += 1;
        let command = &plan.commands[usize::from(order.command)];
        let stage = &plan.stages[usize::from(command.stage)];
        assert!(order.due() >= stage.from && order.due() < stage.to);
        assert_eq!(Some(plan.cohort_of(order.channel.device)), command.to);
    }
    assert_eq!(counts, BTreeMap::from([(0, 77), (1, 15), (2, 50)]));
    assert!(plan.orders.is_sorted_by_key(Order::due));
    assert!(
        plan.orders
            .iter()
            .enumerate()
            .all(|(at, order)| order.index.0 as usize == at)
    );
    assert_eq!(size_of::<Order>(), 24);
}

#[test]
fn devices_come_in_rounds_so_none_is_ordered_twice_before_all_were_once() {
    let plan = plan_of(&parse(TWO_COHORTS), Seed(3));
    let of = |command| {
        plan.orders
            .iter()
            .filter(move |order| order.command == command)
    };
    let devices: Vec<DeviceId> = of(0).map(|order| order.channel.device).collect();
    for round in devices.chunks_exact(20) {
        let mut round = round.to_vec();
        round.sort();
        round.dedup();
        assert_eq!(round.len(), 20);
    }
    let mut each = BTreeMap::new();
    for order in of(1) {
        *each.entry(order.channel.device).or_insert(0) += 1;
    }
    assert_eq!(each.into_values().collect::<Vec<_>>(), [3; 5]);
}

#[test]
fn a_cohort_added_at_the_end_changes_no_draw_of_the_others() {
    let more = format!("{TWO_COHORTS}[[cohorts]]\nname = \"more\"\ncount = 100\n");
    let (few, many) = (
        plan_of(&parse(TWO_COHORTS), Seed(3)),
        plan_of(&parse(&more), Seed(3)),
    );
    assert_eq!(few.orders, many.orders);
    assert_eq!(few.timeline, many.timeline);
    assert_ne!(few.hash(), many.hash());
    assert_eq!(many.cohort_of(DeviceId(124)), CohortId(2));
}

#[test]
fn an_event_reaches_each_device_of_its_cohort_once_within_its_spread() {
    let plan = plan_of(&parse(TWO_COHORTS), Seed(3));
    assert_eq!(plan.timeline.len(), 20);
    assert!(plan.timeline.is_sorted_by_key(|entry| entry.at));
    let window = Duration::from_secs(1)..=Duration::from_secs(3);
    assert!(plan.timeline.iter().all(|entry| window.contains(&entry.at)));
}

/// A scenario of two cohorts, the second with users, and `more` behind it.
fn lively(more: &str) -> Scenario {
    parse(&format!(
        r#"
name = "lively"
starts = "tue 10:00"
[target.embedded]
[[stages]]
name = "a"
duration = "10m"
commands = [
  {{ request = "DeviceInformation", each = 2, arrival = "even" }},
  {{ request = "ProfileList", to = "macs", each = 4, channel = "user" }},
]
[[cohorts]]
name = "carts"
count = 20
[[cohorts]]
name = "macs"
count = 10
preset = "macbook"
users = 3
{more}"#
    ))
}

#[test]
fn an_event_may_change_several_things_in_the_order_it_says() {
    let scenario = lively("[[timeline]]\nat = \"5m\"\nto = \"carts\"\ndo = \"move-to-hotspot\"\n");
    let plan = plan_of(&scenario, Seed(1));
    assert_eq!(plan.starts, Duration::from_secs((24 + 10) * 3_600));
    let of_first: Vec<Change> = plan
        .timeline
        .iter()
        .filter(|entry| entry.device == DeviceId(0))
        .map(|entry| entry.change)
        .collect();
    let left = [
        Condition::PushBlocked,
        Condition::PushDeaf,
        Condition::Offline,
    ];
    assert_eq!(of_first, left.map(Change::Leave));
    assert_eq!(plan.timeline.len(), 60);
}

#[test]
fn an_event_for_a_share_reaches_that_share_of_each_cohort_exactly() {
    let event = "[[timeline]]\nat = \"5m\"\nshare = 0.3\ndo = \"sleep\"\n";
    let plan = plan_of(&lively(event), Seed(1));
    let in_carts = plan.timeline.iter().filter(|entry| entry.device.0 < 20);
    assert_eq!((in_carts.count(), plan.timeline.len()), (6, 9));
    let other = plan_of(&lively(event), Seed(2));
    assert_ne!(plan.timeline, other.timeline);
    let more = format!("{event}[[cohorts]]\nname = \"more\"\ncount = 100\n");
    let more = plan_of(&lively(&more), Seed(1));
    let first = more.timeline.iter().filter(|entry| entry.device.0 < 30);
    assert_eq!(first.copied().collect::<Vec<_>>(), plan.timeline);
}

#[test]
fn orders_for_users_go_to_the_channels_of_users() {
    let plan = plan_of(&lively(""), Seed(1));
    let users = |command| {
        let of = plan
            .orders
            .iter()
            .filter(move |order| order.command == command);
        of.map(|order| order.channel.user).collect::<BTreeSet<u8>>()
    };
    assert_eq!(users(0), BTreeSet::from([0]));
    assert_eq!(users(1), BTreeSet::from([1, 2, 3]));
}

#[test]
fn what_is_ordered_again_stands_behind_all_orders_and_names_the_one_it_replaces() {
    let reissue = |at: &str| {
        format!(
            "[[timeline]]\nat = \"{at}\"\nto = \"carts\"\ndo = \"reissue\"\n\
             request = \"DeviceInformation\"\nspread = \"0s..10s\"\n"
        )
    };
    let plain = plan_of(&lively(""), Seed(1));
    let plan = plan_of(&lively(&reissue("9m")), Seed(1));
    let count = plain.orders.len();
    assert_eq!(plan.orders[..count], plain.orders[..]);
    assert_eq!(plan.orders.len(), count + plan.reissues.len());
    assert!(plan.by_due().is_sorted_by_key(|order| order.due()));
    let nine = Duration::from_secs(540)..=Duration::from_secs(550);
    for (at, order) in plan.orders.iter().enumerate().skip(count) {
        assert_eq!(order.index.0 as usize, at);
        let first = &plan.orders[plan.reissues[&order.index].0 as usize];
        assert_eq!(
            (first.channel, first.command),
            (order.channel, order.command)
        );
        assert!(first.due() <= *nine.start() && nine.contains(&order.due()));
        assert!(plan.cohort_of(order.channel.device) == CohortId(0) && order.command == 0);
    }
    // Of the 40 orders for carts those due in the first nine of ten minutes.
    let due = |order: &&Order| order.channel.device.0 < 20 && order.due() <= *nine.start();
    let due = plain
        .orders
        .iter()
        .filter(|order| order.command == 0)
        .filter(due);
    assert_eq!(plan.reissues.len(), due.count());
    // They need not be placed, and nobody is late who does not place them.
    assert_eq!(plan.orders_certain(), count);
    // A second time it is the replacement that is replaced.
    let both = reissue("9m") + &reissue("9m30s");
    let twice = plan_of(&lively(&both), Seed(1));
    let again = |order: &OrderIndex| order.0 as usize >= count;
    assert!(twice.reissues.values().filter(|order| again(order)).count() >= plan.reissues.len());
}

#[test]
fn what_is_done_to_pushes_comes_in_the_order_of_time() {
    let plan = plan_of(
        &lively(
            "[[timeline]]\nat = \"5m\"\ndo = \"renew-push-certificate\"\n\
             [[timeline]]\nat = \"1m\"\ndo = \"expire-push-certificate\"\n\
             [[timeline]]\nat = \"6m\"\nto = \"macs\"\ndo = \"blank-push\"\n",
        ),
        Seed(1),
    );
    let what: Vec<_> = plan
        .happenings
        .iter()
        .map(|happening| happening.what.clone())
        .collect();
    let blank = mdmstorm::plan::Event::BlankPush(Some(CohortId(1)));
    let renewed = mdmstorm::plan::Event::RenewPushCertificate;
    let expired = mdmstorm::plan::Event::ExpirePushCertificate;
    assert_eq!(what, [expired, renewed, blank]);
}

#[test]
fn what_goes_wrong_with_pushes_is_part_of_the_plan_and_of_its_hash() {
    let of = |apns: &str| plan_of(&lively(apns), Seed(1));
    let plain = of("");
    assert!(!plain.to_string().contains("pushes"));
    let settings = [
        "streams = 1",
        "lower-streams-after-rejection = true",
        "rate = \"5 per 1m\"",
        "store-without-expiration = false",
        "faults = [{ fault = \"drop\" }]",
        "faults = [{ fault = \"drop\", share = \"10%\" }]",
        "faults = [{ fault = \"drop\", to = \"macs\" }]",
        "faults = [{ fault = \"slow\", by = \"20s..40s\" }]",
        "faults = [{ fault = \"slow\", by = \"20s..50s\" }]",
        "faults = [{ fault = \"goaway\", nth = 3 }]",
        "faults = [{ fault = \"answer\", reason = \"TooManyRequests\" }]",
        "faults = [{ fault = \"answer\", status = 418 }, { fault = \"garble\" }]",
    ];
    let mut hashes = BTreeSet::from([plain.hash().to_owned()]);
    let mut shown = String::new();
    for lines in settings {
        let plan = of(&format!("[apns]\n{lines}\n"));
        assert!(hashes.insert(plan.hash().to_owned()), "{lines}");
        let text = plan.to_string();
        let pushes = text.split("\npushes\n").nth(1).unwrap();
        shown += pushes.split("\n\n").next().unwrap();
        shown.push('\n');
    }
    insta::assert_snapshot!(shown, @"
    streams 1
    one stream after a rejected push
    rate 5 per 1m
    none is kept without an expiration
    fault drop, 100 % of all
    fault drop, 10 % of all
    fault drop, 100 % of macs
    fault slow by 20s..40s, 100 % of all
    fault slow by 20s..50s, 100 % of all
    fault goaway Shutdown, number 3 of all
    fault answer 429 TooManyRequests, 100 % of all
    fault answer 418, 100 % of all
    fault garble 502, 100 % of all
    ");
    // What the listening address is, or who may come in, is not what was asked for.
    assert_eq!(
        of("[apns]\nlisten = \"127.0.0.1:1\"\n").hash(),
        plain.hash()
    );
    let event = "[[timeline]]\nat = \"5m\"\ndo = \"fault-pushes\"\nfault = \"slow\"\nby = \"20s\"\nshare = 0.5\n";
    let text = of(event).to_string();
    assert!(
        text.contains("  fault-pushes slow by 20s, 50 % of all at 5m\n"),
        "{text}"
    );
}

#[test]
fn a_plan_notes_what_was_hardly_meant() {
    let cart = "[[cohorts]]\nname = \"night\"\ncount = 1\npreset = \"cart-ipad\"\nutc-offset = \"+12h\"\n\
                [[timeline]]\nat = \"12m\"\nto = \"carts\"\ndo = \"wake\"\n";
    let notes = plan_of(&lively(cart), Seed(1)).notes();
    insta::assert_snapshot!(notes.join("\n"), @"
    night is asleep by the time of day from the beginning (tue 22:00) until wed 08:00, after the last stage; set `starts`, or its own rhythm
    20 changes of the timeline come more than 1m of real time after the last stage, which ends at 10m; a stage without commands makes the run longer, and so does --drain
    ");
    assert!(plan_of(&lively(""), Seed(1)).notes().is_empty());
}

#[test]
fn only_one_cohort_leaves_what_refers_to_it() {
    let changes = Changes {
        sets: vec!["cohorts.macs.count=9".to_owned()],
        only: Some("macs".to_owned()),
    };
    let scenario = Scenario::parse_with(TWO_COHORTS, "test.toml", &changes).unwrap();
    let plan = plan_of(&scenario, Seed(1));
    assert_eq!(
        (plan.devices(), plan.orders.len(), plan.timeline.len()),
        (9, 27, 0)
    );
    let again = parse(scenario.effective_toml());
    assert_eq!(plan_of(&again, Seed(1)).hash(), plan.hash());
}

proptest::proptest! {
    #[test]
    fn the_parts_of_a_plan_are_the_whole(of in 1_u32..9, seed: u64) {
        let plan = plan_of(&parse(TWO_COHORTS), Seed(seed));
        let parts: Vec<Plan> = (0..of).map(|i| plan.split(Part::new(i, of).unwrap())).collect();
        let mut orders: Vec<Order> = parts.iter().flat_map(|part| part.orders.clone()).collect();
        orders.sort_by_key(|order| order.index);
        proptest::prop_assert_eq!(&orders, &plan.orders);
        let mut timeline: Vec<_> = parts.iter().flat_map(|part| part.timeline.clone()).collect();
        timeline.sort_by_key(|entry| (entry.at, entry.device));
        proptest::prop_assert_eq!(&timeline, &plan.timeline);
        proptest::prop_assert!(parts.iter().all(|part| part.hash() == plan.hash()));
    }
}

#[test]
fn the_checked_in_schema_is_the_one_of_this_version_and_takes_every_example() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenario.schema.json");
    let checked_in: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(
        checked_in == schema(),
        "run: mdmstorm schema > docs/scenario.schema.json"
    );
    let validator = jsonschema::draft202012::new(&checked_in).unwrap();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/gallery");
    let gallery = std::fs::read_dir(scenarios).unwrap();
    let gallery = gallery.map(|file| format!("gallery/{}", file.unwrap().file_name().display()));
    let others = [
        "quickstart.toml",
        "nanomdm.toml",
        "micromdm.toml",
        "observe.toml",
    ]
    .map(str::to_owned);
    for name in gallery.chain(others) {
        let (text, _) = example(&name);
        let up = "../".repeat(name.split('/').count());
        let first = format!("#:schema {up}docs/scenario.schema.json\n");
        assert!(text.starts_with(&first), "{name}");
        let toml: toml::Value = toml::from_str(&text).unwrap();
        let json = serde_json::to_value(toml).unwrap();
        let wrong: Vec<String> = validator
            .iter_errors(&json)
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}
