//! SCEP (RFC 8894): how devices ask an authority for a certificate, and what both sides say.
//!
//! [`request`] and [`answer`] are the device's side, [`operation`] is that of our own authority. Nothing
//! here talks to anybody: these are bytes in and bytes out.

pub mod answer;
pub mod authority;
pub mod capabilities;
pub mod operation;
pub mod request;

use std::fmt;

use der::asn1::ObjectIdentifier as Oid;

use super::asn1::{OCTET_STRING, PRINTABLE_STRING, tlv};
use super::certificate::CertificateError;
use super::cms::MessageError;
use super::keys::KeyError;
use super::request::RequestError;
use super::signed_data::{Signer, attribute};

/// What a message is for (RFC 8894 3.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// PKCSReq: a first certificate.
    Enroll,
    /// RenewalReq: another one, asked for with the one that is there.
    Renew,
    /// CertPoll, once GetCertInitial: is it there by now?
    Poll,
}

impl Purpose {
    const fn code(self) -> &'static str {
        match self {
            Self::Renew => "17",
            Self::Enroll => "19",
            Self::Poll => "20",
        }
    }
}

/// Why an authority refuses (RFC 8894 3.2.1.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailInfo {
    /// 0, badAlg.
    Algorithm,
    /// 1, badMessageCheck.
    MessageCheck,
    /// 2, badRequest: what a wrong challenge gets.
    Request,
    /// 3, badTime.
    Time,
    /// 4, badCertId.
    CertificateId,
    /// Something else, or nothing.
    Unknown,
}

impl FailInfo {
    fn of(code: Option<&[u8]>) -> Self {
        match code {
            Some(b"0") => Self::Algorithm,
            Some(b"1") => Self::MessageCheck,
            Some(b"2") => Self::Request,
            Some(b"3") => Self::Time,
            Some(b"4") => Self::CertificateId,
            Some(_) | None => Self::Unknown,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Algorithm => "0",
            Self::MessageCheck => "1",
            Self::Request | Self::Unknown => "2",
            Self::Time => "3",
            Self::CertificateId => "4",
        }
    }
}

impl fmt::Display for FailInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Algorithm => "badAlg",
            Self::MessageCheck => "badMessageCheck",
            Self::Request => "badRequest",
            Self::Time => "badTime",
            Self::CertificateId => "badCertId",
            Self::Unknown => "no failInfo",
        })
    }
}

/// Why a message of SCEP is not written or not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScepError {
    /// The frame, the signature or the encryption.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The own key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate in it.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate signing request in it.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The authority gave no certificate that something can be encrypted to.
    #[error(
        "none of the authority's certificates has an RSA key, so nothing can be encrypted to it"
    )]
    NoRecipient,
    /// GetCACert gave nothing.
    #[error("the authority gave no certificate")]
    NoCertificates,
    /// An attribute is absent or means nothing.
    #[error("the message has no {0} that is known")]
    Attribute(&'static str),
    /// Somebody else signed.
    #[error("the answer is signed by {0}, which the authority's certificates do not vouch for")]
    Signer(String),
    /// It is the answer to another question.
    #[error("the answer is for the transaction {found}, expected {expected}")]
    Transaction {
        /// What was sent.
        expected: String,
        /// What came.
        found: String,
    },
    /// It is an old answer, or that to another question.
    #[error("the answer's recipientNonce is not the senderNonce of the request")]
    Nonce,
    /// The certificate is for somebody else's key.
    #[error("none of the {0} certificates in the answer is for the key that was sent")]
    NotOurs(usize),
}

impl ScepError {
    /// The name that counts, as refusals of identities have it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoRecipient => "ca-key-not-rsa",
            Self::Nonce | Self::Transaction { .. } => "nonce-mismatch",
            Self::NotOurs(_) => "certificate-not-ours",
            Self::Signer(_) => "signature-broken",
            Self::Message(MessageError::Digest | MessageError::Signature(_)) => "signature-broken",
            Self::Message(_)
            | Self::Certificate(_)
            | Self::Request(_)
            | Self::NoCertificates
            | Self::Attribute(_) => "scep-answer-unreadable",
            Self::Key(_) => "key-unavailable",
        }
    }
}

/// An attribute with a PrintableString.
fn text(kind: Oid, value: &str) -> Vec<u8> {
    attribute(kind, &tlv(PRINTABLE_STRING, &[value.as_bytes()]))
}

/// An attribute with an OCTET STRING.
fn octets(kind: Oid, value: &[u8]) -> Vec<u8> {
    attribute(kind, &tlv(OCTET_STRING, &[value]))
}

/// The transaction that a message belongs to; hostile ones are cut, for they end up in texts.
fn transaction_of(signer: &Signer) -> Result<String, ScepError> {
    let found = signer.attribute(TRANSACTION);
    let found = found.ok_or(ScepError::Attribute("transactionID"))?;
    let found = &found[..found.len().min(TRANSACTION_MAX)];
    Ok(String::from_utf8_lossy(found).into_owned())
}

/// The hash of a public key is 64 characters long in hexadecimal digits; twice that leaves room.
const TRANSACTION_MAX: usize = 128;

const MESSAGE_TYPE: Oid = Oid::new_unwrap("2.16.840.1.113733.1.9.2");
const STATUS: Oid = Oid::new_unwrap("2.16.840.1.113733.1.9.3");
const FAIL_INFO: Oid = Oid::new_unwrap("2.16.840.1.113733.1.9.4");
const SENDER_NONCE: Oid = Oid::new_unwrap("2.16.840.1.113733.1.9.5");
const RECIPIENT_NONCE: Oid = Oid::new_unwrap("2.16.840.1.113733.1.9.6");
const TRANSACTION: Oid = Oid::new_unwrap("2.16.840.1.113733.1.9.7");
/// id-scep-failInfoText (RFC 8894 3.2.1.4.6).
const FAIL_TEXT: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.24.1");
/// CertRep.
const ANSWER: &str = "3";
