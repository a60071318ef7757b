//! Bytes as hexadecimal digits, and back.

/// `bytes` as upper-case hexadecimal digits.
pub fn hex_upper(bytes: &[u8]) -> String {
    hex(bytes, b"0123456789ABCDEF")
}

/// `bytes` as lower-case hexadecimal digits.
pub fn hex_lower(bytes: &[u8]) -> String {
    hex(bytes, b"0123456789abcdef")
}

/// By table: every push and every message of a device has hexadecimal digits in it.
fn hex(bytes: &[u8], digits: &[u8; 16]) -> String {
    let digit = |half: u8| digits[usize::from(half)];
    let mut text = vec![0; bytes.len() * 2];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    String::from_utf8(text).expect("digits are ASCII")
}

/// The bytes behind hexadecimal digits of either case; `None` for anything else.
pub fn hex_decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

/// The `N` bytes behind `2 * N` hexadecimal digits of either case; `None` for anything else. Nothing is
/// allocated: every push has a token.
pub fn hex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_as_it_is_written() {
        assert_eq!(
            hex_decode(&hex_lower(&[0, 171, 255])),
            Some(vec![0, 171, 255])
        );
        assert_eq!(hex_decode("abc"), None);
        assert_eq!(hex_decode("+1"), None);
        assert_eq!(hex_array(&hex_lower(&[0, 171, 255])), Some([0, 171, 255]));
        assert_eq!(hex_array::<3>("00ab"), None);
        assert_eq!(hex_array::<1>("+1"), None);
    }
}
