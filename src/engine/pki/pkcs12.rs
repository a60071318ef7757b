//! Identities in a file with a password (PKCS#12, RFC 7292), as profiles carry them.
//!
//! Read are AES (PBES2) and 3DES, under a password or without one. Kept crates for it bring a second
//! generation of the `der` and `x509-cert` crates along.

use aws_lc_rs::{hmac, pbkdf2};
use der::asn1::ObjectIdentifier as Oid;
use rustls::pki_types::CertificateDer;

use super::asn1::{CONTEXT_0, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Values};
use super::ber::{self, BerError, Limits};
use super::certificate::{Certificate, CertificateError};
use super::enveloped_data::Cipher;
use super::keys::{DeviceKey, KeyError};
use super::signature::Digest;

/// A key with its certificates.
#[derive(Debug)]
pub struct Pkcs12 {
    /// The key.
    pub key: DeviceKey,
    /// The certificate for the key.
    pub certificate: Certificate,
    /// The other certificates in the file.
    pub others: Vec<Certificate>,
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Pkcs12Error {
    /// It is too large, too deep or truncated.
    #[error("the PKCS#12 file cannot be read: {0}")]
    Encoding(#[from] BerError),
    /// It is something else.
    #[error("it is no PKCS#12 file: {0} is missing")]
    Structure(&'static str),
    /// The password is wrong.
    #[error("the password of the PKCS#12 file is wrong")]
    Password,
    /// It asks for more work than any honest file does.
    #[error("the PKCS#12 file asks for {0} rounds, expected at most {ROUNDS_MAX}")]
    Rounds(u64),
    /// An algorithm that is not known here.
    #[error(
        "the PKCS#12 file is protected with {0}, expected PBES2 with AES, or 3DES: write it anew with \
         `openssl pkcs12 -export`"
    )]
    Algorithm(String),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// The bounds of a file: a key and its chain take some KB.
const FILE: Limits = Limits {
    bytes: 256 * 1024,
    depth: 24,
    values: 4096,
};
/// OpenSSL does 2,048; OWASP recommends 1,300,000 of the fastest digest for people's passwords.
const ROUNDS_MAX: u64 = 1_400_000;
/// A file has a bag for certificates and one for the key.
const BAGS_MAX: usize = 16;

/// What is in the bags so far.
#[derive(Default)]
struct Found {
    keys: Vec<Vec<u8>>,
    certificates: Vec<Vec<u8>>,
    /// Rounds of all that was decrypted, so that many small parts cost no more than a large one.
    rounds: u64,
}

impl Pkcs12 {
    /// Reads a file.
    pub fn read(file: &[u8], password: &str) -> Result<Self, Pkcs12Error> {
        let file = ber::normal(file, FILE)?;
        let mut file = Values(Values(&file).take(SEQUENCE).ok_or(missing("its frame"))?);
        file.take(INTEGER).ok_or(missing("its version"))?;
        let safe = file.take(SEQUENCE).ok_or(missing("its content"))?;
        let (kind, safe) = content_info(safe)?;
        if kind != DATA {
            return Err(missing("a content under a password"));
        }
        let safe = Values(safe)
            .take(OCTET_STRING)
            .ok_or(missing("its content"))?;
        let mut found = Found::default();
        if let Some(mac) = file.take(SEQUENCE) {
            check_mac(mac, safe, password, &mut found)?;
        }
        let safe = ber::normal(safe, FILE)?;
        let mut safes = Values(Values(&safe).take(SEQUENCE).ok_or(missing("its bags"))?);
        let mut bags = 0;
        while let Some(safe) = safes.take(SEQUENCE) {
            bags += 1;
            if bags > BAGS_MAX {
                return Err(missing("an end to its bags"));
            }
            let contents = match content_info(safe)? {
                (DATA, data) => Values(data)
                    .take(OCTET_STRING)
                    .ok_or(missing("a bag's content"))?
                    .to_vec(),
                (ENCRYPTED_DATA, data) => encrypted_data(data, password, &mut found)?,
                (kind, _) => return Err(Pkcs12Error::Algorithm(kind.to_string())),
            };
            read_bags(&contents, password, &mut found)?;
        }
        let key = found.keys.first().ok_or(missing("a private key"))?;
        let key = DeviceKey::from_pkcs8(key)?;
        let mut certificate = None;
        let mut others = Vec::new();
        for der in &found.certificates {
            let read = Certificate::read(der)?;
            match certificate.is_none() && read.public_key() == key.public_key() {
                true => certificate = Some(read),
                false => others.push(read),
            }
        }
        Ok(Self {
            key,
            certificate: certificate.ok_or(missing("a certificate for its key"))?,
            others,
        })
    }

    /// The certificates, that of the key first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let all = std::iter::once(&self.certificate).chain(&self.others);
        all.map(|it| CertificateDer::from(it.der().to_vec()))
            .collect()
    }
}

const fn missing(what: &'static str) -> Pkcs12Error {
    Pkcs12Error::Structure(what)
}

/// The type and the content of a ContentInfo.
fn content_info(content: &[u8]) -> Result<(Oid, &[u8]), Pkcs12Error> {
    let mut values = Values(content);
    let kind = oid(&mut values)?;
    let content = values.take(CONTEXT_0).ok_or(missing("a content"))?;
    Ok((kind, content))
}

fn oid(values: &mut Values<'_>) -> Result<Oid, Pkcs12Error> {
    let id = values.take(OBJECT_IDENTIFIER);
    let id = id.and_then(|id| Oid::from_bytes(id).ok());
    id.ok_or(missing("an object identifier"))
}

/// The plain content of an EncryptedData.
fn encrypted_data(data: &[u8], password: &str, found: &mut Found) -> Result<Vec<u8>, Pkcs12Error> {
    let mut data = Values(
        Values(data)
            .take(SEQUENCE)
            .ok_or(missing("EncryptedData"))?,
    );
    data.take(INTEGER).ok_or(missing("a version"))?;
    let mut content = Values(data.take(SEQUENCE).ok_or(missing("EncryptedContent"))?);
    oid(&mut content)?;
    let algorithm = content.take(SEQUENCE).ok_or(missing("a cipher"))?;
    let text = match content.take(IMPLICIT_0) {
        Some(whole) => whole.to_vec(),
        None => {
            let mut segments = Values(content.take(CONTEXT_0).ok_or(missing("a content"))?);
            let mut whole = Vec::new();
            while let Some(segment) = segments.take(OCTET_STRING) {
                whole.extend_from_slice(segment);
            }
            whole
        }
    };
    decrypt(algorithm, &text, password, found)
}

/// Takes the keys and certificates out of a SafeContents.
fn read_bags(contents: &[u8], password: &str, found: &mut Found) -> Result<(), Pkcs12Error> {
    let contents = ber::normal(contents, FILE)?;
    let mut bags = Values(Values(&contents).take(SEQUENCE).ok_or(missing("a bag"))?);
    while let Some(bag) = bags.take(SEQUENCE) {
        if found.keys.len() + found.certificates.len() == BAGS_MAX {
            return Err(missing("an end to its bags"));
        }
        let mut bag = Values(bag);
        let kind = oid(&mut bag)?;
        let mut value = Values(bag.take(CONTEXT_0).ok_or(missing("a bag's value"))?);
        match kind {
            KEY_BAG => found.keys.push(value.0.to_vec()),
            SHROUDED_KEY_BAG => {
                let mut key = Values(value.take(SEQUENCE).ok_or(missing("a key"))?);
                let algorithm = key.take(SEQUENCE).ok_or(missing("a key's cipher"))?;
                let text = key.take(OCTET_STRING).ok_or(missing("a key"))?;
                let key = decrypt(algorithm, text, password, found)?;
                found.keys.push(key);
            }
            CERTIFICATE_BAG => {
                let mut bag = Values(value.take(SEQUENCE).ok_or(missing("a certificate"))?);
                if oid(&mut bag)? == X509_CERTIFICATE {
                    let der = bag.take(CONTEXT_0);
                    let der = der.and_then(|it| Values(it).take(OCTET_STRING));
                    let der = der.ok_or(missing("a certificate"))?;
                    found.certificates.push(der.to_vec());
                }
            }
            // Revocation lists, secrets, bags in bags: not what an identity is made of.
            _ => {}
        }
    }
    Ok(())
}

/// Decrypts with a key made of the password, as `algorithm` (the content of an AlgorithmIdentifier) says.
fn decrypt(
    algorithm: &[u8],
    text: &[u8],
    password: &str,
    found: &mut Found,
) -> Result<Vec<u8>, Pkcs12Error> {
    let mut algorithm = Values(algorithm);
    let kind = oid(&mut algorithm)?;
    let parameters = algorithm.take(SEQUENCE);
    let mut parameters = Values(parameters.ok_or(missing("a cipher's parameters"))?);
    let (cipher, key, vector) = match kind {
        PBES2 => pbes2(&mut parameters, password, found)?,
        SHA1_AND_3DES => {
            let salt = parameters.take(OCTET_STRING).ok_or(missing("a salt"))?;
            let rounds = rounds(&mut parameters, found)?;
            let made =
                |purpose, length| derive(Digest::Sha1, password, salt, rounds, purpose, length);
            (Cipher::TripleDes, made(1, 24), made(2, 8))
        }
        SHA1_AND_RC2 => return Err(Pkcs12Error::Algorithm("RC2 with 40 bits".to_owned())),
        kind => return Err(Pkcs12Error::Algorithm(kind.to_string())),
    };
    let plain = cipher.decrypt(&key, &vector, text);
    plain.ok_or(Pkcs12Error::Password)
}

/// The cipher, the key and the vector of PBES2 (RFC 8018 6.2).
fn pbes2(
    parameters: &mut Values<'_>,
    password: &str,
    found: &mut Found,
) -> Result<(Cipher, Vec<u8>, Vec<u8>), Pkcs12Error> {
    let mut derivation = Values(parameters.take(SEQUENCE).ok_or(missing("a derivation"))?);
    let kind = oid(&mut derivation)?;
    if kind != PBKDF2 {
        return Err(Pkcs12Error::Algorithm(kind.to_string()));
    }
    let mut derivation = Values(derivation.take(SEQUENCE).ok_or(missing("a derivation"))?);
    let salt = derivation.take(OCTET_STRING).ok_or(missing("a salt"))?;
    let rounds = rounds(&mut derivation, found)?;
    derivation.take(INTEGER);
    let function = match derivation.take(SEQUENCE) {
        None => HMAC_SHA1,
        Some(function) => oid(&mut Values(function))?,
    };
    let function = match function {
        HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
        HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
        HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
        HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
        other => return Err(Pkcs12Error::Algorithm(other.to_string())),
    };
    let mut scheme = Values(parameters.take(SEQUENCE).ok_or(missing("a cipher"))?);
    let kind = oid(&mut scheme)?;
    let cipher = Cipher::of(kind).map_err(|_| Pkcs12Error::Algorithm(kind.to_string()))?;
    let vector = scheme.take(OCTET_STRING).ok_or(missing("a vector"))?;
    let mut key = vec![0; cipher.key_length()];
    pbkdf2::derive(function, rounds, salt, password.as_bytes(), &mut key);
    Ok((cipher, key, vector.to_vec()))
}

fn rounds(values: &mut Values<'_>, found: &mut Found) -> Result<std::num::NonZeroU32, Pkcs12Error> {
    let digits = values.take(INTEGER).ok_or(missing("a number of rounds"))?;
    let digits = match digits.len() <= 5 {
        true => digits,
        false => &[0xff; 5],
    };
    let rounds = digits.iter().fold(0_u64, |sum, &d| sum << 8 | u64::from(d));
    found.rounds += rounds;
    if found.rounds > ROUNDS_MAX {
        return Err(Pkcs12Error::Rounds(found.rounds));
    }
    let rounds = u32::try_from(rounds)
        .ok()
        .and_then(std::num::NonZeroU32::new);
    rounds.ok_or(missing("a number of rounds"))
}

/// Checks the code that says whether the password is right (RFC 7292, appendix B.4).
fn check_mac(
    mac: &[u8],
    content: &[u8],
    password: &str,
    found: &mut Found,
) -> Result<(), Pkcs12Error> {
    let mut mac = Values(mac);
    let mut info = Values(mac.take(SEQUENCE).ok_or(missing("a digest"))?);
    let mut algorithm = Values(info.take(SEQUENCE).ok_or(missing("a digest"))?);
    let kind = oid(&mut algorithm)?;
    let stated = info.take(OCTET_STRING).ok_or(missing("a digest"))?;
    let salt = mac.take(OCTET_STRING).ok_or(missing("a salt"))?;
    // One round when nothing is said.
    let rounds = match mac.0.is_empty() {
        true => std::num::NonZeroU32::MIN,
        false => rounds(&mut mac, found)?,
    };
    let unknown = || Pkcs12Error::Algorithm(kind.to_string());
    let digest = Digest::of(kind).ok_or_else(unknown)?;
    let (algorithm, length) = match digest {
        Digest::Sha1 => (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, 20),
        Digest::Sha256 => (hmac::HMAC_SHA256, 32),
        Digest::Sha384 => (hmac::HMAC_SHA384, 48),
        Digest::Sha512 => (hmac::HMAC_SHA512, 64),
    };
    let key = derive(digest, password, salt, rounds, 3, length);
    let key = hmac::Key::new(algorithm, &key);
    hmac::verify(&key, content, stated).map_err(|_| Pkcs12Error::Password)
}

/// PKCS#12's own derivation (RFC 7292, appendix B.2): `purpose` is 1 for a key, 2 for a vector, 3 for a
/// code.
fn derive(
    digest: Digest,
    password: &str,
    salt: &[u8],
    rounds: std::num::NonZeroU32,
    purpose: u8,
    length: usize,
) -> Vec<u8> {
    let block = match digest {
        Digest::Sha1 | Digest::Sha256 => 64,
        Digest::Sha384 | Digest::Sha512 => 128,
    };
    let filled = |bytes: &[u8]| -> Vec<u8> {
        let length = bytes.len().div_ceil(block) * block;
        bytes.iter().copied().cycle().take(length).collect()
    };
    // In UTF-16 with two zeros at the end.
    let mut text: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    text.extend([0, 0]);
    let mut input = [filled(salt), filled(&text)].concat();
    let mut made = Vec::new();
    while made.len() < length {
        let mut sum = digest.sum(&[&vec![purpose; block], &input[..]].concat());
        for _ in 1..rounds.get() {
            sum = digest.sum(sum.as_ref());
        }
        made.extend_from_slice(sum.as_ref());
        let added = sum.as_ref().iter().copied().cycle().take(block);
        let added: Vec<u8> = added.collect();
        for chunk in input.chunks_mut(block) {
            // Each block grows by the sum and one, as a number.
            let mut carry = 1_u16;
            for (digit, more) in chunk.iter_mut().zip(&added).rev() {
                carry += u16::from(*digit) + u16::from(*more);
                *digit = carry as u8;
                carry >>= 8;
            }
        }
    }
    made.truncate(length);
    made
}

/// `[0]`, in the place of a tag that is not constructed.
const IMPLICIT_0: u8 = 0x80;

const DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.6");
const KEY_BAG: Oid = Oid::new_unwrap("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: Oid = Oid::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: Oid = Oid::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.22.1");
const PBES2: Oid = Oid::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: Oid = Oid::new_unwrap("1.2.840.113549.1.5.12");
const SHA1_AND_3DES: Oid = Oid::new_unwrap("1.2.840.113549.1.12.1.3");
const SHA1_AND_RC2: Oid = Oid::new_unwrap("1.2.840.113549.1.12.1.6");
const HMAC_SHA1: Oid = Oid::new_unwrap("1.2.840.113549.2.7");
const HMAC_SHA256: Oid = Oid::new_unwrap("1.2.840.113549.2.9");
const HMAC_SHA384: Oid = Oid::new_unwrap("1.2.840.113549.2.10");
const HMAC_SHA512: Oid = Oid::new_unwrap("1.2.840.113549.2.11");
