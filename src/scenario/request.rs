//! The MDM request types a scenario may name, and the keys each cannot do without.

/// Request types with their required keys: Apple's device management schema 18.1, and two types of
/// the 27.0 seed.
const REQUESTS: [(&str, &[&str]); 68] = [
    ("AccountConfiguration", &[]),
    ("ActiveNSExtensions", &[]),
    ("NSExtensionMappings", &[]),
    ("InstallEnterpriseApplication", &[]),
    ("InstallApplication", &[]),
    ("InstalledApplicationList", &[]),
    ("InviteToProgram", &["ProgramID", "InvitationURL"]),
    ("ManagedApplicationList", &[]),
    ("ApplyRedemptionCode", &["Identifier", "RedemptionCode"]),
    ("RemoveApplication", &["Identifier"]),
    ("ValidateApplications", &[]),
    ("CertificateList", &[]),
    ("DeclarativeManagement", &[]),
    ("ActivationLockBypassCode", &[]),
    ("ClearActivationLockBypassCode", &[]),
    ("DeviceConfigured", &[]),
    ("EraseDevice", &[]),
    ("RefreshCellularPlans", &["eSIMServerURL"]),
    ("DeviceLock", &[]),
    ("DisableLostMode", &[]),
    ("EnableLostMode", &[]),
    ("DeviceLocation", &[]),
    ("PlayLostModeSound", &[]),
    ("RestartDevice", &[]),
    ("ClearRestrictionsPassword", &[]),
    ("Restrictions", &[]),
    ("ShutDownDevice", &[]),
    ("ContentCachingInformation", &[]),
    ("DeviceInformation", &["Queries"]),
    ("SecurityInfo", &[]),
    ("LOMDeviceRequest", &["RequestList"]),
    ("LOMSetupRequest", &[]),
    ("ManagedApplicationAttributes", &["Identifiers"]),
    ("ManagedApplicationConfiguration", &["Identifiers"]),
    ("ManagedApplicationFeedback", &["Identifiers"]),
    ("InstallMedia", &["MediaType"]),
    ("ManagedMediaList", &[]),
    ("RemoveMedia", &["MediaType"]),
    ("RequestMirroring", &[]),
    ("StopMirroring", &[]),
    ("ClearPasscode", &["UnlockToken"]),
    ("SetFirmwarePassword", &["NewPassword"]),
    ("VerifyFirmwarePassword", &["Password"]),
    ("SetRecoveryLock", &["NewPassword"]),
    ("VerifyRecoveryLock", &["Password"]),
    ("RequestUnlockToken", &[]),
    ("InstallProfile", &["Payload"]),
    ("ProfileList", &[]),
    ("InstallProvisioningProfile", &["ProvisioningProfile"]),
    ("ProvisioningProfileList", &[]),
    ("RemoveProvisioningProfile", &["UUID"]),
    ("RemoveProfile", &["Identifier"]),
    ("DisableRemoteDesktop", &[]),
    ("EnableRemoteDesktop", &[]),
    ("RotateFileVaultKey", &["KeyType", "FileVaultUnlock"]),
    ("SetAutoAdminPassword", &["GUID", "passwordHash"]),
    ("Settings", &["Settings"]),
    ("AvailableOSUpdates", &[]),
    ("ScheduleOSUpdateScan", &[]),
    ("ScheduleOSUpdate", &["Updates"]),
    ("OSUpdateStatus", &[]),
    ("UserConfigured", &[]),
    ("DeleteUser", &[]),
    ("UserList", &[]),
    ("LogOutUser", &[]),
    ("UnlockUserAccount", &["UserName"]),
    ("TriggerEnhancedLogCollection", &["AppleCareToken"]),
    ("CancelEnhancedLogCollection", &[]),
];

/// All request types.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    REQUESTS.iter().map(|(name, _)| *name)
}

/// The keys a command of this type must carry; `None` for an unknown type.
pub(super) fn required_keys(request: &str) -> Option<&'static [&'static str]> {
    REQUESTS
        .iter()
        .find(|(name, _)| *name == request)
        .map(|(_, keys)| *keys)
}

/// Whether Apple's schema has this request type.
pub(super) fn is_known(request: &str) -> bool {
    required_keys(request).is_some()
}

/// The key that carries the bytes of a command's `payload` file; `None` when it takes none.
pub(super) fn payload_key(request: &str) -> Option<&'static str> {
    match request {
        "InstallProfile" => Some("Payload"),
        "InstallProvisioningProfile" => Some("ProvisioningProfile"),
        _ => None,
    }
}

/// Keys of which one must be there, although none is required by itself.
pub(super) fn one_of(request: &str) -> &'static [&'static str] {
    match request {
        "InstallApplication" => &["iTunesStoreID", "Identifier", "ManifestURL"],
        "InstallEnterpriseApplication" => &["Manifest", "ManifestURL"],
        _ => &[],
    }
}

/// What DeviceInformation asks for when the scenario does not say: what an inventory needs.
pub(super) const DEVICE_INFORMATION_QUERIES: [&str; 14] = [
    "UDID",
    "DeviceName",
    "OSVersion",
    "BuildVersion",
    "ModelName",
    "Model",
    "ProductName",
    "SerialNumber",
    "DeviceCapacity",
    "AvailableDeviceCapacity",
    "BatteryLevel",
    "WiFiMAC",
    "IsSupervised",
    "LastCloudBackupDate",
];
