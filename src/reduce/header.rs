//! What a reduced scenario says of itself: the finding, its evidence, and how to see it again.

use std::fmt::Write as _;

use super::candidate::{Candidate, Size};
use crate::finding::Finding;

/// How often runs of the reduced scenario showed the finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How often.
    pub shown: u32,
    /// Of how many runs.
    pub runs: u32,
}

/// How a reduced scenario was found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// One finding of a run of it.
    pub finding: &'a Finding,
    /// What the rule is, as a sentence.
    pub about: &'a str,
    /// Where it is from.
    pub source: &'a str,
    /// The name of what it was made from.
    pub from: &'a str,
    /// How large that was.
    pub size: Size,
    /// How many candidates were tried.
    pub tries: u32,
    /// Against what they were run, for people.
    pub target: &'a str,
    /// How often it shows with the seed it has.
    pub rate: Rate,
    /// How often with other seeds; `None` where that was not tried.
    pub other_seeds: Option<Rate>,
    /// The command line that shows it.
    pub command: &'a str,
    /// What there is to know besides, a sentence each.
    pub notes: &'a [String],
}

/// The reduced scenario as a file, with a comment that says what it shows.
pub fn repro(candidate: &Candidate, found: &Found<'_>) -> String {
    let mut lines = Lines::default();
    let finding = found.finding;
    lines.add(&format!("{}: {}", finding.rule.name(), found.about));
    lines.add(&format!("Source of the rule: {}", found.source));
    lines.add("");
    lines.add("What happened, in time since the run began:");
    for evidence in &finding.evidence {
        lines.hang(&format!("  {}  {}", evidence.at, evidence.what));
    }
    lines.add(&whose(finding));
    lines.add("");
    let tries = if found.tries == 1 { "try" } else { "tries" };
    lines.add(&format!(
        "Reduced from {}: {}, to {}, with {} {tries} against {}.",
        found.from,
        found.size,
        candidate.size(),
        found.tries,
        found.target,
    ));
    let mut rate = format!(
        "It shows in {} of {} runs",
        found.rate.shown, found.rate.runs
    );
    if let Some(other) = found.other_seeds {
        let _ = write!(
            rate,
            ", and in {} of {} with other seeds",
            other.shown, other.runs
        );
    }
    lines.add(&format!("{rate}."));
    for note in found.notes {
        lines.add(note);
    }
    lines.add("");
    lines.add("To see it again:");
    lines.add(&format!("    {}", found.command));
    format!("{}\n{}", lines.0, candidate.text())
}

/// Whose command it was.
fn whose(finding: &Finding) -> String {
    let mut text = match finding.channel {
        Some(channel) => format!("Device {}", channel.device.0),
        None => return "It is about the server as a whole.".to_owned(),
    };
    if let Some(user) = finding.channel.map(|it| it.user).filter(|user| *user > 0) {
        let _ = write!(text, ", user {user}");
    }
    if let Some(order) = finding.order {
        let _ = write!(text, ", order {}", order.0);
    }
    if let Some(uuid) = &finding.uuid {
        let _ = write!(text, ", command {}", uuid.0);
    }
    text + ", in the run that this is from."
}

/// The widest a line of the comment is.
const WIDTH: usize = 100;

/// Lines of a comment.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, text: &str) {
        self.wrap(text, "");
    }

    /// Further lines are indented.
    fn hang(&mut self, text: &str) {
        self.wrap(text, "      ");
    }

    fn wrap(&mut self, text: &str, indent: &str) {
        // What a server sent may hold anything, and a comment ends with its line.
        let plain: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let lead: String = plain.chars().take_while(|c| *c == ' ').collect();
        let mut line = lead;
        let mut is_begun = false;
        for word in plain.split_whitespace() {
            if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.end(&line);
                indent.clone_into(&mut line);
            } else if is_begun {
                line.push(' ');
            }
            line.push_str(word);
            is_begun = true;
        }
        self.end(&line);
    }

    fn end(&mut self, line: &str) {
        let line = format!("# {line}");
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }
}
