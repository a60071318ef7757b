//! What a target says of itself: its queue, and the events it tells others.

use serde::{Deserialize, Serialize};

use crate::ids::CommandUuid;

use super::exchange::ResultStatus;

/// What a target tells of a device, by webhook or by an API of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerEvent {
    /// It has authenticated.
    Authenticate,
    /// It has sent a token.
    TokenUpdate,
    /// It has checked out.
    CheckOut,
    /// It asked for work.
    Idle,
    /// It reported on a command.
    Result {
        /// The command; `None` when the event does not say.
        uuid: Option<CommandUuid>,
        /// The status.
        status: ResultStatus,
    },
    /// Something else, by the target's name for it.
    Other(String),
}
