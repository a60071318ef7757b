//! Signed messages (RFC 5652, section 5): with their content or beside it, and those that only carry
//! certificates.

use aws_lc_rs::digest;
use der::asn1::ObjectIdentifier as Oid;
use der::{Any, Decode as _, Encode as _};

use super::asn1::{
    CONTEXT_0, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, VERSION_1, issuer_and_serial,
    set_of, time, tlv,
};
use super::certificate::{Certificate, CertificateError};
use super::cms::{
    CERTIFICATES_MAX, DATA, MessageError, SIGNED_DATA, SIGNERS_MAX, bounded, content, framed,
};
use super::keys::DeviceKey;
use super::signature::{self, Digest, SignatureError};
use super::structure::{SignedData, SignerInfo};
use crate::time::WallTime;

/// Who signs, and how.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// The signer's key.
    pub key: &'a DeviceKey,
    /// The certificate of the key, as DER.
    pub certificate: &'a [u8],
    /// Further certificates to send along, as DER.
    pub others: &'a [Vec<u8>],
    /// When it is signed, by the signer's own clock.
    pub at: WallTime,
    /// Further signed attributes, as DER.
    pub attributes: &'a [Vec<u8>],
}

/// An attribute with one value (DER), as DER.
pub(super) fn attribute(kind: Oid, value: &[u8]) -> Vec<u8> {
    let kind = tlv(OBJECT_IDENTIFIER, &[kind.as_bytes()]);
    tlv(SEQUENCE, &[&kind, &tlv(SET, &[value])])
}

/// A signed message with `content` in it.
pub fn sign(content: &[u8], signing: &Signing<'_>) -> Result<Vec<u8>, MessageError> {
    let carried = tlv(CONTEXT_0, &[&tlv(OCTET_STRING, &[content])]);
    signed(content, &carried, signing)
}

/// A signed message for `content` that travels beside it.
pub fn sign_detached(content: &[u8], signing: &Signing<'_>) -> Result<Vec<u8>, MessageError> {
    signed(content, &[], signing)
}

/// A message without content or signer that carries `certificates` (DER), as GetCACert answers.
pub fn certificates_only(certificates: &[Vec<u8>]) -> Vec<u8> {
    let data = tlv(OBJECT_IDENTIFIER, &[DATA.as_bytes()]);
    let signed = tlv(
        SEQUENCE,
        &[
            VERSION_1,
            &tlv(SET, &[]),
            &tlv(SEQUENCE, &[&data]),
            &set_of(CONTEXT_0, certificates.to_vec()),
            &tlv(SET, &[]),
        ],
    );
    framed(SIGNED_DATA, &signed)
}

fn signed(content: &[u8], carried: &[u8], by: &Signing<'_>) -> Result<Vec<u8>, MessageError> {
    let data = tlv(OBJECT_IDENTIFIER, &[DATA.as_bytes()]);
    let sum = digest::digest(by.key.digest(), content);
    let mut attributes = vec![
        attribute(CONTENT_TYPE, &data),
        attribute(SIGNING_TIME, &time(by.at)),
        attribute(MESSAGE_DIGEST, &tlv(OCTET_STRING, &[sum.as_ref()])),
    ];
    attributes.extend_from_slice(by.attributes);
    // Signed as a SET OF, carried under an implicit [0] (RFC 5652 5.4).
    let signature = by.key.sign(&set_of(SET, attributes.clone()))?;
    let (issuer, serial) = issuer_and_serial(by.certificate)
        .ok_or_else(|| CertificateError::Structure("it has no issuer".to_owned()))?;
    let signer = tlv(
        SEQUENCE,
        &[
            VERSION_1,
            &tlv(SEQUENCE, &[issuer, serial]),
            by.key.digest_algorithm(),
            &set_of(CONTEXT_0, attributes),
            by.key.cms_algorithm(),
            &tlv(OCTET_STRING, &[&signature]),
        ],
    );
    let mut certificates = vec![by.certificate.to_vec()];
    certificates.extend_from_slice(by.others);
    let signed = tlv(
        SEQUENCE,
        &[
            VERSION_1,
            &tlv(SET, &[by.key.digest_algorithm()]),
            &tlv(SEQUENCE, &[&data, carried]),
            &set_of(CONTEXT_0, certificates),
            &tlv(SET, &[&signer]),
        ],
    );
    Ok(framed(SIGNED_DATA, &signed))
}

/// A signed message that was read, but not checked.
#[derive(Clone, Debug)]
pub struct Signed {
    data: SignedData,
    certificates: Vec<Certificate>,
}

/// Who signed a message: the signature fits the certificate and the content.
///
/// Whether the certificate is to be trusted is for the caller to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The signer's certificate.
    pub certificate: Certificate,
    /// When the signer believes it signed, if it says so.
    pub signing_time: Option<WallTime>,
    /// Further signed attributes: kind and first value.
    attributes: Vec<(Oid, Any)>,
}

/// Reads a signed message in DER or BER.
pub fn read(message: &[u8]) -> Result<Signed, MessageError> {
    const EXPECTED: &str = "SignedData";
    let message = bounded(message)?;
    let data = SignedData::from_ber(content(&message, SIGNED_DATA, EXPECTED)?)
        .map_err(|error| MessageError::structure(EXPECTED, &error))?;
    let found = data.certificates.iter().flat_map(|set| set.iter());
    if found.clone().count() > CERTIFICATES_MAX {
        return Err(MessageError::TooMany {
            what: "certificates",
            most: CERTIFICATES_MAX,
        });
    }
    if data.signer_infos.len() > SIGNERS_MAX {
        return Err(MessageError::TooMany {
            what: "signers",
            most: SIGNERS_MAX,
        });
    }
    // Attribute certificates and the like may be among them (RFC 5652 10.2.2): they are let be.
    let certificates = found
        .filter_map(|any| Certificate::read(&any.to_der().ok()?).ok())
        .collect();
    Ok(Signed { data, certificates })
}

impl Signed {
    /// The certificates that travel with the message. Their order says nothing.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The content, if it is in the message.
    pub fn content(&self) -> Option<&[u8]> {
        let content = self.data.content.content.as_ref();
        content.map(der::asn1::OctetString::as_bytes)
    }

    /// Checks the first signature over the content, over an empty one when there is none.
    ///
    /// The signer's certificate is looked for in the message, then among `known`.
    pub fn verify(&self, known: &[Certificate]) -> Result<Signer, MessageError> {
        self.verify_over(self.content().unwrap_or_default(), known)
    }

    /// Checks the first signature over a content that travels beside the message.
    pub fn verify_detached(
        &self,
        content: &[u8],
        known: &[Certificate],
    ) -> Result<Signer, MessageError> {
        self.verify_over(content, known)
    }

    fn verify_over(&self, content: &[u8], known: &[Certificate]) -> Result<Signer, MessageError> {
        let signer = self.data.signer_infos.get(0);
        let signer = signer.ok_or(MessageError::NoSigner)?;
        let mut all = self.certificates.iter().chain(known);
        let certificate = all.find(|certificate| signer.sid.names(certificate.tbs()));
        let certificate = certificate.ok_or(MessageError::NoCertificate)?;
        let digest = Digest::of(signer.digest_alg.oid);
        let digest =
            digest.ok_or_else(|| SignatureError::Algorithm(signer.digest_alg.oid.to_string()))?;
        let message = match &signer.signed_attrs {
            None => content.to_vec(),
            Some(attributes) => {
                let stated = value(signer, MESSAGE_DIGEST);
                if stated.map(Any::value) != Some(digest.sum(content).as_ref()) {
                    return Err(MessageError::Digest);
                }
                // In the order they came in: that is what was signed.
                let attributes = attributes.to_der();
                attributes.map_err(|error| MessageError::structure("SignedData", &error))?
            }
        };
        let key = certificate.tbs().subject_public_key_info();
        signature::check(key, digest, &message, signer.signature.as_bytes())?;
        let attributes = signer.signed_attrs.iter().flat_map(|all| all.iter());
        Ok(Signer {
            certificate: certificate.clone(),
            signing_time: signing_time(signer),
            attributes: attributes
                .filter_map(|it| Some((it.oid, it.values.get(0)?.clone())))
                .collect(),
        })
    }
}

impl Signer {
    /// The content octets of a signed attribute's first value.
    pub(super) fn attribute(&self, kind: Oid) -> Option<&[u8]> {
        let mut all = self.attributes.iter();
        let (_, value) = all.find(|(found, _)| *found == kind)?;
        Some(value.value())
    }
}

fn value(signer: &SignerInfo, kind: Oid) -> Option<&Any> {
    let mut attributes = signer.signed_attrs.as_ref()?.iter();
    attributes.find(|it| it.oid == kind)?.values.get(0)
}

fn signing_time(signer: &SignerInfo) -> Option<WallTime> {
    let der = value(signer, SIGNING_TIME)?.to_der().ok()?;
    let time = x509_cert::time::Time::from_der(&der).ok()?;
    let micros = i64::try_from(time.to_unix_duration().as_micros()).ok()?;
    Some(WallTime::from_unix_micros(micros))
}

const CONTENT_TYPE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: Oid = Oid::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: Oid = Oid::new_unwrap("1.2.840.113549.1.9.5");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pki::draft::self_signed;
    use crate::engine::pki::keys::KeyKind;
    use crate::engine::pki::name::Name;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    fn signer(kind: KeyKind) -> (DeviceKey, Vec<u8>) {
        let key = DeviceKey::generate(kind).unwrap();
        let certificate = self_signed(&key, &Name::common("X").to_der().unwrap(), NOW).unwrap();
        (key, certificate)
    }

    fn signing<'a>(key: &'a DeviceKey, certificate: &'a [u8]) -> Signing<'a> {
        Signing {
            key,
            certificate,
            others: &[],
            at: NOW,
            attributes: &[],
        }
    }

    #[test]
    fn every_kind_of_key_signs_what_is_inside_and_what_is_beside() {
        for kind in [
            KeyKind::Rsa2048,
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
        ] {
            let (key, certificate) = signer(kind);
            let message = sign(b"content", &signing(&key, &certificate)).unwrap();
            let message = read(&message).unwrap();
            assert_eq!(message.content(), Some(&b"content"[..]));
            let signer = message.verify(&[]).unwrap();
            assert_eq!(signer.certificate.der(), certificate);
            assert_eq!(signer.signing_time, Some(NOW));

            let beside = sign_detached(b"content", &signing(&key, &certificate)).unwrap();
            let beside = read(&beside).unwrap();
            assert_eq!(beside.content(), None);
            beside.verify_detached(b"content", &[]).unwrap();
            let other = beside.verify_detached(b"contents", &[]);
            assert_eq!(other, Err(MessageError::Digest));
        }
    }

    #[test]
    fn a_signature_of_another_key_does_not_count() {
        let (_, certificate) = signer(KeyKind::P256);
        let (other, _) = signer(KeyKind::P256);
        let message = sign(b"content", &signing(&other, &certificate)).unwrap();
        let wrong = MessageError::Signature(SignatureError::Wrong);
        assert_eq!(read(&message).unwrap().verify(&[]), Err(wrong));
    }

    #[test]
    fn certificates_travel_without_a_signature() {
        let certificates: Vec<Vec<u8>> = (0..3).map(|_| signer(KeyKind::P256).1).collect();
        let message = read(&certificates_only(&certificates)).unwrap();
        let mut read: Vec<Vec<u8>> = message
            .certificates()
            .iter()
            .map(|it| it.der().to_vec())
            .collect();
        let mut sent = certificates;
        read.sort();
        sent.sort();
        assert_eq!(read, sent);
        assert_eq!(message.verify(&[]), Err(MessageError::NoSigner));
    }

    #[test]
    fn more_certificates_than_anybody_needs_are_refused() {
        let (_, certificate) = signer(KeyKind::P256);
        let many = vec![certificate; CERTIFICATES_MAX + 1];
        let refused = read(&certificates_only(&many)).unwrap_err();
        assert!(matches!(refused, MessageError::TooMany { .. }), "{refused}");
    }
}
