//! Reads a document against the table of keys and collects everything that is wrong with it.
//!
//! What comes out has only known keys, each with a value of its kind; what the values mean to each
//! other is for [`super::resolve`] to judge.

use std::collections::BTreeMap;

use super::document::{Entry, Node, Value};
use super::error::{Problems, suggest};
use super::found::{Checked, Found, Typed};
use super::kind::{Key, Kind, MISBEHAVIOURS, Need, Section};
use super::{scalar, word};

/// Reads `node` as a `section`. What is wrong is noted and left out.
pub(super) fn read(node: &Node, section: &'static Section, problems: &mut Problems) -> Found {
    let mut values = BTreeMap::new();
    let mut present = Vec::new();
    for entry in node.entries() {
        let Some(key) = section.key(&entry.key) else {
            let message = format!("unknown key \"{}\" in {}", entry.key, section.is);
            problems.add(
                &entry.key_place,
                message,
                suggest(&entry.key, section.names()),
            );
            continue;
        };
        present.push(key.name);
        if let Some(typed) = check(key.name, key.kind, &entry.node, problems) {
            let place = match key.kind.section() {
                Some(_) => entry.key_place.clone(),
                None => entry.node.place.clone(),
            };
            values.insert(
                key.name,
                Checked {
                    place,
                    is_given: true,
                    typed,
                },
            );
        }
    }
    for key in section.keys {
        if node.child(key.name).is_some() {
            continue;
        }
        match key.need {
            Need::Optional => {}
            Need::Required => {
                let message = format!("{} has no \"{}\"", section.is, key.name);
                problems.add(&node.place, message, missing(key));
            }
            Need::Default(toml) => {
                let mut default = Node::parse_value(toml, 0);
                default.place = node.place.clone();
                if let Some(typed) = check(key.name, key.kind, &default, problems) {
                    let place = default.place;
                    values.insert(
                        key.name,
                        Checked {
                            place,
                            is_given: false,
                            typed,
                        },
                    );
                }
            }
        }
    }
    Found {
        place: node.place.clone(),
        values,
        present,
    }
}

/// Whether a wrong value may be a secret, which no message may repeat.
fn holds_secret(kind: Kind, node: &Node) -> bool {
    let has_user = node.text().is_some_and(|text| text.contains('@'));
    matches!(kind, Kind::Secret) || (matches!(kind, Kind::Url) && has_user)
}

/// What to add for a key that must be there.
fn missing(key: &Key) -> String {
    match (key.kind, key.kind.section()) {
        (Kind::Tables(_), _) => format!("add [[{}]]", key.name),
        (_, Some(section)) => {
            let names: Vec<String> = section
                .names()
                .map(|name| format!("[{}.{name}]", key.name))
                .collect();
            format!("add one of {}", names.join(", "))
        }
        (kind, None) => format!("add {}: {}", key.name, kind.right()),
    }
}

/// One value of one kind.
fn check(key: &str, kind: Kind, node: &Node, problems: &mut Problems) -> Option<Typed> {
    if let Some(section) = kind.section() {
        return check_tables(key, kind, section, node, problems);
    }
    match scalar::read(key, kind, node, problems) {
        Ok(typed) => typed,
        Err(wrong) => {
            let right = match (kind, node.text()) {
                (Kind::Choice(words), Some(word)) => suggest(word, words.iter().copied()),
                (Kind::Event, Some(word)) => suggest(word, word::names()),
                (Kind::Misbehaviour, Some(word)) => suggest(word, MISBEHAVIOURS),
                (Kind::Words(words), None) => match stranger(node, words) {
                    Some(word) => suggest(word, words.iter().copied()),
                    None => kind.right(),
                },
                (_, Some(_) | None) => kind.right(),
            };
            if holds_secret(kind, node) {
                problems.mask(&node.place);
            }
            problems.add(&node.place, format!("{key} {wrong}"), right);
            None
        }
    }
}

/// The first text of a list that is none of `words`.
fn stranger<'a>(node: &'a Node, words: &[&str]) -> Option<&'a str> {
    let Value::List(items) = &node.value else {
        return None;
    };
    let mut texts = items.iter().filter_map(Node::text);
    texts.find(|text| !words.contains(text))
}

/// A value that is one table of keys, or several.
fn check_tables(
    key: &str,
    kind: Kind,
    section: &'static Section,
    node: &Node,
    problems: &mut Problems,
) -> Option<Typed> {
    let is_many = matches!(kind, Kind::Tables(_) | Kind::TableOrTables(_));
    if let (Some(word), Kind::TableOr(_, words)) = (node.text(), kind)
        && words.contains(&word)
    {
        return Some(Typed::Text(word.to_owned()));
    }
    if let (Kind::ShareOr(_), false) = (kind, is_table(node)) {
        return match scalar::read(key, Kind::Share, node, problems) {
            Ok(share) => share,
            Err(wrong) => {
                problems.add(&node.place, format!("{key} {wrong}"), kind.right());
                None
            }
        };
    }
    if is_table(node) && !matches!(kind, Kind::Tables(_)) {
        let found = read(node, section, problems);
        if matches!(kind, Kind::Variant(_)) && found.present.len() != 1 {
            one_variant(key, section, node, problems);
        }
        return Some(if is_many {
            Typed::Tables(vec![found])
        } else {
            Typed::Table(found)
        });
    }
    if let Value::List(items) = &node.value
        && is_many
        && items.iter().all(is_table)
    {
        let tables = items.iter().map(|item| read(item, section, problems));
        return Some(Typed::Tables(tables.collect()));
    }
    let message = format!("{key} is {}", node.described());
    problems.add(&node.place, message, kind.right());
    None
}

fn one_variant(key: &str, section: &'static Section, node: &Node, problems: &mut Problems) {
    let known: Vec<&Entry> = node
        .entries()
        .iter()
        .filter(|entry| section.key(&entry.key).is_some())
        .collect();
    let names = section.names().collect::<Vec<_>>().join("\", \"");
    match known.as_slice() {
        [] if node.entries().is_empty() => {
            let message = format!("{key} names no kind");
            problems.add(&node.place, message, format!("one of \"{names}\""));
        }
        // One that is wrong in itself, or an unknown one, is noted already.
        [] | [_] => {}
        [first, second, ..] => {
            let message = format!("{key} is both \"{}\" and \"{}\"", first.key, second.key);
            problems.add(
                &second.key_place,
                message,
                format!("exactly one of \"{names}\""),
            );
        }
    }
}

const fn is_table(node: &Node) -> bool {
    matches!(node.value, Value::Table(_))
}
