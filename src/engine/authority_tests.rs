//! What an authority signs, and what is no authority.

use super::*;

const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

#[test]
fn a_push_certificate_names_its_topic() {
    let (authority, _) = Authority::create("test", NOW).unwrap();
    let topic = "com.apple.mgmt.External.5d0ac163-7b1d-4b9e-a1c0-1f0a3a1d3a4e";
    let push = authority.push_certificate(topic, NOW).unwrap();
    assert_eq!(topic_of(&push.chain[0]).as_deref(), Some(topic));
    assert_eq!(topic_of(authority.certificate()), None);
    let validity = Validity::of_certificate(&push.chain[0]).unwrap();
    assert!(validity.contains(NOW));
    assert_eq!(validity.from.unix_seconds(), NOW.unix_seconds() - 3600);
}

#[test]
fn an_rsa_push_certificate_has_its_key_in_pkcs1() {
    let (authority, _) = Authority::create("test", NOW).unwrap();
    let topic = "com.apple.mgmt.External.5d0ac163-7b1d-4b9e-a1c0-1f0a3a1d3a4e";
    let push = authority.rsa_push_certificate(topic, NOW).unwrap();
    assert_eq!(topic_of(&push.chain[0]).as_deref(), Some(topic));
    let key = push.key_pem();
    assert!(
        key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"),
        "{key}"
    );
    let read = Credential::from_pem(&push.certificates_pem(), &key).unwrap();
    assert_eq!(read.key, push.key);
    crate::engine::identity::certified(&read)
        .unwrap()
        .keys_match()
        .unwrap();
    let curve = authority.push_certificate(topic, NOW).unwrap();
    assert!(curve.with_pkcs1().is_none(), "it is no RSA key");
}

#[test]
fn the_gateways_certificate_answers_to_every_name_a_server_may_use() {
    use rustls::pki_types::ServerName;
    let (authority, _) = Authority::create("test", NOW).unwrap();
    let leaf = authority.server_certificate(&GATEWAY_NAMES, NOW).unwrap();
    let leaf = rustls::server::ParsedCertificate::try_from(&leaf.chain[0]).unwrap();
    let answers = |name: &str| {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        rustls::client::verify_server_name(&leaf, &name).is_ok()
    };
    for name in [
        "api.push.apple.com",
        "api.sandbox.push.apple.com",
        "api.development.push.apple.com",
        "localhost",
        "127.0.0.1",
        "::1",
    ] {
        assert!(answers(name), "{name}");
    }
    assert!(!answers("mdm.example.com") && !answers("127.0.0.2"));
}

#[test]
fn an_authority_is_read_back_from_its_pem() {
    let (made, key) = Authority::create("test", NOW).unwrap();
    let read = Authority::load(&made.certificate_pem(), &key, NOW).unwrap();
    assert_eq!(read.certificate(), made.certificate());
}

/// MicroMDM keeps the key of its SCEP authority as PKCS#1, and `openssl ecparam -genkey` writes SEC 1:
/// the one was refused with "expected PKCS#8".
#[test]
fn an_authority_is_read_with_its_key_in_the_older_forms() {
    let kinds = [
        (KeyKind::Rsa2048, "RSA PRIVATE KEY"),
        (KeyKind::P256, "EC PRIVATE KEY"),
        (KeyKind::P384, "EC PRIVATE KEY"),
    ];
    for (kind, label) in kinds {
        let (made, key) = Authority::create_of(kind, "test", NOW).unwrap();
        let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = pem(label, older_form(key.secret_pkcs8_der()).as_bytes());
        let read = Authority::load(&made.certificate_pem(), &key, NOW).unwrap();
        assert!(read.server_certificate(&LOCAL_NAMES, NOW).is_ok(), "{kind}");
    }
}

/// What stands inside PKCS#8: PKCS#1 or SEC 1.
fn older_form(pkcs8: &[u8]) -> &OctetStringRef {
    let inner = SliceReader::new(pkcs8).unwrap().sequence(|pkcs8| {
        u8::decode(pkcs8)?;
        AlgorithmIdentifierRef::decode(pkcs8)?;
        let key = <&OctetStringRef>::decode(pkcs8)?;
        pkcs8.read_slice(pkcs8.remaining_len())?;
        Ok::<_, der::Error>(key)
    });
    inner.unwrap()
}

#[test]
fn an_authority_that_cannot_sign_is_refused() {
    let (one, key) = Authority::create("one", NOW).unwrap();
    let (_, other_key) = Authority::create("two", NOW).unwrap();
    let load = |certificate: &str, key: &str, now| {
        Authority::load(certificate, key, now)
            .unwrap_err()
            .to_string()
    };
    assert!(load(&one.certificate_pem(), &other_key, NOW).contains("does not belong"));
    assert!(load("garbage", &key, NOW).contains("no certificate"));
    assert!(load(&one.certificate_pem(), "garbage", NOW).contains("no usable private key"));
    let leaf = one.server_certificate(&LOCAL_NAMES, NOW).unwrap();
    let refused = load(&leaf.certificates_pem(), &leaf.key_pem(), NOW);
    assert!(refused.contains("not an authority"), "{refused}");
    let later = WallTime::from_unix_micros(NOW.unix_micros() * 2);
    assert!(load(&one.certificate_pem(), &key, later).contains("not valid at"));
}
