//! The certificates of an authority (GetCACert, RFC 8894 3.2.1.1): to whom requests are encrypted, and
//! whose answers count.

use aws_lc_rs::digest;

use super::ScepError;
use crate::engine::pki::certificate::Certificate;
use crate::engine::pki::signed_data;

/// An authority, as the device knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificates {
    all: Vec<Certificate>,
    recipient: usize,
}

impl CaCertificates {
    /// Reads the answer to GetCACert: one certificate, or a message that carries several.
    pub fn read(answer: &[u8]) -> Result<Self, ScepError> {
        let all = match Certificate::read(answer) {
            Ok(only) => vec![only],
            Err(_) => signed_data::read(answer)?.certificates().to_vec(),
        };
        if all.is_empty() {
            return Err(ScepError::NoCertificates);
        }
        let recipient = recipient(&all).ok_or(ScepError::NoRecipient)?;
        Ok(Self { all, recipient })
    }

    /// The certificate that requests are encrypted to: a registration authority for it if there is one,
    /// else the authority's own.
    pub fn recipient(&self) -> &Certificate {
        &self.all[self.recipient]
    }

    /// All of them, in no order.
    pub fn all(&self) -> &[Certificate] {
        &self.all
    }

    /// Whether one of the certificates has this SHA-1 or SHA-256, whichever its length is that of. A
    /// fingerprint of another length, such as MD5's, fits none.
    pub fn has_fingerprint(&self, fingerprint: &[u8]) -> bool {
        let algorithm = match fingerprint.len() {
            20 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            32 => &digest::SHA256,
            _ => return false,
        };
        let mut all = self.all.iter();
        all.any(|it| digest::digest(algorithm, it.der()).as_ref() == fingerprint)
    }

    /// Whether answers signed with `signer` count.
    pub(super) fn vouches_for(&self, signer: &Certificate) -> bool {
        self.all
            .iter()
            .any(|it| it == signer || it.is_authority() && signer.is_signed_by(it))
    }
}

fn recipient(all: &[Certificate]) -> Option<usize> {
    let enciphers = |it: &Certificate| it.key_usage().is_none_or(|usage| usage.key_encipherment());
    let best = |wanted: &dyn Fn(&Certificate) -> bool| {
        all.iter().position(|it| it.has_rsa_key() && wanted(it))
    };
    best(&|it| enciphers(it) && !it.is_authority())
        .or_else(|| best(&enciphers))
        .or_else(|| best(&|_| true))
}
