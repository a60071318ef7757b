//! Every default that is a guess: one constant each, with how good its evidence is and where it
//! comes from. A report lists those that a scenario left as they are.

use std::time::Duration;

use crate::seed::Dist;

/// A default that nobody has published a number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The key that changes it.
    pub key: &'static str,
    /// The default, as a person would write it.
    pub value: &'static str,
    /// How good its evidence is.
    pub grade: Grade,
    /// Where it comes from.
    pub source: &'static str,
}

/// How good the evidence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Apple says so, though not always the number.
    Apple,
    /// Somebody observed it.
    Observed,
    /// Inferred; nothing is published.
    Inferred,
}

impl Grade {
    /// The letter used in the protocol notes: A, O or I.
    pub const fn letter(self) -> char {
        match self {
            Self::Apple => 'A',
            Self::Observed => 'O',
            Self::Inferred => 'I',
        }
    }
}

const fn millis(low: u64, high: u64) -> Dist {
    Dist::Uniform {
        low: Duration::from_millis(low),
        high: Duration::from_millis(high),
    }
}

/// [O] Pushes of priority 10 in the US: mean about 0.8 s, p95 about 2 s (forum, 2025/26; protocol
/// notes 5.5); the shape is inferred (9).
pub(super) const PUSH_LATENCY: Dist = Dist::LogNormal {
    median: Duration::from_millis(500),
    p95: Duration::from_secs(2),
};

/// [I] One stored push within 1 to 10 s of the return (protocol notes 9).
pub(super) const STORED_PUSH_DELAY: Dist = millis(1_000, 10_000);

/// [I] From a push until mdmclient or mdmd connects: no figure is published.
pub(super) const WAKE_DELAY: Dist = millis(50, 500);

/// [I] How long a query takes on a device: no figure is published.
pub(super) const REPLY: Dist = millis(50, 300);

/// [I] InstallProfile writes to the device and takes longer than a query.
pub(super) const REPLY_INSTALL_PROFILE: Dist = millis(200, 1_500);

/// [I] InstalledApplicationList asks each app's container.
pub(super) const REPLY_APPLICATION_LIST: Dist = millis(200, 2_000);

/// [I] Back-off after a failed request (protocol notes 2.4 and 10: the schedule is not known).
pub(super) const BACK_OFF_INITIAL: Duration = Duration::from_secs(15);

/// [I] As above.
pub(super) const BACK_OFF_MAX: Duration = Duration::from_secs(3_600);

/// [I] The share of devices that begin asleep or offline: nothing is published.
pub(super) const SHARE_AWAY: f64 = 0.2;

/// All of them.
pub const ASSUMED: &[Assumption] = &[
    Assumption {
        key: "apns.store-without-expiration",
        value: "true",
        grade: Grade::Apple,
        source: "Apple: without apns-expiration the storage policy decides (protocol 5.1, 5.4)",
    },
    Assumption {
        key: "cohorts.push-latency",
        value: "log-normal median 500ms p95 2s",
        grade: Grade::Observed,
        source: "VoIP pushes in the US, mean 0.8 s, p95 2 s, forum 2025/26 (protocol 5.5)",
    },
    Assumption {
        key: "cohorts.stored-push-delay",
        value: "1s..10s",
        grade: Grade::Inferred,
        source: "nothing published (protocol 9)",
    },
    Assumption {
        key: "cohorts.wake-delay",
        value: "50ms..500ms",
        grade: Grade::Inferred,
        source: "nothing published (protocol 2.5)",
    },
    Assumption {
        key: "cohorts.reply.usual",
        value: "50ms..300ms",
        grade: Grade::Inferred,
        source: "nothing published",
    },
    Assumption {
        key: "cohorts.reply.InstallProfile",
        value: "200ms..1s 500ms",
        grade: Grade::Inferred,
        source: "nothing published",
    },
    Assumption {
        key: "cohorts.reply.InstalledApplicationList",
        value: "200ms..2s",
        grade: Grade::Inferred,
        source: "nothing published",
    },
    Assumption {
        key: "cohorts.back-off.initial",
        value: "15s",
        grade: Grade::Inferred,
        source: "Apple names no schedule (protocol 2.4, 10)",
    },
    Assumption {
        key: "cohorts.back-off.max",
        value: "1h",
        grade: Grade::Inferred,
        source: "Apple names no schedule (protocol 2.4, 10)",
    },
    Assumption {
        key: "cohorts.sleep",
        value: "as the preset says",
        grade: Grade::Inferred,
        source: "no duty cycle is published; classes from use in schools (protocol 9)",
    },
    Assumption {
        key: "cohorts.sleep.share-asleep",
        value: "0.2",
        grade: Grade::Inferred,
        source: "nothing published (protocol 9)",
    },
    Assumption {
        key: "cohorts.link",
        value: "as the preset says",
        grade: Grade::Inferred,
        source: "no figure for absence is published (protocol 9)",
    },
    Assumption {
        key: "cohorts.link.share-offline",
        value: "0.2",
        grade: Grade::Inferred,
        source: "nothing published (protocol 9)",
    },
];

/// The assumption behind `key`.
pub(super) fn find(key: &str) -> &'static Assumption {
    ASSUMED
        .iter()
        .find(|assumption| assumption.key == key)
        .expect("only keys of the table are looked up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::value::{written, written_dist};

    #[test]
    fn the_table_says_what_the_constants_are() {
        let constants = [
            ("cohorts.push-latency", written_dist(&PUSH_LATENCY)),
            (
                "cohorts.stored-push-delay",
                written_dist(&STORED_PUSH_DELAY),
            ),
            ("cohorts.wake-delay", written_dist(&WAKE_DELAY)),
            ("cohorts.reply.usual", written_dist(&REPLY)),
            (
                "cohorts.reply.InstallProfile",
                written_dist(&REPLY_INSTALL_PROFILE),
            ),
            (
                "cohorts.reply.InstalledApplicationList",
                written_dist(&REPLY_APPLICATION_LIST),
            ),
            ("cohorts.back-off.initial", written(BACK_OFF_INITIAL)),
            ("cohorts.back-off.max", written(BACK_OFF_MAX)),
            ("cohorts.sleep.share-asleep", SHARE_AWAY.to_string()),
            ("cohorts.link.share-offline", SHARE_AWAY.to_string()),
        ];
        for (key, constant) in constants {
            assert_eq!(find(key).value, constant, "{key}");
        }
    }
}
