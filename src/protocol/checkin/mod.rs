//! Check-in messages: how a device enrols, says where its pushes go, asks its server for something,
//! and leaves. The keys are those of Apple's schema, 18.1 (protocol.md 3).

mod bootstrap;
mod enrollee;
mod enrollment;
mod service;
mod user;

use ::plist::{Dictionary, Value};
use thiserror::Error;

pub use bootstrap::{BootstrapToken, GetBootstrapToken, SetBootstrapToken};
pub use enrollee::{Enrollee, User};
pub use enrollment::{Authenticate, CheckOut, MacNames, TokenUpdate};
pub use service::{
    DeclarativeManagement, GetToken, ReturnToService, TokenData, TokenParameters, WayBack,
};
pub use user::{UserAuthenticate, UserChallenge};

use super::plist::{self, PlistError};

/// The content type of check-in messages.
pub const CHECKIN_CONTENT_TYPE: &str = "application/x-apple-aspen-mdm-checkin";

/// A check-in message: all nine of Apple's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckIn {
    /// The device wants to enrol.
    Authenticate(Authenticate),
    /// The device is enrolled, and this is where its pushes go.
    TokenUpdate(TokenUpdate),
    /// The device leaves.
    CheckOut(CheckOut),
    /// A network user of a Mac logs in.
    UserAuthenticate(UserAuthenticate),
    /// A Mac gives its bootstrap token to the server.
    SetBootstrapToken(SetBootstrapToken),
    /// A Mac wants it back.
    GetBootstrapToken(GetBootstrapToken),
    /// The device needs a token for a service of Apple's.
    GetToken(GetToken),
    /// An erased device asks for its way back.
    ReturnToService(ReturnToService),
    /// Declarative management.
    DeclarativeManagement(DeclarativeManagement),
}

/// Why a body is no check-in message that is known here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckInError {
    /// It is no property list.
    #[error(transparent)]
    Unreadable(#[from] PlistError),
    /// It is one, but not a dictionary.
    #[error("a check-in message is a dictionary, but found something else")]
    NotADictionary,
    /// A key that the message has to have is missing or of another type.
    #[error("the check-in message has no {key}")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A text of the message is longer than a device keeps.
    #[error("{key} is longer than {limit} bytes")]
    TooLong {
        /// The key.
        key: &'static str,
        /// The most, in bytes.
        limit: usize,
    },
    /// A message of another type.
    #[error("MessageType is {name:?}, which no version of Apple's schema has")]
    UnknownMessage {
        /// Its `MessageType`.
        name: String,
    },
}

impl CheckIn {
    /// Its `MessageType`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Authenticate(_) => "Authenticate",
            Self::TokenUpdate(_) => "TokenUpdate",
            Self::CheckOut(_) => "CheckOut",
            Self::UserAuthenticate(_) => "UserAuthenticate",
            Self::SetBootstrapToken(_) => "SetBootstrapToken",
            Self::GetBootstrapToken(_) => "GetBootstrapToken",
            Self::GetToken(_) => "GetToken",
            Self::ReturnToService(_) => "ReturnToService",
            Self::DeclarativeManagement(_) => "DeclarativeManagement",
        }
    }

    /// By what the server knows the device.
    pub const fn enrollee(&self) -> &Enrollee {
        match self {
            Self::Authenticate(message) => &message.udid,
            Self::TokenUpdate(message) => &message.udid,
            Self::CheckOut(message) => &message.udid,
            Self::UserAuthenticate(message) => &message.udid,
            Self::SetBootstrapToken(message) => &message.udid,
            Self::GetBootstrapToken(message) => &message.udid,
            Self::GetToken(message) => &message.udid,
            Self::ReturnToService(message) => &message.udid,
            Self::DeclarativeManagement(message) => &message.udid,
        }
    }

    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut root = Dictionary::new();
        put(&mut root, "MessageType", self.name());
        match self {
            Self::Authenticate(message) => message.write(&mut root),
            Self::TokenUpdate(message) => message.write(&mut root),
            Self::CheckOut(message) => message.write(&mut root),
            Self::UserAuthenticate(message) => message.write(&mut root),
            Self::SetBootstrapToken(message) => message.write(&mut root),
            Self::GetBootstrapToken(message) => message.write(&mut root),
            Self::GetToken(message) => message.write(&mut root),
            Self::ReturnToService(message) => message.write(&mut root),
            Self::DeclarativeManagement(message) => message.write(&mut root),
        }
        plist::encode(&root)
    }

    /// Reads a message as a server does.
    ///
    /// # Errors
    /// When it is none, or has not what its type needs.
    pub fn decode(body: &[u8]) -> Result<Self, CheckInError> {
        let mut root = reply(body)?;
        let name = required(&root, "MessageType")?;
        match name.as_str() {
            "Authenticate" => Authenticate::read(&root).map(Self::Authenticate),
            "TokenUpdate" => TokenUpdate::read(&mut root).map(Self::TokenUpdate),
            "CheckOut" => CheckOut::read(&root).map(Self::CheckOut),
            "UserAuthenticate" => UserAuthenticate::read(&mut root).map(Self::UserAuthenticate),
            "SetBootstrapToken" => SetBootstrapToken::read(&root).map(Self::SetBootstrapToken),
            "GetBootstrapToken" => GetBootstrapToken::read(&root).map(Self::GetBootstrapToken),
            "GetToken" => GetToken::read(&mut root).map(Self::GetToken),
            "ReturnToService" => ReturnToService::read(&root).map(Self::ReturnToService),
            "DeclarativeManagement" => {
                DeclarativeManagement::read(&mut root).map(Self::DeclarativeManagement)
            }
            _ => Err(CheckInError::UnknownMessage { name }),
        }
    }
}

/// The dictionary that a body is.
fn reply(body: &[u8]) -> Result<Dictionary, CheckInError> {
    let value = plist::decode(body)?;
    value.into_dictionary().ok_or(CheckInError::NotADictionary)
}

fn put(root: &mut Dictionary, key: &str, value: impl Into<Value>) {
    root.insert(key.into(), value.into());
}

/// Who speaks.
fn device(root: &Dictionary) -> Result<Enrollee, CheckInError> {
    Enrollee::of(root).ok_or(CheckInError::Missing { key: "UDID" })
}

fn flag(root: &Dictionary, key: &str) -> bool {
    root.get(key).and_then(Value::as_boolean).unwrap_or(false)
}

fn data(root: &Dictionary, key: &str) -> Option<Vec<u8>> {
    root.get(key).and_then(Value::as_data).map(<[u8]>::to_vec)
}

fn required(root: &Dictionary, key: &'static str) -> Result<String, CheckInError> {
    optional(root, key).ok_or(CheckInError::Missing { key })
}

fn optional(root: &Dictionary, key: &str) -> Option<String> {
    plist::text(root, key).map(str::to_owned)
}

#[cfg(test)]
pub(super) mod tests;
