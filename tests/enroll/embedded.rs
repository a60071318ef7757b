//! Against the embedded target, which knows every way.

use super::Run;

const SCEP: [&str; 4] = ["ca-certificate", "ca-capabilities", "key", "pki-operation"];

fn run(target: &str, way: &str) -> Run {
    let pooled = "[enrollment.identity]\nkeys = \"pool\"\n";
    Run::of(
        &format!("[target.embedded]\n{target}\n{way}\n{pooled}"),
        &[],
    )
}

#[test]
fn one_profile_for_all_leads_to_scep() {
    let run = run("", "[enrollment.profile]");
    run.went_well();
    assert_eq!(run.steps(0), SCEP);
    let told = run.stderr();
    assert!(told.contains("not signed"), "{told}");
    assert!(
        told.contains("identity by SCEP at https://127.0.0.1:"),
        "{told}"
    );
}

#[test]
fn each_device_fetches_a_profile_with_a_challenge_of_its_own() {
    let target = "challenge = \"one-time\"\nsigned-profile = true\npending = 2";
    let run = run(target, "[enrollment.profile]\neach-device = true");
    run.went_well();
    assert_eq!(run.steps(3)[0], "profile");
    assert_eq!(run.steps(3)[1..], SCEP);
    assert!(run.stderr().contains("signed by CN="), "{}", run.stderr());
}

/// A server that never decides. A device held its place among those that enrol while it waited, and
/// the others never came to ask.
#[test]
fn pending_without_end_is_given_up_in_time_and_keeps_nobody_from_asking() {
    let head = "[target.embedded]\npending = 1000000\n[enrollment]\nwithin = \"5s\"\nin-flight = 1\n\
                [enrollment.profile]\n[enrollment.identity]\nkeys = \"pool\"\n";
    let run = Run::of(head, &[]);
    assert_eq!(run.output.status.code(), Some(92), "{}", run.stderr());
    let facts = run.facts();
    for device in 0..4 {
        let refused = facts.iter().find(|fact| {
            fact["device"] == device && fact["failed"]["name"] == "scep-pending-timeout"
        });
        assert!(refused.is_some(), "{:?}", run.refusals());
    }
    assert!(
        run.refusals()
            .iter()
            .all(|name| name == "scep-pending-timeout")
    );
}

#[test]
fn a_one_time_challenge_in_the_profile_of_all_is_good_for_one_device() {
    let run = run("challenge = \"one-time\"", "[enrollment.profile]");
    assert_eq!(run.output.status.code(), Some(92), "{}", run.stderr());
    assert_eq!(run.summary()["devices"]["enrolled"], 1);
    assert_eq!(run.refusals(), ["challenge-refused"; 3]);
}

#[test]
fn scep_without_a_profile_takes_its_challenge_from_the_environment() {
    let way = "[enrollment.scep]\nchallenge = { env = \"SCEP_TEST\" }\n\
               subject = \"O=Example/CN={udid}\"";
    let with = |challenge| {
        let pooled = "[enrollment.identity]\nkeys = \"pool\"\n";
        let head = format!("[target.embedded]\n{way}\n{pooled}");
        Run::of(&head, &[("SCEP_TEST", challenge)])
    };
    with("mdmstorm").went_well();
    let wrong = with("wrong");
    assert_eq!(wrong.output.status.code(), Some(92));
    assert_eq!(wrong.refusals(), ["challenge-refused"; 4]);
}

#[test]
fn a_server_of_old_is_asked_by_get_and_answers_with_des() {
    let target = "reply-cipher = \"des\"\nauthority = \"chain\"\ncapabilities = [\"DES3\"]";
    run(target, "[enrollment.profile]").went_well();
}

#[test]
fn over_the_air_takes_three_phases() {
    let run = run("", "[enrollment.ota]");
    run.went_well();
    let steps = run.steps(1);
    assert_eq!(steps[..2], ["profile", "attributes"]);
    assert_eq!(steps[2..6], SCEP);
    assert_eq!(steps[6], "mdm-profile");
    assert_eq!(steps[7..], SCEP);
}

#[test]
fn automated_enrolment_takes_signed_machine_info_by_both_ways() {
    for by in ["post", "header"] {
        let way = format!("[enrollment.automated]\nmachine-info = \"{by}\"");
        let run = run("", &way);
        run.went_well();
        assert_eq!(run.steps(0)[0], "profile");
    }
}

#[test]
fn a_device_whose_system_is_too_old_updates_first() {
    // An update takes minutes of a device's life.
    let head = "time-scale = 1000\n[target.embedded]\nminimum-os = \"99.0\"\n\
                [enrollment.automated]\n[enrollment.identity]\nkeys = \"pool\"\n";
    let run = Run::of(head, &[]);
    run.went_well();
    assert!(run.refusals().iter().all(|name| name == "update-required"));
    assert!(!run.refusals().is_empty());
    // It is no version of macOS: Macs are let in as they are.
    let facts = run.facts();
    let refused = facts.iter().filter(|fact| fact["failed"].is_object());
    let mut refused = refused.map(|fact| fact["device"].as_u64().unwrap());
    assert!(refused.all(|device| device < 2));
}

#[test]
fn the_example_of_automated_enrolment_enrols_its_ipads_and_its_macs() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/scenarios/enroll-automated.toml"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("name = \"enroll-automated\"", "");
    // A tenth of them is enough to see.
    let text = text.replace("count = 150", "count = 15");
    let text = text.replace("count = 50", "count = 5");
    let run = Run::whole(tempfile::tempdir().unwrap(), &text, &[]);
    let summary = run.summary();
    assert_eq!(run.output.status.code(), Some(0), "{}", run.stderr());
    assert_eq!(summary["devices"]["enrolled"], 20);
    assert_eq!(summary["commands"]["completed"], 20);
}

#[test]
fn account_driven_devices_find_their_service_and_sign_in() {
    let way = "[enrollment.account-driven]\naccount = \"student-{n}@school.example\"";
    for byod in ["true", "false"] {
        let run = run("", &format!("{way}\nbyod = {byod}"));
        run.went_well();
        assert_eq!(run.steps(2)[..2], ["discovery", "profile"]);
    }
}

#[test]
fn a_token_that_is_not_taken_ends_the_run_before_its_first_device() {
    let way = "[enrollment.account-driven]\naccount = \"a@school.example\"";
    let run = run("account-token = \"other\"", way);
    let told = run.stderr();
    assert!(
        told.contains("devices cannot enrol: token-refused"),
        "{told}"
    );
}
