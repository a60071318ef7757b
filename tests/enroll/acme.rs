//! ACME with device attestation, against the embedded target.

use super::Run;

const STEPS: [&str; 4] = ["acme-order", "key", "attestation", "acme-certificate"];

/// A run with `[enrollment.acme]`, whose keys follow.
fn run(target: &str, keys: &str) -> Run {
    let pooled = "[enrollment.identity]\nkeys = \"pool\"\n";
    let head = format!("[target.embedded]\n{target}\n[enrollment.acme]\n{keys}\n{pooled}");
    Run::of(&head, &[])
}

#[test]
fn devices_attest_a_curves_key() {
    for key in ["ec-256", "ec-384"] {
        let run = run("", &format!("key = \"{key}\""));
        run.went_well();
        assert_eq!(run.steps(0), STEPS);
        assert!(run.refusals().is_empty());
    }
}

#[test]
fn keys_that_nobody_attests_do_where_no_attestation_is_wanted() {
    for key in ["rsa-2048", "ec-521"] {
        let run = run("attestation = false", &format!("key = \"{key}\""));
        run.went_well();
        assert_eq!(run.steps(3), STEPS);
    }
}

#[test]
fn a_server_that_wants_an_attestation_refuses_devices_without() {
    let run = run("", "key = \"rsa-2048\"");
    assert_eq!(run.output.status.code(), Some(92), "{}", run.stderr());
    assert_eq!(run.refusals(), ["attestation-refused"; 4]);
    assert_eq!(run.steps(0), STEPS[..3]);
}

#[test]
fn an_attestation_of_a_device_that_calls_itself_another_is_refused() {
    let run = run("", "client-identifier = \"somebody\"");
    assert_eq!(run.output.status.code(), Some(92), "{}", run.stderr());
    assert_eq!(run.refusals(), ["attestation-refused"; 4]);
    let facts = run.facts();
    let mut told = facts
        .iter()
        .filter_map(|fact| fact["failed"]["what"].as_str());
    let told = told.next().unwrap();
    assert!(
        told.starts_with("badAttestationStatement: the order's identifier"),
        "{told}"
    );
}

#[test]
fn an_acme_payload_in_each_devices_profile_leads_to_acme() {
    let head = "[target.embedded]\n[enrollment.profile]\n\
                url = \"/enroll?by=acme&id={serial}\"\neach-device = true\n";
    let run = Run::of(head, &[]);
    run.went_well();
    assert_eq!(run.steps(2)[0], "profile");
    assert_eq!(run.steps(2)[1..], STEPS);
    let told = run.stderr();
    assert!(told.contains("P-384, attested"), "{told}");
}

#[test]
fn messages_are_signed_by_any_key_that_acme_gives() {
    for key in ["ec-384", "ec-521"] {
        let head = format!(
            "[target.embedded]\nattestation = false\n[enrollment.acme]\nkey = \"{key}\"\n\
             [enrollment.identity]\nproof = \"signature\"\n"
        );
        Run::of(&head, &[]).went_well();
    }
}

#[test]
fn a_renewal_is_a_new_order() {
    let head = r#"
[target.embedded]
[enrollment.acme]
[enrollment.identity]
keys = "pool"
[[cohorts]]
name = "carts"
count = 4
preset = "always-on"
[[stages]]
name = "renew"
duration = "5s"
[[stages]]
name = "ask"
duration = "1s"
commands = [{ request = "DeviceInformation", each = 1 }]
[[timeline]]
at = "1s"
to = "carts"
do = "renew-identity"
"#;
    let run = Run::whole(tempfile::tempdir().unwrap(), head, &[]);
    run.went_well();
    assert_eq!(run.steps(1), [STEPS, STEPS].concat());
    assert!(run.refusals().is_empty(), "{:?}", run.refusals());
    assert_eq!(run.summary()["enrolling"]["renewed"], 4);
}
