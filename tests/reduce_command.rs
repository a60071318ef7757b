//! `mdmstorm reduce` as a process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![cfg(feature = "net")]

use std::path::Path;

use assert_cmd::Command;

const SCENARIO: &str = r#"
name = "well"
[target.embedded]
[[cohorts]]
name = "carts"
count = 30
[[stages]]
name = "ask"
duration = "10s"
commands = [{ request = "ProfileList", each = 2 }]
"#;

/// What a call prints on standard output and standard error, and its exit code.
fn reduce(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::cargo_bin("mdmstorm").unwrap();
    command.current_dir(folder).arg("reduce").args(arguments);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large.toml"), text).unwrap();
    folder
}

#[test]
fn a_scenario_that_does_not_show_the_finding_is_not_reduced() {
    let folder = folder_with(SCENARIO);
    let (out, error, code) = reduce(folder.path(), &["large.toml", "--finding", "lost-command"]);
    assert_eq!(code, Some(106), "{error}");
    assert_eq!(out, "");
    let last = error.lines().last().unwrap();
    let right = "error: large.toml does not show lost-command in 10 runs against the bundled server on virtual time: nothing found";
    assert!(last.starts_with(right), "{last}");
    assert!(!folder.path().join("repro.toml").exists());
}

#[test]
fn a_rule_that_is_none_is_told_with_the_one_that_was_meant() {
    let folder = folder_with(SCENARIO);
    let (_, error, code) = reduce(folder.path(), &["large.toml", "--finding", "lost-comand"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("did you mean \"lost-command\"?"), "{error}");
}

#[test]
fn what_is_neither_a_scenario_nor_a_bundle_is_told() {
    let folder = folder_with(SCENARIO);
    let (_, error, code) = reduce(folder.path(), &["small.toml", "--finding", "no-push"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("cannot read small.toml"), "{error}");
    let (_, error, code) = reduce(folder.path(), &[".", "--finding", "no-push"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("a results bundle has one"), "{error}");
}

/// A server that answers NotNow with the same command, for ever, and a crowd that has nothing to do
/// with it.
const SPINS: &str = r#"
name = "spins"
[target.embedded]
defects = ["not-now-spins"]
[[cohorts]]
name = "napping"
count = 10
not-now = { requests = ["ProfileList"], probability = 1.0, for = "4s" }
[[cohorts]]
name = "awake"
count = 200
[[stages]]
name = "ask"
duration = "20s"
commands = [
  { request = "ProfileList", each = 2 },
  { request = "SecurityInfo", to = "awake", rate = "20/s" },
]
[[timeline]]
at = "5s"
to = "awake"
do = "lock"
"#;

#[test]
fn the_scenario_that_is_written_shows_the_finding_again() {
    let folder = folder_with(SPINS);
    let arguments = [
        "large.toml",
        "--finding",
        "not-now-spin",
        "--out",
        "small.toml",
    ];
    let (out, error, code) = reduce(folder.path(), &arguments);
    assert_eq!(code, Some(0), "{error}");
    let right = "not-now-spin with 1 device and 1 order, in 10 of 10 runs, after ";
    assert!(out.starts_with(right), "{out}");
    let text = std::fs::read_to_string(folder.path().join("small.toml")).unwrap();
    assert!(text.starts_with("# not-now-spin: "), "{text}");
    assert!(
        text.contains("Reduced from large.toml: 210 devices and 820 orders, to 1"),
        "{text}"
    );
    for gone in ["awake", "timeline", "SecurityInfo"] {
        assert!(!text.contains(gone), "{text}");
    }
    let mut rehearse = Command::cargo_bin("mdmstorm").unwrap();
    rehearse
        .current_dir(folder.path())
        .args(["rehearse", "--quiet", "small.toml"]);
    rehearse.assert().code(94);
}

#[test]
fn a_results_bundle_is_reduced_with_the_seed_of_its_run() {
    let folder = folder_with(SPINS);
    let mut rehearse = Command::cargo_bin("mdmstorm").unwrap();
    rehearse.current_dir(folder.path());
    rehearse.args([
        "rehearse",
        "--quiet",
        "large.toml",
        "--seed",
        "77",
        "--out",
        "results",
    ]);
    rehearse.assert().code(94);
    let (_, error, code) = reduce(folder.path(), &["results", "--finding", "not-now-spin"]);
    assert_eq!(code, Some(0), "{error}");
    let text = std::fs::read_to_string(folder.path().join("repro.toml")).unwrap();
    assert!(text.contains("\nseed = 77\n"), "{text}");
}
