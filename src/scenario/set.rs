//! `--set path=value` and `--only cohort=NAME`: changes to a document before it is read.

use std::ops::Range;

use super::document::{Entry, Node, Value};
use super::error::{Problems, suggest};
use super::keys::SCENARIO;
use super::kind::{Kind, Section, Shape};

/// Applies one `path=value`; what is wrong with it is noted, pointing into its own text.
pub(super) fn apply(document: &mut Node, set: &str, problems: &mut Problems) {
    let begins = problems.add_source("--set", set);
    let whole = begins..begins + set.len();
    let Some((path, value)) = set.split_once('=') else {
        problems.add(
            &whole,
            "--set has no \"=\"",
            "as cohorts.carts.count=50 or time-scale=10",
        );
        return;
    };
    let value_begins = begins + path.len() + 1;
    let mut steps = Vec::new();
    let mut at = begins;
    for step in path.split('.') {
        steps.push(Step {
            name: step.trim(),
            place: at..at + step.len(),
        });
        at += step.len() + 1;
    }
    if let Err(Wrong(place, message, right)) =
        descend(document, &SCENARIO, &steps, (value, value_begins))
    {
        problems.add(&place, message, right);
    }
}

struct Step<'a> {
    name: &'a str,
    place: Range<usize>,
}

/// Where, what, and what would be right.
struct Wrong(Range<usize>, String, String);

fn descend(
    node: &mut Node,
    section: &'static Section,
    steps: &[Step<'_>],
    value: (&str, usize),
) -> Result<(), Wrong> {
    let [step, rest @ ..] = steps else {
        return Err(Wrong(
            node.place.clone(),
            "--set ends too early".into(),
            "a key".into(),
        ));
    };
    let Some(key) = section.key(step.name) else {
        let message = format!("--set: unknown key \"{}\" in {}", step.name, section.is);
        return Err(Wrong(
            step.place.clone(),
            message,
            suggest(step.name, section.names()),
        ));
    };
    match (key.kind.shape(), rest) {
        (Shape::Tables(inner), [which, deeper @ ..]) => {
            let target = child_or_new(node, step, Value::List(Vec::new()));
            // One table where several may stand is as good as a list of one.
            if matches!(target.value, Value::Table(_)) {
                return descend(target, inner, rest, value);
            }
            if deeper.is_empty() {
                return Err(section_not_key(which, inner));
            }
            descend(item(target, step, which)?, inner, deeper, value)
        }
        (Shape::Tables(inner) | Shape::Table(inner), []) => Err(section_not_key(step, inner)),
        (Shape::Table(inner) | Shape::TableOrWord(inner), [next, ..]) => {
            let target = child_or_new(node, step, Value::Table(Vec::new()));
            // Of a table with exactly one of its keys, the one that stood there gives way.
            if matches!(key.kind, Kind::Variant(_))
                && inner.key(next.name).is_some()
                && let Value::Table(entries) = &mut target.value
            {
                entries.retain(|entry| entry.key == next.name);
            }
            // The word or share that stood in its place gives way.
            if !matches!(target.value, Value::Table(_)) {
                target.value = Value::Table(Vec::new());
            }
            descend(target, inner, rest, value)
        }
        (Shape::Map, [inner]) => {
            let target = child_or_new(node, step, Value::Table(Vec::new()));
            put(target, inner, key.kind, value);
            Ok(())
        }
        (Shape::Leaf, [further, ..]) | (Shape::Map, [_, further, ..]) => Err(too_far(further)),
        (Shape::Leaf | Shape::Map | Shape::TableOrWord(_), []) => {
            put(node, step, key.kind, value);
            Ok(())
        }
    }
}

fn too_far(step: &Step<'_>) -> Wrong {
    let message = format!("--set: nothing lies below, but \"{}\" follows", step.name);
    Wrong(
        step.place.clone(),
        message,
        "end the path before this".into(),
    )
}

fn section_not_key(step: &Step<'_>, section: &Section) -> Wrong {
    let message = format!("--set changes single keys, and {} is a table", step.name);
    let names = section.names().collect::<Vec<_>>().join(", ");
    Wrong(
        step.place.clone(),
        message,
        format!("go on with one of: {names}"),
    )
}

/// The item of a list that `which` names: by its `name`, or by its number from 0.
fn item<'n>(list: &'n mut Node, of: &Step<'_>, which: &Step<'_>) -> Result<&'n mut Node, Wrong> {
    let names: Vec<String> = list
        .items()
        .iter()
        .enumerate()
        .map(|(at, item)| match item.child("name").and_then(Node::text) {
            Some(name) => name.to_owned(),
            None => at.to_string(),
        })
        .collect();
    let by_name = names.iter().position(|name| name == which.name);
    let at = by_name.or_else(|| which.name.parse().ok());
    let Value::List(items) = &mut list.value else {
        return Err(too_far(which));
    };
    match at.and_then(|at| items.get_mut(at)) {
        Some(item) => Ok(item),
        None => {
            let message = format!("--set: {} has no \"{}\"", of.name, which.name);
            let right = suggest(which.name, names.iter().map(String::as_str));
            Err(Wrong(which.place.clone(), message, right))
        }
    }
}

fn child_or_new<'n>(node: &'n mut Node, step: &Step<'_>, empty: Value) -> &'n mut Node {
    if node.child(step.name).is_none() {
        let new = Node {
            place: step.place.clone(),
            value: empty,
        };
        push(node, step, new);
    }
    node.child_mut(step.name).expect("it was put there above")
}

fn put(node: &mut Node, step: &Step<'_>, kind: Kind, (text, begins): (&str, usize)) {
    let mut new = Node::parse_value(text, begins);
    // `name=7` is the text "7": the key decides.
    let is_text = matches!(
        kind,
        Kind::Text
            | Kind::Name
            | Kind::Path
            | Kind::Choice(_)
            | Kind::Event
            | Kind::Url
            | Kind::Headers
    );
    if is_text && new.text().is_none() {
        new.value = Value::Text(text.trim().to_owned());
    }
    match node.child_mut(step.name) {
        Some(old) => *old = new,
        None => push(node, step, new),
    }
}

fn push(node: &mut Node, step: &Step<'_>, new: Node) {
    if let Value::Table(entries) = &mut node.value {
        entries.push(Entry {
            key: step.name.to_owned(),
            key_place: step.place.clone(),
            node: new,
        });
    }
}

/// Leaves only the cohort `name`, and what refers to it or to all.
pub(super) fn keep_only(document: &mut Node, name: &str) {
    let names = |item: &Node, key: &str| match item.child(key).and_then(Node::text) {
        Some(other) => other == name,
        None => true,
    };
    retain(document, "cohorts", |cohort| names(cohort, "name"));
    if let Some(apns) = document.child_mut("apns") {
        retain(apns, "faults", |fault| names(fault, "to"));
    }
    retain(document, "timeline", |event| names(event, "to"));
    retain(document, "expect", |expect| names(expect, "cohort"));
    let label = format!("cohort={name}");
    retain(document, "thresholds", |threshold| {
        match threshold.child("metric").and_then(Node::text) {
            Some(metric) => !metric.contains("cohort=") || has_label(metric, &label),
            None => true,
        }
    });
    if let Some(Node {
        value: Value::List(stages),
        ..
    }) = document.child_mut("stages")
    {
        for stage in stages {
            retain(stage, "commands", |command| names(command, "to"));
        }
    }
}

fn has_label(metric: &str, label: &str) -> bool {
    metric
        .split(['{', '}', ','])
        .any(|part| part.trim() == label)
}

fn retain(node: &mut Node, key: &str, keep: impl Fn(&Node) -> bool) {
    if let Some(Node {
        value: Value::List(items),
        ..
    }) = node.child_mut(key)
    {
        items.retain(keep);
    }
}
