//! What of a device outlives a run: what the roster keeps, and a later run begins with.

use serde::{Deserialize, Serialize};

use crate::fact::Obtaining;
use crate::ids::DeviceId;
use crate::time::SimTime;

/// What a device has to remember. Names, tokens and magics are derived, so their epochs are enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Keepsake {
    /// Whether the target manages it.
    pub enrolled: bool,
    /// Whether it was managed once and is not any more: its profile was removed, or the target let it
    /// go. It stays so until an event lets it enrol. One that is neither was stopped while it enrolled.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unmanaged: bool,
    /// Whether it goes on with a new identity: to renew its own if it is enrolled, else because it was
    /// erased or its old one went with the profile.
    #[serde(default, skip_serializing_if = "is_false")]
    pub needs_identity: bool,
    /// What the identity is for that it needs, or has and is not enrolled with.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub purpose: Obtaining,
    /// Whose identity it is to take over, if it needs that of another device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<DeviceId>,
    /// The token epoch of each channel, the device's own first.
    pub epochs: Vec<u32>,
    /// For each of its users, whether its channel is enrolled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<bool>,
    /// `OSVersion`, if it was updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The bootstrap token that the target holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_token: Option<Vec<u8>>,
    /// Identifiers of the profiles that the target installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Bundle identifiers of the applications that the target installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<String>,
}

impl Keepsake {
    /// That of a device that has enrolled with this many users, and nothing else.
    pub fn of_enrolled(users: u8) -> Self {
        Self {
            enrolled: true,
            epochs: vec![0; usize::from(users) + 1],
            users: vec![true; usize::from(users)],
            ..Self::default()
        }
    }

    /// It has another identity from now on, which the target does not know yet. One that was enrolled
    /// can only have renewed it.
    pub fn take_identity(&mut self) {
        if self.enrolled {
            self.purpose = Obtaining::Renew;
        }
        self.enrolled = false;
        self.unmanaged = false;
        self.needs_identity = false;
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_usual(purpose: &Obtaining) -> bool {
    *purpose == Obtaining::default()
}

/// What a device has when a run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing but its names, or an identity that the target has not seen: it enrols at this time.
    Enrolls {
        /// When.
        at: SimTime,
        /// Whether it has an identity; if not, and the terms want it, it gets one first.
        has_identity: bool,
    },
    /// It was played in an earlier run. If that was stopped while it enrolled, it goes on with that at
    /// this time, with the tokens it has, and the identity too unless it needs another.
    Known(Keepsake, SimTime),
}

impl Start {
    /// Whether it enrols, or goes on with that, without waiting for anything.
    pub const fn is_at_once(&self) -> bool {
        match self {
            Self::Enrolls { .. } => true,
            Self::Known(keepsake, _) => {
                !keepsake.unmanaged && (!keepsake.enrolled || keepsake.needs_identity)
            }
        }
    }
}
