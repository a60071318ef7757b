//! What scenarios/bugs finds in NanoMDM, storage by storage: the surest findings show, and none that
//! nobody could explain from NanoMDM's source. docs/servers.md says where in its source each is from.

use std::collections::BTreeSet;
use std::path::Path;

use crate::Stage;
use crate::server::program;

const IN_MEMORY: [&str; 4] = ["-storage", "inmem", "-storage-dsn", ""];
const IN_FILES: [&str; 6] = [
    "-storage",
    "file",
    "-storage-dsn",
    "db",
    "-storage-options",
    "enable_deprecated=1",
];

/// The rules that NanoMDM broke in a scenario of scenarios/bugs, each with a server of its own.
fn broken(program: &str, storage: &[&str], scenario: &str) -> BTreeSet<String> {
    let stage = Stage::new("signature");
    let _server = stage.start(program, storage, &[]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/bugs");
    let file = file.join(scenario).with_extension("toml");
    let options = [
        format!("target.nanomdm.url=http://127.0.0.1:{}", stage.server),
        "target.nanomdm.api-key={ env = \"NANOMDM_API_KEY\" }".to_owned(),
        format!("apns.listen=127.0.0.1:{}", stage.gateway),
        format!("apns.connect-proxy=127.0.0.1:{}", stage.proxy),
    ];
    let out = stage.path("bundle");
    // Not all that NanoMDM keeps waiting here ever comes.
    let arguments = ["run", file.to_str().unwrap(), "--quiet", "--drain", "10s"];
    let output = stage
        .mdmstorm(&arguments)
        .args(["--out", &out])
        .args(options.iter().flat_map(|option| ["--set", option]))
        .output()
        .unwrap();
    let summary = std::fs::read(Path::new(&out).join("summary.json"));
    let summary = summary
        .unwrap_or_else(|_| panic!("no summary: {}", String::from_utf8_lossy(&output.stderr)));
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    let findings = summary["findings"].as_array().unwrap().iter();
    let rules = findings.map(|finding| finding["rule"].as_str().unwrap().to_owned());
    rules.collect()
}

/// They hold the first, and nothing but the first and the others.
fn are(broken: &BTreeSet<String>, surely: &str, perhaps: &[&str]) {
    assert!(broken.contains(surely), "{broken:?} without {surely}");
    let unexplained: Vec<_> = broken
        .iter()
        .filter(|rule| *rule != surely && !perhaps.contains(&rule.as_str()))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

/// A refused command stays in a linked list whose tail was removed, and still names the tail as its
/// next: what was answered comes again, and its second result empties the list.
#[test]
fn what_stands_behind_a_refused_command_comes_again_after_its_result() {
    let Some(program) = program() else { return };
    let broken = broken(&program, &IN_MEMORY, "not-now-all");
    are(
        &broken,
        "duplicate-after-ack",
        &["lost-command", "reordered", "not-now-starved"],
    );
}

/// A result that is no longer in the linked list has neither a previous nor a next command, and is
/// taken for the only one.
#[test]
fn a_result_sent_again_after_a_lost_answer_empties_the_queue_in_memory() {
    let Some(program) = program() else { return };
    let broken = broken(&program, &IN_MEMORY, "lost-responses");
    are(&broken, "lost-command", &["reordered"]);
}

/// The file of a command is moved as its result comes; a second result finds no file.
#[test]
fn a_result_sent_again_after_a_lost_answer_is_refused_for_ever_with_files() {
    let Some(program) = program() else { return };
    let broken = broken(&program, &IN_FILES, "lost-responses");
    // The device asks with that result again and again, and gets nothing else until it is taken.
    are(
        &broken,
        "http-errors",
        &["reordered", "head-of-line-blocked"],
    );
}

#[test]
fn failed_commands_and_new_push_tokens_break_no_rule() {
    let Some(program) = program() else { return };
    for scenario in ["errors-first", "rotate-token"] {
        let broken = broken(&program, &IN_MEMORY, scenario);
        assert!(broken.is_empty(), "{scenario}: {broken:?}");
    }
}
