//! What a device asks its server for: tokens of Apple's services, the way back into service, and
//! declarations.

use ::plist::{Dictionary, Value};

use super::enrollee::{Enrollee, User};
use super::{CheckInError, data, device, flag, optional, put, reply, required};
use crate::protocol::plist;

/// The device needs a token of the server's for a service of Apple's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetToken {
    /// `UDID`, or `EnrollmentID`.
    pub udid: Enrollee,
    /// Whose channel it is; `None` for the device channel.
    pub user: Option<User>,
    /// `TokenServiceType`: [`GetToken::MAID`], or `com.apple.watch.pairing`.
    pub service: String,
    /// `TokenParameters`, of watch pairing alone.
    pub parameters: Option<TokenParameters>,
}

/// What the token of a watch's pairing is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenParameters {
    /// `SecurityToken`.
    pub security_token: String,
    /// `PhoneUDID`.
    pub phone_udid: String,
    /// `WatchUDID`.
    pub watch_udid: String,
}

/// The server's answer to [`GetToken`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenData(pub Vec<u8>);

/// An erased device asks how it gets back into service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnToService {
    /// `UDID`.
    pub udid: Enrollee,
}

/// The server's answer to [`ReturnToService`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayBack {
    /// `Enabled`.
    pub enabled: bool,
    /// `WiFiProfileData`.
    pub wifi_profile: Option<Vec<u8>>,
    /// `MDMProfileData`.
    pub mdm_profile: Option<Vec<u8>>,
    /// `BootstrapToken`.
    pub bootstrap_token: Option<Vec<u8>>,
}

/// A message of declarative management. The answer is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclarativeManagement {
    /// `UDID`, or `EnrollmentID`.
    pub udid: Enrollee,
    /// Whose channel it is; `None` for the device channel.
    pub user: Option<User>,
    /// `Endpoint`: `tokens`, `declaration-items`, `status` or `declaration/<kind>/<id>`.
    pub endpoint: String,
    /// `Data`, of `status` alone.
    pub data: Option<Vec<u8>>,
}

impl GetToken {
    /// The service of Managed Apple Accounts.
    pub const MAID: &str = "com.apple.maid";

    pub(super) fn write(&self, root: &mut Dictionary) {
        self.udid.put_into(root);
        if let Some(user) = &self.user {
            user.put_into(root, &self.udid);
        }
        put(root, "TokenServiceType", self.service.as_str());
        if let Some(it) = &self.parameters {
            let mut inner = Dictionary::new();
            put(&mut inner, "SecurityToken", it.security_token.as_str());
            put(&mut inner, "PhoneUDID", it.phone_udid.as_str());
            put(&mut inner, "WatchUDID", it.watch_udid.as_str());
            put(root, "TokenParameters", Value::Dictionary(inner));
        }
    }

    pub(super) fn read(root: &mut Dictionary) -> Result<Self, CheckInError> {
        let user = User::take_from(root);
        let inner = root.get("TokenParameters").and_then(Value::as_dictionary);
        let parameters = inner.map(|inner| {
            let text = |key| optional(inner, key).unwrap_or_default();
            TokenParameters {
                security_token: text("SecurityToken"),
                phone_udid: text("PhoneUDID"),
                watch_udid: text("WatchUDID"),
            }
        });
        Ok(Self {
            udid: device(root)?,
            user,
            service: required(root, "TokenServiceType")?,
            parameters,
        })
    }
}

impl TokenData {
    /// Writes the answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut root = Dictionary::new();
        put(&mut root, "TokenData", Value::Data(self.0.clone()));
        plist::encode(&root)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When it is no dictionary with `TokenData`.
    pub fn decode(body: &[u8]) -> Result<Self, CheckInError> {
        let token = data(&reply(body)?, "TokenData");
        token
            .map(Self)
            .ok_or(CheckInError::Missing { key: "TokenData" })
    }
}

impl ReturnToService {
    pub(super) fn write(&self, root: &mut Dictionary) {
        self.udid.put_into(root);
    }

    pub(super) fn read(root: &Dictionary) -> Result<Self, CheckInError> {
        Ok(Self {
            udid: device(root)?,
        })
    }
}

impl WayBack {
    /// Writes the answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut inner = Dictionary::new();
        put(&mut inner, "Enabled", self.enabled);
        let parts = [
            ("WiFiProfileData", &self.wifi_profile),
            ("MDMProfileData", &self.mdm_profile),
            ("BootstrapToken", &self.bootstrap_token),
        ];
        for (key, part) in parts {
            if let Some(part) = part {
                put(&mut inner, key, Value::Data(part.clone()));
            }
        }
        let mut root = Dictionary::new();
        put(&mut root, "ReturnToService", Value::Dictionary(inner));
        plist::encode(&root)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When it is no dictionary with `ReturnToService`.
    pub fn decode(body: &[u8]) -> Result<Self, CheckInError> {
        let root = reply(body)?;
        let key = "ReturnToService";
        let inner = root.get(key).and_then(Value::as_dictionary);
        let inner = inner.ok_or(CheckInError::Missing { key })?;
        Ok(Self {
            enabled: flag(inner, "Enabled"),
            wifi_profile: data(inner, "WiFiProfileData"),
            mdm_profile: data(inner, "MDMProfileData"),
            bootstrap_token: data(inner, "BootstrapToken"),
        })
    }
}

impl DeclarativeManagement {
    pub(super) fn write(&self, root: &mut Dictionary) {
        self.udid.put_into(root);
        if let Some(user) = &self.user {
            user.put_into(root, &self.udid);
        }
        put(root, "Endpoint", self.endpoint.as_str());
        if let Some(data) = &self.data {
            put(root, "Data", Value::Data(data.clone()));
        }
    }

    pub(super) fn read(root: &mut Dictionary) -> Result<Self, CheckInError> {
        let user = User::take_from(root);
        Ok(Self {
            udid: device(root)?,
            user,
            endpoint: required(root, "Endpoint")?,
            data: data(root, "Data"),
        })
    }
}
