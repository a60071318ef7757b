//! What may be wrong with the server on purpose, so that what looks for such things can be tried
//! without another server. Each is modelled on one that was found in the field.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// A command that is queued while the queue's record is being written is lost.
    LosesOnOverlap,
    /// A command that is answered while the queue's record is being written comes back.
    DoublesOnOverlap,
    /// A result that nobody waits for takes the head of the queue with it.
    UnknownResultDamagesQueue,
    /// A delivered command goes to the end of the queue until it is answered.
    OrderLostOnRedelivery,
    /// NotNow is taken for a final result.
    NotNowForgotten,
    /// A refused command is sent again at once.
    NotNowSpins,
    /// Refused commands wait until there is nothing else.
    NotNowStarves,
    /// A device is not pushed again on behalf of a refused command.
    NotNowNeverPushed,
    /// A command that was not acknowledged ends the session, and stays the head of the queue.
    HeadBlocks,
    /// The result of every so manieth command is refused.
    ResultsRefused,
    /// The push goes out before the command can be read.
    PushBeforeCommit,
    /// No push is ever repeated.
    PushesOnce,
    /// Pushes go to the first token that a channel had.
    PushesOldToken,
    /// One push at a time, each waits for the answer to the one before.
    PushWorkerSerial,
    /// Of many commands at once only the first are queued.
    BulkTruncated,
    /// Authenticate leaves the queue as it is.
    StaleAfterReenroll,
    /// A new certificate costs what is queued soon after it.
    WipedByRenewal,
    /// Idle is answered from a copy of the queue that is a little old.
    LaggingReplica,
    /// Now and then a request is answered with 500.
    #[serde(rename = "random-500s")]
    Random500s,
    /// Answers take longer the more commands are open.
    SlowQueries,
}

impl Defect {
    /// All defects.
    pub const ALL: [Self; 20] = [
        Self::LosesOnOverlap,
        Self::DoublesOnOverlap,
        Self::UnknownResultDamagesQueue,
        Self::OrderLostOnRedelivery,
        Self::NotNowForgotten,
        Self::NotNowSpins,
        Self::NotNowStarves,
        Self::NotNowNeverPushed,
        Self::HeadBlocks,
        Self::ResultsRefused,
        Self::PushBeforeCommit,
        Self::PushesOnce,
        Self::PushesOldToken,
        Self::PushWorkerSerial,
        Self::BulkTruncated,
        Self::StaleAfterReenroll,
        Self::WipedByRenewal,
        Self::LaggingReplica,
        Self::Random500s,
        Self::SlowQueries,
    ];

    /// The names of all defects, in the order of [`Defect::ALL`].
    pub const NAMES: [&str; 20] = {
        let mut names = [""; 20];
        let mut index = 0;
        while index < names.len() {
            names[index] = Self::ALL[index].name();
            index += 1;
        }
        names
    };

    /// The name in scenarios and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LosesOnOverlap => "loses-on-overlap",
            Self::DoublesOnOverlap => "doubles-on-overlap",
            Self::UnknownResultDamagesQueue => "unknown-result-damages-queue",
            Self::OrderLostOnRedelivery => "order-lost-on-redelivery",
            Self::NotNowForgotten => "not-now-forgotten",
            Self::NotNowSpins => "not-now-spins",
            Self::NotNowStarves => "not-now-starves",
            Self::NotNowNeverPushed => "not-now-never-pushed",
            Self::HeadBlocks => "head-blocks",
            Self::ResultsRefused => "results-refused",
            Self::PushBeforeCommit => "push-before-commit",
            Self::PushesOnce => "pushes-once",
            Self::PushesOldToken => "pushes-old-token",
            Self::PushWorkerSerial => "push-worker-serial",
            Self::BulkTruncated => "bulk-truncated",
            Self::StaleAfterReenroll => "stale-after-reenroll",
            Self::WipedByRenewal => "wiped-by-renewal",
            Self::LaggingReplica => "lagging-replica",
            Self::Random500s => "random-500s",
            Self::SlowQueries => "slow-queries",
        }
    }

    /// What is wrong with a server that has it, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::LosesOnOverlap => {
                "a command queued while the queue is being written (20 ms) is lost"
            }
            Self::DoublesOnOverlap => {
                "a command answered while the queue is being written (20 ms) comes back"
            }
            Self::UnknownResultDamagesQueue => {
                "a repeated or unknown result drops the head of the queue"
            }
            Self::OrderLostOnRedelivery => "a delivered command goes to the end of the queue",
            Self::NotNowForgotten => "a command answered NotNow is never offered again",
            Self::NotNowSpins => "a command answered NotNow is sent again at once, for ever",
            Self::NotNowStarves => "a command answered NotNow waits until there is nothing else",
            Self::NotNowNeverPushed => {
                "a device is not pushed again for commands it answered NotNow"
            }
            Self::HeadBlocks => {
                "a command that fails or is answered NotNow stays the head, and ends each session"
            }
            Self::ResultsRefused => "the result of every third command is answered 500",
            Self::PushBeforeCommit => "the push goes out 300 ms before the command can be read",
            Self::PushesOnce => "no push is ever repeated",
            Self::PushesOldToken => "pushes go to the first token that a channel had",
            Self::PushWorkerSerial => "one push at a time, each waits for the answer to the last",
            Self::BulkTruncated => {
                "of more than 10 commands in 100 ms only the first 10 are queued"
            }
            Self::StaleAfterReenroll => "a device that enrols again gets what was queued before",
            Self::WipedByRenewal => {
                "what is queued in the 5 s after a device comes with a new certificate is lost"
            }
            Self::LaggingReplica => "Idle is answered from a copy of the queue that is 300 ms old",
            Self::Random500s => "one request of devices in 20 is answered 500",
            Self::SlowQueries => "each open command makes each answer 10 ms slower, up to 5 s",
        }
    }

    /// The defect of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|defect| defect.name() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of defects; none by default.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Defect>", into = "Vec<Defect>")]
pub struct Defects(u32);

impl Defects {
    /// Whether the server has this one.
    pub const fn has(self, defect: Defect) -> bool {
        self.0 & defect.bit() != 0
    }

    /// Whether nothing is wrong.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of either set.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The defects, in the order of [`Defect::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Defect> {
        Defect::ALL.into_iter().filter(move |it| self.has(*it))
    }
}

impl FromIterator<Defect> for Defects {
    fn from_iter<T: IntoIterator<Item = Defect>>(defects: T) -> Self {
        Self(defects.into_iter().fold(0, |bits, it| bits | it.bit()))
    }
}

impl From<Defect> for Defects {
    fn from(defect: Defect) -> Self {
        Self(defect.bit())
    }
}

impl From<Vec<Defect>> for Defects {
    fn from(defects: Vec<Defect>) -> Self {
        defects.into_iter().collect()
    }
}

impl From<Defects> for Vec<Defect> {
    fn from(defects: Defects) -> Self {
        defects.iter().collect()
    }
}

impl fmt::Debug for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The names, with commas between them.
impl fmt::Display for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Defect::name).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_defect_has_a_name_of_its_own_that_finds_it_and_is_its_serialised_form() {
        for (index, defect) in Defect::ALL.into_iter().enumerate() {
            assert_eq!(defect as usize, index, "{defect:?} is not in its place");
            assert_eq!(Defect::find(defect.name()), Some(defect));
            let json = serde_json::to_value(defect).unwrap();
            assert_eq!(json, defect.name());
            assert!(!defect.about().contains('\n'));
        }
        assert_eq!(Defect::find("none"), None);
    }

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let two: Defects = [Defect::SlowQueries, Defect::HeadBlocks]
            .into_iter()
            .collect();
        assert!(two.has(Defect::HeadBlocks) && !two.has(Defect::PushesOnce));
        assert_eq!(two.to_string(), "head-blocks, slow-queries");
        let json = serde_json::to_string(&two).unwrap();
        assert_eq!(json, r#"["head-blocks","slow-queries"]"#);
        assert_eq!(serde_json::from_str::<Defects>(&json).unwrap(), two);
        assert!(Defects::default().is_empty());
        let pair = Defects::from(Defect::HeadBlocks).with(Defect::SlowQueries.into());
        assert_eq!(pair, two);
    }
}
