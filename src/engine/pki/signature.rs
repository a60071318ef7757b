//! Checking signatures that others made.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use der::asn1::ObjectIdentifier as Oid;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// The digests that signatures are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    /// Broken; still met in old signers.
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// An algorithm, digest, key or curve that is not known here.
    #[error(
        "the algorithm {0} is not known, expected SHA-1, SHA-256, SHA-384 or SHA-512 with RSA of 2048 \
         to 8192 bits or ECDSA on P-256, P-384 or P-521"
    )]
    Algorithm(String),
    /// The signature is wrong.
    #[error("the signature does not match the signer's key")]
    Wrong,
}

impl Digest {
    /// The digest called `oid`, on its own or in the name of a signature.
    pub(super) fn of(oid: Oid) -> Option<Self> {
        match oid {
            SHA1 | SHA1_WITH_RSA => Some(Self::Sha1),
            SHA256 | SHA256_WITH_RSA | ECDSA_WITH_SHA256 => Some(Self::Sha256),
            SHA384 | SHA384_WITH_RSA | ECDSA_WITH_SHA384 => Some(Self::Sha384),
            SHA512 | SHA512_WITH_RSA | ECDSA_WITH_SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The digest of `bytes`.
    pub(super) fn sum(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }
}

/// Checks a signature over `message` by the holder of `key`.
pub(super) fn check(
    key: &SubjectPublicKeyInfoOwned,
    digest: Digest,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let algorithm = algorithm(key, digest)?;
    UnparsedPublicKey::new(algorithm, key.subject_public_key.raw_bytes())
        .verify(message, signature)
        .map_err(|_| SignatureError::Wrong)
}

fn algorithm(
    key: &SubjectPublicKeyInfoOwned,
    digest: Digest,
) -> Result<&'static dyn VerificationAlgorithm, SignatureError> {
    if key.algorithm.oid == RSA {
        return Ok(match digest {
            Digest::Sha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Digest::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Digest::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            Digest::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        });
    }
    let unknown = |oid: Oid| SignatureError::Algorithm(oid.to_string());
    if key.algorithm.oid != CURVES {
        return Err(unknown(key.algorithm.oid));
    }
    let curve = key.algorithm.parameters.as_ref();
    let curve = curve.and_then(|it| it.decode_as::<Oid>().ok());
    let curve = curve.ok_or_else(|| unknown(CURVES))?;
    match (curve, digest) {
        (P256, Digest::Sha256) => Ok(&ECDSA_P256_SHA256_ASN1),
        (P256, Digest::Sha384) => Ok(&ECDSA_P256_SHA384_ASN1),
        (P256, Digest::Sha512) => Ok(&ECDSA_P256_SHA512_ASN1),
        (P384, Digest::Sha256) => Ok(&ECDSA_P384_SHA256_ASN1),
        (P384, Digest::Sha384) => Ok(&ECDSA_P384_SHA384_ASN1),
        (P384, Digest::Sha512) => Ok(&ECDSA_P384_SHA512_ASN1),
        (P521, Digest::Sha256) => Ok(&ECDSA_P521_SHA256_ASN1),
        (P521, Digest::Sha384) => Ok(&ECDSA_P521_SHA384_ASN1),
        (P521, Digest::Sha512) => Ok(&ECDSA_P521_SHA512_ASN1),
        (_, _) => Err(unknown(curve)),
    }
}

/// rsaEncryption.
pub(super) const RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.1");
const CURVES: Oid = Oid::new_unwrap("1.2.840.10045.2.1");
const P256: Oid = Oid::new_unwrap("1.2.840.10045.3.1.7");
const P384: Oid = Oid::new_unwrap("1.3.132.0.34");
const P521: Oid = Oid::new_unwrap("1.3.132.0.35");
const SHA1: Oid = Oid::new_unwrap("1.3.14.3.2.26");
const SHA256: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.3");
const SHA1_WITH_RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.5");
const SHA256_WITH_RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_WITH_RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_WITH_RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.13");
const ECDSA_WITH_SHA256: Oid = Oid::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: Oid = Oid::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_WITH_SHA512: Oid = Oid::new_unwrap("1.2.840.10045.4.3.4");
