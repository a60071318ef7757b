//! Who speaks: a device by its UDID, or by the EnrollmentID of a user enrolment; and one of its
//! users.

use std::fmt;
use std::ops::Deref;

use ::plist::{Dictionary, Value};

use super::super::plist;
use crate::ids::{Channel, Crowd};

/// By what a server knows a device (protocol.md 2.6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Enrollee {
    /// `UDID`.
    Udid(String),
    /// `EnrollmentID`: of a user enrolment, which tells neither UDID nor serial number.
    EnrollmentId(String),
}

impl Enrollee {
    /// The key of messages that names it.
    pub(in super::super) const fn key(&self) -> &'static str {
        match self {
            Self::Udid(_) => "UDID",
            Self::EnrollmentId(_) => "EnrollmentID",
        }
    }

    /// Adds its key to a message.
    pub(in super::super) fn put_into(&self, root: &mut Dictionary) {
        root.insert(self.key().into(), self.as_ref().into());
    }

    /// The one that a message names; `None` when it names none.
    pub(in super::super) fn of(root: &Dictionary) -> Option<Self> {
        let text = |key| plist::text(root, key).map(str::to_owned);
        let enrollment = || text("EnrollmentID").map(Self::EnrollmentId);
        text("UDID").map(Self::Udid).or_else(enrollment)
    }

    /// Whether its user enrolled it as their own.
    pub const fn is_user_enrollment(&self) -> bool {
        match self {
            Self::Udid(_) => false,
            Self::EnrollmentId(_) => true,
        }
    }
}

impl AsRef<str> for Enrollee {
    fn as_ref(&self) -> &str {
        match self {
            Self::Udid(id) | Self::EnrollmentId(id) => id,
        }
    }
}

impl Deref for Enrollee {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_ref()
    }
}

impl fmt::Display for Enrollee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<&str> for Enrollee {
    fn from(udid: &str) -> Self {
        Self::Udid(udid.to_owned())
    }
}

impl From<String> for Enrollee {
    fn from(udid: String) -> Self {
        Self::Udid(udid)
    }
}

/// The user whose channel a message belongs to (protocol.md 2.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// `UserID`: a GUID, or [`User::SHARED_IPAD`].
    pub id: String,
    /// `UserShortName`; the Managed Apple Account on Shared iPad.
    pub short_name: String,
    /// `UserLongName`.
    pub long_name: String,
    /// `NotOnConsole`: whether the user is logged in, but not at the screen. Of Macs alone.
    pub not_on_console: Option<bool>,
}

impl User {
    /// The `UserID` of every user of Shared iPads; their short names tell them apart.
    pub const SHARED_IPAD: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

    /// The user of a Mac's `channel`, at the screen.
    pub fn of_mac(crowd: &Crowd, channel: Channel) -> Self {
        Self {
            id: crowd.user_id(channel),
            short_name: crowd.user_short_name(channel),
            long_name: crowd.user_long_name(channel),
            not_on_console: Some(false),
        }
    }

    /// The user of a Shared iPad's `channel`.
    pub fn of_shared_ipad(crowd: &Crowd, channel: Channel) -> Self {
        Self {
            id: Self::SHARED_IPAD.to_owned(),
            not_on_console: None,
            ..Self::of_mac(crowd, channel)
        }
    }

    /// What servers call this user's channel of the device `udid`, as NanoMDM's `normalize` does.
    pub fn enrollment_id(&self, udid: &str) -> String {
        let user = match self.id.as_str() {
            Self::SHARED_IPAD => &self.short_name,
            _ => &self.id,
        };
        format!("{udid}:{user}")
    }

    /// Adds the user's keys to a message.
    pub(in super::super) fn put_into(&self, root: &mut Dictionary, device: &Enrollee) {
        root.insert(
            user_key(device.is_user_enrollment()).into(),
            self.id.as_str().into(),
        );
        root.insert("UserShortName".into(), self.short_name.as_str().into());
        root.insert("UserLongName".into(), self.long_name.as_str().into());
        if let Some(not_on_console) = self.not_on_console {
            root.insert("NotOnConsole".into(), not_on_console.into());
        }
    }

    /// Takes the user's keys out of a message; `None` when it is of the device channel.
    pub(in super::super) fn take_from(root: &mut Dictionary) -> Option<Self> {
        let id = [false, true]
            .into_iter()
            .find_map(|own| root.remove(user_key(own)));
        let id = id?.into_string()?;
        let mut text = |key| root.remove(key).and_then(Value::into_string);
        let (short_name, long_name) = (text("UserShortName"), text("UserLongName"));
        let not_on_console = root.remove("NotOnConsole");
        Some(Self {
            id,
            short_name: short_name.unwrap_or_default(),
            long_name: long_name.unwrap_or_default(),
            not_on_console: not_on_console.and_then(|value| value.as_boolean()),
        })
    }
}

/// The key of a user's id.
const fn user_key(of_user_enrollment: bool) -> &'static str {
    if of_user_enrollment {
        "EnrollmentUserID"
    } else {
        "UserID"
    }
}
