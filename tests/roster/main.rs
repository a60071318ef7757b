//! What was enrolled is kept and used again: the command line as a process against the reference
//! server as another.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod imported;
mod killed;
mod lives;
mod place;
mod words;

use self::place::{Place, SCENARIO};

#[test]
fn a_second_run_enrols_nobody_and_commands_everybody() {
    let place = Place::new(SCENARIO);
    let server = place.serve();
    let (code, said) = place.mdmstorm(&["enroll", "s.toml", "--roster", "kept", "--quiet"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("to use them again: mdmstorm run s.toml --roster kept"));
    assert_eq!(server.seen(), (20, 20, 20, 0));
    let (code, said) = place.mdmstorm(&["run", "s.toml", "--roster", "kept", "--quiet"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("40 of 40 commands completed"), "{said}");
    // Devices, enrolled, Authenticates, devices under several identities: nothing has been added.
    assert_eq!(server.seen(), (20, 20, 20, 0));
}

#[test]
fn a_larger_scenario_enrols_the_rest_and_a_run_without_a_roster_everybody() {
    let place = Place::new(SCENARIO);
    let server = place.serve();
    place.mdmstorm(&["enroll", "s.toml", "--roster", "kept", "--quiet"]);
    let more = ["enroll", "s.toml", "--roster", "kept", "--quiet"];
    place.write(
        "s.toml",
        &place.scenario(&SCENARIO.replace("count = 20", "count = 25")),
    );
    let (code, said) = place.mdmstorm(&more);
    assert_eq!(code, 0, "{said}");
    assert_eq!(server.seen(), (25, 25, 25, 0));
    let (code, _) = place.mdmstorm(&["run", "s.toml", "--quiet"]);
    assert_eq!(code, 0);
    assert_eq!(server.seen(), (25, 25, 50, 25));
}

#[test]
fn private_keys_are_in_no_report_log_list_or_export() {
    let place = Place::new(SCENARIO);
    let _server = place.serve();
    let (code, said) =
        place.mdmstorm(&["enroll", "s.toml", "--roster", "kept", "--out", "results"]);
    assert_eq!(code, 0, "{said}");
    let key = place.exported_key();
    let mut texts = vec![said];
    for command in ["list", "show"] {
        let device = if command == "show" { vec!["3"] } else { vec![] };
        for json in [&[][..], &["--json"]] {
            let arguments = [
                &["roster", command][..],
                &device,
                &["--roster", "kept"],
                json,
            ];
            let (code, said) = place.mdmstorm(&arguments.concat());
            assert_eq!(code, 0, "{said}");
            texts.push(said);
        }
    }
    place.mdmstorm(&["roster", "export", "--roster", "kept", "--to", "public"]);
    texts.extend(place.texts_below("results"));
    texts.extend(place.texts_below("public"));
    assert!(texts.len() > 20, "{}", texts.len());
    for text in texts {
        assert!(!text.contains("PRIVATE KEY"));
        for form in &key {
            assert!(!text.contains(form), "a key is in {:.80}", text);
        }
    }
}
