//! Reads the values that are no tables of known keys.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::{Node, Value};
use super::error::{Problems, suggest};
use super::found::{Limit, Typed};
use super::kind::Kind;
use super::{calendar, expect, request, value, word};
use crate::device::traits::{Misbehaviour, Window};
use crate::seed::Dist;

/// The largest number that may have either sign: a clock that drifts by a tenth.
const REAL_MAX: f64 = 100_000.0;

/// How much faster than real time devices may live: a second as 17 minutes, or 11 days as a second.
/// Any span of a scenario still fits on both clocks.
pub(super) const FACTORS: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// A value that is no table of keys. `Err` is the end of a sentence that begins with the key;
/// `Ok(None)` when what is wrong is noted already.
#[expect(clippy::too_many_lines, reason = "one arm per kind")]
pub(super) fn read(
    key: &str,
    kind: Kind,
    node: &Node,
    problems: &mut Problems,
) -> Result<Option<Typed>, String> {
    let is_wrong = || format!("is {}", node.described());
    let text = || node.text().ok_or_else(is_wrong);
    let typed = match kind {
        Kind::Text | Kind::Path => match text()? {
            "" => return Err("is empty".to_owned()),
            text => Typed::Text(text.to_owned()),
        },
        Kind::Name => Typed::Text(value::name(text()?)?),
        Kind::Url => Typed::Text(value::url(text()?)?),
        Kind::Address => Typed::Address(text()?.parse().map_err(|_| is_wrong())?),
        Kind::Choice(words) => match words.iter().find(|word| Some(**word) == node.text()) {
            Some(word) => Typed::Text((*word).to_owned()),
            None => return Err(is_wrong()),
        },
        Kind::Event => match node.text().and_then(word::find) {
            Some(event) => Typed::Text(event.name.to_owned()),
            None => return Err(is_wrong()),
        },
        Kind::Words(words) => Typed::Words(some_of(node, words)?),
        Kind::Misbehaviour => Typed::Misbehaviour(misbehaviour(node)?),
        Kind::Offset => Typed::Offset(calendar::offset(text()?)?),
        Kind::WeekTime => Typed::Span(calendar::week_time(text()?)?),
        Kind::Windows => Typed::Windows(windows(node)?),
        Kind::Days => Typed::Days(days(node)?),
        Kind::HowMany => Typed::HowMany(match integer(node) {
            Some(count) => expect::how_many(&count.to_string())?,
            None => expect::how_many(text()?)?,
        }),
        Kind::DistOr(word) | Kind::DurationOr(word) if node.text() == Some(word) => {
            Typed::Text(word.to_owned())
        }
        Kind::Between(least, most) => match integer(node).map(u32::try_from) {
            Some(Ok(count)) if (least..=most).contains(&count) => Typed::Count(count),
            Some(Ok(_) | Err(_)) | None => return Err(is_wrong()),
        },
        Kind::Integer => Typed::Integer(integer(node).ok_or_else(is_wrong)?),
        Kind::Real => match number(node) {
            Some(number) if number.abs() <= REAL_MAX => Typed::Number(number),
            Some(_) | None => return Err(is_wrong()),
        },
        Kind::Flag => {
            let Value::Flag(flag) = node.value else {
                return Err(is_wrong());
            };
            Typed::Flag(flag)
        }
        Kind::Count => match u32::try_from(integer(node).ok_or_else(is_wrong)?) {
            Ok(count) if count >= 1 => Typed::Count(count),
            Ok(_) | Err(_) => return Err(is_wrong()),
        },
        Kind::Seed => {
            let seed = u64::try_from(integer(node).ok_or_else(is_wrong)?);
            Typed::Seed(seed.map_err(|_| is_wrong())?)
        }
        Kind::Factor => match number(node) {
            Some(number) if FACTORS.contains(&number) => Typed::Number(number),
            Some(_) | None => return Err(is_wrong()),
        },
        Kind::Share => {
            let written = node.described();
            let number = number(node).or_else(|| node.text().and_then(value::percent));
            Typed::Number(value::share(number.ok_or_else(is_wrong)?, &written)?)
        }
        Kind::Duration | Kind::DurationOr(_) => Typed::Span(span(node)?),
        Kind::Rate => match number(node) {
            Some(_) => {
                return Err(format!(
                    "is {}, which has no unit of time",
                    node.described()
                ));
            }
            None => Typed::Number(value::rate(text()?)?),
        },
        Kind::PushRate => Typed::PushRate(value::push_rate(text()?)?),
        Kind::Hosts => Typed::Words(texts(node, value::host_and_port)?),
        Kind::Texts => Typed::Words(texts(node, value::not_empty)?),
        Kind::Dist | Kind::DistOr(_) => Typed::Dist(dist(node)?),
        Kind::Limit => Typed::Limit(limit(node)?),
        Kind::Secret => Typed::Text(secret(node)?),
        Kind::Request => Typed::Text(known_request(key, node, problems)?),
        Kind::Requests => {
            let Value::List(items) = &node.value else {
                return Err(is_wrong());
            };
            let names = items.iter().map(|item| known_request(key, item, problems));
            Typed::Requests(names.collect::<Result<_, _>>()?)
        }
        Kind::Headers => Typed::Headers(headers(node)?),
        Kind::Rewrites => Typed::Headers(rewrites(node)?),
        Kind::Dictionary => {
            let plist::Value::Dictionary(dictionary) = plain(node)? else {
                return Err(is_wrong());
            };
            Typed::Dictionary(dictionary)
        }
        Kind::ReplyTimes => return reply_times(node, problems).map(Some),
        Kind::Table(_)
        | Kind::TableOr(..)
        | Kind::ShareOr(_)
        | Kind::Variant(_)
        | Kind::Tables(_)
        | Kind::TableOrTables(_) => unreachable!("tables have their own reader"),
    };
    Ok(Some(typed))
}

fn some_of(node: &Node, words: &[&str]) -> Result<Vec<String>, String> {
    let Value::List(items) = &node.value else {
        return Err(format!("is {}", node.described()));
    };
    let known = items.iter().map(|item| match item.text() {
        Some(word) if words.contains(&word) => Ok(word.to_owned()),
        Some(_) | None => Err(format!("has {}", item.described())),
    });
    known.collect()
}

/// A list of texts that are each as `check` wants them.
fn texts(
    node: &Node,
    check: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, String> {
    let Value::List(items) = &node.value else {
        return Err(format!("is {}", node.described()));
    };
    let texts = items.iter().map(|item| match item.text() {
        Some(text) => check(text),
        None => Err(format!("has {}", item.described())),
    });
    texts.collect()
}

fn misbehaviour(node: &Node) -> Result<Misbehaviour, String> {
    if let [entry] = node.entries()
        && entry.key == "late"
    {
        let late = dist(&entry.node).map_err(|wrong| format!("has a late that {wrong}"))?;
        return Ok(Misbehaviour::Late(late));
    }
    match node.text() {
        Some("duplicate") => Ok(Misbehaviour::Duplicate),
        Some("unknown-command") => Ok(Misbehaviour::UnknownCommand),
        Some("never") => Ok(Misbehaviour::Never),
        Some("truncated") => Ok(Misbehaviour::Truncated),
        Some("wrong-types") => Ok(Misbehaviour::WrongTypes),
        Some("drops") => Ok(Misbehaviour::Drops),
        Some(_) | None => Err(format!("is {}", node.described())),
    }
}

fn windows(node: &Node) -> Result<Vec<Window>, String> {
    let Value::List(items) = &node.value else {
        return Err(format!("is {}", node.described()));
    };
    if items.is_empty() {
        return Err("is empty".to_owned());
    }
    let windows = items.iter().map(|item| match item.text() {
        Some(text) => calendar::window(text),
        None => Err(format!("has {}", item.described())),
    });
    windows.collect()
}

fn days(node: &Node) -> Result<[bool; 7], String> {
    match node.text() {
        Some("weekdays") => return Ok([true, true, true, true, true, false, false]),
        Some("weekend") => return Ok([false, false, false, false, false, true, true]),
        Some(_) => return Err(format!("is {}", node.described())),
        None if node.items().is_empty() => return Err(format!("is {}", node.described())),
        None => {}
    }
    let mut days = [false; 7];
    for item in node.items() {
        let day = item.text().and_then(calendar::day);
        days[day.ok_or_else(|| format!("has {}", item.described()))?] = true;
    }
    Ok(days)
}

const fn integer(node: &Node) -> Option<i64> {
    if let Value::Integer(number) = node.value {
        Some(number)
    } else {
        None
    }
}

const fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Integer(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        Value::Text(_) | Value::Flag(_) | Value::Unusable(_) | Value::List(_) | Value::Table(_) => {
            None
        }
    }
}

fn span(node: &Node) -> Result<Duration, String> {
    match (number(node), node.text()) {
        (Some(_), _) => Err(format!("is {}, which has no unit", node.described())),
        (None, Some(text)) => value::duration(text),
        (None, None) => Err(format!("is {}", node.described())),
    }
}

fn dist(node: &Node) -> Result<Dist, String> {
    let [shape] = node.entries() else {
        return match node.text() {
            Some(text) => value::constant_or_range(text),
            None => span(node).map(Dist::Constant),
        };
    };
    let given: Vec<&str> = shape
        .node
        .entries()
        .iter()
        .map(|e| e.key.as_str())
        .collect();
    let part = |name: &str| match shape.node.child(name) {
        Some(part) => span(part).map_err(|wrong| format!("has a {name} that {wrong}")),
        None => Err(format!("has a {} without {name}", shape.key)),
    };
    let expect_only = |names: &[&str]| match given.iter().find(|key| !names.contains(key)) {
        Some(key) => Err(format!("has a {} with unknown \"{key}\"", shape.key)),
        None => Ok(()),
    };
    match shape.key.as_str() {
        "lognormal" => {
            expect_only(&["median", "p95"])?;
            let (median, p95) = (part("median")?, part("p95")?);
            if p95 < median {
                return Err("has a p95 below its median".to_owned());
            }
            Ok(Dist::LogNormal { median, p95 })
        }
        "exponential" => {
            expect_only(&["mean"])?;
            Ok(Dist::Exponential {
                mean: part("mean")?,
            })
        }
        other => Err(format!("has unknown shape \"{other}\"")),
    }
}

fn limit(node: &Node) -> Result<Limit, String> {
    if let Some(number) = number(node) {
        return Ok(Limit::Number(number));
    }
    let Some(text) = node.text() else {
        return Err(format!("is {}", node.described()));
    };
    match value::percent(text) {
        Some(share) => value::share(share, &node.described()).map(Limit::Share),
        None => value::duration(text).map(Limit::Span),
    }
}

fn secret(node: &Node) -> Result<String, String> {
    let [entry] = node.entries() else {
        // The text itself may be the secret: it is never repeated.
        return Err(match node.text() {
            Some(_) => "stands in the file, but a secret comes from the environment".to_owned(),
            None => "does not name an environment variable".to_owned(),
        });
    };
    match (entry.key.as_str(), entry.node.text()) {
        ("env", Some(name)) if is_variable(name) => Ok(name.to_owned()),
        _ => Err("does not name an environment variable".to_owned()),
    }
}

fn is_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn known_request(key: &str, node: &Node, problems: &mut Problems) -> Result<String, String> {
    let name = node
        .text()
        .ok_or_else(|| format!("is {}", node.described()))?;
    if !request::is_known(name) {
        let message = format!("{key} names the unknown request type \"{name}\"");
        let advice = suggest(name, request::names());
        let right = if advice.starts_with("did") {
            advice
        } else {
            "a type of Apple's schema; others go through file = \"command.plist\"".to_owned()
        };
        problems.add(&node.place, message, right);
    }
    Ok(name.to_owned())
}

fn headers(node: &Node) -> Result<Vec<(String, String)>, String> {
    let Value::Table(entries) = &node.value else {
        return Err(format!("is {}", node.described()));
    };
    let pairs = entries.iter().map(|entry| {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if entry.key.is_empty() || !entry.key.chars().all(is_token) {
            return Err(format!("has \"{}\", which is no header name", entry.key));
        }
        match entry.node.text() {
            Some(text) if !text.contains(|c: char| c.is_control()) => {
                Ok((entry.key.clone(), text.to_owned()))
            }
            Some(_) | None => Err(format!("has {} as {}", entry.node.described(), entry.key)),
        }
    });
    pairs.collect()
}

/// Beginnings of URLs and what takes their place, the longest first.
fn rewrites(node: &Node) -> Result<Vec<(String, String)>, String> {
    let Value::Table(entries) = &node.value else {
        return Err(format!("is {}", node.described()));
    };
    let pairs = entries.iter().map(|entry| {
        let from = value::url(&entry.key).map_err(|wrong| format!("has a key that {wrong}"))?;
        let Some(to) = entry.node.text() else {
            return Err(format!("has {} as {from}", entry.node.described()));
        };
        let to = value::url(to).map_err(|wrong| format!("has a value that {wrong}"))?;
        Ok((from, to))
    });
    let mut pairs: Vec<(String, String)> = pairs.collect::<Result<_, _>>()?;
    pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    Ok(pairs)
}

fn plain(node: &Node) -> Result<plist::Value, String> {
    let value = match &node.value {
        Value::Text(text) => plist::Value::String(text.clone()),
        Value::Integer(number) => plist::Value::Integer((*number).into()),
        Value::Float(number) => plist::Value::Real(*number),
        Value::Flag(flag) => plist::Value::Boolean(*flag),
        Value::Unusable(what) => {
            return Err(format!(
                "has {what}, which needs a command of its own in `file`"
            ));
        }
        Value::List(items) => {
            plist::Value::Array(items.iter().map(plain).collect::<Result<_, _>>()?)
        }
        Value::Table(entries) => {
            let mut dictionary = plist::Dictionary::new();
            for entry in entries {
                dictionary.insert(entry.key.clone(), plain(&entry.node)?);
            }
            plist::Value::Dictionary(dictionary)
        }
    };
    Ok(value)
}

fn reply_times(node: &Node, problems: &mut Problems) -> Result<Typed, String> {
    let Value::Table(entries) = &node.value else {
        return Err(format!("is {}", node.described()));
    };
    let mut times = BTreeMap::new();
    for entry in entries {
        if entry.key != "usual" && !request::is_known(&entry.key) {
            let message = format!("reply names the unknown request type \"{}\"", entry.key);
            let names = std::iter::once("usual").chain(request::names());
            problems.add(&entry.key_place, message, suggest(&entry.key, names));
            continue;
        }
        match dist(&entry.node) {
            Ok(dist) => {
                times.insert(entry.key.clone(), dist);
            }
            Err(wrong) => {
                let message = format!("{} {wrong}", entry.key);
                problems.add(&entry.node.place, message, Kind::Dist.right());
            }
        }
    }
    Ok(Typed::ReplyTimes(times))
}
