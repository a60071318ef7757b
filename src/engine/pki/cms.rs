//! What signed and enveloped messages share (RFC 5652): their frame, their bounds, what is wrong.

use std::borrow::Cow;

use der::Decode as _;
use der::asn1::ObjectIdentifier as Oid;

use super::asn1::{CONTEXT_0, OBJECT_IDENTIFIER, SEQUENCE, content_of, split_tlv, tlv};
use super::ber::{self, BerError, Limits};
use super::certificate::CertificateError;
use super::keys::KeyError;
use super::signature::SignatureError;

/// A message may be this long: the largest profiles have some MB, with their pictures.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The walk over a message: a certificate in a message in a message is about 20 deep; a streamed
/// message has a value for each KB or so.
const MESSAGE: Limits = Limits {
    bytes: MESSAGE_BYTES_MAX,
    depth: 40,
    values: 32 * 1024,
};
/// A message may bring along this many certificates.
pub(super) const CERTIFICATES_MAX: usize = 64;
/// A message may have this many signers or recipients.
pub(super) const SIGNERS_MAX: usize = 8;

/// Why a message is not read or not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is too large, too deep or truncated.
    #[error("the CMS message cannot be read: {0}")]
    Encoding(#[from] BerError),
    /// It is something else.
    #[error("it is no CMS message of the kind {expected}: {found}")]
    Structure {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// It has more certificates, signers or recipients than anybody needs.
    #[error("it has more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        most: usize,
    },
    /// A certificate in it.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Nobody signed it.
    #[error("nobody signed it")]
    NoSigner,
    /// The signer's certificate does not travel with it.
    #[error("the signer's certificate is not in it")]
    NoCertificate,
    /// The content is in neither of the two places it could be.
    #[error("it has no content")]
    NoContent,
    /// The content is not what was signed.
    #[error("the content is not the one that was signed: its digest differs")]
    Digest,
    /// The signature is wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It cannot be encrypted to this certificate.
    #[error("nothing can be encrypted to {0}: its key is not RSA")]
    KeyNotRsa(String),
    /// It is encrypted to somebody else.
    #[error("it is not encrypted to this certificate")]
    NotForUs,
    /// A cipher that devices do not know.
    #[error("it is encrypted with {0}, expected AES-128, AES-256, 3DES or DES in CBC mode")]
    Cipher(String),
    /// The key or the content does not decrypt.
    #[error("it does not decrypt: {0}")]
    Decrypt(&'static str),
    /// The own key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl MessageError {
    pub(super) fn structure(expected: &'static str, error: &der::Error) -> Self {
        Self::Structure {
            expected,
            found: error.to_string(),
        }
    }
}

/// A content with its type, both DER.
pub(super) fn framed(kind: Oid, content: &[u8]) -> Vec<u8> {
    let kind = tlv(OBJECT_IDENTIFIER, &[kind.as_bytes()]);
    tlv(SEQUENCE, &[&kind, &tlv(CONTEXT_0, &[content])])
}

/// A message whose outermost lengths and depths were looked at, in DER.
pub(super) fn bounded(message: &[u8]) -> Result<Cow<'_, [u8]>, MessageError> {
    Ok(ber::normal(message, MESSAGE)?)
}

/// The content of a message that [`bounded`] has seen, when it is of the type `kind`.
pub(super) fn content<'a>(
    message: &'a [u8],
    kind: Oid,
    expected: &'static str,
) -> Result<&'a [u8], MessageError> {
    let found = |found: &str| MessageError::Structure {
        expected,
        found: found.to_owned(),
    };
    let inner = match message.first() == Some(&SEQUENCE) {
        true => content_of(message),
        false => None,
    };
    let split = inner.and_then(split_tlv);
    let (id, rest) = split.ok_or_else(|| found("it does not begin with a type of content"))?;
    let id = Oid::from_der(id).map_err(|_| found("it does not begin with a type of content"))?;
    if id != kind {
        return Err(found(&format!(
            "its content is of the type {}",
            name_of(id)
        )));
    }
    match rest.first() == Some(&CONTEXT_0) {
        true => content_of(rest).ok_or_else(|| found("it has no content")),
        false => Err(found("it has no content")),
    }
}

fn name_of(kind: Oid) -> String {
    match kind {
        DATA => "data".to_owned(),
        SIGNED_DATA => "SignedData".to_owned(),
        ENVELOPED_DATA => "EnvelopedData".to_owned(),
        AUTHENTICATED_ENVELOPED_DATA => "AuthEnvelopedData".to_owned(),
        kind => kind.to_string(),
    }
}

pub(super) const DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.1");
pub(super) const SIGNED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.2");
pub(super) const ENVELOPED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.3");
const AUTHENTICATED_ENVELOPED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.9.16.1.23");
