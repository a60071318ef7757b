//! `Mdm-Signature`: a detached CMS signature (RFC 5652) over the exact bytes of a request body.
//!
//! Signing is on the hot path and writes its DER by hand; checking, which reads what others wrote,
//! goes through typed structures. SHA-256, with ECDSA on P-256 or RSA.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode as _, Encode as _};
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;

use super::authority::Validity;
use super::cms_types::{ContentInfo, SignedData, SignerIdentifier, SignerInfo};
use crate::time::WallTime;

/// Why a signature cannot be made or is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CmsError {
    /// The key cannot make the kind of signature devices make.
    #[error("the key cannot sign with SHA-256 and ECDSA P-256 or RSA")]
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
    #[error("the signature uses the algorithm {0}, expected SHA-256 with ECDSA P-256 or RSA")]
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
    let key = signer
        .key
        .choose_scheme(&[
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
        ])
        .ok_or(CmsError::Key)?;
    let algorithm = match key.scheme() == SignatureScheme::RSA_PKCS1_SHA256 {
        true => RSA_ENCRYPTION,
        false => ECDSA_WITH_SHA256,
    };
    let (issuer, serial) = issuer_and_serial(certificate).ok_or(CmsError::Certificate)?;
    let attributes = signed_attributes(body, signing_time);
    // Signed as a SET OF, carried under an implicit [0].
    let signature = key
        .sign(&tlv(SET, &[&attributes]))
        .map_err(|_| CmsError::Key)?;
    let signer_info = tlv(
        SEQUENCE,
        &[
            VERSION_1,
            &tlv(SEQUENCE, &[issuer, serial]),
            SHA256,
            &tlv(CONTEXT_0, &[&attributes]),
            algorithm,
            &tlv(OCTET_STRING, &[&signature]),
        ],
    );
    let signed_data = tlv(
        SEQUENCE,
        &[
            VERSION_1,
            &tlv(SET, &[SHA256]),
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
    let info = ContentInfo::from_ber(&der).map_err(structure)?;
    let content = info.content.to_der().map_err(structure)?;
    let signed = SignedData::from_ber(&content).map_err(structure)?;
    let missing = || CmsError::Structure("it has no signer".to_owned());
    let signer = signed.signer_infos.get(0).ok_or_else(missing)?;
    let certificates = signed.certificates.iter().flat_map(|set| set.iter());
    let (certificate, der) = certificates
        .filter_map(|any| any.to_der().ok())
        .filter_map(|der| Some((Certificate::from_der(&der).ok()?, der)))
        .find(|(certificate, _)| is_signer(certificate, &signer.sid))
        .ok_or(CmsError::NoCertificate)?;
    let message = signed_message(signer, body)?;
    check_signature(&certificate, signer, &message)?;
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

fn is_signer(certificate: &Certificate, named: &SignerIdentifier) -> bool {
    let certificate = certificate.tbs_certificate();
    match named {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            named.issuer == *certificate.issuer()
                && named.serial_number == *certificate.serial_number()
        }
        SignerIdentifier::SubjectKeyIdentifier(named) => certificate
            .get_extension::<x509_cert::ext::pkix::SubjectKeyIdentifier>()
            .is_ok_and(|found| found.is_some_and(|(_, identifier)| identifier == *named)),
    }
}

/// The bytes the signature is over: the signed attributes, once their digest matches `body`.
fn signed_message(signer: &SignerInfo, body: &[u8]) -> Result<Vec<u8>, CmsError> {
    let algorithm = signer.digest_alg.oid.to_string();
    if algorithm != "2.16.840.1.101.3.4.2.1" {
        return Err(CmsError::Algorithm(algorithm));
    }
    let Some(attributes) = &signer.signed_attrs else {
        return Ok(body.to_vec());
    };
    let stated = attribute(signer, MESSAGE_DIGEST_OID)
        .ok_or_else(|| CmsError::Structure("it has no messageDigest".to_owned()))?;
    if stated.value() != digest::digest(&digest::SHA256, body).as_ref() {
        return Err(CmsError::Digest);
    }
    attributes
        .to_der()
        .map_err(|error| CmsError::Structure(error.to_string()))
}

fn check_signature(
    certificate: &Certificate,
    signer: &SignerInfo,
    message: &[u8],
) -> Result<(), CmsError> {
    let key = certificate.tbs_certificate().subject_public_key_info();
    let algorithm: &dyn VerificationAlgorithm = match key.algorithm.oid.to_string().as_str() {
        "1.2.840.10045.2.1" => &signature::ECDSA_P256_SHA256_ASN1,
        "1.2.840.113549.1.1.1" => &signature::RSA_PKCS1_2048_8192_SHA256,
        other => return Err(CmsError::Algorithm(other.to_owned())),
    };
    UnparsedPublicKey::new(algorithm, key.subject_public_key.raw_bytes())
        .verify(message, signer.signature.as_bytes())
        .map_err(|_| CmsError::Signature)
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
fn signed_attributes(body: &[u8], signing_time: WallTime) -> Vec<u8> {
    let stamp = jiff::Timestamp::from_second(signing_time.unix_seconds())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC);
    // RFC 5652 11.3: UTCTime for the years 1950 to 2049, else GeneralizedTime.
    let time = match (1950..2050).contains(&stamp.year()) {
        true => tlv(
            UTC_TIME,
            &[stamp.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()],
        ),
        false => tlv(
            GENERALIZED_TIME,
            &[stamp.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()],
        ),
    };
    let digest = digest::digest(&digest::SHA256, body);
    let content_type = tlv(SEQUENCE, &[CONTENT_TYPE, &tlv(SET, &[ID_DATA])]);
    let signing_time = tlv(SEQUENCE, &[SIGNING_TIME, &tlv(SET, &[&time])]);
    let digest = tlv(OCTET_STRING, &[digest.as_ref()]);
    let message_digest = tlv(SEQUENCE, &[MESSAGE_DIGEST, &tlv(SET, &[&digest])]);
    [content_type, signing_time, message_digest].concat()
}

/// The issuer and the serial number of a DER certificate, each with its tag and length.
fn issuer_and_serial(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (certificate, _) = split_tlv(certificate)?;
    let (tbs, _) = split_tlv(content_of(certificate)?)?;
    let mut rest = content_of(tbs)?;
    if rest.first() == Some(&CONTEXT_0) {
        rest = split_tlv(rest)?.1; // the version
    }
    let (serial, rest) = split_tlv(rest)?;
    let (_signature_algorithm, rest) = split_tlv(rest)?;
    let (issuer, _) = split_tlv(rest)?;
    Some((issuer, serial))
}

/// The first value in `der` with its tag and length, and what follows it.
fn split_tlv(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = head_of(der)?;
    der.split_at_checked(head.checked_add(length)?)
}

/// What is inside the tag and length of `value`.
fn content_of(value: &[u8]) -> Option<&[u8]> {
    value.get(head_of(value)?.0..)
}

/// How many bytes the tag and length of `der` take, and the length they state.
fn head_of(der: &[u8]) -> Option<(usize, usize)> {
    match usize::from(*der.get(1)?) {
        short @ 0..=0x7f => Some((2, short)),
        long @ 0x81..=0x84 => {
            let digits = der.get(2..2 + (long - 0x80))?;
            let length = digits.iter().fold(0, |sum, &d| sum << 8 | usize::from(d));
            Some((2 + digits.len(), length))
        }
        _ => None,
    }
}

/// `tag`, the length, and `parts` one after the other.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    let bytes = u32::try_from(length)
        .expect("a signature is under 4 GiB")
        .to_be_bytes();
    match length {
        0..=0x7f => out.push(bytes[3]),
        _ => {
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            out.push(0x80 + (4 - zeros) as u8);
            out.extend_from_slice(&bytes[zeros..]);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

const MESSAGE_DIGEST_OID: &str = "1.2.840.113549.1.9.4";
const SIGNING_TIME_OID: &str = "1.2.840.113549.1.9.5";

const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;

/// INTEGER 1.
const VERSION_1: &[u8] = &[0x02, 0x01, 0x01];
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
/// AlgorithmIdentifier: 2.16.840.1.101.3.4.2.1, without parameters (RFC 5754).
const SHA256: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
/// AlgorithmIdentifier: 1.2.840.10045.4.3.2, without parameters.
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// AlgorithmIdentifier: 1.2.840.113549.1.1.1, NULL.
const RSA_ENCRYPTION: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::authority::{Authority, Credential};
    use crate::engine::identity::certified;

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
