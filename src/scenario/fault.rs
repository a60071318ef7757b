//! Faults of pushes as a scenario writes them, in `[[apns.faults]]` and with `fault-pushes`.

use super::cohort::Names;
use super::error::Problems;
use super::found::Found;
use crate::apns::fault::{Fault, Strikes};
use crate::ids::CohortId;
use crate::protocol::push::Reason;
use crate::seed::Dist;

/// What goes wrong with pushes: whose, which of them, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct PushFault {
    /// The cohort; `None` for all pushes, even those whose token names nobody.
    pub of: Option<CohortId>,
    /// Which of them.
    pub strikes: Strikes,
    /// What happens.
    pub fault: Fault,
}

/// The words of `fault`.
pub(super) const FAULTS: [&str; 10] = [
    "delay",
    "drop",
    "duplicate",
    "reorder",
    "answer",
    "garble",
    "hang",
    "slow",
    "reset",
    "goaway",
];

/// The smallest status that ends an exchange.
const STATUS_MIN: u32 = 200;

/// What a proxy answers when it cannot reach what is behind it.
const GARBLED_STATUS: u16 = 502;

/// The keys that some faults take and others do not.
const PARTICULAR: [&str; 3] = ["by", "status", "reason"];

/// The fault in a table; `None` when something about it is wrong, which is noted.
pub(super) fn read(table: &Found, names: &Names<'_>, problems: &mut Problems) -> Option<PushFault> {
    let of = names.find(table, "to", problems);
    let strikes = strikes(table, problems);
    let word = table.text("fault")?;
    for key in PARTICULAR {
        if table.is_present(key) && !takes(word).contains(&key) {
            problems.add(
                table.place_of(key),
                format!("{key} does not fit fault = \"{word}\""),
                "leave it out",
            );
        }
    }
    let fault = fault(word, table, problems)?;
    Some(PushFault { of, strikes, fault })
}

fn takes(word: &str) -> &'static [&'static str] {
    match word {
        "delay" | "duplicate" | "reorder" | "slow" => &["by"],
        "answer" => &["status", "reason"],
        "garble" => &["status"],
        "goaway" => &["reason"],
        _ => &[],
    }
}

fn strikes(table: &Found, problems: &mut Problems) -> Strikes {
    if table.is_present("share") && table.is_present("nth") {
        problems.add(
            table.place_of("nth"),
            "a fault has both share and nth",
            "one of them: share = 0.1 of the pushes, or nth = 3 for the third alone",
        );
    }
    match (table.count("nth"), table.number("share")) {
        (Some(nth), _) => Strikes::Nth(u64::from(*nth)),
        (None, Some(share)) => Strikes::Share(*share),
        (None, None) => Strikes::Share(1.0),
    }
}

fn fault(word: &str, table: &Found, problems: &mut Problems) -> Option<Fault> {
    let reason = reason(table);
    match word {
        "delay" => by(table, problems).map(Fault::Delay),
        "duplicate" => by(table, problems).map(Fault::Duplicate),
        "reorder" => by(table, problems).map(Fault::Reorder),
        "slow" => by(table, problems).map(Fault::Slow),
        "drop" => Some(Fault::Drop),
        "hang" => Some(Fault::Hang),
        "reset" => Some(Fault::Reset),
        "garble" => Some(Fault::Garble {
            status: status(table, problems).unwrap_or(GARBLED_STATUS),
        }),
        "goaway" => Some(Fault::GoAway(reason.unwrap_or(Reason::Shutdown))),
        "answer" => {
            let implied = reason.map(Reason::status);
            let status = status(table, problems).or(implied);
            if status.is_none() && !table.is_present("status") && !table.is_present("reason") {
                problems.add(
                    table.place_of("fault"),
                    "answer has neither status nor reason",
                    "add reason = \"TooManyRequests\", which has its status, or status = 503",
                );
            }
            let status = status?;
            Some(Fault::Answer { status, reason })
        }
        _ => None,
    }
}

/// The reason that a table names.
pub(super) fn reason(table: &Found) -> Option<Reason> {
    Reason::of_name(table.text("reason")?)
}

fn by(table: &Found, problems: &mut Problems) -> Option<Dist> {
    if !table.is_present("by") {
        let word = table.text("fault").map_or("this fault", String::as_str);
        problems.add(
            table.place_of("fault"),
            format!("{word} has no \"by\""),
            "add by = \"30s\", or by = \"1s..2m\"",
        );
    }
    table.dist("by").cloned()
}

fn status(table: &Found, problems: &mut Problems) -> Option<u16> {
    let status = *table.count("status")?;
    if status < STATUS_MIN {
        problems.add(
            table.place_of("status"),
            format!("status is {status}, which ends no exchange"),
            "a status from 200 to 599, as 503",
        );
        return None;
    }
    u16::try_from(status).ok()
}
