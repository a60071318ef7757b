//! Enrolment over the air: the payload that asks for attributes, and the two answers to them
//! (protocol.md 7.2).

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use plist::Value;

use super::profile::{Wanted, uuid};
use super::vouching::{Signed, open};
use super::{Asked, Enrolling, refused};
use crate::protocol::profile::ServicePayload;

/// What a device is asked about itself.
const ATTRIBUTES: [&str; 6] = ["UDID", "VERSION", "PRODUCT", "SERIAL", "MEID", "IMEI"];

/// The first phase: a bare payload that says where attributes go.
pub(super) fn begin(asked: &Asked, enrolling: &Enrolling) -> Response<Full<Bytes>> {
    let payload = ServicePayload {
        identifier: "org.mdmstorm.ota".to_owned(),
        uuid: uuid(&asked.base, "ota"),
        url: format!("{}/ota/phase23", asked.base),
        challenge: Some(Value::from(enrolling.ota_challenge.as_str())),
        attributes: ATTRIBUTES.map(str::to_owned).to_vec(),
    };
    enrolling.hand_out_profile(payload.encode())
}

/// The second phase, signed by the certificate a device was made with, is answered with a profile
/// that gives an identity; the third, signed with that identity, with the one that enrols.
pub(super) fn answer(asked: &Asked, enrolling: &Enrolling, topic: String) -> Response<Full<Bytes>> {
    let bad = |why: &str| refused(StatusCode::BAD_REQUEST, why);
    let Signed { content, signer } = match open(&asked.body) {
        Ok(signed) => signed,
        Err(why) => return bad(&why),
    };
    let attributes = match crate::protocol::profile::attributes(&content) {
        Ok(attributes) => attributes,
        Err(error) => return bad(&format!("the attributes: {error}")),
    };
    if attributes.get("CHALLENGE") != Some(&enrolling.ota_challenge) {
        return bad("CHALLENGE is not the one that the first phase gave");
    }
    if !attributes.contains_key("UDID") {
        return bad("the attributes have no UDID");
    }
    if enrolling.issuer.has_issued(&signer) {
        return enrolling.hand_out(asked, topic, Wanted::USUAL);
    }
    match enrolling.vouching.trust(&signer) {
        Ok(()) => match enrolling.identity_profile(&asked.base) {
            Ok(profile) => enrolling.hand_out_profile(profile),
            Err(why) => refused(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        Err(why) => bad(&why),
    }
}
