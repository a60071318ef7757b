//! What devices answer, held against Apple's schema in `tests/data/commands.csv`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use mdmstorm::condition::Conditions;
use mdmstorm::device::execution::{self, Effect, Inventory, Outcome, Subject};
use mdmstorm::device::traits::{BackOff, Platform, ReplyTimes, Traits};
use mdmstorm::fact::ResultStatus;
use mdmstorm::ids::{Channel, CommandUuid, Crowd, CrowdId, DeviceId, hex_lower};
use mdmstorm::protocol::access_right::{AccessRights, needed};
use mdmstorm::protocol::command::{Command, encode_command};
use mdmstorm::protocol::plist::encode;
use mdmstorm::protocol::request_types::{self, RequestType, System, never_not_now, version};
use mdmstorm::protocol::status_report::{Status, StatusReport};
use mdmstorm::seed::{Dist, Seed};
use plist::{Dictionary, Value};

const PLATFORMS: [(Platform, System, &str); 4] = [
    (Platform::Ipad, System::Ios, "ios"),
    (Platform::Iphone, System::Ios, "ios"),
    (Platform::Mac, System::Macos, "macos"),
    (Platform::AppleTv, System::Tvos, "tvos"),
];

/// The rows of the schema, by column name.
fn schema() -> Vec<BTreeMap<String, String>> {
    let file = include_str!("data/commands.csv");
    let mut lines = file.lines().map(fields);
    let head = lines.next().unwrap();
    lines
        .map(|line| head.iter().cloned().zip(line).collect())
        .collect()
}

/// The fields of a line; quotes keep commas together, and none are quoted themselves.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    for character in line.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}

/// The required keys in a column, with the name of their type.
fn required(column: &str) -> Vec<(&str, &str)> {
    column
        .split(';')
        .filter_map(|key| key.split_once("*:"))
        .collect()
}

fn exists(version: &str) -> bool {
    !matches!(version, "" | "n/a")
}

fn traits(platform: Platform) -> Traits {
    Traits {
        os_version: "27.0".into(),
        push_latency: Dist::ZERO,
        stored_push_delay: Dist::ZERO,
        wake_delay: Dist::ZERO,
        reply: ReplyTimes {
            usual: Dist::ZERO,
            by_request: BTreeMap::new(),
        },
        back_off: BackOff {
            initial: Duration::from_secs(10),
            max: Duration::from_secs(3600),
        },
        ..Traits::prompt("test", platform)
    }
}

/// Whose names the devices have.
static CROWD: LazyLock<Crowd> = LazyLock::new(|| Crowd::new(CrowdId([1; 4]), [2; 32]));

fn subject<'a>(id: u32, traits: &'a Traits, inventory: &'a Inventory) -> Subject<'a> {
    Subject {
        id: DeviceId(id),
        traits,
        os_version: &traits.os_version,
        crowd: &CROWD,
        rights: AccessRights::ALL,
        awaits_configuration: false,
        is_user_enrollment: false,
        seed: Seed(42),
        inventory,
    }
}

#[test]
fn a_command_needs_the_access_right_that_the_schema_names() {
    for row in schema() {
        let (name, right) = (&row["request_type"], &row["access_rights"]);
        // "X|None" is a right that some systems ask for and others do not: none is needed on all.
        let needs_none = right.is_empty() || right.contains("None") || right == "Special Case";
        let expected = (!needs_none).then(|| row["access_rights_bits"].parse().unwrap());
        assert_eq!(needed(name), expected, "{name} with {right}");
    }
    let (all, none) = (AccessRights::ALL, AccessRights(0));
    assert!(
        all.allow("DeviceLock") && !none.allow("DeviceLock") && none.allow("DeviceInformation")
    );
}

fn command(request_type: &str, keys: Vec<(&str, Value)>) -> Command {
    let mut command: Dictionary = keys
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    command.insert("RequestType".into(), request_type.into());
    Command::decode(&encode_command("UUID", &command)).unwrap()
}

fn profile(identifier: &str) -> Value {
    let profile: Dictionary = [
        ("PayloadIdentifier".to_owned(), Value::from(identifier)),
        ("PayloadUUID".to_owned(), Value::from("P-1")),
        ("PayloadType".to_owned(), Value::from("Configuration")),
    ]
    .into_iter()
    .collect();
    Value::Data(encode(&profile))
}

/// A value of a type, good enough for a key that is required.
fn sample(request_type: &str, kind: &str) -> Value {
    match kind {
        "string" => "text".into(),
        "data" if request_type == "InstallProfile" => profile("text"),
        "data" => Value::Data(vec![1]),
        "array" => Value::Array(Vec::new()),
        "dictionary" => Value::Dictionary(Dictionary::new()),
        other => panic!("no request key is required of type {other}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open")]
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) => "integer",
        Value::Real(_) => "real",
        Value::Data(_) => "data",
        Value::Array(_) => "array",
        Value::Dictionary(_) => "dictionary",
        other => panic!("{other:?} is in no answer"),
    }
}

fn code(outcome: &Outcome) -> Option<i64> {
    outcome.error_chain.first().map(|item| item.code)
}

/// What has to be on a device for a command to find it there.
fn provided() -> Inventory {
    let mut inventory = Inventory::default();
    let installed = execute_on(
        &inventory,
        Platform::Ipad,
        "InstallProfile",
        vec![("Payload", profile("text"))],
    );
    inventory.apply(installed.effect.unwrap());
    inventory.apply(Effect::ApplicationInstalled("text".into()));
    inventory
}

/// What a device answers that is in no condition.
fn execute(command: &Command, device: &Subject<'_>) -> Outcome {
    let refused = execution::refusal(command, device, Conditions::NONE);
    refused.unwrap_or_else(|| execution::execute(command, device))
}

fn execute_on(
    inventory: &Inventory,
    platform: Platform,
    request_type: &str,
    keys: Vec<(&str, Value)>,
) -> Outcome {
    let traits = traits(platform);
    execute(
        &command(request_type, keys),
        &subject(1, &traits, inventory),
    )
}

#[test]
fn every_result_carries_every_required_key_with_its_type_where_the_type_exists() {
    let inventory = provided();
    let mut answered = 0;
    for row in schema() {
        let name = row["request_type"].as_str();
        for (platform, _, column) in PLATFORMS {
            let keys = required(&row["request_keys"]);
            let keys = keys
                .iter()
                .map(|(key, kind)| (*key, sample(name, kind)))
                .collect();
            let outcome = execute_on(&inventory, platform, name, keys);
            if !exists(&row[column]) {
                assert_eq!(
                    (outcome.status, code(&outcome)),
                    (ResultStatus::Error, Some(12021)),
                    "{name} on {column}"
                );
                continue;
            }
            if name == "InstallApplication" {
                // None of the keys is required, but one of three has to say which app.
                assert_eq!(
                    (outcome.status, code(&outcome)),
                    (ResultStatus::Error, Some(12023))
                );
                continue;
            }
            assert_eq!(
                outcome.status,
                ResultStatus::Acknowledged,
                "{name} on {column}"
            );
            for (key, expected) in required(&row["response_keys"]) {
                let value = outcome.payload.get(key);
                assert_eq!(
                    value.map(kind),
                    Some(expected),
                    "{key} of {name} on {column}"
                );
            }
            answered += 1;
        }
    }
    assert!(answered > 150, "only {answered} results were looked at");
}

#[test]
fn the_table_says_what_the_schema_says() {
    let schema = schema();
    assert_eq!(schema.len(), request_types::ALL.len());
    assert!(request_types::ALL.is_sorted_by_key(|row| row.name));
    for row in &schema {
        let name = row["request_type"].as_str();
        let known = RequestType::of_name(name).unwrap();
        for (_, system, column) in PLATFORMS {
            let since = known.support(system).map(|support| support.since);
            let expected =
                exists(&row[column]).then(|| version(row[column].split(' ').next().unwrap()));
            assert_eq!(since, expected, "{name} on {column}");
            let supervised = known
                .support(system)
                .is_some_and(|support| support.supervised);
            let expected = exists(&row[column]) && row[&format!("supervised_{column}")] == "True";
            assert_eq!(supervised, expected, "{name} on {column}");
        }
        let named = |keys: &mut dyn Iterator<Item = request_types::Key>| -> Vec<String> {
            keys.map(|key| format!("{}:{}", key.name, format!("{:?}", key.kind).to_lowercase()))
                .collect()
        };
        let expected = |column: &str| -> Vec<String> {
            required(&row[column])
                .iter()
                .map(|(key, kind)| format!("{key}:{kind}"))
                .collect()
        };
        assert_eq!(
            named(&mut known.request_keys()),
            expected("request_keys"),
            "{name}"
        );
        assert_eq!(
            named(&mut known.response_keys()),
            expected("response_keys"),
            "{name}"
        );
        assert_eq!(
            never_not_now(true, name),
            row["never_notnow_ios"] == "yes",
            "{name}"
        );
        assert!(!never_not_now(false, name));
    }
}

#[test]
fn a_request_without_a_required_key_is_a_format_error() {
    let none = Inventory::default();
    for row in schema() {
        let name = row["request_type"].as_str();
        if required(&row["request_keys"]).is_empty() || !exists(&row["ios"]) {
            continue;
        }
        let outcome = execute_on(&none, Platform::Ipad, name, Vec::new());
        assert_eq!(outcome.status, ResultStatus::CommandFormatError, "{name}");
    }
    let mistyped = vec![("Queries", Value::from("UDID"))];
    let outcome = execute_on(&none, Platform::Ipad, "DeviceInformation", mistyped);
    assert_eq!(outcome.status, ResultStatus::CommandFormatError);
}

#[test]
fn what_a_device_does_not_know_is_an_error_that_says_so() {
    let none = Inventory::default();
    let on_mac = execute_on(&none, Platform::Mac, "Dance", Vec::new());
    assert_eq!(
        on_mac.error_chain[0].localized,
        "Unknown command: Dance <MDMClientError:91>"
    );
    let on_ipad = execute_on(&none, Platform::Ipad, "Dance", Vec::new());
    assert_eq!(code(&on_ipad), Some(12021));
    assert_eq!(on_ipad.error_chain[0].domain, "MCMDMErrorDomain");

    let mut old = traits(Platform::Ipad);
    old.os_version = "14.8.1".into();
    let outcome = execute(
        &command("DeclarativeManagement", vec![]),
        &subject(1, &old, &none),
    );
    assert_eq!(code(&outcome), Some(12021));

    let mut unsupervised = traits(Platform::Ipad);
    unsupervised.supervised = false;
    let outcome = execute(
        &command("RestartDevice", vec![]),
        &subject(1, &unsupervised, &none),
    );
    assert_eq!((code(&outcome), outcome.effect), (Some(12007), None));
}

#[test]
fn device_information_answers_what_was_asked_and_drops_the_rest() {
    let none = Inventory::default();
    let queries = |names: &[&str]| {
        vec![(
            "Queries",
            Value::Array(names.iter().map(|name| Value::from(*name)).collect()),
        )]
    };
    let responses = |platform, names: &[&str]| {
        let outcome = execute_on(&none, platform, "DeviceInformation", queries(names));
        outcome.payload["QueryResponses"]
            .as_dictionary()
            .unwrap()
            .clone()
    };
    let ipad = responses(
        Platform::Ipad,
        &["UDID", "OSVersion", "DeviceCapacity", "HostName", "Shoes"],
    );
    let keys: Vec<&str> = ipad.keys().map(String::as_str).collect();
    assert_eq!(keys, ["UDID", "OSVersion", "DeviceCapacity"]);
    assert_eq!(ipad["OSVersion"].as_string(), Some("27.0"));
    assert!(ipad["DeviceCapacity"].as_real().is_some());
    let television = responses(Platform::AppleTv, &["BatteryLevel", "WiFiMAC"]);
    assert_eq!(television.len(), 1);
}

#[test]
fn two_devices_of_one_model_differ_and_one_answers_the_same_twice() {
    let (traits, none) = (traits(Platform::Ipad), Inventory::default());
    let answer = |id| {
        execute(
            &command("InstalledApplicationList", vec![]),
            &subject(id, &traits, &none),
        )
    };
    assert_eq!(answer(1), answer(1));
    assert_ne!(answer(1), answer(2));
}

#[test]
fn a_profile_is_listed_from_its_installation_to_its_removal() {
    let mut inventory = Inventory::default();
    let listed = |inventory: &Inventory| {
        let outcome = execute_on(inventory, Platform::Ipad, "ProfileList", Vec::new());
        let list = outcome.payload["ProfileList"].as_array().unwrap().clone();
        let names = list.iter().map(|entry| {
            entry.as_dictionary().unwrap()["PayloadIdentifier"]
                .as_string()
                .unwrap()
                .to_owned()
        });
        names.collect::<Vec<_>>()
    };
    let remove = |inventory: &Inventory| {
        execute_on(
            inventory,
            Platform::Ipad,
            "RemoveProfile",
            vec![("Identifier", "wifi".into())],
        )
    };
    assert_eq!(listed(&inventory), ["mdmstorm.enrollment"]);
    assert_eq!(code(&remove(&inventory)), Some(12075));

    let installed = execute_on(
        &inventory,
        Platform::Ipad,
        "InstallProfile",
        vec![("Payload", profile("wifi"))],
    );
    inventory.apply(installed.effect.unwrap());
    assert_eq!(listed(&inventory), ["mdmstorm.enrollment", "wifi"]);

    let removed = remove(&inventory);
    assert_eq!(removed.status, ResultStatus::Acknowledged);
    inventory.apply(removed.effect.unwrap());
    assert_eq!(listed(&inventory), ["mdmstorm.enrollment"]);
}

#[test]
fn a_signed_profile_is_read_and_an_unreadable_one_fails_with_its_whole_chain() {
    let none = Inventory::default();
    let install = |payload: &[u8]| {
        execute_on(
            &none,
            Platform::Ipad,
            "InstallProfile",
            vec![("Payload", Value::Data(payload.to_vec()))],
        )
    };
    let unsigned = profile("wifi");
    let signed = [&[0x30, 0x80][..], unsigned.as_data().unwrap(), &[0, 0]].concat();
    assert_eq!(install(&signed).status, ResultStatus::Acknowledged);

    let chain = |payload: &[u8]| -> Vec<(String, i64)> {
        let chain = install(payload).error_chain;
        chain
            .into_iter()
            .map(|item| (item.domain.into_owned(), item.code))
            .collect()
    };
    let [top, below] = [
        ("MCProfileErrorDomain".to_owned(), 1009),
        ("MCInstallationErrorDomain".to_owned(), 4001),
    ];
    let cause = |code| ("MCProfileErrorDomain".to_owned(), code);
    assert_eq!(chain(b"rubbish"), [top.clone(), below.clone(), cause(1000)]);
    assert_eq!(chain(b"<plist><dict/></plist>"), [top, below, cause(1002)]);
}

#[test]
fn an_app_is_managed_from_its_installation_to_its_removal() {
    let mut inventory = Inventory::default();
    let named = |inventory: &Inventory, request_type| {
        execute_on(
            inventory,
            Platform::Iphone,
            request_type,
            vec![("Identifier", "com.example.app".into())],
        )
    };
    assert_eq!(code(&named(&inventory, "RemoveApplication")), Some(12029));
    let installed = named(&inventory, "InstallApplication");
    assert_eq!(installed.payload["State"].as_string(), Some("Installing"));
    inventory.apply(installed.effect.unwrap());
    let status = |inventory: &Inventory| {
        let outcome = execute_on(
            inventory,
            Platform::Iphone,
            "ManagedApplicationList",
            Vec::new(),
        );
        let list = outcome.payload["ManagedApplicationList"]
            .as_dictionary()
            .unwrap();
        list["com.example.app"].as_dictionary().unwrap()["Status"]
            .as_string()
            .unwrap()
            .to_owned()
    };
    assert_eq!(status(&inventory), "Managed");
    inventory.apply(named(&inventory, "RemoveApplication").effect.unwrap());
    assert_eq!(status(&inventory), "ManagedButUninstalled");
}

#[test]
fn commands_that_change_the_device_say_how() {
    let none = Inventory::default();
    let effect = |request_type| execute_on(&none, Platform::Mac, request_type, Vec::new()).effect;
    assert_eq!(effect("RestartDevice"), Some(Effect::Restart));
    assert_eq!(effect("ShutDownDevice"), Some(Effect::ShutDown));
    assert_eq!(effect("EraseDevice"), Some(Effect::Erase));
    let mut inventory = provided();
    inventory.apply(Effect::Erase);
    assert_eq!(inventory, none);
    assert_eq!(size_of::<Inventory>(), 8);
}

#[test]
fn an_outcome_becomes_a_report_that_names_device_and_command() {
    let outcome = execute_on(&Inventory::default(), Platform::Ipad, "Dance", Vec::new());
    let uuid = CommandUuid("UUID".into());
    let report = outcome
        .clone()
        .into_report("U".into(), None, Some(uuid.clone()));
    let report = StatusReport::decode(&report).unwrap();
    assert_eq!(
        (report.udid.as_ref(), report.status, report.uuid),
        ("U", Status::Error, Some(uuid))
    );
    assert_eq!(report.error_chain, outcome.error_chain);
}

/// Servers keep these: another version of mdmstorm gives the same to the same crowd and seed.
#[test]
fn the_names_of_a_device_and_what_is_drawn_for_it_stay_what_they_were() {
    let none = Inventory::default();
    let queries = [
        "UDID",
        "SerialNumber",
        "Model",
        "DeviceCapacity",
        "AvailableDeviceCapacity",
        "BatteryLevel",
        "WiFiMAC",
        "BluetoothMAC",
        "EthernetMAC",
        "IMEI",
    ];
    let queries = vec![("Queries", Value::Array(queries.map(Value::from).to_vec()))];
    let mut all = String::new();
    for platform in [Platform::Iphone, Platform::Mac, Platform::AppleTv] {
        let outcome = execute_on(&none, platform, "DeviceInformation", queries.clone());
        for (key, value) in outcome.payload["QueryResponses"].as_dictionary().unwrap() {
            all += &format!("{platform:?} {key} {value:?}\n");
        }
    }
    let (traits, none) = (traits(Platform::Ipad), Inventory::default());
    let crowd = subject(1, &traits, &none).crowd;
    let user = Channel {
        device: DeviceId(1),
        user: 2,
    };
    all += &format!("magic {}\n", crowd.magic(user, 3));
    all += &format!("user {}\n", crowd.user_id(user));
    all += &format!("token {}\n", hex_lower(&crowd.token(user, 3).0));
    insta::assert_snapshot!(all, @r#"
    Iphone UDID String("00008140-EC32F48F00000001")
    Iphone SerialNumber String("SIM330000001")
    Iphone Model String("MSIM64LL/A")
    Iphone DeviceCapacity Real(64.0)
    Iphone AvailableDeviceCapacity Real(9.92)
    Iphone BatteryLevel Real(0.18)
    Iphone WiFiMAC String("02:00:00:78:56:af")
    Iphone BluetoothMAC String("02:00:01:f1:75:17")
    Iphone IMEI String("005824200337116")
    Mac UDID String("00008140-EC32F48F00000001")
    Mac SerialNumber String("SIM330000001")
    Mac Model String("Mac14,2")
    Mac DeviceCapacity Real(64.0)
    Mac AvailableDeviceCapacity Real(9.92)
    Mac BatteryLevel Real(0.18)
    Mac WiFiMAC String("02:00:00:78:56:af")
    Mac BluetoothMAC String("02:00:01:f1:75:17")
    Mac EthernetMAC String("02:00:02:1c:73:d7")
    AppleTv UDID String("00008140-EC32F48F00000001")
    AppleTv SerialNumber String("SIM330000001")
    AppleTv Model String("MSIM64LL/A")
    AppleTv DeviceCapacity Real(64.0)
    AppleTv AvailableDeviceCapacity Real(9.92)
    AppleTv WiFiMAC String("02:00:00:78:56:af")
    AppleTv BluetoothMAC String("02:00:01:f1:75:17")
    AppleTv EthernetMAC String("02:00:02:1c:73:d7")
    magic 634A8296-BD5D-4690-9711-5373F99DC5FF
    user 74FCBD88-D092-4CC5-9C13-0C77B4FC318D
    token 0101010101000000010200000003000057e6328467a1571e380c50f99b1abf29
    "#);
}
