//! From what a scenario says about a command to the command itself.
//!
//! The bytes of files come in as an argument. They are a user's: whatever they hold, the answer is a
//! command or an error that names the file and the place that asked for it.

use std::path::Path;

use plist::{Dictionary, Value};
use thiserror::Error;

use super::{CommandSource, StageCommand, request};

/// No command is larger; the largest profiles in use are far below, and a device would refuse it.
pub const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024;

/// Deeper nesting is no command, and would cost a parser its stack.
const NESTING_MAX: usize = 64;

/// Why a command's file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}: {wrong} (named at {place})")]
pub struct FileError {
    /// The file, as the scenario names it.
    pub file: String,
    /// Where the scenario names it.
    pub place: String,
    /// What is wrong with it.
    pub wrong: WrongFile,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WrongFile {
    /// The bytes were not handed in.
    #[error("the file was not read")]
    NotRead,
    /// It is larger than [`MAX_COMMAND_BYTES`].
    #[error("the file has {bytes} bytes, but a command has at most {MAX_COMMAND_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is empty.
    #[error("the file is empty")]
    Empty,
    /// It is a property list, but a binary one.
    #[error("a binary property list: convert it with plutil -convert xml1")]
    Binary,
    /// It is no XML property list, or ends too early.
    #[error("no readable property list: {0}")]
    Unreadable(String),
    /// It nests deeper than any command.
    #[error("nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    /// It holds a `CDATA` section, which property lists read as nothing.
    #[error("contains a CDATA section, which property lists do not have: escape the text")]
    Cdata,
    /// It is a property list, but no dictionary.
    #[error("a property list whose top is no dictionary")]
    NoDictionary,
    /// It is a dictionary without a request type.
    #[error("a dictionary without RequestType, at its top or in Command")]
    NoRequestType,
    /// It is neither a profile nor a signed one.
    #[error(
        "neither a property list nor signed data: a profile begins with <?xml or a DER sequence"
    )]
    NoPayload,
}

/// The command dictionary, `RequestType` included. `file` is the bytes of the file it needs.
pub fn build(command: &StageCommand, file: Option<&[u8]>) -> Result<Dictionary, FileError> {
    let named = |path: &Path, wrong| FileError {
        file: path.display().to_string(),
        place: command.place.clone(),
        wrong,
    };
    match &command.source {
        CommandSource::File(path) => whole_command(file).map_err(|wrong| named(path, wrong)),
        CommandSource::Request {
            request,
            keys,
            payload,
        } => {
            let mut dictionary = Dictionary::new();
            dictionary.insert("RequestType".to_owned(), Value::String(request.clone()));
            for (key, value) in keys {
                dictionary.insert(key.clone(), value.clone());
            }
            if request == "DeviceInformation" && !keys.contains_key("Queries") {
                let queries = request::DEVICE_INFORMATION_QUERIES;
                let queries = queries
                    .map(|query| Value::String(query.to_owned()))
                    .to_vec();
                dictionary.insert("Queries".to_owned(), Value::Array(queries));
            }
            if let (Some(path), Some(key)) = (payload, request::payload_key(request)) {
                let bytes = payload_bytes(file).map_err(|wrong| named(path, wrong))?;
                dictionary.insert(key.to_owned(), Value::Data(bytes.to_vec()));
            }
            Ok(dictionary)
        }
    }
}

/// The request type of a command made by [`build`].
pub fn request_type(command: &Dictionary) -> &str {
    command
        .get("RequestType")
        .and_then(Value::as_string)
        .unwrap_or_default()
}

fn sized(file: Option<&[u8]>) -> Result<&[u8], WrongFile> {
    let bytes = file.ok_or(WrongFile::NotRead)?;
    if bytes.is_empty() {
        return Err(WrongFile::Empty);
    }
    if bytes.len() > MAX_COMMAND_BYTES {
        return Err(WrongFile::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

fn whole_command(file: Option<&[u8]>) -> Result<Dictionary, WrongFile> {
    let mut dictionary = dictionary(sized(file)?)?;
    // Both the command alone and the message an MDM server sends around it are in use.
    if let Some(Value::Dictionary(inner)) = dictionary.remove("Command") {
        dictionary = inner;
    }
    match dictionary.get("RequestType") {
        Some(Value::String(request)) if !request.is_empty() => Ok(dictionary),
        Some(_) | None => Err(WrongFile::NoRequestType),
    }
}

/// A profile: a property list that can be read, or data signed by somebody.
fn payload_bytes(file: Option<&[u8]>) -> Result<&[u8], WrongFile> {
    /// The tag of a DER sequence, with which every CMS message begins.
    const SEQUENCE: u8 = 0x30;
    let bytes = sized(file)?;
    let text = bytes.trim_ascii_start();
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    if bytes[0] == SEQUENCE {
        return Ok(bytes);
    }
    if text.starts_with(b"<") || bytes.starts_with(b"bplist00") {
        dictionary(bytes)?;
        return Ok(bytes);
    }
    Err(WrongFile::NoPayload)
}

fn dictionary(bytes: &[u8]) -> Result<Dictionary, WrongFile> {
    if bytes.starts_with(b"bplist00") {
        return Err(WrongFile::Binary);
    }
    if contains(bytes, b"<![CDATA[") {
        return Err(WrongFile::Cdata);
    }
    if nesting(bytes) > NESTING_MAX {
        return Err(WrongFile::TooDeep);
    }
    match Value::from_reader_xml(bytes) {
        Ok(Value::Dictionary(dictionary)) => Ok(dictionary),
        Ok(_) => Err(WrongFile::NoDictionary),
        Err(error) if error.is_eof() => Err(WrongFile::Unreadable(format!(
            "it ends too early, after {} bytes",
            bytes.len()
        ))),
        Err(error) => Err(WrongFile::Unreadable(error.to_string())),
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// How deep arrays and dictionaries nest at most, counted without parsing.
fn nesting(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for tag in bytes.split(|byte| *byte == b'<') {
        if tag.starts_with(b"/dict") || tag.starts_with(b"/array") {
            depth = depth.saturating_sub(1);
        } else if tag.starts_with(b"dict") || tag.starts_with(b"array") {
            let is_closed = tag
                .split(|byte| *byte == b'>')
                .next()
                .is_some_and(|tag| tag.ends_with(b"/"));
            depth += usize::from(!is_closed);
            deepest = deepest.max(depth);
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Amount, Arrival, Recipient};

    const PROFILE: &[u8] = b"<?xml version=\"1.0\"?><plist><dict><key>PayloadType</key><string>Configuration</string></dict></plist>";

    fn command(source: CommandSource) -> StageCommand {
        StageCommand {
            source,
            to: None,
            recipient: Recipient::Device,
            amount: Amount::Each(1),
            arrival: Arrival::Even,
            serial: false,
            place: "a.toml:7".to_owned(),
        }
    }

    fn file(bytes: &[u8]) -> Result<Dictionary, String> {
        let command = command(CommandSource::File("c.plist".into()));
        build(&command, Some(bytes)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_may_hold_the_command_or_the_message_around_it() {
        let bare = b"<plist><dict><key>RequestType</key><string>X</string></dict></plist>";
        let message = b"<plist><dict><key>CommandUUID</key><string>u</string><key>Command</key><dict><key>RequestType</key><string>X</string></dict></dict></plist>";
        assert_eq!(request_type(&file(bare).unwrap()), "X");
        assert_eq!(file(bare), file(message));
    }

    #[test]
    fn a_file_that_is_no_command_is_named_with_its_place() {
        let deep = [b"<plist>".to_vec(), b"<array>".repeat(65)].concat();
        let large = vec![b' '; MAX_COMMAND_BYTES + 1];
        let cases: [(&[u8], &str); 7] = [
            (b"", "the file is empty"),
            (b"bplist00xx", "a binary property list"),
            (
                b"<plist><dict><key>RequestType</key>",
                "no readable property list",
            ),
            (
                b"<html><body>502</body></html>",
                "no readable property list",
            ),
            (b"<plist><dict/></plist>", "without RequestType"),
            (&deep, "nested deeper"),
            (&large, "at most 4194304"),
        ];
        for (bytes, wrong) in cases {
            let error = file(bytes).unwrap_err();
            assert!(error.contains(wrong), "{error}");
            assert!(error.starts_with("c.plist: "), "{error}");
            assert!(error.ends_with("(named at a.toml:7)"), "{error}");
        }
    }

    #[test]
    fn a_payload_is_a_profile_or_signed_data_and_travels_untouched() {
        let install = command(CommandSource::Request {
            request: "InstallProfile".to_owned(),
            keys: Dictionary::new(),
            payload: Some("p.mobileconfig".into()),
        });
        let built = build(&install, Some(PROFILE)).unwrap();
        assert_eq!(built.get("Payload").and_then(Value::as_data), Some(PROFILE));
        assert!(build(&install, Some(b"\x30\x82\x01")).is_ok());
        assert!(build(&install, Some(&PROFILE[..60])).is_err());
        assert!(build(&install, Some(b"hello")).is_err());
        assert!(build(&install, None).is_err());
    }

    #[test]
    fn device_information_asks_for_an_inventory_unless_told_otherwise() {
        let source = |keys| CommandSource::Request {
            request: "DeviceInformation".to_owned(),
            keys,
            payload: None,
        };
        let usual = build(&command(source(Dictionary::new())), None).unwrap();
        let queries = usual.get("Queries").and_then(Value::as_array).unwrap();
        assert_eq!(queries.len(), request::DEVICE_INFORMATION_QUERIES.len());
        let mut keys = Dictionary::new();
        keys.insert(
            "Queries".to_owned(),
            Value::Array(vec![Value::from("UDID")]),
        );
        let own = build(&command(source(keys.clone())), None).unwrap();
        assert_eq!(own.get("Queries"), keys.get("Queries"));
    }
}
