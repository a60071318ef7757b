//! Certificate signing requests (PKCS#10, RFC 2986): devices write them, our own authority reads them.

use der::{Decode as _, Encode as _};
use x509_cert::request::CertReq;

use super::asn1::{
    CONTEXT_0, OBJECT_IDENTIFIER, PRINTABLE_STRING, SEQUENCE, SET, UTF8_STRING, VERSION_0,
    bit_string, content_of, set_of, split_tlv, tlv,
};
use super::ber;
use super::draft::{ALTERNATIVE_NAME, extension, identifier_of, key_usage};
use super::keys::{DeviceKey, KeyError};
use super::name::{AlternativeName, general_names};
use super::signature::{self, Digest, SignatureError};

/// What a device asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// The subject, as DER.
    pub subject: &'a [u8],
    /// The password that shows it may ask.
    pub challenge: Option<&'a str>,
    /// Names beside the subject.
    pub alternative_names: &'a [AlternativeName],
    /// What the key is to be used for, as a mask of [`super::draft::SIGN`] and
    /// [`super::draft::ENCIPHER`]; 0 leaves it out.
    pub key_usage: u8,
}

impl Wish<'_> {
    /// The request as DER, signed by the key that the certificate is wanted for.
    pub fn sign(&self, key: &DeviceKey) -> Result<Vec<u8>, KeyError> {
        let mut attributes = Vec::new();
        if let Some(challenge) = self.challenge {
            let tag = match is_printable(challenge) {
                true => PRINTABLE_STRING,
                false => UTF8_STRING,
            };
            let value = tlv(SET, &[&tlv(tag, &[challenge.as_bytes()])]);
            let kind = tlv(OBJECT_IDENTIFIER, &[CHALLENGE_PASSWORD]);
            attributes.push(tlv(SEQUENCE, &[&kind, &value]));
        }
        let mut extensions = Vec::new();
        if self.key_usage != 0 {
            extensions.extend(key_usage(self.key_usage));
        }
        if !self.alternative_names.is_empty() {
            let names = general_names(self.alternative_names);
            extensions.extend(extension(ALTERNATIVE_NAME, false, &names));
        }
        if !extensions.is_empty() {
            let value = tlv(SET, &[&tlv(SEQUENCE, &[&extensions])]);
            let kind = tlv(OBJECT_IDENTIFIER, &[EXTENSION_REQUEST]);
            attributes.push(tlv(SEQUENCE, &[&kind, &value]));
        }
        let info = tlv(
            SEQUENCE,
            &[
                VERSION_0,
                self.subject,
                key.public_key(),
                &set_of(CONTEXT_0, attributes),
            ],
        );
        let signature = bit_string(&key.sign(&info)?);
        Ok(tlv(
            SEQUENCE,
            &[&info, key.signature_algorithm(), &signature],
        ))
    }
}

/// The alphabet of PrintableString (X.680 41.4).
fn is_printable(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte))
}

/// A request that was read, signed by the key it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The subject, as DER.
    pub subject: Vec<u8>,
    /// The public key, as a DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// The password that shows that the asker may ask.
    pub challenge: Option<String>,
    /// The extensions that were asked for, each as DER.
    pub(super) extensions: Vec<Vec<u8>>,
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The bytes are no request.
    #[error("it is no certificate signing request (PKCS#10): {0}")]
    Structure(String),
    /// It is too large, too deep or truncated.
    #[error("the request cannot be read: {0}")]
    Encoding(#[from] ber::BerError),
    /// It is not signed by the key it is for.
    #[error("the request is not signed by its own key: {0}")]
    Signature(#[from] SignatureError),
}

/// No device asks for more extensions.
const EXTENSIONS_MAX: usize = 32;

impl Request {
    /// Reads a DER request and checks that it is signed by its own key.
    pub fn read(der: &[u8]) -> Result<Self, RequestError> {
        let der = &*ber::normal(der, ber::CERTIFICATE)?;
        let structure = |error: der::Error| RequestError::Structure(error.to_string());
        // Not from_der, which sorts sets by insertion: a long one would take its square.
        let request = CertReq::from_ber(der).map_err(structure)?;
        let digest = Digest::of(request.algorithm.oid)
            .ok_or_else(|| SignatureError::Algorithm(request.algorithm.oid.to_string()))?;
        // What was signed is what was sent, not what would be sent here.
        let Some((signed, _)) = content_of(der).and_then(split_tlv) else {
            return Err(RequestError::Structure("it is empty".to_owned()));
        };
        let signature = request.signature.raw_bytes();
        signature::check(&request.info.public_key, digest, signed, signature)?;
        let mut extensions = Vec::new();
        let mut challenge = None;
        for attribute in request.info.attributes.iter() {
            let Some(value) = attribute.values.get(0) else {
                continue;
            };
            match attribute.oid.as_bytes() {
                CHALLENGE_PASSWORD => {
                    challenge = Some(String::from_utf8_lossy(value.value()).into_owned());
                }
                EXTENSION_REQUEST => {
                    let mut rest = value.value();
                    while let Some((extension, after)) = split_tlv(rest) {
                        if extensions.len() == EXTENSIONS_MAX {
                            break;
                        }
                        extensions.push(extension.to_vec());
                        rest = after;
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            subject: request.info.subject.to_der().map_err(structure)?,
            public_key: request.info.public_key.to_der().map_err(structure)?,
            challenge,
            extensions,
        })
    }

    /// The wanted extension with this identifier.
    pub(in crate::engine) fn extension(&self, id: &[u8]) -> Option<&[u8]> {
        let mut extensions = self.extensions.iter();
        let found = extensions.find(|extension| identifier_of(extension) == Some(id));
        found.map(Vec::as_slice)
    }

    /// The subject's common name, if it has one.
    pub fn common_name(&self) -> Option<String> {
        super::common_name(&x509_cert::name::Name::from_der(&self.subject).ok()?)
    }
}

/// 1.2.840.113549.1.9.7.
const CHALLENGE_PASSWORD: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07";
/// 1.2.840.113549.1.9.14.
const EXTENSION_REQUEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pki::draft::SIGN;
    use crate::engine::pki::keys::KeyKind;
    use crate::engine::pki::name::Name;

    #[test]
    fn a_request_is_read_back_with_all_it_asks_for() {
        for kind in [
            KeyKind::Rsa2048,
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
        ] {
            let key = DeviceKey::generate(kind).unwrap();
            let subject = Name::common("Mac of Ada").to_der().unwrap();
            let names = [AlternativeName::Host("a.example".to_owned())];
            let wish = Wish {
                subject: &subject,
                challenge: Some("s3cret_ä"),
                alternative_names: &names,
                key_usage: SIGN,
            };
            let mut der = wish.sign(&key).unwrap();
            let read = Request::read(&der).unwrap();
            assert_eq!(read.subject, subject);
            assert_eq!(read.public_key, key.public_key());
            assert_eq!(read.challenge.as_deref(), Some("s3cret_ä"));
            assert_eq!(read.common_name().as_deref(), Some("Mac of Ada"));
            assert!(read.extension(ALTERNATIVE_NAME).is_some());
            let end = der.len() - 1;
            der[end] ^= 1;
            let wrong = RequestError::Signature(SignatureError::Wrong);
            assert_eq!(Request::read(&der), Err(wrong));
        }
    }

    #[test]
    fn what_is_no_request_is_refused_by_name() {
        let refused = |der: &[u8]| Request::read(der).unwrap_err();
        assert!(matches!(refused(b"0\x82"), RequestError::Encoding(_)));
        assert!(matches!(refused(b"0\0"), RequestError::Structure(_)));
        let large = refused(&vec![0x30; 1 << 20]);
        assert!(matches!(large, RequestError::Encoding(_)), "{large}");
    }
}
