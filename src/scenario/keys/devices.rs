//! The keys of a cohort.

use super::key;
use crate::scenario::kind::Need::{Default, Optional, Required};
use crate::scenario::kind::{Kind, Section};
use crate::scenario::{hardware, preset};

pub(super) static COHORT: Section = Section {
    is: "a cohort",
    keys: &[
        key(
            "name",
            Kind::Name,
            Required,
            "The cohort's name: commands, events and thresholds refer to it.",
        ),
        key("count", Kind::Count, Required, "How many devices."),
        key(
            "preset",
            Kind::Choice(preset::NAMES),
            Default(r#""always-on""#),
            "Where the traits come from that the cohort does not set itself.",
        ),
        key(
            "model",
            Kind::Choice(hardware::PRODUCTS),
            Optional,
            "Hardware identifier; decides between iPadOS, iOS, macOS and tvOS.",
        ),
        key(
            "os",
            Kind::Text,
            Optional,
            "Version of the operating system, as \"18.1\".",
        ),
        key(
            "build",
            Kind::Text,
            Optional,
            "Build of the operating system, as \"22B83\"; needed for versions whose build mdmstorm does not know.",
        ),
        key(
            "supervised",
            Kind::Flag,
            Optional,
            "Whether devices are supervised.",
        ),
        key(
            "push-latency",
            Kind::Dist,
            Optional,
            "From the gateway's acceptance until a reachable device has the push. Not scaled.",
        ),
        key(
            "stored-push-delay",
            Kind::Dist,
            Optional,
            "From a device's return until a stored push is delivered. Not scaled.",
        ),
        key(
            "wake-delay",
            Kind::Dist,
            Optional,
            "From having a push until the device connects. Not scaled.",
        ),
        key(
            "reply",
            Kind::ReplyTimes,
            Optional,
            "How long commands take: `usual`, or by request type. Not scaled.",
        ),
        key(
            "sleep",
            Kind::TableOr(&SLEEP, "never"),
            Optional,
            "When devices sleep; pushes wait until they wake. \"never\" switches a preset's sleep off.",
        ),
        key(
            "link",
            Kind::TableOr(&LINK, "always"),
            Optional,
            "When devices are off the network. \"always\" keeps them on it whatever the preset says.",
        ),
        key(
            "not-now",
            Kind::TableOrTables(&NOT_NOW),
            Optional,
            "When devices answer NotNow: the first rule that matches a command throws the die.",
        ),
        key(
            "back-off",
            Kind::Table(&BACK_OFF),
            Optional,
            "How long devices wait after a failed request: full jitter over a growing ceiling.",
        ),
    ],
};

static SLEEP: Section = Section {
    is: "sleep",
    keys: &[
        key(
            "asleep",
            Kind::Dist,
            Optional,
            "How long a device sleeps; needed unless the preset sleeps.",
        ),
        key(
            "awake",
            Kind::Dist,
            Optional,
            "How long it is awake; needed unless the preset sleeps.",
        ),
        key(
            "share-asleep",
            Kind::Share,
            Optional,
            "The share of devices that begin asleep; default 0.2.",
        ),
    ],
};

static LINK: Section = Section {
    is: "link",
    keys: &[
        key(
            "offline",
            Kind::Dist,
            Optional,
            "How long a device is off the network; needed unless the preset has it.",
        ),
        key(
            "online",
            Kind::Dist,
            Optional,
            "How long it is on it; needed unless the preset has it.",
        ),
        key(
            "share-offline",
            Kind::Share,
            Optional,
            "The share of devices that begin offline; default 0.2.",
        ),
    ],
};

static NOT_NOW: Section = Section {
    is: "a not-now rule",
    keys: &[
        key(
            "requests",
            Kind::Requests,
            Default("[]"),
            "Request types it is about; all that may be answered so when absent.",
        ),
        key(
            "probability",
            Kind::Share,
            Required,
            "How likely, each time the command is offered anew.",
        ),
        key("for", Kind::Dist, Required, "How long the reason lasts."),
    ],
};

static BACK_OFF: Section = Section {
    is: "back-off",
    keys: &[
        key("initial", Kind::Duration, Optional, "The first ceiling."),
        key("max", Kind::Duration, Optional, "The largest ceiling."),
    ],
};
