//! What becomes of pushes, beside that they arrive.

use serde::{Deserialize, Serialize};

/// Why a push has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unanswered {
    /// The service keeps silent.
    Hang,
    /// The connection was reset.
    Reset,
    /// The connection ended with GOAWAY.
    GoAway,
}

/// What a target's enqueue answer says about the push it sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerPush {
    /// APNs took it, or so the target says.
    Accepted,
    /// The target reports a failure; the command is queued all the same.
    Failed(String),
    /// The answer does not say.
    NotReported,
}

/// Why a device ignored a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ignored {
    /// Its topic is not the one the device enrolled with.
    WrongTopic,
    /// Its PushMagic is not the device's.
    WrongMagic,
    /// The device is not enrolled.
    NotEnrolled,
}
