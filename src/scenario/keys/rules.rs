//! The keys of a cohort's own rules.

use super::key;
use crate::scenario::kind::Need::{Default, Optional, Required};
use crate::scenario::kind::{Key, Kind, Section};

const NAME: Key = key(
    "name",
    Kind::Name,
    Optional,
    "The rule's name, for an event that ends it.",
);
const REQUESTS: Key = key(
    "requests",
    Kind::Requests,
    Default("[]"),
    "Request types it is about; all it can be about when absent.",
);
const PROBABILITY: Key = key(
    "probability",
    Kind::Share,
    Required,
    "How likely, each time the command is offered anew.",
);

pub(super) static NOT_NOW: Section = Section {
    is: "a not-now rule",
    keys: &[
        NAME,
        REQUESTS,
        PROBABILITY,
        key(
            "for",
            Kind::Dist,
            Optional,
            "How long the reason lasts; until an event ends the rule when absent.",
        ),
    ],
};

pub(super) static FAILURE: Section = Section {
    is: "a failure rule",
    keys: &[
        NAME,
        REQUESTS,
        PROBABILITY,
        key(
            "domain",
            Kind::Text,
            Default(r#""MCMDMErrorDomain""#),
            "ErrorDomain of the error.",
        ),
        key(
            "code",
            Kind::Integer,
            Required,
            "ErrorCode of the error, as 12064 for a missing licence.",
        ),
        key(
            "description",
            Kind::Text,
            Optional,
            "LocalizedDescription of the error.",
        ),
    ],
};

pub(super) static MISBEHAVIOUR: Section = Section {
    is: "a misbehaves rule",
    keys: &[
        NAME,
        REQUESTS,
        PROBABILITY,
        key(
            "do",
            Kind::Misbehaviour,
            Required,
            "What the device does: send the result twice, a result for a command nobody sent, a late one, none, half of one, one of wrong types, or drop the connection after it.",
        ),
    ],
};
