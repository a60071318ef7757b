//! How devices get into the target: by which method they come by an identity, and at what pace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{IdentityMode, SecretName};
use crate::device::environment::Terms;
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
    /// What holds for every device, as far as the way in says it: a profile that is read before a run
    /// may lay down other things.
    pub fn terms(&self) -> Terms {
        Terms {
            obtains: self.method != Method::Issued,
            signs: self.identity == IdentityMode::Signature,
            awaits_configuration: matches!(self.method, Method::Automated { .. }),
            is_user_enrollment: matches!(self.method, Method::AccountDriven { byod: true, .. }),
            ..Terms::default()
        }
    }

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

    /// Leads the paths of a profile and of the authority to where they are in `folder`.
    pub(super) fn locate(&mut self, folder: &Path) {
        for path in [&mut self.ca, &mut self.ca_key].into_iter().flatten() {
            *path = folder.join(&*path);
        }
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

#[cfg(test)]
mod tests {
    use crate::device::environment::Terms;
    use crate::scenario::Scenario;

    fn enrollment(lines: &str) -> super::Enrollment {
        let head = "name = \"t\"\n[target.embedded]\n[[cohorts]]\nname = \"c\"\ncount = 1\n";
        let scenario = Scenario::parse(&format!("{head}{lines}"), "t.toml");
        scenario.unwrap().enrollment
    }

    /// The rule for `https://mdm.example.com` was taken for `https://mdm.example.com:8443` as well: two
    /// ports in one URL.
    #[test]
    fn a_url_is_rewritten_for_the_very_server_that_is_named() {
        let rules =
            "[enrollment.rewrite]\n\"https://mdm.example.com\" = \"http://127.0.0.1:9000\"\n";
        let enrollment = enrollment(rules);
        let rewritten =
            |rest: &str| enrollment.rewritten(&format!("https://mdm.example.com{rest}"));
        for rest in ["", "/mdm", "?a=b"] {
            assert_eq!(rewritten(rest), format!("http://127.0.0.1:9000{rest}"));
        }
        for rest in [":8443/mdm", ".evil.test/mdm"] {
            assert_eq!(rewritten(rest), format!("https://mdm.example.com{rest}"));
        }
    }

    /// A rehearsal played other terms than the run: no Setup Assistant, no user enrolment.
    #[test]
    fn the_way_in_says_what_holds_for_devices() {
        let usual = Terms {
            obtains: true,
            ..Terms::default()
        };
        assert_eq!(enrollment("").terms(), Terms::default());
        assert_eq!(enrollment("[enrollment.scep]\n").terms(), usual);
        let automated = enrollment("[enrollment.automated]\n").terms();
        assert!(automated.awaits_configuration && !automated.is_user_enrollment);
        let account = "[enrollment.account-driven]\naccount = \"a@example.com\"\n";
        assert!(enrollment(account).terms().is_user_enrollment);
        let theirs = enrollment(&format!("{account}byod = false\n")).terms();
        assert!(!theirs.is_user_enrollment);
    }
}
