//! The lines on which a device and its users talk to the server.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::DeviceId;

/// One line between a device and the server: the device channel, or that of one of its users.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Channel {
    /// The device.
    pub device: DeviceId,
    /// 0 is the device channel, n its nth user.
    pub user: u8,
}

impl Channel {
    /// The device channel of `device`.
    pub const fn device(device: DeviceId) -> Self {
        Self { device, user: 0 }
    }

    /// The channels that `device` may have: its own, then those of its users.
    pub const fn all_of(device: DeviceId) -> RangeInclusive<Self> {
        let last = Self {
            device,
            user: u8::MAX,
        };
        Self::device(device)..=last
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.user {
            0 => write!(f, "device {}", self.device.0),
            user => write!(f, "device {} user {user}", self.device.0),
        }
    }
}
