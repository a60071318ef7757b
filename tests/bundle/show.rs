//! The story of one device or command, as `show` tells it.

use crate::place::{Place, RUNNING, SMALL};

fn shown(place: &Place, arguments: &[&str]) -> String {
    let (code, out, err) = place.told(&[&["show", "out"], arguments].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    assert!(!out.contains('\u{1b}'), "colours in a pipe: {out}");
    out
}

/// What stands behind `before`, up to the next space.
fn word_after<'a>(text: &'a str, before: &str) -> &'a str {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_whitespace().next().unwrap()
}

#[test]
fn a_device_is_known_by_its_number_its_udid_and_its_serial_number() {
    let place = Place::rehearsed();
    let story = shown(&place, &["--device", "3"]);
    assert!(
        story.starts_with("device 3  carts  UDID 00008140-"),
        "{story}"
    );
    for expected in [
        "model ",
        "seed 5",
        "connects: enroll",
        "Authenticate -> 2xx, empty",
        "is due",
        "arrives at the gateway: 200",
        "Idle -> 2xx with order",
        "commands\n   order ",
        "completed in ",
        "(target)",
    ] {
        assert!(story.contains(expected), "{expected} is not in:\n{story}");
    }
    let udid = word_after(&story, "UDID ").to_lowercase();
    assert_eq!(shown(&place, &["--device", &udid]), story);
    assert_eq!(
        shown(&place, &["--device", word_after(&story, "serial ")]),
        story
    );
}

#[test]
fn a_pending_command_says_why_whose_and_what_would_help() {
    let place = Place::rehearsed();
    let (_, report, _) = place.told(&["report", "out"]);
    let device = word_after(&report, " on device ").trim_end_matches(':');
    let story = shown(&place, &["--device", device]);
    let open = story
        .lines()
        .find(|line| line.contains(" open: device-asleep, owner device: "));
    let open = open.unwrap_or_else(|| panic!("{story}"));
    assert!(story.contains("try: wake the device"), "{story}");
    // The first may have been due before the device fell asleep.
    let order = open.split_whitespace().nth(2).unwrap();
    let order = order.trim_end_matches(',');
    let story = shown(&place, &["--command", order]);
    assert!(story.starts_with(&format!("order {order}  ")), "{story}");
    assert!(story.contains("open: device-asleep"), "{story}");
    // The device had been asleep before the command was due.
    let (asleep, due) = (
        story.find("is asleep").unwrap(),
        story.find("is due").unwrap(),
    );
    assert!(asleep < due, "{story}");
    let uuid = story.split_whitespace().nth(3).unwrap().to_lowercase();
    assert_eq!(shown(&place, &["--command", &uuid]), story);
}

#[test]
fn a_long_story_fits_on_a_screen_unless_all_of_it_is_wanted() {
    let place = Place::new(&SMALL.replace("each = 2", "each = 40"));
    place.told(&["rehearse", "s.toml", "-q", "--out", "out"]);
    let screen = shown(&place, &["--device", "0"]);
    assert!(screen.contains(" more; --all shows them"), "{screen}");
    assert!(screen.lines().count() < 90, "{screen}");
    let all = shown(&place, &["--device", "0", "--all"]);
    assert!(!all.contains("--all") && all.lines().count() > 200, "{all}");
}

#[test]
fn whom_nobody_knows_is_said_with_what_would_be_right() {
    let place = Place::rehearsed();
    for (arguments, expected) in [
        (
            ["--device", "20"],
            "has no device 20; name one by its number, 0 to 19",
        ),
        (
            ["--device", "C02XYZ"],
            "by its UDID, or by its serial number",
        ),
        (
            ["--command", "100000"],
            "has no command 100000; name one by its order's index, 0 to ",
        ),
        (
            ["--command", "6F9619FF-8B86-D011-B42D-00C04FC964FF"],
            "the CommandUUID it had in this run",
        ),
    ] {
        let (code, out, err) = place.told(&[&["show", "out"], &arguments[..]].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(expected), "{err}");
    }
    let (code, _, err) = place.told(&["show", "out"]);
    assert_eq!(code, 2, "{err}");
}

#[test]
fn a_traced_device_shows_what_it_said_and_was_told_and_no_secret() {
    let place = Place::new(SMALL);
    place.told(&["rehearse", "s.toml", "-q", "--out", "out", "--trace", "3,7"]);
    let story = shown(&place, &["--device", "3", "--all"]);
    for expected in [
        "| > <?xml",
        "<string>Authenticate</string>",
        "<key>PushMagic</key>",
        "<string>&lt;redacted&gt;</string>",
        "<key>CommandUUID</key>",
        "| < HTTP 200",
        "<string>Acknowledged</string>",
    ] {
        assert!(story.contains(expected), "{expected} is not in:\n{story}");
    }
    let other = shown(&place, &["--device", "4", "--all"]);
    assert!(!other.contains("| >"), "{other}");
    let trace = zstd::decode_all(&place.file("out/trace.ndjson.zst")[..]).unwrap();
    assert_holds_no_secret(&String::from_utf8(trace).unwrap());
}

/// Story: a trace goes into bug reports, so a push token in it would let anybody push to the device.
#[test]
fn what_a_real_run_traces_is_on_the_disk_without_tokens() {
    let place = Place::new(RUNNING);
    let run = [
        "run", "s.toml", "-q", "--state", "state", "--out", "out", "--drain", "1s",
    ];
    let (_, out, err) = place.told(&[&run[..], &["--trace", "0,1"]].concat());
    assert!(out.contains("commands completed"), "{err}{out}");
    let trace = zstd::decode_all(&place.file("out/trace.ndjson.zst")[..]).unwrap();
    let trace = String::from_utf8(trace).unwrap();
    assert!(trace.lines().count() > 5, "{trace}");
    assert_holds_no_secret(&trace);
    let story = shown(&place, &["--device", "1", "--all"]);
    assert!(story.contains("<string>TokenUpdate</string>"), "{story}");
    assert!(!shown(&place, &["--device", "2", "--all"]).contains("| >"));
}

/// Binary data is counted, and behind every secret's key stands a blot.
fn assert_holds_no_secret(trace: &str) {
    assert!(!trace.contains("<data>"), "{trace}");
    for key in ["<key>Token</key>", "<key>PushMagic</key>"] {
        let values = trace.split(key).skip(1);
        let mut count = 0;
        for value in values {
            let value = value.trim_start_matches("\\n").trim_start_matches("\\t");
            assert!(
                value.starts_with("<string>&lt;redacted&gt;"),
                "{key}{value:.80}"
            );
            count += 1;
        }
        assert!(count > 0, "{key} was not traced");
    }
}

#[test]
fn whom_a_trace_cannot_follow_is_said_before_anything_begins() {
    let place = Place::new(SMALL);
    let many: Vec<String> = (0..101).map(|device| device.to_string()).collect();
    for (arguments, expected) in [
        (
            vec!["--out", "out", "--trace", "20"],
            "names device 20, but the devices are 0 to 19",
        ),
        (vec!["--trace", "1"], "name a folder for it with --out"),
        (
            vec!["--out", "out", "--trace", &many.join(",")],
            "at most 100 are traced",
        ),
    ] {
        let (code, _, err) = place.told(&[&["rehearse", "s.toml"], &arguments[..]].concat());
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(expected), "{err}");
    }
    assert!(!place.path("out").exists());
}
