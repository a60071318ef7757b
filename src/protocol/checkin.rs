//! Check-in messages: how a device enrols, says where its pushes go, and leaves.
//!
//! User Enrollment has other identity keys; these are the messages of devices with a UDID.

use ::plist::{Dictionary, Value};
use thiserror::Error;

use super::plist::{self, PlistError};
use crate::ids::{Channel, Crowd};

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
    /// Whose channel it is; `None` for the device channel.
    pub user: Option<User>,
    /// `AwaitingConfiguration`: Setup Assistant waits for DeviceConfigured.
    pub awaiting_configuration: bool,
}

/// The user whose channel a message belongs to (protocol.md 2.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// `UserID`: a GUID, or [`User::SHARED_IPAD`].
    pub id: String,
    /// `UserShortName`; the Managed Apple Account on Shared iPad.
    pub short_name: String,
    /// `UserLongName`.
    pub long_name: String,
    /// `NotOnConsole`: whether the user is logged in, but not at the screen. Of Macs alone.
    pub not_on_console: Option<bool>,
}

impl User {
    /// The `UserID` of every user of Shared iPads; their short names tell them apart.
    pub const SHARED_IPAD: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

    /// The user of a Mac's `channel`, at the screen.
    pub fn of_mac(crowd: &Crowd, channel: Channel) -> Self {
        Self {
            id: crowd.user_id(channel),
            short_name: crowd.user_short_name(channel),
            long_name: crowd.user_long_name(channel),
            not_on_console: Some(false),
        }
    }

    /// The user of a Shared iPad's `channel`.
    pub fn of_shared_ipad(crowd: &Crowd, channel: Channel) -> Self {
        Self {
            id: Self::SHARED_IPAD.to_owned(),
            not_on_console: None,
            ..Self::of_mac(crowd, channel)
        }
    }

    /// What servers call this user's channel of the device `udid`, as NanoMDM's `normalize` does.
    pub fn enrollment_id(&self, udid: &str) -> String {
        let user = match self.id.as_str() {
            Self::SHARED_IPAD => &self.short_name,
            _ => &self.id,
        };
        format!("{udid}:{user}")
    }

    /// Adds the user's keys to a message.
    pub(super) fn put_into(&self, root: &mut Dictionary) {
        root.insert("UserID".into(), self.id.as_str().into());
        root.insert("UserShortName".into(), self.short_name.as_str().into());
        root.insert("UserLongName".into(), self.long_name.as_str().into());
        if let Some(not_on_console) = self.not_on_console {
            root.insert("NotOnConsole".into(), not_on_console.into());
        }
    }

    /// Takes the user's keys out of a message; `None` when it is of the device channel.
    pub(super) fn take_from(root: &mut Dictionary) -> Option<Self> {
        let id = root.remove("UserID")?.into_string()?;
        let mut text = |key| root.remove(key).and_then(Value::into_string);
        let (short_name, long_name) = (text("UserShortName"), text("UserLongName"));
        let not_on_console = root.remove("NotOnConsole");
        Some(Self {
            id,
            short_name: short_name.unwrap_or_default(),
            long_name: long_name.unwrap_or_default(),
            not_on_console: not_on_console.and_then(|value| value.as_boolean()),
        })
    }
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
        if let Self::TokenUpdate(TokenUpdate {
            user: Some(user), ..
        }) = self
        {
            user.put_into(&mut root);
        }
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
                if message.awaiting_configuration {
                    put("AwaitingConfiguration", true.into());
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
        let Some(mut root) = plist::decode(body)?.into_dictionary() else {
            return Err(CheckInError::NotADictionary);
        };
        match required(&root, "MessageType")?.as_str() {
            "Authenticate" => Authenticate::of(&root).map(Self::Authenticate),
            "TokenUpdate" => TokenUpdate::of(&mut root).map(Self::TokenUpdate),
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
    fn of(root: &mut Dictionary) -> Result<Self, CheckInError> {
        let user = User::take_from(root);
        let awaiting = root.get("AwaitingConfiguration");
        let awaiting_configuration = awaiting.and_then(Value::as_boolean).unwrap_or(false);
        let data = |key| root.get(key).and_then(Value::as_data).map(<[u8]>::to_vec);
        Ok(Self {
            udid: required(root, "UDID")?,
            topic: required(root, "Topic")?,
            token: data("Token").ok_or(CheckInError::Missing { key: "Token" })?,
            magic: required(root, "PushMagic")?,
            unlock_token: data("UnlockToken"),
            user,
            awaiting_configuration,
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
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::plist::tests::any_text;
    use super::*;
    use crate::ids::{CrowdId, DeviceId};

    pub(in super::super) fn any_user() -> impl Strategy<Value = User> {
        (
            any_text(),
            any_text(),
            any_text(),
            prop::option::of(any::<bool>()),
        )
            .prop_map(|(id, short_name, long_name, not_on_console)| User {
                id,
                short_name,
                long_name,
                not_on_console,
            })
    }

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
                prop::option::of(bytes()),
                prop::option::of(any_user()),
                any::<bool>(),
            )
                .prop_map(
                    |(udid, topic, token, magic, unlock_token, user, awaiting_configuration)| {
                        CheckIn::TokenUpdate(TokenUpdate {
                            udid,
                            topic,
                            token,
                            magic,
                            unlock_token,
                            user,
                            awaiting_configuration,
                        })
                    }
                ),
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

    #[test]
    fn a_users_channel_is_called_as_nanomdm_calls_it() {
        let crowd = Crowd {
            id: CrowdId([1; 4]),
            key: [1; 32],
        };
        let channel = Channel {
            device: DeviceId(3),
            user: 2,
        };
        let mac = User::of_mac(&crowd, channel);
        assert_eq!(mac.enrollment_id("UDID"), format!("UDID:{}", mac.id));
        let shared_ipad = User::of_shared_ipad(&crowd, channel);
        assert_eq!(shared_ipad.enrollment_id("UDID"), "UDID:user2-3");
    }
}
