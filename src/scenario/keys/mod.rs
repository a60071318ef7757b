//! Every key of a scenario file, with what it takes, its default and what it means.
//!
//! The reader, the JSON Schema and `--set` all read this one table, so they cannot disagree.

use self::apns::APNS;
use self::devices::COHORT;
use self::embedded::EMBEDDED;
use self::enrollment::ENROLLMENT;
use self::findings::FINDINGS;
use self::work::{EVENT, EXPECT, STAGE, THRESHOLD};
use super::kind::Need::{self, Default, Optional, Required};
use super::kind::{Key, Kind, Section};
use super::transport::VERSIONS;

mod apns;
mod devices;
mod embedded;
mod enrollment;
mod findings;
mod life;
mod rules;
mod work;

pub(super) static SCENARIO: Section = Section {
    is: "a scenario",
    keys: &[
        key(
            "name",
            Kind::Name,
            Required,
            "The scenario's name, shown in reports.",
        ),
        key(
            "seed",
            Kind::Seed,
            Default("1"),
            "The number that reproduces the run: the same seed, scenario and version give the same plan.",
        ),
        key(
            "time-scale",
            Kind::Factor,
            Default("1"),
            "How much faster than real time device life runs. At 60 an hour asleep takes a minute. Scales stages, timeline, sleep, link, NotNow, back-off and rates; not reply times, push latency and timeouts.",
        ),
        key(
            "starts",
            Kind::WeekTime,
            Default(r#""mon 00:00""#),
            "The day and time of the scenario's week at the end of enrolment; times of day count from it.",
        ),
        key(
            "target",
            Kind::Variant(&TARGET),
            Required,
            "The server under test: exactly one of its kinds.",
        ),
        key(
            "enrollment",
            Kind::Table(&ENROLLMENT),
            Default("{}"),
            "How devices get into the target.",
        ),
        key(
            "apns",
            Kind::Table(&APNS),
            Default("{}"),
            "The gateway that takes the target's pushes in Apple's place.",
        ),
        key(
            "operator",
            Kind::Table(&OPERATOR),
            Default("{}"),
            "The one who plays the administrator.",
        ),
        key(
            "report",
            Kind::Table(&REPORT),
            Default("{}"),
            "What the report tells beyond the usual.",
        ),
        key(
            "cohorts",
            Kind::Tables(&COHORT),
            Required,
            "Groups of devices that share their traits.",
        ),
        key(
            "stages",
            Kind::Tables(&STAGE),
            Default("[]"),
            "Stretches of work, one after another, from the end of enrolment on.",
        ),
        key(
            "timeline",
            Kind::Tables(&EVENT),
            Default("[]"),
            "What happens at set times, counted from the end of enrolment.",
        ),
        key(
            "thresholds",
            Kind::Tables(&THRESHOLD),
            Optional,
            "What a run must meet; one that is missed ends the run with exit code 99. Without this key one applies: no pending command may be the target's fault. `thresholds = []` removes it.",
        ),
        key(
            "findings",
            Kind::Table(&FINDINGS),
            Default("{}"),
            "How the server is judged by the rules that servers keep: docs/findings.md.",
        ),
        key(
            "expect",
            Kind::Tables(&EXPECT),
            Default("[]"),
            "What is to come of it: how many commands are in which state when. One that does not hold ends the run with exit code 99.",
        ),
    ],
};

static TARGET: Section = Section {
    is: "the target",
    keys: &[
        key(
            "embedded",
            Kind::Table(&EMBEDDED),
            Optional,
            "The bundled reference server, as a process of its own.",
        ),
        key(
            "nanomdm",
            Kind::Table(&NANOMDM),
            Optional,
            "NanoMDM, through its API.",
        ),
        key(
            "micromdm",
            Kind::Table(&MICROMDM),
            Optional,
            "MicroMDM, through its API.",
        ),
        key(
            "observe",
            Kind::Table(&OBSERVE),
            Optional,
            "Any server: commands are queued by its own administrator, mdmstorm only plays the devices.",
        ),
    ],
};

const URL: Key = key(
    "url",
    Kind::Url,
    Required,
    "Where devices and operator reach the target, http or https, without the path of an endpoint.",
);
const TIMEOUT: Key = key(
    "timeout",
    Kind::Duration,
    Default(r#""30s""#),
    "How long a request may take. Not scaled.",
);
const TARGET_CA: Key = key(
    "ca",
    Kind::Path,
    Optional,
    "PEM file of the authority that signed the target's certificate, when it is no public one.",
);
const RESET: Key = key(
    "reset",
    Kind::Texts,
    Default("[]"),
    "A program and its arguments that make the target as good as new: what `mdmstorm reduce` runs before each run, without a shell, in this file's folder. Without one each run has devices that the target has never seen.",
);
const HTTP: Key = key(
    "http",
    Kind::Choice(&VERSIONS),
    Default(r#""1.1""#),
    "Which HTTP devices speak: 1.1, 2, or auto, which offers both and takes what the target likes, as real devices do. Agreed on in the TLS handshake; plain http is always 1.1. Default 1.1, because it costs this machine less.",
);
const RESUME: Key = key(
    "resume",
    Kind::Flag,
    Default("false"),
    "Whether a device resumes its TLS session with a ticket, as real ones may. A resumed session does not check the target's certificate again, so each connection counts as a full handshake by default; a device drops its ticket when its clock jumps, when it enrols again and when its identity changes.",
);
const HEADERS: Key = key(
    "headers",
    Kind::Headers,
    Default("{}"),
    "HTTP headers added to each request, for proxies that ask for them.",
);

const WEBHOOK: Key = key(
    "webhook",
    Kind::Address,
    Optional,
    "Where to listen for the target's events, which are compared with what devices know: start it with -webhook-url (NanoMDM) or -command-webhook-url (MicroMDM) http://this-address/webhook.",
);

static NANOMDM: Section = Section {
    is: "target.nanomdm",
    keys: &[
        URL,
        key(
            "api-key",
            Kind::Secret,
            Required,
            "Environment variable with the API key: { env = \"NANOMDM_API_KEY\" }.",
        ),
        TIMEOUT,
        TARGET_CA,
        HEADERS,
        WEBHOOK,
        RESET,
        HTTP,
        RESUME,
    ],
};

static MICROMDM: Section = Section {
    is: "target.micromdm",
    keys: &[
        URL,
        key(
            "api-key",
            Kind::Secret,
            Required,
            "Environment variable with the API key: { env = \"MICROMDM_API_KEY\" }.",
        ),
        TIMEOUT,
        TARGET_CA,
        HEADERS,
        WEBHOOK,
        RESET,
    ],
};

static OBSERVE: Section = Section {
    is: "target.observe",
    keys: &[
        key(
            "url",
            Kind::Url,
            Required,
            "The ServerURL of the target's enrolment profile, http or https.",
        ),
        key(
            "checkin-url",
            Kind::Url,
            Optional,
            "The CheckInURL, when it is another.",
        ),
        TIMEOUT,
        TARGET_CA,
        HEADERS,
        RESET,
        HTTP,
        RESUME,
    ],
};

static OPERATOR: Section = Section {
    is: "operator",
    keys: &[key(
        "in-flight",
        Kind::Count,
        Default("256"),
        "How many admin requests may be under way at once. Waiting for one is the operator's lateness.",
    )],
};

static REPORT: Section = Section {
    is: "report",
    keys: &[key(
        "slow-after",
        Kind::Duration,
        Default("\"5m\""),
        "A command that is open for longer is told with the cause of its wait at that moment, whether or not it completes later.",
    )],
};

const fn key(name: &'static str, kind: Kind, need: Need, about: &'static str) -> Key {
    Key {
        name,
        kind,
        need,
        about,
    }
}
