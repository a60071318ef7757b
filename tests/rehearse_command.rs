//! `mdmstorm rehearse` as a person or a CI job meets it.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// Ten devices, each asked once.
const SMALL: &str = r#"name = "small"
seed = 5

[target.embedded]

[[cohorts]]
name = "carts"
count = 10
preset = "always-on"

[[stages]]
name = "ask"
duration = "2s"
commands = [{ request = "DeviceInformation", each = 1 }]
"#;

/// A limit that nothing keeps.
const STRICT: &str = r#"
[[thresholds]]
metric = "push-to-completion p50"
below = "1us"
"#;

/// Runs `rehearse` in `folder`, which has `s.toml`; its exit code and what it said.
fn rehearse(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
    command.arg("rehearse").args(arguments).current_dir(folder);
    command.env_remove("NANOMDM_API_KEY");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

fn folder(scenario: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("s.toml"), scenario).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_rehearsal_reports_and_leaves_nothing_behind() {
    let folder = folder(SMALL);
    let (code, out, err) = rehearse(folder.path(), &["s.toml"]);
    assert_eq!(code, 0, "{err}{out}");
    assert!(out.contains("run VALID"), "{out}");
    assert!(out.contains("10 of 10 commands completed"), "{out}");
    assert!(out.contains("virtual-time: "), "{out}");
    assert!(out.contains("load on the target"), "{out}");
    let last = err.lines().last().unwrap();
    assert!(
        last.starts_with("rehearsed ") && last.ends_with(" events per second"),
        "{err}"
    );
    assert_eq!(names(folder.path()), ["s.toml"]);
}

#[test]
fn one_file_and_seed_give_the_same_output_and_another_seed_another() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let told = |seed| {
        let arguments = ["scenarios/quickstart.toml", "--quiet", "--seed", seed];
        let (_, out, err) = rehearse(root, &arguments);
        assert_eq!(err.lines().count(), 1, "{err}");
        out
    };
    let once = told("42");
    assert!(once.contains("5 000 of 5 000 commands completed"), "{once}");
    assert!(once == told("42"));
    assert!(once != told("43"));
}

#[test]
fn a_server_with_a_secret_is_rehearsed_without_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (code, out, err) = rehearse(root, &["scenarios/nanomdm.toml", "--once"]);
    assert_eq!(code, 0, "{err}{out}");
    let target =
        "the reference server on virtual time, in the place of NanoMDM at http://127.0.0.1:9000";
    assert!(out.contains(target), "{out}");
}

#[test]
fn a_missed_threshold_exits_with_99() {
    let folder = folder(&format!("{SMALL}{STRICT}"));
    let (code, out, err) = rehearse(folder.path(), &["s.toml"]);
    assert_eq!(code, 99, "{err}{out}");
    assert!(out.contains("missed"), "{out}");
}

#[test]
fn a_bundle_is_written_where_it_is_wanted_and_is_the_same_each_time() {
    let folder = folder(SMALL);
    for out in ["one", "two"] {
        let (code, _, err) = rehearse(folder.path(), &["s.toml", "--out", out]);
        assert_eq!(code, 0, "{err}");
    }
    let read = |out: &str, name: &str| std::fs::read(folder.path().join(out).join(name)).unwrap();
    let files = names(&folder.path().join("one"));
    for name in [
        "manifest.json",
        "scenario.toml",
        "summary.json",
        "intervals.ndjson",
        "events.ndjson.zst",
        "histograms.hlog",
        "report.html",
        "junit.xml",
    ] {
        assert!(files.iter().any(|file| file == name), "{name} is missing");
        assert!(!read("one", name).is_empty(), "{name} is empty");
    }
    for name in ["manifest.json", "events.ndjson.zst", "intervals.ndjson"] {
        assert!(read("one", name) == read("two", name), "{name} differs");
    }
    let (code, _, err) = rehearse(folder.path(), &["s.toml", "--out", "one"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("already holds a results bundle"), "{err}");
}

#[test]
fn a_rehearsal_of_more_months_than_a_certificate_lives_is_no_failure() {
    // Devices and server renew theirs in time; on scaled real time months are hours.
    let late = SMALL.replace(
        "[[stages]]",
        "[[stages]]\nname = \"term\"\nduration = \"100d\"\n\n[[stages]]",
    );
    let folder = folder(&late);
    let (code, said, _) = rehearse(folder.path(), &["s.toml", "-q"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("10 of 10 commands completed"), "{said}");
}

#[test]
fn a_time_scale_that_no_clock_can_show_is_refused() {
    let folder = folder(SMALL);
    for scale in ["1e300", "1e-300", "0.0", "inf"] {
        let set = format!("time-scale={scale}");
        let (code, _, why) = rehearse(folder.path(), &["s.toml", "-q", "--set", &set]);
        assert_eq!(code, 104, "{why}");
        assert!(why.contains("a number from 0.001 to 1000000"), "{why}");
    }
}
