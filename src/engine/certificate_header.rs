//! A client certificate in an HTTP header, as proxies that terminate TLS hand it on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::authority::certificates_of;

/// How the certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Base64 of its DER between colons (RFC 9440 2.1).
    Rfc9440,
    /// PEM with URL escapes, as nginx's `$ssl_client_escaped_cert` and the annotations of its
    /// ingress controller have it.
    UrlPem,
}

/// The header's value for a certificate in DER.
pub(super) fn header_value(certificate: &[u8], encoding: Encoding) -> String {
    let base64 = STANDARD.encode(certificate);
    match encoding {
        Encoding::Rfc9440 => format!(":{base64}:"),
        Encoding::UrlPem => escaped(&pem(&base64)),
    }
}

/// The certificate in a header's value of either encoding; `None` for anything else.
pub(super) fn certificate(value: &str) -> Option<Vec<u8>> {
    let value = value.trim();
    if let Some(encoded) = value.strip_prefix(':') {
        return STANDARD.decode(encoded.strip_suffix(':')?).ok();
    }
    let found = certificates_of(&unescaped(value)?).ok()?;
    found.first().map(|certificate| certificate.to_vec())
}

/// How many characters a line of PEM has (RFC 7468 2).
const LINE: usize = 64;

fn pem(base64: &str) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64.as_bytes().chunks(LINE) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// All but unreserved characters escaped (RFC 3986 2.3), as nginx does.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::authority::Authority;
    use crate::engine::clock::wall_now;

    #[test]
    fn both_encodings_are_read_back_and_nothing_else_is() {
        let (authority, _) = Authority::create("test", wall_now()).unwrap();
        let der = certificates_of(&authority.certificate_pem()).unwrap();
        for encoding in [Encoding::Rfc9440, Encoding::UrlPem] {
            let value = header_value(&der[0], encoding);
            assert_eq!(certificate(&value).unwrap(), der[0].to_vec());
        }
        for nothing in [
            "",
            "MANhYmM=",
            ":",
            ":MA",
            "%",
            "%4",
            "%zz",
            "%FF",
            "-----BEGIN",
        ] {
            assert_eq!(certificate(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn pem_is_escaped_as_nginx_does_it() {
        let value = header_value(&[0xfb; 60], Encoding::UrlPem);
        let begins = "-----BEGIN%20CERTIFICATE-----%0A%2B%2Fv7%2B%2Fv7";
        assert!(value.starts_with(begins), "{value}");
        assert!(
            value.ends_with("%0A-----END%20CERTIFICATE-----%0A"),
            "{value}"
        );
        let lines: Vec<String> = value
            .split("%0A")
            .map(|it| unescaped(it).unwrap())
            .collect();
        assert_eq!((lines[1].len(), lines[2].len()), (64, 16));
    }
}
