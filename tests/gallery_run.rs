//! Some of the gallery on real sockets, against the embedded server: the outcome is that of virtual
//! time, where tests/gallery.rs looks at all of it. `make gallery` runs every file.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use assert_cmd::Command;
use tempfile::TempDir;

/// Runs a file; the tool itself holds its expectations against what happened.
fn run(name: &str) {
    let folder = TempDir::new().unwrap();
    let file = format!("scenarios/gallery/{name}.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_mdmstorm"))
        .args(["run", "--quiet", &file, "--out"])
        .arg(folder.path().join("results"))
        .arg("--state")
        .arg(folder.path().join("state"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{name}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[test]
fn a_firewall_lets_no_push_through_until_devices_are_on_a_hotspot() {
    run("firewall-5223");
}

#[test]
fn locked_devices_install_a_profile_once_they_are_unlocked() {
    run("locked-profile-install");
}

#[test]
fn a_blank_push_gets_a_device_going_whose_last_word_was_not_not_now() {
    run("notnow-then-success");
}
