//! Enveloped messages (RFC 5652, section 6): encrypted with a key that only the holder of an RSA key
//! can open.

use aws_lc_rs::cipher::{
    self, AES_128, AES_256, Algorithm, DecryptionContext, EncryptionContext,
    PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use der::asn1::ObjectIdentifier as Oid;
use der::{Decode as _, Encode as _};

use super::asn1::{
    OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, VERSION_0, content_of, issuer_and_serial,
    split_tlv, tlv,
};
use super::certificate::{Certificate, CertificateError};
use super::cms::{DATA, ENVELOPED_DATA, MessageError, SIGNERS_MAX, bounded, content, framed};
use super::keys::{DeviceKey, KeyError, RSA_ENCRYPTION};
use super::signature::RSA;
use super::structure::{EnvelopedData, KeyTransRecipientInfo};

/// The ciphers that devices and their servers use, all in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES with 128 bits.
    Aes128,
    /// AES with 256 bits.
    Aes256,
    /// Triple DES.
    TripleDes,
    /// Single DES: broken, and the default of smallstep's library in the answers of SCEP servers.
    Des,
}

impl Cipher {
    /// The cipher called `oid`.
    pub(super) fn of(oid: Oid) -> Result<Self, MessageError> {
        match oid {
            AES_128_CBC => Ok(Self::Aes128),
            AES_256_CBC => Ok(Self::Aes256),
            TRIPLE_DES_CBC => Ok(Self::TripleDes),
            DES_CBC => Ok(Self::Des),
            _ => Err(MessageError::Cipher(oid.to_string())),
        }
    }

    const fn oid(self) -> Oid {
        match self {
            Self::Aes128 => AES_128_CBC,
            Self::Aes256 => AES_256_CBC,
            Self::TripleDes => TRIPLE_DES_CBC,
            Self::Des => DES_CBC,
        }
    }

    #[expect(
        deprecated,
        reason = "SCEP servers of today answer with DES, and ask for 3DES"
    )]
    const fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128 => &AES_128,
            Self::Aes256 => &AES_256,
            Self::TripleDes => &cipher::DES_EDE3_FOR_LEGACY_USE_ONLY,
            Self::Des => &cipher::DES_FOR_LEGACY_USE_ONLY,
        }
    }

    /// The length of a key in bytes.
    pub(super) const fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
            Self::TripleDes => 24,
            Self::Des => 8,
        }
    }

    /// The length of an initialisation vector in bytes.
    pub(super) const fn vector_length(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes256 => 16,
            Self::TripleDes | Self::Des => 8,
        }
    }

    /// Encrypts `plain`, and gives back the initialisation vector as well.
    fn encrypt(self, key: &[u8], plain: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let key = UnboundCipherKey::new(self.algorithm(), key).ok()?;
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).ok()?;
        let mut vector = vec![0; self.vector_length()];
        rand::fill(&mut vector).ok()?;
        let context = match self {
            Self::Aes128 | Self::Aes256 => {
                EncryptionContext::Iv128(FixedLength::try_from(&*vector).ok()?)
            }
            Self::TripleDes | Self::Des => {
                EncryptionContext::Iv64(FixedLength::try_from(&*vector).ok()?)
            }
        };
        let mut text = plain.to_vec();
        key.less_safe_encrypt(&mut text, context).ok()?;
        Some((vector, text))
    }

    /// Decrypts `text`; `None` when the key, the vector or the padding is wrong.
    pub(super) fn decrypt(self, key: &[u8], vector: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let key = UnboundCipherKey::new(self.algorithm(), key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let context = match self {
            Self::Aes128 | Self::Aes256 => {
                DecryptionContext::Iv128(FixedLength::try_from(vector).ok()?)
            }
            Self::TripleDes | Self::Des => {
                DecryptionContext::Iv64(FixedLength::try_from(vector).ok()?)
            }
        };
        let mut text = text.to_vec();
        let plain = key.decrypt(&mut text, context).ok()?;
        Some(plain.to_vec())
    }
}

/// `plain`, encrypted so that only the holder of the certificate's key can read it.
pub fn envelope(plain: &[u8], to: &Certificate, cipher: Cipher) -> Result<Vec<u8>, MessageError> {
    let failed = MessageError::Decrypt("the library for cryptography refused to encrypt");
    if !to.has_rsa_key() {
        return Err(MessageError::KeyNotRsa(to.subject()));
    }
    let mut key = vec![0; cipher.key_length()];
    rand::fill(&mut key).map_err(|_| failed.clone())?;
    let (vector, text) = cipher.encrypt(&key, plain).ok_or_else(|| failed.clone())?;
    let public = PublicEncryptingKey::from_der(to.public_key())
        .map_err(|_| MessageError::KeyNotRsa(to.subject()))?;
    let public = Pkcs1PublicEncryptingKey::new(public).map_err(|_| failed.clone())?;
    let mut sealed = vec![0; public.ciphertext_size()];
    let sealed = public.encrypt(&key, &mut sealed).map_err(|_| failed)?;
    let (issuer, serial) = issuer_and_serial(to.der())
        .ok_or_else(|| CertificateError::Structure("it has no issuer".to_owned()))?;
    let recipient = tlv(
        SEQUENCE,
        &[
            VERSION_0,
            &tlv(SEQUENCE, &[issuer, serial]),
            RSA_ENCRYPTION,
            &tlv(OCTET_STRING, &[sealed]),
        ],
    );
    let algorithm = tlv(OBJECT_IDENTIFIER, &[cipher.oid().as_bytes()]);
    let algorithm = tlv(SEQUENCE, &[&algorithm, &tlv(OCTET_STRING, &[&vector])]);
    let data = tlv(OBJECT_IDENTIFIER, &[DATA.as_bytes()]);
    let encrypted = tlv(SEQUENCE, &[&data, &algorithm, &tlv(IMPLICIT_0, &[&text])]);
    let enveloped = tlv(SEQUENCE, &[VERSION_0, &tlv(SET, &[&recipient]), &encrypted]);
    Ok(framed(ENVELOPED_DATA, &enveloped))
}

/// Whether bytes begin as an enveloped message does.
pub fn is_enveloped(message: &[u8]) -> bool {
    // The type of the content comes within the first bytes; what follows need not be right.
    let id = tlv(OBJECT_IDENTIFIER, &[ENVELOPED_DATA.as_bytes()]);
    let head = &message[..message.len().min(6 + id.len())];
    head.first() == Some(&SEQUENCE) && head.windows(id.len()).any(|it| it == id)
}

/// What was encrypted to `certificate`, whose key is `key`.
pub fn open(
    message: &[u8],
    key: &DeviceKey,
    certificate: &Certificate,
) -> Result<Vec<u8>, MessageError> {
    Ok(opened(message, key, certificate)?.1)
}

/// The same, and the cipher it was encrypted with.
pub(super) fn opened(
    message: &[u8],
    key: &DeviceKey,
    certificate: &Certificate,
) -> Result<(Cipher, Vec<u8>), MessageError> {
    const EXPECTED: &str = "EnvelopedData";
    let structure = |error: der::Error| MessageError::structure(EXPECTED, &error);
    let message = bounded(message)?;
    let data =
        EnvelopedData::from_ber(content(&message, ENVELOPED_DATA, EXPECTED)?).map_err(structure)?;
    if data.recipient_infos.len() > SIGNERS_MAX {
        return Err(MessageError::TooMany {
            what: "recipients",
            most: SIGNERS_MAX,
        });
    }
    // Other kinds of recipients have other tags, and are let be.
    let recipient = data
        .recipient_infos
        .iter()
        .filter_map(|any| KeyTransRecipientInfo::from_ber(&any.to_der().ok()?).ok())
        .find(|recipient| recipient.recipient.names(certificate.tbs()));
    let recipient = recipient.ok_or(MessageError::NotForUs)?;
    if recipient.algorithm.oid != RSA {
        return Err(MessageError::Cipher(recipient.algorithm.oid.to_string()));
    }
    if key.kind().rsa_bits().is_none() {
        return Err(KeyError::NotRsa(key.kind()).into());
    }
    let encrypted = data.encrypted_content;
    let cipher = Cipher::of(encrypted.algorithm.oid)?;
    let vector = encrypted.algorithm.parameters.as_ref();
    let vector = vector.ok_or(MessageError::Decrypt("it has no initialisation vector"))?;
    let text = encrypted.encrypted_content.ok_or(MessageError::NoContent)?;
    let text = joined(&text.to_der().map_err(structure)?);
    let text = text.ok_or(MessageError::NoContent)?;
    let wrong = || MessageError::Decrypt("its key is not for ours");
    let private = PrivateDecryptingKey::from_pkcs8(key.pkcs8()).map_err(|_| wrong())?;
    let private = Pkcs1PrivateDecryptingKey::new(private).map_err(|_| wrong())?;
    let mut opened = vec![0; private.min_output_size()];
    let opened = private.decrypt(recipient.encrypted_key.as_bytes(), &mut opened);
    let opened = opened.map_err(|_| wrong())?;
    let plain = cipher.decrypt(opened, vector.value(), &text);
    let plain = plain.ok_or(MessageError::Decrypt("its content is not for its key"))?;
    Ok((cipher, plain))
}

/// The octets of an OCTET STRING under an implicit tag, whole or in segments.
fn joined(value: &[u8]) -> Option<Vec<u8>> {
    let content = content_of(value)?;
    match value.first()? {
        &IMPLICIT_0 => Some(content.to_vec()),
        _ => {
            let mut whole = Vec::with_capacity(content.len());
            let mut rest = content;
            while !rest.is_empty() {
                let (segment, after) = split_tlv(rest)?;
                if segment.first() != Some(&OCTET_STRING) {
                    return None;
                }
                whole.extend_from_slice(content_of(segment)?);
                rest = after;
            }
            Some(whole)
        }
    }
}

/// `[0]`, in the place of a tag that is not constructed.
const IMPLICIT_0: u8 = 0x80;

const AES_128_CBC: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.1.2");
const AES_256_CBC: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.1.42");
const TRIPLE_DES_CBC: Oid = Oid::new_unwrap("1.2.840.113549.3.7");
const DES_CBC: Oid = Oid::new_unwrap("1.3.14.3.2.7");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pki::draft::self_signed;
    use crate::engine::pki::keys::KeyKind;
    use crate::engine::pki::name::Name;
    use crate::time::WallTime;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    fn holder(kind: KeyKind) -> (DeviceKey, Certificate) {
        let key = DeviceKey::generate(kind).unwrap();
        let certificate = self_signed(&key, &Name::common("X").to_der().unwrap(), NOW).unwrap();
        (key, Certificate::read(&certificate).unwrap())
    }

    #[test]
    fn what_is_enveloped_is_opened_by_its_recipient_alone() {
        let (key, certificate) = holder(KeyKind::Rsa2048);
        let (other_key, other) = holder(KeyKind::Rsa2048);
        for cipher in [
            Cipher::Aes128,
            Cipher::Aes256,
            Cipher::TripleDes,
            Cipher::Des,
        ] {
            for length in [0, 1, 15, 16, 1000] {
                let plain = vec![7; length];
                let message = envelope(&plain, &certificate, cipher).unwrap();
                assert!(is_enveloped(&message) && !is_enveloped(certificate.der()));
                assert_eq!(
                    opened(&message, &key, &certificate).unwrap(),
                    (cipher, plain)
                );
                let refused = open(&message, &other_key, &other);
                assert_eq!(refused, Err(MessageError::NotForUs));
                let refused = open(&message, &other_key, &certificate);
                assert!(
                    matches!(refused, Err(MessageError::Decrypt(_))),
                    "{refused:?}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_encrypted_to_a_curve() {
        let (_, certificate) = holder(KeyKind::P256);
        let refused = envelope(b"plain", &certificate, Cipher::Aes128).unwrap_err();
        assert_eq!(refused, MessageError::KeyNotRsa("CN=X".to_owned()));
    }
}
