//! What a target says in one event: JSON in the form of MicroMDM's webhook, which NanoMDM's shares.
//!
//! (MicroMDM, workflow/webhook; NanoMDM, service/webhook/event.json.) Keys that nobody needs here, the
//! device's own words among them, are passed over.

use std::borrow::Cow;

use serde::Deserialize;

use crate::fact::{ResultStatus, ServerEvent};
use crate::ids::CommandUuid;

/// The longest text of an event that is kept, in bytes: topics, statuses and ids are far shorter.
const TEXT_MAX: usize = 256;

/// What a target says of one device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// What the target calls the device, or the user on it.
    pub(super) enrollment: String,
    /// What happened.
    pub(super) event: ServerEvent,
}

/// Why a request is no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    /// Another form.
    #[error("expected an event as MicroMDM's and NanoMDM's webhooks send it: {0}")]
    Form(#[from] serde_json::Error),
    /// Something is not there.
    #[error("the event has no {0}")]
    Missing(&'static str),
    /// More than anybody could mean.
    #[error("the event's {what} is longer than {TEXT_MAX} bytes")]
    Long {
        /// What of it.
        what: &'static str,
    },
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    acknowledge_event: Option<Said<'a>>,
    #[serde(borrow)]
    checkin_event: Option<Said<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    udid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    enrollment_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ids: Option<Ids<'a>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    command_uuid: Option<Cow<'a, str>>,
}

/// NanoMDM's own names.
#[derive(Deserialize)]
struct Ids<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl Message {
    /// Reads the body of a request.
    pub(super) fn read(body: &[u8]) -> Result<Self, MessageError> {
        let Written {
            topic,
            acknowledge_event,
            checkin_event,
        } = serde_json::from_slice(body)?;
        let topic = kept(&topic, "topic")?;
        let (said, event) = match (acknowledge_event, checkin_event) {
            (Some(said), _) => {
                let event = reported(&said)?;
                (said, event)
            }
            (None, Some(said)) => (said, checked_in(topic)),
            (None, None) => {
                return Err(MessageError::Missing("acknowledge_event or checkin_event"));
            }
        };
        let ids = said.ids.map(|ids| ids.id);
        // A device that enrols by its user has an EnrollmentID, and no UDID that anybody is told.
        let names = [ids, said.enrollment_id, said.udid];
        let enrollment = names.into_iter().flatten().find(|name| !name.is_empty());
        let enrollment = enrollment.ok_or(MessageError::Missing("udid"))?;
        Ok(Self {
            enrollment: kept(&enrollment, "udid")?.to_owned(),
            event,
        })
    }
}

/// What a device said that asked for work or reported on a command.
fn reported(said: &Said<'_>) -> Result<ServerEvent, MessageError> {
    let status = said.status.as_deref().unwrap_or_default();
    let status = match kept(status, "status")? {
        "" => return Err(MessageError::Missing("status")),
        "Idle" => return Ok(ServerEvent::Idle),
        "Acknowledged" => ResultStatus::Acknowledged,
        "Error" => ResultStatus::Error,
        "CommandFormatError" => ResultStatus::CommandFormatError,
        "NotNow" => ResultStatus::NotNow,
        other => return Ok(ServerEvent::Other(other.to_owned())),
    };
    let uuid = said.command_uuid.as_deref().unwrap_or_default();
    let uuid = kept(uuid, "command_uuid")?;
    let uuid = (!uuid.is_empty()).then(|| CommandUuid(uuid.into()));
    Ok(ServerEvent::Result { uuid, status })
}

fn checked_in(topic: &str) -> ServerEvent {
    match topic {
        "mdm.Authenticate" => ServerEvent::Authenticate,
        "mdm.TokenUpdate" => ServerEvent::TokenUpdate,
        "mdm.CheckOut" => ServerEvent::CheckOut,
        other => ServerEvent::Other(other.to_owned()),
    }
}

fn kept<'a>(text: &'a str, what: &'static str) -> Result<&'a str, MessageError> {
    if text.len() > TEXT_MAX {
        return Err(MessageError::Long { what });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, Seed};

    fn read(body: &str) -> Result<(String, ServerEvent), String> {
        let message = Message::read(body.as_bytes()).map_err(|error| error.to_string())?;
        Ok((message.enrollment, message.event))
    }

    fn said(enrollment: &str, event: ServerEvent) -> Result<(String, ServerEvent), String> {
        Ok((enrollment.to_owned(), event))
    }

    #[test]
    fn a_result_as_nanomdm_tells_it() {
        let body = r#"{"topic":"mdm.Connect","event_id":"4b4a","created_at":"2026-11-20T08:00:00Z",
            "acknowledge_event":{"udid":"U","ids":{"id":"U:V","parent_id":"U","type":"User"},
            "status":"Acknowledged","command_uuid":"C","url_params":null,"raw_payload":"PD94"}}"#;
        let uuid = Some(CommandUuid("C".into()));
        let status = ResultStatus::Acknowledged;
        assert_eq!(
            read(body),
            said("U:V", ServerEvent::Result { uuid, status })
        );
    }

    #[test]
    fn events_as_micromdm_tells_them() {
        let connect = |rest: &str| {
            read(&format!(
                r#"{{"topic":"mdm.Connect","acknowledge_event":{{"udid":"U",{rest}}}}}"#
            ))
        };
        assert_eq!(connect(r#""status":"Idle""#), said("U", ServerEvent::Idle));
        let (uuid, status) = (None, ResultStatus::CommandFormatError);
        let result = ServerEvent::Result { uuid, status };
        let without = connect(r#""status":"CommandFormatError","command_uuid":"""#);
        assert_eq!(without, said("U", result));
        let other = ServerEvent::Other("Busy".to_owned());
        assert_eq!(connect(r#""status":"Busy""#), said("U", other));
        let check_in = |topic: &str| {
            read(&format!(
                r#"{{"topic":"{topic}","checkin_event":{{"udid":"","enrollment_id":"E"}}}}"#
            ))
        };
        for (topic, event) in [
            ("mdm.Authenticate", ServerEvent::Authenticate),
            ("mdm.TokenUpdate", ServerEvent::TokenUpdate),
            ("mdm.CheckOut", ServerEvent::CheckOut),
            (
                "mdm.GetToken",
                ServerEvent::Other("mdm.GetToken".to_owned()),
            ),
        ] {
            assert_eq!(check_in(topic), said("E", event));
        }
    }

    #[test]
    fn what_is_no_event_is_refused_with_what_is_missing() {
        let long = "x".repeat(TEXT_MAX + 1);
        let long = format!(r#"{{"acknowledge_event":{{"udid":"U","status":"{long}"}}}}"#);
        for (body, missing) in [
            ("", "expected an event"),
            ("[]", "expected an event"),
            (
                r#"{"topic":7,"checkin_event":{"udid":"U"}}"#,
                "expected an event",
            ),
            (r#"{"checkin_event":{"udid":["U"]}}"#, "expected an event"),
            ("{}", "no acknowledge_event or checkin_event"),
            (r#"{"acknowledge_event":{"udid":"U"}}"#, "no status"),
            (r#"{"acknowledge_event":{"status":"Idle"}}"#, "no udid"),
            (r#"{"checkin_event":{"udid":null,"ids":null}}"#, "no udid"),
            (&long, "status is longer than"),
        ] {
            let why = read(body).unwrap_err();
            assert!(why.contains(missing), "{body}: {why}");
        }
    }

    /// A target may send anything: whatever a good event is turned into is read or refused, and what
    /// is read of it is short.
    #[test]
    fn no_body_is_too_odd_to_be_read_or_refused() {
        let good = r#"{"topic":"mdm.Connect","acknowledge_event":{"udid":"U\u00e9","ids":{"id":"U"},
            "status":"Error","command_uuid":"C","raw_payload":"PD94","url_params":{"a":"b"}}}"#;
        let odd: [&[u8]; 10] = [
            b"\"", b"{", b"}", b"[[[[", b"null", b"1e999", b"\\ud800", b"\xff", b"\0", b",",
        ];
        let mut draw = Seed(7).draw(Purpose::Misbehaviour, 0, 0, 0);
        for _ in 0..20_000 {
            let mut body = good.as_bytes().to_vec();
            for _ in 0..=draw.below(3) {
                let at = draw.below(body.len() as u64) as usize;
                let end = (at + draw.below(4) as usize).min(body.len());
                let with = odd[draw.below(odd.len() as u64) as usize];
                body.splice(at..end, with.iter().copied());
            }
            if let Ok(message) = Message::read(&body) {
                assert!(message.enrollment.len() <= TEXT_MAX);
            }
        }
        let deep = [b"{\"url_params\":".to_vec(), vec![b'['; 1_000_000]].concat();
        assert!(Message::read(&deep).is_err());
    }
}
