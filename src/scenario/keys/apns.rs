//! The keys of `[apns]`, and of what goes wrong with pushes.

use super::super::fault::FAULTS;
use super::super::kind::Need::{Default, Optional, Required};
use super::super::kind::{Key, Kind, Section};
use super::key;
use crate::protocol::push::Reason;

pub(super) static APNS: Section = Section {
    is: "apns",
    keys: &[
        key(
            "listen",
            Kind::Address,
            Optional,
            "Where the gateway listens; default 127.0.0.1:2197, and any free port for the embedded target.",
        ),
        key(
            "connect-proxy",
            Kind::Address,
            Optional,
            "Where to listen as a CONNECT proxy, for servers with api.push.apple.com built in: HTTPS_PROXY of the server points here.",
        ),
        key(
            "allow-hosts",
            Kind::Hosts,
            Optional,
            "Other servers that the CONNECT proxy may tunnel to, each with its port; none when absent: a test should reach nothing by accident.",
        ),
        key(
            "plain-listen",
            Kind::Address,
            Optional,
            "Where to take pushes by plain HTTP/1.1 as well, for load rigs that speak nothing else; no provider is checked there.",
        ),
        key(
            "push-certificate",
            Kind::Path,
            Optional,
            "PEM certificate of the push topic; default: one in the state folder, made once.",
        ),
        key(
            "push-key",
            Kind::Path,
            Optional,
            "PEM key of that certificate.",
        ),
        key(
            "store-without-expiration",
            Kind::Flag,
            Default("true"),
            "Whether a push without apns-expiration is kept for a device that cannot be reached.",
        ),
        key(
            "streams",
            STREAMS,
            Default("1000"),
            "How many pushes a provider may have under way on one connection.",
        ),
        key(
            "lower-streams-after-rejection",
            Kind::Flag,
            Default("false"),
            "Whether a connection may have one stream alone after a rejected push, until a push is accepted.",
        ),
        key(
            "rate",
            Kind::PushRate,
            Optional,
            "How often one token may be pushed to before 429 TooManyRequests; any number when absent.",
        ),
        key(
            "provider-keys",
            Kind::Tables(&PROVIDER_KEY),
            Default("[]"),
            "Keys that providers without a certificate may sign their bearer tokens with.",
        ),
        key(
            "faults",
            Kind::Tables(&FAULT),
            Default("[]"),
            "What goes wrong with pushes from the beginning; fault-pushes and heal-pushes in the timeline change it. Of several that strike a push the last counts.",
        ),
    ],
};

static PROVIDER_KEY: Section = Section {
    is: "a provider key",
    keys: &[
        key(
            "key-id",
            Kind::Name,
            Required,
            "Its name, `kid` in a token.",
        ),
        key(
            "team-id",
            Kind::Name,
            Required,
            "Whose it is, `iss` in a token.",
        ),
        key(
            "public-key",
            Kind::Path,
            Required,
            "PEM file with the public key, P-256.",
        ),
        key(
            "topics",
            Kind::Texts,
            Optional,
            "The topics it is for; all when absent.",
        ),
        key(
            "environment",
            Kind::Choice(&["production", "sandbox"]),
            Optional,
            "The service it is for, by the host name that the provider asks for; both when absent.",
        ),
    ],
};

/// How many streams a connection may have.
pub(super) const STREAMS: Kind = Kind::Between(1, 4096);

/// The keys that a fault has in `[[apns.faults]]` and in the timeline.
pub(super) const NTH: Key = key(
    "nth",
    Kind::Count,
    Optional,
    "Instead of a share: the n-th push alone, counted from when the fault begins.",
);
pub(super) const BY: Key = key(
    "by",
    Kind::Dist,
    Optional,
    "How much later, with delay, duplicate and slow; how long it is held back at most, with reorder. Not scaled.",
);
pub(super) const STATUS: Key = key(
    "status",
    Kind::Between(0, 599),
    Optional,
    "The HTTP status, with answer and garble; that of the reason when absent, 502 with garble.",
);

static FAULT: Section = Section {
    is: "a fault",
    keys: &[
        key(
            "fault",
            Kind::Choice(&FAULTS),
            Required,
            "What happens: accepted and \"delay\"ed, \"drop\"ped, delivered twice (\"duplicate\") or after the next (\"reorder\"); not looked at and \"answer\"ed with a status, with HTML (\"garble\") or never (\"hang\"); accepted with a \"slow\" answer; the connection \"reset\" or ended with \"goaway\".",
        ),
        key(
            "to",
            Kind::Name,
            Optional,
            "The cohort whose pushes; all when absent, those with foreign tokens too.",
        ),
        key(
            "share",
            Kind::Share,
            Optional,
            "The share of the pushes, drawn by seed; all when absent.",
        ),
        NTH,
        BY,
        STATUS,
        key(
            "reason",
            Kind::Choice(&Reason::NAMES),
            Optional,
            "The reason that APNs gives, with answer and goaway (Shutdown when absent).",
        ),
    ],
};
