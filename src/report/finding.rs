//! The rules that the server broke, with what a vendor needs to file a bug.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::{Finding as Found, Findings};
use crate::rule::Rule;

use super::latency::{count, millis, show};
use super::text::Paint;
use super::{Report, RunFacts};

/// A rule the server broke.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// How often.
    pub count: u64,
    /// Whether the scenario says that this is known; such a one does not fail the run.
    #[serde(default)]
    pub accepted: bool,
    /// What is wrong, as a sentence.
    #[serde(default)]
    pub meaning: String,
    /// Where the rule is from.
    #[serde(default)]
    pub source: String,
    /// The first of them, with the facts.
    pub examples: Vec<FindingExample>,
}

/// One time that a rule was broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FindingExample {
    /// When, in milliseconds since the run began.
    pub at_ms: f64,
    /// The channel; null for the server as a whole.
    pub channel: Option<String>,
    /// The device's number; null for the server as a whole.
    pub device: Option<u32>,
    /// The CommandUUID, when it is about one.
    pub command: Option<String>,
    /// The order's index, when it is ours.
    pub order: Option<u32>,
    /// The facts that show it, in order of time.
    pub evidence: Vec<EvidenceLine>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct EvidenceLine {
    /// When, in milliseconds since the run began.
    pub at_ms: f64,
    /// What.
    pub what: String,
}

impl Finding {
    /// Whether it is one, and not known to the user.
    pub const fn is_new(&self) -> bool {
        self.count > 0 && !self.accepted
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let accepted = if self.accepted { " (accepted)" } else { "" };
        format!(
            "{} {}{accepted}: {}",
            count(self.count),
            self.rule,
            self.meaning
        )
    }
}

impl FindingExample {
    /// Whose it is, in one line.
    pub(super) fn line(&self) -> String {
        let mut text = self
            .channel
            .clone()
            .unwrap_or_else(|| "the server".to_owned());
        if let Some(order) = self.order {
            let _ = write!(text, ", order {order}");
        }
        if let Some(command) = &self.command {
            let _ = write!(text, ", command {command}");
        }
        text
    }
}

/// What was found, in the order of the rules.
pub(super) fn all(run: &RunFacts) -> Vec<Finding> {
    let broken = Rule::ALL.into_iter().filter_map(|rule| {
        let count = *run.findings.counts.get(&rule)?;
        (count > 0).then_some((rule, count))
    });
    broken
        .map(|(rule, count)| Finding {
            rule: rule.name().to_owned(),
            count,
            accepted: run.accepted.contains(&rule),
            meaning: rule.meaning().to_owned(),
            source: rule.source().to_owned(),
            examples: examples(&run.findings, rule),
        })
        .collect()
}

fn examples(findings: &Findings, rule: Rule) -> Vec<FindingExample> {
    let of_rule = findings.examples.iter().filter(|it| it.rule == rule);
    of_rule.map(example).collect()
}

fn example(found: &Found) -> FindingExample {
    let evidence = found.evidence.iter().map(|it| EvidenceLine {
        at_ms: millis(it.at.as_micros()),
        what: it.what.clone(),
    });
    FindingExample {
        at_ms: millis(found.at.as_micros()),
        channel: found.channel.map(|channel| channel.to_string()),
        device: found.channel.map(|channel| channel.device.0),
        command: found.uuid.as_ref().map(ToString::to_string),
        order: found.order.map(|order| order.0),
        evidence: evidence.collect(),
    }
}

/// The terminal's part: each rule, and the first time it was broken.
pub(super) fn write(text: &mut String, report: &Report, paint: Paint) {
    if report.findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n {}", paint.heading("findings"));
    for finding in &report.findings {
        let line = finding.line();
        let line = if finding.is_new() {
            paint.bad(&line)
        } else {
            line
        };
        let _ = writeln!(text, "   {line}");
        let Some(first) = finding.examples.first() else {
            continue;
        };
        let _ = writeln!(text, "     {}", first.line());
        for fact in &first.evidence {
            let _ = writeln!(text, "     {:>9}  {}", show(Some(fact.at_ms)), fact.what);
        }
        let _ = writeln!(text, "     the rule: {}", finding.source);
    }
}
