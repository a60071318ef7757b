//! What is said when a roster cannot be used, to the letter.

use crate::place::{Place, SCENARIO};

fn enrolled() -> Place {
    let place = Place::new(SCENARIO);
    let _server = place.serve();
    let (code, said) = place.mdmstorm(&["enroll", "s.toml", "--roster", "kept", "--quiet"]);
    assert_eq!(code, 0, "{said}");
    place
}

#[test]
fn a_roster_that_does_not_fit_is_refused_before_anything_starts() {
    let place = enrolled();
    let refused = |edit: (&str, &str), arguments: &[&str], code: i32, says: &str| {
        place.write("s.toml", &place.scenario(&SCENARIO.replace(edit.0, edit.1)));
        let said = place.mdmstorm(&[&["run", "s.toml", "--out", "new"], arguments].concat());
        assert_eq!(said, (code, says.to_owned()));
        assert!(!place.exists("new"));
    };
    refused(
        (
            "preset = \"always-on\"",
            "preset = \"always-on\"\nmodel = \"iPhone15,4\"",
        ),
        &["--roster", "kept"],
        2,
        "error: the roster kept holds other devices than the scenario has: device 0 is ipad \
         (iPad13,18) there and iphone (iPhone15,4) here, device 1 is ipad (iPad13,18) there and \
         iphone (iPhone15,4) here, device 2 is ipad (iPad13,18) there and iphone (iPhone15,4) here, \
         and 17 more; use the scenario they were enrolled with, or name another folder with --roster",
    );
    refused(
        ("https://127.0.0.1:PORT", "http://127.0.0.1:1"),
        &["--roster", "kept"],
        2,
        "error: the roster kept holds devices that are enrolled with https://127.0.0.1:PORT, and the \
         target is http://127.0.0.1:1: each target needs a roster of its own, name another folder \
         with --roster",
    );
    let from = "[target.nanomdm]\nurl = \"https://127.0.0.1:PORT\"\napi-key = { env = \
                \"ROSTER_API_KEY\" }\nca = \"STATE/device-ca.pem\"";
    refused(
        (from, "[target.embedded]"),
        &["--roster", "kept"],
        2,
        "error: the embedded target forgets its devices when the run ends, so a roster of them is of \
         no use: leave --roster out, or give the scenario a target that stays",
    );
}

#[test]
fn a_roster_command_says_what_is_missing() {
    let place = enrolled();
    let refused = |arguments: &[&str], says: &str| {
        let (code, said) = place.mdmstorm(&[&["roster"], arguments].concat());
        assert_eq!((code, said.as_str()), (2, says));
    };
    refused(
        &["list", "--roster", "none"],
        "error: there is no roster in none; `mdmstorm enroll FILE --roster none` makes one",
    );
    refused(
        &["show", "99", "--roster", "kept"],
        "error: the roster kept has no device \"99\"; name it by its number, UDID or serial number, \
         as `mdmstorm roster list` shows them",
    );
    let (code, said) = place.mdmstorm(&["roster", "forget", "3", "4", "--roster", "kept"]);
    let expected =
        "2 devices forgotten; the target is not told, and they enrol anew in the next run";
    assert_eq!((code, said.as_str()), (0, expected));
    refused(
        &["show", "3", "--roster", "kept"],
        "error: the roster kept has no device \"3\"; name it by its number, UDID or serial number, \
         as `mdmstorm roster list` shows them",
    );
}
