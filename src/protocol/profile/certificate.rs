//! Payloads with a certificate: what the device trusts once the profile is installed.

use ::plist::{Dictionary, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::ProfileError;
use super::keys::Keys;

/// A certificate that a profile brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `PayloadUUID`, which pinning refers to.
    pub uuid: String,
    /// The payload's type.
    pub kind: CertificateKind,
    /// The certificate, DER; whether it is one has not been looked at.
    pub der: Vec<u8>,
}

/// The type of a payload with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// `com.apple.security.root`.
    Root,
    /// `com.apple.security.pem`.
    Pem,
    /// `com.apple.security.pkcs1`.
    Pkcs1,
}

impl CertificateKind {
    const ALL: [Self; 3] = [Self::Root, Self::Pem, Self::Pkcs1];

    /// The payload's type as profiles have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "com.apple.security.root",
            Self::Pem => "com.apple.security.pem",
            Self::Pkcs1 => "com.apple.security.pkcs1",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Certificate {
    pub(super) fn read(
        kind: CertificateKind,
        uuid: &str,
        keys: &mut Keys<'_>,
    ) -> Result<Self, ProfileError> {
        keys.take("PayloadCertificateFileName");
        let content = keys.data("PayloadContent")?;
        let content = content.ok_or_else(|| keys.missing("PayloadContent"))?;
        let der = match of_pem(&content) {
            Some(der) => der,
            // PEM stands in `pkcs1` payloads of real servers too, so the type decides nothing.
            None if content.first() == Some(&0x30) => content,
            None => {
                let right = "a certificate as DER or PEM is wanted";
                return Err(keys.impossible("PayloadContent", "something else", right));
            }
        };
        let uuid = uuid.to_owned();
        Ok(Self { uuid, kind, der })
    }

    pub(super) fn is(&self, uuid: &str) -> bool {
        self.uuid.eq_ignore_ascii_case(uuid)
    }

    pub(super) fn write(&self) -> Dictionary {
        let content = match self.kind {
            CertificateKind::Root | CertificateKind::Pkcs1 => self.der.clone(),
            CertificateKind::Pem => pem(&self.der).into_bytes(),
        };
        let mut payload = Dictionary::new();
        payload.insert("PayloadContent".into(), Value::Data(content));
        payload
    }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The first certificate of a PEM text.
fn of_pem(content: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content).ok()?;
    let (_, after) = text.split_once(BEGIN)?;
    let (encoded, _) = after.split_once(END)?;
    let encoded: String = encoded.split_ascii_whitespace().collect();
    BASE64.decode(encoded).ok()
}

fn pem(der: &[u8]) -> String {
    let mut text = format!("{BEGIN}\n");
    for line in der.chunks(48) {
        text.push_str(&BASE64.encode(line));
        text.push('\n');
    }
    text + END + "\n"
}
