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

/// [I] Docs of devices name no delay before a poll; 0 to 2 s of processing (protocol notes 2.5).
pub(super) const POLL_DELAY: Dist = millis(0, 2_000);

/// [I] When devices poll by themselves: after a restart (design section 5; protocol notes 2.4).
pub(super) const POLL_ON: &str = "boot";

/// [I] How long a restart takes: nothing is published.
pub(super) const BOOT: Dist = millis(30_000, 90_000);

/// [I] How long a system update takes that a server wants before enrolment: nothing is published.
pub(super) const UPDATE: Dist = millis(600_000, 1_800_000);

/// [I] A network that blocks 5223 is taken to block or intercept the fallback on 443 as well, or
/// administrators would not meet this cause (protocol notes 5.5).
pub(super) const FALLBACK_443: bool = false;

/// [I] Wi-Fi passwords are believed to be readable only after the first unlock (protocol notes 9);
/// without a passcode, or on a Mac or Apple TV, there is no such state.
pub(super) const OFFLINE_BEFORE_FIRST_UNLOCK: bool = true;

/// [O] The courier's keep-alive, from Cisco's advice on NAT timeouts (protocol notes 5.5, S32).
pub(super) const KEEP_ALIVE: Dist = millis(600_000, 900_000);

const fn inferred(key: &'static str, value: &'static str, source: &'static str) -> Assumption {
    Assumption {
        key,
        value,
        grade: Grade::Inferred,
        source,
    }
}

const AS_PRESET: &str = "as the preset says";

/// Every share of [`SHARE_AWAY`], as it is written.
const AWAY: &str = "0.2";

const DUTY: &str = "no duty cycle is published; classes from use in schools (protocol 9)";

const NOTHING: &str = "nothing published (protocol 9)";

/// All of them.
pub const ASSUMED: &[Assumption] = &[
    Assumption {
        key: "apns.store-without-expiration",
        value: "true",
        grade: Grade::Apple,
        source: "Apple: without apns-expiration the storage policy decides (protocol 5.1, 5.4)",
    },
    Assumption {
        key: "apns.streams",
        value: "1000",
        grade: Grade::Observed,
        source: "500 in 2016 and 1500 in 2019; 1000 between them (protocol 5.3)",
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
    inferred(
        "cohorts.passcode",
        AS_PRESET,
        "no figure for passcodes is published; carts often have none (protocol 1.2)",
    ),
    inferred(
        "cohorts.poll-delay",
        "0s..2s",
        "Apple names no delay before a poll (protocol 1.4, 2.5)",
    ),
    inferred(
        "cohorts.poll-on",
        "[\"boot\"]",
        "a log shows mdmd poll at its start; Apple names no other moment (protocol 2.4, 2.5)",
    ),
    Assumption {
        key: "cohorts.woken-by-push",
        value: "never",
        grade: Grade::Observed,
        source: "administrators on iPads in deep sleep; Apple: power state defers, no figure (protocol 5.4, 5.5)",
    },
    inferred("cohorts.sleep", AS_PRESET, DUTY),
    inferred("cohorts.sleep.share-asleep", AWAY, NOTHING),
    inferred(
        "cohorts.link",
        AS_PRESET,
        "no figure for absence is published (protocol 9)",
    ),
    inferred("cohorts.link.share-offline", AWAY, NOTHING),
    inferred(
        "cohorts.lock.offline-before-first-unlock",
        "true",
        "Wi-Fi passwords are believed to be readable only after the first unlock (protocol 9)",
    ),
    inferred(
        "cohorts.link.fallback-443",
        "false",
        "Apple names a fallback to 443; a network that blocks 5223 is taken to block it too (protocol 5.5)",
    ),
    Assumption {
        key: "cohorts.link.keep-alive",
        value: "10m..15m",
        grade: Grade::Observed,
        source: "Cisco on NAT timeouts, citing an Apple engineer (protocol 5.5)",
    },
    inferred("cohorts.power", AS_PRESET, NOTHING),
    inferred("cohorts.power.share-off", AWAY, NOTHING),
    inferred("cohorts.power.boot", "30s..1m 30s", "nothing published"),
    inferred("cohorts.power.update", "10m..30m", "nothing published"),
    inferred("cohorts.power.battery", AS_PRESET, NOTHING),
    inferred("cohorts.power.battery.share-on-battery", AWAY, NOTHING),
    inferred("cohorts.power.low-power", AS_PRESET, NOTHING),
    inferred("cohorts.power.low-power.share", AWAY, NOTHING),
    inferred(
        "cohorts.lock",
        AS_PRESET,
        "unlocked 15 to 45 % of the time in use (protocol 9)",
    ),
    inferred("cohorts.lock.share-locked", AWAY, NOTHING),
    inferred(
        "cohorts.mac.power-nap",
        AS_PRESET,
        "Apple names no interval; write-ups say hourly (protocol 9)",
    ),
    inferred("cohorts.mac.power-nap.share", AWAY, NOTHING),
    inferred("cohorts.mac.logged-out", AS_PRESET, NOTHING),
    inferred("cohorts.mac.logged-out.share", AWAY, NOTHING),
    inferred("cohorts.mac.login-blocked", AS_PRESET, NOTHING),
    inferred("cohorts.mac.login-blocked.share", AWAY, NOTHING),
    inferred("cohorts.mac.keychain-locked", AS_PRESET, NOTHING),
    inferred("cohorts.mac.keychain-locked.share", AWAY, NOTHING),
    inferred("cohorts.agent.stopped", AS_PRESET, NOTHING),
    inferred("cohorts.agent.stopped.share", AWAY, NOTHING),
    inferred("cohorts.agent.throttled", AS_PRESET, NOTHING),
    inferred("cohorts.agent.throttled.share", AWAY, NOTHING),
    inferred(
        "cohorts.clock.resync",
        "never",
        "the interval of timed is not published (protocol 8)",
    ),
    inferred(
        "cohorts.clock.tls-tolerance",
        "none: only certificates' validity counts",
        "how X.509 is judged; vendors' \"a few minutes\" has no other ground (protocol 8)",
    ),
    inferred(
        "findings.settle",
        "5s",
        "servers work asynchronously; no figure is published (targets 11.1)",
    ),
    inferred(
        "findings.push-within",
        "1m",
        "servers push at once or from a queue; no figure is published (targets 10 C)",
    ),
    inferred(
        "findings.repush-within",
        "15m",
        "Apple asks for a push and names no time (protocol 1.4)",
    ),
    inferred("findings.event-within", "1m", "nothing published"),
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
            ("cohorts.poll-delay", written_dist(&POLL_DELAY)),
            ("cohorts.poll-on", format!("[{POLL_ON:?}]")),
            ("cohorts.power.boot", written_dist(&BOOT)),
            ("cohorts.power.update", written_dist(&UPDATE)),
            ("cohorts.link.fallback-443", FALLBACK_443.to_string()),
            (
                "cohorts.lock.offline-before-first-unlock",
                OFFLINE_BEFORE_FIRST_UNLOCK.to_string(),
            ),
            ("cohorts.link.keep-alive", written_dist(&KEEP_ALIVE)),
        ];
        for (key, constant) in constants {
            assert_eq!(find(key).value, constant, "{key}");
        }
    }
}
