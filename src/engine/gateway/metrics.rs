//! The counters of a gateway in Prometheus' text format 0.0.4 (prometheus.io, "Exposition formats").

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tally::Tally;

/// All counters.
pub(super) fn text(tally: &Tally) -> String {
    let mut text = String::new();
    for family in counters(tally).into_iter().chain(gauges(tally)) {
        family.write(&mut text);
    }
    text
}

fn counters(tally: &Tally) -> [Family; 8] {
    let (pending, webhook) = (tally.pending, tally.webhook);
    let fates = vec![
        ("delivered_live".into(), pending.delivered_live),
        ("delivered_on_connect".into(), pending.delivered_on_connect),
        ("stored".into(), pending.stored),
        ("coalesced".into(), pending.coalesced),
        ("discarded".into(), pending.discarded),
        ("expired".into(), pending.expired),
        ("refused".into(), pending.refused),
    ];
    let outcomes = vec![
        ("sent".into(), webhook.sent),
        ("failed".into(), webhook.failed),
        ("dropped".into(), webhook.dropped),
    ];
    let counter = |name, help, values| Family {
        name,
        kind: "counter",
        help,
        values,
    };
    let one = Values::One;
    let by = |label, counts: &BTreeMap<String, u64>| {
        let counts = counts.iter().map(|(name, count)| (name.clone(), *count));
        Values::By(label, counts.collect())
    };
    let magic = tally.magic.iter();
    let magic = magic.map(|(name, count)| ((*name).to_owned(), *count));
    [
        counter(
            "pushes_total",
            "Pushes by what came of them.",
            by("verdict", &tally.verdicts),
        ),
        counter(
            "pushes_by_topic_total",
            "Pushes by topic.",
            by("topic", &tally.topics),
        ),
        counter(
            "pushes_by_magic_total",
            "Pushes by whether they carried the right PushMagic.",
            Values::By("magic", magic.collect()),
        ),
        counter(
            "pushes_foreign_total",
            "Pushes to tokens that are not of this crowd.",
            one(tally.foreign),
        ),
        counter(
            "providers_refused_total",
            "Providers that were not let in.",
            one(tally.providers_refused),
        ),
        counter(
            "providers_cut_total",
            "Providers that were cut off.",
            one(tally.providers_cut),
        ),
        counter(
            "plain_pushes_total",
            "What has become of pushes at the plain door.",
            Values::By("fate", fates),
        ),
        counter(
            "webhook_pushes_total",
            "Pushes passed on to the webhook.",
            Values::By("outcome", outcomes),
        ),
    ]
}

fn gauges(tally: &Tally) -> [Family; 3] {
    let gauge = |name, help, value| Family {
        name,
        kind: "gauge",
        help,
        values: Values::One(value),
    };
    [
        gauge(
            "connections_open",
            "Open connections through all doors.",
            tally.connections,
        ),
        gauge("listeners", "Listeners of the plain door.", tally.listeners),
        gauge(
            "pushes_waiting",
            "Tokens whose push waits for a listener.",
            tally.waiting,
        ),
    ]
}

/// A metric with its values.
#[derive(Debug)]
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    values: Values,
}

#[derive(Debug)]
enum Values {
    One(u64),
    /// One for each value of this label.
    By(&'static str, Vec<(String, u64)>),
}

impl Family {
    fn write(&self, text: &mut String) {
        let Self {
            name, kind, help, ..
        } = self;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP mdmstorm_apns_{name} {help}");
        let _ = writeln!(text, "# TYPE mdmstorm_apns_{name} {kind}");
        match &self.values {
            Values::One(count) => {
                let _ = writeln!(text, "mdmstorm_apns_{name} {count}");
            }
            Values::By(label, counts) => {
                for (value, count) in counts {
                    let value = escaped(value);
                    let _ = writeln!(text, "mdmstorm_apns_{name}{{{label}=\"{value}\"}} {count}");
                }
            }
        }
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            character => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tally::tests::seen;
    use super::*;

    #[test]
    fn metrics_are_in_the_text_format_and_what_providers_wrote_is_escaped() {
        let mut tally = Tally::default();
        tally.count(&seen("a\"b\\c\nd", 200, None));
        tally.count(&seen("t", 410, Some("Unregistered")));
        let text = text(&tally);
        for line in [
            "# TYPE mdmstorm_apns_pushes_total counter",
            "mdmstorm_apns_pushes_total{verdict=\"200\"} 1",
            "mdmstorm_apns_pushes_total{verdict=\"410 Unregistered\"} 1",
            "mdmstorm_apns_pushes_by_topic_total{topic=\"a\\\"b\\\\c\\nd\"} 1",
            "mdmstorm_apns_connections_open 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
