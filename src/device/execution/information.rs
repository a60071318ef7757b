//! DeviceInformation, and the settings that change what it says.

use std::cell::OnceCell;

use ::plist::{Dictionary, Value};

use super::{Effect, Outcome, Subject, Trait, dictionary, text, texts};
use crate::device::traits::{Platform, Traits};
use crate::ids::DeviceId;
use crate::protocol::access_right::AccessRights;
use crate::seed::Seed;

/// Answers what was asked for. Keys that are not known or do not exist on this platform are left
/// out without a word, as devices do.
pub(super) fn answer(request: &Dictionary, device: &Subject<'_>) -> Outcome {
    let asked = texts(request, "Queries").unwrap_or_default();
    let facts = Facts::of(device);
    let responses: Dictionary = asked
        .into_iter()
        .filter(|query| is_allowed(query, device.rights))
        .filter(|query| !(device.is_user_enrollment && names_the_device(query)))
        .filter_map(|query| Some((query.to_owned(), facts.response(query)?)))
        .collect();
    Outcome::acknowledged(dictionary([("QueryResponses", responses.into())]))
}

/// Acknowledges every setting; a new device name is kept.
pub(super) fn settings(request: &Dictionary) -> Outcome {
    let settings = request.get("Settings").and_then(Value::as_array);
    let name = settings
        .into_iter()
        .flatten()
        .filter_map(Value::as_dictionary)
        .filter(|setting| text(setting, "Item") == "DeviceName")
        .map(|setting| text(setting, "DeviceName"))
        .rfind(|name| !name.is_empty());
    match name {
        Some(name) => Outcome::done().with(Effect::Renamed(name.to_owned())),
        None => Outcome::done(),
    }
}

/// What a device is asked about. What was drawn for it is drawn when it is asked for, and once.
struct Facts<'a> {
    device: &'a Subject<'a>,
    storage_gb: OnceCell<(f64, f64)>,
    addresses: OnceCell<[u64; 3]>,
}

/// Sizes that are sold, in gigabytes.
const CAPACITIES_GB: [f64; 4] = [64.0, 128.0, 256.0, 512.0];

impl<'a> Facts<'a> {
    const fn of(device: &'a Subject<'a>) -> Self {
        Self {
            device,
            storage_gb: OnceCell::new(),
            addresses: OnceCell::new(),
        }
    }

    fn response(&self, query: &str) -> Option<Value> {
        let (device, traits) = (self.device, self.device.traits);
        let (is_mac, is_tv) = (
            traits.platform == Platform::Mac,
            traits.platform == Platform::AppleTv,
        );
        let is_handheld = !is_mac && !is_tv;
        let is_phone = traits.platform == Platform::Iphone;
        let when = |applies: bool, value: Value| applies.then_some(value);
        match query {
            "UDID" => Some(device.crowd.udid(device.id).into()),
            "SerialNumber" => Some(device.crowd.serial(device.id).into()),
            "DeviceName" => Some(name(device).into()),
            "OSVersion" => Some(device.os_version.into()),
            "BuildVersion" => traits.build_of(device.os_version).map(Into::into),
            "ModelName" => Some(traits.model_name.as_str().into()),
            "Model" | "ModelNumber" if !is_mac => Some(self.model_number().into()),
            "Model" | "ProductName" => Some(traits.product.as_str().into()),
            "DeviceCapacity" => Some(Value::Real(self.storage_gb().0)),
            "AvailableDeviceCapacity" => Some(Value::Real(self.storage_gb().1)),
            "BatteryLevel" if !is_tv => Some(Value::Real(self.battery())),
            "HasBattery" => when(is_mac, Value::Boolean(true)),
            "WiFiMAC" => Some(self.address(0).into()),
            "BluetoothMAC" => Some(self.address(1).into()),
            "EthernetMAC" if is_mac || is_tv => Some(self.address(2).into()),
            "IsSupervised" => Some(Value::Boolean(traits.supervised)),
            "AwaitingConfiguration" => Some(Value::Boolean(device.awaits_configuration)),
            "IsActivationLockEnabled" => when(!is_tv, Value::Boolean(false)),
            "IsDeviceLocatorServiceEnabled" => when(is_handheld, Value::Boolean(false)),
            "IsDoNotDisturbInEffect" => when(is_handheld, Value::Boolean(false)),
            "IsCloudBackupEnabled" => when(is_handheld, Value::Boolean(false)),
            "IsMDMLostModeEnabled" => when(is_handheld, Value::Boolean(false)),
            "IsMultiUser" => when(!is_tv, Value::Boolean(is_mac)),
            "IsNetworkTethered" => when(is_handheld, Value::Boolean(false)),
            "IsRoaming" => when(is_phone, Value::Boolean(false)),
            "PersonalHotspotEnabled" => when(is_phone, Value::Boolean(false)),
            "DataRoamingEnabled" => when(is_phone, Value::Boolean(false)),
            // 1: GSM; 0: none.
            "CellularTechnology" => when(is_handheld, Value::Integer(i64::from(is_phone).into())),
            "IMEI" if is_phone => Some(imei_of(self.addresses()).into()),
            "DiagnosticSubmissionEnabled" => when(is_handheld, Value::Boolean(false)),
            "AppAnalyticsEnabled" => when(is_handheld, Value::Boolean(false)),
            "iTunesStoreAccountIsActive" => Some(Value::Boolean(false)),
            "Languages" => when(is_tv || is_mac, Value::Array(vec!["en".into()])),
            "Locales" => when(is_tv, Value::Array(vec!["en_US".into()])),
            "TimeZone" => when(!is_mac, "America/New_York".into()),
            "HostName" | "LocalHostName" => when(is_mac, host_name(device).into()),
            "IsAppleSilicon" => when(is_mac, Value::Boolean(true)),
            "SupportsiOSAppInstalls" => when(is_mac, Value::Boolean(true)),
            "SupportsLOMDevice" => when(is_mac, Value::Boolean(false)),
            "PINRequiredForEraseDevice" => when(is_mac, Value::Boolean(false)),
            "PINRequiredForDeviceLock" => when(is_mac, Value::Boolean(false)),
            "SystemIntegrityProtectionEnabled" => when(is_mac, Value::Boolean(true)),
            "SoftwareUpdateDeviceID" => Some(traits.product.as_str().into()),
            _ => None,
        }
    }

    /// Its capacity and what is free of it, in gigabytes.
    fn storage_gb(&self) -> (f64, f64) {
        *self.storage_gb.get_or_init(|| {
            let mut storage = self.device.draw(Trait::Storage);
            let capacity = CAPACITIES_GB[storage.below(CAPACITIES_GB.len() as u64) as usize];
            (capacity, rounded(capacity * (0.05 + 0.85 * storage.unit())))
        })
    }

    fn battery(&self) -> f64 {
        rounded(0.1 + 0.9 * self.device.draw(Trait::Battery).unit())
    }

    fn addresses(&self) -> [u64; 3] {
        let drawn = || addresses(self.device.seed, self.device.id);
        *self.addresses.get_or_init(drawn)
    }

    fn address(&self, index: usize) -> String {
        let [_, a, b, c] = (self.addresses()[index] as u32).to_be_bytes();
        // 02: locally administered, so it collides with no real maker's.
        format!("02:00:{index:02x}:{a:02x}:{b:02x}:{c:02x}")
    }

    fn model_number(&self) -> String {
        format!("MSIM{}LL/A", self.storage_gb().0 as u32)
    }
}

/// Whether the answer would tell which device it is: a user enrolment keeps that to itself (Apple,
/// "User Enrollment and MDM").
fn names_the_device(query: &str) -> bool {
    matches!(
        query,
        "UDID" | "SerialNumber" | "IMEI" | "MEID" | "WiFiMAC" | "BluetoothMAC" | "EthernetMAC"
    )
}

/// Whether the rights let the server ask for it; what they do not is left out without a word
/// (archived MDM Protocol Reference).
fn is_allowed(query: &str, rights: AccessRights) -> bool {
    let right = match query {
        "UDID" | "AwaitingConfiguration" => return true,
        "WiFiMAC"
        | "BluetoothMAC"
        | "EthernetMAC"
        | "CellularTechnology"
        | "IMEI"
        | "MEID"
        | "IsRoaming"
        | "PersonalHotspotEnabled"
        | "DataRoamingEnabled"
        | "IsNetworkTethered" => AccessRights::NETWORK_INFORMATION,
        _ => AccessRights::DEVICE_INFORMATION,
    };
    rights.has(right)
}

fn addresses(seed: Seed, device: DeviceId) -> [u64; 3] {
    let mut addresses = super::draw(seed, device, Trait::Addresses);
    std::array::from_fn(|_| addresses.below(1 << 24))
}

/// 15 digits with the test code 00 in front, which no maker has.
pub fn imei(seed: Seed, device: DeviceId) -> String {
    imei_of(addresses(seed, device))
}

fn imei_of([_, head, tail]: [u64; 3]) -> String {
    format!("00{:013}", (head * 1_000_003 + tail) % 10_u64.pow(13))
}

fn name(device: &Subject<'_>) -> String {
    let given = device
        .inventory
        .contents()
        .and_then(|contents| contents.name.clone());
    given.unwrap_or_else(|| factory_name(device.traits, device.id))
}

/// The name of a device that nobody has named.
pub fn factory_name(traits: &Traits, id: DeviceId) -> String {
    let kind = match traits.platform {
        Platform::Ipad => "iPad",
        Platform::Iphone => "iPhone",
        Platform::Mac => "Mac",
        Platform::AppleTv => "Apple TV",
    };
    format!("{kind} {}", id.0)
}

fn host_name(device: &Subject<'_>) -> String {
    name(device).replace(' ', "-")
}

/// Two decimals, as a person would read it.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
