//! What a device answers to a command, and what the command does to it.
//!
//! The order of decisions is that of protocol.md 1.6: can the command be read, does this system
//! know it, may management do it, and then the answer. NotNow is decided before, by conditions.

mod application;
mod generic;
mod information;
mod inventory;
mod profile;
mod security;

use ::plist::{Dictionary, Value};

pub use information::factory_name;
pub use inventory::{Effect, Inventory, Profile};

use crate::device::traits::{Platform, Traits};
use crate::fact::ResultStatus;
use crate::ids::{CommandUuid, DeviceId};
use crate::protocol::command::Command;
use crate::protocol::error_chain::ErrorItem;
use crate::protocol::request_types::{Key, Kind, RequestType, System, version};
use crate::protocol::status_report::{Status, StatusReport};
use crate::seed::{Draw, Purpose, Seed};

/// The device that executes: who it is and what it has.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its index.
    pub id: DeviceId,
    /// What it shares with its cohort.
    pub traits: &'a Traits,
    /// Its UDID.
    pub udid: &'a str,
    /// Its serial number.
    pub serial: &'a str,
    /// The run's seed, for what differs between devices of one model.
    pub seed: Seed,
    /// What commands have left on it.
    pub inventory: &'a Inventory,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Acknowledged, Error or CommandFormatError.
    pub status: ResultStatus,
    /// The keys of the result beside status, UDID and CommandUUID.
    pub payload: Dictionary,
    /// Why it failed, top-level error first; empty when it did not.
    pub error_chain: Vec<ErrorItem>,
    /// What it does to the device once it is done; [`Inventory::apply`] takes it.
    pub effect: Option<Effect>,
}

impl Outcome {
    fn acknowledged(payload: Dictionary) -> Self {
        Self {
            status: ResultStatus::Acknowledged,
            payload,
            error_chain: Vec::new(),
            effect: None,
        }
    }

    /// Acknowledged without anything to say.
    fn done() -> Self {
        Self::acknowledged(Dictionary::new())
    }

    fn with(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    fn error(error_chain: Vec<ErrorItem>) -> Self {
        Self {
            status: ResultStatus::Error,
            payload: Dictionary::new(),
            error_chain,
            effect: None,
        }
    }

    fn format_error() -> Self {
        Self {
            status: ResultStatus::CommandFormatError,
            payload: Dictionary::new(),
            error_chain: Vec::new(),
            effect: None,
        }
    }

    /// The body of the report about the command `uuid`.
    pub fn into_report(self, udid: &str, uuid: Option<CommandUuid>) -> Vec<u8> {
        StatusReport {
            udid: udid.into(),
            status: wire_status(self.status),
            uuid,
            error_chain: self.error_chain,
            payload: self.payload,
        }
        .encode()
    }
}

/// A status as it is written.
pub(super) const fn wire_status(status: ResultStatus) -> Status {
    match status {
        ResultStatus::Acknowledged => Status::Acknowledged,
        ResultStatus::Error => Status::Error,
        ResultStatus::CommandFormatError => Status::CommandFormatError,
        ResultStatus::NotNow => Status::NotNow,
    }
}

/// Executes `command` on `device`.
pub fn execute(command: &Command, device: &Subject<'_>) -> Outcome {
    let (Some(name), None) = (command.request_type.as_deref(), command.defect()) else {
        return Outcome::format_error();
    };
    let known =
        RequestType::of_name(name).and_then(|row| Some((row, row.support(device.system())?)));
    let Some((row, support)) = known else {
        return device.unknown(name);
    };
    if version(&device.traits.os_version) < support.since {
        return device.unknown(name);
    }
    if support.supervised && !device.traits.supervised {
        let what = format!("{name} needs a supervised device");
        return Outcome::error(vec![ErrorItem::not_authorized(&what)]);
    }
    let request = &command.command;
    if row.request_keys().any(|key| !has(request, key)) {
        return Outcome::format_error();
    }
    match name {
        "DeviceInformation" => information::answer(request, device),
        "SecurityInfo" => security::answer(device),
        "InstallProfile" => profile::install(request),
        "RemoveProfile" => profile::remove(request, device),
        "ProfileList" => profile::list(device),
        "InstallApplication" => application::install(request, device),
        "RemoveApplication" => application::remove(request, device),
        "InstalledApplicationList" => application::installed(request, device),
        "ManagedApplicationList" => application::managed(request, device),
        "Settings" => information::settings(request),
        "RestartDevice" => Outcome::done().with(Effect::Restart),
        "ShutDownDevice" => Outcome::done().with(Effect::ShutDown),
        "EraseDevice" => Outcome::done().with(Effect::Erase),
        "DeviceLock" => security::lock(request, device),
        _ => generic::answer(row, request, device),
    }
}

impl Subject<'_> {
    const fn system(&self) -> System {
        match self.traits.platform {
            Platform::Ipad | Platform::Iphone => System::Ios,
            Platform::Mac => System::Macos,
            Platform::AppleTv => System::Tvos,
        }
    }

    fn unknown(&self, request_type: &str) -> Outcome {
        Outcome::error(vec![match self.system() {
            System::Macos => ErrorItem::unknown_command_on_macos(request_type),
            System::Ios | System::Tvos => ErrorItem::unknown_request_type(request_type),
        }])
    }

    /// A die for one trait of this device: the same each time it is asked.
    fn draw(&self, what: Trait) -> Draw {
        let device = u64::from(self.id.0);
        self.seed.draw(Purpose::Traits, device, what as u64, 0)
    }
}

/// What differs between two devices of one model. The numbers are part of the draw: append only.
#[derive(Clone, Copy, Debug)]
enum Trait {
    Storage = 1,
    Battery = 2,
    Addresses = 3,
    Applications = 4,
    Security = 5,
    Answer = 6,
}

/// Whether `request` has this key with a value of its type.
fn has(request: &Dictionary, key: Key) -> bool {
    request.get(key.name).is_some_and(|value| match key.kind {
        Kind::String => value.as_string().is_some(),
        Kind::Boolean => value.as_boolean().is_some(),
        Kind::Integer => value.as_signed_integer().is_some(),
        Kind::Real => value.as_real().is_some(),
        Kind::Data => value.as_data().is_some(),
        Kind::Array => value.as_array().is_some(),
        Kind::Dictionary => value.as_dictionary().is_some(),
    })
}

/// The string at `key`; empty when there is none.
fn text<'a>(dictionary: &'a Dictionary, key: &str) -> &'a str {
    dictionary
        .get(key)
        .and_then(Value::as_string)
        .unwrap_or_default()
}

/// The strings of the array at `key`; `None` when there is no array.
fn texts(dictionary: &Dictionary, key: &str) -> Option<Vec<String>> {
    let array = dictionary.get(key)?.as_array()?;
    let strings = array.iter().filter_map(Value::as_string);
    Some(strings.map(str::to_owned).collect())
}

/// A dictionary of these entries.
fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Dictionary {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
