//! The request types of Apple's schema: where each exists, what it needs and what it answers.
//!
//! One row per type, after Apple's device-management schema for iOS 18.1 and macOS 15.1.
//! `tests/execution.rs` holds the rows against `tests/data/commands.csv`.

/// The kinds of system that differ in what they know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// iOS and iPadOS.
    Ios,
    /// macOS.
    Macos,
    /// tvOS.
    Tvos,
}

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `<string>`
    String,
    /// `<true/>` or `<false/>`
    Boolean,
    /// `<integer>`
    Integer,
    /// `<real>`
    Real,
    /// `<data>`
    Data,
    /// `<array>`
    Array,
    /// `<dict>`
    Dictionary,
}

/// A key and the type of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
}

/// How a system supports a request type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// The first version that knows it, as major, minor and patch.
    pub since: [u32; 3],
    /// Whether the device has to be supervised.
    pub supervised: bool,
}

/// A request type.
#[derive(Clone, Copy, Debug)]
pub struct RequestType {
    /// `RequestType` in a command.
    pub name: &'static str,
    // By system: a version, perhaps followed by `supervised`; empty when it does not exist there.
    ios: &'static str,
    macos: &'static str,
    tvos: &'static str,
    // Required keys, `name:type`, with a space between.
    request: &'static str,
    response: &'static str,
}

impl RequestType {
    /// The request type of this name; `None` for one that Apple does not list.
    pub fn of_name(name: &str) -> Option<&'static Self> {
        let found = ALL.binary_search_by(|row| row.name.cmp(name)).ok()?;
        Some(&ALL[found])
    }

    /// How `system` supports it; `None` when it does not exist there.
    pub fn support(&self, system: System) -> Option<Support> {
        let text = match system {
            System::Ios => self.ios,
            System::Macos => self.macos,
            System::Tvos => self.tvos,
        };
        let mut words = text.split_ascii_whitespace();
        Some(Support {
            since: version(words.next()?),
            supervised: words.next().is_some(),
        })
    }

    /// The keys that a command has to have.
    pub fn request_keys(&self) -> impl Iterator<Item = Key> + use<> {
        keys(self.request)
    }

    /// The keys that a result has to have.
    pub fn response_keys(&self) -> impl Iterator<Item = Key> + use<> {
        keys(self.response)
    }
}

/// The parts of a version such as `18.1`; parts that are missing or no numbers are 0.
pub fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

/// Whether this command is never answered with NotNow. The eight are iOS's and iPadOS's (Apple,
/// "Handling NotNow status responses"); a Mac has no such list outside Power Nap.
pub fn never_not_now(platform_is_ios_like: bool, request_type: &str) -> bool {
    platform_is_ios_like && NEVER_NOT_NOW_ON_IOS.contains(&request_type)
}

const NEVER_NOT_NOW_ON_IOS: [&str; 8] = [
    "ClearPasscode",
    "DeviceInformation",
    "DeviceLock",
    "EraseDevice",
    "InstalledApplicationList",
    "ProfileList",
    "ProvisioningProfileList",
    "Restrictions",
];

fn keys(text: &'static str) -> impl Iterator<Item = Key> {
    text.split_ascii_whitespace().map(|key| {
        let (name, kind) = key.split_once(':').expect("the rows write name:type");
        let kind = match kind {
            "string" => Kind::String,
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer,
            "real" => Kind::Real,
            "data" => Kind::Data,
            "array" => Kind::Array,
            "dictionary" => Kind::Dictionary,
            other => unreachable!("the rows name no type {other}"),
        };
        Key { name, kind }
    })
}

const fn row(
    name: &'static str,
    [ios, macos, tvos]: [&'static str; 3],
    request: &'static str,
    response: &'static str,
) -> RequestType {
    RequestType {
        name,
        ios,
        macos,
        tvos,
        request,
        response,
    }
}

/// Every request type, sorted by name: on iOS, macOS, tvOS; needs; answers.
pub static ALL: [RequestType; 68] = [
    row("AccountConfiguration", ["", "10.11", ""], "", ""),
    row(
        "ActivationLockBypassCode",
        ["7.1 supervised", "10.15 supervised", ""],
        "",
        "ActivationLockBypassCode:string",
    ),
    row(
        "ActiveNSExtensions",
        ["", "10.13", ""],
        "",
        "Extensions:array",
    ),
    row(
        "ApplyRedemptionCode",
        ["5.0", "", ""],
        "Identifier:string RedemptionCode:string",
        "",
    ),
    row(
        "AvailableOSUpdates",
        ["9.0 supervised", "10.11", "12.0 supervised"],
        "",
        "AvailableOSUpdates:array",
    ),
    row(
        "CancelEnhancedLogCollection",
        ["27.0 supervised", "27.0 supervised", "27.0 supervised"],
        "",
        "",
    ),
    row(
        "CertificateList",
        ["4.0", "10.7", "9.0"],
        "",
        "CertificateList:array",
    ),
    row(
        "ClearActivationLockBypassCode",
        ["7.1 supervised", "10.15 supervised", ""],
        "",
        "",
    ),
    row("ClearPasscode", ["4.0", "", ""], "UnlockToken:data", ""),
    row(
        "ClearRestrictionsPassword",
        ["8.0 supervised", "", ""],
        "",
        "",
    ),
    row(
        "ContentCachingInformation",
        ["", "10.15.4", ""],
        "",
        "StatusResponse:dictionary",
    ),
    row("DeclarativeManagement", ["15.0", "13.0", "16.0"], "", ""),
    row("DeleteUser", ["9.3", "10.13 supervised", ""], "", ""),
    row(
        "DeviceConfigured",
        ["9.0 supervised", "10.11", "10.2 supervised"],
        "",
        "",
    ),
    row(
        "DeviceInformation",
        ["4.0", "10.7", "9.0"],
        "Queries:array",
        "QueryResponses:dictionary",
    ),
    row(
        "DeviceLocation",
        ["9.3 supervised", "", ""],
        "",
        "Latitude:real Longitude:real HorizontalAccuracy:real VerticalAccuracy:real Altitude:real Speed:real Course:real Timestamp:string",
    ),
    row("DeviceLock", ["4.0", "10.7", ""], "", ""),
    row("DisableLostMode", ["9.3 supervised", "", ""], "", ""),
    row(
        "DisableRemoteDesktop",
        ["", "10.14.4 supervised", ""],
        "",
        "",
    ),
    row("EnableLostMode", ["9.3 supervised", "", ""], "", ""),
    row(
        "EnableRemoteDesktop",
        ["", "10.14.4 supervised", ""],
        "",
        "",
    ),
    row("EraseDevice", ["4.0", "10.7", "10.2"], "", ""),
    row("InstallApplication", ["5.0", "10.9", "10.2"], "", ""),
    row("InstallEnterpriseApplication", ["", "10.13.6", ""], "", ""),
    row("InstallMedia", ["8.0", "10.9", ""], "MediaType:string", ""),
    row("InstallProfile", ["4.0", "10.7", "9.0"], "Payload:data", ""),
    row(
        "InstallProvisioningProfile",
        ["4.0", "11.0", "10.2"],
        "ProvisioningProfile:data",
        "",
    ),
    row(
        "InstalledApplicationList",
        ["5.0", "10.7", "10.2"],
        "",
        "InstalledApplicationList:array",
    ),
    row(
        "InviteToProgram",
        ["7.0", "10.9", ""],
        "ProgramID:string InvitationURL:string",
        "InvitationResult:string",
    ),
    row(
        "LOMDeviceRequest",
        ["", "11.0", ""],
        "RequestList:array",
        "ResponseList:array",
    ),
    row(
        "LOMSetupRequest",
        ["", "11.0", ""],
        "",
        "PrimaryIPv6AddressList:array SecondaryIPv6AddressList:array LOMProtocolVersion:integer",
    ),
    row("LogOutUser", ["9.3", "", ""], "", ""),
    row(
        "ManagedApplicationAttributes",
        ["7.0", "", "10.2"],
        "Identifiers:array",
        "ApplicationAttributes:array",
    ),
    row(
        "ManagedApplicationConfiguration",
        ["7.0", "10.15", "10.2"],
        "Identifiers:array",
        "ApplicationConfigurations:array",
    ),
    row(
        "ManagedApplicationFeedback",
        ["7.0", "11.0", "10.2"],
        "Identifiers:array",
        "ManagedApplicationFeedback:array",
    ),
    row(
        "ManagedApplicationList",
        ["5.0", "11.0", "10.2"],
        "",
        "ManagedApplicationList:dictionary",
    ),
    row("ManagedMediaList", ["8.0", "", ""], "", "Books:array"),
    row(
        "NSExtensionMappings",
        ["", "10.13", ""],
        "",
        "Extensions:array",
    ),
    row(
        "OSUpdateStatus",
        ["9.0 supervised", "10.11.5 supervised", "12.0 supervised"],
        "",
        "OSUpdateStatus:array",
    ),
    row("PlayLostModeSound", ["10.3 supervised", "", ""], "", ""),
    row(
        "ProfileList",
        ["4.0", "10.7", "9.0"],
        "",
        "ProfileList:array",
    ),
    row(
        "ProvisioningProfileList",
        ["4.0", "11.0", "10.2"],
        "",
        "ProvisioningProfileList:array",
    ),
    row(
        "RefreshCellularPlans",
        ["13.0", "", ""],
        "eSIMServerURL:string",
        "",
    ),
    row(
        "RemoveApplication",
        ["5.0", "11.0", "10.2"],
        "Identifier:string",
        "",
    ),
    row("RemoveMedia", ["8.0", "", ""], "MediaType:string", ""),
    row(
        "RemoveProfile",
        ["4.0", "10.7", "9.0"],
        "Identifier:string",
        "",
    ),
    row(
        "RemoveProvisioningProfile",
        ["4.0", "11.0", "10.2"],
        "UUID:string",
        "",
    ),
    row("RequestMirroring", ["7.0", "10.10", ""], "", ""),
    row(
        "RequestUnlockToken",
        ["5.0 supervised", "", ""],
        "",
        "UnlockToken:data",
    ),
    row(
        "RestartDevice",
        ["10.3 supervised", "10.13", "10.2 supervised"],
        "",
        "",
    ),
    row(
        "Restrictions",
        ["4.0", "", "9.0"],
        "",
        "GlobalRestrictions:dictionary ProfileRestrictions:dictionary",
    ),
    row(
        "RotateFileVaultKey",
        ["", "10.9", ""],
        "KeyType:string FileVaultUnlock:dictionary",
        "",
    ),
    row(
        "ScheduleOSUpdate",
        ["9.0 supervised", "10.11 supervised", "12.0 supervised"],
        "Updates:array",
        "UpdateResults:array",
    ),
    row(
        "ScheduleOSUpdateScan",
        ["", "10.11 supervised", ""],
        "",
        "ScanInitiated:boolean",
    ),
    row(
        "SecurityInfo",
        ["4.0", "10.7", "9.0"],
        "",
        "SecurityInfo:dictionary",
    ),
    row(
        "SetAutoAdminPassword",
        ["", "10.11", ""],
        "GUID:string passwordHash:data",
        "",
    ),
    row(
        "SetFirmwarePassword",
        ["", "10.13", ""],
        "NewPassword:string",
        "SetFirmwarePassword:dictionary",
    ),
    row(
        "SetRecoveryLock",
        ["", "11.5", ""],
        "NewPassword:string",
        "",
    ),
    row("Settings", ["5.0", "10.9", "9.0"], "Settings:array", ""),
    row("ShutDownDevice", ["10.3 supervised", "10.13", ""], "", ""),
    row("StopMirroring", ["7.0 supervised", "10.10", ""], "", ""),
    row(
        "TriggerEnhancedLogCollection",
        ["27.0 supervised", "27.0 supervised", "27.0 supervised"],
        "AppleCareToken:string",
        "",
    ),
    row(
        "UnlockUserAccount",
        ["", "10.13", ""],
        "UserName:string",
        "",
    ),
    row("UserConfigured", ["17.0 supervised", "", ""], "", ""),
    row(
        "UserList",
        ["9.3", "10.13 supervised", ""],
        "",
        "Users:array",
    ),
    row("ValidateApplications", ["9.2", "", "10.2"], "", ""),
    row(
        "VerifyFirmwarePassword",
        ["", "10.13", ""],
        "Password:string",
        "VerifyFirmwarePassword:dictionary",
    ),
    row(
        "VerifyRecoveryLock",
        ["", "11.5", ""],
        "Password:string",
        "PasswordVerified:boolean",
    ),
];
