//! What is minted and signed here, judged by OpenSSL. Skipped, with a word, where it is not at hand.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use mdmstorm::engine::authority::Credential;
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::identity::{Identities, certified};
use mdmstorm::engine::pki::draft::self_signed;
use mdmstorm::engine::pki::keys::{DeviceKey, KeyKind};
use mdmstorm::engine::pki::name::Name;
use mdmstorm::engine::state::State;
use mdmstorm::engine::{authority, cms};
use mdmstorm::ids::DeviceId;
use mdmstorm::time::WallTime;
use rustls::SignatureAlgorithm;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// What `openssl` says; `None` when there is none.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn openssl(arguments: &[&str], dir: &Path) -> Option<String> {
    let Ok(output) = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
    else {
        println!("skipped: openssl is not installed");
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
    Some(said)
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn openssl_accepts_the_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, now) = (folder.path(), wall_now());
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let state = State::open(dir).unwrap();
    let ca = &state.device_authority;
    let identities =
        Identities::mint(ca, &state.crowd, &[DeviceId(3)], now, NonZeroUsize::MIN).unwrap();
    let leaf = identities.certificate_der(DeviceId(3)).unwrap();
    std::fs::write(dir.join("leaf.pem"), pem(&leaf)).unwrap();
    let server = ca
        .server_certificate(&authority::GATEWAY_NAMES, now)
        .unwrap();
    std::fs::write(dir.join("server.pem"), server.certificates_pem()).unwrap();
    let verify = |ca: &str, purpose: &str, file: &str| {
        openssl(
            &[
                "verify",
                "-x509_strict",
                "-CAfile",
                ca,
                "-purpose",
                purpose,
                file,
            ],
            dir,
        )
    };
    verify("device-ca.pem", "sslclient", "leaf.pem");
    verify("device-ca.pem", "sslserver", "server.pem");
    verify("apns-ca.pem", "sslclient", "push.pem");
    if let Some(text) = openssl(&["x509", "-in", "push.pem", "-noout", "-subject"], dir) {
        assert!(text.contains(&format!("UID = {}", state.topic)), "{text}");
    }
    openssl(&["pkey", "-in", "push.key", "-noout", "-check"], dir);
}

#[test]
fn openssl_accepts_the_signature() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, now) = (folder.path(), wall_now());
    let (ca, _) = authority::Authority::create("test", now).unwrap();
    let device = ca.device_certificate("UDID", now).unwrap();
    let body = b"<plist><dict/></plist>";
    std::fs::write(dir.join("body"), body).unwrap();
    std::fs::write(dir.join("ca.pem"), ca.certificate_pem()).unwrap();
    // One that was issued here, and one as SCEP gives them.
    for identity in [device, by_scep(now)] {
        let header = cms::mdm_signature(body, &certified(&identity).unwrap(), now).unwrap();
        let der = base64::engine::general_purpose::STANDARD
            .decode(header)
            .unwrap();
        std::fs::write(dir.join("signature.der"), der).unwrap();
        let is_rsa = certified(&identity).unwrap().key.algorithm() == SignatureAlgorithm::RSA;
        let trust = match is_rsa {
            false => "-CAfile ca.pem -purpose sslclient",
            true => "-noverify",
        };
        let arguments = format!(
            "cms -verify -binary -inform DER -in signature.der -content body {trust} \
             -signer signer.pem -out verified"
        );
        openssl(&arguments.split_whitespace().collect::<Vec<_>>(), dir);
        let parsed = ["asn1parse", "-inform", "DER", "-in", "signature.der"];
        if let Some(said) = openssl(&parsed, dir) {
            assert!(said.contains("signingTime"), "{said}");
            assert_eq!(said.contains("rsaEncryption"), is_rsa, "{said}");
        }
    }
}

/// An identity with an RSA key.
fn by_scep(now: WallTime) -> Credential {
    let key = DeviceKey::generate(KeyKind::Rsa2048).unwrap();
    let subject = Name::common("UDID").to_der().unwrap();
    let certificate = self_signed(&key, &subject, now).unwrap();
    Credential {
        chain: vec![CertificateDer::from(certificate)],
        key: PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()).into(),
    }
}

#[test]
fn a_signature_made_by_openssl_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, now) = (folder.path(), wall_now());
    let (ca, _) = authority::Authority::create("test", now).unwrap();
    let device = ca.device_certificate("UDID", now).unwrap();
    let body = b"<plist><dict/></plist>";
    std::fs::write(dir.join("body"), body).unwrap();
    std::fs::write(dir.join("device.pem"), device.certificates_pem()).unwrap();
    std::fs::write(dir.join("device.key"), device.key_pem()).unwrap();
    let rsa = "req -x509 -newkey rsa:2048 -nodes -subj /CN=rsa -keyout rsa.key -out rsa.pem";
    if openssl(&rsa.split_whitespace().collect::<Vec<_>>(), dir).is_none() {
        return;
    }
    for (signer, form) in [
        ("device", "-binary"),
        ("rsa", "-keyid"),
        ("device", "-stream"),
        ("rsa", "-binary"),
    ] {
        let (certificate, key) = (format!("{signer}.pem"), format!("{signer}.key"));
        let arguments = format!(
            "cms -sign -binary -md sha256 -outform DER -in body -out s.der \
             -signer {certificate} -inkey {key} {form}"
        );
        openssl(&arguments.split_whitespace().collect::<Vec<_>>(), dir);
        let der = std::fs::read(dir.join("s.der")).unwrap();
        let header = base64::engine::general_purpose::STANDARD.encode(der);
        let signed = cms::verify(&header, body).unwrap_or_else(|e| panic!("{signer} {form}: {e}"));
        assert!(signed.signing_time.is_some());
        assert!(cms::verify(&header, b"another").is_err());
    }
}
