//! `[enrollment]`: what a scenario says about how devices get into the target, and what of it cannot be.

use std::time::Duration;

use super::enrollment::{
    Acme, CertificateEncoding, Enrollment, KeyKind, Keys, MachineInfoBy, Method, ProfileFrom, Scep,
    Source,
};
use super::error::Problems;
use super::found::Found;
use super::gateway::together;
use super::resolve::{Resolving, is_all_https, path};
use super::{IdentityMode, SecretName, Target};
use crate::protocol::profile::Subject;

/// The header that NanoMDM's documentation and Apple's proxies use for a client certificate.
const CERTIFICATE_HEADER: &str = "X-Client-Cert";

/// `[enrollment]`; what is wrong in it is noted.
pub(super) fn enrollment(
    found: &Found,
    target: Option<&Target>,
    resolving: &mut Resolving,
) -> Enrollment {
    // The reader gives the section its defaults; without one it was wrong, and is noted.
    let empty = Found::empty();
    let section = found.table("enrollment").unwrap_or(&empty);
    let problems = &mut resolving.problems;
    let is_embedded = matches!(target, Some(Target::Embedded(_)));
    let issued = section.table("issued");
    let shown = section.table("identity");
    for holder in [issued, shown].into_iter().flatten() {
        together(holder, "ca", "ca-key", problems);
    }
    if let (Some(issued), Some(shown)) = (issued, shown) {
        only_once(issued, shown, problems);
    }
    let from = |key| shown.and_then(|it| path(it, key));
    let of_issued = |key| issued.and_then(|it| path(it, key));
    let proof = Proof::of(issued, shown, problems);
    let identity = proof.mode(target, is_embedded, problems);
    let keys = match shown.and_then(|it| it.text("keys")).map(String::as_str) {
        Some("pool") => Keys::Pool,
        Some(_) | None => Keys::Fresh,
    };
    Enrollment {
        method: method(section, is_embedded, problems),
        identity,
        is_identity_given: proof.word.is_some(),
        ca: of_issued("ca").or_else(|| from("ca")),
        ca_key: of_issued("ca-key").or_else(|| from("ca-key")),
        keys,
        rewrite: section.headers("rewrite").cloned().unwrap_or_default(),
        within: section
            .span("within")
            .copied()
            .unwrap_or(Duration::from_secs(300)),
        max_failed: section.number("max-failed").copied().unwrap_or_default(),
        rate: section.number("rate").copied().unwrap_or(1.0),
        in_flight: section
            .count("in-flight")
            .map_or(1, |count| *count as usize),
    }
}

/// There is one authority, whether it issues or vouches.
fn only_once(issued: &Found, shown: &Found, problems: &mut Problems) {
    for key in ["ca", "ca-key"] {
        if issued.is_given(key) && shown.is_given(key) {
            problems.add(
                shown.place_of(key),
                format!("{key} stands beside {key} in [enrollment.issued], which goes before it"),
                "one of the two",
            );
        }
    }
}

/// What a scenario says about showing an identity.
struct Proof<'a> {
    holder: Option<&'a Found>,
    /// The key that names the proof.
    key: &'static str,
    word: Option<&'a str>,
    header: Option<&'a String>,
    encoding: Option<&'a str>,
}

impl<'a> Proof<'a> {
    fn of(issued: Option<&'a Found>, shown: Option<&'a Found>, problems: &mut Problems) -> Self {
        let older = issued.filter(|it| it.is_given("identity") || it.is_given("header"));
        if let (Some(older), Some(newer)) = (older, shown) {
            let stands = if older.is_given("identity") {
                "identity"
            } else {
                "header"
            };
            for key in ["proof", "header", "encoding"] {
                if newer.is_given(key) {
                    problems.add(
                        newer.place_of(key),
                        format!("{key} stands beside {stands} in [enrollment.issued], which goes before it"),
                        "all of proof, header and encoding in [enrollment.identity]",
                    );
                }
            }
        }
        let (holder, key) = match older {
            Some(older) => (Some(older), "identity"),
            None => (shown, "proof"),
        };
        let text = |key| holder.and_then(|it| it.text(key));
        Self {
            holder,
            key,
            word: text(key).map(String::as_str),
            header: text("header"),
            encoding: text("encoding").map(String::as_str),
        }
    }

    fn mode(
        &self,
        target: Option<&Target>,
        is_embedded: bool,
        problems: &mut Problems,
    ) -> IdentityMode {
        let mode = match self.word {
            Some("mtls") => IdentityMode::Mtls,
            Some("header") => IdentityMode::Header {
                name: self
                    .header
                    .cloned()
                    .unwrap_or_else(|| CERTIFICATE_HEADER.to_owned()),
                encoding: match self.encoding {
                    Some("url-pem") => CertificateEncoding::UrlPem,
                    Some(_) | None => CertificateEncoding::Rfc9440,
                },
            },
            None if is_embedded => IdentityMode::Mtls,
            Some(_) | None => IdentityMode::Signature,
        };
        let Some(holder) = self.holder else {
            return mode;
        };
        let in_header = matches!(mode, IdentityMode::Header { .. });
        for key in ["header", "encoding"] {
            if holder.is_given(key) && !in_header {
                problems.add(
                    holder.place_of(key),
                    match key {
                        "header" => "header names a header, but no certificate travels in one",
                        _ => {
                            "encoding is that of a certificate in a header, but none travels in one"
                        }
                    },
                    format!("add {} = \"header\", or leave this out", self.key),
                );
            }
        }
        if mode == IdentityMode::Mtls && target.is_some_and(|target| !is_all_https(target)) {
            problems.add(
                holder.place_of(self.key),
                format!(
                    "{} is \"mtls\", but the target's URL is not https",
                    self.key
                ),
                format!("an https url, or {} = \"signature\"", self.key),
            );
        }
        mode
    }
}

const METHODS: [&str; 7] = [
    "issued",
    "profile",
    "scep",
    "acme",
    "ota",
    "automated",
    "account-driven",
];

fn method(section: &Found, is_embedded: bool, problems: &mut Problems) -> Method {
    let mut named = METHODS.into_iter().filter(|key| section.is_present(key));
    let first = named.next();
    if let (Some(first), Some(second)) = (first, named.next()) {
        problems.add(
            section.place_of(second),
            format!("enrollment is both \"{first}\" and \"{second}\""),
            format!("at most one of \"{}\"", METHODS.join("\", \"")),
        );
    }
    let Some((key, found)) = first.and_then(|key| Some((key, section.table(key)?))) else {
        return Method::Issued;
    };
    let mut asked = Asked {
        found,
        is_embedded,
        problems,
    };
    match key {
        "profile" => Method::Profile(asked.source("/enroll")),
        "scep" => Method::Scep(asked.scep()),
        "acme" => Method::Acme(asked.acme()),
        "ota" => Method::Ota(asked.source("/ota/enroll")),
        "automated" => Method::Automated {
            url: asked.url("url", "/ade"),
            machine_info: match found.text("machine-info").map(String::as_str) {
                Some("header") => MachineInfoBy::Header,
                Some(_) | None => MachineInfoBy::Post,
            },
        },
        "account-driven" => asked.account_driven(),
        _ => Method::Issued,
    }
}

/// A way to an identity while it is looked at.
struct Asked<'a> {
    found: &'a Found,
    is_embedded: bool,
    problems: &'a mut Problems,
}

impl Asked<'_> {
    /// The URL at `key`, which only the embedded target, where it is `own`, may leave out.
    fn url(&mut self, key: &'static str, own: &str) -> String {
        let Some(url) = self.found.text(key) else {
            if !self.is_embedded && !self.found.is_present(key) {
                self.problems.add(
                    &self.found.place,
                    format!("only the embedded target can do without {key}"),
                    format!("add {key}: a URL, or a path at the target, as \"{own}\""),
                );
            }
            return own.to_owned();
        };
        let host = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let is_right = match host {
            Some(host) => !host.is_empty() && !host.starts_with(['/', '?', '#', ':']),
            None => url.starts_with('/'),
        };
        if !is_right || url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            self.problems.add(
                self.found.place_of(key),
                format!("{key} is \"{url}\""),
                format!("a URL, as \"https://mdm.example.com{own}\", or a path at the target, as \"{own}\""),
            );
        }
        url.clone()
    }

    fn source(&mut self, own: &str) -> Source {
        let each_device = self.found.flag("each-device") == Some(&true);
        let Some(file) = path(self.found, "file") else {
            let url = self.url("url", own);
            let per_device = ["{udid}", "{serial}", "{n}"];
            if !each_device && own == "/enroll" && per_device.iter().any(|it| url.contains(it)) {
                self.problems.add(
                    self.found.place_of("url"),
                    "the URL is another for each device, but one profile is fetched for all",
                    "each-device = true, or a URL without variables",
                );
            }
            let from = ProfileFrom::Url(url);
            return Source { from, each_device };
        };
        for (key, why) in [
            ("url", "the profile is both in a file and at a URL"),
            (
                "each-device",
                "the profile is in a file, the same for each device",
            ),
        ] {
            if self.found.is_given(key) {
                let right = format!("leave out {key}, or file");
                self.problems.add(self.found.place_of(key), why, right);
            }
        }
        let from = ProfileFrom::File(file);
        Source {
            from,
            each_device: false,
        }
    }

    fn scep(&mut self) -> Scep {
        let url = self.url("url", "/scep");
        let found = self.found;
        let subject = found.text("subject").map_or("", String::as_str);
        let subject = Subject::parse(subject).unwrap_or_else(|error| {
            let right = "a subject, as \"O=Example/CN={udid}\"";
            let place = found.place_of("subject");
            self.problems.add(place, format!("subject: {error}"), right);
            Subject::default()
        });
        let key_size = found.count("key-size").copied().unwrap_or(2048);
        if ![2048, 4096].contains(&key_size) {
            self.problems.add(
                found.place_of("key-size"),
                format!("key-size is {key_size}"),
                "2048 or 4096",
            );
        }
        Scep {
            url,
            challenge: found.text("challenge").cloned().map(SecretName),
            subject,
            key_size,
            ca_name: found.text("ca-name").cloned(),
            fingerprint: self.fingerprint(),
        }
    }

    fn fingerprint(&mut self) -> Option<Vec<u8>> {
        let written = self.found.text("fingerprint")?;
        let bytes = bytes_of_hex(written).filter(|bytes| [16, 20, 32].contains(&bytes.len()));
        if bytes.is_none() {
            self.problems.add(
                self.found.place_of("fingerprint"),
                "fingerprint is no MD5, SHA-1 or SHA-256",
                "32, 40 or 64 hexadecimal digits, with or without colons",
            );
        }
        bytes
    }

    fn acme(&mut self) -> Acme {
        let directory = self.url("url", "/acme/directory");
        Acme {
            directory,
            client_identifier: self
                .found
                .text("client-identifier")
                .cloned()
                .unwrap_or_default(),
            key: match self.found.text("key").map(String::as_str) {
                Some("ec-384") => KeyKind::Ec(384),
                Some("ec-521") => KeyKind::Ec(521),
                Some("rsa-2048") => KeyKind::Rsa(2048),
                Some("rsa-4096") => KeyKind::Rsa(4096),
                Some(_) | None => KeyKind::Ec(256),
            },
        }
    }

    fn account_driven(&mut self) -> Method {
        let found = self.found;
        let account = found.text("account").cloned().unwrap_or_default();
        let has_domain = account
            .split_once('@')
            .is_some_and(|(user, domain)| !user.is_empty() && domain.contains('.'));
        if !has_domain && found.is_given("account") {
            self.problems.add(
                found.place_of("account"),
                format!("account is \"{account}\""),
                "an account with its domain, as \"student-{n}@example.com\"",
            );
        }
        let service = match found.is_present("service") {
            true => Some(self.url("service", "/")),
            false => self.is_embedded.then(|| "/".to_owned()),
        };
        if !self.is_embedded && !found.is_present("token") {
            self.problems.add(
                &found.place,
                "only the embedded target can do without token",
                "add token = { env = \"MDM_TOKEN\" }",
            );
        }
        Method::AccountDriven {
            account,
            service,
            token: found.text("token").cloned().map(SecretName),
            byod: found.flag("byod") == Some(&true),
        }
    }
}

/// The bytes of hexadecimal digits, which colons and spaces may part.
fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|c| ![':', ' '].contains(c));
    let digits: Option<Vec<u8>> = digits
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
