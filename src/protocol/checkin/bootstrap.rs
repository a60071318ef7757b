//! The bootstrap token of a supervised Mac, which the server keeps for it.

use ::plist::{Dictionary, Value};

use super::enrollee::Enrollee;
use super::{CheckInError, data, device, flag, put, reply};
use crate::protocol::plist;

/// The Mac gives its token to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetBootstrapToken {
    /// `UDID`.
    pub udid: Enrollee,
    /// `BootstrapToken`; `None` to delete the one the server has.
    pub token: Option<Vec<u8>>,
    /// `AwaitingConfiguration`.
    pub awaiting_configuration: bool,
}

/// The Mac wants it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetBootstrapToken {
    /// `UDID`.
    pub udid: Enrollee,
    /// `AwaitingConfiguration`.
    pub awaiting_configuration: bool,
}

/// The server's answer to [`GetBootstrapToken`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapToken {
    /// `BootstrapToken`; `None` when the server has none.
    pub token: Option<Vec<u8>>,
}

impl SetBootstrapToken {
    pub(super) fn write(&self, root: &mut Dictionary) {
        self.udid.put_into(root);
        if let Some(token) = &self.token {
            put(root, "BootstrapToken", Value::Data(token.clone()));
        }
        if self.awaiting_configuration {
            put(root, "AwaitingConfiguration", true);
        }
    }

    pub(super) fn read(root: &Dictionary) -> Result<Self, CheckInError> {
        Ok(Self {
            udid: device(root)?,
            token: data(root, "BootstrapToken").filter(|token| !token.is_empty()),
            awaiting_configuration: flag(root, "AwaitingConfiguration"),
        })
    }
}

impl GetBootstrapToken {
    pub(super) fn write(&self, root: &mut Dictionary) {
        self.udid.put_into(root);
        if self.awaiting_configuration {
            put(root, "AwaitingConfiguration", true);
        }
    }

    pub(super) fn read(root: &Dictionary) -> Result<Self, CheckInError> {
        Ok(Self {
            udid: device(root)?,
            awaiting_configuration: flag(root, "AwaitingConfiguration"),
        })
    }
}

impl BootstrapToken {
    /// Writes the answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut root = Dictionary::new();
        if let Some(token) = &self.token {
            put(&mut root, "BootstrapToken", Value::Data(token.clone()));
        }
        plist::encode(&root)
    }

    /// Reads an answer; an empty body is one without a token.
    ///
    /// # Errors
    /// When it is no dictionary.
    pub fn decode(body: &[u8]) -> Result<Self, CheckInError> {
        let root = if body.is_empty() {
            Dictionary::new()
        } else {
            reply(body)?
        };
        let token = data(&root, "BootstrapToken").filter(|token| !token.is_empty());
        Ok(Self { token })
    }
}
