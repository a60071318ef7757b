//! Profiles as they come: plain, or in a signed message.

use super::cms::{MESSAGE_BYTES_MAX, MessageError};
use super::signed_data;

/// A profile's property list, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The property list.
    pub content: Vec<u8>,
    /// Who signed it, for people: `CN=MDM,O=Example, issued by CN=Root`; `None` of a plain one.
    pub signer: Option<String>,
}

/// Takes a profile out of its signature, which has to be right; whether the signer is to be trusted is
/// for the caller to say. What does not begin as a signed message does is given back as it is.
pub fn open(profile: &[u8]) -> Result<Opened, MessageError> {
    // SEQUENCE: no property list begins with the digit 0.
    if profile.first() != Some(&0x30) {
        if profile.len() > MESSAGE_BYTES_MAX {
            return Err(super::ber::BerError::TooLarge {
                found: profile.len(),
                most: MESSAGE_BYTES_MAX,
            }
            .into());
        }
        return Ok(Opened {
            content: profile.to_vec(),
            signer: None,
        });
    }
    let signed = signed_data::read(profile)?;
    let content = signed.content().ok_or(MessageError::NoContent)?.to_vec();
    let signer = signed.verify(&[])?;
    let certificate = signer.certificate;
    let signer = match certificate.subject() == certificate.issuer() {
        true => format!("{}, signed by itself", certificate.subject()),
        false => format!(
            "{}, issued by {}",
            certificate.subject(),
            certificate.issuer()
        ),
    };
    Ok(Opened {
        content,
        signer: Some(signer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pki::draft::self_signed;
    use crate::engine::pki::keys::{DeviceKey, KeyKind};
    use crate::engine::pki::name::Name;
    use crate::engine::pki::signed_data::{Signing, sign};
    use crate::time::WallTime;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    #[test]
    fn a_profile_is_taken_out_of_its_signature() {
        let key = DeviceKey::generate(KeyKind::P256).unwrap();
        let name = Name::common("MDM").to_der().unwrap();
        let certificate = self_signed(&key, &name, NOW).unwrap();
        let signing = Signing {
            key: &key,
            certificate: &certificate,
            others: &[],
            at: NOW,
            attributes: &[],
        };
        let mut message = sign(b"<plist/>", &signing).unwrap();
        let read = open(&message).unwrap();
        assert_eq!(read.content, b"<plist/>");
        assert_eq!(read.signer.as_deref(), Some("CN=MDM, signed by itself"));
        let at = message.windows(8).position(|it| it == b"<plist/>").unwrap();
        message[at] = b'?';
        assert_eq!(open(&message), Err(MessageError::Digest));
        assert_eq!(open(b"<plist/>").unwrap().signer, None);
    }
}
