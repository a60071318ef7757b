//! Names in certificates as payloads write them, and the variables in them.

use std::fmt;

use ::plist::{Dictionary, Value};

use super::ProfileError;
use super::keys::{Keys, kind_of, quoted};

/// No subject has more parts, and no part more attributes.
const PARTS_MAX: usize = 32;

/// The longest value of an attribute that is taken, in bytes.
const VALUE_MAX: usize = 1024;

/// The short names that payloads may use (Apple, Configuration Profile Reference), with their OIDs.
const SHORT: [(&str, &str); 6] = [
    ("C", "2.5.4.6"),
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("ST", "2.5.4.8"),
];

/// An X.500 name: parts of one or more attributes, each an OID and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject(pub Vec<Vec<(String, String)>>);

/// Why a text is no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} (expected C, CN, L, O, OU, ST or a dotted OID, as \"O=Example/CN={{udid}}\")")]
pub struct SubjectError(String);

/// What variables stand for on one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The UDID.
    pub udid: String,
    /// The serial number.
    pub serial: String,
    /// The device's number in the run.
    pub number: String,
    /// What its user calls it.
    pub computer_name: String,
    /// Whether it is a Mac: other devices leave the variables of Apple as they are.
    pub is_mac: bool,
}

impl Names {
    /// `text` with `{udid}`, `{serial}` and `{n}` replaced: the variables of scenarios.
    pub fn fill(&self, text: &str) -> String {
        replace(text, ['{', '}'], |name| match name {
            "udid" => Some(self.udid.as_str()),
            "serial" => Some(self.serial.as_str()),
            "n" => Some(self.number.as_str()),
            _ => None,
        })
    }

    /// `text` as the device itself expands it: a Mac knows the variables of its payloads, all other
    /// devices send them as they stand. Variables of a server (`$SERIALNUMBER`) are its own business:
    /// one that reaches a device is a mistake that shows in the certificate.
    pub fn expand(&self, text: &str) -> String {
        if !self.is_mac {
            return text.to_owned();
        }
        let local = self.computer_name.replace(' ', "-");
        replace(text, ['%', '%'], |name| match name {
            "ComputerName" => Some(self.computer_name.as_str()),
            "HardwareUUID" => Some(self.udid.as_str()),
            "HostName" | "LocalHostName" => Some(local.as_str()),
            "SerialNumber" => Some(self.serial.as_str()),
            _ => None,
        })
    }
}

/// `text` with what stands between `open` and `close` replaced where `value` knows it.
fn replace<'v>(
    text: &str,
    [open, close]: [char; 2],
    value: impl Fn(&str) -> Option<&'v str>,
) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        filled.push_str(before);
        match after
            .split_once(close)
            .map(|(name, rest)| (value(name), rest))
        {
            Some((Some(value), after)) => {
                filled.push_str(value);
                rest = after;
            }
            // The next one may begin where this one ends.
            Some((None, _)) | None => {
                filled.push(open);
                rest = after;
            }
        }
    }
    filled + rest
}

impl Subject {
    /// Reads `O=Example/CN={udid}`, as SCEP clients and OpenSSL write it.
    ///
    /// # Errors
    /// When a part is no attribute with a value.
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        let mut parts = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                return Err(SubjectError(format!("{part:?} has no \"=\"")));
            };
            let Some(oid) = oid_of(key.trim()) else {
                return Err(SubjectError(format!("{key:?} is no attribute of a name")));
            };
            if value.is_empty() || value.len() > VALUE_MAX {
                return Err(SubjectError(format!("{key} has no usable value")));
            }
            parts.push(vec![(oid, value.to_owned())]);
        }
        if parts.len() > PARTS_MAX {
            return Err(SubjectError(format!("it has {} parts", parts.len())));
        }
        Ok(Self(parts))
    }

    /// The name with every value changed by `change`.
    #[must_use]
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        let part = |part: &Vec<(String, String)>| {
            let attributes = part.iter().map(|(oid, value)| (oid.clone(), change(value)));
            attributes.collect()
        };
        Self(self.0.iter().map(part).collect())
    }

    /// Whether it has a common name that is not empty.
    pub fn has_common_name(&self) -> bool {
        let mut attributes = self.0.iter().flatten();
        attributes.any(|(oid, value)| oid == "2.5.4.3" && !value.is_empty())
    }

    /// The name with a common name of `name`, if it has none: what macOS does with the payload's
    /// identifier.
    #[must_use]
    pub fn or_common_name(mut self, name: &str) -> Self {
        if !self.has_common_name() {
            self.0.push(vec![("2.5.4.3".to_owned(), name.to_owned())]);
        }
        self
    }

    pub(super) fn read(keys: &mut Keys<'_>) -> Result<Self, ProfileError> {
        const KEY: &str = "Subject";
        let right = "a list of lists of attributes is wanted, as [[[\"CN\", \"device\"]]]";
        let Some(value) = keys.take(KEY) else {
            return Ok(Self::default());
        };
        let Value::Array(parts) = value else {
            return Err(keys.impossible(KEY, kind_of(value), right));
        };
        if parts.len() > PARTS_MAX {
            let found = format!("a list of {}", parts.len());
            let right = format!("at most {PARTS_MAX} parts are taken");
            return Err(keys.impossible(KEY, &found, &right));
        }
        let mut subject = Vec::new();
        for part in parts {
            let Value::Array(attributes) = part else {
                return Err(keys.impossible(KEY, kind_of(part), right));
            };
            if attributes.len() > PARTS_MAX {
                return Err(keys.impossible(KEY, "a part with too many attributes", right));
            }
            let read = |pair| attribute(keys, pair, right);
            subject.push(attributes.iter().map(read).collect::<Result<_, _>>()?);
        }
        Ok(Self(subject))
    }

    pub(super) fn write(&self) -> Value {
        let pair = |(oid, value): &(String, String)| {
            Value::Array(vec![short(oid).into(), value.as_str().into()])
        };
        let part = |part: &Vec<_>| Value::Array(part.iter().map(pair).collect());
        Value::Array(self.0.iter().map(part).collect())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (oid, value)) in self.0.iter().flatten().enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            write!(f, "{slash}{}={value}", short(oid))?;
        }
        Ok(())
    }
}

fn attribute(keys: &Keys<'_>, pair: &Value, right: &str) -> Result<(String, String), ProfileError> {
    const KEY: &str = "Subject";
    let Some([Value::String(key), Value::String(value)]) = pair.as_array().map(Vec::as_slice)
    else {
        return Err(keys.impossible(KEY, "an attribute that is no pair of strings", right));
    };
    let Some(oid) = oid_of(key) else {
        let found = format!("a name with {}", quoted(key));
        let right = "attributes are C, CN, L, O, OU, ST or dotted OIDs";
        return Err(keys.impossible(KEY, &found, right));
    };
    if value.len() > VALUE_MAX {
        let found = format!("a name with a value of {} bytes", value.len());
        return Err(keys.impossible(KEY, &found, &format!("at most {VALUE_MAX} are taken")));
    }
    Ok((oid, value.clone()))
}

/// The OID of a short name, or of a dotted one that can be encoded.
fn oid_of(key: &str) -> Option<String> {
    let short = SHORT
        .iter()
        .find(|(short, _)| short.eq_ignore_ascii_case(key));
    if let Some((_, oid)) = short {
        return Some((*oid).to_owned());
    }
    let arcs: Option<Vec<u32>> = key.split('.').map(|arc| arc.parse().ok()).collect();
    let arcs = arcs.filter(|arcs| (3..=20).contains(&arcs.len()))?;
    let is_valid = arcs[0] < 2 && arcs[1] < 40 || arcs[0] == 2 && arcs[1] < 48;
    is_valid.then(|| key.to_owned())
}

/// The short name of an OID that has one.
fn short(oid: &str) -> &str {
    SHORT
        .iter()
        .find(|(_, known)| *known == oid)
        .map_or(oid, |(short, _)| short)
}

/// A further name in the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AltName {
    /// `rfc822Name`.
    Email(String),
    /// `dNSName`.
    Dns(String),
    /// `uniformResourceIdentifier`.
    Uri(String),
    /// `ntPrincipalName`.
    PrincipalName(String),
}

impl AltName {
    /// The name with its value changed by `change`.
    #[must_use]
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Email(name) => Self::Email(change(name)),
            Self::Dns(name) => Self::Dns(change(name)),
            Self::Uri(name) => Self::Uri(change(name)),
            Self::PrincipalName(name) => Self::PrincipalName(change(name)),
        }
    }

    const fn key(&self) -> &'static str {
        match self {
            Self::Email(_) => "rfc822Name",
            Self::Dns(_) => "dNSName",
            Self::Uri(_) => "uniformResourceIdentifier",
            Self::PrincipalName(_) => "ntPrincipalName",
        }
    }

    fn value(&self) -> &str {
        match self {
            Self::Email(name) | Self::Dns(name) | Self::Uri(name) | Self::PrincipalName(name) => {
                name
            }
        }
    }

    pub(super) fn read(keys: &mut Keys<'_>) -> Result<Vec<Self>, ProfileError> {
        const KEY: &str = "SubjectAltName";
        let Some(value) = keys.take(KEY) else {
            return Ok(Vec::new());
        };
        let Value::Dictionary(given) = value else {
            return Err(keys.wrong(KEY, value, "a dictionary"));
        };
        let makers = [
            ("rfc822Name", Self::Email as fn(String) -> Self),
            ("dNSName", Self::Dns),
            ("uniformResourceIdentifier", Self::Uri),
            ("ntPrincipalName", Self::PrincipalName),
        ];
        let mut names = Vec::new();
        for (key, make) in makers {
            let values = match given.get(key) {
                None => &[],
                Some(Value::Array(values)) if values.len() > PARTS_MAX => {
                    let right = format!("at most {PARTS_MAX} names of a kind are wanted");
                    let given = format!("{} of {key}", values.len());
                    return Err(keys.impossible(KEY, &given, &right));
                }
                Some(Value::Array(values)) => values.as_slice(),
                Some(one) => std::slice::from_ref(one),
            };
            for value in values {
                match value.as_string() {
                    Some(name) if name.len() <= VALUE_MAX && name.is_ascii() => {
                        names.push(make(name.to_owned()));
                    }
                    Some(_) | None => {
                        let right = "names in ASCII are wanted";
                        return Err(keys.impossible(KEY, kind_of(value), right));
                    }
                }
            }
        }
        Ok(names)
    }

    pub(super) fn write(names: &[Self]) -> Value {
        let mut written = Dictionary::new();
        for name in names {
            let same = names.iter().filter(|it| it.key() == name.key());
            let values = same.map(|it| it.value().into()).collect();
            written.insert(name.key().into(), Value::Array(values));
        }
        Value::Dictionary(written)
    }
}
