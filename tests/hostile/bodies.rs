//! Bodies that no server should send, and true ones made worse.

pub(crate) const HTML: &str = "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>";

pub(crate) const ARRAY: &str =
    r#"<?xml version="1.0"?><plist version="1.0"><array><string>x</string></array></plist>"#;

pub(crate) const NUMBERS: &str = r#"<?xml version="1.0"?><plist version="1.0"><dict><key>PayloadType</key><string>Configuration</string><key>PayloadContent</key><array><integer>1</integer></array></dict></plist>"#;

pub(crate) const ENTITIES: &str = r#"<?xml version="1.0"?>
<!DOCTYPE plist [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<plist version="1.0"><string>&c;</string></plist>"#;

pub(crate) fn deep_plist() -> Vec<u8> {
    let deep = "<array>".repeat(100_000);
    format!("<?xml version=\"1.0\"?><plist version=\"1.0\">{deep}").into_bytes()
}

pub(crate) fn deep_json() -> Vec<u8> {
    "[".repeat(100_000).into_bytes()
}

/// A binary property list whose only array has itself as its element.
pub(crate) fn round_plist() -> Vec<u8> {
    let mut plist = b"bplist00\xa1\x00\x08".to_vec();
    plist.extend([0, 0, 0, 0, 0, 0, 1, 1]);
    for number in [1_u64, 0, 10] {
        plist.extend(number.to_be_bytes());
    }
    plist
}

/// Values in values, each of the right length.
pub(crate) fn deep_der() -> Vec<u8> {
    let mut der = Vec::new();
    for _ in 0..20_000 {
        let length = u32::try_from(der.len()).unwrap();
        let mut outer = vec![0x30, 0x84];
        outer.extend(length.to_be_bytes());
        // Backwards, so that each is put around what is there.
        outer.reverse();
        der.extend(outer);
    }
    der.reverse();
    der
}

/// Values in values that never end.
pub(crate) fn endless_der() -> Vec<u8> {
    [0x30, 0x80].repeat(500_000)
}

pub(crate) fn vast_der() -> Vec<u8> {
    let mut der = vec![0x30, 0x88];
    der.extend([0xff; 8]);
    der.extend([0; 64]);
    der
}

/// A list of a million empty values.
pub(crate) fn wide_der() -> Vec<u8> {
    let mut der = vec![0x30, 0x83, 0x1e, 0x84, 0x80];
    der.extend([0x05, 0x00].repeat(1_000_000));
    der
}

pub(crate) fn half(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(body.len() / 2);
    body
}

pub(crate) fn more(mut body: Vec<u8>) -> Vec<u8> {
    body.extend([0x30, 0x00]);
    body
}

pub(crate) fn turned(mut body: Vec<u8>) -> Vec<u8> {
    let last = body.last_mut().unwrap();
    *last ^= 1;
    body
}

/// The content of a SEQUENCE, whose head is left out.
fn content(body: &[u8]) -> &[u8] {
    match body[1] {
        length if length < 0x80 => &body[2..],
        many => &body[2 + usize::from(many & 0x7f)..],
    }
}

/// The same in BER's form without a length.
pub(crate) fn indefinite(body: Vec<u8>) -> Vec<u8> {
    [&[0x30, 0x80], content(&body), &[0, 0]].concat()
}

/// The same with a length of more bytes than any needs.
pub(crate) fn long_length(body: Vec<u8>) -> Vec<u8> {
    let content = content(&body);
    let length = (content.len() as u64).to_be_bytes();
    [&[0x30, 0x88], &length[..], content].concat()
}

/// A profile in which what stands between `from` and `to` is another.
fn with(body: Vec<u8>, key: &str, value: &str) -> Vec<u8> {
    let text = String::from_utf8(body).unwrap();
    let key = format!("<key>{key}</key>");
    let at = text.find(&key).unwrap() + key.len();
    let rest = text[at..].trim_start();
    let kind: String = rest[1..]
        .chars()
        .take_while(|c| c.is_alphanumeric())
        .collect();
    let end = format!("</{kind}>");
    let behind = &rest[rest.find(&end).unwrap() + end.len()..];
    format!("{}{value}{behind}", &text[..at]).into_bytes()
}

pub(crate) fn topic_number(body: Vec<u8>) -> Vec<u8> {
    with(body, "Topic", "<integer>5</integer>")
}

pub(crate) fn topic_empty(body: Vec<u8>) -> Vec<u8> {
    with(body, "Topic", "<string></string>")
}

pub(crate) fn topic_other(body: Vec<u8>) -> Vec<u8> {
    with(
        body,
        "Topic",
        "<string>com.apple.mgmt.External.other</string>",
    )
}

pub(crate) fn server_by_ftp(body: Vec<u8>) -> Vec<u8> {
    with(body, "ServerURL", "<string>ftp://127.0.0.1/mdm</string>")
}

pub(crate) fn server_elsewhere(body: Vec<u8>) -> Vec<u8> {
    with(
        body,
        "ServerURL",
        "<string>https://127.0.0.1:1/mdm</string>",
    )
}

pub(crate) fn key_of_64(body: Vec<u8>) -> Vec<u8> {
    with(body, "Keysize", "<integer>64</integer>")
}

pub(crate) fn no_scep_url(body: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(body).unwrap();
    text.replace("<key>URL</key>", "<key>Url</key>")
        .into_bytes()
}

pub(crate) fn scep_by_file(body: Vec<u8>) -> Vec<u8> {
    with(body, "URL", "<string>file:///etc/passwd</string>")
}

pub(crate) fn other_fingerprint(body: Vec<u8>) -> Vec<u8> {
    with(
        body,
        "CAFingerprint",
        "<data>AAECAwQFBgcICQoLDA0ODxAREhM=</data>",
    )
}

pub(crate) fn long_subject(body: Vec<u8>) -> Vec<u8> {
    let name = "x".repeat(1 << 20);
    let subject = format!(
        "<array><array><array><string>CN</string><string>{name}</string></array></array></array>"
    );
    let text = String::from_utf8(body).unwrap();
    let at = text.find("<key>Subject</key>").unwrap();
    // In the place of the Subject that is there, which becomes a key that nobody knows.
    let (before, behind) = text.split_at(at);
    let behind = behind.replacen("Subject", "Unknown", 1);
    format!("{before}<key>Subject</key>{subject}{behind}").into_bytes()
}

fn payloads(body: Vec<u8>, count: usize) -> Vec<u8> {
    let text = String::from_utf8(body).unwrap();
    let key = "<key>PayloadContent</key>";
    // The last one of the outermost dictionary, which is sorted before or after: both are lists.
    let at = text.find(key).unwrap() + key.len();
    let at = at + text[at..].find("<array>").unwrap() + "<array>".len();
    let (before, behind) = text.split_at(at);
    format!("{before}{}{behind}", "<dict/>".repeat(count)).into_bytes()
}

pub(crate) fn many_payloads(body: Vec<u8>) -> Vec<u8> {
    payloads(body, 2_000_000)
}

pub(crate) fn some_payloads(body: Vec<u8>) -> Vec<u8> {
    payloads(body, 4_000)
}
