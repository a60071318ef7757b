//! The structures of RFC 5652 that reading a signature needs.

use std::cmp::Ordering;

use der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Choice, Encode as _, Enumerated, Sequence, ValueOrd};
use x509_cert::TbsCertificate;
use x509_cert::attr::Attributes;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned as Algorithm;

/// A content with its type.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct ContentInfo {
    pub(super) content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) content: Any,
}

/// Version numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[asn1(type = "INTEGER")]
#[repr(u8)]
pub(super) enum Version {
    /// 0.
    V0 = 0,
    /// 1: issuer and serial number.
    V1 = 1,
    /// 2.
    V2 = 2,
    /// 3: subject key identifier.
    V3 = 3,
    /// 4.
    V4 = 4,
    /// 5.
    V5 = 5,
}

impl ValueOrd for Version {
    fn value_cmp(&self, other: &Self) -> der::Result<Ordering> {
        (*self as u8).value_cmp(&(*other as u8))
    }
}

/// A signature with everything to check it.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct SignedData {
    pub(super) version: Version,
    pub(super) digest_algorithms: SetOfVec<Algorithm>,
    pub(super) content: EncapsulatedContent,
    #[asn1(
        context_specific = "0",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    pub(super) certificates: Option<SetOfVec<Any>>,
    #[asn1(
        context_specific = "1",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    pub(super) crls: Option<SetOfVec<Any>>,
    pub(super) signer_infos: SetOfVec<SignerInfo>,
}

/// What was signed; empty when it travels beside the signature.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct EncapsulatedContent {
    pub(super) content_type: ObjectIdentifier,
    // An OCTET STRING rather than Any, which would keep the inner headers of a segmented one.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) content: Option<OctetString>,
}

/// One signer and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
pub(super) struct SignerInfo {
    pub(super) version: Version,
    pub(super) sid: SignerIdentifier,
    pub(super) digest_alg: Algorithm,
    #[asn1(
        context_specific = "0",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    pub(super) signed_attrs: Option<Attributes>,
    pub(super) signature_algorithm: Algorithm,
    pub(super) signature: OctetString,
    #[asn1(
        context_specific = "1",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    pub(super) unsigned_attrs: Option<Attributes>,
}

/// How a signer's certificate is named.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub(super) enum SignerIdentifier {
    /// By issuer and serial number.
    IssuerAndSerialNumber(IssuerAndSerialNumber),
    /// By the identifier of its key.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    SubjectKeyIdentifier(SubjectKeyIdentifier),
}

impl SignerIdentifier {
    /// Whether this is how `certificate` is named.
    pub(super) fn names(&self, certificate: &TbsCertificate) -> bool {
        match self {
            Self::IssuerAndSerialNumber(named) => {
                named.issuer == *certificate.issuer()
                    && named.serial_number == *certificate.serial_number()
            }
            Self::SubjectKeyIdentifier(named) => certificate
                .get_extension::<SubjectKeyIdentifier>()
                .is_ok_and(|found| found.is_some_and(|(_, identifier)| identifier == *named)),
        }
    }
}

impl ValueOrd for SignerIdentifier {
    fn value_cmp(&self, other: &Self) -> der::Result<Ordering> {
        Ok(self.to_der()?.cmp(&other.to_der()?))
    }
}

/// A certificate's issuer and serial number.
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
pub(super) struct IssuerAndSerialNumber {
    pub(super) issuer: Name,
    pub(super) serial_number: SerialNumber,
}

/// An encrypted content, and its key for each of its recipients.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct EnvelopedData {
    pub(super) version: Version,
    #[asn1(
        context_specific = "0",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    pub(super) originator_info: Option<SetOfVec<Any>>,
    pub(super) recipient_infos: SetOfVec<Any>,
    pub(super) encrypted_content: EncryptedContent,
    #[asn1(
        context_specific = "1",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    pub(super) unprotected_attrs: Option<SetOfVec<Any>>,
}

/// What was encrypted, and how.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct EncryptedContent {
    pub(super) content_type: ObjectIdentifier,
    pub(super) algorithm: Algorithm,
    // An OCTET STRING under an implicit [0], which may be in segments.
    #[asn1(optional = "true")]
    pub(super) encrypted_content: Option<Any>,
}

/// The content's key, encrypted to one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct KeyTransRecipientInfo {
    pub(super) version: Version,
    pub(super) recipient: SignerIdentifier,
    pub(super) algorithm: Algorithm,
    pub(super) encrypted_key: OctetString,
}
