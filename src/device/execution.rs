//! What a device answers to a command, and what the command does to it.
//!
//! The order of decisions is that of protocol.md 1.6: errors first ([`refusal`]), then NotNow by
//! conditions (`device::not_now`), then the answer ([`execute`]).

mod application;
mod generic;
mod information;
mod inventory;
mod profile;
mod refusal;
mod security;

use ::plist::{Dictionary, Value};

pub use information::{factory_name, imei};
pub use inventory::{Effect, Inventory, Profile};
pub use refusal::refusal;

use crate::device::traits::{Platform, Traits};
use crate::fact::{ErrorCode, ErrorEnds, ResultStatus};
use crate::ids::{CommandUuid, Crowd, DeviceId};
use crate::protocol::access_right::AccessRights;
use crate::protocol::checkin::{Enrollee, User};
use crate::protocol::command::Command;
use crate::protocol::error_chain::ErrorItem;
use crate::protocol::request_types::{Key, Kind, RequestType, System};
use crate::protocol::status_report::{Status, StatusReport};
use crate::seed::{Draw, Purpose, Seed};

/// The device that executes: who it is and what it has.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its index.
    pub id: DeviceId,
    /// What it shares with its cohort.
    pub traits: &'a Traits,
    /// `OSVersion`: that of its cohort, unless it was updated.
    pub os_version: &'a str,
    /// Whose names it has: few answers tell them.
    pub crowd: &'a Crowd,
    /// What its enrolment lets the server do.
    pub rights: AccessRights,
    /// Whether Setup Assistant waits for DeviceConfigured.
    pub awaits_configuration: bool,
    /// Whether it is a user enrolment, which does not tell which device it is.
    pub is_user_enrollment: bool,
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

    /// It failed, with these errors, top-level first.
    pub(super) fn error(error_chain: Vec<ErrorItem>) -> Self {
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

    /// The two ends of its error chain; `None` when it has none.
    pub fn error_ends(&self) -> Option<ErrorEnds> {
        let code = |item: &ErrorItem| ErrorCode {
            domain: item.domain.to_string(),
            code: item.code,
        };
        let (top, causes) = self.error_chain.split_first()?;
        Some(ErrorEnds {
            top: code(top),
            deepest: causes.last().map(code),
        })
    }

    /// The body of the report about the command `uuid`.
    pub fn into_report(
        self,
        udid: Enrollee,
        user: Option<User>,
        uuid: Option<CommandUuid>,
    ) -> Vec<u8> {
        StatusReport {
            udid,
            user,
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

/// Executes `command` on `device`. The caller has asked [`refusal`] first, which found nothing.
///
/// # Panics
/// When the request type is not known: such a command is refused.
pub fn execute(command: &Command, device: &Subject<'_>) -> Outcome {
    let request = &command.command;
    let row = command
        .request_type
        .as_deref()
        .and_then(RequestType::of_name);
    let row = row.expect("a command of no known type is refused");
    match row.name {
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
        draw(self.seed, self.id, what)
    }
}

fn draw(seed: Seed, device: DeviceId, what: Trait) -> Draw {
    seed.draw(Purpose::Traits, u64::from(device.0), what as u64, 0)
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
fn texts<'a>(dictionary: &'a Dictionary, key: &str) -> Option<Vec<&'a str>> {
    let array = dictionary.get(key)?.as_array()?;
    Some(array.iter().filter_map(Value::as_string).collect())
}

/// A dictionary of these entries.
fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Dictionary {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
