//! Requests, certificates and files of identities.

use std::fs;
use std::time::Duration;

use mdmstorm::engine::authority::{Authority, Term};
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::pki::certificate::Certificate;
use mdmstorm::engine::pki::draft::{ENCIPHER, SIGN};
use mdmstorm::engine::pki::keys::{DeviceKey, KeyKind};
use mdmstorm::engine::pki::name::{AlternativeName, Attribute, Name};
use mdmstorm::engine::pki::pkcs12::{Pkcs12, Pkcs12Error};
use mdmstorm::engine::pki::request::{Request, Wish};

use crate::{KINDS, has_openssl, holder, openssl, pem};

fn attribute(kind: &str, value: &str) -> Attribute {
    Attribute {
        kind: kind.to_owned(),
        value: value.to_owned(),
    }
}

#[test]
fn openssl_reads_the_requests_and_what_is_issued_for_them() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let now = wall_now();
    let name = Name {
        parts: vec![
            vec![attribute("C", "US")],
            vec![attribute("OU", "one")],
            vec![attribute("OU", "two")],
            vec![attribute("CN", "Gerät 1"), attribute("1.2.5.3", "x")],
        ],
    };
    let subject = name.to_der().unwrap();
    let names = [
        AlternativeName::Host("a.example".to_owned()),
        AlternativeName::Mail("a@example".to_owned()),
        AlternativeName::Address("urn:a".to_owned()),
        AlternativeName::Principal("a@domain".to_owned()),
    ];
    let wish = Wish {
        subject: &subject,
        challenge: Some("s3cret-challenge"),
        alternative_names: &names,
        key_usage: SIGN | ENCIPHER,
    };
    for kind in KINDS {
        let key = DeviceKey::generate(kind).unwrap();
        let request = wish.sign(&key).unwrap();
        fs::write(dir.join("request"), &request).unwrap();
        let said = openssl("req -verify -inform DER -in request -noout -text", dir);
        for part in [
            "verify OK",
            "challengePassword        :s3cret-challenge",
            "DNS:a.example, email:a@example, URI:urn:a",
            "Digital Signature, Key Encipherment",
            "OU = one, OU = two",
        ] {
            assert!(said.contains(part), "{kind}: no {part} in {said}");
        }
        openssl("asn1parse -inform DER -in request", dir);

        let (authority, _) = Authority::create_of(kind, "CA", now).unwrap();
        let term = Term {
            now,
            back_date: Duration::ZERO,
            life: Duration::from_secs(3600),
        };
        let request = Request::read(&request).unwrap();
        let issued = authority.issue_csr(&request, term).unwrap();
        fs::write(dir.join("ca.pem"), authority.certificate_pem()).unwrap();
        fs::write(dir.join("leaf.pem"), pem("CERTIFICATE", &issued)).unwrap();
        openssl(
            "verify -x509_strict -purpose sslclient -CAfile ca.pem leaf.pem",
            dir,
        );
        let said = openssl("x509 -in leaf.pem -noout -text", dir);
        assert!(said.contains("DNS:a.example"), "{said}");
    }
}

#[test]
fn a_request_written_by_openssl_is_read() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let settings = "[req]\nprompt = no\ndistinguished_name = dn\nattributes = at\nreq_extensions = ex\n\
                    [dn]\nCN = theirs\n[at]\nchallengePassword = theirs too\n\
                    [ex]\nsubjectAltName = DNS:b.example, IP:10.0.0.1\n1.2.3.4 = ASN1:NULL\n";
    fs::write(dir.join("settings"), settings).unwrap();
    openssl(
        "req -new -newkey rsa:2048 -nodes -keyout k -config settings -outform DER -out r",
        dir,
    );
    let read = Request::read(&fs::read(dir.join("r")).unwrap()).unwrap();
    assert_eq!(read.common_name().as_deref(), Some("theirs"));
    assert_eq!(read.challenge.as_deref(), Some("theirs too"));
}

#[test]
fn identities_written_by_openssl_are_read() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (_, other) = holder(KeyKind::P256, "other", dir);
    for kind in [KeyKind::Rsa2048, KeyKind::P256] {
        let (key, certificate) = holder(kind, "own", dir);
        for how in [
            "",
            " -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
            " -keypbe AES-128-CBC -certpbe NONE -macalg sha512 -iter 3000",
            " -nomac",
        ] {
            let export = "pkcs12 -export -inkey own.key -in own.pem -certfile other.pem";
            openssl(&format!("{export} -out p12 -passout pass:gehäim{how}"), dir);
            let file = fs::read(dir.join("p12")).unwrap();
            let read = Pkcs12::read(&file, "gehäim").unwrap();
            assert_eq!(read.key.pkcs8(), key.pkcs8(), "{how}");
            assert_eq!(read.certificate, certificate);
            assert_eq!(read.others, std::slice::from_ref(&other));
            let wrong = Pkcs12::read(&file, "geheim").unwrap_err();
            assert_eq!(wrong, Pkcs12Error::Password, "{how}");
            for cut in 0..file.len() {
                assert!(Pkcs12::read(&file[..cut], "gehäim").is_err());
            }
        }
    }
    let rounds = "pkcs12 -export -inkey own.key -in own.pem -out p12 -passout pass:x -iter 900000";
    openssl(rounds, dir);
    let endless = Pkcs12::read(&fs::read(dir.join("p12")).unwrap(), "x");
    assert!(
        matches!(endless, Err(Pkcs12Error::Rounds(_))),
        "{endless:?}"
    );
    assert!(Certificate::read(b"").is_err());
}
