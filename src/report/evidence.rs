//! Findings as a vendor would want them in a bug report: which rule, on what, and the facts that show
//! it, one a line.

use crate::finding::{Finding, Findings};

use super::caveat::Caveat;
use super::latency::count;
use super::text::Paint;

/// All findings with their evidence, and about what nothing is said.
pub fn render(findings: &Findings, paint: Paint) -> String {
    let broken = findings.counts.iter().filter(|(_, count)| **count > 0);
    let mut text = String::new();
    for (rule, number) in broken {
        let name = paint.bad(rule.name());
        text += &format!("{name}  {} times\n", count(*number));
        let examples = findings.examples.iter();
        for finding in examples.filter(|finding| finding.rule == *rule) {
            text += &format!("   {}\n", about(finding));
            for line in &finding.evidence {
                text += &format!("      {:>12}  {}\n", line.at.to_string(), line.what);
            }
        }
    }
    if text.is_empty() {
        text.push_str("no findings: no rule was seen broken\n");
    }
    if findings.unjudged_events > 0 {
        let caveat = Caveat::UnjudgedEvents(findings.unjudged_events);
        text += &format!("{}: {}\n", caveat.name(), caveat.sentence());
    }
    text
}

/// When it was broken, and on what: `12.040s  device 3, order 7, command 1B2C..`.
pub fn about(finding: &Finding) -> String {
    let on = match finding.channel {
        Some(channel) => channel.to_string(),
        None => "the server as a whole".to_owned(),
    };
    let order = finding.order.map(|order| format!(", order {}", order.0));
    let uuid = finding
        .uuid
        .as_ref()
        .map(|uuid| format!(", command {uuid}"));
    format!(
        "{}  {on}{}{}",
        finding.at,
        order.unwrap_or_default(),
        uuid.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::finding::Evidence;
    use crate::ids::{Channel, CommandUuid, OrderIndex};
    use crate::rule::Rule;
    use crate::time::SimTime;

    #[test]
    fn each_rule_comes_with_what_shows_it() {
        let finding = Finding {
            rule: Rule::LostCommand,
            at: SimTime::from_secs(9),
            channel: Some(Channel::default()),
            uuid: Some(CommandUuid("A-1".into())),
            order: Some(OrderIndex(7)),
            evidence: vec![Evidence {
                at: SimTime::from_secs(2),
                what: "the target took it".to_owned(),
            }],
        };
        let findings = Findings {
            counts: BTreeMap::from([(Rule::LostCommand, 3), (Rule::NoPush, 0)]),
            examples: vec![finding],
            ..Findings::default()
        };
        assert_eq!(
            render(&findings, Paint::Plain),
            "lost-command  3 times\n   9.000s  device 0, order 7, command A-1\n            \
             2.000s  the target took it\n"
        );
        let none = render(&Findings::default(), Paint::Plain);
        assert!(none.starts_with("no findings"), "{none}");
        let silent = Findings {
            unjudged_events: 4,
            ..Findings::default()
        };
        let silent = render(&silent, Paint::Plain);
        assert!(
            silent.contains("\nunjudged-events: ") && silent.contains(": 4; webhook-gap"),
            "{silent}"
        );
    }
}
