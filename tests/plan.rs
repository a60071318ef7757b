//! Plans: reproducible, exact in number, independent of what does not concern them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mdmstorm::device::traits::Platform;
use mdmstorm::ids::{CohortId, DeviceId};
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
    for name in ["quickstart.toml", "nanomdm.toml", "observe.toml"] {
        let (text, _) = example(name);
        assert!(
            text.starts_with("#:schema ../docs/scenario.schema.json\n"),
            "{name}"
        );
        let toml: toml::Value = toml::from_str(&text).unwrap();
        let json = serde_json::to_value(toml).unwrap();
        let wrong: Vec<String> = validator
            .iter_errors(&json)
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}
