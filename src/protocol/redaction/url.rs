//! URLs in a text, without what lets somebody in.
//!
//! A manifest's URL may be signed, an enrolment's may have a token, and either may begin with a name and
//! a password. Which part of a query is secret nobody can tell by its name, so all values go: what stands
//! before an `@` in the authority, and what stands in query and fragment, but for the names.

use super::BLOT;

/// What ends a URL in a text: no URL has these. A quotation mark that it may have (RFC 3986) does not,
/// lest a password with one be shown.
const ENDS: [char; 3] = ['"', '<', '>'];

/// What stands between scheme and authority.
const MARK: &str = "://";

/// `text` with the secrets of its URLs blotted out.
pub fn without_secrets(text: String) -> String {
    if !text.contains(MARK) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(MARK) {
        shown += take(&mut rest, Some(at + MARK.len()));
        let end = rest.find(|c| is_end(c) || "/?#".contains(c));
        push_authority(&mut shown, take(&mut rest, end));
        // In the path of a URL may be another.
        let mut path = rest.char_indices();
        let end = path.find(|(at, c)| {
            is_end(*c) || "?#".contains(*c) || rest.as_bytes()[*at..].starts_with(MARK.as_bytes())
        });
        shown += take(&mut rest, end.map(|(at, _)| at));
        push_query(&mut shown, &mut rest);
    }
    shown + rest
}

/// What stands before `end`, or all; the text goes on after it.
fn take<'a>(text: &mut &'a str, end: Option<usize>) -> &'a str {
    let (taken, rest) = text.split_at(end.unwrap_or(text.len()));
    *text = rest;
    taken
}

fn is_end(c: char) -> bool {
    c.is_whitespace() || c.is_control() || ENDS.contains(&c)
}

fn push_authority(shown: &mut String, authority: &str) {
    let host = authority.rsplit_once('@').map(|(_, host)| host);
    if host.is_some() {
        shown.push_str(BLOT);
        shown.push('@');
    }
    shown.push_str(host.unwrap_or(authority));
}

/// Writes query and fragment, if `rest` begins with either. Each part begins with its separator.
fn push_query(shown: &mut String, rest: &mut &str) {
    while let Some(separator) = rest.chars().next().filter(|c| "?#&;".contains(*c)) {
        shown.push_str(take(rest, Some(separator.len_utf8())));
        let end = rest.find(|c| is_end(c) || "?#&;".contains(c));
        let part = take(rest, end);
        match part.split_once('=') {
            Some((name, value)) => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(if value.is_empty() { "" } else { BLOT });
            }
            None if part.is_empty() => {}
            // A name without a value may as well be a value without a name.
            None => shown.push_str(BLOT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        without_secrets(text.to_owned())
    }

    #[test]
    fn userinfo_and_the_values_of_queries_and_fragments_are_blotted_out_and_names_stay() {
        for (text, clean) in [
            (
                "https://mdm.example/app.plist",
                "https://mdm.example/app.plist",
            ),
            (
                "https://user:pass@word@mdm.example:8443/a?b",
                "https://<redacted>@mdm.example:8443/a?<redacted>",
            ),
            (
                "https://s3.example/a.plist?X-Amz-Signature=5ec&expires=1&&empty=#access_token=5ec",
                "https://s3.example/a.plist?X-Amz-Signature=<redacted>&expires=<redacted>&&empty=#access_token=<redacted>",
            ),
            (
                "https://mdm.example?sig=a=b?c/d@e",
                "https://mdm.example?sig=<redacted>?<redacted>",
            ),
            ("scheme://5ec@host", "scheme://<redacted>@host"),
            (
                "https://a.example/to/https://5ec@b.example/?to=https://c.example",
                "https://a.example/to/https://<redacted>@b.example/?to=<redacted>",
            ),
            ("https://mdm.example/@a", "https://mdm.example/@a"),
        ] {
            assert_eq!(shown(text), clean);
        }
    }

    #[test]
    fn urls_are_found_in_the_middle_of_a_text_and_other_texts_stay_as_they_are() {
        assert_eq!(
            shown("see <https://a.example/?k=5ec>, or\nhttps://u@b.example."),
            "see <https://a.example/?k=<redacted>>, or\nhttps://<redacted>@b.example."
        );
        for text in ["", "?key=value", "a@b.example", "://", "ends in ://"] {
            assert_eq!(shown(text), text);
        }
    }

    /// A server may send four megabytes of anything: it is read once.
    #[test]
    fn a_text_of_nothing_but_marks_takes_no_time() {
        for odd in ["://", "://@", "a://b?c=", "://?", "://ä#;"] {
            let text = odd.repeat(1_000_000);
            assert!(shown(&text).len() >= text.len());
        }
    }
}
