//! `Mdm-Signature`: a detached CMS signature (RFC 5652) over the exact bytes of a request body.
//!
//! Signing is on the hot path and writes its DER by hand; checking, which reads what others wrote,
//! goes through typed structures. RSA and P-256 go with SHA-256, P-384 with SHA-384 and P-521 with
//! SHA-512.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode as _, Encode as _};
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;

use super::asn1::{
    self, CONTEXT_0, OCTET_STRING, SEQUENCE, SET, VERSION_1, issuer_and_serial, tlv,
};
use super::cms::bounded;
use super::keys::{
    ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512, RSA_ENCRYPTION, SHA256, SHA384, SHA512,
};
use super::signature::{self, Digest, SignatureError};
use super::structure::{ContentInfo, SignedData, SignerInfo};
use crate::engine::authority::Validity;
use crate::time::WallTime;

/// Why a signature cannot be made or is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CmsError {
    /// The key cannot make the kind of signature devices make.
    #[error("the key cannot sign: expected RSA, P-256, P-384 or P-521")]
    Key,
    /// The certificate cannot be read.
    #[error("the signer's certificate cannot be read")]
    Certificate,
    /// The header is no base64.
    #[error("the signature is not base64: {0}")]
    Base64(String),
    /// The structure is not what it should be.
    #[error("the signature is not a detached CMS signature: {0}")]
    Structure(String),
    /// The signer's certificate does not travel with the signature.
    #[error("the signer's certificate is not in the signature")]
    NoCertificate,
    /// A digest or signature algorithm that devices do not use.
    #[error(
        "the signature uses the algorithm {0}, expected SHA-256, SHA-384 or SHA-512 with ECDSA or RSA"
    )]
    Algorithm(String),
    /// The body is not the one that was signed.
    #[error("the body differs from the one that was signed")]
    Digest,
    /// The signature is wrong.
    #[error("the signature does not match the signer's key")]
    Signature,
    /// The device's clock is off, or its certificate too old.
    #[error("signed at {at}, but the signer's certificate is valid from {from} until {until}")]
    SigningTime {
        /// The signing time.
        at: String,
        /// The beginning of the certificate's validity.
        from: String,
        /// Its end.
        until: String,
    },
}

/// How each kind of key signs: its scheme, the digest, the AlgorithmIdentifiers of both.
const METHODS: [(SignatureScheme, Digest, &[u8], &[u8]); 4] = [
    (
        SignatureScheme::ECDSA_NISTP256_SHA256,
        Digest::Sha256,
        SHA256,
        ECDSA_WITH_SHA256,
    ),
    (
        SignatureScheme::ECDSA_NISTP384_SHA384,
        Digest::Sha384,
        SHA384,
        ECDSA_WITH_SHA384,
    ),
    (
        SignatureScheme::ECDSA_NISTP521_SHA512,
        Digest::Sha512,
        SHA512,
        ECDSA_WITH_SHA512,
    ),
    (
        SignatureScheme::RSA_PKCS1_SHA256,
        Digest::Sha256,
        SHA256,
        RSA_ENCRYPTION,
    ),
];

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The signer's certificate as DER.
    pub certificate: Vec<u8>,
    /// When the signer believes it signed, if it says so.
    pub signing_time: Option<WallTime>,
}

/// The value of `Mdm-Signature` for `body`, signed at `signing_time` by the signer's own clock.
pub fn mdm_signature(
    body: &[u8],
    signer: &CertifiedKey,
    signing_time: WallTime,
) -> Result<String, CmsError> {
    let certificate: &[u8] = signer.cert.first().ok_or(CmsError::Certificate)?;
    let schemes = METHODS.map(|(scheme, ..)| scheme);
    let key = signer.key.choose_scheme(&schemes).ok_or(CmsError::Key)?;
    let mut methods = METHODS.into_iter();
    let (_, digest, digest_algorithm, algorithm) = methods
        .find(|(scheme, ..)| *scheme == key.scheme())
        .ok_or(CmsError::Key)?;
    let (issuer, serial) = issuer_and_serial(certificate).ok_or(CmsError::Certificate)?;
    let attributes = signed_attributes(digest.sum(body).as_ref(), signing_time);
    // Signed as a SET OF, carried under an implicit [0].
    let signature = key
        .sign(&tlv(SET, &[&attributes]))
        .map_err(|_| CmsError::Key)?;
    let signer_info = tlv(
        SEQUENCE,
        &[
            VERSION_1,
            &tlv(SEQUENCE, &[issuer, serial]),
            digest_algorithm,
            &tlv(CONTEXT_0, &[&attributes]),
            algorithm,
            &tlv(OCTET_STRING, &[&signature]),
        ],
    );
    let signed_data = tlv(
        SEQUENCE,
        &[
            VERSION_1,
            &tlv(SET, &[digest_algorithm]),
            &tlv(SEQUENCE, &[ID_DATA]),
            &tlv(CONTEXT_0, &[certificate]),
            &tlv(SET, &[&signer_info]),
        ],
    );
    let content = tlv(
        SEQUENCE,
        &[ID_SIGNED_DATA, &tlv(CONTEXT_0, &[&signed_data])],
    );
    Ok(STANDARD.encode(content))
}

/// A certificate as an HTTP header carries it (RFC 9440): base64 of its DER between colons.
pub fn header_value(certificate: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(certificate))
}

/// The certificate in a header value of [`header_value`]'s form; `None` for anything else.
pub fn certificate_of_header(value: &str) -> Option<Vec<u8>> {
    let encoded = value.trim().strip_prefix(':')?.strip_suffix(':')?;
    STANDARD.decode(encoded).ok()
}

/// Checks that `header` is a signature over `body`, made within the validity of its certificate.
///
/// Whether the certificate is to be trusted is for the caller to find out.
pub fn verify(header: &str, body: &[u8]) -> Result<Signer, CmsError> {
    let der = STANDARD
        .decode(header.trim())
        .map_err(|error| CmsError::Base64(error.to_string()))?;
    let structure = |error: der::Error| CmsError::Structure(error.to_string());
    let der = bounded(&der).map_err(|error| CmsError::Structure(error.to_string()))?;
    let info = ContentInfo::from_ber(&der).map_err(structure)?;
    let content = info.content.to_der().map_err(structure)?;
    let signed = SignedData::from_ber(&content).map_err(structure)?;
    let missing = || CmsError::Structure("it has no signer".to_owned());
    let signer = signed.signer_infos.get(0).ok_or_else(missing)?;
    let certificates = signed.certificates.iter().flat_map(|set| set.iter());
    let (certificate, der) = certificates
        .filter_map(|any| any.to_der().ok())
        .filter_map(|der| Some((Certificate::from_der(&der).ok()?, der)))
        .find(|(certificate, _)| signer.sid.names(certificate.tbs_certificate()))
        .ok_or(CmsError::NoCertificate)?;
    let digest = digest_of(signer)?;
    let message = signed_message(signer, digest, body)?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    signature::check(key, digest, &message, signer.signature.as_bytes()).map_err(|error| {
        match error {
            SignatureError::Algorithm(other) => CmsError::Algorithm(other),
            SignatureError::Wrong => CmsError::Signature,
        }
    })?;
    let signing_time = signing_time(signer);
    if let Some(at) = signing_time {
        let validity = Validity::of(certificate.tbs_certificate().validity());
        if !validity.contains(at) {
            return Err(CmsError::SigningTime {
                at: at.rfc3339(),
                from: validity.from.rfc3339(),
                until: validity.until.rfc3339(),
            });
        }
    }
    Ok(Signer {
        certificate: der,
        signing_time,
    })
}

/// What the signer says the body was digested with. No device uses SHA-1.
fn digest_of(signer: &SignerInfo) -> Result<Digest, CmsError> {
    let algorithm = signer.digest_alg.oid;
    let digest = Digest::of(algorithm).filter(|digest| *digest != Digest::Sha1);
    digest.ok_or_else(|| CmsError::Algorithm(algorithm.to_string()))
}

/// The bytes the signature is over: the signed attributes, once their digest matches `body`.
fn signed_message(signer: &SignerInfo, digest: Digest, body: &[u8]) -> Result<Vec<u8>, CmsError> {
    let Some(attributes) = &signer.signed_attrs else {
        return Ok(body.to_vec());
    };
    let stated = attribute(signer, MESSAGE_DIGEST_OID)
        .ok_or_else(|| CmsError::Structure("it has no messageDigest".to_owned()))?;
    if stated.value() != digest.sum(body).as_ref() {
        return Err(CmsError::Digest);
    }
    attributes
        .to_der()
        .map_err(|error| CmsError::Structure(error.to_string()))
}

fn attribute<'a>(signer: &'a SignerInfo, oid: &str) -> Option<&'a der::Any> {
    let attributes = signer.signed_attrs.as_ref()?;
    let found = attributes.iter().find(|a| a.oid.to_string() == oid)?;
    found.values.get(0)
}

fn signing_time(signer: &SignerInfo) -> Option<WallTime> {
    let der = attribute(signer, SIGNING_TIME_OID)?.to_der().ok()?;
    let time = x509_cert::time::Time::from_der(&der).ok()?;
    let micros = i64::try_from(time.to_unix_duration().as_micros()).ok()?;
    Some(WallTime::from_unix_micros(micros))
}

/// contentType, signingTime and messageDigest, in the order that DER wants of a SET OF.
fn signed_attributes(digest: &[u8], signing_time: WallTime) -> Vec<u8> {
    let time = asn1::time(signing_time);
    let content_type = tlv(SEQUENCE, &[CONTENT_TYPE, &tlv(SET, &[ID_DATA])]);
    let signing_time = tlv(SEQUENCE, &[SIGNING_TIME, &tlv(SET, &[&time])]);
    let digest = tlv(OCTET_STRING, &[digest]);
    let message_digest = tlv(SEQUENCE, &[MESSAGE_DIGEST, &tlv(SET, &[&digest])]);
    [content_type, signing_time, message_digest].concat()
}

const MESSAGE_DIGEST_OID: &str = "1.2.840.113549.1.9.4";
const SIGNING_TIME_OID: &str = "1.2.840.113549.1.9.5";

/// OBJECT IDENTIFIER 1.2.840.113549.1.7.1.
const ID_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
/// OBJECT IDENTIFIER 1.2.840.113549.1.7.2.
const ID_SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
/// OBJECT IDENTIFIER 1.2.840.113549.1.9.3.
const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
/// OBJECT IDENTIFIER 1.2.840.113549.1.9.4.
const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
/// OBJECT IDENTIFIER 1.2.840.113549.1.9.5.
const SIGNING_TIME: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;
    use crate::engine::authority::{Authority, Credential};
    use crate::engine::identity::certified;
    use crate::engine::pki::draft::self_signed;
    use crate::engine::pki::keys::{DeviceKey, KeyKind};
    use crate::engine::pki::name::Name;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    fn device() -> Credential {
        let (authority, _) = Authority::create("test", NOW).unwrap();
        authority.device_certificate("UDID", NOW).unwrap()
    }

    #[test]
    fn a_signature_names_its_signer_and_time() {
        let device = device();
        let header = mdm_signature(b"<plist/>", &certified(&device).unwrap(), NOW).unwrap();
        let signer = verify(&header, b"<plist/>").unwrap();
        assert_eq!(signer.certificate, device.chain[0].to_vec());
        assert_eq!(signer.signing_time, Some(NOW));
    }

    #[test]
    fn every_kind_of_key_signs() {
        for kind in [
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
            KeyKind::Rsa2048,
        ] {
            let key = DeviceKey::generate(kind).unwrap();
            let name = Name::common("device").to_der().unwrap();
            let certificate = self_signed(&key, &name, NOW).unwrap();
            let signer = Credential {
                chain: vec![certificate.into()],
                key: PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()).into(),
            };
            let header = mdm_signature(b"body", &certified(&signer).unwrap(), NOW).unwrap();
            verify(&header, b"body").unwrap();
            assert_eq!(verify(&header, b"other"), Err(CmsError::Digest), "{kind}");
        }
    }

    #[test]
    fn another_body_another_key_and_rubbish_are_refused() {
        let (device, other) = (device(), device());
        let header = mdm_signature(b"one", &certified(&device).unwrap(), NOW).unwrap();
        assert_eq!(verify(&header, b"two"), Err(CmsError::Digest));
        let mixed = Credential {
            chain: device.chain,
            key: other.key,
        };
        let header = mdm_signature(b"one", &certified(&mixed).unwrap(), NOW).unwrap();
        assert_eq!(verify(&header, b"one"), Err(CmsError::Signature));
        assert!(matches!(verify("?", b""), Err(CmsError::Base64(_))));
        assert!(matches!(verify("MAA=", b""), Err(CmsError::Structure(_))));
    }

    #[test]
    fn a_clock_outside_the_certificate_is_refused() {
        let device = certified(&device()).unwrap();
        let days = |n: i64| WallTime::from_unix_micros(NOW.unix_micros() + n * 86_400_000_000);
        for off in [-1, 91, 40_000] {
            let header = mdm_signature(b"body", &device, days(off)).unwrap();
            let refused = verify(&header, b"body");
            assert!(
                matches!(refused, Err(CmsError::SigningTime { .. })),
                "{refused:?}"
            );
        }
        let header = mdm_signature(b"body", &device, days(89)).unwrap();
        verify(&header, b"body").unwrap();
    }

    #[test]
    fn a_certificate_in_a_header_is_read_back() {
        let value = header_value(b"\x30\x03abc");
        assert_eq!(value, ":MANhYmM=:");
        assert_eq!(certificate_of_header(&value).unwrap(), b"\x30\x03abc");
        assert_eq!(certificate_of_header("MANhYmM="), None);
    }

    proptest! {
        #[test]
        fn a_damaged_signature_never_passes_or_panics(at in 0_usize..600, bit in 0_u8..8) {
            let device = device();
            let header = mdm_signature(b"body", &certified(&device).unwrap(), NOW).unwrap();
            let mut der = STANDARD.decode(header).unwrap();
            let at = at % der.len();
            der[at] ^= 1 << bit;
            if let Ok(signer) = verify(&STANDARD.encode(der), b"body") {
                // Parts of a certificate that nobody here checks, and optional labels.
                prop_assert!(signer.certificate != device.chain[0].to_vec()
                    || signer.signing_time == Some(NOW));
            }
        }
    }
}
