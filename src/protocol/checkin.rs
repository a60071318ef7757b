//! Check-in messages: how a device enrols, says where its pushes go, and leaves.
//!
//! User Enrollment has other identity keys; these are the messages of devices with a UDID.

use ::plist::{Dictionary, Value};
use thiserror::Error;

use super::plist::{self, PlistError};

/// The content type of check-in messages.
pub const CHECKIN_CONTENT_TYPE: &str = "application/x-apple-aspen-mdm-checkin";

/// A check-in message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckIn {
    /// The device wants to enrol.
    Authenticate(Authenticate),
    /// The device is enrolled, and this is where its pushes go.
    TokenUpdate(TokenUpdate),
    /// The device leaves.
    CheckOut(CheckOut),
}

/// The message that begins an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate {
    /// `UDID`.
    pub udid: String,
    /// `Topic`, which pushes have to carry.
    pub topic: String,
    /// `OSVersion`, `18.1`.
    pub os_version: Option<String>,
    /// `BuildVersion`, `22B83`.
    pub build: Option<String>,
    /// `ProductName`, `iPad14,1`.
    pub product: Option<String>,
    /// `SerialNumber`.
    pub serial: Option<String>,
    /// What a Mac says in addition; other devices say nothing here.
    pub mac: Option<MacNames>,
}

/// What a Mac has to say about itself in Authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacNames {
    /// `DeviceName`, which its user chose.
    pub device_name: String,
    /// `ModelName`, `MacBook Air`.
    pub model_name: String,
    /// `Model`, `Mac14,2`.
    pub model: String,
}

/// The message that ends an enrolment, and tells of a new push token later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUpdate {
    /// `UDID`.
    pub udid: String,
    /// `Topic`, which pushes have to carry.
    pub topic: String,
    /// `Token`: where pushes go.
    pub token: Vec<u8>,
    /// `PushMagic`: what pushes contain.
    pub magic: String,
    /// `UnlockToken`, of iOS and iPadOS alone.
    pub unlock_token: Option<Vec<u8>>,
}

/// The message of a device that leaves. It is sent once and never again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOut {
    /// `UDID`.
    pub udid: String,
    /// `Topic`.
    pub topic: String,
}

/// Why a body is no check-in message that is known here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckInError {
    /// It is no property list.
    #[error(transparent)]
    Unreadable(#[from] PlistError),
    /// It is one, but not a dictionary.
    #[error("a check-in message is a dictionary, but found something else")]
    NotADictionary,
    /// A key that the message has to have is missing or of another type.
    #[error("the check-in message has no {key}")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A message of another type.
    #[error("MessageType is {name:?}, but Authenticate, TokenUpdate or CheckOut was expected")]
    UnknownMessage {
        /// Its `MessageType`.
        name: String,
    },
}

impl CheckIn {
    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut root = Dictionary::new();
        let mut put = |key: &str, value: Value| drop(root.insert(key.into(), value));
        match self {
            Self::Authenticate(message) => {
                put("MessageType", "Authenticate".into());
                put("UDID", message.udid.as_str().into());
                put("Topic", message.topic.as_str().into());
                let optional = [
                    ("OSVersion", &message.os_version),
                    ("BuildVersion", &message.build),
                    ("ProductName", &message.product),
                    ("SerialNumber", &message.serial),
                ];
                for (key, text) in optional {
                    if let Some(text) = text {
                        put(key, text.as_str().into());
                    }
                }
                if let Some(mac) = &message.mac {
                    put("DeviceName", mac.device_name.as_str().into());
                    put("ModelName", mac.model_name.as_str().into());
                    put("Model", mac.model.as_str().into());
                }
            }
            Self::TokenUpdate(message) => {
                put("MessageType", "TokenUpdate".into());
                put("UDID", message.udid.as_str().into());
                put("Topic", message.topic.as_str().into());
                put("Token", Value::Data(message.token.clone()));
                put("PushMagic", message.magic.as_str().into());
                if let Some(token) = &message.unlock_token {
                    put("UnlockToken", Value::Data(token.clone()));
                }
            }
            Self::CheckOut(message) => {
                put("MessageType", "CheckOut".into());
                put("UDID", message.udid.as_str().into());
                put("Topic", message.topic.as_str().into());
            }
        }
        plist::encode(&root)
    }

    /// Reads a message as a server does.
    pub fn decode(body: &[u8]) -> Result<Self, CheckInError> {
        let Some(root) = plist::decode(body)?.into_dictionary() else {
            return Err(CheckInError::NotADictionary);
        };
        match required(&root, "MessageType")?.as_str() {
            "Authenticate" => Authenticate::of(&root).map(Self::Authenticate),
            "TokenUpdate" => TokenUpdate::of(&root).map(Self::TokenUpdate),
            "CheckOut" => Ok(Self::CheckOut(CheckOut {
                udid: required(&root, "UDID")?,
                topic: required(&root, "Topic")?,
            })),
            name => Err(CheckInError::UnknownMessage {
                name: name.to_owned(),
            }),
        }
    }
}

impl Authenticate {
    fn of(root: &Dictionary) -> Result<Self, CheckInError> {
        let mac = match (
            optional(root, "DeviceName"),
            optional(root, "ModelName"),
            optional(root, "Model"),
        ) {
            (Some(device_name), Some(model_name), Some(model)) => Some(MacNames {
                device_name,
                model_name,
                model,
            }),
            _ => None,
        };
        Ok(Self {
            udid: required(root, "UDID")?,
            topic: required(root, "Topic")?,
            os_version: optional(root, "OSVersion"),
            build: optional(root, "BuildVersion"),
            product: optional(root, "ProductName"),
            serial: optional(root, "SerialNumber"),
            mac,
        })
    }
}

impl TokenUpdate {
    fn of(root: &Dictionary) -> Result<Self, CheckInError> {
        let data = |key| root.get(key).and_then(Value::as_data).map(<[u8]>::to_vec);
        Ok(Self {
            udid: required(root, "UDID")?,
            topic: required(root, "Topic")?,
            token: data("Token").ok_or(CheckInError::Missing { key: "Token" })?,
            magic: required(root, "PushMagic")?,
            unlock_token: data("UnlockToken"),
        })
    }
}

fn required(root: &Dictionary, key: &'static str) -> Result<String, CheckInError> {
    optional(root, key).ok_or(CheckInError::Missing { key })
}

fn optional(root: &Dictionary, key: &str) -> Option<String> {
    plist::text(root, key).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::plist::tests::any_text;
    use super::*;

    fn any_message() -> impl Strategy<Value = CheckIn> {
        let maybe = || prop::option::of(any_text());
        let names =
            (any_text(), any_text(), any_text()).prop_map(|(device_name, model_name, model)| {
                MacNames {
                    device_name,
                    model_name,
                    model,
                }
            });
        let bytes = || prop::collection::vec(any::<u8>(), 0..64);
        prop_oneof![
            (
                any_text(),
                any_text(),
                (maybe(), maybe(), maybe(), maybe()),
                prop::option::of(names)
            )
                .prop_map(
                    |(udid, topic, (os_version, build, product, serial), mac)| {
                        CheckIn::Authenticate(Authenticate {
                            udid,
                            topic,
                            os_version,
                            build,
                            product,
                            serial,
                            mac,
                        })
                    }
                ),
            (
                any_text(),
                any_text(),
                bytes(),
                any_text(),
                prop::option::of(bytes())
            )
                .prop_map(|(udid, topic, token, magic, unlock_token)| {
                    CheckIn::TokenUpdate(TokenUpdate {
                        udid,
                        topic,
                        token,
                        magic,
                        unlock_token,
                    })
                }),
            (any_text(), any_text())
                .prop_map(|(udid, topic)| CheckIn::CheckOut(CheckOut { udid, topic })),
        ]
    }

    proptest! {
        #[test]
        fn a_message_round_trips(message in any_message()) {
            prop_assert_eq!(CheckIn::decode(&message.encode()).unwrap(), message);
        }
    }

    #[test]
    fn a_message_without_a_key_it_needs_or_of_another_type_is_refused() {
        let refusal = |inside: &str| {
            let body = format!("<plist><dict>{inside}</dict></plist>");
            CheckIn::decode(body.as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(refusal(""), "the check-in message has no MessageType");
        assert_eq!(
            refusal(
                "<key>MessageType</key><string>TokenUpdate</string><key>UDID</key><string>U</string><key>Topic</key><string>T</string>"
            ),
            "the check-in message has no Token"
        );
        assert_eq!(
            refusal("<key>MessageType</key><string>Hello</string>"),
            "MessageType is \"Hello\", but Authenticate, TokenUpdate or CheckOut was expected"
        );
    }
}
