//! Facts as lines of text, for tests: times, words and numbers, with the order's index in the place of
//! its CommandUUID.

use std::fmt::Write as _;

use serde_json::Value;

use crate::fact::Fact;
use crate::ids::{CommandUuid, OrderBook};
use crate::time::SimTime;

/// Keys whose number is a time on the ruler.
const TIMES: [&str; 9] = [
    "arrived",
    "asked",
    "connected",
    "due",
    "first_byte",
    "permitted",
    "read",
    "sent",
    "since",
];

/// One line for `fact`, without its end.
///
/// # Panics
///
/// Never: every fact has a JSON form.
pub fn line(fact: &Fact, book: &OrderBook) -> String {
    let value = serde_json::to_value(&fact.kind).expect("a fact is plain data");
    let mut text = fact.at.to_string();
    let Value::Object(fields) = value else {
        return text;
    };
    for (key, value) in &fields {
        if key == "fact" {
            let _ = write!(text, " {}", value.as_str().unwrap_or_default());
        } else if !value.is_null() {
            let _ = write!(text, " {}", shown(key, value, book));
        }
    }
    text
}

fn shown(key: &str, value: &Value, book: &OrderBook) -> String {
    match value {
        Value::Object(fields) if key == "channel" => match (&fields["device"], &fields["user"]) {
            (device, user) if user == 0 => format!("device {device}"),
            (device, user) => format!("device {device} user {user}"),
        },
        Value::Object(fields) => {
            let inner: Vec<String> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| shown(key, value, book))
                .collect();
            format!("{key}({})", inner.join(", "))
        }
        Value::String(text) if key == "uuid" => {
            match book.order(&CommandUuid(text.as_str().into())) {
                Some(order) => format!("order {}", order.0),
                None => format!("command {text}"),
            }
        }
        Value::String(text) => format!("{key} {text}"),
        Value::Number(number) if TIMES.contains(&key) => {
            let at = SimTime::from_micros(number.as_u64().unwrap_or_default());
            format!("{key} {at}")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            format!("{key} {value}")
        }
    }
}
