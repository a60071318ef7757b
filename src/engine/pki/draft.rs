//! Certificates written here: those that devices sign for themselves on the way to a real one, and
//! those that an authority issues.

use std::time::Duration;

use aws_lc_rs::rand;

use super::asn1::{
    BIT_STRING, BOOLEAN_TRUE, CONTEXT_0, CONTEXT_3, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE,
    bit_string, content_of, split_tlv, time, tlv, unsigned,
};
use super::keys::{DeviceKey, KeyError, key_identifier};
use crate::time::WallTime;

/// How long a device's own certificate lives; Apple's is not published, and nobody looks.
const SELF_SIGNED_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// A certificate before it is signed. Names and the key are DER.
pub(in crate::engine) struct Draft<'a> {
    pub(in crate::engine) serial: &'a [u8],
    pub(in crate::engine) issuer: &'a [u8],
    pub(in crate::engine) subject: &'a [u8],
    pub(in crate::engine) from: WallTime,
    pub(in crate::engine) until: WallTime,
    pub(in crate::engine) public_key: &'a [u8],
    pub(in crate::engine) extensions: &'a [Vec<u8>],
}

impl Draft<'_> {
    /// The certificate, signed by `key`.
    pub(in crate::engine) fn sign(&self, key: &DeviceKey) -> Result<Vec<u8>, KeyError> {
        let version_3 = tlv(CONTEXT_0, &[&[0x02, 0x01, 0x02]]);
        let validity = tlv(SEQUENCE, &[&time(self.from), &time(self.until)]);
        let extensions = tlv(CONTEXT_3, &[&tlv(SEQUENCE, &[&self.extensions.concat()])]);
        let tbs = tlv(
            SEQUENCE,
            &[
                &version_3,
                &unsigned(self.serial),
                key.signature_algorithm(),
                self.issuer,
                &validity,
                self.subject,
                self.public_key,
                &extensions,
            ],
        );
        let signature = bit_string(&key.sign(&tbs)?);
        Ok(tlv(
            SEQUENCE,
            &[&tbs, key.signature_algorithm(), &signature],
        ))
    }
}

/// The certificate that a device signs for itself before it has one: named `subject` (DER), and valid
/// from `now` by the device's own clock (RFC 8894 2.3).
pub fn self_signed(key: &DeviceKey, subject: &[u8], now: WallTime) -> Result<Vec<u8>, KeyError> {
    let draft = Draft {
        serial: &new_serial(),
        issuer: subject,
        subject,
        from: now,
        until: now.after(SELF_SIGNED_LIFE),
        public_key: key.public_key(),
        extensions: &[key_usage(SIGN | ENCIPHER)],
    };
    draft.sign(key)
}

/// A serial number: positive and without leading zeros.
pub(in crate::engine) fn new_serial() -> [u8; 16] {
    let mut serial = [0; 16];
    rand::fill(&mut serial).expect("the operating system gives random bytes");
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// In a mask of key usages, `digitalSignature`; payloads count alike.
pub const SIGN: u8 = 1;
/// In a mask of key usages, `keyEncipherment`; payloads count alike.
pub const ENCIPHER: u8 = 4;

/// An extension with the content octets of its identifier, and its value.
pub(super) fn extension(id: &[u8], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let id = tlv(OBJECT_IDENTIFIER, &[id]);
    let value = tlv(OCTET_STRING, &[value]);
    match is_critical {
        true => tlv(SEQUENCE, &[&id, BOOLEAN_TRUE, &value]),
        false => tlv(SEQUENCE, &[&id, &value]),
    }
}

/// The extension keyUsage for a mask whose lowest bit is `digitalSignature`.
pub(in crate::engine) fn key_usage(mask: u8) -> Vec<u8> {
    // The first bit of a BIT STRING is the highest; trailing zeros are not written (X.690 11.2.2).
    let bits = mask.reverse_bits();
    let unused = (bits.trailing_zeros() as u8).min(7);
    extension(KEY_USAGE, true, &tlv(BIT_STRING, &[&[unused, bits]]))
}

/// The extension extendedKeyUsage with `clientAuth`.
pub(in crate::engine) fn client_authentication() -> Vec<u8> {
    let purpose = tlv(OBJECT_IDENTIFIER, &[CLIENT_AUTHENTICATION]);
    extension(EXTENDED_KEY_USAGE, false, &tlv(SEQUENCE, &[&purpose]))
}

/// The extensions that name the key of a certificate and that of its issuer, whose certificate calls it
/// `issuer`.
pub(in crate::engine) fn key_names(public_key: &[u8], issuer: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    if let Some(own) = key_identifier(public_key) {
        let own = tlv(OCTET_STRING, &[&own]);
        names.push(extension(SUBJECT_KEY, false, &own));
    }
    if let Some(issuer) = issuer {
        let issuer = tlv(SEQUENCE, &[&tlv(0x80, &[issuer])]);
        names.push(extension(AUTHORITY_KEY, false, &issuer));
    }
    names
}

/// Of an extension, the content octets of its identifier; `None` when it is none.
pub(super) fn identifier_of(extension: &[u8]) -> Option<&[u8]> {
    content_of(split_tlv(content_of(extension)?)?.0)
}

/// 2.5.29.15.
pub(in crate::engine) const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
/// 2.5.29.37.
const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
/// 2.5.29.17.
pub(in crate::engine) const ALTERNATIVE_NAME: &[u8] = b"\x55\x1d\x11";
/// 2.5.29.14.
const SUBJECT_KEY: &[u8] = b"\x55\x1d\x0e";
/// 2.5.29.35.
const AUTHORITY_KEY: &[u8] = b"\x55\x1d\x23";
/// 1.3.6.1.5.5.7.3.2.
const CLIENT_AUTHENTICATION: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x02";

#[cfg(test)]
mod tests {
    use der::Decode as _;

    use super::*;
    use crate::engine::authority::Validity;
    use crate::engine::pki::keys::KeyKind;
    use crate::engine::pki::name::Name;

    #[test]
    fn a_self_signed_certificate_has_the_devices_own_time() {
        let now = WallTime::from_unix_micros(946_684_800_000_000);
        let key = DeviceKey::generate(KeyKind::P256).unwrap();
        let subject = Name::common("X").to_der().unwrap();
        let made = self_signed(&key, &subject, now).unwrap();
        let validity = Validity::of_certificate(&made).unwrap();
        assert_eq!(validity.from, now);
        let read = x509_cert::Certificate::from_der(&made).unwrap();
        let usage = read
            .tbs_certificate()
            .get_extension::<x509_cert::ext::pkix::KeyUsage>();
        let (is_critical, usage) = usage.unwrap().unwrap();
        assert!(is_critical && usage.digital_signature() && usage.key_encipherment());
        assert!(!usage.key_cert_sign());
    }
}
