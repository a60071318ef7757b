//! A push, or what happened to a provider, on one line.

use serde_json::{Value, json};

use crate::engine::alone::Event;
use crate::engine::gateway::lookout::{Magic, Seen, Way};
use crate::engine::gateway::tally::Tally;

/// For people.
pub(super) fn text(event: &Event) -> String {
    match event {
        Event::Push(seen) => push(seen),
        Event::Refused(why) => format!("provider refused: {}", why.escape_debug()),
        Event::Cut(why) => format!("provider cut off: {}", why.escape_debug()),
    }
}

/// For programs: the same keys as a webhook gets, and what kind of event it is.
pub(super) fn json(event: &Event) -> Value {
    let (kind, mut value) = match event {
        Event::Push(seen) => ("push", serde_json::to_value(seen).unwrap_or_default()),
        Event::Refused(why) => ("provider-refused", json!({ "why": why })),
        Event::Cut(why) => ("provider-cut", json!({ "why": why })),
    };
    if let Value::Object(fields) = &mut value {
        fields.shift_insert(0, "event".into(), kind.into());
    }
    value
}

fn push(seen: &Seen) -> String {
    // The clock alone: whoever reads along knows the day.
    let clock = seen.time.split_once('T').map_or(&*seen.time, |(_, it)| it);
    let owner = match seen.owner {
        Some(channel) => channel.to_string(),
        None if seen.token.is_empty() => "no token".into(),
        None => "not ours".into(),
    };
    let magic = match seen.magic {
        Magic::Right => "magic right",
        Magic::Wrong => "magic WRONG",
        Magic::Missing => "no magic",
        Magic::Unknown => "magic unknown",
    };
    let topic = seen.topic.as_deref().unwrap_or("no topic");
    let mut line = format!(
        "{clock} push {:<4} {:<22} {owner}, {magic}, {}",
        seen.push,
        seen.verdict.to_string(),
        topic.escape_debug(),
    );
    let mut add = |name: &str, value: &str| {
        line.push_str(&format!(", {name} {}", value.escape_debug()));
    };
    if let Some(fault) = seen.fault {
        add("fault", fault);
    }
    if let Some(priority) = &seen.priority {
        add("priority", priority);
    }
    if let Some(expiration) = &seen.expiration {
        add("expires", expiration);
    }
    if seen.owner.is_none() && !seen.token.is_empty() {
        add("token", &seen.token);
    }
    match seen.door {
        Way::Tls => {}
        Way::Plain => add("by", "plain HTTP"),
    }
    add("id", &seen.apns_id);
    line
}

/// What there was in all.
pub(super) fn summary(tally: &Tally) -> String {
    let verdicts = tally.verdicts.iter();
    let mut parts: Vec<String> = verdicts
        .map(|(verdict, count)| format!("{count} with {verdict}"))
        .collect();
    if parts.is_empty() {
        parts.push("none".into());
    }
    let mut line = format!("{} pushes: {}", tally.pushes, parts.join(", "));
    let wrong = tally.magic.get(Magic::Wrong.name()).copied().unwrap_or(0);
    let rest = [
        (wrong, "with a wrong magic"),
        (tally.foreign, "to tokens that are not ours"),
        (tally.providers_refused, "providers refused"),
        (tally.providers_cut, "providers cut off"),
        (tally.webhook.failed, "not taken by the webhook"),
        (
            tally.webhook.dropped,
            "not passed on, the webhook is too slow",
        ),
    ];
    for (count, what) in rest {
        if count > 0 {
            line.push_str(&format!("; {count} {what}"));
        }
    }
    line
}
