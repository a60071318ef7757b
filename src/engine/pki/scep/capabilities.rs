//! What an authority says it can do (GetCACaps, RFC 8894 3.5.2).

use crate::engine::pki::enveloped_data::Cipher;

/// What devices look for in an authority's capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// PKIOperation may be sent by POST.
    pub post: bool,
    /// It knows AES.
    pub aes: bool,
    /// It takes RenewalReq.
    pub renewal: bool,
}

/// So much of an answer is looked at: the keywords of the standard have 150 bytes together.
const TEXT_MAX: usize = 16 * 1024;

impl Capabilities {
    /// Reads the answer: one keyword a line, those not known are let be.
    pub fn read(answer: &[u8]) -> Self {
        let answer = String::from_utf8_lossy(&answer[..answer.len().min(TEXT_MAX)]);
        let mut found = Self::default();
        for line in answer.lines() {
            match line.trim().to_ascii_lowercase().as_str() {
                "postpkioperation" => found.post = true,
                "aes" => found.aes = true,
                "renewal" => found.renewal = true,
                // RFC 8894 3.5.2: AES and POSTPKIOperation, and SHA-256, which is sent anyhow.
                "scepstandard" => (found.post, found.aes) = (true, true),
                _ => {}
            }
        }
        found
    }

    /// The cipher for what is sent to the authority.
    pub const fn cipher(&self) -> Cipher {
        match self.aes {
            true => Cipher::Aes128,
            false => Cipher::TripleDes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found_whatever_surrounds_them() {
        let read = Capabilities::read(b"Renewal\r\nSHA-1\n  aes \nteleport\xff\nDES3");
        assert!(read.renewal && read.aes && !read.post);
        assert_eq!(read.cipher(), Cipher::Aes128);
        let standard = Capabilities::read(b"SCEPStandard");
        assert!(standard.post && standard.aes && !standard.renewal);
        let none = Capabilities::read(&vec![b'x'; 1 << 20]);
        assert_eq!(none, Capabilities::default());
        assert_eq!(none.cipher(), Cipher::TripleDes);
    }
}
