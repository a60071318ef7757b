//! Certificates that others handed out, read within bounds.

use der::Decode as _;

use super::asn1::{content_of, split_tlv, subject_and_key};
use super::ber;
use super::signature::{self, Digest};
use crate::engine::authority::Validity;
use crate::time::WallTime;

/// A certificate, as bytes and as what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    subject: Vec<u8>,
    public_key: Vec<u8>,
    parsed: x509_cert::Certificate,
}

/// Why bytes are no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is too large, too deep or truncated.
    #[error("the certificate cannot be read: {0}")]
    Encoding(#[from] ber::BerError),
    /// It is something else.
    #[error("it is no X.509 certificate: {0}")]
    Structure(String),
}

impl Certificate {
    /// Reads a DER certificate.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let der = ber::normal(der, ber::CERTIFICATE)?;
        // Not from_der, which sorts sets by insertion: a long one would take its square.
        let parsed = x509_cert::Certificate::from_ber(&der)
            .map_err(|error| CertificateError::Structure(error.to_string()))?;
        let (subject, public_key) = subject_and_key(&der)
            .ok_or_else(|| CertificateError::Structure("it has no key".to_owned()))?;
        Ok(Self {
            subject: subject.to_vec(),
            public_key: public_key.to_vec(),
            der: der.into_owned(),
            parsed,
        })
    }

    /// The certificate as DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject in the form of RFC 4514, `CN=a,O=b`.
    pub fn subject(&self) -> String {
        self.tbs().subject().to_string()
    }

    /// The subject's common name, if it has one.
    pub fn common_name(&self) -> Option<String> {
        super::common_name(self.tbs().subject())
    }

    /// The issuer in the form of RFC 4514.
    pub fn issuer(&self) -> String {
        self.tbs().issuer().to_string()
    }

    /// The subject as DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// The public key as a DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The serial number's digits, most significant first.
    pub fn serial(&self) -> &[u8] {
        self.tbs().serial_number().as_bytes()
    }

    /// When it may be used.
    pub fn validity(&self) -> Validity {
        Validity::of(self.tbs().validity())
    }

    /// Whether it may be used at `at`.
    pub fn is_valid(&self, at: WallTime) -> bool {
        self.validity().contains(at)
    }

    /// Whether its key is of RSA, the only kind that something can be encrypted to here.
    pub fn has_rsa_key(&self) -> bool {
        self.tbs().subject_public_key_info().algorithm.oid == signature::RSA
    }

    /// Whether it may sign other certificates.
    pub fn is_authority(&self) -> bool {
        let found = self.tbs().get_extension();
        matches!(
            found,
            Ok(Some((
                _,
                x509_cert::ext::pkix::BasicConstraints { ca: true, .. }
            )))
        )
    }

    /// What its key may be used for, if it says so.
    pub fn key_usage(&self) -> Option<x509_cert::ext::pkix::KeyUsage> {
        self.tbs()
            .get_extension()
            .ok()
            .flatten()
            .map(|(_, usage)| usage)
    }

    /// Whether `issuer` signed it: the names fit, and so does the signature.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let message = content_of(&self.der).and_then(split_tlv);
        let (Some((message, _)), Some(digest), Some(signature)) = (
            message,
            Digest::of(self.parsed.signature_algorithm().oid),
            self.parsed.signature().as_bytes(),
        ) else {
            return false;
        };
        let key = issuer.tbs().subject_public_key_info();
        issuer.tbs().subject() == self.tbs().issuer()
            && signature::check(key, digest, message, signature).is_ok()
    }

    pub(super) fn tbs(&self) -> &x509_cert::TbsCertificate {
        self.parsed.tbs_certificate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::authority::Authority;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    #[test]
    fn a_certificate_knows_its_issuer() {
        let (authority, _) = Authority::create("ours", NOW).unwrap();
        let (other, _) = Authority::create("ours", NOW).unwrap();
        let leaf = authority.device_certificate("UDID", NOW).unwrap();
        let read = |der: &[u8]| Certificate::read(der).unwrap();
        let (root, other) = (read(authority.certificate()), read(other.certificate()));
        let leaf = read(&leaf.chain[0]);
        assert!(leaf.is_signed_by(&root) && root.is_signed_by(&root));
        assert!(!leaf.is_signed_by(&other) && !root.is_signed_by(&leaf));
        assert!(root.is_authority() && !leaf.is_authority());
        assert_eq!(leaf.common_name().as_deref(), Some("UDID"));
        assert_eq!(leaf.subject(), "CN=UDID");
        assert!(!leaf.has_rsa_key() && leaf.is_valid(NOW));
        assert!(Certificate::read(&leaf.der()[1..]).is_err());
    }
}
