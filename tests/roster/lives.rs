//! What events make of devices outlives a run: who renewed, enrolled anew or was erased goes on as it
//! is, and who was let go stays away.

use serde_json::Value;

use crate::place::{Place, SCENARIO};

/// Five cohorts of four; `work` is what becomes of them.
fn scenario(work: &str) -> String {
    let (head, _) = SCENARIO.split_once("[[cohorts]]").unwrap();
    let cohort = |name| {
        format!(
            "[[cohorts]]\nname = \"{name}\"\ncount = 4\npreset = \"always-on\"\n\
             push-latency = \"5ms..50ms\"\nwake-delay = \"5ms..50ms\"\nreply = {{ usual = \"5ms..50ms\" }}\n"
        )
    };
    let names = ["still", "renewed", "anew", "erased", "removed"];
    format!("{head}{}{work}", names.map(cohort).concat())
}

fn event(cohort: &str, event: &str) -> String {
    format!("[[timeline]]\nat = \"1s\"\nto = \"{cohort}\"\ndo = \"{event}\"\n")
}

/// An order for each device of these cohorts, once events are over.
fn orders(cohorts: &[&str]) -> String {
    let order = |cohort: &&str| {
        format!("  {{ request = \"SecurityInfo\", to = \"{cohort}\", each = 1, serial = true }},\n")
    };
    let orders: String = cohorts.iter().map(order).collect();
    format!(
        "[[stages]]\nname = \"wait\"\nduration = \"8s\"\n\
         [[stages]]\nname = \"ask\"\nduration = \"2s\"\ncommands = [\n{orders}]\n"
    )
}

/// What the roster says of each device.
fn listed(place: &Place) -> Vec<Value> {
    let (code, list) = place.mdmstorm(&["roster", "list", "--roster", "kept", "--json"]);
    assert_eq!(code, 0, "{list}");
    let listed = list.lines().map(|line| serde_json::from_str(line).unwrap());
    listed.collect()
}

fn certificates(place: &Place) -> Vec<String> {
    let certificate = |it: &Value| it["certificate-sha256"].as_str().unwrap().to_owned();
    listed(place).iter().map(certificate).collect()
}

fn standings(place: &Place) -> Vec<String> {
    let standing = |it: &Value| it["standing"].as_str().unwrap().to_owned();
    listed(place).iter().map(standing).collect()
}

/// The words for the four devices of each cohort.
fn by_cohort(words: [&str; 5]) -> Vec<String> {
    let four = words.into_iter().flat_map(|word| [word; 4]);
    four.map(str::to_owned).collect()
}

const MANAGED: [&str; 4] = ["still", "renewed", "anew", "erased"];

#[test]
fn a_later_run_finds_devices_as_events_have_left_them() {
    let place = Place::new(&scenario(""));
    let server = place.serve();
    let (code, said) = place.mdmstorm(&["enroll", "s.toml", "--roster", "kept", "--quiet"]);
    assert_eq!(code, 0, "{said}");
    let before = certificates(&place);

    let events = [
        event("renewed", "renew-identity"),
        event("anew", "re-enroll"),
        event("erased", "erase-and-re-enroll"),
        event("removed", "remove-profile"),
    ];
    let run = ["run", "s.toml", "--roster", "kept", "--quiet"];
    let work = events.concat() + &orders(&MANAGED);
    place.write("s.toml", &place.scenario(&scenario(&work)));
    let (_, said) = place.mdmstorm(&run);
    assert!(said.contains("16 of 16 commands completed"), "{said}");
    let word = "enrolled";
    let expected = by_cohort([word, word, word, word, "not managed"]);
    assert_eq!(standings(&place), expected);
    let after = certificates(&place);
    let changed = before
        .iter()
        .zip(&after)
        .map(|(before, after)| before != after);
    let changed: Vec<String> = changed.map(|it| it.to_string()).collect();
    // One that is issued its identity keeps it when the profile alone goes.
    let expected = by_cohort(["false", "true", "false", "true", "false"]);
    assert_eq!(changed, expected);
    let seen = server.seen();
    // 20, and once more for each that renewed, enrolled anew or was erased.
    assert_eq!((seen.0, seen.2), (20, 32), "{seen:?}");

    place.write("s.toml", &place.scenario(&scenario(&orders(&MANAGED))));
    let (_, said) = place.mdmstorm(&run);
    assert!(said.contains("16 of 16 commands completed"), "{said}");
    assert_eq!(server.seen(), seen, "somebody enrolled");
    assert_eq!(certificates(&place), after);

    place.write("s.toml", &place.scenario(&scenario(&orders(&["removed"]))));
    let (_, said) = place.mdmstorm(&run);
    let refused = "0 of 4 commands completed, 4 were rejected; none is pending";
    assert!(said.contains(refused), "{said}");
    assert_eq!(server.seen(), seen, "somebody came back");

    let work = event("removed", "re-enroll") + &orders(&["removed"]);
    place.write("s.toml", &place.scenario(&scenario(&work)));
    let (_, said) = place.mdmstorm(&run);
    assert!(said.contains("4 of 4 commands completed"), "{said}");
    assert_eq!(standings(&place), by_cohort([word; 5]));
    let now = server.seen();
    assert_eq!((now.0, now.1, now.2), (20, 20, 36), "{now:?}");
}
