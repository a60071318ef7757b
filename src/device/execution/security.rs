//! What a device says about its protection.

use ::plist::{Dictionary, Value};

use super::{Outcome, Subject, Trait, dictionary, text};
use crate::protocol::request_types::System;

pub(super) fn answer(device: &Subject<'_>) -> Outcome {
    let info = match device.system() {
        System::Macos => of_mac(device),
        System::Ios | System::Tvos => of_ios(device),
    };
    Outcome::acknowledged(dictionary([("SecurityInfo", info.into())]))
}

/// Locks the screen. A message is shown only where there is one.
pub(super) fn lock(request: &Dictionary, device: &Subject<'_>) -> Outcome {
    let has_message =
        !text(request, "Message").is_empty() || !text(request, "PhoneNumber").is_empty();
    match device.system() {
        System::Ios | System::Tvos if has_message => {
            Outcome::acknowledged(dictionary([("MessageResult", "Success".into())]))
        }
        System::Ios | System::Tvos | System::Macos => Outcome::done(),
    }
}

fn of_ios(device: &Subject<'_>) -> Dictionary {
    let has_passcode = device.draw(Trait::Security).chance(0.7);
    dictionary([
        // 3: block-level and file-level encryption.
        ("HardwareEncryptionCaps", Value::Integer(3.into())),
        ("PasscodePresent", Value::Boolean(has_passcode)),
        ("PasscodeCompliant", Value::Boolean(true)),
        ("PasscodeCompliantWithProfiles", Value::Boolean(true)),
        ("PasscodeLockGracePeriod", Value::Integer(0.into())),
        ("PasscodeLockGracePeriodEnforced", Value::Integer(0.into())),
        ("ManagementStatus", management(device).into()),
    ])
}

fn of_mac(device: &Subject<'_>) -> Dictionary {
    let mut draw = device.draw(Trait::Security);
    let (is_encrypted, has_firewall) = (draw.chance(0.8), draw.chance(0.5));
    let firewall = dictionary([
        ("FirewallEnabled", Value::Boolean(has_firewall)),
        ("BlockAllIncoming", Value::Boolean(false)),
        ("StealthMode", Value::Boolean(false)),
        ("Applications", Value::Array(Vec::new())),
    ]);
    let secure_boot = dictionary([
        ("SecureBootLevel", "full".into()),
        ("ExternalBootLevel", "allowed".into()),
    ]);
    dictionary([
        ("FDE_Enabled", Value::Boolean(is_encrypted)),
        ("FDE_HasPersonalRecoveryKey", Value::Boolean(is_encrypted)),
        ("FDE_HasInstitutionalRecoveryKey", Value::Boolean(false)),
        ("FirewallSettings", firewall.into()),
        ("SecureBoot", secure_boot.into()),
        ("SystemIntegrityProtectionEnabled", Value::Boolean(true)),
        ("AuthenticatedRootVolumeEnabled", Value::Boolean(true)),
        ("RemoteDesktopEnabled", Value::Boolean(false)),
        ("IsRecoveryLockEnabled", Value::Boolean(false)),
        ("ManagementStatus", management(device).into()),
    ])
}

fn management(device: &Subject<'_>) -> Dictionary {
    dictionary([
        ("EnrolledViaDEP", Value::Boolean(false)),
        ("IsUserEnrollment", Value::Boolean(false)),
        ("UserApprovedEnrollment", Value::Boolean(true)),
        (
            "IsActivationLockManageable",
            Value::Boolean(device.traits.supervised),
        ),
    ])
}
