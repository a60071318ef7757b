//! A TOML file as a tree that knows where each of its parts stands in the text.
//!
//! TOML's serde stops at the first error. This tree does not judge: the reader walks it and collects
//! everything that is wrong.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A value and its place, in bytes of the text it came from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Range<usize>,
    pub(super) value: Value,
}

/// What TOML can say.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    /// A date, or a number that does not fit: nothing a scenario can use.
    Unusable(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Range<usize>,
    pub(super) node: Node,
}

/// Text that is no TOML: where, and what the parser says.
pub(super) struct SyntaxError {
    pub(super) place: Range<usize>,
    pub(super) message: String,
}

impl Node {
    /// The document `text`, or everything that keeps it from being one.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<SyntaxError>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self {
                place: table.span(),
                value: table_value(table.get_ref(), 0),
            });
        }
        let errors = errors.into_iter().map(|error| SyntaxError {
            place: error.span().unwrap_or(0..0),
            message: error.message().trim().replace('\n', ", "),
        });
        Err(errors.collect())
    }

    /// The one value `text`, whose places begin at `offset`. What is no TOML value is plain text,
    /// so that a shell needs no second pair of quotes.
    pub(super) fn parse_value(text: &str, offset: usize) -> Self {
        match DeValue::parse(text) {
            Ok(value) => node(value.span(), value.get_ref(), offset),
            Err(_) => Self {
                place: offset..offset + text.len(),
                value: Value::Text(text.to_owned()),
            },
        }
    }

    /// The entries of a table; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Value::Table(entries) = &self.value {
            entries
        } else {
            &[]
        }
    }

    /// The value of `key`, when this is a table that has it.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        Some(&entry.node)
    }

    /// The value of `key`, to change it.
    pub(super) fn child_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Value::Table(entries) = &mut self.value else {
            return None;
        };
        let entry = entries.iter_mut().find(|entry| entry.key == key)?;
        Some(&mut entry.node)
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value {
            items
        } else {
            &[]
        }
    }

    /// The text, when this is text.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// What kind of value this is and how it reads, for messages.
    pub(super) fn described(&self) -> Cow<'static, str> {
        match &self.value {
            Value::Text(text) => format!("\"{text}\"").into(),
            Value::Integer(number) => number.to_string().into(),
            Value::Float(number) => number.to_string().into(),
            Value::Flag(flag) => flag.to_string().into(),
            Value::Unusable(what) => what.clone().into(),
            Value::List(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
        }
    }

    /// The tree as TOML text, without the comments of the file.
    pub(super) fn to_toml(&self) -> String {
        toml::to_string_pretty(&self.plain()).expect("strings, numbers, lists and tables are TOML")
    }

    fn plain(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) => toml::Value::String(text.clone()),
            Value::Integer(number) => toml::Value::Integer(*number),
            Value::Float(number) => toml::Value::Float(*number),
            Value::Flag(flag) => toml::Value::Boolean(*flag),
            Value::Unusable(what) => toml::Value::String(what.clone()),
            Value::List(items) => toml::Value::Array(items.iter().map(Self::plain).collect()),
            Value::Table(entries) => toml::Value::Table(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.plain()))
                    .collect(),
            ),
        }
    }
}

fn node(place: Range<usize>, value: &DeValue<'_>, offset: usize) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Unusable(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Value::Float(number),
            Ok(_) | Err(_) => Value::Unusable(number.to_string()),
        },
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(date) => Value::Unusable(date.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| node(item.span(), item.get_ref(), offset))
                .collect(),
        ),
        DeValue::Table(table) => table_value(table, offset),
    };
    Node {
        place: place.start + offset..place.end + offset,
        value,
    }
}

fn table_value(table: &DeTable<'_>, offset: usize) -> Value {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_place: key.span().start + offset..key.span().end + offset,
            node: node(value.span(), value.get_ref(), offset),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_place.start);
    Value::Table(entries)
}
