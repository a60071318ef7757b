//! XML property lists, as MDM sends them, read with care.
//!
//! The parser behind this takes more than MDM may send and fails badly on some of it: it drops
//! CDATA without a word, and a deeply nested document overflows the stack when it is freed. So
//! [`decode`] looks over the markup first and refuses by name what must not reach the parser.

use ::plist::{Dictionary, Value};
use thiserror::Error;

use super::{plist_reader, plist_writer};

/// The largest body that is read, in bytes: 4 MiB, four times the largest configuration profiles
/// that are usual, and small enough to hold one per open request.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// How deep elements may be nested. Profiles need about ten levels.
pub const MAX_DEPTH: usize = 64;

/// Why a body is not a property list that MDM may carry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlistError {
    /// Larger than [`MAX_BODY`].
    #[error("the body has {bytes} bytes, but at most {MAX_BODY} are read")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A body without content.
    #[error("the body is empty, not a property list")]
    Empty,
    /// A binary property list.
    #[error("found a binary property list (bplist), but MDM carries XML")]
    Binary,
    /// An HTML page, as proxies and gateways send it.
    #[error("found HTML ({start}), not an XML property list")]
    Html {
        /// How it begins.
        start: String,
    },
    /// Text or bytes of another kind.
    #[error("found {start:?}, not an XML property list")]
    NotXml {
        /// How it begins.
        start: String,
    },
    /// A CDATA section.
    #[error("found a CDATA section at byte {at}, which property lists do not have")]
    Cdata {
        /// Where, in bytes from the start of the body.
        at: usize,
    },
    /// Nested too deeply.
    #[error("elements are nested more than {MAX_DEPTH} deep at byte {at}")]
    TooDeep {
        /// Where, in bytes from the start of the body.
        at: usize,
    },
    /// Not well-formed, cut short, or with elements and values a property list does not have.
    #[error("not a complete XML property list: {what}")]
    Malformed {
        /// What is wrong.
        what: String,
    },
}

/// Reads an XML property list.
pub fn decode(body: &[u8]) -> Result<Value, PlistError> {
    if body.len() > MAX_BODY {
        return Err(PlistError::TooLarge { bytes: body.len() });
    }
    if let Some(value) = plist_reader::read(body) {
        return Ok(value);
    }
    refuse_other_formats(body)?;
    refuse_unsafe_markup(body)?;
    Value::from_reader_xml(body).map_err(|error| PlistError::Malformed {
        what: error.to_string(),
    })
}

/// Writes `dictionary` as an XML property list.
pub fn encode(dictionary: &Dictionary) -> Vec<u8> {
    plist_writer::write(dictionary)
}

/// The string at `key`, if there is one and it is a string.
pub(super) fn text<'a>(dictionary: &'a Dictionary, key: &str) -> Option<&'a str> {
    dictionary.get(key).and_then(Value::as_string)
}

fn refuse_other_formats(body: &[u8]) -> Result<(), PlistError> {
    if body.starts_with(b"bplist") {
        return Err(PlistError::Binary);
    }
    let content = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let content = content.trim_ascii_start();
    if content.is_empty() {
        return Err(PlistError::Empty);
    }
    let head = content[..content.len().min(14)].to_ascii_lowercase();
    if head.starts_with(b"<html") || head.starts_with(b"<!doctype html") {
        return Err(PlistError::Html {
            start: start_of(content),
        });
    }
    if content[0] != b'<' {
        return Err(PlistError::NotXml {
            start: start_of(content),
        });
    }
    Ok(())
}

/// The first line of `content`, shortened, for a message.
fn start_of(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(&content[..content.len().min(80)]);
    let line = text.lines().next().unwrap_or_default();
    let start: String = line.chars().take(40).collect();
    if start.len() < content.len() {
        start + "..."
    } else {
        start
    }
}

/// Walks over the markup and counts nesting. It is stricter than the parser wherever the two could
/// disagree about where markup ends, so that nothing can hide an opening tag from it.
fn refuse_unsafe_markup(body: &[u8]) -> Result<(), PlistError> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(offset) = find(&body[at..], b"<") {
        at += offset;
        let rest = &body[at..];
        let length = if rest.starts_with(b"<![CDATA[") {
            return Err(PlistError::Cdata { at });
        } else if rest.starts_with(b"<!--") {
            // `<!-->` and `<!--->` end in some parsers and go on in others.
            if rest[4..].starts_with(b">") || rest[4..].starts_with(b"->") {
                return Err(malformed_at("a comment that ends as it begins", at));
            }
            4 + end_of(&rest[4..], b"-->", at)?
        } else if rest.starts_with(b"<?") {
            2 + end_of(&rest[2..], b"?>", at)?
        } else {
            let length = end_of(rest, b">", at)?;
            let inside = &rest[1..length - 1];
            if inside.contains(&b'<') || (inside.starts_with(b"!") && inside.contains(&b'[')) {
                return Err(malformed_at("markup within markup", at));
            }
            if inside.starts_with(b"/") {
                depth = depth.saturating_sub(1);
            } else if !inside.starts_with(b"!") && !inside.ends_with(b"/") {
                depth += 1;
            }
            if depth > MAX_DEPTH {
                return Err(PlistError::TooDeep { at });
            }
            length
        };
        at += length;
    }
    if depth > 0 {
        return Err(malformed_at("it is cut short", body.len()));
    }
    Ok(())
}

/// How many bytes of `rest` there are up to and including the first `end`.
fn end_of(rest: &[u8], end: &[u8], at: usize) -> Result<usize, PlistError> {
    find(rest, end)
        .map(|found| found + end.len())
        .ok_or_else(|| malformed_at("markup that does not end", at))
}

fn malformed_at(what: &str, at: usize) -> PlistError {
    PlistError::Malformed {
        what: format!("{what} at byte {at}"),
    }
}

/// Where `needle` first occurs. A needle is at most three bytes long.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text as it occurs in messages: with everything that has to be escaped.
    pub(in crate::protocol) fn any_text() -> impl Strategy<Value = String> {
        "[ -~äß語]{0,24}"
    }

    /// Any value a property list can carry, a few levels deep.
    pub(in crate::protocol) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any_text().prop_map(Value::String),
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(|number| Value::Integer(number.into())),
            (-1e9..1e9).prop_map(Value::Real),
            prop::collection::vec(any::<u8>(), 0..80).prop_map(Value::Data),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec((any_text(), inner), 0..5)
                    .prop_map(|entries| Value::Dictionary(entries.into_iter().collect())),
            ]
        })
    }

    /// Any dictionary.
    pub(in crate::protocol) fn any_dictionary() -> impl Strategy<Value = Dictionary> {
        prop::collection::vec((any_text(), any_value()), 0..5)
            .prop_map(|entries| entries.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_the_same(dictionary in any_dictionary()) {
            let decoded = decode(&encode(&dictionary)).unwrap();
            prop_assert_eq!(decoded, Value::Dictionary(dictionary));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&body);
        }

        #[test]
        fn any_markup_is_read_or_refused_without_a_panic(body in "(<(/?)(plist|dict|array|key|string|!--|\\?)(/?)>?|-->|\\?>|[a-z&;\"]){0,40}") {
            let _ = decode(body.as_bytes());
        }
    }

    #[test]
    fn each_body_that_is_no_xml_property_list_is_refused_by_name() {
        let deep = "<array>".repeat(100_000);
        let cases: [(&[u8], &str); 9] = [
            (b"", "the body is empty, not a property list"),
            (
                b"bplist00\x00",
                "found a binary property list (bplist), but MDM carries XML",
            ),
            (
                b"<html><body>502</body></html>",
                "found HTML (<html><body>502</body></html>), not an XML property list",
            ),
            (
                b" <!DOCTYPE HTML>\n<p>no",
                "found HTML (<!DOCTYPE HTML>...), not an XML property list",
            ),
            (
                b"{\"a\":1}",
                "found \"{\\\"a\\\":1}\", not an XML property list",
            ),
            (
                b"<plist><string><![CDATA[a]]></string></plist>",
                "found a CDATA section at byte 15, which property lists do not have",
            ),
            (
                deep.as_bytes(),
                "elements are nested more than 64 deep at byte 448",
            ),
            (
                b"<plist><dict><key>a",
                "not a complete XML property list: it is cut short at byte 19",
            ),
            (
                b"<plist><dict><!-- </dict>",
                "not a complete XML property list: markup that does not end at byte 13",
            ),
        ];
        for (body, message) in cases {
            assert_eq!(decode(body).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn nothing_hides_an_opening_tag_from_the_depth_count() {
        for closing in [
            "<!--</a>-->",
            "<?x </a>?>",
            "<a b=\"</a>\"/>",
            "<!--><a>-->",
            "<!x [</a>]>",
        ] {
            let body = format!("<plist>{}", format!("<array>{closing}").repeat(1000));
            assert!(decode(body.as_bytes()).is_err(), "{closing}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_unread() {
        assert_eq!(
            decode(&vec![b'<'; MAX_BODY + 1]),
            Err(PlistError::TooLarge {
                bytes: MAX_BODY + 1
            })
        );
    }
}
