//! Documents that are partly made from code: the reference of scenario keys, and what README lists.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use mdmstorm::report::caveat::Caveat;
use mdmstorm::scenario::{ASSUMED, Scenario};
use serde_json::Value;

/// In docs/scenarios.md, what stands below this line is made here.
const MADE_BELOW: &str = "<!-- made from the schema; `make golden` writes it -->\n";

fn document(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_scenario_reference_has_every_key_of_the_schema() {
    let schema: Value = serde_json::from_str(&document("docs/scenario.schema.json")).unwrap();
    let mut made = String::new();
    section(&schema, "", &mut made);
    assumptions(&mut made);
    let text = document("docs/scenarios.md");
    let (written, found) = text.split_once(MADE_BELOW).unwrap();
    if found == made {
        return;
    }
    if update() {
        let new = format!("{written}{MADE_BELOW}{made}");
        std::fs::write("docs/scenarios.md", new).unwrap();
    } else {
        panic!("docs/scenarios.md is not as the schema; `make golden` writes:\n\n{made}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the same variable that insta reads"
)]
fn update() -> bool {
    std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always")
}

/// A table of a section's own keys, then the tables of the sections in it.
fn section(schema: &Value, path: &str, text: &mut String) {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|keys| keys.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut inner = Vec::new();
    let title = if path.is_empty() { "top level" } else { path };
    let _ = writeln!(
        text,
        "\n### {title}\n\n| Key | Default | Meaning |\n|---|---|---|"
    );
    for (name, key) in schema["properties"].as_object().unwrap() {
        let full = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let about = key["description"]
            .as_str()
            .unwrap_or_default()
            .replace('|', "\\|");
        let default = default(&full, key, required.contains(&name.as_str()));
        let _ = writeln!(text, "| `{name}` | {default} | {about} |");
        if let Some(table) = table(key)
            && !table["properties"].as_object().unwrap().is_empty()
        {
            inner.push((full, table));
        }
    }
    events(schema, text);
    for (path, table) in inner {
        section(table, &path, text);
    }
}

/// What `do` may be, where a section has it.
fn events(section: &Value, text: &mut String) {
    let known = section["properties"]["do"]["anyOf"].as_array();
    let known = known.into_iter().flatten();
    let mut known = known.filter_map(|event| {
        let name = event["const"].as_str()?;
        Some((name, event["description"].as_str()?))
    });
    let Some(first) = known.next() else { return };
    text.push_str("\n| `do` | What happens |\n|---|---|\n");
    for (name, about) in std::iter::once(first).chain(known) {
        let _ = writeln!(text, "| `{name}` | {about} |");
    }
}

/// Every default that is a guess, with its evidence.
fn assumptions(text: &mut String) {
    text.push_str(
        "\n## Assumptions\n\nA: Apple says so, though not always the number. O: somebody observed it. I: inferred, \
         nothing is published.\nSources name the section of the project's protocol notes.\n\n\
         | Key | Default | Grade | Source |\n|---|---|---|---|\n",
    );
    for assumption in ASSUMED {
        let (key, value) = (assumption.key, assumption.value);
        let (grade, source) = (assumption.grade.letter(), assumption.source);
        let _ = writeln!(text, "| `{key}` | {value} | {grade} | {source} |");
    }
}

/// The table that a key takes, alone, in a list, or beside a word.
fn table(key: &Value) -> Option<&Value> {
    let forms = key["oneOf"].as_array();
    let mut forms = forms.into_iter().flatten().chain([key, &key["items"]]);
    forms.find(|form| form["properties"].is_object())
}

/// `required`, the default, and whether it rests on an assumption; nothing where there is none.
fn default(path: &str, key: &Value, required: bool) -> String {
    let mut cells = Vec::new();
    if required {
        cells.push("required".to_owned());
    }
    let assumed = |assumption: &&mdmstorm::scenario::Assumption| {
        assumption.key == path
            || (path == "cohorts.reply" && assumption.key.starts_with("cohorts.reply."))
    };
    let assumed: Vec<_> = ASSUMED.iter().filter(assumed).collect();
    if assumed.is_empty() && !key["default"].is_null() {
        cells.push(format!("`{}`", key["default"]));
    }
    for assumption in assumed {
        let of = assumption.key.strip_prefix("cohorts.reply.");
        let of = of.map_or_else(String::new, |request| format!("{request} "));
        let grade = assumption.grade.letter();
        cells.push(format!("{of}{} (assumed, {grade})", assumption.value));
    }
    cells.join("; ")
}

#[test]
fn every_whole_scenario_in_a_document_is_right() {
    for name in ["docs/scenarios.md", "docs/first-scenario.md"] {
        let text = document(name);
        let blocks = text.split("```toml\n").skip(1);
        let blocks = blocks.filter_map(|rest| rest.split("```").next());
        let whole: Vec<&str> = blocks.filter(|block| block.contains("[target.")).collect();
        assert!(!whole.is_empty(), "{name} shows no scenario");
        for scenario in whole {
            Scenario::parse(scenario, name).unwrap_or_else(|errors| panic!("{errors}"));
        }
    }
}

#[test]
fn every_part_of_a_scenario_about_the_push_gateway_is_right() {
    let text = document("docs/apns.md");
    let around = r#"name = "around"
[target.embedded]
[[cohorts]]
name = "macs"
count = 5
model = "Mac14,2"
[[stages]]
name = "ask"
duration = "20m"
commands = [{ request = "ProfileList", each = 1 }]
"#;
    let blocks = text.split("```toml\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "docs/apns.md shows too little");
    for block in blocks {
        let scenario = format!("{around}{block}");
        Scenario::parse(&scenario, "docs/apns.md").unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_readme_names_every_caveat_and_every_command() {
    let readme = document("README.md");
    let caveats = [
        Caveat::TimeScaled(2.0),
        Caveat::TargetOnThisMachine { cpu_percent: None },
        Caveat::VirtualTime,
        Caveat::Interrupted,
        Caveat::AssumedDefaults(1),
        Caveat::SmallSample(1),
        Caveat::Censored(1),
        Caveat::Observed,
        Caveat::Clipped(1),
        Caveat::UnjudgedEvents(1),
        Caveat::CrowdedSeries,
    ];
    for name in caveats.iter().map(Caveat::name) {
        assert!(
            readme.contains(&format!("`{name}`")),
            "README lacks the caveat {name}"
        );
    }
    for command in [
        "run",
        "rehearse",
        "report",
        "show",
        "check",
        "plan",
        "serve",
        "apns",
        "doctor",
        "schema",
        "completions",
    ] {
        let row = format!("| `{command}");
        assert!(
            readme.contains(&row),
            "README's table of commands lacks {command}"
        );
    }
}

#[test]
fn what_documents_link_to_is_there() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/scenarios.md",
        "docs/first-scenario.md",
        "docs/results.md",
        "docs/reduce.md",
        "docs/apns.md",
        "docs/targets/nanomdm.md",
        "docs/targets/observe.md",
    ];
    for name in documents {
        let text = document(name);
        let folder = Path::new(name).parent().unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap();
            if path.is_empty() || link.contains("://") {
                continue;
            }
            assert!(
                folder.join(path).exists(),
                "{name} links to {link}, which is not there"
            );
        }
    }
}

#[test]
fn the_architecture_fits_on_200_lines() {
    assert!(document("ARCHITECTURE.md").lines().count() <= 200);
}
