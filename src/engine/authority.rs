//! A certificate authority: made here or given, it signs device, server and push certificates.

mod agent;

use std::fmt;
use std::time::Duration;

use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Encode as _, Reader as _, SliceReader};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, RsaKeySize, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use x509_cert::spki::AlgorithmIdentifierRef;

use super::pki::draft::{
    ALTERNATIVE_NAME, Draft, KEY_USAGE, client_authentication, key_names, key_usage, new_serial,
};
use super::pki::draft::{ENCIPHER, SIGN};
use super::pki::keys::{DeviceKey, KeyKind};
use super::pki::request::Request;
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
/// The algorithm rsaEncryption (RFC 8017).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

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
    key: DeviceKey,
}

/// The times of a certificate that somebody asked for.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// When it is issued.
    pub now: WallTime,
    /// How long before that it begins to be valid.
    pub back_date: Duration,
    /// How long after it stops to be.
    pub life: Duration,
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

    /// The key as PEM, in the form it is in.
    pub fn key_pem(&self) -> String {
        let label = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            // The library may know further forms one day; those have this label.
            PrivateKeyDer::Pkcs8(_) | _ => "PRIVATE KEY",
        };
        pem(label, self.key.secret_der())
    }

    /// The same with its key in the older form PKCS#1, which some servers insist on; `None` when
    /// it is no RSA key.
    pub fn with_pkcs1(&self) -> Option<Self> {
        let key = match &self.key {
            PrivateKeyDer::Pkcs1(key) => key.clone_key(),
            PrivateKeyDer::Pkcs8(key) => pkcs1_of(key.secret_pkcs8_der())?,
            PrivateKeyDer::Sec1(_) | _ => return None,
        };
        Some(Self {
            chain: self.chain.clone(),
            key: key.into(),
        })
    }
}

impl Authority {
    /// A new self-signed authority called `name`, valid for ten years, with its key as PEM.
    pub fn create(name: &str, now: WallTime) -> Result<(Self, String), AuthorityError> {
        Self::create_of(KeyKind::P256, name, now)
    }

    /// The same with a key of another kind: devices that ask by SCEP need one of RSA, because they
    /// encrypt what they ask for.
    pub fn create_of(
        kind: KeyKind,
        name: &str,
        now: WallTime,
    ) -> Result<(Self, String), AuthorityError> {
        let own =
            DeviceKey::generate(kind).map_err(|error| AuthorityError::Issue(error.to_string()))?;
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(own.pkcs8()))?;
        let mut params = blank(now, AUTHORITY_LIFE);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        if kind.rsa_bits().is_some() {
            params.key_usages.extend([
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyEncipherment,
            ]);
        }
        let certificate = params.self_signed(&key)?.der().clone();
        let key_pem = key.serialize_pem();
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok((
            Self {
                issuer,
                certificate,
                key: own,
            },
            key_pem,
        ))
    }

    /// An authority from its certificate and unencrypted key in PEM, usable at `now`. Servers write the
    /// key as PKCS#1 and SEC 1, too.
    pub fn load(certificate: &str, key: &str, now: WallTime) -> Result<Self, AuthorityError> {
        let certificate = certificates_of(certificate)?.swap_remove(0);
        let own = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| AuthorityError::Key(error.to_string()))?;
        let own =
            DeviceKey::from_der(&own).map_err(|error| AuthorityError::Key(error.to_string()))?;
        let parsed = x509_cert::Certificate::from_der(&certificate)
            .map_err(|error| AuthorityError::Certificate(error.to_string()))?;
        let parsed = parsed.tbs_certificate();
        let public_key = parsed
            .subject_public_key_info()
            .to_der()
            .map_err(|error| AuthorityError::Certificate(error.to_string()))?;
        if public_key != own.public_key() {
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
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(own.pkcs8()))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            issuer,
            certificate,
            key: own,
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
        self.issue(push_params(topic, now))
    }

    /// The same with an RSA key of 2048 bits in PKCS#1, as Apple's are, for servers that read no
    /// other.
    pub fn rsa_push_certificate(
        &self,
        topic: &str,
        now: WallTime,
    ) -> Result<Credential, AuthorityError> {
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let push = self.sign(push_params(topic, now), &key)?;
        Ok(push.with_pkcs1().expect("an RSA key made here is PKCS#8"))
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

    /// The authority's own key: it signs answers and opens what is encrypted to the authority.
    pub(super) const fn key(&self) -> &DeviceKey {
        &self.key
    }

    /// What the authority's certificate calls its key: those that it issues have to call it the same.
    pub(super) fn key_identifier(&self) -> Option<Vec<u8>> {
        let certificate = x509_cert::Certificate::from_der(&self.certificate).ok()?;
        let certificate = certificate.tbs_certificate();
        let found = certificate.get_extension::<x509_cert::ext::pkix::SubjectKeyIdentifier>();
        Some(found.ok()??.1.0.as_bytes().to_vec())
    }

    /// The authority's name, as DER.
    pub(super) fn subject(&self) -> Result<Vec<u8>, AuthorityError> {
        let unread = |error: der::Error| AuthorityError::Certificate(error.to_string());
        let certificate = x509_cert::Certificate::from_der(&self.certificate).map_err(unread)?;
        let subject = certificate.tbs_certificate().subject().to_der();
        subject.map_err(unread)
    }

    /// The certificate that `request` asks for, as DER: its subject, its alternative names and key
    /// usages, and that it is for TLS clients. Whether the asker may have it is for the caller to know.
    pub fn issue_csr(&self, request: &Request, term: Term) -> Result<Vec<u8>, AuthorityError> {
        let usage = request.extension(KEY_USAGE);
        let mut extensions = vec![
            usage.map_or_else(|| key_usage(SIGN | ENCIPHER), <[u8]>::to_vec),
            client_authentication(),
        ];
        extensions.extend(request.extension(ALTERNATIVE_NAME).map(<[u8]>::to_vec));
        extensions.extend(key_names(
            &request.public_key,
            self.key_identifier().as_deref(),
        ));
        let issuer = self.subject()?;
        let draft = Draft {
            serial: &new_serial(),
            issuer: &issuer,
            subject: &request.subject,
            from: term.now.before(term.back_date),
            until: term.now.after(term.life),
            public_key: &request.public_key,
            extensions: &extensions,
        };
        let issued = draft.sign(&self.key);
        issued.map_err(|error| AuthorityError::Issue(error.to_string()))
    }

    fn issue(&self, params: CertificateParams) -> Result<Credential, AuthorityError> {
        self.sign(params, &KeyPair::generate()?)
    }

    fn sign(&self, params: CertificateParams, key: &KeyPair) -> Result<Credential, AuthorityError> {
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(Credential {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}

/// A push certificate for `topic`, shaped as Apple's: the topic is the subject's UID.
fn push_params(topic: &str, now: WallTime) -> CertificateParams {
    let uuid = topic.strip_prefix(TOPIC_PREFIX).unwrap_or(topic);
    let mut params = blank(now, PUSH_LIFE);
    let uid = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
    params.distinguished_name.push(uid, topic);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("APSP:{uuid}"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// The RSA key inside a PKCS#8 one (RFC 5208): a version, an algorithm, and an octet string with
/// PKCS#1 in it.
fn pkcs1_of(pkcs8: &[u8]) -> Option<PrivatePkcs1KeyDer<'static>> {
    let inner = SliceReader::new(pkcs8).ok()?.sequence(|pkcs8| {
        let _version = u8::decode(pkcs8)?;
        let algorithm = AlgorithmIdentifierRef::decode(pkcs8)?;
        let key = <&OctetStringRef>::decode(pkcs8)?;
        // Attributes and the public key may follow.
        pkcs8.read_slice(pkcs8.remaining_len())?;
        Ok::<_, der::Error>((algorithm.oid == RSA).then(|| key.as_bytes().to_vec()))
    });
    inner.ok()?.map(PrivatePkcs1KeyDer::from)
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

    pub(in crate::engine) fn of(validity: &x509_cert::time::Validity) -> Self {
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
pub(super) fn pem(label: &str, der: &[u8]) -> String {
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
#[path = "authority_tests.rs"]
mod tests;
