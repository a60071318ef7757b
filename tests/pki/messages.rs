//! Signed and enveloped messages.

use std::fs;

use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::pki::cms::MessageError;
use mdmstorm::engine::pki::enveloped_data::{Cipher, envelope, open};
use mdmstorm::engine::pki::keys::KeyKind;
use mdmstorm::engine::pki::profile_signature;
use mdmstorm::engine::pki::signature::SignatureError;
use mdmstorm::engine::pki::signed_data::{self, Signing, certificates_only, sign, sign_detached};

use crate::{KINDS, has_openssl, holder, openssl};

const CONTENT: &[u8] = b"<?xml version=\"1.0\"?><plist/>";

#[test]
fn openssl_verifies_what_is_signed() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("content"), CONTENT).unwrap();
    for kind in KINDS {
        let (key, certificate) = holder(kind, "own", dir);
        let (_, other) = holder(KeyKind::P256, "other", dir);
        let signing = Signing {
            key: &key,
            certificate: certificate.der(),
            others: &[other.der().to_vec()],
            at: wall_now(),
            attributes: &[],
        };
        let verify = "cms -verify -binary -noverify -inform DER -in message";
        fs::write(dir.join("message"), sign(CONTENT, &signing).unwrap()).unwrap();
        openssl(&format!("{verify} -out read"), dir);
        assert_eq!(fs::read(dir.join("read")).unwrap(), CONTENT, "{kind}");
        openssl("asn1parse -inform DER -in message", dir);
        let beside = sign_detached(CONTENT, &signing).unwrap();
        fs::write(dir.join("message"), beside).unwrap();
        openssl(&format!("{verify} -content content -out read"), dir);
        let carried = [certificate.der().to_vec(), other.der().to_vec()];
        fs::write(dir.join("message"), certificates_only(&carried)).unwrap();
        let said = openssl("pkcs7 -inform DER -in message -print_certs -noout", dir);
        assert!(
            said.contains("CN = own") && said.contains("CN = other"),
            "{said}"
        );
    }
}

#[test]
fn what_openssl_signs_is_verified() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    // Longer than a segment of a streamed message.
    let content = CONTENT.repeat(1000);
    fs::write(dir.join("content"), &content).unwrap();
    for kind in KINDS {
        holder(kind, "own", dir);
        // Ours does not say the identifier by which -keyid names it.
        openssl("req -x509 -key own.key -subj /CN=own -out own.pem", dir);
        for how in [
            "",
            " -md sha512",
            " -md sha384 -keyid",
            " -stream",
            " -stream -indef -keyid",
            " -noattr",
        ] {
            let sign = "cms -sign -binary -nodetach -signer own.pem -inkey own.key -outform DER";
            openssl(&format!("{sign} -in content -out message{how}"), dir);
            let mut message = fs::read(dir.join("message")).unwrap();
            let read = profile_signature::open(&message).unwrap();
            assert!(read.content == content, "{kind}{how}");
            assert_eq!(read.signer.as_deref(), Some("CN=own, signed by itself"));
            let middle = message.len() / 2;
            message[middle] ^= 1;
            let wrong = match how {
                " -noattr" => SignatureError::Wrong.into(),
                _ => MessageError::Digest,
            };
            assert_eq!(profile_signature::open(&message), Err(wrong), "{kind}{how}");
        }
    }
    holder(KeyKind::Rsa2048, "own", dir);
    let sign = "cms -sign -binary -signer own.pem -inkey own.key -outform DER -md sha1 -noattr";
    openssl(&format!("{sign} -in content -out message"), dir);
    let message = signed_data::read(&fs::read(dir.join("message")).unwrap()).unwrap();
    message.verify_detached(&content, &[]).unwrap();
    openssl(
        "crl2pkcs7 -nocrl -certfile own.pem -outform DER -out message",
        dir,
    );
    let message = signed_data::read(&fs::read(dir.join("message")).unwrap()).unwrap();
    assert_eq!(message.certificates().len(), 1);
}

#[test]
fn openssl_and_we_open_each_others_envelopes() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (key, certificate) = holder(KeyKind::Rsa2048, "own", dir);
    let content = CONTENT.repeat(1000);
    fs::write(dir.join("content"), &content).unwrap();
    for (cipher, name) in [
        (Cipher::Aes128, "aes-128-cbc"),
        (Cipher::Aes256, "aes-256-cbc"),
        (Cipher::TripleDes, "des-ede3-cbc"),
        (Cipher::Des, "des-cbc"),
    ] {
        let legacy = "-provider default -provider legacy";
        let sealed = envelope(&content, &certificate, cipher).unwrap();
        fs::write(dir.join("message"), sealed).unwrap();
        let decrypt = "cms -decrypt -binary -inform DER -in message -inkey own.key -recip own.pem";
        openssl(&format!("{decrypt} -out read {legacy}"), dir);
        assert_eq!(fs::read(dir.join("read")).unwrap(), content);
        for how in ["", " -stream"] {
            let encrypt = "cms -encrypt -binary -in content -outform DER -out message";
            openssl(&format!("{encrypt} -{name}{how} {legacy} own.pem"), dir);
            let message = fs::read(dir.join("message")).unwrap();
            let read = open(&message, &key, &certificate);
            assert!(read.unwrap() == content, "{name}{how}");
        }
    }
    openssl(
        "cms -encrypt -binary -in content -outform DER -out message -aes-128-gcm own.pem",
        dir,
    );
    let message = fs::read(dir.join("message")).unwrap();
    let refused = open(&message, &key, &certificate).unwrap_err();
    assert!(
        refused.to_string().contains("AuthEnvelopedData"),
        "{refused}"
    );
}
