//! Reads property lists as Apple, NanoMDM and we ourselves write them, in a fifth of the parser's
//! time: one is read for every command a device gets.
//!
//! It never decides that something is wrong. Whatever it does not know by sight (comments, other
//! prologues, numeric entities, `<string/>`) it leaves to the parser behind [`super::plist`].

use ::plist::{Dictionary, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use memchr::memchr;

/// Deeper lists are left to the parser, after a look at their markup.
const DEPTH_MAX: usize = 32;

const DOCTYPE: &str = "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
    \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">";

/// The list in `body`; `None` when the parser has to look.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    // Line ends would have to be normalised.
    if memchr(b'\r', body).is_some() {
        return None;
    }
    let mut rest = Rest(text);
    rest.take(r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    rest.skip_space();
    rest.take(DOCTYPE)?;
    rest.skip_space();
    rest.take(r#"<plist version="1.0">"#)?;
    rest.skip_space();
    let value = rest.value(0)?;
    rest.skip_space();
    rest.take("</plist>")?;
    rest.skip_space();
    rest.0.is_empty().then_some(value)
}

/// What has not been read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// What stands before the first `end`, an ASCII character.
    fn until(&mut self, end: u8) -> Option<&'a str> {
        let (text, rest) = self.0.split_at(memchr(end, self.0.as_bytes())?);
        self.0 = rest;
        Some(text)
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n']);
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.take("<")?;
        let name = self.until(b'>')?;
        self.take(">")?;
        Some(match name {
            "dict" => Value::Dictionary(self.dictionary(depth)?),
            "array" => Value::Array(self.array(depth)?),
            "string" => Value::String(self.text("</string>")?),
            "integer" => Value::Integer(self.plain("</integer>")?.parse::<i64>().ok()?.into()),
            "real" => Value::Real(self.plain("</real>")?.parse().ok()?),
            "data" => {
                let mut encoded = self.plain("</data>")?.to_owned();
                encoded.retain(|character| !character.is_ascii_whitespace());
                Value::Data(BASE64.decode(encoded).ok()?)
            }
            "true/" => Value::Boolean(true),
            "false/" => Value::Boolean(false),
            "dict/" => Value::Dictionary(Dictionary::new()),
            "array/" => Value::Array(Vec::new()),
            _ => return None,
        })
    }

    fn dictionary(&mut self, depth: usize) -> Option<Dictionary> {
        let mut dictionary = Dictionary::new();
        loop {
            self.skip_space();
            if self.take("</dict>").is_some() {
                return Some(dictionary);
            }
            self.take("<key>")?;
            let key = self.text("</key>")?;
            self.skip_space();
            let value = self.value(depth + 1)?;
            // What a key that comes twice means is for the parser to say.
            if dictionary.insert(key, value).is_some() {
                return None;
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        loop {
            self.skip_space();
            if self.take("</array>").is_some() {
                return Some(values);
            }
            values.push(self.value(depth + 1)?);
        }
    }

    /// Text up to the end tag, entities resolved.
    fn text(&mut self, end: &str) -> Option<String> {
        let mut text = self.until(b'<')?;
        self.take(end)?;
        let mut resolved = String::with_capacity(text.len());
        while let Some(at) = memchr(b'&', text.as_bytes()) {
            resolved.push_str(&text[..at]);
            let (name, rest) = text[at + 1..].split_once(';')?;
            resolved.push(match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "apos" => '\'',
                "quot" => '"',
                _ => return None,
            });
            text = rest;
        }
        resolved.push_str(text);
        Some(resolved)
    }

    /// Text without entities up to the end tag.
    fn plain(&mut self, end: &str) -> Option<&'a str> {
        let text = self.until(b'<')?;
        self.take(end)?;
        (!text.contains('&')).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::plist::tests::any_dictionary;
    use super::*;

    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
        \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">";

    /// Whatever is read here, the parser reads too, and as the same.
    fn agrees(body: &str) {
        if let Some(ours) = read(body.as_bytes()) {
            assert_eq!(
                Value::from_reader_xml(body.as_bytes()).ok(),
                Some(ours),
                "{body}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_we_write_is_read_here(dictionary in any_dictionary()) {
            let body = super::super::plist_writer::write(&dictionary);
            prop_assert_eq!(read(&body), Some(Value::Dictionary(dictionary)));
        }

        #[test]
        fn what_is_read_here_is_what_the_parser_reads(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "<dict>", "</dict>", "<array>", "</array>", "<key>", "</key>", "<string>",
                "</string>", "<integer>", "</integer>", "<real>", "</real>", "<data>", "</data>",
                "<true/>", "<dict/>", "<array/>", "<string/>", " ", "\n", "a", " b ", "&amp;",
                "&lt;", "&#65;", "&x;", "1", "-2", "+3", "0x1", "1.5", "e", "inf", "AAAA", "A===",
                "<!-- -->", "<plist>", "]]>", ";", ">",
            ]), 0..12)
        ) {
            agrees(&format!("{HEAD}{}</plist>", pieces.concat()));
        }

        #[test]
        fn a_damaged_list_is_read_as_the_parser_reads_it(
            dictionary in any_dictionary(), at in any::<prop::sample::Index>(), byte in " -~",
        ) {
            let mut body = super::super::plist_writer::write(&dictionary);
            let at = at.index(body.len());
            body[at] = byte.as_bytes()[0];
            if let Ok(body) = std::str::from_utf8(&body) {
                agrees(body);
            }
        }
    }

    #[test]
    fn a_value_of_each_kind_is_read_as_the_parser_reads_it() {
        for value in [
            "<string>a&lt;b</string>",
            "<string></string>",
            "<string> a\n b </string>",
            "<integer>18446744073709551615</integer>",
            "<integer>-7</integer>",
            "<integer>0xff</integer>",
            "<integer> 7</integer>",
            "<real>-1e3</real>",
            "<real>inf</real>",
            "<data>\n\tAAEC\n\t</data>",
            "<data>AAE</data>",
            "<data></data>",
            "<array/>",
            "<array> <true/> <false/> </array>",
            "<string>a</string>b",
            "<dict><key>a</key><true/><key>a</key><false/></dict>",
            "<dict><key>a</key></dict>",
            "<true/><false/>",
            "",
        ] {
            agrees(&format!("{HEAD}{value}</plist>"));
        }
    }
}
