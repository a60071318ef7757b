//! What a device's maker would vouch for: an attestation of its key for ACME (`device-attest-01`), and
//! the certificate that it signs with before it is enrolled.
//!
//! Apple's chain cannot be made here. A server has to trust the authority that stands in its place.

use aws_lc_rs::digest;

use super::draft::{Draft, SIGN, extension, key_names, key_usage, new_serial};
use super::keys::{DeviceKey, KeyError, KeyKind};
use super::name::{Attribute, Name};
use crate::engine::authority::{Authority, AuthorityError};
use crate::time::WallTime;

/// What an attestation says about a device.
#[derive(Clone, Copy, Debug)]
pub struct Attested<'a> {
    /// The serial number.
    pub serial: &'a str,
    /// The UDID.
    pub udid: &'a str,
    /// The key authorisation or token of the challenge, which shows that the attestation is fresh.
    pub token: &'a [u8],
    /// The key that is attested, a SubjectPublicKeyInfo.
    pub public_key: &'a [u8],
}

/// The attestation object for the challenge `device-attest-01` (draft-ietf-acme-device-attest, format
/// `apple`): CBOR with a certificate for the key from `authority`, and the authority's own.
pub fn attestation(
    attested: &Attested<'_>,
    authority: &Authority,
    now: WallTime,
) -> Result<Vec<u8>, AuthorityError> {
    let freshness = digest::digest(&digest::SHA256, attested.token);
    let mut extensions = vec![
        key_usage(SIGN),
        // Apple's values are bare bytes, not wrapped in a string of ASN.1 (smallstep/certificates,
        // acme/challenge.go).
        extension(SERIAL, false, attested.serial.as_bytes()),
        extension(UDID, false, attested.udid.as_bytes()),
        extension(FRESHNESS, false, freshness.as_ref()),
    ];
    extensions.extend(key_names(
        attested.public_key,
        authority.key_identifier().as_deref(),
    ));
    let leaf = vouched(
        attested.udid,
        attested.public_key,
        &extensions,
        authority,
        now,
    )?;
    let mut object = Vec::new();
    head(&mut object, MAP, 2);
    text(&mut object, "fmt");
    text(&mut object, "apple");
    text(&mut object, "attStmt");
    head(&mut object, MAP, 1);
    text(&mut object, "x5c");
    head(&mut object, ARRAY, 2);
    for certificate in [&leaf[..], authority.certificate()] {
        head(&mut object, BYTES, certificate.len());
        object.extend_from_slice(certificate);
    }
    Ok(object)
}

/// A key, and the certificate that the maker gave a device for it in the factory, named after the
/// device. MachineInfo and the first answer over the air are signed with it.
pub fn maker_identity(
    udid: &str,
    authority: &Authority,
    now: WallTime,
) -> Result<(DeviceKey, Vec<u8>), AuthorityError> {
    // Apple's are of RSA; the kind is nothing that servers look at, and this one costs no time.
    let key = DeviceKey::generate(KeyKind::P256).map_err(failed)?;
    let mut extensions = vec![key_usage(SIGN)];
    extensions.extend(key_names(
        key.public_key(),
        authority.key_identifier().as_deref(),
    ));
    let certificate = vouched(udid, key.public_key(), &extensions, authority, now)?;
    Ok((key, certificate))
}

fn vouched(
    udid: &str,
    public_key: &[u8],
    extensions: &[Vec<u8>],
    authority: &Authority,
    now: WallTime,
) -> Result<Vec<u8>, AuthorityError> {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
    let part = |kind: &str, value: &str| {
        vec![Attribute {
            kind: kind.to_owned(),
            value: value.to_owned(),
        }]
    };
    let subject = Name {
        parts: vec![part("CN", udid), part("OU", "mdmstorm test devices")],
    };
    let subject = subject.to_der().expect("CN and OU are known");
    let issuer = authority.subject()?;
    let draft = Draft {
        serial: &new_serial(),
        issuer: &issuer,
        subject: &subject,
        from: now.before(DAY),
        until: now.after(365 * DAY),
        public_key,
        extensions,
    };
    draft.sign(authority.key()).map_err(failed)
}

fn failed(error: KeyError) -> AuthorityError {
    AuthorityError::Issue(error.to_string())
}

/// Major types of CBOR (RFC 8949 3.1).
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// The head of a value of CBOR: its major type, and its length or count.
fn head(out: &mut Vec<u8>, major: u8, count: usize) {
    let major = major << 5;
    match count {
        0..=23 => out.push(major | count as u8),
        24..=0xff => out.extend([major | 24, count as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((count as u16).to_be_bytes());
        }
        _ => {
            let count = u32::try_from(count).expect("a certificate is under 4 GiB");
            out.push(major | 26);
            out.extend(count.to_be_bytes());
        }
    }
}

fn text(out: &mut Vec<u8>, value: &str) {
    head(out, TEXT, value.len());
    out.extend_from_slice(value.as_bytes());
}

/// 1.2.840.113635.100.8.9.1, the serial number.
const SERIAL: &[u8] = b"\x2a\x86\x48\x86\xf7\x63\x64\x08\x09\x01";
/// 1.2.840.113635.100.8.9.2, the UDID.
const UDID: &[u8] = b"\x2a\x86\x48\x86\xf7\x63\x64\x08\x09\x02";
/// 1.2.840.113635.100.8.11.1, the freshness code: the SHA-256 of the challenge's token.
const FRESHNESS: &[u8] = b"\x2a\x86\x48\x86\xf7\x63\x64\x08\x0b\x01";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pki::certificate::Certificate;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    #[test]
    fn an_attestation_vouches_for_a_key_by_a_fresh_chain() {
        let (authority, _) = Authority::create("maker", NOW).unwrap();
        let key = DeviceKey::generate(KeyKind::P384).unwrap();
        let attested = Attested {
            serial: "C02SIM000001",
            udid: "UDID",
            token: b"token.thumbprint",
            public_key: key.public_key(),
        };
        let object = attestation(&attested, &authority, NOW).unwrap();
        assert!(object.starts_with(b"\xa2\x63fmt\x65apple\x67attStmt\xa1\x63x5c\x82\x59"));
        let start = b"\xa2\x63fmt\x65apple\x67attStmt\xa1\x63x5c\x82\x59".len();
        let length = usize::from(u16::from_be_bytes([object[start], object[start + 1]]));
        let leaf = Certificate::read(&object[start + 2..start + 2 + length]).unwrap();
        let root = Certificate::read(authority.certificate()).unwrap();
        assert!(leaf.is_signed_by(&root));
        assert_eq!(leaf.public_key(), key.public_key());
        let fresh = digest::digest(&digest::SHA256, b"token.thumbprint");
        let found = |bytes: &[u8]| leaf.der().windows(bytes.len()).any(|it| it == bytes);
        assert!(found(fresh.as_ref()) && found(b"C02SIM000001") && found(FRESHNESS));
    }

    #[test]
    fn a_device_has_a_certificate_of_its_maker() {
        let (authority, _) = Authority::create("maker", NOW).unwrap();
        let (key, certificate) = maker_identity("UDID", &authority, NOW).unwrap();
        let certificate = Certificate::read(&certificate).unwrap();
        assert_eq!(certificate.public_key(), key.public_key());
        assert_eq!(certificate.common_name().as_deref(), Some("UDID"));
    }
}
