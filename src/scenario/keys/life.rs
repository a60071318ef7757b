//! The keys of the sections of a device's life.

use super::key;
use crate::device::traits::ClockFrom;
use crate::scenario::kind::Need::{Default, Optional};
use crate::scenario::kind::{Key, Kind, Section};

const DAILY: Key = key(
    "daily",
    Kind::Windows,
    Optional,
    "Times of day, in local time, instead of turns; one that ends before it begins goes past midnight.",
);
const DAYS: Key = key(
    "days",
    Kind::Days,
    Optional,
    "The days on which a time of `daily` may begin; every day when absent.",
);
const SPREAD: Key = key(
    "spread",
    Kind::Dist,
    Optional,
    "How much later than a time of `daily` each device changes; at once when absent.",
);

pub(super) static SLEEP: Section = Section {
    is: "sleep",
    keys: &[
        key("asleep", Kind::Dist, Optional, "How long a device sleeps."),
        key("awake", Kind::Dist, Optional, "How long it is awake."),
        key(
            "share-asleep",
            Kind::Share,
            Optional,
            "The share of devices that begin asleep; without turns, of its own or the preset's, they sleep until an event.",
        ),
        DAILY,
        DAYS,
        SPREAD,
    ],
};

pub(super) static LINK: Section = Section {
    is: "link",
    keys: &[
        key(
            "offline",
            Kind::Dist,
            Optional,
            "How long a device is off the network.",
        ),
        key("online", Kind::Dist, Optional, "How long it is on it."),
        key(
            "share-offline",
            Kind::Share,
            Optional,
            "The share of devices that begin offline; without turns until an event.",
        ),
        DAILY,
        DAYS,
        SPREAD,
        key(
            "push",
            Kind::Choice(&["open", "blocked"]),
            Optional,
            "Whether TCP 5223 is open: \"blocked\" lets HTTPS through, and no push.",
        ),
        key(
            "share-blocked",
            Kind::Share,
            Optional,
            "The share of devices behind a network that drops TCP 5223.",
        ),
        key(
            "fallback-443",
            Kind::Flag,
            Optional,
            "Whether devices fall back to TCP 443 where 5223 is blocked.",
        ),
        key(
            "nat-timeout",
            Kind::Duration,
            Optional,
            "After so long without a packet a NAT forgets the push connection, and the device is deaf until its next keep-alive.",
        ),
        key(
            "keep-alive",
            Kind::Dist,
            Optional,
            "How long after the last packet the device sends one, with `nat-timeout`.",
        ),
        key(
            "latency",
            Kind::Dist,
            Optional,
            "Added to each request, there and back together. Not scaled.",
        ),
        key(
            "loss",
            Kind::Share,
            Optional,
            "The share of requests that get no answer.",
        ),
        key(
            "cut-before",
            Kind::Share,
            Optional,
            "The share of requests whose connection is cut before the server has them.",
        ),
        key(
            "cut-after",
            Kind::Share,
            Optional,
            "The share of requests whose connection is cut after the server has answered.",
        ),
        key(
            "slow-read",
            Kind::Dist,
            Optional,
            "How much longer a device takes to read an answer. Not scaled.",
        ),
    ],
};

pub(super) static POWER: Section = Section {
    is: "power",
    keys: &[
        key("off", Kind::Dist, Optional, "How long a device is off."),
        key("on", Kind::Dist, Optional, "How long it is on."),
        key(
            "share-off",
            Kind::Share,
            Optional,
            "The share of devices that begin switched off; without turns until an event.",
        ),
        DAILY,
        DAYS,
        SPREAD,
        key("boot", Kind::Dist, Optional, "How long a restart takes."),
        key(
            "update",
            Kind::Dist,
            Optional,
            "How long a system update takes, which a target may want before a device enrols.",
        ),
        key(
            "battery",
            Kind::TableOr(&BATTERY, &["never", "always"]),
            Optional,
            "When devices run on their batteries.",
        ),
        key(
            "low-power",
            Kind::ShareOr(&TURNS),
            Optional,
            "When devices are in Low Power Mode: pushes of low priority wait.",
        ),
    ],
};

static BATTERY: Section = Section {
    is: "battery",
    keys: &[
        key(
            "on-battery",
            Kind::Dist,
            Optional,
            "How long a device runs on its battery.",
        ),
        key(
            "on-mains",
            Kind::Dist,
            Optional,
            "How long it is plugged in.",
        ),
        key(
            "share-on-battery",
            Kind::Share,
            Optional,
            "The share of devices that begin on their batteries; without turns until an event.",
        ),
        DAILY,
        DAYS,
        SPREAD,
    ],
};

pub(super) static LOCK: Section = Section {
    is: "lock",
    keys: &[
        key(
            "locked",
            Kind::Dist,
            Optional,
            "How long a screen is locked.",
        ),
        key("unlocked", Kind::Dist, Optional, "How long it is unlocked."),
        key(
            "share-locked",
            Kind::Share,
            Optional,
            "The share of devices that begin locked; without turns until an event.",
        ),
        DAILY,
        DAYS,
        SPREAD,
        key(
            "first-unlock-share",
            Kind::Share,
            Optional,
            "The share of devices that begin before their first unlock since a restart.",
        ),
        key(
            "offline-before-first-unlock",
            Kind::Flag,
            Optional,
            "Whether a device is off the network until that unlock, its Wi-Fi password being locked away.",
        ),
    ],
};

pub(super) static MAC: Section = Section {
    is: "mac",
    keys: &[
        key(
            "power-nap",
            Kind::TableOr(&TURNS, &["never"]),
            Optional,
            "When a sleeping Mac wakes for a moment by itself: { every = \"1h\", for = \"30s..2m\" }.",
        ),
        key(
            "logged-out",
            Kind::ShareOr(&TURNS),
            Optional,
            "When nobody is logged in: the channels of users are silent.",
        ),
        key(
            "login-blocked",
            Kind::ShareOr(&TURNS),
            Optional,
            "When a login waits for the server: slow commands are answered NotNow.",
        ),
        key(
            "keychain-locked",
            Kind::ShareOr(&TURNS),
            Optional,
            "When users' keychains are locked: profiles are answered NotNow on their channels.",
        ),
    ],
};

pub(super) static AGENT: Section = Section {
    is: "agent",
    keys: &[
        key(
            "stopped",
            Kind::ShareOr(&TURNS),
            Optional,
            "When the management agent is stopped, as after a crash.",
        ),
        key(
            "throttled",
            Kind::ShareOr(&TURNS),
            Optional,
            "When the system holds the agent back until it is opened in the foreground.",
        ),
    ],
};

/// A condition that has no words of its own for how long it holds.
static TURNS: Section = Section {
    is: "turns",
    keys: &[
        key("for", Kind::Dist, Optional, "How long it holds each time."),
        key(
            "every",
            Kind::Dist,
            Optional,
            "How long it does not, in between.",
        ),
        key(
            "share",
            Kind::Share,
            Optional,
            "The share of devices that begin in it; without turns until an event.",
        ),
        DAILY,
        DAYS,
        SPREAD,
    ],
};

pub(super) static CLOCK: Section = Section {
    is: "clock",
    keys: &[
        key(
            "offset",
            Kind::Offset,
            Optional,
            "How far clocks are ahead; behind with a minus.",
        ),
        key(
            "from",
            Kind::Choice(&ClockFrom::NAMES),
            Default("\"time-zero\""),
            "Since when clocks are wrong: only after devices have enrolled, or already while they do.",
        ),
        key(
            "share",
            Kind::Share,
            Optional,
            "The share of devices whose clock is wrong; all when absent.",
        ),
        key(
            "drift-ppm",
            Kind::Real,
            Optional,
            "How fast clocks run away, in millionths; 20 is 1.7 s a day.",
        ),
        key(
            "resync",
            Kind::DistOr("never"),
            Optional,
            "How often clocks are set right by themselves.",
        ),
        key(
            "flat-battery",
            Kind::Flag,
            Optional,
            "Whether clocks begin in the year 2000 after a device was off.",
        ),
        key(
            "tls-tolerance",
            Kind::Duration,
            Optional,
            "How wrong a clock may be before a device refuses TLS whatever the certificates say; when absent, only certificates' validity counts.",
        ),
    ],
};

pub(super) static BACK_OFF: Section = Section {
    is: "back-off",
    keys: &[
        key("initial", Kind::Duration, Optional, "The first ceiling."),
        key("max", Kind::Duration, Optional, "The largest ceiling."),
    ],
};
