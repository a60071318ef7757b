//! The rules of the house that a compiler does not check.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a top-level module may name, beside itself. A new name in this table is a change
/// of the design.
const MAY_NAME: [(&str, &[&str]); 22] = [
    // Vocabulary.
    ("ids", &[]),
    ("condition", &[]),
    ("time", &[]),
    ("seed", &[]),
    ("metric", &[]),
    ("rule", &[]),
    ("fact", &["condition", "ids", "time"]),
    ("protocol", &["ids"]),
    // Machines.
    (
        "device",
        &["condition", "fact", "ids", "protocol", "seed", "time"],
    ),
    // A switchboard hands on what a device will take, so it shares the device's contract.
    (
        "apns",
        &["device", "fact", "ids", "protocol", "seed", "time"],
    ),
    ("shard", &["apns", "device", "fact", "ids", "seed", "time"]),
    ("reference_server", &["ids", "protocol", "seed", "time"]),
    // Intent: of a device it knows what a cohort shares and what a timeline may change.
    (
        "scenario",
        // Of the push service: what may go wrong with it, and how its limits are counted.
        &[
            "apns",
            "condition",
            "device",
            "ids",
            "metric",
            "protocol",
            // What may be wrong with the bundled server.
            "reference_server",
            "rule",
            "seed",
        ],
    ),
    (
        "plan",
        &[
            "apns",
            "condition",
            "device",
            "ids",
            "metric",
            "rule",
            "scenario",
            "seed",
            "time",
        ],
    ),
    // Measurement: facts, never devices; of a plan, what is counted.
    (
        "record",
        &["condition", "fact", "ids", "metric", "plan", "time"],
    ),
    // Rules are found broken in facts too; which order is whose comes from the ledger's setup.
    (
        "finding",
        &["condition", "fact", "ids", "record", "rule", "time"],
    ),
    (
        "report",
        &["fact", "finding", "ids", "metric", "record", "rule", "time"],
    ),
    // A scenario made smaller, and what it says of itself; whoever runs it asks.
    ("reduce", &["finding", "rule", "scenario"]),
    // Drivers.
    (
        "sim",
        &[
            "apns",
            "condition",
            "device",
            "fact",
            "finding",
            "ids",
            "plan",
            "protocol",
            "record",
            "reference_server",
            "scenario",
            "rule",
            "seed",
            "shard",
            "time",
        ],
    ),
    (
        "engine",
        &[
            "apns",
            "device",
            "fact",
            "finding",
            "ids",
            "metric",
            "plan",
            "protocol",
            "record",
            "reference_server",
            "report",
            "scenario",
            "rule",
            "seed",
            "shard",
            "time",
        ],
    ),
    (
        "cli",
        &[
            "apns",
            "device",
            "engine",
            "fact",
            "finding",
            "ids",
            "metric",
            "plan",
            "protocol",
            "record",
            "reduce",
            "reference_server",
            "report",
            "scenario",
            "rule",
            "seed",
            "shard",
            "sim",
            "time",
        ],
    ),
    ("lib", &[]),
];

/// Tests of one driver against another, and what each may name beyond its layer.
const BETWEEN_DRIVERS: [(&str, &str); 1] = [("src/engine/paused_tests.rs", "sim")];

/// What of `device` modules outside the machines may name: plain data, no machine.
const OF_DEVICE: [(&str, &[&str]); 3] = [
    ("apns", &["device::contract"]),
    (
        "scenario",
        &[
            "device::traits",
            "device::environment::Terms",
            "device::contract::Change",
            "device::contract::Wish",
        ],
    ),
    ("plan", &["device::traits", "device::contract::Change"]),
];

/// The longest a file may be without an entry in [`MAY_BE_LONG`], in lines.
const LINES_MAX: usize = 500;

/// Files that are longer, and why they are not split.
const MAY_BE_LONG: [(&str, &str); 5] = [
    (
        "tests/enrolling.rs",
        "one small test for each way that enrolling may end",
    ),
    (
        "tests/execution.rs",
        "one small test for each kind of command",
    ),
    (
        "tests/report.rs",
        "one small test for each part of a report",
    ),
    (
        "tests/reference_server.rs",
        "one small test for each rule of the server",
    ),
    (
        "tests/swarm.rs",
        "the dice of a random scenario, beside what is held against it",
    ),
];

/// What only the drivers may do. They are written in two parts so that this file has none of them.
const ONLY_IN_DRIVERS: [&str; 9] = [
    concat!("println", "!"),
    concat!("std::", "fs"),
    concat!("std::", "thread"),
    concat!("std::", "env::"),
    concat!("std::", "process"),
    concat!("std::sync::", "Mutex"),
    concat!("tokio", "::"),
    concat!("Instant::", "now"),
    concat!("SystemTime::", "now"),
];

/// What `std::net` has that is no socket.
const ADDRESSES: [&str; 6] = [
    "AddrParseError",
    "IpAddr",
    "Ipv4Addr",
    "Ipv6Addr",
    "SocketAddr",
    "SocketAddrV4",
];

/// What says that something is not finished.
const UNFINISHED: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimplemented", "!("),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` whose name ends in `.extension`, by path. A folder need not exist.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as people write it, from the root of the repository.
fn name(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap();
    path.to_str().unwrap().replace('\\', "/")
}

/// The top-level module a source file belongs to.
fn module(path: &Path) -> String {
    let name = name(path);
    let below = name.strip_prefix("src/").unwrap();
    below
        .split('/')
        .next()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// What follows `crate::` in `text`, as far as it is a path: `device::contract::Change`. A path
/// that ends in braces counts once for each name in them.
fn crate_paths(text: &str) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut paths = Vec::new();
    for (at, start) in text.match_indices("crate::") {
        let rest = &text[at + start.len()..];
        let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
        let (path, after) = rest.split_at(end);
        match after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
        {
            Some((names, _)) if path.ends_with("::") || path.is_empty() => {
                let names = names
                    .split(',')
                    .map(str::trim)
                    .filter(|name| !name.is_empty());
                paths.extend(names.map(|name| format!("{path}{name}")));
            }
            Some(_) | None => paths.push(path.to_owned()),
        }
    }
    paths
}

/// The code of a file without its comments, so that prose may name anything.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = |line: &str| !line.trim_start().starts_with("//");
    text.lines()
        .filter(|line| code(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn is_driver(path: &Path) -> bool {
    matches!(module(path).as_str(), "engine" | "cli" | "main")
}

#[test]
fn a_path_into_the_crate_is_found_in_every_form() {
    let text = "use crate::fact::Fact; fn f(_: crate::ids::Channel) {}
        use crate::device::contract::{Change, Push};
        use crate::{seed::Seed, time::SimTime};";
    let expected = [
        "fact::Fact",
        "ids::Channel",
        "device::contract::Change",
        "device::contract::Push",
        "seed::Seed",
        "time::SimTime",
    ];
    assert_eq!(crate_paths(text), expected);
}

#[test]
fn a_module_names_only_what_its_layer_may() {
    let mut wrong = BTreeSet::new();
    for path in files("src", "rs") {
        let module = module(&path);
        if module == "main" {
            continue;
        }
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            wrong.insert(format!(
                "{}: the module {module} has no line in MAY_NAME",
                name(&path)
            ));
            continue;
        };
        for used in crate_paths(&code(&path)) {
            let top = used.split("::").next().unwrap();
            let is_known = MAY_NAME.iter().any(|(name, _)| *name == top);
            let is_between = BETWEEN_DRIVERS.contains(&(name(&path).as_str(), top));
            if is_known && top != module && !allowed.contains(&top) && !is_between {
                wrong.insert(format!("{}: {module} may not name {used}", name(&path)));
            }
            let data = OF_DEVICE.iter().find(|(name, _)| *name == module);
            if let (Some((_, data)), "device") = (data, top)
                && !data.iter().any(|it| used.starts_with(it))
            {
                wrong.insert(format!("{}: {module} may not name {used}", name(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_long_file_has_a_reason() {
    for folder in ["src", "tests", "benches"] {
        for path in files(folder, "rs") {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            let entry = MAY_BE_LONG.iter().find(|(long, _)| *long == name(&path));
            let path = name(&path);
            if lines > LINES_MAX {
                assert!(
                    entry.is_some(),
                    "{path} has {lines} lines; split it, or say why not"
                );
            } else {
                assert!(
                    entry.is_none(),
                    "{path} has {lines} lines and needs no entry any more"
                );
            }
        }
    }
    for (path, reason) in MAY_BE_LONG {
        assert!(root().join(path).is_file(), "{path} is gone ({reason})");
    }
}

#[test]
fn only_the_drivers_do_input_and_output_or_read_a_clock() {
    for path in files("src", "rs") {
        if is_driver(&path) {
            continue;
        }
        let code = code(&path);
        for forbidden in ONLY_IN_DRIVERS {
            // The end catches eprintln as well.
            assert!(!code.contains(forbidden), "{} has {forbidden}", name(&path));
        }
        for (at, start) in code.match_indices("std::net::") {
            let rest = &code[at + start.len()..];
            let names = rest.strip_prefix('{').and_then(|it| it.split_once('}'));
            let end = rest
                .find(|c: char| !c.is_alphanumeric())
                .unwrap_or(rest.len());
            let names = names.map_or(&rest[..end], |(names, _)| names);
            for it in names.split(',').map(str::trim).filter(|it| !it.is_empty()) {
                assert!(
                    ADDRESSES.contains(&it),
                    "{} has std::net::{it}",
                    name(&path)
                );
            }
        }
    }
}

#[test]
fn every_scenario_is_checked_by_editors_and_named_in_a_test_or_document() {
    let mut texts = String::new();
    for (folder, extension) in [("tests", "rs"), ("docs", "md"), ("src", "rs")] {
        for path in files(folder, extension) {
            texts += &fs::read_to_string(path).unwrap();
        }
    }
    texts += &fs::read_to_string(root().join("README.md")).unwrap_or_default();
    for path in files("scenarios", "toml") {
        let text = fs::read_to_string(&path).unwrap();
        let schema = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("#:schema "));
        let schema = schema.map(|schema| path.parent().unwrap().join(schema));
        let is_there = schema.is_some_and(|schema| schema.is_file());
        assert!(is_there, "{} does not begin with its #:schema", name(&path));
        let file = path.file_name().unwrap().to_str().unwrap();
        assert!(texts.contains(file), "no test or document names {file}");
    }
}

#[test]
fn nothing_says_that_it_is_unfinished() {
    for folder in ["src", "tests", "benches"] {
        for path in files(folder, "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for mark in UNFINISHED {
                assert!(!text.contains(mark), "{} has {mark}", name(&path));
            }
        }
    }
}

#[test]
fn no_lint_is_silenced_for_good() {
    for path in files("src", "rs") {
        let code = code(&path);
        for silent in ["#[allow(", "#![allow("] {
            // `expect` says when it is not needed any more.
            assert!(!code.contains(silent), "{} has {silent}", name(&path));
        }
    }
}
