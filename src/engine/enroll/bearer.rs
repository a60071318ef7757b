//! Who an errand is for: a device's names, and what it says about itself before it is enrolled.

use std::collections::BTreeMap;

use crate::device::contract::Errand;
use crate::device::traits::{Platform, Traits};
use crate::engine::clock::Clock;
use crate::ids::{Crowd, DeviceId};
use crate::protocol::profile::Names;
use crate::time::WallTime;

/// The device that an identity is for.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Bearer {
    pub(super) device: DeviceId,
    pub(super) names: Names,
    pub(super) os_version: String,
    /// How far its clock is ahead of the right time, in microseconds.
    pub(super) ahead_us: i64,
    product: String,
    /// `None` when it was updated to a version whose build is not known.
    build: Option<String>,
    model_family: &'static str,
}

impl Bearer {
    /// The device of `errand`, which has `traits`.
    pub(super) fn of(errand: &Errand, traits: &Traits, crowd: &Crowd, clock: Clock) -> Self {
        let right = clock.epoch().wall(errand.asked).unix_micros();
        let device = errand.device;
        let kind = match traits.platform {
            Platform::Ipad => "iPad",
            Platform::Iphone => "iPhone",
            Platform::Mac => "Mac",
            Platform::AppleTv => "AppleTV",
        };
        Self {
            device,
            names: Names {
                udid: crowd.udid(device),
                serial: crowd.serial(device),
                number: device.0.to_string(),
                computer_name: format!("{} {}", traits.model_name, device.0),
                is_mac: traits.platform == Platform::Mac,
            },
            os_version: errand.os_version.clone(),
            ahead_us: errand.wall.unix_micros().saturating_sub(right),
            product: traits.product.clone(),
            build: traits.build_of(&errand.os_version).map(str::to_owned),
            model_family: kind,
        }
    }

    /// What the device believes the time is.
    pub(super) fn wall(&self, clock: Clock) -> WallTime {
        let right = clock.epoch().wall(clock.now()).unix_micros();
        WallTime::from_unix_micros(right.saturating_add(self.ahead_us))
    }

    /// `model-family` of service discovery.
    pub(super) const fn model_family(&self) -> &'static str {
        self.model_family
    }

    /// What is sent over the air (Apple, "Over-the-Air Profile Delivery").
    pub(super) fn attributes(&self) -> BTreeMap<&'static str, String> {
        let build = self.build.clone().map(|build| ("VERSION", build));
        [
            ("PRODUCT", self.product.clone()),
            ("SERIAL", self.names.serial.clone()),
            ("UDID", self.names.udid.clone()),
        ]
        .into_iter()
        .chain(build)
        .collect()
    }

    /// `MachineInfo` (Apple, device management schema). An account-driven device keeps its names to
    /// itself.
    pub(super) fn machine_info(&self, is_account_driven: bool) -> plist::Dictionary {
        let mut info = plist::Dictionary::new();
        let mut put = |key: &str, value: &str| info.insert(key.to_owned(), value.into());
        put("LANGUAGE", "en");
        put("PRODUCT", &self.product);
        if let Some(build) = &self.build {
            put("VERSION", build);
        }
        put("OS_VERSION", &self.os_version);
        if !is_account_driven {
            put("SERIAL", &self.names.serial);
            put("UDID", &self.names.udid);
            put("SOFTWARE_UPDATE_DEVICE_ID", &self.product);
        }
        info.insert("MDM_CAN_REQUEST_SOFTWARE_UPDATE".to_owned(), true.into());
        info
    }
}
