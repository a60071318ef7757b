//! The keys of one payload: each is taken by whoever honours it, and what is left over is reported.

use std::collections::BTreeSet;

use ::plist::{Dictionary, Value};

use super::{Ignored, ProfileError};

/// Keys that every payload may have and that only people read.
const COMMON: [&str; 12] = [
    "PayloadDescription",
    "PayloadDisplayName",
    "PayloadEnabled",
    "PayloadExpirationDate",
    "PayloadIdentifier",
    "PayloadOrganization",
    "PayloadRemovalDisallowed",
    "PayloadScope",
    "PayloadType",
    "PayloadUUID",
    "PayloadVersion",
    "TargetDeviceType",
];

/// The longest text that is taken, in bytes: URLs are the longest there are.
const TEXT_MAX: usize = 8 * 1024;

/// A payload while it is read.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    dictionary: &'a Dictionary,
    payload: String,
    taken: BTreeSet<&'static str>,
    ignored: Vec<Ignored>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(dictionary: &'a Dictionary, payload: &str) -> Self {
        Self {
            dictionary,
            payload: shortened(payload),
            taken: BTreeSet::new(),
            ignored: Vec::new(),
        }
    }

    /// The value of a key that somebody honours.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Value> {
        self.taken.insert(key);
        self.dictionary.get(key)
    }

    /// Reports a key that is known to change nothing here.
    pub(super) fn ignore(&mut self, key: &'static str, why: &str) {
        if self.take(key).is_some() {
            self.note(key, why);
        }
    }

    /// Reports something about a key that is honoured.
    pub(super) fn note(&mut self, key: &str, why: &str) {
        self.ignored.push(Ignored {
            what: format!("{} {key}", self.payload),
            why: why.to_owned(),
        });
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, ProfileError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= TEXT_MAX => Ok(Some(text.clone())),
            Some(Value::String(text)) => {
                let found = format!("a text of {} bytes", text.len());
                Err(self.impossible(key, &found, &format!("at most {TEXT_MAX} are taken")))
            }
            Some(other) => Err(self.wrong(key, other, "a string")),
        }
    }

    pub(super) fn required(&mut self, key: &'static str) -> Result<String, ProfileError> {
        match self.text(key)? {
            Some(text) => Ok(text),
            None => Err(self.missing(key)),
        }
    }

    /// A URL that devices would go to, which has to be https.
    pub(super) fn https(&mut self, key: &'static str) -> Result<Option<String>, ProfileError> {
        let Some(url) = self.text(key)? else {
            return Ok(None);
        };
        let host = url.strip_prefix("https://").unwrap_or_default();
        if host.is_empty() || host.starts_with('/') || url.contains(char::is_whitespace) {
            let right = "devices go to https:// URLs alone";
            return Err(self.impossible(key, &quoted(&url), right));
        }
        Ok(Some(url))
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<bool, ProfileError> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(key, other, "a boolean")),
        }
    }

    pub(super) fn number(&mut self, key: &'static str) -> Result<Option<u32>, ProfileError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => {
                let right = "a whole number from 0 to 4294967295 is wanted";
                let small = number.as_unsigned().and_then(|it| u32::try_from(it).ok());
                let small = small.ok_or_else(|| self.impossible(key, &number.to_string(), right));
                small.map(Some)
            }
            Some(other) => Err(self.wrong(key, other, "an integer")),
        }
    }

    pub(super) fn data(&mut self, key: &'static str) -> Result<Option<Vec<u8>>, ProfileError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Data(bytes)) => Ok(Some(bytes.clone())),
            Some(other) => Err(self.wrong(key, other, "data")),
        }
    }

    /// A list of at most `most` strings; empty when it is not there.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        most: usize,
    ) -> Result<Vec<String>, ProfileError> {
        let Some(value) = self.take(key) else {
            return Ok(Vec::new());
        };
        let Value::Array(items) = value else {
            return Err(self.wrong(key, value, "a list of strings"));
        };
        if items.len() > most {
            let found = format!("a list of {}", items.len());
            return Err(self.impossible(key, &found, &format!("at most {most} are taken")));
        }
        let text = |item: &Value| {
            let text = item.as_string().map(str::to_owned);
            text.ok_or_else(|| self.wrong(key, item, "a list of strings"))
        };
        items.iter().map(text).collect()
    }

    /// What nobody took.
    pub(super) fn left(self) -> Vec<Ignored> {
        let Self {
            dictionary,
            payload,
            taken,
            mut ignored,
        } = self;
        for key in dictionary.keys() {
            if !taken.contains(key.as_str()) && !COMMON.contains(&key.as_str()) {
                ignored.push(Ignored {
                    what: format!("{payload} {}", shortened(key)),
                    why: "not a key that this payload is known to have".to_owned(),
                });
            }
        }
        ignored
    }

    pub(super) fn missing(&self, key: &'static str) -> ProfileError {
        let payload = self.payload.clone();
        ProfileError::Missing { payload, key }
    }

    pub(super) fn wrong(&self, key: &'static str, found: &Value, right: &str) -> ProfileError {
        self.impossible(key, kind_of(found), &format!("{right} is wanted"))
    }

    pub(super) fn impossible(&self, key: &'static str, found: &str, right: &str) -> ProfileError {
        ProfileError::Impossible {
            payload: self.payload.clone(),
            key,
            found: found.to_owned(),
            right: right.to_owned(),
        }
    }
}

/// What a value is, for messages.
pub(super) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Dictionary(_) => "a dictionary",
        Value::Boolean(_) => "a boolean",
        Value::Data(_) => "data",
        Value::Date(_) => "a date",
        Value::Real(_) => "a real number",
        Value::Integer(_) => "an integer",
        Value::String(_) => "a string",
        Value::Uid(_) => "a UID",
        _ => "a value of an unknown kind",
    }
}

/// A text in quotes, shortened, for messages.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// The first characters of a text that a server chose.
pub(super) fn shortened(text: &str) -> String {
    const LENGTH_MAX: usize = 80;
    if text.chars().count() <= LENGTH_MAX {
        return text.to_owned();
    }
    text.chars().take(LENGTH_MAX).chain("...".chars()).collect()
}
