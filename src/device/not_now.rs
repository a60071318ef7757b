//! Which commands a device refuses with NotNow, by what it is in: a table, not code.
//!
//! Apple names the commands in "Handling NotNow status responses", in the notes of its schema and
//! in the archived MDM Protocol Reference; what it leaves open is told by field reports. Each row
//! says which, graded as `[A]` Apple, `[O]` observed, `[I]` inferred. What has no better grade
//! than `[I]` as a whole has no row: a scenario adds it as a rule of its own.
//!
//! A refusal ends when [`reason`] says `None` for what the device is in by then.

use crate::condition::{Condition, Conditions};
use crate::protocol::request_types::never_not_now;

use super::traits::Platform;

/// The device that got the command, and on which of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Kind of device.
    pub platform: Platform,
    /// Its system's version, parsed once by [`crate::protocol::request_types::version`].
    pub os_version: [u32; 3],
    /// Whether it has a passcode: without one nothing is ever locked.
    pub passcode: bool,
    /// The channel the command came on.
    pub line: Line,
    /// What the device is in.
    pub conditions: Conditions,
}

/// The two kinds of channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// The device's own.
    Device,
    /// That of one of its users.
    User,
}

impl Line {
    /// The kind of the channel with this user number, 0 being the device.
    pub const fn of_user(user: u8) -> Self {
        if user == 0 { Self::Device } else { Self::User }
    }
}

/// Why a command is refused with NotNow: the condition that has to end first; `None` when it is
/// not. Errors come before (`execution::refusal`), rules of the scenario after.
pub fn reason(subject: &Subject, request_type: &str) -> Option<Condition> {
    if never_not_now(subject.platform != Platform::Mac, request_type) {
        return None;
    }
    TABLE
        .iter()
        .find(|row| row.is_about(subject) && row.refuses.has(request_type))
        .map(|row| row.reason)
}

/// Some commands that some devices refuse.
#[derive(Debug)]
struct Row {
    /// What a report says the refusal is for.
    reason: Condition,
    /// What has to hold beside it.
    beside: Conditions,
    platforms: &'static [Platform],
    versions: Versions,
    /// The only kind of channel it is about; `None` for both.
    line: Option<Line>,
    refuses: Requests,
}

impl Row {
    fn is_about(&self, subject: &Subject) -> bool {
        subject.conditions.has(self.reason)
            && (subject.passcode || !needs_passcode(self.reason))
            && self.beside.iter().all(|it| subject.conditions.has(it))
            && self.platforms.contains(&subject.platform)
            && self.versions.has(subject.os_version)
            && self.line.is_none_or(|line| line == subject.line)
    }
}

/// Whether a condition does nothing without a passcode: there is no data protection that could be
/// locked then.
const fn needs_passcode(reason: Condition) -> bool {
    matches!(reason, Condition::BeforeFirstUnlock | Condition::Locked)
}

/// A range of versions of a system.
#[derive(Debug)]
struct Versions {
    from: [u32; 3],
    below: [u32; 3],
}

impl Versions {
    const ALL: Self = Self::from([0, 0, 0]);

    const fn from(from: [u32; 3]) -> Self {
        let below = [u32::MAX; 3];
        Self { from, below }
    }

    const fn below(below: [u32; 3]) -> Self {
        let from = [0, 0, 0];
        Self { from, below }
    }

    fn has(&self, version: [u32; 3]) -> bool {
        self.from <= version && version < self.below
    }
}

/// A set of request types.
#[derive(Debug)]
enum Requests {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

impl Requests {
    fn has(&self, request_type: &str) -> bool {
        match self {
            Self::Only(names) => names.contains(&request_type),
            Self::AllBut(names) => !names.contains(&request_type),
        }
    }
}

const IOS: &[Platform] = &[Platform::Ipad, Platform::Iphone];
const IOS_AND_TVOS: &[Platform] = &[Platform::Ipad, Platform::Iphone, Platform::AppleTv];
const IOS_AND_MACOS: &[Platform] = &[Platform::Ipad, Platform::Iphone, Platform::Mac];
const MACOS: &[Platform] = &[Platform::Mac];

/// What writes to a database that data protection keeps closed while the device is locked.
///
/// `[A]` as a rule (archived reference: NotNow while "a device is locked" for what modifies it),
/// and for InstallProfile `[O]` as well (developer forum 747460, micromdm PR 984).
/// InstallProvisioningProfile and SecurityInfo, which modifies nothing, are `[O]` (forum 747460).
/// That the rule covers removing what it covers installing is `[I]`. Settings, apps and media are
/// left out: no report has them refused for the lock.
const WHILE_LOCKED: &[&str] = &[
    "InstallProfile",
    "InstallProvisioningProfile",
    "RemoveProfile",
    "RemoveProvisioningProfile",
    "SecurityInfo",
];

/// What a Mac in Power Nap executes even on its battery. `[A]`: the list of the current article.
/// The archived reference allowed only DeviceLock and EraseDevice and did not speak of batteries;
/// which version changed that is not published, so the current list is used for all.
const IN_POWER_NAP: &[&str] = &[
    "ActivationLockBypassCode",
    "ClearActivationLockBypassCode",
    "DeleteUser",
    "DeviceLock",
    "EraseDevice",
    "RestartDevice",
    "ShutDownDevice",
    "UnlockUserAccount",
    "UserList",
];

/// The first row that is about a device and a command gives the reason.
const TABLE: &[Row] = &[
    // ---- iOS and iPadOS, with a passcode -------------------------------------------------
    Row {
        // [A] schema, certificate.list: from 15.4 on until the first unlock after boot.
        reason: Condition::BeforeFirstUnlock,
        beside: Conditions::NONE,
        platforms: IOS,
        versions: Versions::from([15, 4, 0]),
        line: None,
        refuses: Requests::Only(&["CertificateList"]),
    },
    Row {
        // [A] "some commands"; which: those of a locked device, whose databases are closed more
        // tightly still [I], and what was seen refused on devices that had just rebooted [O]
        // (Fleet issue 37371 for InstallApplication; forum 747460 for both, without a cause).
        reason: Condition::BeforeFirstUnlock,
        beside: Conditions::NONE,
        platforms: IOS,
        versions: Versions::ALL,
        line: None,
        refuses: Requests::Only(&["InstallApplication", "ManagedMediaList"]),
    },
    Row {
        reason: Condition::BeforeFirstUnlock,
        beside: Conditions::NONE,
        platforms: IOS,
        versions: Versions::ALL,
        line: None,
        refuses: Requests::Only(WHILE_LOCKED),
    },
    Row {
        reason: Condition::Locked,
        beside: Conditions::NONE,
        platforms: IOS,
        versions: Versions::ALL,
        line: None,
        refuses: Requests::Only(WHILE_LOCKED),
    },
    // ---- Setup Assistant -----------------------------------------------------------------
    Row {
        // [A] schema, application.install: before version 16.
        reason: Condition::SetupAssistant,
        beside: Conditions::NONE,
        platforms: IOS_AND_TVOS,
        versions: Versions::below([16, 0, 0]),
        line: None,
        refuses: Requests::Only(&["InstallApplication"]),
    },
    Row {
        // [A] schema, application.invitetoprogram: until the user leaves Setup Assistant.
        reason: Condition::SetupAssistant,
        beside: Conditions::NONE,
        platforms: IOS_AND_MACOS,
        versions: Versions::ALL,
        line: None,
        refuses: Requests::Only(&["InviteToProgram"]),
    },
    Row {
        // [A] archived reference, UserConfiguration: every command until an empty answer or
        // DeviceConfigured, which is what ends it.
        reason: Condition::SetupAssistant,
        beside: Conditions::NONE,
        platforms: MACOS,
        versions: Versions::ALL,
        line: Some(Line::User),
        refuses: Requests::AllBut(&["DeviceConfigured"]),
    },
    // ---- Macs ----------------------------------------------------------------------------
    Row {
        // [A] NotNow article. Power Nap is a wake in the middle of sleep: one that is up is not
        // in it.
        reason: Condition::DarkWake,
        beside: Conditions::of(&[Condition::Asleep, Condition::OnBattery]),
        platforms: MACOS,
        versions: Versions::ALL,
        line: None,
        refuses: Requests::AllBut(IN_POWER_NAP),
    },
    Row {
        // [A] NotNow article.
        reason: Condition::KeychainLocked,
        beside: Conditions::NONE,
        platforms: MACOS,
        versions: Versions::ALL,
        line: Some(Line::User),
        refuses: Requests::Only(&["InstallProfile", "RemoveProfile"]),
    },
    Row {
        // [A] NotNow article: what takes long, with this as its example.
        reason: Condition::LoginBlocked,
        beside: Conditions::NONE,
        platforms: MACOS,
        versions: Versions::ALL,
        line: None,
        refuses: Requests::Only(&["InstalledApplicationList"]),
    },
    Row {
        // [A] archived reference, which ends before macOS 11; that 11 is the border is [I].
        reason: Condition::LoginBlocked,
        beside: Conditions::NONE,
        platforms: MACOS,
        versions: Versions::below([11, 0, 0]),
        line: None,
        refuses: Requests::Only(&["DeviceInformation"]),
    },
];
