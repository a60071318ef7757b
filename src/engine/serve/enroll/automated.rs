//! Automated enrolment: a device that Apple has assigned to the organisation sends what it is, signed
//! by the certificate it was made with, and is handed its profile (protocol.md 7.5).

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use plist::{Dictionary, Value};
use serde_json::json;

use super::profile::Wanted;
use super::{Asked, Enrolling, refused};
use crate::engine::serve::routes::json_answer;
use crate::protocol::plist::encode;

/// The header that older systems carry MachineInfo in, by GET.
const MACHINE_INFO: &str = "x-apple-aspen-deviceinfo";

/// Hands out a profile for MachineInfo that a device has signed.
pub(super) fn enroll(asked: &Asked, enrolling: &Enrolling, topic: String) -> Response<Full<Bytes>> {
    let signed = match asked.head.method {
        Method::POST => Ok(asked.body.to_vec()),
        _ => of_header(asked),
    };
    let opened = signed.and_then(|signed| enrolling.vouching.signed_machine_info(&signed));
    let machine = match opened {
        Ok(machine) => machine,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
    };
    if let Some(minimum) = &enrolling.rules.minimum_os
        && must_update(&machine, minimum)
    {
        return update_first(asked, minimum);
    }
    enrolling.hand_out(asked, topic, Wanted::of_query(asked))
}

fn of_header(asked: &Asked) -> Result<Vec<u8>, String> {
    let value = asked.head.headers.get(MACHINE_INFO);
    let value = value.ok_or_else(|| {
        format!("expected MachineInfo as the body of a POST, or in the header {MACHINE_INFO}")
    })?;
    BASE64
        .decode(value.as_bytes())
        .map_err(|error| format!("the header {MACHINE_INFO} is not base64: {error}"))
}

/// Whether an iPad or iPhone is older than `minimum` and says that it can be told to update. The
/// versions of Macs are numbered otherwise: the same number means nothing to them.
fn must_update(machine: &Dictionary, minimum: &str) -> bool {
    let product = machine.get("PRODUCT").and_then(Value::as_string);
    let is_meant = product.is_some_and(|it| it.starts_with("iPad") || it.starts_with("iPhone"));
    let can_update = machine.get("MDM_CAN_REQUEST_SOFTWARE_UPDATE");
    let can_update = can_update.and_then(Value::as_boolean).unwrap_or(false);
    let version = machine.get("OS_VERSION").and_then(Value::as_string);
    is_meant
        && can_update
        && version.is_some_and(|version| compare(version, minimum) == Ordering::Less)
}

/// Compares versions number by number; what is missing or no number counts as 0.
fn compare(one: &str, other: &str) -> Ordering {
    let numbers = |text: &str| {
        let parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let mut parts: Vec<u32> = parts.collect();
        while parts.last() == Some(&0) {
            parts.pop();
        }
        parts
    };
    numbers(one).cmp(&numbers(other))
}

/// The answer that makes a device update before it tries again: JSON, or a property list for
/// `?form=plist`.
fn update_first(asked: &Asked, minimum: &str) -> Response<Full<Bytes>> {
    const CODE: &str = "com.apple.softwareupdate.required";
    let message = format!("This device has to be at version {minimum} at least.");
    if asked.parameter("form").as_deref() != Some("plist") {
        let body = json!({
            "code": CODE,
            "description": "the OS is too old",
            "message": message,
            "details": { "OSVersion": minimum },
        });
        return json_answer(StatusCode::FORBIDDEN, &body);
    }
    let details = Dictionary::from_iter([("OSVersion", Value::from(minimum))]);
    let body = Dictionary::from_iter([
        ("code", Value::from(CODE)),
        ("description", Value::from("the OS is too old")),
        ("message", Value::from(message)),
        ("details", Value::Dictionary(details)),
    ]);
    let mut response = Response::new(Full::new(Bytes::from(encode(&body))));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let kind = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_number_by_number() {
        assert_eq!(compare("17.10", "17.4"), Ordering::Greater);
        assert_eq!(compare("17.4", "17.4.0"), Ordering::Equal);
        assert_eq!(compare("9.3.5", "17"), Ordering::Less);
        assert_eq!(compare("", "1"), Ordering::Less);
    }

    #[test]
    fn only_a_device_that_can_be_told_to_update_is_sent_away() {
        let of = |product: &str, version: &str, can: bool| {
            Dictionary::from_iter([
                ("PRODUCT", Value::from(product)),
                ("OS_VERSION", Value::from(version)),
                ("MDM_CAN_REQUEST_SOFTWARE_UPDATE", Value::from(can)),
            ])
        };
        let machine = |version, can| of("iPad13,18", version, can);
        assert!(must_update(&machine("17.3", true), "17.4"));
        assert!(must_update(&of("iPhone14,5", "17.3", true), "17.4"));
        assert!(!must_update(&of("Mac14,2", "14.5", true), "17.4"));
        assert!(!must_update(&machine("17.3", false), "17.4"));
        assert!(!must_update(&machine("17.4", true), "17.4"));
        assert!(!must_update(&Dictionary::new(), "17.4"));
    }
}
