//! What an enrolment lets its server do: `AccessRights` of the MDM payload, and the right that each
//! command needs (Apple's schema, 18.1). `tests/execution.rs` holds the table against
//! `tests/data/commands.csv`.

/// `AccessRights`: a set of bits, 8191 for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRights(pub u16);

impl AccessRights {
    /// All rights.
    pub const ALL: Self = Self(8191);
    /// Device lock and passcode removal.
    pub const PASSCODE: u16 = 4;
    /// Querying general information about the device.
    pub const DEVICE_INFORMATION: u16 = 16;
    /// Querying network information.
    pub const NETWORK_INFORMATION: u16 = 32;

    /// Whether the right is among them.
    pub const fn has(self, right: u16) -> bool {
        self.0 & right == right
    }

    /// Whether they allow a command.
    pub fn allow(self, request_type: &str) -> bool {
        needed(request_type).is_none_or(|right| self.has(right))
    }
}

/// The right that a command needs; `None` for one that needs none, on some system at least.
pub fn needed(request_type: &str) -> Option<u16> {
    let found = NEEDED.binary_search_by(|(name, _)| name.cmp(&request_type));
    found.ok().map(|at| NEEDED[at].1)
}

const NEEDED: [(&str, u16); 35] = [
    ("ActiveNSExtensions", 256),
    ("ApplyRedemptionCode", 4096),
    ("CertificateList", 1),
    ("ClearPasscode", 4),
    ("ContentCachingInformation", 32),
    ("DeviceLock", 4),
    ("EraseDevice", 8),
    ("InstallApplication", 4096),
    ("InstallEnterpriseApplication", 4096),
    ("InstallMedia", 4096),
    ("InstallProfile", 2),
    ("InstalledApplicationList", 256),
    ("LOMDeviceRequest", 4),
    ("LOMSetupRequest", 4),
    ("ManagedApplicationAttributes", 4096),
    ("ManagedApplicationConfiguration", 4096),
    ("ManagedApplicationFeedback", 4096),
    ("ManagedApplicationList", 4096),
    ("ManagedMediaList", 4096),
    ("NSExtensionMappings", 256),
    ("ProfileList", 1),
    ("RemoveApplication", 4096),
    ("RemoveMedia", 4096),
    ("RemoveProfile", 2),
    ("RestartDevice", 4),
    ("Restrictions", 512),
    ("RotateFileVaultKey", 4),
    ("SecurityInfo", 1024),
    ("SetFirmwarePassword", 4),
    ("SetRecoveryLock", 4),
    ("Settings", 2048),
    ("ShutDownDevice", 4),
    ("UnlockUserAccount", 4),
    ("ValidateApplications", 4096),
    ("VerifyRecoveryLock", 4),
];
