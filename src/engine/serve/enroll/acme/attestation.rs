//! What a device says about itself and its key: the attestation of `device-attest-01`
//! (draft-acme-device-attest, in the form "apple").
//!
//! The object is CBOR; only the few forms that it is made of are read, each length is checked
//! before it is used, and nothing nests deeper than the object does.

use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;

/// More certificates are no chain of ours.
const CERTIFICATES_MAX: usize = 8;

const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.9.1");
const UDID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.9.2");
const FRESHNESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.11.1");

/// What an attestation says, once its chain is trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attested {
    /// The device's serial number, if it is in it.
    pub(super) serial: Option<String>,
    /// The device's UDID, if it is in it.
    pub(super) udid: Option<String>,
    /// What shows that it was made for this challenge.
    pub(super) freshness: Option<Vec<u8>>,
    /// The attested key, as SubjectPublicKeyInfo in DER.
    pub(super) public_key: Vec<u8>,
}

impl Attested {
    /// Reads the certificate that attests.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let certificate = certificate.tbs_certificate();
        let extension = |wanted: ObjectIdentifier| {
            let extensions = certificate.extensions()?.iter();
            let mut found = extensions.filter(|extension| extension.extn_id == wanted);
            found.next().map(|it| it.extn_value.as_bytes().to_vec())
        };
        let text = |wanted| extension(wanted).and_then(|bytes| String::from_utf8(bytes).ok());
        Some(Self {
            serial: text(SERIAL),
            udid: text(UDID),
            freshness: extension(FRESHNESS),
            public_key: certificate.subject_public_key_info().to_der().ok()?,
        })
    }
}

/// The chain of certificates in an attestation object, the device's own first; the error says what
/// is wrong with it.
pub(super) fn chain_of(object: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let mut object = Reader { rest: object };
    let mut chain = None;
    let mut is_apple = false;
    for _ in 0..object.begin(MAP)? {
        match object.text()? {
            "fmt" => is_apple = object.text()? == "apple",
            "attStmt" => chain = Some(object.statement()?),
            "authData" => drop(object.bytes()?),
            _ => return Err("the attestation object has an unknown member"),
        }
    }
    if !object.rest.is_empty() {
        return Err("there is something after the attestation object");
    }
    if !is_apple {
        return Err("the attestation's fmt is not \"apple\"");
    }
    match chain {
        Some(chain) if !chain.is_empty() => Ok(chain),
        Some(_) | None => Err("the attestation has no certificates in attStmt.x5c"),
    }
}

/// Major types of CBOR (RFC 8949 section 3.1).
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The statement's certificates.
    fn statement(&mut self) -> Result<Vec<CertificateDer<'static>>, &'static str> {
        let mut chain = Vec::new();
        for _ in 0..self.begin(MAP)? {
            if self.text()? != "x5c" {
                return Err("the attestation's attStmt has an unknown member");
            }
            let count = self.begin(ARRAY)?;
            if count > CERTIFICATES_MAX || !chain.is_empty() {
                return Err("the attestation has too many certificates");
            }
            for _ in 0..count {
                chain.push(CertificateDer::from(self.bytes()?.to_vec()));
            }
        }
        Ok(chain)
    }

    fn text(&mut self) -> Result<&'a str, &'static str> {
        let length = self.begin(TEXT)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text in it is not UTF-8")
    }

    fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.begin(BYTES)?;
        self.take(length)
    }

    /// The length of the item of the type `major` that comes next.
    fn begin(&mut self, major: u8) -> Result<usize, &'static str> {
        let first = self.take(1)?[0];
        if first >> 5 != major {
            return Err("the attestation object is not what CBOR of one looks like");
        }
        let length = match first & 31 {
            short @ 0..24 => u32::from(short),
            24 => u32::from(self.take(1)?[0]),
            25 => u32::from(u16::from_be_bytes([self.take(1)?[0], self.take(1)?[0]])),
            26 => {
                let bytes = self.take(4)?;
                u32::from_be_bytes(bytes.try_into().expect("four bytes were taken"))
            }
            _ => return Err("a length in the attestation object is indefinite or too long"),
        };
        usize::try_from(length).map_err(|_| "a length in the attestation object is too long")
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or("the attestation object ends too early")?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"fmt": "apple", "attStmt": {"x5c": [h'aabb', h'cc']}}`.
    const OBJECT: &[u8] = b"\xa2\x63fmt\x65apple\x67attStmt\xa1\x63x5c\x82\x42\xaa\xbb\x58\x01\xcc";

    #[test]
    fn the_chain_is_found_in_the_object() {
        let chain = chain_of(OBJECT).unwrap();
        let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
        assert_eq!(chain, [&b"\xaa\xbb"[..], b"\xcc"]);
    }

    #[test]
    fn an_object_cut_anywhere_is_refused() {
        for end in 0..OBJECT.len() {
            chain_of(&OBJECT[..end]).unwrap_err();
        }
        chain_of(&[OBJECT, b"\0"].concat()).unwrap_err();
    }

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_reserved() {
        for lie in [
            &b"\xba\xff\xff\xff\xff"[..],
            b"\xbf\xff",
            b"\xa1\x7a\xff\xff\xff\xff",
            b"\xa1\x67attStmt\xa1\x63x5c\x9a\xff\xff\xff\xff",
        ] {
            chain_of(lie).unwrap_err();
        }
    }
}
