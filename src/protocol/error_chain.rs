//! Error chains: why a device could not do what a command asked.
//!
//! The first item is the top-level error, the causes follow. Apple calls codes and domains
//! informational; the ones here are those of the archived protocol reference.

use std::borrow::Cow;

use ::plist::{Dictionary, Value};

use super::plist::text;

/// One item of an `ErrorChain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorItem {
    /// `ErrorCode`.
    pub code: i64,
    /// `ErrorDomain`, for example `MCMDMErrorDomain`.
    pub domain: Cow<'static, str>,
    /// `LocalizedDescription`.
    pub localized: Cow<'static, str>,
    /// `USEnglishDescription`, which may be left out.
    pub us_english: Option<Cow<'static, str>>,
}

/// The domain of the management client itself.
pub const MDM_DOMAIN: &str = "MCMDMErrorDomain";
/// The domain of configuration profiles.
pub const PROFILE_DOMAIN: &str = "MCProfileErrorDomain";
/// The domain of the installation of profiles.
pub const INSTALLATION_DOMAIN: &str = "MCInstallationErrorDomain";

impl ErrorItem {
    /// An item of `domain` whose two descriptions are the same.
    pub fn new(domain: &'static str, code: i64, description: impl Into<Cow<'static, str>>) -> Self {
        let description = description.into();
        Self {
            code,
            domain: Cow::Borrowed(domain),
            localized: description.clone(),
            us_english: Some(description),
        }
    }

    /// 12007: management may not do this, for example on a device that is not supervised.
    pub fn not_authorized(what: &str) -> Self {
        Self::new(MDM_DOMAIN, 12007, format!("Not authorized: {what}."))
    }

    /// 12013: a profile that management did not install.
    pub fn profile_not_managed(identifier: &str) -> Self {
        let text = format!("The profile \u{201c}{identifier}\u{201d} is not managed by MDM.");
        Self::new(MDM_DOMAIN, 12013, text)
    }

    /// 12021 as iPadOS, iOS and tvOS put it.
    pub fn unknown_request_type(request_type: &str) -> Self {
        let text = format!("\u{201c}{request_type}\u{201d} is not a valid request type.");
        Self::new(MDM_DOMAIN, 12021, text)
    }

    /// 12021 as macOS puts it.
    pub fn unknown_command_on_macos(request_type: &str) -> Self {
        let text = format!("Unknown command: {request_type} <MDMClientError:91>");
        Self::new(MDM_DOMAIN, 12021, text)
    }

    /// 12023: nothing says which app is meant.
    pub fn app_not_identified() -> Self {
        Self::new(MDM_DOMAIN, 12023, "The app could not be identified.")
    }

    /// 12029: an app that management did not install.
    pub fn app_not_managed(identifier: &str) -> Self {
        let text = format!("The app \u{201c}{identifier}\u{201d} is not managed.");
        Self::new(MDM_DOMAIN, 12029, text)
    }

    /// 12075: no such profile on the device.
    pub fn profile_not_installed(identifier: &str) -> Self {
        let text = format!("The profile \u{201c}{identifier}\u{201d} is not installed.");
        Self::new(MDM_DOMAIN, 12075, text)
    }

    /// 12078: lost mode allows few commands, and this is none of them.
    pub fn refused_in_lost_mode(request_type: &str) -> Self {
        let text = format!("\u{201c}{request_type}\u{201d} is not valid while in lost mode.");
        Self::new(MDM_DOMAIN, 12078, text)
    }

    /// The whole chain of a profile that cannot be installed: 1009, then 4001, then the cause, one
    /// of [`PROFILE_DOMAIN`].
    pub fn profile_not_installable(name: &str, code: i64, cause: String) -> Vec<Self> {
        let top = format!("The profile \u{201c}{name}\u{201d} could not be installed.");
        vec![
            Self::new(PROFILE_DOMAIN, 1009, top),
            Self::new(INSTALLATION_DOMAIN, 4001, "Profile Installation Failed"),
            Self::new(PROFILE_DOMAIN, code, cause),
        ]
    }

    pub(super) fn to_value(&self) -> Value {
        let mut item = Dictionary::new();
        item.insert("ErrorCode".into(), Value::Integer(self.code.into()));
        item.insert("ErrorDomain".into(), self.domain.as_ref().into());
        item.insert(
            "LocalizedDescription".into(),
            self.localized.as_ref().into(),
        );
        if let Some(us_english) = &self.us_english {
            item.insert("USEnglishDescription".into(), us_english.as_ref().into());
        }
        Value::Dictionary(item)
    }

    /// Reads what is there: a server has no use for refusing a report because of its chain.
    pub(super) fn of_value(value: &Value) -> Option<Self> {
        let item = value.as_dictionary()?;
        let string = |key| text(item, key).map(|text| Cow::Owned(text.to_owned()));
        Some(Self {
            code: item.get("ErrorCode").and_then(Value::as_signed_integer)?,
            domain: string("ErrorDomain").unwrap_or_default(),
            localized: string("LocalizedDescription").unwrap_or_default(),
            us_english: string("USEnglishDescription"),
        })
    }
}
