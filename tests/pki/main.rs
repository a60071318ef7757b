//! What is written for public keys here is judged by OpenSSL, what OpenSSL writes is read here, and
//! SCEP is spoken with micromdm/scep. Skipped, with a word, where they are not at hand.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod messages;
mod requests;
mod scep;

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::pki::certificate::Certificate;
use mdmstorm::engine::pki::draft::self_signed;
use mdmstorm::engine::pki::keys::{DeviceKey, KeyKind};
use mdmstorm::engine::pki::name::Name;

/// The kinds of keys that are tried; RSA of 4096 bits takes seconds to make.
const KINDS: [KeyKind; 4] = [
    KeyKind::Rsa2048,
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::P521,
];

/// Whether there is an `openssl`; says so when there is none.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        println!("skipped: openssl is not installed");
    }
    found
}

/// What `openssl` says to these arguments, which are split at spaces.
fn openssl(arguments: &str, dir: &Path) -> String {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "openssl {arguments}: {said}");
    said
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A key and its self-signed certificate, also as `NAME.key` and `NAME.pem` in the folder.
fn holder(kind: KeyKind, name: &str, dir: &Path) -> (DeviceKey, Certificate) {
    let key = DeviceKey::generate(kind).unwrap();
    let subject = Name::common(name).to_der().unwrap();
    let certificate = self_signed(&key, &subject, wall_now()).unwrap();
    let file = |end: &str| dir.join(format!("{name}.{end}"));
    fs::write(file("key"), pem("PRIVATE KEY", key.pkcs8())).unwrap();
    fs::write(file("pem"), pem("CERTIFICATE", &certificate)).unwrap();
    (key, Certificate::read(&certificate).unwrap())
}
