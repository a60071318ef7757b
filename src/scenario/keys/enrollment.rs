//! Keys of enrolment: how devices come by an identity, how they show it, and at what pace.

use super::key;
use crate::scenario::enrollment::{ENCODINGS, KEY_KINDS};
use crate::scenario::kind::Need::{Default, Optional, Required};
use crate::scenario::kind::{Key, Kind, Section};

pub(super) static ENROLLMENT: Section = Section {
    is: "enrollment",
    keys: &[
        key(
            "issued",
            Kind::Table(&ISSUED),
            Optional,
            "Identities are issued by mdmstorm itself, from an authority that the target trusts. So it is when no other way is named; at most one is.",
        ),
        key(
            "profile",
            Kind::Table(&PROFILE),
            Optional,
            "An enrolment profile says where the target is and how a device comes by its identity: SCEP, ACME or PKCS#12.",
        ),
        key(
            "scep",
            Kind::Table(&SCEP),
            Optional,
            "SCEP without a profile.",
        ),
        key(
            "acme",
            Kind::Table(&ACME),
            Optional,
            "ACME with device attestation, without a profile.",
        ),
        key(
            "ota",
            Kind::Table(&OTA),
            Optional,
            "Over the air, in three phases: a Profile Service payload, a SCEP profile, the enrolment profile.",
        ),
        key(
            "automated",
            Kind::Table(&AUTOMATED),
            Optional,
            "Automated enrolment: the device sends its signed MachineInfo and gets its enrolment profile.",
        ),
        key(
            "account-driven",
            Kind::Table(&ACCOUNT_DRIVEN),
            Optional,
            "Account-driven: from a Managed Apple Account to the service that its domain names.",
        ),
        key(
            "identity",
            Kind::Table(&IDENTITY),
            Default("{}"),
            "Where a device's key comes from, and how it shows who it is.",
        ),
        key(
            "rewrite",
            Kind::Rewrites,
            Default("{}"),
            "What the beginnings of URLs in profiles and answers are replaced by, as { \"https://mdm.example.com\" = \"http://127.0.0.1:9000\" }: for servers whose public name does not resolve here. The longest that fits counts.",
        ),
        key(
            "within",
            Kind::Duration,
            Default(r#""5m""#),
            "How long enrolment may take; then the run ends with exit code 92. Not scaled.",
        ),
        key(
            "max-failed",
            Kind::Share,
            Default("0.01"),
            "The share of devices that may fail to enrol.",
        ),
        key(
            "rate",
            Kind::Rate,
            Default(r#""500/s""#),
            "How fast devices enrol. Not scaled.",
        ),
        key(
            "in-flight",
            Kind::Count,
            Default("64"),
            "How many devices may be enrolling at once; waiting for a place is this tool's own time.",
        ),
    ],
};

const CA: Key = key(
    "ca",
    Kind::Path,
    Optional,
    "PEM certificate of the authority that signs device identities; default: one in the state folder, made once.",
);
const CA_KEY: Key = key("ca-key", Kind::Path, Optional, "PEM key of that authority.");

static ISSUED: Section = Section {
    is: "enrollment.issued",
    keys: &[
        key(
            "identity",
            Kind::Choice(&["signature", "header", "mtls"]),
            Optional,
            "The same as proof in [enrollment.identity].",
        ),
        key(
            "header",
            Kind::Text,
            Optional,
            "The same as header in [enrollment.identity].",
        ),
        CA,
        CA_KEY,
    ],
};

static IDENTITY: Section = Section {
    is: "enrollment.identity",
    keys: &[
        key(
            "keys",
            Kind::Choice(&["fresh", "pool"]),
            Default(r#""fresh""#),
            "Where the RSA keys of SCEP and ACME come from: each made anew, as on a device, at about 50 ms of CPU; or put together from a pool of primes, at a quarter of a millisecond: different, but not secret.",
        ),
        key(
            "proof",
            Kind::Choice(&["signature", "header", "mtls"]),
            Optional,
            "How a device proves who it is: the Mdm-Signature header, its certificate in a header (as a proxy would add), or TLS client authentication. Default: what the profile says by SignMessage; without one, mtls for the embedded target and signature for others.",
        ),
        key(
            "header",
            Kind::Text,
            Optional,
            "Name of the header that carries the certificate with proof = \"header\"; default X-Client-Cert.",
        ),
        key(
            "encoding",
            Kind::Choice(&ENCODINGS),
            Optional,
            "How the certificate is written in that header: as RFC 9440 has it, the default, or as URL-encoded PEM, as nginx does.",
        ),
        key(
            "ca",
            Kind::Path,
            Optional,
            "PEM certificate of the authority that vouches for devices before they are enrolled: it signs MachineInfo, attestations and the first message over the air; default: one in the state folder, made once.",
        ),
        key("ca-key", Kind::Path, Optional, "PEM key of that authority."),
    ],
};

const SOURCE_URL: &str = "Where it is fetched: a URL, or a path at the target; {udid}, {serial} and {n} stand for the device's.";

static PROFILE: Section = Section {
    is: "enrollment.profile",
    keys: &[
        key("file", Kind::Path, Optional, "A file with the profile."),
        key("url", Kind::Text, Optional, SOURCE_URL),
        key(
            "each-device",
            Kind::Flag,
            Default("false"),
            "Whether each device fetches a profile of its own, as it has to with one-time challenges; otherwise one is fetched before the run.",
        ),
    ],
};

static OTA: Section = Section {
    is: "enrollment.ota",
    keys: &[
        key(
            "file",
            Kind::Path,
            Optional,
            "A file with the Profile Service payload.",
        ),
        key("url", Kind::Text, Optional, SOURCE_URL),
    ],
};

static SCEP: Section = Section {
    is: "enrollment.scep",
    keys: &[
        key(
            "url",
            Kind::Text,
            Optional,
            "The SCEP server: a URL, or a path at the target.",
        ),
        key(
            "challenge",
            Kind::Secret,
            Optional,
            "Environment variable with the challenge: { env = \"SCEP_CHALLENGE\" }; none is sent when absent.",
        ),
        key(
            "subject",
            Kind::Text,
            Default(r#""CN={udid}""#),
            "The subject of the request, as \"O=Example/CN={udid}\"; {udid}, {serial} and {n} stand for the device's.",
        ),
        key(
            "key-size",
            Kind::Between(2048, 4096),
            Default("2048"),
            "Bits of the RSA key: 2048 or 4096.",
        ),
        key(
            "ca-name",
            Kind::Text,
            Optional,
            "Which authority is meant, at servers with several.",
        ),
        key(
            "fingerprint",
            Kind::Text,
            Optional,
            "The MD5, SHA-1 or SHA-256 of the authority's certificate, in hexadecimal digits; another one is refused.",
        ),
    ],
};

static ACME: Section = Section {
    is: "enrollment.acme",
    keys: &[
        key(
            "url",
            Kind::Text,
            Optional,
            "The ACME directory: a URL, or a path at the target.",
        ),
        key(
            "client-identifier",
            Kind::Text,
            Default(r#""{serial}""#),
            "ClientIdentifier: what the order is for; {udid}, {serial} and {n} stand for the device's.",
        ),
        key(
            "key",
            Kind::Choice(&KEY_KINDS),
            Default(r#""ec-256""#),
            "The kind of key, and its bits.",
        ),
    ],
};

static AUTOMATED: Section = Section {
    is: "enrollment.automated",
    keys: &[
        key(
            "url",
            Kind::Text,
            Optional,
            "The URL that Apple would hand the device, or a path at the target.",
        ),
        key(
            "machine-info",
            Kind::Choice(&["post", "header"]),
            Default(r#""post""#),
            "How MachineInfo travels: as the body of a POST, or in the header x-apple-aspen-deviceinfo of a GET, as older systems do.",
        ),
    ],
};

static ACCOUNT_DRIVEN: Section = Section {
    is: "enrollment.account-driven",
    keys: &[
        key(
            "account",
            Kind::Text,
            Required,
            "The Managed Apple Account, as \"student-{n}@example.com\".",
        ),
        key(
            "service",
            Kind::Text,
            Optional,
            "Where /.well-known/com.apple.remotemanagement is asked for: the beginning of a URL; default: https and the account's domain, and the embedded target itself.",
        ),
        key(
            "token",
            Kind::Secret,
            Optional,
            "Environment variable with the access token that signing in on the web would give: { env = \"MDM_TOKEN\" }. The embedded target takes any.",
        ),
        key(
            "byod",
            Kind::Flag,
            Default("true"),
            "Whether devices enrol as their users' own (mdm-byod), which is user enrolment; otherwise as their organisation's (mdm-adde).",
        ),
    ],
};
