//! How the bundled reference server enrols devices, and what is wrong with it.
//!
//! The server reads it too, when it runs alone: one type, so that scenario and command line cannot
//! mean different things.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::found::Found;
use crate::reference_server::{Defect, Defects, NetworkUsers};

/// The reference server as a target: what its administrator would configure about enrolment, and
/// what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EmbeddedTarget {
    /// What a device shows to be given a certificate by SCEP.
    pub challenge: Challenge,
    /// How long before the moment they are issued certificates begin.
    pub back_date: Duration,
    /// How long certificates last from the moment they are issued.
    pub life: Duration,
    /// What the certificate in a SCEP answer is encrypted with.
    pub reply_cipher: ReplyCipher,
    /// How many times SCEP answers PENDING before it issues.
    pub pending: u32,
    /// What GetCACert answers.
    pub authority: AuthorityForm,
    /// The lines of GetCACaps.
    pub capabilities: Vec<String>,
    /// Whether profiles are signed.
    pub signed_profile: bool,
    /// The version of iOS and iPadOS below which automated enrolment sends devices away.
    pub minimum_os: Option<String>,
    /// Whether a device that awaits its configuration is told by itself that it is configured.
    pub configures: bool,
    /// The only access token of account-driven enrolment; `None` takes any.
    pub account_token: Option<String>,
    /// Whether ACME issues to devices alone that attest their key.
    pub attestation: bool,
    /// What happens to network users of Macs.
    pub network_users: NetworkUsers,
    /// What is wrong with it.
    pub defects: Defects,
}

/// What a device shows to be given a certificate by SCEP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// Nothing.
    None,
    /// The same for all devices, in every profile.
    Static(String),
    /// A fresh one in every profile; it is good for one certificate.
    OneTime,
}

/// What the certificate in a SCEP answer is encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyCipher {
    /// AES-128-CBC.
    Aes128,
    /// AES-256-CBC.
    Aes256,
    /// Triple DES.
    TripleDes,
    /// Single DES, as the SCEP libraries of micromdm do.
    Des,
}

/// What GetCACert answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityForm {
    /// The authority's certificate, which signs, answers and is encrypted to.
    Single,
    /// Two certificates: a registration authority answers in the place of the one that signs.
    Chain,
}

/// The static challenge when none is chosen.
pub const STATIC_CHALLENGE: &str = "mdmstorm";

impl Default for EmbeddedTarget {
    fn default() -> Self {
        Self {
            challenge: Challenge::Static(STATIC_CHALLENGE.to_owned()),
            back_date: Duration::from_secs(3600),
            life: Duration::from_secs(365 * 24 * 3600),
            reply_cipher: ReplyCipher::Aes128,
            pending: 0,
            authority: AuthorityForm::Single,
            capabilities: CAPABILITIES.map(str::to_owned).to_vec(),
            signed_profile: false,
            minimum_os: None,
            configures: true,
            account_token: None,
            attestation: true,
            network_users: NetworkUsers::default(),
            defects: Defects::default(),
        }
    }
}

/// What micromdm's SCEP server says, and that certificates can be renewed.
const CAPABILITIES: [&str; 7] = [
    "Renewal",
    "SHA-1",
    "SHA-256",
    "AES",
    "DES3",
    "SCEPStandard",
    "POSTPKIOperation",
];

impl Challenge {
    /// What `text` says: `none`, `static`, `one-time`, or `static:` and the challenge.
    pub fn of_text(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "static" => Some(Self::Static(STATIC_CHALLENGE.to_owned())),
            "one-time" => Some(Self::OneTime),
            other => other
                .strip_prefix("static:")
                .filter(|text| !text.is_empty())
                .map(|text| Self::Static(text.to_owned())),
        }
    }
}

impl ReplyCipher {
    /// The words that name the ciphers.
    pub const WORDS: [&str; 4] = ["aes-128", "aes-256", "3des", "des"];

    /// The cipher that `word` names.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "aes-128" => Some(Self::Aes128),
            "aes-256" => Some(Self::Aes256),
            "3des" => Some(Self::TripleDes),
            "des" => Some(Self::Des),
            _ => None,
        }
    }
}

/// What `[target.embedded]` says; what is wrong in it has been noted.
pub(super) fn embedded(found: &Found) -> EmbeddedTarget {
    let usual = EmbeddedTarget::default();
    let word = |key| found.text(key).map(String::as_str);
    let span = |key, usual| found.span(key).copied().unwrap_or(usual);
    let flag = |key, usual| found.flag(key).copied().unwrap_or(usual);
    EmbeddedTarget {
        challenge: word("challenge")
            .and_then(Challenge::of_text)
            .unwrap_or(usual.challenge),
        back_date: span("back-date", usual.back_date),
        life: span("certificate-life", usual.life),
        reply_cipher: word("reply-cipher")
            .and_then(ReplyCipher::of_word)
            .unwrap_or(usual.reply_cipher),
        pending: found
            .seed("pending")
            .map_or(0, |&times| u32::try_from(times).unwrap_or(u32::MAX)),
        authority: match word("authority") {
            Some("chain") => AuthorityForm::Chain,
            Some(_) | None => AuthorityForm::Single,
        },
        capabilities: found
            .words("capabilities")
            .cloned()
            .unwrap_or(usual.capabilities),
        signed_profile: flag("signed-profile", usual.signed_profile),
        minimum_os: found.text("minimum-os").cloned(),
        configures: flag("configures", usual.configures),
        account_token: found.text("account-token").cloned(),
        attestation: flag("attestation", usual.attestation),
        network_users: word("network-users")
            .and_then(NetworkUsers::of_word)
            .unwrap_or(usual.network_users),
        defects: found
            .words("defects")
            .into_iter()
            .flatten()
            .filter_map(|name| Defect::find(name))
            .collect(),
    }
}
