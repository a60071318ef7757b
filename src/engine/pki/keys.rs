//! The key pairs of devices and authorities.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use rustls::pki_types::PrivateKeyDer;

use super::asn1;

/// The kinds of keys that devices have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
    /// Elliptic curve, P-256.
    P256,
    /// Elliptic curve, P-384.
    P384,
    /// Elliptic curve, P-521.
    P521,
}

/// Those that are no RSA.
const CURVES: [KeyKind; 3] = [KeyKind::P256, KeyKind::P384, KeyKind::P521];

/// Why there is no key, or no signature of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The library made none.
    #[error("no {0} key can be made: the library for cryptography refused")]
    Generate(KeyKind),
    /// Bytes that are no key of a kind that devices have.
    #[error(
        "the key cannot be read: expected one of RSA with 2048, 3072 or 4096 bits, P-256, P-384 or P-521"
    )]
    Read,
    /// The library did not sign.
    #[error("the key does not sign")]
    Sign,
    /// Only RSA keys decrypt.
    #[error("the key is {0}, but only an RSA key decrypts")]
    NotRsa(KeyKind),
    /// The pool cannot be read or written.
    #[error("the key pool cannot be used: {0}")]
    Pool(String),
    /// Whoever makes keys is gone.
    #[error("no more keys are made: the run ends")]
    Stopped,
}

impl KeyKind {
    /// Of RSA keys, the length of the modulus in bits.
    pub const fn rsa_bits(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(2048),
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
            Self::P256 | Self::P384 | Self::P521 => None,
        }
    }

    fn rsa_size(self) -> Option<rsa::KeySize> {
        match self {
            Self::Rsa2048 => Some(rsa::KeySize::Rsa2048),
            Self::Rsa3072 => Some(rsa::KeySize::Rsa3072),
            Self::Rsa4096 => Some(rsa::KeySize::Rsa4096),
            Self::P256 | Self::P384 | Self::P521 => None,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa2048 => "RSA-2048",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        })
    }
}

/// A key pair, ready to sign.
///
/// RSA and P-256 keys sign with SHA-256, P-384 keys with SHA-384, P-521 keys with SHA-512.
pub struct DeviceKey {
    kind: KeyKind,
    pair: Pair,
    pkcs8: Box<[u8]>,
    public: Box<[u8]>,
}

enum Pair {
    Rsa(rsa::KeyPair),
    Curve(EcdsaKeyPair),
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl DeviceKey {
    /// A new key. Takes about 50 ms of CPU for RSA-2048, ten times that for RSA-4096, and 10 us for P-256.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let made = || KeyError::Generate(kind);
        match kind.rsa_size() {
            Some(size) => Self::of_rsa(rsa::KeyPair::generate(size).map_err(|_| made())?),
            None => {
                let algorithm = kind.curve().expect("what is not RSA is a curve");
                Self::of_curve(kind, EcdsaKeyPair::generate(algorithm).map_err(|_| made())?)
            }
        }
    }

    /// The key in a PKCS#8 document without a password.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        // Curves first: reading one costs 20 us, finding that it is no RSA key next to nothing.
        for kind in CURVES {
            let algorithm = kind.curve().expect("this is a curve");
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8) {
                return Self::of_curve(kind, pair);
            }
        }
        Self::of_rsa(rsa::KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::Read)?)
    }

    /// The key in any of the forms that PEM files hold without a password: PKCS#8, PKCS#1 (RSA alone)
    /// and SEC 1 (curves alone).
    pub fn from_der(key: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        match key {
            PrivateKeyDer::Pkcs8(key) => Self::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => {
                let pair = rsa::KeyPair::from_der(key.secret_pkcs1_der());
                Self::of_rsa(pair.map_err(|_| KeyError::Read)?)
            }
            PrivateKeyDer::Sec1(key) => {
                for kind in CURVES {
                    let algorithm = kind.curve().expect("this is a curve");
                    let pair = EcdsaKeyPair::from_private_key_der(algorithm, key.secret_sec1_der());
                    if let Ok(pair) = pair {
                        return Self::of_curve(kind, pair);
                    }
                }
                Err(KeyError::Read)
            }
            // The library may know further forms one day.
            _ => Err(KeyError::Read),
        }
    }

    pub(super) fn of_rsa(pair: rsa::KeyPair) -> Result<Self, KeyError> {
        let kind = match pair.public_modulus_len() {
            256 => KeyKind::Rsa2048,
            384 => KeyKind::Rsa3072,
            512 => KeyKind::Rsa4096,
            _ => return Err(KeyError::Read),
        };
        let pkcs8 = pair.as_der().map_err(|_| KeyError::Read)?;
        let pkcs8 = pkcs8.as_ref().into();
        let public = pair.public_key().as_der().map_err(|_| KeyError::Read)?;
        let public = public.as_ref().into();
        Ok(Self {
            kind,
            pair: Pair::Rsa(pair),
            pkcs8,
            public,
        })
    }

    fn of_curve(kind: KeyKind, pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError::Read)?;
        let pkcs8 = pkcs8.as_ref().into();
        let public = pair.public_key().as_der().map_err(|_| KeyError::Read)?;
        let public = public.as_ref().into();
        Ok(Self {
            kind,
            pair: Pair::Curve(pair),
            pkcs8,
            public,
        })
    }

    /// What kind it is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The private key as PKCS#8. Never to be printed.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key as a DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// Signs `message` (PKCS#1 v1.5, or ECDSA in its DER form).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyError::Sign)?;
                Ok(signature)
            }
            Pair::Curve(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| KeyError::Sign)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    /// The digest that goes with the key's signatures.
    pub(super) const fn digest(&self) -> &'static digest::Algorithm {
        match self.kind {
            KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 | KeyKind::P256 => {
                &digest::SHA256
            }
            KeyKind::P384 => &digest::SHA384,
            KeyKind::P521 => &digest::SHA512,
        }
    }

    /// The AlgorithmIdentifier of the digest.
    pub(super) const fn digest_algorithm(&self) -> &'static [u8] {
        match self.kind {
            KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 | KeyKind::P256 => SHA256,
            KeyKind::P384 => SHA384,
            KeyKind::P521 => SHA512,
        }
    }

    /// The AlgorithmIdentifier of the signatures in certificates and requests.
    pub(super) const fn signature_algorithm(&self) -> &'static [u8] {
        match self.kind {
            KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => SHA256_WITH_RSA,
            KeyKind::P256 => ECDSA_WITH_SHA256,
            KeyKind::P384 => ECDSA_WITH_SHA384,
            KeyKind::P521 => ECDSA_WITH_SHA512,
        }
    }

    /// The same in CMS, where readers expect the bare rsaEncryption (RFC 3370 3.2).
    pub(super) const fn cms_algorithm(&self) -> &'static [u8] {
        match self.kind {
            KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => RSA_ENCRYPTION,
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => self.signature_algorithm(),
        }
    }

    /// The SHA-1 of the public key's bits, which certificates name it by (RFC 5280 4.2.1.2).
    pub fn identifier(&self) -> Vec<u8> {
        key_identifier(&self.public).expect("the public key was written by the library")
    }
}

/// The SHA-1 of the bits of a SubjectPublicKeyInfo; `None` when it is none.
pub(super) fn key_identifier(public_key: &[u8]) -> Option<Vec<u8>> {
    let (_algorithm, bits) = asn1::split_tlv(asn1::content_of(public_key)?)?;
    let bits = asn1::content_of(asn1::split_tlv(bits)?.0)?.get(1..)?;
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bits);
    Some(sum.as_ref().to_vec())
}

impl KeyKind {
    const fn curve(self) -> Option<&'static aws_lc_rs::signature::EcdsaSigningAlgorithm> {
        match self {
            Self::P256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Self::P384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
            Self::P521 => Some(&ECDSA_P521_SHA512_ASN1_SIGNING),
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => None,
        }
    }
}

/// AlgorithmIdentifier: 2.16.840.1.101.3.4.2.1, without parameters (RFC 5754).
pub(super) const SHA256: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
/// AlgorithmIdentifier: 2.16.840.1.101.3.4.2.2.
pub(super) const SHA384: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02";
/// AlgorithmIdentifier: 2.16.840.1.101.3.4.2.3.
pub(super) const SHA512: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03";
/// AlgorithmIdentifier: 1.2.840.10045.4.3.2, without parameters.
pub(super) const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// AlgorithmIdentifier: 1.2.840.10045.4.3.3.
pub(super) const ECDSA_WITH_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
/// AlgorithmIdentifier: 1.2.840.10045.4.3.4.
pub(super) const ECDSA_WITH_SHA512: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04";
/// AlgorithmIdentifier: 1.2.840.113549.1.1.1, NULL.
pub(super) const RSA_ENCRYPTION: &[u8] =
    b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// AlgorithmIdentifier: 1.2.840.113549.1.1.11, NULL.
const SHA256_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_is_read_back() {
        for kind in [
            KeyKind::Rsa2048,
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
        ] {
            let made = DeviceKey::generate(kind).unwrap();
            let read = DeviceKey::from_pkcs8(made.pkcs8()).unwrap();
            assert_eq!(read.kind(), kind);
            assert_eq!(read.public_key(), made.public_key());
            assert_eq!(read.identifier().len(), 20);
            assert!(!format!("{made:?}").contains("pkcs8"));
        }
        assert_eq!(DeviceKey::from_pkcs8(b"0").unwrap_err(), KeyError::Read);
    }
}
