//! Errors that come before anything is decided about a command: the first three steps of
//! protocol.md 1.6, with commands that cannot be read between them.

use super::{Outcome, Subject, has};
use crate::condition::{Condition, Conditions};
use crate::protocol::command::Command;
use crate::protocol::error_chain::ErrorItem;
use crate::protocol::request_types::{RequestType, System, version};

/// What a device in `conditions` answers to `command` without executing it; `None` when it would
/// execute it, unless NotNow says otherwise (`device::not_now`).
///
/// In this order: lost mode, commands this system does not know, access rights, supervision, missing
/// keys.
pub fn refusal(command: &Command, device: &Subject<'_>, conditions: Conditions) -> Option<Outcome> {
    let (Some(name), None) = (command.request_type.as_deref(), command.defect()) else {
        return Some(Outcome::format_error());
    };
    // There is no lost mode on a Mac or an Apple TV.
    let is_lost = device.system() == System::Ios && conditions.has(Condition::LostMode);
    if is_lost && !IN_LOST_MODE.contains(&name) {
        return Some(Outcome::error(vec![ErrorItem::refused_in_lost_mode(name)]));
    }
    let known =
        RequestType::of_name(name).and_then(|row| Some((row, row.support(device.system())?)));
    let Some((row, support)) = known else {
        return Some(device.unknown(name));
    };
    if version(device.os_version) < support.since {
        return Some(device.unknown(name));
    }
    if !device.rights.allow(name) {
        let what = format!("the enrolment does not let the server send {name}");
        return Some(Outcome::error(vec![ErrorItem::not_authorized(&what)]));
    }
    if support.supervised && !device.traits.supervised {
        let what = format!("{name} needs a supervised device");
        return Some(Outcome::error(vec![ErrorItem::not_authorized(&what)]));
    }
    let is_whole = row.request_keys().all(|key| has(&command.command, key));
    (!is_whole).then(Outcome::format_error)
}

/// What a device in lost mode executes. Apple says only that invalid commands get 12078, not which
/// those are. Valid by its pages are those about lost mode and EraseDevice, which ends it; and by
/// its schema DeviceInformation, which answers `IsMDMLostModeEnabled`.
const IN_LOST_MODE: [&str; 6] = [
    "DeviceInformation",
    "DeviceLocation",
    "DisableLostMode",
    "EnableLostMode",
    "EraseDevice",
    "PlayLostModeSound",
];
