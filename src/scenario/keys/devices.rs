//! The keys of a cohort.

use super::key;
use super::life::{AGENT, BACK_OFF, CLOCK, LINK, LOCK, MAC, POWER, SLEEP};
use super::rules::{FAILURE, MISBEHAVIOUR, NOT_NOW};
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
            "poll-delay",
            Kind::Dist,
            Optional,
            "From the end of a reason for NotNow until the device polls by itself. Not scaled.",
        ),
        key(
            "poll-on",
            Kind::Words(&["boot", "network-return", "unlock"]),
            Optional,
            "When devices poll by themselves, beside NotNow.",
        ),
        key(
            "passcode",
            Kind::Flag,
            Optional,
            "Whether devices have a passcode; without one nothing is ever locked, and most reasons for NotNow fall away. Default: as the preset says.",
        ),
        key(
            "users",
            Kind::Between(0, 4),
            Optional,
            "How many users of each Mac, or of each iPad as a Shared iPad, have a channel of their own. Default: as the preset says.",
        ),
        key(
            "network-users",
            Kind::Flag,
            Optional,
            "Whether the users of Macs are network users, who prove who they are by UserAuthenticate. Default: false.",
        ),
        key(
            "utc-offset",
            Kind::Offset,
            Optional,
            "How far local time is ahead of that of `starts`; times of day count in local time.",
        ),
        key(
            "sleep",
            Kind::TableOr(&SLEEP, &["never", "always"]),
            Optional,
            "When devices sleep. \"never\" switches a preset's sleep off, \"always\" lasts until an event.",
        ),
        key(
            "woken-by-push",
            Kind::DistOr("never"),
            Optional,
            "What a push takes longer to reach a sleeping device; \"never\" when it waits until the device wakes. Not scaled.",
        ),
        key(
            "link",
            Kind::TableOr(&LINK, &["always"]),
            Optional,
            "The network: when devices are off it, what it does to pushes and to requests. \"always\" keeps them on it whatever the preset says.",
        ),
        key(
            "power",
            Kind::Table(&POWER),
            Optional,
            "When devices are off, and what they run on.",
        ),
        key(
            "lock",
            Kind::TableOr(&LOCK, &["never", "always"]),
            Optional,
            "When screens are locked; it matters with a passcode. \"always\" lasts until an event.",
        ),
        key(
            "mac",
            Kind::Table(&MAC),
            Optional,
            "What only Macs have: Power Nap, a login window, keychains.",
        ),
        key(
            "agent",
            Kind::Table(&AGENT),
            Optional,
            "The management agent on the device.",
        ),
        key(
            "clock",
            Kind::Table(&CLOCK),
            Optional,
            "What devices believe the time is.",
        ),
        key(
            "setup-assistant",
            Kind::Share,
            Optional,
            "The share of devices that begin in Setup Assistant.",
        ),
        key(
            "lost-mode",
            Kind::Share,
            Optional,
            "The share of devices that begin in lost mode.",
        ),
        key(
            "gone",
            Kind::Share,
            Optional,
            "The share of devices that are gone for good, and still enrolled at the server.",
        ),
        key(
            "not-now",
            Kind::TableOrTables(&NOT_NOW),
            Optional,
            "When devices answer NotNow beside what their state asks: the first rule that matches a command throws the die.",
        ),
        key(
            "failures",
            Kind::TableOrTables(&FAILURE),
            Optional,
            "When commands fail: the first rule that matches throws the die.",
        ),
        key(
            "misbehaves",
            Kind::TableOrTables(&MISBEHAVIOUR),
            Optional,
            "When devices break the protocol: the first rule that matches throws the die.",
        ),
        key(
            "back-off",
            Kind::Table(&BACK_OFF),
            Optional,
            "How long devices wait after a failed request: full jitter over a growing ceiling.",
        ),
    ],
};
