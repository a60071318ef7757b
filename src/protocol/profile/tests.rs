//! What is honoured, what is reported, what is refused; and that what is written can be read.

use std::time::Duration;

use proptest::prelude::*;

use super::super::plist::tests::{any_dictionary, any_text};
use super::*;

fn mdm() -> MdmPayload {
    MdmPayload {
        server_url: "https://mdm.example.com/mdm".to_owned(),
        checkin_url: None,
        topic: "com.apple.mgmt.External.1".to_owned(),
        identity_uuid: "SCEP-1".to_owned(),
        sign_message: true,
        access_rights: 8191,
        check_out_when_removed: true,
        capabilities: vec![MdmPayload::BOOTSTRAP_TOKEN.to_owned()],
        is_user_enrollment: false,
        account: None,
        server_pins: Vec::new(),
        checkin_pins: Vec::new(),
    }
}

fn scep() -> ScepPayload {
    ScepPayload {
        url: "https://mdm.example.com/scep".to_owned(),
        ca_name: None,
        subject: Subject::parse("O=Example/CN=%SerialNumber%").unwrap(),
        alt_names: Vec::new(),
        challenge: Some("secret".to_owned()),
        key_size: 2048,
        key_usage: 5,
        fingerprint: None,
        retries: 3,
        retry_delay: Duration::from_secs(10),
    }
}

fn profile() -> Profile {
    Profile {
        identifier: "com.example.enroll".to_owned(),
        uuid: "P-1".to_owned(),
        mdm: Some(mdm()),
        identities: vec![("SCEP-1".to_owned(), Identity::Scep(scep()))],
        ..Profile::default()
    }
}

/// The profile with one key of its MDM payload changed; `None` removes it.
fn with(key: &str, value: Option<Value>) -> Vec<u8> {
    edit(1, |payload| match value {
        Some(value) => drop(payload.insert(key.into(), value)),
        None => drop(payload.remove(key)),
    })
}

/// The profile with one of its payloads changed: 0 is SCEP, 1 is MDM.
fn edit(index: usize, change: impl FnOnce(&mut Dictionary)) -> Vec<u8> {
    let mut root = plist::decode(&profile().encode()).unwrap();
    let root = root.as_dictionary_mut().unwrap();
    let payloads = root
        .get_mut("PayloadContent")
        .unwrap()
        .as_array_mut()
        .unwrap();
    change(payloads[index].as_dictionary_mut().unwrap());
    plist::encode(root)
}

fn enrollment(body: &[u8]) -> Result<EnrollmentProfile, ProfileError> {
    Profile::decode(body).and_then(Profile::enrollment)
}

fn refused(body: &[u8]) -> (&'static str, String) {
    let error = enrollment(body).unwrap_err();
    (error.name(), error.to_string())
}

#[test]
fn an_empty_topic_says_what_it_means_for_pushes() {
    for topic in [Some(Value::from("")), Some(Value::from("  ")), None] {
        let (name, what) = refused(&with("Topic", topic));
        assert_eq!(name, "no-topic");
        assert!(what.contains("no push would ever reach"), "{what}");
    }
    let (name, what) = refused(&with("Topic", Some("com.example".into())));
    assert_eq!(name, "impossible-payload");
    assert!(what.contains("would not listen for pushes"), "{what}");
}

#[test]
fn a_payload_that_no_device_could_use_is_refused() {
    let cases: [(&str, Option<Value>, &str); 10] = [
        (
            "ServerURL",
            Some("http://mdm.example.com".into()),
            "https:// URLs alone",
        ),
        ("ServerURL", None, "has no ServerURL"),
        (
            "CheckInURL",
            Some("https:///mdm".into()),
            "https:// URLs alone",
        ),
        (
            "IdentityCertificateUUID",
            Some("other".into()),
            "identities are SCEP-1",
        ),
        ("SignMessage", Some("yes".into()), "a boolean is wanted"),
        (
            "AccessRights",
            Some(Value::Integer(0.into())),
            "from 1 to 8191",
        ),
        (
            "AccessRights",
            Some(Value::Integer(2.into())),
            "needs 1, to list",
        ),
        (
            "AccessRights",
            Some(Value::Integer(9000.into())),
            "from 1 to 8191",
        ),
        ("EnrollmentMode", Some("home".into()), "it is BYOD or ADDE"),
        (
            mdm::SERVER_PINS,
            Some(Value::Array(vec!["pin".into()])),
            "no certificate of this profile",
        ),
    ];
    for (key, value, expected) in cases {
        let (name, what) = refused(&with(key, value));
        assert_eq!(name, "impossible-payload", "{key}");
        assert!(what.contains(expected), "{key}: {what}");
    }
}

#[test]
fn what_changes_nothing_is_reported_with_the_reason() {
    let body = edit(1, |payload| {
        payload.insert("RequiredAppIDForMDM".into(), Value::Integer(1.into()));
        payload.insert("FutureKey".into(), true.into());
        payload.remove("AccessRights");
    });
    let ignored = enrollment(&body).unwrap().ignored;
    let whats: Vec<&str> = ignored.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(
        whats,
        [
            "com.apple.mdm AccessRights",
            "com.apple.mdm FutureKey",
            "com.apple.mdm RequiredAppIDForMDM"
        ]
    );
}

#[test]
fn keys_of_scep_are_checked() {
    let with = |key: &str, value: Value| {
        edit(0, |payload| {
            let content = payload.get_mut("PayloadContent").unwrap();
            let content = content.as_dictionary_mut().unwrap();
            content.insert(key.into(), value);
        })
    };
    let subject = Value::Array(vec![Value::Array(vec![Value::Array(vec![
        "CN".into(),
        "a".into(),
        "b".into(),
    ])])]);
    let cases: [(&str, Value, &str); 6] = [
        ("Keysize", Value::Integer(512.into()), "2048 and 4096"),
        ("Key Type", "EC".into(), "RSA keys alone"),
        ("Key Usage", Value::Integer(9.into()), "5 is both"),
        ("CAFingerprint", Value::Data(vec![1; 3]), "SHA-256 has 32"),
        ("URL", "ftp://a".into(), "http:// and https://"),
        ("Subject", subject, "no pair of strings"),
    ];
    for (key, value, expected) in cases {
        let (name, what) = refused(&with(key, value));
        assert_eq!(name, "impossible-payload", "{key}");
        assert!(what.contains(expected), "{key}: {what}");
    }
    let small = enrollment(&with("Keysize", Value::Integer(1024.into()))).unwrap();
    let Identity::Scep(small_scep) = small.identity else {
        panic!("the profile has SCEP");
    };
    assert_eq!(small_scep.key_size, 2048);
    assert_eq!(small.ignored[0].what, "com.apple.security.scep Keysize");
}

#[test]
fn variables_of_apple_are_expanded_on_a_mac_alone() {
    let mut names = Names {
        udid: "U-1".to_owned(),
        serial: "S-1".to_owned(),
        number: "7".to_owned(),
        computer_name: "Anna's Mac".to_owned(),
        is_mac: true,
    };
    let text = "100% %ComputerName% (%SerialNumber%) %HardwareUUID% $SERIALNUMBER %Other%";
    assert_eq!(
        names.expand(text),
        "100% Anna's Mac (S-1) U-1 $SERIALNUMBER %Other%"
    );
    names.is_mac = false;
    assert_eq!(names.expand(text), text);
    assert_eq!(names.fill("{udid}/{serial}/{n}/{x}{"), "U-1/S-1/7/{x}{");
}

#[test]
fn a_service_payload_is_answered_with_what_it_asks_for() {
    let service = ServicePayload {
        identifier: "com.example.ota".to_owned(),
        uuid: "O-1".to_owned(),
        url: "https://mdm.example.com/ota".to_owned(),
        challenge: Some("c".into()),
        attributes: vec!["UDID".to_owned(), "IMEI".to_owned()],
    };
    let read = Document::decode(&service.encode()).unwrap();
    assert_eq!(read, Document::Service(service.clone()));
    let known = [("UDID", "U-1".to_owned()), ("SERIAL", "S-1".to_owned())];
    let answer = service.answer(&known.into_iter().collect());
    let answer: Vec<(String, String)> = attributes(&answer).unwrap().into_iter().collect();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(answer, [pair("CHALLENGE", "c"), pair("UDID", "U-1")]);
}

#[test]
fn pinned_and_trusted_certificates_are_found() {
    let mut profile = profile();
    let certificate = |uuid: &str, kind, last| Certificate {
        uuid: uuid.to_owned(),
        kind,
        der: vec![0x30, 1, last],
    };
    profile.certificates = vec![
        certificate("A", CertificateKind::Root, 1),
        certificate("B", CertificateKind::Pem, 2),
    ];
    profile.mdm.as_mut().unwrap().server_pins = vec!["b".to_owned()];
    let read = enrollment(&profile.encode()).unwrap();
    assert_eq!(read.server_pins, [vec![0x30, 1, 2]]);
    assert_eq!(read.trusted.len(), 2);
}

/// More than 32 names of a kind were said to be no names in ASCII.
#[test]
fn too_many_alternative_names_are_refused_as_that() {
    let names = |count: usize| {
        edit(0, |given| {
            let name = |n| ::plist::Value::from(format!("{n}.example.com"));
            let names = ::plist::Value::Array((0..count).map(name).collect());
            let content = given.get_mut("PayloadContent").unwrap();
            let content = content.as_dictionary_mut().unwrap();
            let kinds = [("dNSName".to_owned(), names)].into_iter().collect();
            content.insert("SubjectAltName".into(), ::plist::Value::Dictionary(kinds));
        })
    };
    assert!(enrollment(&names(32)).is_ok());
    let refused = enrollment(&names(33)).unwrap_err().to_string();
    assert!(refused.contains("33 of dNSName"), "{refused}");
    assert!(refused.contains("at most 32"), "{refused}");
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let oid = prop_oneof![
        Just("2.5.4.3".to_owned()),
        Just("2.5.4.10".to_owned()),
        Just("1.2.840.113549.1.9.1".to_owned()),
    ];
    let part = prop::collection::vec((oid, any_text()), 0..3);
    prop::collection::vec(part, 0..4).prop_map(Subject)
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        subject in any_subject(),
        challenge in "[!-~]{1,20}",
        rights in prop_oneof![Just(1_u16), Just(8191), Just(3)],
        (sign, byod) in any::<(bool, bool)>(),
        key in prop_oneof![Just(Key::Ec(256)), Just(Key::Ec(384)), Just(Key::Rsa(4096))],
    ) {
        let mut written = profile();
        let payload = written.mdm.as_mut().unwrap();
        payload.sign_message = sign;
        payload.is_user_enrollment = byod;
        payload.access_rights = if byod { 8191 } else { rights };
        let scep = ScepPayload { subject: subject.clone(), challenge: Some(challenge), ..scep() };
        let acme = AcmePayload {
            directory: "https://mdm.example.com/acme".to_owned(),
            client_identifier: "S-1".to_owned(),
            key,
            hardware_bound: matches!(key, Key::Ec(_)),
            attest: matches!(key, Key::Ec(_)),
            subject,
            alt_names: vec![AltName::Dns("a".to_owned()), AltName::Dns("b".to_owned())],
        };
        let pkcs12 = Pkcs12Payload { content: vec![0x30, 0], password: "p".to_owned() };
        written.identities = vec![
            ("A".to_owned(), Identity::Acme(acme)),
            ("SCEP-1".to_owned(), Identity::Scep(scep)),
            ("P".to_owned(), Identity::Pkcs12(pkcs12)),
        ];
        let mut read = Profile::decode(&written.encode()).unwrap();
        read.ignored.clear();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn no_property_list_is_too_odd_to_be_refused(root in any_dictionary(), payload in any_dictionary()) {
        let _ = Document::decode(&plist::encode(&root));
        for index in [0, 1] {
            let body = edit(index, |given| {
                for (key, value) in &payload {
                    given.insert(key.clone(), value.clone());
                }
            });
            let _ = enrollment(&body);
        }
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Document::decode(&bytes).is_err());
    }

    #[test]
    fn a_subject_is_read_as_it_is_shown(subject in any_subject()) {
        let plain = subject.0.iter().flatten().all(|(_, value)| !value.is_empty() && !value.contains('/'));
        let single = subject.0.iter().all(|part| part.len() == 1);
        prop_assume!(plain && single);
        prop_assert_eq!(Subject::parse(&subject.to_string()).unwrap(), subject);
    }
}
