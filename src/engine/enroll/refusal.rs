//! Why a device has no identity: a closed list of names, and what each means for trying again.

use crate::device::contract::Obtained;
use crate::engine::fetch::Fetched;
use crate::fact::{Broken, Refusal};
use crate::protocol::profile::ProfileError;

/// The names that failures are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Name {
    /// Nobody answers there, or the connection was cut.
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// No whole answer in time.
    TimedOut,
    /// A status that says no.
    HttpStatus,
    /// An answer that is no HTTP.
    MalformedAnswer,
    /// A redirect that no device follows.
    RedirectRefused,
    /// An answer that is larger than anything sane.
    TooLarge,
    /// What came is no profile.
    NotProfile,
    /// A profile that no device can use.
    ImpossiblePayload,
    /// A profile without a push topic.
    NoTopic,
    /// A profile that differs from that of other devices where it must not.
    ProfileChanged,
    /// A signature that does not fit what it signs.
    SignatureBroken,
    /// An authority's certificate that is not the one the payload names.
    CaFingerprint,
    /// An authority that nothing can be encrypted to.
    CaKeyNotRsa,
    /// A SCEP answer that cannot be read.
    ScepAnswerUnreadable,
    /// SCEP said no.
    ScepRefused,
    /// SCEP said no, as servers do to a wrong challenge.
    ChallengeRefused,
    /// The same, to a challenge that this device has had a certificate for.
    ChallengeBurnt,
    /// SCEP answered PENDING more often than the payload lets a device ask.
    ScepPendingTimeout,
    /// An answer to another request.
    NonceMismatch,
    /// A certificate for another key.
    CertificateNotOurs,
    /// An ACME server's problem document.
    AcmeProblem,
    /// An ACME server does not believe what a device says about its key.
    AttestationRefused,
    /// The access token of an account was not taken.
    TokenRefused,
    /// The server does not want this device.
    EnrollmentRefused,
    /// No key could be made.
    KeyUnavailable,
    /// The roster could not keep it.
    RosterFailed,
    /// Our own fault: this machine ran out of something.
    Harness,
}

impl Name {
    pub(in crate::engine) const fn text(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::TimedOut => "timed-out",
            Self::HttpStatus => "http-status",
            Self::MalformedAnswer => "malformed-answer",
            Self::RedirectRefused => "redirect-refused",
            Self::TooLarge => "too-large",
            Self::NotProfile => "not-a-profile",
            Self::ImpossiblePayload => "impossible-payload",
            Self::NoTopic => "no-topic",
            Self::ProfileChanged => "profile-changed",
            Self::SignatureBroken => "signature-broken",
            Self::CaFingerprint => "ca-fingerprint",
            Self::CaKeyNotRsa => "ca-key-not-rsa",
            Self::ScepAnswerUnreadable => "scep-answer-unreadable",
            Self::ScepRefused => "scep-refused",
            Self::ChallengeRefused => "challenge-refused",
            Self::ChallengeBurnt => "challenge-burnt",
            Self::ScepPendingTimeout => "scep-pending-timeout",
            Self::NonceMismatch => "nonce-mismatch",
            Self::CertificateNotOurs => "certificate-not-ours",
            Self::AcmeProblem => "acme-problem",
            Self::AttestationRefused => "attestation-refused",
            Self::TokenRefused => "token-refused",
            Self::EnrollmentRefused => "enrollment-refused",
            Self::KeyUnavailable => "key-unavailable",
            Self::RosterFailed => "roster-failed",
            Self::Harness => "harness",
        }
    }
}

/// Why an errand ends without an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Stop {
    /// Another time it may go well.
    NotYet(Refusal),
    /// It never will.
    Never(Refusal),
    /// The server wants a newer system first.
    UpdateFirst {
        /// Which; `None` for the latest.
        os_version: Option<String>,
    },
}

impl Stop {
    /// What another try may mend: a network, a server that is busy.
    pub(in crate::engine) fn not_yet(name: Name, what: impl Into<String>) -> Self {
        Self::NotYet(refusal(name, what.into()))
    }

    /// What stays as it is however often it is tried.
    pub(in crate::engine) fn never(name: Name, what: impl Into<String>) -> Self {
        Self::Never(refusal(name, what.into()))
    }

    /// No answer, or none that is HTTP.
    pub(super) fn broken(broken: &Broken) -> Self {
        let what = broken.to_string();
        match broken {
            Broken::Unreachable(_) | Broken::Cut(_) => Self::not_yet(Name::Unreachable, what),
            Broken::Harness(_) => Self::not_yet(Name::Harness, what),
            Broken::Tls(_) => Self::not_yet(Name::Tls, what),
            Broken::TimedOut => Self::not_yet(Name::TimedOut, what),
            Broken::Malformed(why) if why.starts_with("a redirect: ") => {
                Self::not_yet(Name::RedirectRefused, what)
            }
            Broken::TooLarge(_) => Self::not_yet(Name::TooLarge, what),
            Broken::Malformed(_) => Self::not_yet(Name::MalformedAnswer, what),
        }
    }

    /// An answer whose status says no: what may pass is tried again, what is said for good is not.
    pub(super) fn status(what: &str, fetched: &Fetched) -> Self {
        let said = format!("{what} was answered with {}", fetched.status);
        match fetched.status {
            408 | 425 | 429 | 500.. => Self::not_yet(Name::HttpStatus, said),
            _ => Self::never(Name::HttpStatus, said),
        }
    }

    /// A profile that enrols nobody.
    pub(super) fn profile(error: &ProfileError) -> Self {
        let name = match error.name() {
            "no-topic" => Name::NoTopic,
            "impossible-payload" => Name::ImpossiblePayload,
            _ => Name::NotProfile,
        };
        Self::never(name, error.to_string())
    }

    /// What is noted about the step that ends here.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::NotYet(refusal) | Self::Never(refusal) => refusal.clone(),
            Self::UpdateFirst { os_version } => Refusal {
                name: "update-required".to_owned(),
                what: match os_version {
                    Some(version) => format!("the server wants version {version} first"),
                    None => "the server wants the latest version first".to_owned(),
                },
            },
        }
    }

    /// What the device hears.
    pub(super) fn told(self) -> Obtained {
        match self {
            Self::NotYet(refusal) => Obtained::NotYet(refusal),
            Self::Never(refusal) => Obtained::Never(refusal),
            Self::UpdateFirst { os_version } => Obtained::UpdateFirst { os_version },
        }
    }
}

fn refusal(name: Name, what: String) -> Refusal {
    let name = name.text().to_owned();
    Refusal { name, what }
}
