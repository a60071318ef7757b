//! How devices get into the target: by which method they come by an identity, and at what pace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{IdentityMode, SecretName};
use crate::protocol::profile::Subject;

/// How devices get into the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Enrollment {
    /// How a device comes by its identity, and by the payload that says where the target is.
    pub method: Method,
    /// How a device proves who it is.
    pub identity: IdentityMode,
    /// Whether the scenario itself says how; otherwise what a profile says by SignMessage counts.
    pub is_identity_given: bool,
    /// The certificate of the authority that signs issued identities, and that vouches for devices
    /// in front of the target (MachineInfo, attestations); `None` for that of the state folder.
    pub ca: Option<PathBuf>,
    /// Its key; there exactly when the certificate is.
    pub ca_key: Option<PathBuf>,
    /// Where the keys of devices come from that make their own.
    pub keys: Keys,
    /// What the beginnings of URLs in profiles and answers are replaced by, longest first.
    pub rewrite: Vec<(String, String)>,
    /// How long enrolment may take. Not scaled.
    pub within: Duration,
    /// The share of devices that may fail, 0 to 1.
    pub max_failed: f64,
    /// Devices per second. Not scaled.
    pub rate: f64,
    /// How many devices may be enrolling at once.
    pub in_flight: usize,
}

/// How a device comes by its identity.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// mdmstorm issues it before the run.
    Issued,
    /// An enrolment profile says how, and where the target is.
    Profile(Source),
    /// SCEP without a profile.
    Scep(Scep),
    /// ACME with device attestation, without a profile.
    Acme(Acme),
    /// Over the air, in three phases (Apple, "Over-the-Air Profile Delivery").
    Ota(Source),
    /// Automated enrolment: MachineInfo signed by the device's own authority is sent to this URL.
    Automated {
        /// Where: a URL, or a path at the target.
        url: String,
        /// How MachineInfo travels.
        machine_info: MachineInfoBy,
    },
    /// Account-driven: from a Managed Apple Account to the service its domain names.
    AccountDriven {
        /// `user@example.com`; `{n}` is the device's number.
        account: String,
        /// Where `.well-known` is asked, when the account's domain does not resolve here.
        service: Option<String>,
        /// The access token that signing in would give; the embedded target takes any.
        token: Option<SecretName>,
        /// Whether devices enrol as their users' own (`mdm-byod`): user enrolment.
        byod: bool,
    },
}

/// Where a profile comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A file, or a URL.
    pub from: ProfileFrom,
    /// Whether each device fetches one of its own; otherwise one is fetched before the run.
    pub each_device: bool,
}

/// A file or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileFrom {
    /// A file.
    File(PathBuf),
    /// A URL, http or https, or a path at the target. `{udid}`, `{serial}` and `{n}` stand for the
    /// device's.
    Url(String),
}

/// How MachineInfo travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineInfoBy {
    /// As the body of a POST.
    Post,
    /// Base64 in the header `x-apple-aspen-deviceinfo` of a GET, as older systems do.
    Header,
}

/// Where keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Each device makes its own, as real ones do; RSA takes 50 ms of CPU each.
    Fresh,
    /// RSA keys are put together from a pool of primes. Different, but not secret.
    Pool,
}

/// What SCEP without a profile needs (Apple, `com.apple.security.scep`).
#[derive(Clone, Debug, PartialEq)]
pub struct Scep {
    /// `URL`, or a path at the target.
    pub url: String,
    /// `Challenge`, from the environment.
    pub challenge: Option<SecretName>,
    /// `Subject`; `{udid}`, `{serial}` and `{n}` in it stand for the device's.
    pub subject: Subject,
    /// `Keysize`, in bits.
    pub key_size: u32,
    /// `Name`, for servers with several authorities.
    pub ca_name: Option<String>,
    /// `CAFingerprint`: MD5, SHA-1 or SHA-256 of the authority's certificate.
    pub fingerprint: Option<Vec<u8>>,
}

/// What ACME without a profile needs (Apple, `com.apple.security.acme`).
#[derive(Clone, Debug, PartialEq)]
pub struct Acme {
    /// `DirectoryURL`, or a path at the target.
    pub directory: String,
    /// `ClientIdentifier`; `{udid}`, `{serial}` and `{n}` stand for the
    /// device's.
    pub client_identifier: String,
    /// `KeyType` and `KeySize`.
    pub key: KeyKind,
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `ECSECPrimeRandom`, of 256, 384 or 521 bits.
    Ec(u32),
    /// RSA, of 2048 or 4096 bits.
    Rsa(u32),
}

/// How a certificate is written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateEncoding {
    /// `:base64:` (RFC 9440).
    Rfc9440,
    /// URL-encoded PEM, as nginx writes `$ssl_client_escaped_cert`.
    UrlPem,
}

/// The words for the encodings.
pub(super) const ENCODINGS: [&str; 2] = ["rfc9440", "url-pem"];

/// The words for kinds of keys.
pub(super) const KEY_KINDS: [&str; 5] = ["ec-256", "ec-384", "ec-521", "rsa-2048", "rsa-4096"];

impl Enrollment {
    /// Identities are issued, at the usual pace.
    pub const fn issued(identity: IdentityMode) -> Self {
        Self {
            method: Method::Issued,
            identity,
            is_identity_given: false,
            ca: None,
            ca_key: None,
            keys: Keys::Fresh,
            rewrite: Vec::new(),
            within: Duration::from_secs(300),
            max_failed: 0.01,
            rate: 500.0,
            in_flight: 64,
        }
    }

    /// Leads the path of a profile to where it is: the scenario names it relative to itself, in
    /// `folder`.
    pub fn locate(&mut self, folder: &Path) {
        if let Method::Profile(source) | Method::Ota(source) = &mut self.method
            && let ProfileFrom::File(path) = &mut source.from
        {
            *path = folder.join(&*path);
        }
    }

    /// Where the secret that devices enrol with comes from: a challenge or an access token.
    pub const fn secret(&self) -> Option<&SecretName> {
        match &self.method {
            Method::Scep(scep) => scep.challenge.as_ref(),
            Method::AccountDriven { token, .. } => token.as_ref(),
            Method::Issued
            | Method::Profile(_)
            | Method::Acme(_)
            | Method::Ota(_)
            | Method::Automated { .. } => None,
        }
    }

    /// `url` with its beginning replaced, if it is one that the scenario rewrites. Another port is
    /// another server.
    pub fn rewritten(&self, url: &str) -> String {
        for (from, to) in &self.rewrite {
            if let Some(rest) = url.strip_prefix(from.as_str())
                && (rest.is_empty() || rest.starts_with(['/', '?', '#']))
            {
                return format!("{to}{rest}");
            }
        }
        url.to_owned()
    }
}
