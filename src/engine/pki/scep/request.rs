//! What a device sends (PKIOperation, RFC 8894 3.3).

use aws_lc_rs::{digest, rand};

use super::authority::CaCertificates;
use super::{MESSAGE_TYPE, Purpose, SENDER_NONCE, ScepError, TRANSACTION, octets, text};
use crate::engine::pki::asn1::{SEQUENCE, tlv};
use crate::engine::pki::certificate::Certificate;
use crate::engine::pki::enveloped_data::{Cipher, envelope};
use crate::engine::pki::keys::DeviceKey;
use crate::engine::pki::signed_data::{Signing, sign};
use crate::time::WallTime;

/// Who asks, and whom.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The authority.
    pub authority: &'a CaCertificates,
    /// The cipher for what is asked.
    pub cipher: Cipher,
    /// The key that signs: the new one when a device enrols, the old one when it renews.
    pub key: &'a DeviceKey,
    /// Its certificate: self-signed when a device enrols, the old one when it renews. The answer is
    /// encrypted to it.
    pub certificate: &'a Certificate,
    /// The time by the device's own clock.
    pub at: WallTime,
}

/// A message to the authority, and what its answer has to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkiRequest {
    /// The message.
    pub message: Vec<u8>,
    /// The transaction: the same for all messages about one key.
    pub transaction: String,
    pub(super) nonce: [u8; 16],
    /// The key that a certificate is wanted for, a SubjectPublicKeyInfo.
    pub(super) public_key: Vec<u8>,
}

impl PkiRequest {
    /// Asks for a certificate with `request`, a DER certificate signing request for `public_key`.
    ///
    /// A device that enrols and one that renews differ in who signs, see [`Asking`].
    pub fn ask(
        purpose: Purpose,
        request: &[u8],
        public_key: &[u8],
        asking: &Asking<'_>,
    ) -> Result<Self, ScepError> {
        Self::write(purpose, request, public_key, asking)
    }

    /// Asks whether the certificate for `public_key`, which was asked for before, is there by now.
    pub fn poll(public_key: &[u8], asking: &Asking<'_>) -> Result<Self, ScepError> {
        let authority = asking.authority.all();
        let issuer = authority.iter().find(|it| it.is_authority());
        let issuer = issuer.unwrap_or_else(|| asking.authority.recipient());
        // IssuerAndSubject (RFC 8894 3.3.3).
        let names = tlv(
            SEQUENCE,
            &[issuer.subject_der(), asking.certificate.subject_der()],
        );
        Self::write(Purpose::Poll, &names, public_key, asking)
    }

    fn write(
        purpose: Purpose,
        content: &[u8],
        public_key: &[u8],
        asking: &Asking<'_>,
    ) -> Result<Self, ScepError> {
        let sealed = envelope(content, asking.authority.recipient(), asking.cipher)?;
        let transaction = transaction_for(public_key);
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).expect("the operating system gives random bytes");
        let attributes = [
            text(MESSAGE_TYPE, purpose.code()),
            text(TRANSACTION, &transaction),
            octets(SENDER_NONCE, &nonce),
        ];
        let signing = Signing {
            key: asking.key,
            certificate: asking.certificate.der(),
            others: &[],
            at: asking.at,
            attributes: &attributes,
        };
        Ok(Self {
            message: sign(&sealed, &signing)?,
            transaction,
            nonce,
            public_key: public_key.to_vec(),
        })
    }
}

/// The name of a transaction: the hash of the public key, so that asking again is no new question
/// (RFC 8894 3.2.1.1).
fn transaction_for(public_key: &[u8]) -> String {
    let sum = digest::digest(&digest::SHA256, public_key);
    crate::ids::hex_lower(sum.as_ref()).to_ascii_uppercase()
}
