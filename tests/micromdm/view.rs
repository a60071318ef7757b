//! What MicroMDM says of itself, by its queues and its webhook, beside what its devices know.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::Value;

use crate::enrolment::{Stage, is_whole};
use crate::server::{port, program};

/// Macs with a user, each with an order, and iPads that refuse theirs. The stage without commands is
/// for MicroMDM, which answers a TokenUpdate before it has stored the token.
const SOME_REFUSE: &str = r#"
[[cohorts]]
name = "macs"
count = 10
preset = "always-on"
model = "Mac14,2"
users = 1
[[cohorts]]
name = "refusing"
count = 5
preset = "always-on"
not-now = { requests = ["ProfileList"], probability = 1.0, for = "1h" }
[[stages]]
name = "settle"
duration = "5s"
[[stages]]
name = "ask"
duration = "2s"
commands = [
  { request = "DeviceInformation", to = "macs", each = 1, serial = true },
  { request = "ProfileList", to = "refusing", each = 1, serial = true },
  { request = "ProfileList", to = "macs", channel = "user", each = 1, serial = true },
]
"#;

/// The facts of a run of this kind.
fn facts<'a>(all: &'a [Value], kind: &'static str) -> impl Iterator<Item = &'a Value> {
    all.iter().filter(move |fact| fact["fact"] == kind)
}

/// The results that devices gave or that MicroMDM told of, by channel.
fn results<'a>(facts: impl Iterator<Item = &'a Value>, key: &str) -> BTreeMap<String, u32> {
    let mut results = BTreeMap::new();
    for fact in facts {
        let said = &fact[key];
        if said["result"].is_object() {
            let what = format!("{} {said}", fact["channel"]);
            *results.entry(what).or_insert(0) += 1;
        }
    }
    results
}

#[test]
fn its_queues_are_seen_and_every_result_that_it_took_is_told_of() {
    let Some(program) = program() else { return };
    let webhook = port();
    let target = format!("webhook = \"127.0.0.1:{webhook}\"");
    let url = format!("http://127.0.0.1:{webhook}/webhook");
    let arguments = ["-command-webhook-url", &url];
    let stage = Stage::with(&program, &arguments, &target, "", SOME_REFUSE);
    let (code, summary) = stage.run("first");
    assert!(is_whole(code) || code == 99, "{code} {summary:#}");
    assert_eq!(summary["commands"]["completed"], 20, "{summary:#}");
    let log = Path::new(&stage.path("first")).join("events.ndjson.zst");
    let text = zstd::decode_all(File::open(log).unwrap()).unwrap();
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let all: Vec<Value> = lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let said = results(facts(&all, "exchange"), "said");
    assert_eq!(results(facts(&all, "event-received"), "event"), said);
    let queues: Vec<_> = facts(&all, "queue-seen").collect();
    assert_eq!(queues.len(), 25, "of 15 devices and 10 users");
    for queue in queues {
        assert_eq!(queue["names_refused"], false);
        // What was refused it keeps in a list of its own, and shows nobody.
        assert_eq!(queue["open"], Value::Array(Vec::new()), "{queue}");
    }
}
