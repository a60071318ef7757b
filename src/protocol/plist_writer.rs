//! Writes XML property lists, byte for byte as the parser's own writer does, in a fifth of its time:
//! one is written for every command a device answers.

use ::plist::{Dictionary, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
    \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
    <plist version=\"1.0\">\n";

/// How many bytes make one line of base64, as Apple's tools break it.
const LINE_BYTES: usize = 51;

/// Writes a document's entries one by one, without collecting them in a [`Dictionary`].
pub(super) struct Entries {
    body: Vec<u8>,
}

impl Entries {
    /// The beginning of a document.
    pub(super) fn new() -> Self {
        let mut body = Vec::with_capacity(1024);
        body.extend_from_slice(HEAD.as_bytes());
        body.extend_from_slice(b"<dict>");
        Self { body }
    }

    /// Writes an entry. That no key comes twice is for the caller to see to.
    pub(super) fn push(&mut self, key: &str, value: &Value) {
        push_key(&mut self.body, key, 0);
        push_value(&mut self.body, value, 1);
    }

    /// Writes an entry that is a string.
    pub(super) fn push_text(&mut self, key: &str, text: &str) {
        push_key(&mut self.body, key, 0);
        push_element(&mut self.body, "string", text);
    }

    /// The whole document.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.body.extend_from_slice(b"\n</dict>\n</plist>");
        self.body
    }
}

/// The whole document.
pub(super) fn write(dictionary: &Dictionary) -> Vec<u8> {
    if dictionary.is_empty() {
        return [HEAD, "<dict/>\n</plist>"].concat().into_bytes();
    }
    let mut entries = Entries::new();
    for (key, value) in dictionary {
        entries.push(key, value);
    }
    entries.end()
}

fn push_value(body: &mut Vec<u8>, value: &Value, depth: usize) {
    match value {
        Value::Dictionary(dictionary) => push_dictionary(body, dictionary, depth),
        Value::Array(values) if values.is_empty() => body.extend_from_slice(b"<array/>"),
        Value::Array(values) => {
            body.extend_from_slice(b"<array>");
            for value in values {
                push_line(body, depth + 1);
                push_value(body, value, depth + 1);
            }
            push_line(body, depth);
            body.extend_from_slice(b"</array>");
        }
        Value::Boolean(is_true) => {
            let element: &[u8] = if *is_true { b"<true/>" } else { b"<false/>" };
            body.extend_from_slice(element);
        }
        Value::Data(bytes) => {
            body.extend_from_slice(b"<data>");
            for line in bytes.chunks(LINE_BYTES) {
                push_line(body, depth);
                body.extend_from_slice(BASE64.encode(line).as_bytes());
            }
            push_line(body, depth);
            body.extend_from_slice(b"</data>");
        }
        Value::Date(date) => push_element(body, "date", &date.to_xml_format()),
        Value::Real(number) => push_element(body, "real", &number.to_string()),
        Value::Integer(number) => push_element(body, "integer", &number.to_string()),
        Value::String(text) => push_element(body, "string", text),
        Value::Uid(_) => unreachable!("XML property lists have no UIDs, so none can be read"),
        _ => unreachable!("these are all the values of a property list"),
    }
}

fn push_dictionary(body: &mut Vec<u8>, dictionary: &Dictionary, depth: usize) {
    if dictionary.is_empty() {
        body.extend_from_slice(b"<dict/>");
        return;
    }
    body.extend_from_slice(b"<dict>");
    for (key, value) in dictionary {
        push_key(body, key, depth);
        push_value(body, value, depth + 1);
    }
    push_line(body, depth);
    body.extend_from_slice(b"</dict>");
}

/// The key of an entry of a dictionary at `depth`, up to where its value begins.
fn push_key(body: &mut Vec<u8>, key: &str, depth: usize) {
    push_line(body, depth + 1);
    push_element(body, "key", key);
    push_line(body, depth + 1);
}

fn push_element(body: &mut Vec<u8>, name: &str, text: &str) {
    body.push(b'<');
    body.extend_from_slice(name.as_bytes());
    body.push(b'>');
    push_escaped(body, text);
    body.extend_from_slice(b"</");
    body.extend_from_slice(name.as_bytes());
    body.push(b'>');
}

fn push_line(body: &mut Vec<u8>, depth: usize) {
    body.push(b'\n');
    body.resize(body.len() + depth, b'\t');
}

/// Appends `text` with the characters that XML reserves escaped, and those it does not allow
/// replaced.
pub(super) fn push_escaped(body: &mut Vec<u8>, text: &str) {
    // All bytes are looked at, whatever the first ones are: that is done sixteen at a time.
    let is_reserved =
        |byte: u8| byte.is_ascii_control() || matches!(byte, b'&' | b'<' | b'>' | b'\'' | b'"');
    let has_reserved = text
        .bytes()
        .fold(false, |any, byte| any | is_reserved(byte));
    if !has_reserved {
        body.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        match character {
            '&' => body.extend_from_slice(b"&amp;"),
            '<' => body.extend_from_slice(b"&lt;"),
            '>' => body.extend_from_slice(b"&gt;"),
            '\'' => body.extend_from_slice(b"&apos;"),
            '"' => body.extend_from_slice(b"&quot;"),
            '\t' | '\n' => body.push(character as u8),
            control if control.is_ascii_control() => body.extend_from_slice("\u{fffd}".as_bytes()),
            other => body.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::plist::tests::any_dictionary;
    use super::*;

    proptest! {
        #[test]
        fn it_writes_what_the_parsers_own_writer_writes(dictionary in any_dictionary()) {
            let mut theirs = Vec::new();
            ::plist::to_writer_xml(&mut theirs, &dictionary).unwrap();
            let ours = String::from_utf8(write(&dictionary)).unwrap();
            prop_assert_eq!(ours, String::from_utf8(theirs).unwrap());
        }
    }

    #[test]
    fn what_xml_does_not_allow_is_replaced() {
        let mut body = Vec::new();
        push_escaped(&mut body, "a\u{1}<b>");
        assert_eq!(body, "a\u{fffd}&lt;b&gt;".as_bytes());
    }
}
