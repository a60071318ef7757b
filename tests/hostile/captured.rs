//! What devices send on their way, taken from the wire and judged by OpenSSL. Skipped, with a word,
//! where it is not at hand.

use std::path::Path;
use std::process::Command;

use crate::front::Step;
use crate::place::check;

/// What `openssl` says to these arguments, which are split at spaces.
fn openssl(arguments: &str, dir: &Path) -> String {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "openssl {arguments}: {said}");
    said
}

/// Whether there is an `openssl`; says so when there is none.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        println!("skipped: openssl is not installed");
    }
    found
}

/// What a message says whose signer one of `authorities` (in the state folder) vouches for, after
/// OpenSSL has read all of it.
fn said(message: &[u8], authority: &str, dir: &Path) -> String {
    std::fs::write(dir.join("message"), message).unwrap();
    openssl("asn1parse -inform DER -in message", dir);
    openssl(
        &format!(
            "cms -verify -binary -inform DER -in message -CAfile state/{authority} -purpose any \
             -signer signer.pem -out said"
        ),
        dir,
    );
    openssl(
        "x509 -in signer.pem -noout -subject -issuer -dates -serial",
        dir,
    );
    std::fs::read_to_string(dir.join("said")).unwrap()
}

#[test]
fn machine_info_is_signed_by_the_certificate_a_device_was_made_with() {
    if !has_openssl() {
        return;
    }
    let sent = check(
        "[enrollment.automated]\nurl = \"FRONT/{n}/ade\"",
        Vec::new(),
    );
    let dir = sent.folder.path();
    let info = said(&sent.at(Step::Profile), "device-ca.pem", dir);
    for key in ["UDID", "SERIAL", "PRODUCT", "OS_VERSION"] {
        assert!(info.contains(&format!("<key>{key}</key>")), "{info}");
    }
}

#[test]
fn over_the_air_each_phase_is_signed_by_the_identity_of_then() {
    if !has_openssl() {
        return;
    }
    let way = "[enrollment.ota]\nurl = \"FRONT/{n}/ota/enroll\"";
    let sent = check(way, Vec::new());
    let dir = sent.folder.path();
    for (step, authority) in [
        (Step::Attributes, "device-ca.pem"),
        (Step::MdmProfile, "enrollment-ca.pem"),
    ] {
        let attributes = said(&sent.at(step), authority, dir);
        for key in ["UDID", "SERIAL", "CHALLENGE"] {
            assert!(
                attributes.contains(&format!("<key>{key}</key>")),
                "{attributes}"
            );
        }
    }
    // And the request for that identity: signed by itself, sealed for the authority.
    std::fs::write(dir.join("message"), sent.at(Step::PkiOperation)).unwrap();
    openssl("asn1parse -inform DER -in message", dir);
    openssl(
        "cms -verify -binary -noverify -inform DER -in message -signer signer.pem -out sealed",
        dir,
    );
    let signer = openssl("x509 -in signer.pem -noout -subject -issuer -text", dir);
    assert!(signer.contains("2048 bit"), "{signer}");
    openssl(
        "cms -decrypt -binary -inform DER -in sealed -recip state/enrollment-ca.pem \
         -inkey state/enrollment-ca.key -out request",
        dir,
    );
    let request = openssl("req -verify -inform DER -in request -noout -text", dir);
    assert!(request.contains("challengePassword"), "{request}");
    assert!(request.contains("mdmstorm Identity"), "{request}");
}
