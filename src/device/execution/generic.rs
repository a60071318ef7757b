//! Answers to commands that nothing here models: every required key, with a value of its type.

use ::plist::{Dictionary, Value};

use super::{Outcome, Subject, Trait, dictionary};
use crate::protocol::request_types::{Key, Kind, RequestType};
use crate::seed::Draw;

/// Acknowledges with every key the result has to have. Lists of what a virtual device has none of
/// (certificates, books, updates, users) are empty.
pub(super) fn answer(row: &RequestType, request: &Dictionary, device: &Subject<'_>) -> Outcome {
    let mut draw = device.draw(Trait::Answer);
    let mut payload: Dictionary = row
        .response_keys()
        .map(|key| (key.name.to_owned(), value(key, &mut draw)))
        .collect();
    for (key, mirrored) in special(row.name, request) {
        payload.insert(key.to_owned(), mirrored);
    }
    Outcome::acknowledged(payload)
}

/// Values that follow from the command, where any other would be wrong.
fn special(name: &str, request: &Dictionary) -> Vec<(&'static str, Value)> {
    match name {
        "Restrictions" => {
            let none = || Value::Dictionary(Dictionary::new());
            let restrictions = dictionary([
                ("restrictedBool", none()),
                ("restrictedValue", none()),
                ("intersection", none()),
                ("union", none()),
            ]);
            vec![("GlobalRestrictions", restrictions.into())]
        }
        "SetFirmwarePassword" => {
            let result = dictionary([("PasswordChanged", Value::Boolean(true))]);
            vec![("SetFirmwarePassword", result.into())]
        }
        "VerifyFirmwarePassword" => {
            let result = dictionary([("PasswordVerified", Value::Boolean(true))]);
            vec![("VerifyFirmwarePassword", result.into())]
        }
        "ManagedApplicationAttributes" => {
            vec![("ApplicationAttributes", per_identifier(request))]
        }
        "ManagedApplicationConfiguration" => {
            vec![("ApplicationConfigurations", per_identifier(request))]
        }
        "InviteToProgram" => vec![("InvitationResult", "Acknowledged".into())],
        _ => Vec::new(),
    }
}

/// One entry for each app that was asked about.
fn per_identifier(request: &Dictionary) -> Value {
    let asked = super::texts(request, "Identifiers").unwrap_or_default();
    let entries = asked
        .into_iter()
        .map(|identifier| Value::Dictionary(dictionary([("Identifier", identifier.into())])));
    Value::Array(entries.collect())
}

fn value(key: Key, draw: &mut Draw) -> Value {
    match key.kind {
        // A device's clock is not known here, and a moment is all that a date has to be.
        Kind::String if key.name == "Timestamp" => "2026-01-01T00:00:00Z".into(),
        Kind::String => format!("{:010X}", draw.below(1 << 40)).into(),
        Kind::Boolean => Value::Boolean(true),
        Kind::Integer => Value::Integer(1.into()),
        // Small enough for a latitude, an accuracy in metres and a speed alike.
        Kind::Real => Value::Real(draw.unit() * 60.0),
        Kind::Data => Value::Data((0..32).map(|_| draw.below(256) as u8).collect()),
        Kind::Array => Value::Array(Vec::new()),
        Kind::Dictionary => Value::Dictionary(Dictionary::new()),
    }
}
