//! The keys that providers sign their bearer tokens with, as the scenario names them.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use der::{Decode as _, Document};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::prepare::{read, unusable};
use super::{RunError, Scenario};
use crate::apns::admission::Admission;
use crate::apns::bearer::ProviderKey;
use crate::scenario::ProviderKeySpec;

/// Elliptic curve keys, and the curve P-256 (RFC 5480).
const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";

/// How long an uncompressed point of P-256 is, in bytes, and how it begins (SEC 1).
const POINT: usize = 65;
const UNCOMPRESSED: u8 = 4;

/// What a file of such a key is, in a message.
const PURPOSE: &str = "is the public key of a push provider";

/// Why a file holds no such key.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("it is no PEM with `-----BEGIN PUBLIC KEY-----`: {0}")]
    Pem(der::Error),
    #[error("it is another kind of key: Apple's are of the curve P-256")]
    Kind,
}

/// Lets a gateway take the bearer tokens that are signed with the scenario's keys.
///
/// # Errors
/// When the file of a key cannot be read, or is none.
pub(in crate::engine) fn trust(
    admission: &mut Admission,
    scenario: &Scenario,
) -> Result<(), RunError> {
    let specs = scenario.apns.provider_keys.iter();
    let keys: Vec<ProviderKey> = specs.map(key).collect::<Result<_, _>>()?;
    admission.trust_keys(keys, verifies);
    Ok(())
}

fn key(spec: &ProviderKeySpec) -> Result<ProviderKey, RunError> {
    let path = &spec.public_key;
    let pem = read(path, PURPOSE)?;
    let public = point(&pem).map_err(|error| unusable(path, PURPOSE, &error))?;
    Ok(ProviderKey {
        key_id: spec.key_id.clone(),
        team_id: spec.team_id.clone(),
        topics: spec.topics.clone(),
        environment: spec.environment,
        public,
    })
}

/// The point of a public key in PEM.
fn point(pem: &str) -> Result<Vec<u8>, KeyError> {
    let (label, document) = Document::from_pem(pem.trim_start()).map_err(KeyError::Pem)?;
    if label != "PUBLIC KEY" {
        return Err(KeyError::Kind);
    }
    let key = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).map_err(KeyError::Pem)?;
    let curve = key.algorithm.parameters_oid().map_err(|_| KeyError::Kind)?;
    let point = key.subject_public_key.raw_bytes();
    let is_ours = key.algorithm.oid.to_string() == EC
        && curve.to_string() == P256
        && point.len() == POINT
        && point.first() == Some(&UNCOMPRESSED);
    is_ours.then(|| point.to_vec()).ok_or(KeyError::Kind)
}

/// Whether `signature` is of `message` by the key `public` (ES256; RFC 7518, section 3.4).
fn verifies(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
    key.verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use rcgen::{KeyPair, PublicKeyData as _};

    use super::*;

    #[test]
    fn a_key_in_pem_verifies_what_its_private_half_signs() {
        let pair = KeyPair::generate().unwrap();
        let public = point(&pair.public_key_pem()).unwrap();
        assert_eq!(public, pair.der_bytes());
        let private = pair.serialize_der();
        let private = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private);
        let signature = private.unwrap().sign(&SystemRandom::new(), b"message");
        let signature = signature.unwrap();
        assert!(verifies(&public, b"message", signature.as_ref()));
        assert!(!verifies(&public, b"another", signature.as_ref()));
        assert!(!verifies(&public[1..], b"message", signature.as_ref()));
    }

    #[test]
    fn what_is_no_such_key_is_refused() {
        let pair = KeyPair::generate().unwrap();
        for pem in ["", "garbage", &pair.serialize_pem()] {
            assert!(point(pem).is_err(), "{pem}");
        }
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let error = point(&other.public_key_pem()).unwrap_err().to_string();
        assert!(error.contains("P-256"), "{error}");
    }
}
