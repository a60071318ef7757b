//! Writing DER by hand, and taking it apart without copying: for what is written often or has to be
//! found again byte for byte.

use crate::time::WallTime;

pub(super) const BOOLEAN_TRUE: &[u8] = &[0x01, 0x01, 0xff];
/// INTEGER 0.
pub(super) const VERSION_0: &[u8] = &[0x02, 0x01, 0x00];
/// INTEGER 1.
pub(super) const VERSION_1: &[u8] = &[0x02, 0x01, 0x01];

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const CONTEXT_0: u8 = 0xa0;
pub(super) const CONTEXT_3: u8 = 0xa3;

/// `tag`, the length, and `parts` one after the other.
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    write_head(&mut out, tag, length);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Appends `tag` and `length` to `out`.
pub(super) fn write_head(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    let bytes = u32::try_from(length)
        .expect("what is written here is under 4 GiB")
        .to_be_bytes();
    match length {
        0..=0x7f => out.push(bytes[3]),
        _ => {
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            out.push(0x80 + (4 - zeros) as u8);
            out.extend_from_slice(&bytes[zeros..]);
        }
    }
}

/// A SET OF `elements`, in the order that DER wants.
pub(super) fn set_of(tag: u8, mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort_unstable();
    let parts: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    tlv(tag, &parts)
}

/// A positive INTEGER of `digits`, most significant first.
pub(super) fn unsigned(digits: &[u8]) -> Vec<u8> {
    let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    let digits = &digits[zeros..];
    match digits.first() {
        None => tlv(INTEGER, &[&[0]]),
        Some(0x80..) => tlv(INTEGER, &[&[0], digits]),
        Some(_) => tlv(INTEGER, &[digits]),
    }
}

/// A BIT STRING of whole bytes.
pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], bytes])
}

/// The OBJECT IDENTIFIER `dotted`; `None` when it is none.
pub(super) fn oid(dotted: &str) -> Option<Vec<u8>> {
    let oid = der::asn1::ObjectIdentifier::new(dotted).ok()?;
    Some(tlv(OBJECT_IDENTIFIER, &[oid.as_bytes()]))
}

/// A moment to the second: UTCTime for the years 1950 to 2049, else GeneralizedTime (RFC 5280 4.1.2.5,
/// RFC 5652 11.3).
pub(super) fn time(at: WallTime) -> Vec<u8> {
    let stamp = jiff::Timestamp::from_second(at.unix_seconds())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC);
    let (tag, form) = match (1950..2050).contains(&stamp.year()) {
        true => (UTC_TIME, "%y%m%d%H%M%SZ"),
        false => (GENERALIZED_TIME, "%Y%m%d%H%M%SZ"),
    };
    tlv(tag, &[stamp.strftime(form).to_string().as_bytes()])
}

/// The first value in `der` with its tag and length, and what follows it.
pub(super) fn split_tlv(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = head_of(der)?;
    der.split_at_checked(head.checked_add(length)?)
}

/// What is inside the tag and length of `value`.
pub(super) fn content_of(value: &[u8]) -> Option<&[u8]> {
    value.get(head_of(value)?.0..)
}

/// How many bytes the tag and length of `der` take, and the length they state.
fn head_of(der: &[u8]) -> Option<(usize, usize)> {
    match usize::from(*der.get(1)?) {
        short @ 0..=0x7f => Some((2, short)),
        long @ 0x81..=0x84 => {
            let digits = der.get(2..2 + (long - 0x80))?;
            let length = digits.iter().fold(0, |sum, &d| sum << 8 | usize::from(d));
            Some((2 + digits.len(), length))
        }
        _ => None,
    }
}

/// Values one after the other, taken by their tags.
#[derive(Clone, Copy)]
pub(super) struct Values<'a>(pub(super) &'a [u8]);

impl<'a> Values<'a> {
    /// The content of the next value, when it has this tag; else nothing is taken.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() != Some(&tag) {
            return None;
        }
        let (value, rest) = split_tlv(self.0)?;
        self.0 = rest;
        content_of(value)
    }
}

/// The issuer and the serial number of a DER certificate, each with its tag and length.
pub(super) fn issuer_and_serial(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (serial, rest) = split_tlv(after_version(certificate)?)?;
    let (_signature_algorithm, rest) = split_tlv(rest)?;
    let (issuer, _) = split_tlv(rest)?;
    Some((issuer, serial))
}

/// The subject and the public key of a DER certificate, each with its tag and length.
pub(super) fn subject_and_key(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_serial, rest) = split_tlv(after_version(certificate)?)?;
    let (_signature_algorithm, rest) = split_tlv(rest)?;
    let (_issuer, rest) = split_tlv(rest)?;
    let (_validity, rest) = split_tlv(rest)?;
    let (subject, rest) = split_tlv(rest)?;
    let (key, _) = split_tlv(rest)?;
    Some((subject, key))
}

/// What of a certificate begins with its serial number.
fn after_version(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = split_tlv(certificate)?;
    let (tbs, _) = split_tlv(content_of(certificate)?)?;
    let rest = content_of(tbs)?;
    match rest.first() == Some(&CONTEXT_0) {
        true => Some(split_tlv(rest)?.1),
        false => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_are_as_short_as_they_can_be() {
        assert_eq!(unsigned(&[0, 0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
        assert_eq!(tlv(4, &[&[7; 127]])[..2], [4, 0x7f]);
        assert_eq!(tlv(4, &[&[7; 128]])[..3], [4, 0x81, 0x80]);
        assert_eq!(tlv(4, &[&[7; 300]])[..4], [4, 0x82, 1, 44]);
        assert_eq!(oid("2.5.4.3").unwrap(), [6, 3, 0x55, 4, 3]);
        assert_eq!(oid("somewhere"), None);
    }

    #[test]
    fn times_of_another_century_have_four_digits() {
        let at = |seconds: i64| WallTime::from_unix_micros(seconds * 1_000_000);
        assert_eq!(time(at(0))[2..], *b"700101000000Z");
        assert_eq!(time(at(2_524_608_000))[..2], [GENERALIZED_TIME, 15]);
        assert_eq!(time(at(-631_152_001))[2..], *b"19491231235959Z");
    }
}
