//! A command, as a server puts it into the answer to a status report.

use ::plist::{Dictionary, Value};
use thiserror::Error;

use super::plist::{self, PlistError};
use crate::ids::CommandUuid;

/// A command. Servers get parts of it wrong, so each part may be missing; [`Command::defect`]
/// says which.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// `CommandUUID`.
    pub uuid: Option<CommandUuid>,
    /// `Command.RequestType`, no longer than a CommandUUID.
    pub request_type: Option<String>,
    /// The whole `Command` dictionary, `RequestType` included; empty when there is none.
    pub command: Dictionary,
}

/// Why a body is no command at all: not even its CommandUUID can be told, or what tells it is no name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// It is no property list.
    #[error(transparent)]
    Unreadable(#[from] PlistError),
    /// It is one, but of something else.
    #[error("a command is a dictionary, but found {found}")]
    NotADictionary {
        /// What it is.
        found: &'static str,
    },
    /// What names it is longer than anybody could mean.
    #[error(
        "{key} has {bytes} bytes, but at most {} are taken",
        CommandUuid::BYTES_MAX
    )]
    TooLong {
        /// `CommandUUID` or `RequestType`.
        key: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
}

impl Command {
    /// Reads the body of a 200 that a device got, or of an enqueue request.
    pub fn decode(body: &[u8]) -> Result<Self, CommandError> {
        let value = plist::decode(body)?;
        let found = kind(&value);
        let Some(mut root) = value.into_dictionary() else {
            return Err(CommandError::NotADictionary { found });
        };
        let uuid = plist::text(&root, "CommandUUID")
            .filter(|uuid| !uuid.is_empty())
            .map(|uuid| CommandUuid(uuid.into()));
        let command = root
            .remove("Command")
            .and_then(Value::into_dictionary)
            .unwrap_or_default();
        let request_type = plist::text(&command, "RequestType").map(str::to_owned);
        // Both are kept for as long as the run lasts.
        let long = |text: &str| text.len() > CommandUuid::BYTES_MAX;
        let uuid_text = uuid.as_ref().map(|it| &*it.0);
        for (key, text) in [
            ("CommandUUID", uuid_text),
            ("RequestType", request_type.as_deref()),
        ] {
            if let Some(text) = text.filter(|text| long(text)) {
                let bytes = text.len();
                return Err(CommandError::TooLong { key, bytes });
            }
        }
        Ok(Self {
            uuid,
            request_type,
            command,
        })
    }

    /// What is missing, as a lower-case fragment; `None` for a command that can be executed. A
    /// device answers a defect with CommandFormatError, naming the CommandUUID if there is one.
    pub fn defect(&self) -> Option<&'static str> {
        if self.uuid.is_none() {
            Some("the command has no CommandUUID")
        } else if self.command.is_empty() {
            Some("the command has no Command dictionary")
        } else if self.request_type.is_none() {
            Some("the Command dictionary has no RequestType")
        } else {
            None
        }
    }
}

/// Writes a command: the body that an operator enqueues and a device receives. `command` contains
/// its RequestType.
pub fn encode_command(uuid: &str, command: &Dictionary) -> Vec<u8> {
    let mut root = Dictionary::new();
    root.insert("Command".into(), Value::Dictionary(command.clone()));
    root.insert("CommandUUID".into(), uuid.into());
    plist::encode(&root)
}

/// A command that is ordered many times, with a place for the CommandUUID.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    at: usize,
}

/// Stands for the CommandUUID in a template; as long as one.
const PLACEHOLDER: &str = "00000000-0000-0000-0000-00000000MDM0";

impl Template {
    /// The command in `command`, which contains its RequestType.
    pub fn new(command: &Dictionary) -> Self {
        let bytes = encode_command(PLACEHOLDER, command);
        // The CommandUUID is a key of the root, so the first match from the end or the beginning
        // may both be inside a payload: the key in front tells.
        let needle = format!("<key>CommandUUID</key>\n\t<string>{PLACEHOLDER}");
        let found = bytes
            .windows(needle.len())
            .position(|w| w == needle.as_bytes());
        let at = found.map(|at| at + needle.len() - PLACEHOLDER.len());
        Self {
            bytes,
            at: at.expect("encode_command writes the CommandUUID it is given"),
        }
    }

    /// The body of the order with this CommandUUID, which has the usual 36 characters.
    pub fn with(&self, uuid: &CommandUuid) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[self.at..self.at + PLACEHOLDER.len()].copy_from_slice(uuid.0.as_bytes());
        bytes
    }
}

/// What `value` is, with its article.
fn kind(value: &Value) -> &'static str {
    if value.as_array().is_some() {
        "an array"
    } else if value.as_string().is_some() {
        "a string"
    } else if value.as_dictionary().is_some() {
        "a dictionary"
    } else {
        "a single value"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::plist::tests::{any_dictionary, any_text};
    use super::*;

    proptest! {
        #[test]
        fn a_command_round_trips(uuid in "[!-~]{1,40}", request_type in any_text(), mut command in any_dictionary()) {
            command.insert("RequestType".into(), request_type.clone().into());
            let decoded = Command::decode(&encode_command(&uuid, &command)).unwrap();
            prop_assert_eq!(decoded.defect(), None);
            prop_assert_eq!(decoded, Command {
                uuid: Some(CommandUuid(uuid.into())),
                request_type: Some(request_type),
                command,
            });
        }
    }

    fn defect_of(inside: &str) -> Option<&'static str> {
        let body = format!("<plist version=\"1.0\"><dict>{inside}</dict></plist>");
        Command::decode(body.as_bytes()).unwrap().defect()
    }

    #[test]
    fn each_missing_part_of_a_readable_command_is_named() {
        let uuid = "<key>CommandUUID</key><string>U</string>";
        assert_eq!(defect_of(""), Some("the command has no CommandUUID"));
        assert_eq!(
            defect_of(uuid),
            Some("the command has no Command dictionary")
        );
        assert_eq!(
            defect_of(&format!(
                "{uuid}<key>Command</key><dict><key>A</key><true/></dict>"
            )),
            Some("the Command dictionary has no RequestType")
        );
    }

    #[test]
    fn a_body_that_is_no_command_is_an_error() {
        let error = Command::decode(b"<plist><array/></plist>").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a command is a dictionary, but found an array"
        );
        assert!(matches!(
            Command::decode(b"<html>"),
            Err(CommandError::Unreadable(PlistError::Html { .. }))
        ));
    }

    #[test]
    fn a_name_that_is_too_long_is_no_name() {
        let body = |uuid: usize, request_type: usize| {
            let mut command = Dictionary::new();
            command.insert("RequestType".into(), "R".repeat(request_type).into());
            Command::decode(&encode_command(&"U".repeat(uuid), &command))
        };
        let longest = CommandUuid::BYTES_MAX;
        assert_eq!(body(longest, longest).unwrap().defect(), None);
        for (uuid, request_type, key) in [
            (longest + 1, 1, "CommandUUID"),
            (1, longest + 1, "RequestType"),
        ] {
            let error = body(uuid, request_type).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("{key} has 257 bytes, but at most 256 are taken")
            );
        }
    }

    #[test]
    fn a_template_takes_the_uuid_where_the_root_has_it_even_if_the_payload_has_the_placeholder() {
        let mut command = Dictionary::new();
        command.insert("RequestType".into(), "Settings".into());
        command.insert("Note".into(), PLACEHOLDER.into());
        let uuid = CommandUuid::of_order(crate::ids::RunId([3; 16]), crate::ids::OrderIndex(7));
        let body = Template::new(&command).with(&uuid);
        let decoded = Command::decode(&body).unwrap();
        assert_eq!(decoded.uuid, Some(uuid));
        assert_eq!(
            decoded.command.get("Note").and_then(|n| n.as_string()),
            Some(PLACEHOLDER)
        );
    }
}
