//! Enrolment over the air: the bare payload that begins it, and the attributes a device answers with
//! (Apple, "Over-the-Air Profile Delivery and Configuration").

use std::collections::BTreeMap;

use ::plist::{Dictionary, Value};

use super::super::plist;
use super::ProfileError;
use super::keys::Keys;

pub(super) const TYPE: &str = "Profile Service";

/// No payload asks for more attributes.
const ATTRIBUTES_MAX: usize = 32;

/// A payload `Profile Service`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePayload {
    /// `PayloadIdentifier`.
    pub identifier: String,
    /// `PayloadUUID`.
    pub uuid: String,
    /// `URL`: where the attributes go.
    pub url: String,
    /// `Challenge`, a string or data that comes back with them.
    pub challenge: Option<Value>,
    /// `DeviceAttributes`: which are wanted.
    pub attributes: Vec<String>,
}

impl ServicePayload {
    pub(super) fn read(root: &Dictionary) -> Result<Self, ProfileError> {
        let mut outer = Keys::new(root, TYPE);
        let identifier = outer.text("PayloadIdentifier")?.unwrap_or_default();
        let uuid = outer.text("PayloadUUID")?.unwrap_or_default();
        let content = match outer.take("PayloadContent") {
            Some(Value::Dictionary(content)) => content,
            Some(other) => return Err(outer.wrong("PayloadContent", other, "a dictionary")),
            None => return Err(outer.missing("PayloadContent")),
        };
        let mut keys = Keys::new(content, TYPE);
        let url = keys.https("URL")?;
        let challenge = match keys.take("Challenge") {
            None => None,
            Some(given @ (Value::String(_) | Value::Data(_))) => Some(given.clone()),
            Some(other) => return Err(keys.wrong("Challenge", other, "a string")),
        };
        Ok(Self {
            identifier,
            uuid,
            url: url.ok_or_else(|| keys.missing("URL"))?,
            challenge,
            attributes: keys.texts("DeviceAttributes", ATTRIBUTES_MAX)?,
        })
    }

    /// The XML property list.
    pub fn encode(&self) -> Vec<u8> {
        let mut content = Dictionary::new();
        content.insert("URL".into(), self.url.as_str().into());
        if let Some(challenge) = &self.challenge {
            content.insert("Challenge".into(), challenge.clone());
        }
        let wanted = self.attributes.iter().map(|it| it.as_str().into());
        content.insert("DeviceAttributes".into(), Value::Array(wanted.collect()));
        let mut root = Dictionary::new();
        root.insert("PayloadContent".into(), Value::Dictionary(content));
        root.insert("PayloadIdentifier".into(), self.identifier.as_str().into());
        root.insert("PayloadType".into(), TYPE.into());
        root.insert("PayloadUUID".into(), self.uuid.as_str().into());
        root.insert("PayloadVersion".into(), Value::Integer(1.into()));
        plist::encode(&root)
    }

    /// The answer of a device that has `known` attributes: those that are wanted, and the challenge.
    pub fn answer(&self, known: &BTreeMap<&str, String>) -> Vec<u8> {
        let wanted = self.attributes.iter().map(String::as_str);
        let mut answer = Dictionary::new();
        for name in wanted {
            if let Some(value) = known.get(name) {
                answer.insert(name.to_owned(), value.as_str().into());
            }
        }
        if let Some(challenge) = &self.challenge {
            answer.insert("CHALLENGE".into(), challenge.clone());
        }
        plist::encode(&answer)
    }
}

/// The attributes that a device sent, as far as they are strings.
///
/// # Errors
/// When it is no property list with a dictionary.
pub fn attributes(body: &[u8]) -> Result<BTreeMap<String, String>, ProfileError> {
    let Value::Dictionary(root) = plist::decode(body)? else {
        return Err(ProfileError::NotProfile {
            found: "found no dictionary".to_owned(),
        });
    };
    let text = |(key, value): (String, Value)| Some((key, value.into_string()?));
    Ok(root.into_iter().filter_map(text).collect())
}
