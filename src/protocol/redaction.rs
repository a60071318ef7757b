//! Bodies for people to read, without what nobody may read: the text of a property list with secrets
//! blotted out and binary data counted.

mod url;

use plist::Value;

use super::plist::{MAX_BODY, decode};

pub use url::without_secrets;

/// What the name of a key has in it, in lower case, whose value is a secret. A key too many costs a
/// reader a word; a key too few gives a password away.
pub const SECRET_PARTS: [&str; 17] = [
    "activationcode",
    "apikey",
    "bypasscode",
    "challenge",
    "credential",
    "digest",
    "licensekey",
    "magic",
    "passcode",
    "passphrase",
    "password",
    "presharedkey",
    "privatekey",
    "recoverykey",
    "redemptioncode",
    "secret",
    "token",
];

/// Keys whose value is a secret and whose name does not say so: what an ACME server knows a device by,
/// which is good once; the configuration of an app, with whatever its vendor puts there; the PIN of
/// DeviceLock and EraseDevice. In any case of letters.
pub const SECRET_KEYS: [&str; 3] = ["ClientIdentifier", "Configuration", "PIN"];

/// What stands in a secret's place.
const BLOT: &str = "<redacted>";

/// The longest text of one body; the rest is counted.
pub const TEXT_MAX: usize = 64 << 10;

/// A body as text: a property list as XML without secrets, anything else as its size.
pub fn redacted(body: &[u8]) -> String {
    if body.is_empty() {
        return String::new();
    }
    let counted = || format!("<{} bytes>", body.len());
    if body.len() > MAX_BODY {
        return counted();
    }
    let Ok(value) = decode(body) else {
        return counted();
    };
    let mut xml = Vec::new();
    // The depth is bounded: `decode` refuses what is nested more deeply.
    if blotted(value).to_writer_xml(&mut xml).is_err() {
        return counted();
    }
    shortened(String::from_utf8_lossy(&xml).into_owned())
}

fn blotted(value: Value) -> Value {
    // Identities, profiles and keys are data, and so are tokens wherever they stand.
    if let Value::Data(bytes) = &value {
        return Value::String(format!("<{} bytes>", bytes.len()));
    }
    if let Value::String(text) = value {
        return Value::String(without_secrets(text));
    }
    if let Value::Array(values) = value {
        return Value::Array(values.into_iter().map(blotted).collect());
    }
    let Value::Dictionary(dictionary) = value else {
        return value;
    };
    let blot = |(key, value): (String, Value)| {
        let value = if is_secret(&key) {
            Value::String(BLOT.to_owned())
        } else {
            blotted(value)
        };
        (key, value)
    };
    Value::Dictionary(dictionary.into_iter().map(blot).collect())
}

/// Whether what stands at `key` is a secret.
fn is_secret(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    SECRET_KEYS.iter().any(|it| it.eq_ignore_ascii_case(key))
        || SECRET_PARTS.iter().any(|part| lower.contains(part))
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let is_whole = |at: &usize| text.is_char_boundary(*at);
        let end = (0..=TEXT_MAX).rev().find(is_whole).unwrap_or_default();
        let rest = text.len() - end;
        text.truncate(end);
        text += &format!("\n<and {rest} bytes more>");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(inner: &str) -> Vec<u8> {
        format!("<?xml version=\"1.0\"?><plist version=\"1.0\"><dict>{inner}</dict></plist>").into()
    }

    #[test]
    fn secrets_are_blotted_out_at_any_depth_and_names_stay() {
        let inner = "<key>UDID</key><string>U-1</string>\
             <key>Token</key><data>c2VjcmV0</data><key>PushMagic</key><string>s3cret</string>\
             <key>UnlockToken</key><data>c2VjcmV0</data>\
             <key>Command</key><dict><key>PIN</key><string>s3cret</string>\
             <key>Users</key><array><dict><key>NewPassword</key><string>s3cret</string></dict></array>\
             <key>Payload</key><data>c2VjcmV0</data></dict>";
        let text = redacted(&list(inner));
        assert!(
            !text.contains("s3cret") && !text.contains("c2VjcmV0"),
            "{text}"
        );
        for kept in [
            "U-1",
            "PushMagic",
            "NewPassword",
            "&lt;6 bytes&gt;",
            "&lt;redacted&gt;",
        ] {
            assert!(text.contains(kept), "{kept} is not in {text}");
        }
    }

    #[test]
    fn urls_are_shown_without_what_lets_somebody_in() {
        let inner = "<key>ManifestURL</key><string>https://u:s3cret@cdn.example/a?sig=s3cret&amp;v=2</string>\
             <key>URLs</key><array><string>https://cdn.example/?s3cret</string></array>";
        let text = redacted(&list(inner));
        assert!(!text.contains("s3cret"), "{text}");
        assert!(
            text.contains("@cdn.example/a?sig=&lt;redacted&gt;&amp;v="),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_property_list_is_counted_and_never_shown() {
        assert_eq!(redacted(b"password=s3cret"), "<15 bytes>");
        assert_eq!(redacted(b""), "");
        assert_eq!(redacted(b"<plist><dict><key>a</key>"), "<25 bytes>");
    }

    #[test]
    fn a_long_body_is_cut_and_says_so() {
        let long = "ä".repeat(TEXT_MAX);
        let text = redacted(&list(&format!("<key>Name</key><string>{long}</string>")));
        assert!(text.len() < TEXT_MAX + 100 && text.ends_with(" bytes more>"));
    }
}
