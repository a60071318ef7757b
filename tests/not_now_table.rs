//! The table of NotNow, held against the same decision written a second time: plain `if`s after
//! the prose, lists from the schema's columns in `tests/data/commands.csv`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, BTreeSet};

use mdmstorm::condition::{Condition, Conditions, Holds};
use mdmstorm::device::execution::{self, Inventory, Outcome, refusal};
use mdmstorm::device::not_now::{Line, Subject, reason};
use mdmstorm::device::traits::{Platform, Traits};
use mdmstorm::fact::ResultStatus;
use mdmstorm::ids::{Crowd, CrowdId, DeviceId};
use mdmstorm::protocol::access_right::AccessRights;
use mdmstorm::protocol::command::Command;
use mdmstorm::protocol::request_types::{ALL, version};
use mdmstorm::seed::Seed;

const PLATFORMS: [Platform; 4] = [
    Platform::Ipad,
    Platform::Iphone,
    Platform::Mac,
    Platform::AppleTv,
];

/// What NotNow can depend on: all 256 subsets are tried.
const RELEVANT: [Condition; 8] = [
    Condition::Asleep,
    Condition::DarkWake,
    Condition::OnBattery,
    Condition::BeforeFirstUnlock,
    Condition::Locked,
    Condition::SetupAssistant,
    Condition::LoginBlocked,
    Condition::KeychainLocked,
];

fn versions(platform: Platform) -> [&'static str; 7] {
    match platform {
        Platform::Mac => ["10.15", "11.0", "12.6", "13.0", "14.5", "15.1", "26.0"],
        Platform::Ipad | Platform::Iphone | Platform::AppleTv => {
            ["14.0", "15.0", "15.3", "15.4", "16.0", "18.1", "26.0"]
        }
    }
}

/// The request types whose `column` of the schema says `yes`. No such field has a comma before it.
fn marked(column: &str) -> BTreeSet<&'static str> {
    let mut lines = include_str!("data/commands.csv").lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = head.iter().position(|name| *name == column).unwrap();
    lines
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|fields| fields[at] == "yes")
        .map(|fields| fields[0])
        .collect()
}

struct Lists {
    never_on_ios: BTreeSet<&'static str>,
    in_power_nap: BTreeSet<&'static str>,
}

impl Lists {
    fn new() -> Self {
        let lists = Self {
            never_on_ios: marked("never_notnow_ios"),
            in_power_nap: marked("allowed_in_power_nap_macos"),
        };
        assert_eq!(lists.never_on_ios.len(), 8);
        assert_eq!(lists.in_power_nap.len(), 9);
        lists
    }

    /// Every condition that is a reason to refuse, from the prose.
    fn reasons(&self, device: &Subject, request: &str) -> Vec<Condition> {
        let mut reasons = Vec::new();
        let is = |condition| device.conditions.has(condition);
        let is_one_of = |names: &[&str]| names.contains(&request);
        if device.platform == Platform::Mac {
            if is(Condition::Asleep)
                && is(Condition::DarkWake)
                && is(Condition::OnBattery)
                && !self.in_power_nap.contains(request)
            {
                reasons.push(Condition::DarkWake);
            }
            if device.line == Line::User {
                if is(Condition::KeychainLocked) && is_one_of(&["InstallProfile", "RemoveProfile"])
                {
                    reasons.push(Condition::KeychainLocked);
                }
                if is(Condition::SetupAssistant) && request != "DeviceConfigured" {
                    reasons.push(Condition::SetupAssistant);
                }
            }
            if is(Condition::SetupAssistant) && request == "InviteToProgram" {
                reasons.push(Condition::SetupAssistant);
            }
            if is(Condition::LoginBlocked) {
                let is_old = device.os_version[0] == 10;
                if request == "InstalledApplicationList"
                    || (is_old && request == "DeviceInformation")
                {
                    reasons.push(Condition::LoginBlocked);
                }
            }
            return reasons;
        }
        if is(Condition::SetupAssistant)
            && device.os_version[0] < 16
            && request == "InstallApplication"
        {
            reasons.push(Condition::SetupAssistant);
        }
        if device.platform == Platform::AppleTv || self.never_on_ios.contains(request) {
            return reasons;
        }
        if is(Condition::SetupAssistant) && request == "InviteToProgram" {
            reasons.push(Condition::SetupAssistant);
        }
        if device.passcode {
            let writes_what_is_closed = is_one_of(&[
                "InstallProfile",
                "RemoveProfile",
                "InstallProvisioningProfile",
                "RemoveProvisioningProfile",
            ]) || request == "SecurityInfo";
            if is(Condition::Locked) && writes_what_is_closed {
                reasons.push(Condition::Locked);
            }
            let [major, minor, _] = device.os_version;
            let closed_until_unlock = writes_what_is_closed
                || is_one_of(&["InstallApplication", "ManagedMediaList"])
                || (request == "CertificateList" && (major, minor) >= (15, 4));
            if is(Condition::BeforeFirstUnlock) && closed_until_unlock {
                reasons.push(Condition::BeforeFirstUnlock);
            }
        }
        reasons
    }
}

fn subsets() -> impl Iterator<Item = Conditions> {
    (0..1_u32 << RELEVANT.len()).map(|bits| {
        let has = (0..RELEVANT.len()).filter(|at| bits >> at & 1 == 1);
        has.fold(Conditions::NONE, |set, at| {
            set.with(RELEVANT[at], Holds::Yes)
        })
    })
}

/// Every platform, version, passcode, channel and subset of conditions.
fn subjects() -> impl Iterator<Item = Subject> {
    PLATFORMS.into_iter().flat_map(|platform| {
        versions(platform).into_iter().flat_map(move |os| {
            [
                (false, Line::Device),
                (true, Line::Device),
                (false, Line::User),
                (true, Line::User),
            ]
            .into_iter()
            .flat_map(move |(passcode, line)| {
                subsets().map(move |conditions| Subject {
                    platform,
                    os_version: version(os),
                    passcode,
                    line,
                    conditions,
                })
            })
        })
    })
}

#[test]
fn the_table_decides_as_the_prose_does_over_the_whole_space() {
    let lists = Lists::new();
    let mut refused = BTreeMap::<Condition, u32>::new();
    for subject in subjects() {
        for row in &ALL {
            let expected = lists.reasons(&subject, row.name);
            let decided = reason(&subject, row.name);
            assert!(
                decided.map_or(expected.is_empty(), |reason| expected.contains(&reason)),
                "{} of {subject:?}: {decided:?}, but {expected:?}",
                row.name
            );
            if let Some(reason) = decided {
                *refused.entry(reason).or_default() += 1;
            }
        }
    }
    let reasons: Vec<_> = refused.keys().map(|reason| reason.name()).collect();
    assert_eq!(
        reasons,
        [
            "dark-wake",
            "before-first-unlock",
            "locked",
            "setup-assistant",
            "login-blocked",
            "keychain-locked"
        ]
    );
}

#[test]
fn nothing_else_a_device_is_in_makes_it_refuse() {
    let others = Condition::ALL.into_iter().filter(|c| !RELEVANT.contains(c));
    let others: Vec<_> = others.collect();
    assert_eq!(others.len() + RELEVANT.len(), Condition::ALL.len());
    let some = [version("15.0"), version("15.1")];
    for subject in subjects().filter(|it| some.contains(&it.os_version)) {
        let conditions = subject.conditions.and(Conditions::of(&others));
        let crowded = Subject {
            conditions,
            ..subject
        };
        for row in &ALL {
            assert_eq!(reason(&subject, row.name), reason(&crowded, row.name));
        }
    }
}

// ---- errors, which come before NotNow ------------------------------------------------------

fn refuse(platform: Platform, supervised: bool, request: &str, now: &[Condition]) -> String {
    let traits = Traits {
        supervised,
        ..Traits::prompt("test", platform)
    };
    let device = execution::Subject {
        id: DeviceId(0),
        traits: &traits,
        os_version: &traits.os_version,
        crowd: &Crowd::new(CrowdId([1; 4]), [2; 32]),
        rights: AccessRights::ALL,
        awaits_configuration: false,
        is_user_enrollment: false,
        seed: Seed(1),
        inventory: &Inventory::default(),
    };
    let body = format!(
        "<plist version=\"1.0\"><dict><key>CommandUUID</key><string>1</string>\
         <key>Command</key><dict><key>RequestType</key><string>{request}</string></dict>\
         </dict></plist>"
    );
    let command = Command::decode(body.as_bytes()).unwrap();
    show(refusal(&command, &device, Conditions::of(now)))
}

fn show(refused: Option<Outcome>) -> String {
    match refused {
        None => "goes on".to_owned(),
        Some(Outcome {
            status: ResultStatus::Error,
            error_chain,
            ..
        }) => error_chain[0].code.to_string(),
        Some(outcome) => format!("{:?}", outcome.status),
    }
}

#[test]
fn lost_mode_comes_before_what_is_unknown_and_that_before_supervision() {
    let lost = &[Condition::LostMode, Condition::Locked];
    let refused = |supervised, request, now| refuse(Platform::Ipad, supervised, request, now);
    assert_eq!(refused(true, "MakeCoffee", lost), "12078");
    assert_eq!(refused(true, "MakeCoffee", &[]), "12021");
    assert_eq!(refused(false, "RestartDevice", lost), "12078");
    assert_eq!(refused(false, "RestartDevice", &[]), "12007");
    // An error, where the lock alone would have asked for NotNow.
    assert_eq!(refused(true, "InstallProfile", lost), "12078");
    assert_eq!(refused(true, "InstallProfile", &[]), "CommandFormatError");
    assert_eq!(
        refused(true, "SecurityInfo", &[Condition::Locked]),
        "goes on"
    );
}

#[test]
fn a_lost_device_is_found_and_erased() {
    let lost = &[Condition::LostMode];
    for request in ["DeviceLocation", "DisableLostMode", "PlayLostModeSound"] {
        assert_eq!(refuse(Platform::Iphone, true, request, lost), "goes on");
    }
    assert_eq!(refuse(Platform::Ipad, true, "EraseDevice", lost), "goes on");
    // A Mac has no lost mode.
    assert_eq!(refuse(Platform::Mac, true, "ProfileList", lost), "goes on");
}
