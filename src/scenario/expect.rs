//! What a scenario says will come of it: `[[expect]]`, which the tool itself verifies.

use std::time::Duration;

use super::cohort::Names;
use super::error::Problems;
use super::found::Found;
use super::resolve::Resolving;
use crate::ids::CohortId;

/// How many commands are to be in some state at some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// When it is looked at.
    pub at: ExpectAt,
    /// Whose commands; `None` for those of all cohorts.
    pub cohort: Option<CohortId>,
    /// Which state they are counted in.
    pub what: Expected,
    /// How many there are to be.
    pub how_many: HowMany,
    /// Only those that are pending for this cause, by its name in reports.
    pub cause: Option<String>,
    /// Only those that failed with this code.
    pub code: Option<i64>,
    /// As a person reads it: `pending 40..60 in library at 5m for push-port-blocked`.
    pub text: String,
    /// Where it stands in the scenario, as `firewall-5223.toml:40`.
    pub place: String,
}

/// When an expectation is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectAt {
    /// In scenario time from time zero.
    Time(Duration),
    /// When the run is over.
    End,
}

/// The states commands are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Ordered, and not settled.
    Pending,
    /// Acknowledged.
    Completed,
    /// Ended with an error.
    Failed,
    /// Taken back, or swept away by a new enrolment.
    Cancelled,
}

impl Expected {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Pending,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A range, its ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HowMany {
    /// Of commands.
    Count {
        /// The fewest.
        from: u64,
        /// The most.
        to: u64,
    },
    /// Of the commands ordered of the cohort so far, 0 to 1.
    Share {
        /// The smallest.
        from: f64,
        /// The largest.
        to: f64,
    },
}

impl std::fmt::Display for HowMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |share: f64| share * 100.0;
        match *self {
            Self::Count { from, to } if from == to => write!(f, "{from}"),
            Self::Count { from, to } => write!(f, "{from}..{to}"),
            Self::Share { from, to } if from == to => write!(f, "{}%", percent(from)),
            Self::Share { from, to } => write!(f, "{}%..{}%", percent(from), percent(to)),
        }
    }
}

/// `40`, `40..60`, `100%` or `10%..20%`.
pub(super) fn how_many(text: &str) -> Result<HowMany, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (from.trim(), to.trim());
    // `10..20%` is read as people write it: the unit holds for both ends.
    if let Some(to) = to.strip_suffix('%') {
        let share = |text: &str| {
            let number = text.trim_end_matches('%').trim().parse::<f64>().ok()?;
            (0.0..=100.0).contains(&number).then_some(number / 100.0)
        };
        return match (share(from), share(to)) {
            (Some(from), Some(to)) if from <= to => Ok(HowMany::Share { from, to }),
            (Some(_), Some(_)) => Err(format!("is \"{text}\", which ends before it begins")),
            _ => Err(format!(
                "is \"{text}\", which is no range from 0 % to 100 %"
            )),
        };
    }
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) if from <= to => Ok(HowMany::Count { from, to }),
        (Ok(_), Ok(_)) => Err(format!("is \"{text}\", which ends before it begins")),
        _ => Err(format!("is \"{text}\"")),
    }
}

/// All expectations, in the order of the file.
pub(super) fn all(found: &Found, names: &Names<'_>, resolving: &mut Resolving) -> Vec<Expect> {
    found
        .tables("expect")
        .iter()
        .filter_map(|table| expect(table, names, &mut resolving.problems))
        .collect()
}

fn expect(found: &Found, names: &Names<'_>, problems: &mut Problems) -> Option<Expect> {
    let cohort = names.find(found, "cohort", problems);
    let what = what(found, problems)?;
    for (key, only) in [("cause", Expected::Pending), ("code", Expected::Failed)] {
        if found.is_present(key) && what != only {
            problems.add(
                found.place_of(key),
                format!("{key} does not fit \"{}\"", what.name()),
                format!("{key} narrows \"{}\": leave it out", only.name()),
            );
        }
    }
    let how_many = *found.how_many(what.name())?;
    let at = found
        .span("at")
        .map_or(ExpectAt::End, |at| ExpectAt::Time(*at));
    let cause = found.text("cause").cloned();
    let code = found.integer("code").copied();
    let mut text = format!("{} {how_many}", what.name());
    if let Some(cohort) = found.text("cohort") {
        text += &format!(" in {cohort}");
    }
    text += &match at {
        ExpectAt::Time(at) => format!(" at {}", super::written(at)),
        ExpectAt::End => " at the end".to_owned(),
    };
    if let Some(cause) = &cause {
        text += &format!(" for {cause}");
    }
    if let Some(code) = code {
        text += &format!(" with {code}");
    }
    Some(Expect {
        at,
        cohort,
        what,
        how_many,
        cause,
        code,
        text,
        place: problems.line_of(&found.place),
    })
}

fn what(found: &Found, problems: &mut Problems) -> Option<Expected> {
    let given: Vec<Expected> = Expected::ALL
        .into_iter()
        .filter(|what| found.is_present(what.name()))
        .collect();
    match given.as_slice() {
        [what] => Some(*what),
        [] => {
            problems.add(
                &found.place,
                "an expectation does not say what is counted",
                "add pending, completed, failed or cancelled",
            );
            None
        }
        [first, second, ..] => {
            problems.add(
                found.place_of(second.name()),
                format!(
                    "an expectation has both {} and {}",
                    first.name(),
                    second.name()
                ),
                "one of them; add a second [[expect]]",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_of_counts_or_of_percentages_and_never_empty() {
        assert_eq!(how_many("40..60"), Ok(HowMany::Count { from: 40, to: 60 }));
        assert_eq!(how_many("0"), Ok(HowMany::Count { from: 0, to: 0 }));
        let tenth = HowMany::Share { from: 0.1, to: 0.2 };
        assert_eq!(how_many("10..20%"), Ok(tenth));
        assert_eq!(how_many("10%..20%"), Ok(tenth));
        for wrong in [
            "60..40", "10%..20", "-1", "101%", "", "..", "many", "20%..10%",
        ] {
            assert!(how_many(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in ["40..60", "7", "100%", "10%..20%"] {
            assert_eq!(how_many(text).unwrap().to_string(), text);
        }
    }
}
