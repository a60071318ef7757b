//! The messages by which a device enrols, says where its pushes go, and leaves.

use ::plist::{Dictionary, Value};

use super::enrollee::{Enrollee, User};
use super::{CheckInError, data, device, flag, optional, put, required};

/// The message that begins an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate {
    /// `UDID`, or `EnrollmentID`.
    pub udid: Enrollee,
    /// `Topic`, which pushes have to carry.
    pub topic: String,
    /// `OSVersion`, `18.1`.
    pub os_version: Option<String>,
    /// `BuildVersion`, `22B83`.
    pub build: Option<String>,
    /// `ProductName`, `iPad14,1`.
    pub product: Option<String>,
    /// `SerialNumber`; not of a user enrolment.
    pub serial: Option<String>,
    /// `IMEI`, of iPhones; not of a user enrolment.
    pub imei: Option<String>,
    /// `MEID`, of iPhones; not of a user enrolment.
    pub meid: Option<String>,
    /// What a Mac says in addition; other devices say nothing here.
    pub mac: Option<MacNames>,
}

/// What a Mac has to say about itself in Authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacNames {
    /// `DeviceName`, which its user chose.
    pub device_name: String,
    /// `ModelName`, `MacBook Air`.
    pub model_name: String,
    /// `Model`, `Mac14,2`.
    pub model: String,
}

/// The message that ends an enrolment, and tells of a new push token later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUpdate {
    /// `UDID`, or `EnrollmentID`.
    pub udid: Enrollee,
    /// `Topic`, which pushes have to carry.
    pub topic: String,
    /// `Token`: where pushes go.
    pub token: Vec<u8>,
    /// `PushMagic`: what pushes contain.
    pub magic: String,
    /// `UnlockToken`, of iOS and iPadOS alone.
    pub unlock_token: Option<Vec<u8>>,
    /// Whose channel it is; `None` for the device channel.
    pub user: Option<User>,
    /// `AwaitingConfiguration`: Setup Assistant waits for DeviceConfigured.
    pub awaiting_configuration: bool,
    /// `AuthToken`: what UserAuthenticate gave a Mac's network user.
    pub auth_token: Option<String>,
}

/// The message of a device that leaves. It is sent once and never again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOut {
    /// `UDID`, or `EnrollmentID`.
    pub udid: Enrollee,
    /// `Topic`.
    pub topic: String,
}

impl Authenticate {
    pub(super) fn write(&self, root: &mut Dictionary) {
        self.udid.put_into(root);
        put(root, "Topic", self.topic.as_str());
        let optional = [
            ("OSVersion", &self.os_version),
            ("BuildVersion", &self.build),
            ("ProductName", &self.product),
            ("SerialNumber", &self.serial),
            ("IMEI", &self.imei),
            ("MEID", &self.meid),
        ];
        for (key, text) in optional {
            if let Some(text) = text {
                put(root, key, text.as_str());
            }
        }
        if let Some(mac) = &self.mac {
            put(root, "DeviceName", mac.device_name.as_str());
            put(root, "ModelName", mac.model_name.as_str());
            put(root, "Model", mac.model.as_str());
        }
    }

    pub(super) fn read(root: &Dictionary) -> Result<Self, CheckInError> {
        let mac = match (
            optional(root, "DeviceName"),
            optional(root, "ModelName"),
            optional(root, "Model"),
        ) {
            (Some(device_name), Some(model_name), Some(model)) => Some(MacNames {
                device_name,
                model_name,
                model,
            }),
            _ => None,
        };
        Ok(Self {
            udid: device(root)?,
            topic: required(root, "Topic")?,
            os_version: optional(root, "OSVersion"),
            build: optional(root, "BuildVersion"),
            product: optional(root, "ProductName"),
            serial: optional(root, "SerialNumber"),
            imei: optional(root, "IMEI"),
            meid: optional(root, "MEID"),
            mac,
        })
    }
}

impl TokenUpdate {
    pub(super) fn write(&self, root: &mut Dictionary) {
        if let Some(user) = &self.user {
            user.put_into(root, &self.udid);
        }
        self.udid.put_into(root);
        put(root, "Topic", self.topic.as_str());
        put(root, "Token", Value::Data(self.token.clone()));
        put(root, "PushMagic", self.magic.as_str());
        if let Some(token) = &self.unlock_token {
            put(root, "UnlockToken", Value::Data(token.clone()));
        }
        if self.awaiting_configuration {
            put(root, "AwaitingConfiguration", true);
        }
        if let Some(token) = &self.auth_token {
            put(root, "AuthToken", token.as_str());
        }
    }

    pub(super) fn read(root: &mut Dictionary) -> Result<Self, CheckInError> {
        let user = User::take_from(root);
        Ok(Self {
            udid: device(root)?,
            topic: required(root, "Topic")?,
            token: data(root, "Token").ok_or(CheckInError::Missing { key: "Token" })?,
            magic: required(root, "PushMagic")?,
            unlock_token: data(root, "UnlockToken"),
            user,
            awaiting_configuration: flag(root, "AwaitingConfiguration"),
            auth_token: optional(root, "AuthToken"),
        })
    }
}

impl CheckOut {
    pub(super) fn write(&self, root: &mut Dictionary) {
        self.udid.put_into(root);
        put(root, "Topic", self.topic.as_str());
    }

    pub(super) fn read(root: &Dictionary) -> Result<Self, CheckInError> {
        Ok(Self {
            udid: device(root)?,
            topic: required(root, "Topic")?,
        })
    }
}
