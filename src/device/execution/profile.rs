//! Configuration profiles: install, remove, list.

use ::plist::{Dictionary, Value};

use super::{Effect, Outcome, Profile, Subject, dictionary, text};
use crate::protocol::error_chain::ErrorItem;
use crate::protocol::plist;

/// The profile a device is enrolled by. It is listed, and no command removes it.
const ENROLLMENT_PROFILE: &str = "mdmstorm.enrollment";

pub(super) fn install(request: &Dictionary) -> Outcome {
    let payload = request.get("Payload").and_then(Value::as_data);
    match read(payload.unwrap_or_default()) {
        Ok(profile) => Outcome::done().with(Effect::ProfileInstalled(profile)),
        Err((name, code, cause)) => {
            Outcome::error(ErrorItem::profile_not_installable(&name, code, cause))
        }
    }
}

pub(super) fn remove(request: &Dictionary, device: &Subject<'_>) -> Outcome {
    let identifier = text(request, "Identifier");
    let contents = device.inventory.contents();
    if contents.is_some_and(|contents| contents.profiles.contains_key(identifier)) {
        Outcome::done().with(Effect::ProfileRemoved(identifier.to_owned()))
    } else if identifier == ENROLLMENT_PROFILE {
        Outcome::error(vec![ErrorItem::profile_not_managed(identifier)])
    } else {
        Outcome::error(vec![ErrorItem::profile_not_installed(identifier)])
    }
}

pub(super) fn list(device: &Subject<'_>) -> Outcome {
    let enrollment = Profile {
        identifier: ENROLLMENT_PROFILE.to_owned(),
        uuid: device.crowd.udid(device.id),
        display_name: "Remote Management".to_owned(),
        version: 1,
        payloads: vec![(
            "com.apple.mdm".to_owned(),
            "mdmstorm.enrollment.mdm".to_owned(),
        )],
    };
    let installed = device
        .inventory
        .contents()
        .into_iter()
        .flat_map(|contents| contents.profiles.values());
    // Every profile here came by MDM, so ManagedOnly leaves none out.
    let entries = std::iter::once(&enrollment)
        .chain(installed)
        .map(entry)
        .collect();
    Outcome::acknowledged(dictionary([("ProfileList", Value::Array(entries))]))
}

fn entry(profile: &Profile) -> Value {
    let payloads = profile.payloads.iter().map(|(payload_type, identifier)| {
        Value::Dictionary(dictionary([
            ("PayloadType", payload_type.as_str().into()),
            ("PayloadIdentifier", identifier.as_str().into()),
            ("PayloadVersion", Value::Integer(1.into())),
        ]))
    });
    let mut entry = dictionary([
        ("PayloadIdentifier", profile.identifier.as_str().into()),
        ("PayloadUUID", profile.uuid.as_str().into()),
        ("PayloadVersion", Value::Integer(profile.version.into())),
        ("PayloadContent", Value::Array(payloads.collect())),
        ("PayloadRemovalDisallowed", Value::Boolean(false)),
        ("HasRemovalPasscode", Value::Boolean(false)),
        ("IsEncrypted", Value::Boolean(false)),
        ("IsManaged", Value::Boolean(true)),
    ]);
    if !profile.display_name.is_empty() {
        let name = profile.display_name.as_str().into();
        entry.insert("PayloadDisplayName".into(), name);
    }
    Value::Dictionary(entry)
}

/// Reads a profile; otherwise its name, a code of MCProfileErrorDomain and the cause.
fn read(payload: &[u8]) -> Result<Profile, (String, i64, String)> {
    let unnamed = || "Profile".to_owned();
    let value =
        plist::decode(unsigned(payload)).map_err(|error| (unnamed(), 1000, error.to_string()))?;
    let Some(root) = value.as_dictionary() else {
        let cause = "the profile is not a dictionary".to_owned();
        return Err((unnamed(), 1000, cause));
    };
    let display_name = text(root, "PayloadDisplayName").to_owned();
    for key in ["PayloadIdentifier", "PayloadUUID"] {
        let found = root.get(key);
        if found.and_then(Value::as_string).is_none_or(str::is_empty) {
            let code = if found.is_none() { 1002 } else { 1003 };
            let name = if display_name.is_empty() {
                unnamed()
            } else {
                display_name
            };
            return Err((name, code, format!("the profile has no text {key}")));
        }
    }
    let content = root.get("PayloadContent").and_then(Value::as_array);
    let payloads = content
        .into_iter()
        .flatten()
        .filter_map(Value::as_dictionary)
        .map(|payload| {
            let part = |key| text(payload, key).to_owned();
            (part("PayloadType"), part("PayloadIdentifier"))
        });
    Ok(Profile {
        identifier: text(root, "PayloadIdentifier").to_owned(),
        uuid: text(root, "PayloadUUID").to_owned(),
        display_name,
        version: root
            .get("PayloadVersion")
            .and_then(Value::as_signed_integer)
            .unwrap_or(1),
        payloads: payloads.collect(),
    })
}

/// The property list inside a signed profile; the bytes themselves when it is not signed. The
/// signature is not checked: that is no matter of timing, and the certificates are the server's.
fn unsigned(payload: &[u8]) -> &[u8] {
    const DER_SEQUENCE: u8 = 0x30;
    const END: &[u8] = b"</plist>";
    let find = |needle: &[u8]| {
        payload
            .windows(needle.len())
            .position(|window| window == needle)
    };
    if payload.first() != Some(&DER_SEQUENCE) {
        return payload;
    }
    match (find(b"<?xml"), find(END)) {
        (Some(start), Some(end)) if start < end => &payload[start..end + END.len()],
        _ => payload,
    }
}
