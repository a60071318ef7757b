//! Status reports: the body of every request a device makes to the server URL.
//!
//! Idle asks for work, anything else is the result of a command.

use ::plist::{Dictionary, Value};
use thiserror::Error;

use super::checkin::{Enrollee, User};
use super::error_chain::ErrorItem;
use super::plist::{self, PlistError};
use super::plist_writer;
use crate::ids::CommandUuid;

/// The content type of status reports.
pub const SERVER_CONTENT_TYPE: &str = "application/x-apple-aspen-mdm; charset=UTF-8";

/// What a device says about itself or a command.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusReport {
    /// `UDID`, or `EnrollmentID`.
    pub udid: Enrollee,
    /// Whose channel it is; `None` for the device channel.
    pub user: Option<User>,
    /// `Status`.
    pub status: Status,
    /// `CommandUUID`; absent with Idle, and in a CommandFormatError about a command without one.
    pub uuid: Option<CommandUuid>,
    /// `ErrorChain`, top-level error first.
    pub error_chain: Vec<ErrorItem>,
    /// Every other key: the command's response.
    pub payload: Dictionary,
}

/// The `Status` of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The device asks for work.
    Idle,
    /// The command is done.
    Acknowledged,
    /// The command failed for good.
    Error,
    /// The device could not read the command.
    CommandFormatError,
    /// Not at present.
    NotNow,
    /// A status that Apple does not define.
    Unknown(String),
}

/// Why a body is no status report.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StatusReportError {
    /// It is no property list.
    #[error(transparent)]
    Unreadable(#[from] PlistError),
    /// It is one, but not a dictionary.
    #[error("a status report is a dictionary, but found something else")]
    NotADictionary,
    /// A key that every report has is missing or no string.
    #[error("the status report has no {key}")]
    Missing {
        /// The key.
        key: &'static str,
    },
}

impl Status {
    /// As it is written in a report.
    pub fn name(&self) -> &str {
        match self {
            Self::Idle => "Idle",
            Self::Acknowledged => "Acknowledged",
            Self::Error => "Error",
            Self::CommandFormatError => "CommandFormatError",
            Self::NotNow => "NotNow",
            Self::Unknown(name) => name,
        }
    }

    fn of_name(name: &str) -> Self {
        match name {
            "Idle" => Self::Idle,
            "Acknowledged" => Self::Acknowledged,
            "Error" => Self::Error,
            "CommandFormatError" => Self::CommandFormatError,
            "NotNow" => Self::NotNow,
            unknown => Self::Unknown(unknown.to_owned()),
        }
    }
}

/// Writes the report of a device that asks for work. A template, because one is sent in every
/// session.
pub fn idle(udid: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(IDLE_HEAD.len() + udid.len() + IDLE_TAIL.len());
    body.extend_from_slice(IDLE_HEAD.as_bytes());
    plist_writer::push_escaped(&mut body, udid);
    body.extend_from_slice(IDLE_TAIL.as_bytes());
    body
}

/// Writes the report of a user's channel, or of a user enrolment, that asks for work.
pub fn idle_of(udid: Enrollee, user: Option<User>) -> Vec<u8> {
    StatusReport {
        udid,
        user,
        status: Status::Idle,
        uuid: None,
        error_chain: Vec::new(),
        payload: Dictionary::new(),
    }
    .encode()
}

const IDLE_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
    \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
    <plist version=\"1.0\">\n<dict>\n\
    \t<key>Status</key>\n\t<string>Idle</string>\n\
    \t<key>UDID</key>\n\t<string>";
const IDLE_TAIL: &str = "</string>\n</dict>\n</plist>\n";

/// What a key of a report says.
enum Field<'a> {
    Text(&'a str),
    Value(&'a Value),
}

impl StatusReport {
    /// Writes the report. The fields above win over keys of the same name in the payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut user = Dictionary::new();
        if let Some(whose) = &self.user {
            whose.put_into(&mut user, &self.udid);
        }
        let chain = self.error_chain.iter().map(ErrorItem::to_value).collect();
        let chain = Value::Array(chain);
        let has_chain = !self.error_chain.is_empty();
        let uuid = self.uuid.as_ref().map(|it| &*it.0);
        let fields = [
            has_chain.then_some(("ErrorChain", Field::Value(&chain))),
            uuid.map(|uuid| ("CommandUUID", Field::Text(uuid))),
            Some(("Status", Field::Text(self.status.name()))),
            Some((self.udid.key(), Field::Text(&self.udid))),
        ];
        let is_field = |name: &str| fields.iter().flatten().any(|(key, _)| *key == name);
        let of_payload = |key: &str| !is_field(key) && !user.contains_key(key);
        let mut entries = plist_writer::Entries::new();
        let payload = self.payload.iter().filter(|(key, _)| of_payload(key));
        for (key, value) in payload.chain(&user) {
            entries.push(key, value);
        }
        for (key, field) in fields.iter().flatten() {
            match field {
                Field::Text(text) => entries.push_text(key, text),
                Field::Value(value) => entries.push(key, value),
            }
        }
        entries.end()
    }

    /// Reads a report as a server does. A status that nobody knows is kept as text.
    pub fn decode(body: &[u8]) -> Result<Self, StatusReportError> {
        let Some(mut payload) = plist::decode(body)?.into_dictionary() else {
            return Err(StatusReportError::NotADictionary);
        };
        let user = User::take_from(&mut payload);
        let udid = Enrollee::of(&payload).ok_or(StatusReportError::Missing { key: "UDID" })?;
        payload.remove(udid.key());
        let mut take = |key| payload.remove(key);
        let string = |value: Option<Value>| value.and_then(Value::into_string);
        let status = string(take("Status")).ok_or(StatusReportError::Missing { key: "Status" })?;
        let uuid = string(take("CommandUUID")).filter(|uuid| !uuid.is_empty());
        let chain = take("ErrorChain").and_then(Value::into_array);
        Ok(Self {
            udid,
            user,
            status: Status::of_name(&status),
            uuid: uuid.map(|uuid| CommandUuid(uuid.into())),
            error_chain: chain
                .unwrap_or_default()
                .iter()
                .filter_map(ErrorItem::of_value)
                .collect(),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::checkin::tests::{any_enrollee, any_user};
    use super::super::plist::tests::{any_dictionary, any_text};
    use super::*;

    fn any_item() -> impl Strategy<Value = ErrorItem> {
        (
            any::<i32>(),
            any_text(),
            any_text(),
            prop::option::of(any_text()),
        )
            .prop_map(|(code, domain, localized, us_english)| ErrorItem {
                code: code.into(),
                domain: domain.into(),
                localized: localized.into(),
                us_english: us_english.map(Into::into),
            })
    }

    proptest! {
        #[test]
        fn a_report_round_trips(
            udid in any_enrollee(),
            user in prop::option::of(any_user()),
            status in "Idle|Acknowledged|Error|CommandFormatError|NotNow|Busy",
            uuid in prop::option::of("[!-~]{1,40}"),
            error_chain in prop::collection::vec(any_item(), 0..3),
            payload in any_dictionary(),
        ) {
            let report = StatusReport {
                udid,
                user,
                status: Status::of_name(&status),
                uuid: uuid.map(|uuid| CommandUuid(uuid.into())),
                error_chain,
                payload,
            };
            prop_assert_eq!(StatusReport::decode(&report.encode()).unwrap(), report);
        }

        #[test]
        fn the_idle_template_says_what_the_encoder_says(udid in any_text()) {
            let report = StatusReport {
                udid: udid.as_str().into(),
                user: None,
                status: Status::Idle,
                uuid: None,
                error_chain: Vec::new(),
                payload: Dictionary::new(),
            };
            prop_assert_eq!(StatusReport::decode(&idle(&udid)).unwrap(), report);
        }
    }

    #[test]
    fn a_field_wins_over_a_key_of_the_payload() {
        let names = [
            "Status",
            "UDID",
            "CommandUUID",
            "ErrorChain",
            "UserID",
            "Own",
        ];
        let payload: Dictionary = names
            .map(|name| (name.to_owned(), Value::from("payload")))
            .into_iter()
            .collect();
        let bare = StatusReport {
            udid: "device".into(),
            user: None,
            status: Status::Acknowledged,
            uuid: None,
            error_chain: Vec::new(),
            payload,
        };
        let whole = StatusReport {
            user: Some(User {
                id: "user".to_owned(),
                ..User::default()
            }),
            uuid: Some(CommandUuid("uuid".into())),
            error_chain: vec![ErrorItem::app_not_managed("app")],
            ..bare.clone()
        };
        let written = |report: &StatusReport| {
            let body = String::from_utf8(report.encode()).unwrap();
            let times = |name: &str| body.matches(&format!("<key>{name}</key>")).count();
            assert_eq!(names.map(times), [1; 6], "{body}");
            plist::decode(body.as_bytes())
                .unwrap()
                .into_dictionary()
                .unwrap()
        };
        let (bare, whole) = (written(&bare), written(&whole));
        let texts =
            |root: &Dictionary| names.map(|name| plist::text(root, name).map(str::to_owned));
        let some = |text: &str| Some(text.to_owned());
        let payload = || some("payload");
        assert_eq!(
            texts(&bare),
            [
                some("Acknowledged"),
                some("device"),
                payload(),
                payload(),
                payload(),
                payload()
            ]
        );
        assert_eq!(
            texts(&whole),
            [
                some("Acknowledged"),
                some("device"),
                some("uuid"),
                None,
                some("user"),
                payload()
            ]
        );
    }

    #[test]
    fn a_report_without_udid_or_status_is_refused() {
        let error = StatusReport::decode(b"<plist><dict/></plist>").unwrap_err();
        assert_eq!(error.to_string(), "the status report has no UDID");
    }
}
