//! Profiles, automated and account-driven enrolment, as a device meets them.

use http::Request;
use mdmstorm::engine::serve::IdentityMode;
use mdmstorm::protocol::profile::Identity;
use mdmstorm::scenario::{Challenge, EmbeddedTarget};

use crate::rig::{Rig, idle};

async fn started(rules: EmbeddedTarget) -> Rig {
    Rig::start_enrolling(IdentityMode::Signature, Some(rules)).await
}

#[tokio::test]
async fn a_profile_says_where_the_server_is_and_how_to_get_an_identity() {
    let rig = started(EmbeddedTarget::default()).await;
    let profile = rig.fetch("/enroll").await.profile();
    assert_eq!(profile.mdm.server_url, "https://localhost/mdm");
    assert_eq!(profile.mdm.topic, rig.topic);
    assert!(profile.mdm.sign_message);
    assert!(profile.ignored.is_empty(), "{:?}", profile.ignored);
    let Identity::Scep(scep) = profile.identity else {
        panic!("the usual way is SCEP");
    };
    assert_eq!(scep.url, "https://localhost/scep");
    assert_eq!(scep.challenge.as_deref(), Some("mdmstorm"));
    let again = rig.fetch("/enroll").await;
    assert_eq!(again.body, rig.fetch("/enroll").await.body);
}

#[tokio::test]
async fn each_profile_carries_a_challenge_of_its_own_where_they_are_good_once() {
    let rig = started(EmbeddedTarget {
        challenge: Challenge::OneTime,
        ..EmbeddedTarget::default()
    })
    .await;
    let mut challenges = Vec::new();
    for _ in 0..2 {
        let Identity::Scep(scep) = rig.fetch("/enroll").await.profile().identity else {
            panic!("the usual way is SCEP");
        };
        challenges.push(scep.challenge.unwrap());
    }
    assert_ne!(challenges[0], challenges[1]);
    assert_eq!(rig.seen().await["challenges"]["issued"], 2);
}

#[tokio::test]
async fn a_server_without_enrolment_has_no_ways_in() {
    let rig = Rig::start(IdentityMode::Mtls).await;
    let (status, _) = rig.admin("GET", "/enroll", Vec::new()).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn an_account_leads_to_a_sign_in_and_its_token_to_a_profile() {
    let rig = started(EmbeddedTarget {
        account_token: Some("right".to_owned()),
        ..EmbeddedTarget::default()
    })
    .await;
    let path = "/.well-known/com.apple.remotemanagement?user-identifier=ada%40example.com&model-family=iPad";
    let found = rig.fetch(path).await;
    assert_eq!(found.status, 200, "{}", found.text());
    let servers = found.json();
    let servers = servers["Servers"].as_array().unwrap();
    let base = |version: &str| {
        let found = servers.iter().find(|server| server["Version"] == version);
        let url = found.unwrap()["BaseURL"].as_str().unwrap().to_owned();
        url.strip_prefix("https://localhost").unwrap().to_owned()
    };
    let machine = b"<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>LANGUAGE</key><string>en</string></dict></plist>";
    let byod = base("mdm-byod");
    let asked = rig.ask(Request::post(&byod), machine.to_vec()).await;
    assert_eq!(asked.status, 401);
    let challenge = asked.header("www-authenticate");
    assert!(
        challenge.starts_with("Bearer method=\"apple-as-web\", url=\"https://localhost/"),
        "{challenge}"
    );
    let with = |path: &str, token: &str| {
        Request::post(path).header("authorization", format!("Bearer {token}"))
    };
    let wrong = rig.ask(with(&byod, "wrong"), machine.to_vec()).await;
    assert_eq!(wrong.status, 401);
    let profile = rig
        .ask(with(&byod, "right"), machine.to_vec())
        .await
        .profile();
    assert!(profile.mdm.is_user_enrollment);
    assert_eq!(profile.mdm.account.as_deref(), Some("ada@example.com"));
    let own = base("mdm-adde");
    let profile = rig
        .ask(with(&own, "right"), machine.to_vec())
        .await
        .profile();
    assert!(!profile.mdm.is_user_enrollment);
    let nonsense = rig.ask(with(&own, "right"), b"nonsense".to_vec()).await;
    assert_eq!(nonsense.status, 400);
}

#[tokio::test]
async fn the_server_counts_who_enrolled_and_under_how_many_identities() {
    let mut rig = started(EmbeddedTarget::default()).await;
    rig.enroll().await;
    let seen = rig.seen().await;
    assert_eq!(seen["totals"]["enrolled"], 1);
    assert_eq!(seen["totals"]["under-several-identities"], 0);
    rig.credential = Some(rig.other_device());
    rig.enroll().await;
    let seen = rig.seen().await;
    assert_eq!(seen["devices"][0]["udid"], rig.udid.as_str());
    assert_eq!(seen["devices"][0]["authenticates"], 2);
    assert_eq!(seen["devices"][0]["identities"], 2);
    assert_eq!(seen["totals"]["under-several-identities"], 1);
    let path = "/v1/enrollments?udid=nobody";
    let (_, nobody) = rig.admin("GET", path, Vec::new()).await;
    let nobody: serde_json::Value = serde_json::from_slice(&nobody).unwrap();
    assert_eq!(nobody["devices"], serde_json::json!([]));
}

#[tokio::test]
async fn a_device_in_setup_assistant_is_configured_unless_the_rules_say_no() {
    for configures in [true, false] {
        let rules = EmbeddedTarget {
            configures,
            ..EmbeddedTarget::default()
        };
        let mut rig = Rig::start_enrolling(IdentityMode::Signature, Some(rules)).await;
        rig.awaits = true;
        rig.enroll().await;
        let (status, command) = rig.device("/mdm", "", idle(&rig.udid)).await;
        let command = String::from_utf8(command).unwrap();
        assert_eq!(status, 200);
        assert_eq!(
            command.contains("DeviceConfigured"),
            configures,
            "{command}"
        );
    }
}
