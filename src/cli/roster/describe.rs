//! One device of a roster, as text and as JSON. Private keys are in neither.

use serde_json::{Value, json};

use crate::engine::authority::Validity;
use crate::engine::identity::{OwnIdentity, sha256};
use crate::engine::roster::{Counts, Kept, Meta};
use crate::ids::{Channel, Crowd, DeviceId, hex_lower};

/// What is kept of a device.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) device: DeviceId,
    pub(super) identity: Option<OwnIdentity>,
    pub(super) kept: Option<Kept>,
}

impl Entry {
    /// Whether the target manages it, in a word.
    const fn standing(&self) -> &'static str {
        match (&self.kept, &self.identity) {
            (Some(kept), _) if kept.keepsake.enrolled => "enrolled",
            (Some(kept), _) if kept.keepsake.unmanaged => "not managed",
            (Some(_), _) | (None, Some(_)) => "not enrolled yet",
            (None, None) => "unknown",
        }
    }

    fn epoch(&self) -> u32 {
        let kept = self.kept.as_ref();
        let first = kept.and_then(|kept| kept.keepsake.epochs.first());
        first.copied().unwrap_or_default()
    }

    fn certificate(&self) -> Option<&[u8]> {
        let chain = &self.identity.as_ref()?.chain;
        chain.first().map(AsRef::as_ref)
    }

    /// The end of its certificate, a day.
    fn until(&self) -> String {
        let validity = self.certificate().and_then(Validity::of_certificate);
        let until = validity.map(|it| it.until.rfc3339());
        let day = until.as_deref().and_then(|it| it.split_once('T'));
        day.map_or_else(|| "-".to_owned(), |(day, _)| day.to_owned())
    }

    /// All of it but the key.
    pub(super) fn json(&self, crowd: &Crowd) -> Value {
        let (channel, epoch) = (Channel::device(self.device), self.epoch());
        let validity = self.certificate().and_then(Validity::of_certificate);
        let doors = self.identity.as_ref().and_then(|it| it.doors.as_ref());
        let kept = self.kept.as_ref();
        json!({
            "device": self.device.0,
            "udid": crowd.udid(self.device),
            "serial": crowd.serial(self.device),
            "imported": crowd.borrowed(self.device).is_some(),
            "standing": self.standing(),
            "platform": kept.map(|it| &it.platform),
            "product": kept.map(|it| &it.product),
            "push-token": hex_lower(&crowd.token(channel, epoch).0),
            "push-magic": crowd.magic(channel, epoch),
            "certificate-sha256": self.certificate().map(|it| hex_lower(&sha256(it))),
            "certificate-from": validity.map(|it| it.from.rfc3339()),
            "certificate-until": validity.map(|it| it.until.rfc3339()),
            "server-path": doors.map(|it| &it.server),
            "check-in-path": doors.map(|it| &it.checkin),
            "keepsake": kept.map(|it| &it.keepsake),
        })
    }
}

/// What stands above a list.
pub(super) fn title(meta: &Meta, counts: Counts) -> String {
    let unknown = || "none yet".to_owned();
    format!(
        "crowd {}  target {}  made {}\n{} identities, {} devices played, {} imported\n\n\
         {:>8}  {:<25}  {:<12}  {:<9}  {:<13}  {:<16}  {}\n",
        meta.crowd,
        meta.target.clone().unwrap_or_else(unknown),
        meta.made,
        counts.identities,
        counts.devices,
        counts.borrowed,
        "device",
        "UDID",
        "serial",
        "platform",
        "product",
        "standing",
        "certificate until"
    )
}

/// A device on one line.
pub(super) fn line(entry: &Entry, crowd: &Crowd) -> String {
    let kept = entry.kept.as_ref();
    format!(
        "{:>8}  {:<25}  {:<12}  {:<9}  {:<13}  {:<16}  {}\n",
        entry.device.0,
        crowd.udid(entry.device),
        crowd.serial(entry.device),
        kept.map_or("-", |it| &it.platform),
        kept.map_or("-", |it| &it.product),
        entry.standing(),
        entry.until()
    )
}

/// A device on a page of its own.
pub(super) fn page(entry: &Entry, crowd: &Crowd) -> String {
    let Value::Object(fields) = entry.json(crowd) else {
        unreachable!("a device is an object");
    };
    let mut text = String::new();
    for (key, value) in fields {
        let shown = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Object(keepsake) => {
                for (key, value) in keepsake {
                    text += &format!("  {key:<18}  {}\n", shown(&key, &value));
                }
                continue;
            }
            Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
        };
        text += &format!("{key:<20}  {shown}\n");
    }
    text
}

fn shown(key: &str, value: &Value) -> String {
    match value {
        // What it is is nobody's business; that it is there is.
        Value::Array(bytes) if key.ends_with("token") => format!("{} bytes", bytes.len()),
        Value::Array(items) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => text.clone(),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => item.to_string(),
            });
            items.collect::<Vec<_>>().join(", ")
        }
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
