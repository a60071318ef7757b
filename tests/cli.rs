//! The command line as a person or a CI job meets it: help, exit codes, seeds, bundles, signals.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const QUICKSTART: &str = "scenarios/quickstart.toml";

/// 20 devices and 40 orders in two seconds.
const SMALL: &str = r#"name = "small"
seed = 5

[target.embedded]

[[cohorts]]
name = "carts"
count = 20
preset = "always-on"

[[stages]]
name = "ask"
duration = "2s"
commands = [{ request = "DeviceInformation", each = 2 }]
"#;

/// Orders for a minute, some of them to devices that sleep for long.
const LONG: &str = r#"name = "long"
seed = 5

[target.embedded]

[[cohorts]]
name = "carts"
count = 10
preset = "always-on"

[[cohorts]]
name = "sleepers"
count = 10
preset = "always-on"
sleep = { asleep = "40s", awake = "1s", share-asleep = 1.0 }

[[stages]]
name = "ask"
duration = "1m"
commands = [{ request = "SecurityInfo", rate = "10/s" }]
"#;

fn mdmstorm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdmstorm"));
    command.args(arguments);
    command
}

/// Runs it and gives back its exit code and what it said on standard output and error.
fn told(arguments: &[&str]) -> (i32, String, String) {
    parts(&mdmstorm(arguments).output().unwrap())
}

fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    (code, text(&output.stdout), text(&output.stderr))
}

fn ok(arguments: &[&str]) -> String {
    let (code, out, err) = told(arguments);
    assert_eq!(code, 0, "{arguments:?}: {err}");
    out
}

#[test]
fn help_names_every_option_of_every_command() {
    const STATE: &str = "--state";
    const SCENARIO: [&str; 4] = ["--set", "--seed", "--only", "--once"];
    let run = [
        "--out",
        "--trace",
        "--shard",
        "--drain",
        STATE,
        "--workers",
        "--handshakes-in-flight",
        "--quiet",
        "--allow-public-target",
    ];
    let serve = [
        "--https",
        "--http",
        "--identity",
        "--gateway",
        "--api-key",
        STATE,
    ];
    let rehearse = ["--out", "--trace", "--drain", "--quiet"];
    let commands: [(&str, Vec<&str>); 11] = [
        ("run", [&SCENARIO[..], &run].concat()),
        ("rehearse", [&SCENARIO[..], &rehearse].concat()),
        ("show", vec!["--device", "--command", "--all"]),
        ("report", vec!["--findings", "--json", "--html", "--junit"]),
        ("check", SCENARIO.to_vec()),
        ("plan", [&SCENARIO[..], &["--shard", "--orders"]].concat()),
        ("serve", serve.to_vec()),
        (
            "apns",
            vec!["--listen", "--connect-proxy", "--print", STATE],
        ),
        ("doctor", vec![STATE, "--allow-public-target"]),
        ("schema", vec![]),
        ("completions", vec!["bash", "zsh", "fish"]),
    ];
    let overview = ok(&["--help"]);
    for (command, options) in commands {
        assert!(overview.contains(command), "{command} is not in --help");
        let help = ok(&[command, "--help"]);
        for option in options {
            assert!(help.contains(option), "{command} --help lacks {option}");
        }
    }
}

#[test]
fn a_command_line_that_is_wrong_exits_with_2() {
    for arguments in [
        &["frobnicate"][..],
        &["run"],
        &["run", QUICKSTART, "--seed", "seven"],
        &["run", QUICKSTART, "--drain", "30"],
        &["run", QUICKSTART, "--only", "carts"],
        &["run", "there-is-no-such-file.toml"],
        &["plan", QUICKSTART, "--shard", "4/4"],
        &["serve", "--identity", "password"],
    ] {
        let (code, _, err) = told(arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.starts_with("error: "), "{arguments:?}: {err}");
    }
}

#[test]
fn a_scenario_that_is_wrong_exits_with_104_in_every_command_that_reads_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s.toml");
    std::fs::write(&path, SMALL.replace("count = 20", "count = 0")).unwrap();
    for command in ["run", "rehearse", "check", "plan", "apns", "doctor"] {
        let (code, out, err) = told(&[command, path.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (104, ""), "{command}: {err}");
        assert!(err.contains("count is 0"), "{command}: {err}");
    }
}

#[test]
fn one_part_of_several_is_planned_but_not_run() {
    let (code, out, err) = told(&["run", QUICKSTART, "--shard", "1/2"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("cannot run yet"), "{err}");
    ok(&["plan", QUICKSTART, "--shard", "1/2"]);
}

#[test]
fn the_schema_is_the_one_in_docs() {
    let shipped = std::fs::read_to_string("docs/scenario.schema.json").unwrap();
    let [printed, shipped] =
        [ok(&["schema"]), shipped].map(|text| serde_json::from_str::<Value>(&text).unwrap());
    assert!(
        printed == shipped,
        "run: mdmstorm schema > docs/scenario.schema.json"
    );
}

#[test]
fn completions_complete_commands_and_options() {
    let script = ok(&["completions", "bash"]);
    assert!(script.contains("complete -F _mdmstorm"));
    assert!(script.contains("--allow-public-target"));
}

#[test]
fn a_seed_gives_one_plan_and_another_seed_another() {
    let plan = |arguments: &[&str]| ok(&[&["plan", QUICKSTART, "--orders"], arguments].concat());
    let first = plan(&[]);
    assert_eq!(first.lines().count(), 5_000);
    assert!(first == plan(&[]) && first == plan(&["--seed", "42"]));
    assert!(first != plan(&["--seed", "7"]));
}

#[test]
fn the_parts_of_a_plan_are_the_whole() {
    let lines = |arguments: &[&str]| {
        let text = ok(&[&["plan", QUICKSTART, "--orders"], arguments].concat());
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = lines(&[]);
    let parts: Vec<_> = ["0/3", "1/3", "2/3"]
        .into_iter()
        .flat_map(|part| lines(&["--shard", part]))
        .collect();
    assert_eq!(parts.len(), whole.len());
    let set = |lines: Vec<String>| lines.into_iter().collect::<BTreeSet<_>>();
    assert!(set(parts) == set(whole));
}

/// A folder with a scenario, to run in.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(scenario: &str) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("s.toml"), scenario).unwrap();
        Self { folder }
    }

    fn run(&self) -> Command {
        let mut command = mdmstorm(&["run", "s.toml", "--state", "state", "--out", "out"]);
        command.current_dir(self.folder.path());
        command
    }

    fn bundle(&self, name: &str) -> Vec<u8> {
        let path = self.folder.path().join("out").join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bundle(name)).unwrap()
    }

    /// Every fact of the event log. A frame that is not whole is an error.
    fn facts(&self) -> Vec<Value> {
        let mut text = String::new();
        let log = self.bundle("events.ndjson.zst");
        zstd::Decoder::new(&log[..])
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// ordered = completed + failed + rejected + cancelled + pending.
fn assert_orders_conserve(commands: &Value) {
    let of = |key: &str| commands[key].as_u64().unwrap();
    let ends = ["completed", "failed", "rejected", "cancelled", "pending"];
    assert_eq!(of("ordered"), ends.into_iter().map(of).sum::<u64>());
}

/// The files of docs/results.md.
const BUNDLE: [&str; 10] = [
    "manifest.json",
    "scenario.toml",
    "summary.json",
    "intervals.ndjson",
    "events.ndjson.zst",
    "devices.ndjson.zst",
    "histograms.hlog",
    "report.html",
    "junit.xml",
    "log.txt",
];

#[test]
fn a_small_run_completes_every_order_and_leaves_a_whole_bundle() {
    let place = Place::new(SMALL);
    let (code, out, err) = parts(&place.run().output().unwrap());
    assert_eq!(code, 0, "{err}{out}");
    assert!(out.contains("40 of 40 commands completed"), "{out}");
    for name in BUNDLE {
        assert!(!place.bundle(name).is_empty(), "{name} is empty");
    }
    let manifest = place.json("manifest.json");
    assert_eq!(manifest["complete"], true);
    assert_eq!(manifest["exit-code"], 0);

    let summary = place.json("summary.json");
    let schema = std::fs::read(Path::new("docs/summary.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<_> = schema
        .iter_errors(&summary)
        .map(|e| e.to_string())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(summary["devices"]["enrolled"], 20);
    assert_eq!(summary["commands"]["completed"], 40);
    assert_orders_conserve(&summary["commands"]);
    assert_orders_conserve(&summary["cohorts"]["carts"]["commands"]);

    let enrolled = |fact: &&Value| fact["fact"] == "enrolled";
    let facts = place.facts();
    assert_eq!(facts.iter().filter(enrolled).count(), 20);
    // Every queue is looked into, and all of them are empty.
    let queues = facts.iter().filter(|fact| fact["fact"] == "queue-seen");
    let seen = queues.inspect(|fact| assert_eq!(fact["open"], Value::Array(Vec::new())));
    assert_eq!(seen.count(), 20);
}

#[test]
fn a_command_that_stays_refused_is_seen_in_the_targets_queue() {
    let refusing = "preset = \"always-on\"\nnot-now = { requests = [\"ProfileList\"], probability = 1.0, for = \"1h\" }";
    let scenario = SMALL.replace("preset = \"always-on\"", refusing);
    let place = Place::new(&scenario.replace("DeviceInformation", "ProfileList"));
    let (_, out, err) = parts(&place.run().args(["--drain", "1s"]).output().unwrap());
    assert!(out.contains("0 of 40 commands completed"), "{err}{out}");
    let facts = place.facts();
    let of_kind = |kind: &'static str| facts.iter().filter(move |fact| fact["fact"] == kind);
    let refused = of_kind("refused").map(|fact| fact["uuid"].to_string());
    let refused: BTreeSet<String> = refused.collect();
    let mut open = BTreeSet::new();
    for queue in of_kind("queue-seen") {
        assert_eq!(queue["names_refused"], true, "{queue}");
        assert!(queue["asked"].as_u64() <= queue["at"].as_u64(), "{queue}");
        open.extend(
            queue["open"]
                .as_array()
                .unwrap()
                .iter()
                .map(Value::to_string),
        );
    }
    assert_eq!(open.len(), 40);
    assert!(!refused.is_empty() && open.is_superset(&refused));
}

/// A run that orders, with its standard error still to be read.
struct Running {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(place: &Place) -> Self {
        let mut command = place.run();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// Reads on until a line contains `text`.
    fn until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let read = self.said.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended without saying {text:?}");
        }
    }

    fn interrupt(&self) {
        let kill = format!("kill -INT {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }

    fn end(mut self) -> (i32, String) {
        // Its progress is read on, so that it never waits for a reader.
        let rest = std::thread::spawn(move || std::io::copy(&mut self.said, &mut std::io::sink()));
        let output = self.child.wait_with_output().unwrap();
        rest.join().unwrap().unwrap();
        let (code, out, _) = parts(&output);
        (code, out)
    }
}

#[test]
fn ctrl_c_drains_and_leaves_a_whole_bundle() {
    let awake = LONG.lines().filter(|line| !line.starts_with("sleep"));
    let place = Place::new(&awake.collect::<Vec<_>>().join("\n"));
    let mut running = Running::start(&place);
    running.until(" running: ");
    running.until(" completed, ");
    running.interrupt();
    let (code, out) = running.end();
    assert_eq!(code, 105, "{out}");
    assert!(out.contains("interrupted"), "{out}");
    for name in BUNDLE {
        assert!(!place.bundle(name).is_empty(), "{name} is empty");
    }
    let manifest = place.json("manifest.json");
    assert_eq!(manifest["complete"], true);
    assert_eq!(manifest["exit-code"], 105);
    let commands = &place.json("summary.json")["commands"];
    assert_orders_conserve(commands);
    assert!(commands["ordered"].as_u64().unwrap() < 600, "{commands}");
}

#[test]
fn ctrl_c_twice_stops_at_once_and_what_there_is_can_be_read() {
    let place = Place::new(LONG);
    let mut running = Running::start(&place);
    running.until(" running: ");
    running.until(" completed, ");
    running.interrupt();
    running.until("stopping: ");
    running.interrupt();
    let (code, out) = running.end();
    // On a machine that many tests share the timers may be late, which a run tells first.
    assert!(matches!(code, 105 | 90), "{code}: {out}");
    let manifest = place.json("manifest.json");
    assert_eq!(manifest["complete"], false);
    assert_eq!(manifest["exit-code"], code);
    assert_orders_conserve(&place.json("summary.json")["commands"]);
    assert!(!place.facts().is_empty());
}
