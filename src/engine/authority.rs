//! A certificate authority: made here or given, it signs device, server and push certificates.

use std::fmt;
use std::time::Duration;

use der::{Decode as _, Encode as _};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::time::WallTime;

/// Names an APNs gateway must answer to: Apple's, NanoMDM's alias, and this machine.
pub const GATEWAY_NAMES: [&str; 6] = [
    "api.push.apple.com",
    "api.sandbox.push.apple.com",
    "api.development.push.apple.com",
    "localhost",
    "127.0.0.1",
    "::1",
];

/// Names of a server on this machine.
pub const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an authority lives.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3653);
/// How long a leaf certificate of a device or a server lives.
const LEAF_LIFE: Duration = DAY.saturating_mul(90);
/// How long a push certificate lives; Apple's live a year too.
const PUSH_LIFE: Duration = DAY.saturating_mul(365);
/// Certificates begin this long ago, so that a clock that is a little slow accepts them.
const BACK_DATED: Duration = Duration::from_secs(3600);
/// How much further a server's certificate goes back.
const SERVER_BACK_DATED: Duration = DAY;
/// The subject attribute UID (RFC 4519), which carries the topic of a push certificate.
const UID: &str = "0.9.2342.19200300.100.1.1";

/// What is wrong with an authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate text holds none.
    #[error("no certificate in it: expected PEM with `-----BEGIN CERTIFICATE-----` ({0})")]
    Certificate(String),
    /// The key text holds none that can be used.
    #[error("no usable private key in it: expected an unencrypted PEM key, EC or RSA ({0})")]
    Key(String),
    /// The two do not belong together.
    #[error(
        "the private key does not belong to the certificate: give the pair that was made together"
    )]
    Mismatch,
    /// The certificate may not sign others.
    #[error("the certificate is not an authority: it needs the basic constraint CA:TRUE")]
    NotAnAuthority,
    /// It is too old or too young.
    #[error("the certificate is not valid at {now}: it is from {from} until {until}")]
    NotValid {
        /// The moment it was needed.
        now: String,
        /// The beginning of its validity.
        from: String,
        /// The end of its validity.
        until: String,
    },
    /// Signing failed.
    #[error("cannot issue a certificate: {0}")]
    Issue(String),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Issue(error.to_string())
    }
}

/// A certificate authority and its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate with its key, ready for TLS.
#[derive(Debug)]
pub struct Credential {
    /// The certificate, then those between it and a root that are not the root itself.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Credential {
    /// Reads a certificate chain and its unencrypted key from PEM.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, AuthorityError> {
        let chain = certificates_of(certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| AuthorityError::Key(error.to_string()))?;
        Ok(Self { chain, key })
    }

    /// The chain as PEM.
    pub fn certificates_pem(&self) -> String {
        self.chain
            .iter()
            .map(|certificate| pem("CERTIFICATE", certificate))
            .collect()
    }

    /// The key as PEM: PKCS#8 for those made here.
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.secret_der())
    }
}

impl Authority {
    /// A new self-signed authority called `name`, valid for ten years, with its key as PEM.
    pub fn create(name: &str, now: WallTime) -> Result<(Self, String), AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = blank(now, AUTHORITY_LIFE);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().clone();
        let key_pem = key.serialize_pem();
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok((
            Self {
                issuer,
                certificate,
            },
            key_pem,
        ))
    }

    /// An authority from its certificate and unencrypted key in PEM, usable at `now`.
    pub fn load(certificate: &str, key: &str, now: WallTime) -> Result<Self, AuthorityError> {
        let certificate = certificates_of(certificate)?.swap_remove(0);
        let key = KeyPair::from_pem(key).map_err(|error| AuthorityError::Key(error.to_string()))?;
        let parsed = x509_cert::Certificate::from_der(&certificate)
            .map_err(|error| AuthorityError::Certificate(error.to_string()))?;
        let parsed = parsed.tbs_certificate();
        let public_key = parsed
            .subject_public_key_info()
            .to_der()
            .map_err(|error| AuthorityError::Certificate(error.to_string()))?;
        if public_key != key.subject_public_key_info() {
            return Err(AuthorityError::Mismatch);
        }
        let constraints = parsed.get_extension::<x509_cert::ext::pkix::BasicConstraints>();
        if !matches!(constraints, Ok(Some((_, constraints))) if constraints.ca) {
            return Err(AuthorityError::NotAnAuthority);
        }
        let validity = Validity::of(parsed.validity());
        if !validity.contains(now) {
            return Err(AuthorityError::NotValid {
                now: now.rfc3339(),
                from: validity.from.rfc3339(),
                until: validity.until.rfc3339(),
            });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            issuer,
            certificate,
        })
    }

    /// The authority's own certificate, the root that its peers trust.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's own certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// A new certificate for a TLS server that answers to `names` (host names and addresses).
    pub fn server_certificate(
        &self,
        names: &[&str],
        now: WallTime,
    ) -> Result<Credential, AuthorityError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = blank(now, LEAF_LIFE);
        // Older than those of the devices, as wherever devices enrol after the server was set up.
        params.not_before -= SERVER_BACK_DATED;
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params
            .distinguished_name
            .push(DnType::CommonName, "mdmstorm server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// A new push certificate for `topic`, shaped as Apple's: the topic is the subject's UID.
    pub fn push_certificate(
        &self,
        topic: &str,
        now: WallTime,
    ) -> Result<Credential, AuthorityError> {
        let uuid = topic.strip_prefix(TOPIC_PREFIX).unwrap_or(topic);
        let mut params = blank(now, PUSH_LIFE);
        let uid = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        params.distinguished_name.push(uid, topic);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("APSP:{uuid}"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A new identity for the device `udid`: a TLS client certificate that lives 90 days.
    pub fn device_certificate(
        &self,
        udid: &str,
        now: WallTime,
    ) -> Result<Credential, AuthorityError> {
        let mut params = blank(now, LEAF_LIFE);
        params.distinguished_name.push(DnType::CommonName, udid);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    fn issue(&self, params: CertificateParams) -> Result<Credential, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Credential {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}

/// What every topic of an MDM push certificate made here begins with.
pub const TOPIC_PREFIX: &str = "com.apple.mgmt.External.";

/// The push topic a certificate is for: the UID of its subject; `None` when it has none.
pub fn topic_of(certificate: &[u8]) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let subject = certificate.tbs_certificate().subject();
    let uid = subject.iter().find(|part| part.oid.to_string() == UID)?;
    String::from_utf8(uid.value.value().to_vec()).ok()
}

/// When a certificate may be used.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// Not before this moment.
    pub from: WallTime,
    /// Not after this moment.
    pub until: WallTime,
}

impl Validity {
    /// The validity of a DER certificate; `None` when it cannot be read.
    pub fn of_certificate(certificate: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
        Some(Self::of(certificate.tbs_certificate().validity()))
    }

    pub(super) fn of(validity: &x509_cert::time::Validity) -> Self {
        let wall = |time: x509_cert::time::Time| {
            let micros = time.to_unix_duration().as_micros();
            WallTime::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
        };
        Self {
            from: wall(validity.not_before),
            until: wall(validity.not_after),
        }
    }

    /// Whether `at` lies inside; both ends do.
    pub fn contains(self, at: WallTime) -> bool {
        let at = at.unix_seconds();
        self.from.unix_seconds() <= at && at <= self.until.unix_seconds()
    }
}

/// The certificates in a PEM text; at least one.
pub(super) fn certificates_of(text: &str) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| AuthorityError::Certificate(error.to_string()))?;
    if certificates.is_empty() {
        return Err(AuthorityError::Certificate("nothing found".to_owned()));
    }
    Ok(certificates)
}

/// A certificate with nothing in it but its serial number and its validity, from an hour ago until
/// `life` from `now`.
fn blank(now: WallTime, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.use_authority_key_identifier_extension = true;
    let now = Duration::from_secs(u64::try_from(now.unix_seconds()).unwrap_or(0));
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACK_DATED);
    params.not_after = epoch + now + life;
    params.distinguished_name = DistinguishedName::new();
    let mut serial = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut serial).expect("the operating system gives random bytes");
    // A serial number is a positive integer without leading zeros.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

/// `der` in PEM armour.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut armoured = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        armoured.extend(line.iter().map(|&byte| char::from(byte)));
        armoured.push('\n');
    }
    armoured.push_str(&format!("-----END {label}-----\n"));
    armoured
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    #[test]
    fn a_push_certificate_names_its_topic() {
        let (authority, _) = Authority::create("test", NOW).unwrap();
        let topic = "com.apple.mgmt.External.5d0ac163-7b1d-4b9e-a1c0-1f0a3a1d3a4e";
        let push = authority.push_certificate(topic, NOW).unwrap();
        assert_eq!(topic_of(&push.chain[0]).as_deref(), Some(topic));
        assert_eq!(topic_of(authority.certificate()), None);
        let validity = Validity::of_certificate(&push.chain[0]).unwrap();
        assert!(validity.contains(NOW));
        assert_eq!(validity.from.unix_seconds(), NOW.unix_seconds() - 3600);
    }

    #[test]
    fn the_gateways_certificate_answers_to_every_name_a_server_may_use() {
        use rustls::pki_types::ServerName;
        let (authority, _) = Authority::create("test", NOW).unwrap();
        let leaf = authority.server_certificate(&GATEWAY_NAMES, NOW).unwrap();
        let leaf = rustls::server::ParsedCertificate::try_from(&leaf.chain[0]).unwrap();
        let answers = |name: &str| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            rustls::client::verify_server_name(&leaf, &name).is_ok()
        };
        for name in [
            "api.push.apple.com",
            "api.sandbox.push.apple.com",
            "api.development.push.apple.com",
            "localhost",
            "127.0.0.1",
            "::1",
        ] {
            assert!(answers(name), "{name}");
        }
        assert!(!answers("mdm.example.com") && !answers("127.0.0.2"));
    }

    #[test]
    fn an_authority_is_read_back_from_its_pem() {
        let (made, key) = Authority::create("test", NOW).unwrap();
        let read = Authority::load(&made.certificate_pem(), &key, NOW).unwrap();
        assert_eq!(read.certificate(), made.certificate());
    }

    #[test]
    fn an_authority_that_cannot_sign_is_refused() {
        let (one, key) = Authority::create("one", NOW).unwrap();
        let (_, other_key) = Authority::create("two", NOW).unwrap();
        let load = |certificate: &str, key: &str, now| {
            Authority::load(certificate, key, now)
                .unwrap_err()
                .to_string()
        };
        assert!(load(&one.certificate_pem(), &other_key, NOW).contains("does not belong"));
        assert!(load("garbage", &key, NOW).contains("no certificate"));
        assert!(load(&one.certificate_pem(), "garbage", NOW).contains("no usable private key"));
        let leaf = one.server_certificate(&LOCAL_NAMES, NOW).unwrap();
        let refused = load(&leaf.certificates_pem(), &leaf.key_pem(), NOW);
        assert!(refused.contains("not an authority"), "{refused}");
        let later = WallTime::from_unix_micros(NOW.unix_micros() * 2);
        assert!(load(&one.certificate_pem(), &key, later).contains("not valid at"));
    }
}
