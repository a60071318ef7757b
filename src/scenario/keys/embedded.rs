//! Keys of the bundled reference server: how it enrols devices, and what is wrong with it.

use super::{HTTP, RESUME, key};
use crate::reference_server::{Defect, NetworkUsers};
use crate::scenario::embedded::ReplyCipher;
use crate::scenario::kind::Need::{Default, Optional};
use crate::scenario::kind::{Kind, Section};

pub(super) static EMBEDDED: Section = Section {
    is: "target.embedded",
    keys: &[
        key(
            "challenge",
            Kind::Choice(&["none", "static", "one-time"]),
            Default(r#""static""#),
            "What a device shows to be given a certificate by SCEP: nothing, the text \"mdmstorm\", or a challenge that each profile brings afresh and that is good for one certificate.",
        ),
        key(
            "back-date",
            Kind::Duration,
            Default(r#""1h""#),
            "How long before the moment they are issued certificates begin. At \"0s\" a device whose clock is slow signs before its certificate is valid. Not scaled.",
        ),
        key(
            "certificate-life",
            Kind::Duration,
            Default(r#""365d""#),
            "How long certificates last from the moment they are issued. Not scaled.",
        ),
        key(
            "reply-cipher",
            Kind::Choice(&ReplyCipher::WORDS),
            Default(r#""aes-128""#),
            "What the certificate in a SCEP answer is encrypted with; micromdm's server answers with single DES.",
        ),
        key(
            "pending",
            Kind::Seed,
            Default("0"),
            "How many times SCEP answers PENDING before it issues a certificate.",
        ),
        key(
            "authority",
            Kind::Choice(&["single", "chain"]),
            Default(r#""single""#),
            "What GetCACert answers: the one certificate that signs and is encrypted to, or that of a registration authority together with that of its authority.",
        ),
        key(
            "capabilities",
            Kind::Texts,
            Default(
                r#"["Renewal", "SHA-1", "SHA-256", "AES", "DES3", "SCEPStandard", "POSTPKIOperation"]"#,
            ),
            "The lines of GetCACaps. Without SCEPStandard and POSTPKIOperation devices send their requests by GET.",
        ),
        key(
            "signed-profile",
            Kind::Flag,
            Default("false"),
            "Whether enrolment profiles are signed by the server's certificate.",
        ),
        key(
            "minimum-os",
            Kind::Text,
            Optional,
            "The version of iOS and iPadOS that automated enrolment asks for, as \"17.4\": older iPads and iPhones that can are told to update first. Macs are not asked.",
        ),
        key(
            "configures",
            Kind::Flag,
            Default("true"),
            "Whether a device that awaits its configuration is sent DeviceConfigured by itself.",
        ),
        key(
            "account-token",
            Kind::Text,
            Optional,
            "The only access token that account-driven enrolment takes; any when absent.",
        ),
        key(
            "attestation",
            Kind::Flag,
            Default("true"),
            "Whether ACME issues to devices alone that attest their key; otherwise it takes a device at its word that attests nothing, as those with RSA keys.",
        ),
        key(
            "network-users",
            Kind::Choice(&NetworkUsers::WORDS),
            Default(r#""unmanaged""#),
            "What happens to network users of Macs: they are not managed, they are without proof (a challenge of zero length), or they get a challenge and a token for whatever response.",
        ),
        key(
            "defects",
            Kind::Words(&Defect::NAMES),
            Default("[]"),
            "What is wrong with the server, to try what a run says of it: docs/bugs.md lists the defects.",
        ),
        HTTP,
        RESUME,
    ],
};
