//! The keys of stages, commands, events and thresholds.

use super::apns::{BY, NTH, STATUS, STREAMS};
use super::key;
use crate::protocol::push::Reason;
use crate::scenario::fault::FAULTS;
use crate::scenario::kind::Need::{Default, Optional, Required};
use crate::scenario::kind::{Kind, Section};

pub(super) static STAGE: Section = Section {
    is: "a stage",
    keys: &[
        key(
            "name",
            Kind::Name,
            Required,
            "The stage's name: thresholds refer to it.",
        ),
        key("duration", Kind::Duration, Required, "How long it takes."),
        key(
            "warm-up",
            Kind::Flag,
            Default("false"),
            "Whether thresholds leave it out.",
        ),
        key(
            "commands",
            Kind::Tables(&COMMAND),
            Default("[]"),
            "The commands ordered in it.",
        ),
    ],
};

static COMMAND: Section = Section {
    is: "a command",
    keys: &[
        key(
            "request",
            Kind::Request,
            Optional,
            "The MDM request type, as \"DeviceInformation\"; this or `file`.",
        ),
        key(
            "keys",
            Kind::Dictionary,
            Optional,
            "Further keys of the command.",
        ),
        key(
            "payload",
            Kind::Path,
            Optional,
            "File whose bytes the command carries: a profile for InstallProfile.",
        ),
        key(
            "file",
            Kind::Path,
            Optional,
            "Property list with the whole command, for request types mdmstorm does not know.",
        ),
        key(
            "to",
            Kind::Name,
            Optional,
            "The cohort it goes to; all devices when absent.",
        ),
        key(
            "rate",
            Kind::Rate,
            Optional,
            "How many orders per unit of time, open loop; this or `each`. Exactly rate times duration orders are made.",
        ),
        key(
            "each",
            Kind::Count,
            Optional,
            "How many orders per device, spread over the stage.",
        ),
        key(
            "channel",
            Kind::Choice(&["device", "user"]),
            Default(r#""device""#),
            "Whose queue it goes to: the device's, or that of one of its users, drawn by seed.",
        ),
        key(
            "arrival",
            Kind::Choice(&["poisson", "even"]),
            Default(r#""poisson""#),
            "Whether orders come at random or evenly spaced.",
        ),
        key(
            "serial",
            Kind::Flag,
            Default("false"),
            "Whether a device's next order waits until its last one settled.",
        ),
    ],
};

pub(super) static EVENT: Section = Section {
    is: "an event",
    keys: &[
        key(
            "at",
            Kind::Duration,
            Required,
            "When, counted from the end of enrolment.",
        ),
        key(
            "to",
            Kind::Name,
            Optional,
            "The cohort it happens to; all devices when absent.",
        ),
        key("do", Kind::Event, Required, "What happens."),
        key(
            "spread",
            Kind::Dist,
            Default(r#""0s""#),
            "How much later than `at` it happens to each device.",
        ),
        key(
            "share",
            Kind::Share,
            Optional,
            "The share of devices it happens to, drawn by seed, all when absent; of pushes with lose-pushes and fault-pushes.",
        ),
        key(
            "ahead",
            Kind::Offset,
            Optional,
            "How far ahead the clock is set, behind with a minus; with set-clock.",
        ),
        key(
            "rule",
            Kind::Name,
            Optional,
            "The name of the rule that ends; with end-rule.",
        ),
        key(
            "stage",
            Kind::Name,
            Optional,
            "The stage whose orders are placed again, all when absent; with reissue.",
        ),
        key(
            "request",
            Kind::Request,
            Optional,
            "The request type that is ordered again, all when absent; with reissue.",
        ),
        key(
            "fault",
            Kind::Choice(&FAULTS),
            Optional,
            "What happens to pushes, as in [[apns.faults]]; with fault-pushes.",
        ),
        NTH,
        BY,
        STATUS,
        key(
            "reason",
            Kind::Choice(&Reason::NAMES),
            Optional,
            "The reason that APNs gives; with fault-pushes, and send-goaway (Shutdown when absent).",
        ),
        key(
            "streams",
            STREAMS,
            Optional,
            "How many pushes a provider may have under way on one connection; with limit-streams.",
        ),
        key(
            "rate",
            Kind::PushRate,
            Optional,
            "How often one token may be pushed to, any number when absent; with throttle-pushes.",
        ),
    ],
};

pub(super) static EXPECT: Section = Section {
    is: "an expectation",
    keys: &[
        key(
            "cohort",
            Kind::Name,
            Optional,
            "Whose commands; those of all cohorts when absent.",
        ),
        key(
            "at",
            Kind::DurationOr("end"),
            Default(r#""end""#),
            "When it is looked at, counted from the end of enrolment, or at the \"end\" of the run.",
        ),
        key(
            "pending",
            Kind::HowMany,
            Optional,
            "How many are ordered and not settled; exactly one of the four states.",
        ),
        key(
            "completed",
            Kind::HowMany,
            Optional,
            "How many were acknowledged.",
        ),
        key(
            "failed",
            Kind::HowMany,
            Optional,
            "How many ended with an error.",
        ),
        key(
            "cancelled",
            Kind::HowMany,
            Optional,
            "How many were taken back or swept away.",
        ),
        key(
            "cause",
            Kind::Name,
            Optional,
            "Only those pending for this cause, by its name in reports.",
        ),
        key(
            "code",
            Kind::Integer,
            Optional,
            "Only those that failed with this ErrorCode.",
        ),
    ],
};

pub(super) static THRESHOLD: Section = Section {
    is: "a threshold",
    keys: &[
        key(
            "metric",
            Kind::Text,
            Required,
            "What is measured, as \"push-to-completion{cohort=carts} p99\" or \"pending count\". Aggregates: p50, p99.9, max, mean, count, share.",
        ),
        key(
            "below",
            Kind::Limit,
            Optional,
            "It must be below this; exactly one of the four limits.",
        ),
        key("above", Kind::Limit, Optional, "It must be above this."),
        key("at-most", Kind::Limit, Optional, "It must be at most this."),
        key(
            "at-least",
            Kind::Limit,
            Optional,
            "It must be at least this.",
        ),
    ],
};
