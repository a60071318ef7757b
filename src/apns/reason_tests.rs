//! Each of the 32 reasons that Apple lists can be had, with its status: by what a provider sends, or by a
//! fault that the scenario asks for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::admission::{Admission, Admitted, Incoming, Refused, Storage};
use super::bearer::ProviderKey;
use super::fault::{Fault, FaultRule, Faults, Strikes};
use super::provider::{Certificate, Environment, Provider};
use super::service::Rate;
use crate::ids::{Channel, Crowd, CrowdId, DeviceId, PushId, hex_lower};
use crate::protocol::push::{Reason, Refusal};
use crate::seed::Seed;
use crate::time::{RunEpoch, SimTime, WallTime};

/// The reasons and their statuses once more, as Apple's table has them, and how each is had.
const REASONS: [(u16, &str, Had); 32] = [
    (
        400,
        "BadCollapseId",
        By(|it| it.collapse_id = Some("x".repeat(65))),
    ),
    (
        400,
        "BadDeviceToken",
        By(|it| it.path = format!("/3/device/{}", "ab".repeat(32))),
    ),
    (
        400,
        "BadExpirationDate",
        By(|it| it.expiration = Some("soon")),
    ),
    (400, "BadMessageId", By(|it| it.id = Some("7"))),
    (400, "BadPriority", By(|it| it.priority = Some("3"))),
    (
        400,
        "BadTopic",
        By(|it| it.topic = Some("com.apple.mgmt a")),
    ),
    (
        400,
        "DeviceTokenNotForTopic",
        By(|it| it.provider = of_certificate(OTHER)),
    ),
    (400, "DuplicateHeaders", By(|it| it.has_duplicates = true)),
    (400, "IdleTimeout", Asked),
    (
        400,
        "InvalidPushType",
        By(|it| it.push_type = Some("alert")),
    ),
    (
        400,
        "MissingDeviceToken",
        By(|it| it.path = "/3/device/".to_owned()),
    ),
    (
        400,
        "MissingTopic",
        By(|it| {
            it.provider = provider(Certificate {
                topics: vec![TOPIC.to_owned(), OTHER.to_owned()],
                ..Certificate::default()
            })
        }),
    ),
    (400, "PayloadEmpty", By(|it| it.payload = Vec::new())),
    (400, "TopicDisallowed", By(|it| it.topic = Some(OTHER))),
    (
        403,
        "BadCertificate",
        By(|it| it.provider = of_certificate("com.example.app")),
    ),
    (
        403,
        "BadCertificateEnvironment",
        By(|it| {
            it.provider = provider(Certificate {
                topics: vec![TOPIC.to_owned()],
                development: true,
                production: false,
            })
        }),
    ),
    (
        403,
        "ExpiredProviderToken",
        By(|it| it.bearer(&token("KEY1", "TEAM1", NOW - 3601))),
    ),
    (403, "Forbidden", Asked),
    (
        403,
        "InvalidProviderToken",
        By(|it| it.bearer(&token("KEY9", "TEAM1", NOW))),
    ),
    (403, "MissingProviderToken", By(|it| it.provider = nobody())),
    (
        403,
        "UnrelatedKeyIdInToken",
        By(|it| {
            it.first = Some(token("KEY1", "TEAM1", NOW));
            it.bearer(&token("KEY2", "TEAM2", NOW));
        }),
    ),
    (
        403,
        "BadEnvironmentKeyIdInToken",
        By(|it| it.bearer(&token("SANDBOX", "TEAM1", NOW))),
    ),
    (404, "BadPath", By(|it| it.path = "/3/devices".to_owned())),
    (405, "MethodNotAllowed", By(|it| it.method = "GET")),
    (410, "ExpiredToken", Asked),
    (410, "Unregistered", By(|it| it.path = path(STALE))),
    (
        413,
        "PayloadTooLarge",
        By(|it| it.payload = vec![b' '; 4097]),
    ),
    (
        429,
        "TooManyProviderTokenUpdates",
        By(|it| {
            it.first = Some(token("KEY1", "TEAM1", NOW - 5));
            it.bearer(&token("KEY1", "TEAM1", NOW));
        }),
    ),
    (429, "TooManyRequests", By(|it| it.times = 3)),
    (500, "InternalServerError", Asked),
    (503, "ServiceUnavailable", Asked),
    (503, "Shutdown", Asked),
];

const TOPIC: &str = "com.apple.mgmt.a";
const OTHER: &str = "com.apple.mgmt.b";

/// Seconds since 1970 when the pushes come.
const NOW: i64 = 1_800_000_000;

/// A device whose token has changed.
const STALE: u32 = 7;

/// How a reason is had.
enum Had {
    /// By a push that is wrong in one way.
    By(fn(&mut Sent)),
    /// Only because the scenario asks for it.
    Asked,
}

use Had::{Asked, By};

/// A push as a provider sends it.
struct Sent {
    provider: Provider,
    /// A token that the connection has brought before.
    first: Option<String>,
    authorization: Option<String>,
    method: &'static str,
    path: String,
    topic: Option<&'static str>,
    id: Option<&'static str>,
    expiration: Option<&'static str>,
    priority: Option<&'static str>,
    push_type: Option<&'static str>,
    collapse_id: Option<String>,
    has_duplicates: bool,
    payload: Vec<u8>,
    times: u32,
}

impl Sent {
    fn new() -> Self {
        Self {
            provider: of_certificate(TOPIC),
            first: None,
            authorization: None,
            method: "POST",
            path: path(3),
            topic: None,
            id: None,
            expiration: None,
            priority: None,
            push_type: None,
            collapse_id: None,
            has_duplicates: false,
            payload: br#"{"mdm":"magic"}"#.to_vec(),
            times: 1,
        }
    }

    fn bearer(&mut self, token: &str) {
        self.provider = nobody();
        self.authorization = Some(format!("bearer {token}"));
        self.topic = Some(TOPIC);
    }

    /// What the last of its pushes is answered with.
    fn answer(mut self) -> Result<Admitted, Refused> {
        let mut admission = admission();
        if let Some(first) = self.first.take() {
            let authorization = self.authorization.replace(format!("bearer {first}"));
            self.push(&mut admission).unwrap();
            self.authorization = authorization;
        }
        for _ in 1..self.times {
            self.push(&mut admission).unwrap();
        }
        self.push(&mut admission)
    }

    fn push(&mut self, admission: &mut Admission) -> Result<Admitted, Refused> {
        let push = Incoming {
            method: self.method,
            path: &self.path,
            authorization: self.authorization.as_deref(),
            topic: self.topic,
            id: self.id,
            expiration: self.expiration,
            priority: self.priority,
            push_type: self.push_type,
            collapse_id: self.collapse_id.as_deref(),
            has_duplicates: self.has_duplicates,
            payload: &self.payload,
        };
        admission.admit(SimTime::ZERO, &mut self.provider, &push)
    }
}

fn crowd() -> Crowd {
    Crowd::new(CrowdId([1; 4]), [2; 32])
}

fn path(device: u32) -> String {
    let token = crowd().token(Channel::device(DeviceId(device)), 0);
    format!("/3/device/{}", hex_lower(&token.0))
}

fn provider(certificate: Certificate) -> Provider {
    Provider::new(Some(certificate), Environment::Production)
}

fn of_certificate(topic: &str) -> Provider {
    provider(Certificate::for_topic(topic))
}

fn nobody() -> Provider {
    Provider::new(None, Environment::Production)
}

fn now() -> WallTime {
    WallTime::from_unix_micros(NOW * 1_000_000)
}

fn admission() -> Admission {
    let storage = Storage {
        without_expiration: true,
        time_scale: 1.0,
    };
    let mut admission = Admission::new(crowd(), TOPIC.into(), RunEpoch(now()), 10, storage);
    admission.set_rate(Some(Rate {
        pushes: 2,
        per: Duration::from_secs(60),
    }));
    admission.token_changed(Channel::device(DeviceId(STALE)), 1, now());
    let key = |key_id: &str, team_id: &str, environment| ProviderKey {
        key_id: key_id.to_owned(),
        team_id: team_id.to_owned(),
        topics: None,
        environment,
        public: key_id.as_bytes().to_vec(),
    };
    let keys = vec![
        key("KEY1", "TEAM1", None),
        ProviderKey {
            topics: Some(vec![OTHER.to_owned()]),
            ..key("NARROW", "TEAM1", None)
        },
        key("SANDBOX", "TEAM1", Some(Environment::Sandbox)),
        key("KEY2", "TEAM2", Some(Environment::Production)),
    ];
    admission.trust_keys(keys, is_signed);
    admission
}

/// Stands for a signature: the key, and how long the message is.
fn sign(public: &[u8], message: &[u8]) -> Vec<u8> {
    let length = message.len().to_string();
    [public, length.as_bytes()].concat()
}

fn is_signed(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    sign(public, message) == signature
}

fn token(key: &str, team: &str, issued: i64) -> String {
    let header = format!(r#"{{"alg":"ES256","kid":"{key}"}}"#);
    signed(
        &header,
        &format!(r#"{{"iss":"{team}","iat":{issued}}}"#),
        key,
    )
}

fn signed(header: &str, claims: &str, key: &str) -> String {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let message = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(claims.as_bytes())
    );
    let signature = encode(&sign(key.as_bytes(), message.as_bytes()));
    format!("{message}.{signature}")
}

/// What a push with this token is refused for, or `None`.
fn refusal_of(token: &str) -> Option<Reason> {
    let mut sent = Sent::new();
    sent.bearer(token);
    sent.answer().err().map(|refused| refused.refusal.reason)
}

#[test]
fn each_reason_can_be_had_with_its_status() {
    for (status, name, had) in REASONS {
        let reason = Reason::of_name(name).unwrap();
        assert_eq!(reason.status(), status, "{name}");
        let refusal = match had {
            By(spoil) => {
                let mut sent = Sent::new();
                spoil(&mut sent);
                sent.answer().unwrap_err().refusal
            }
            Asked => {
                let asked = Fault::Answer {
                    status,
                    reason: Some(reason),
                };
                let strikes = Strikes::Share(1.0);
                let mut faults = Faults::none(Seed(1));
                faults.add(FaultRule {
                    of: None,
                    strikes,
                    fault: asked.clone(),
                });
                assert_eq!(faults.decide(PushId(0), None), Some(asked), "{name}");
                Refusal::at(reason, NOW * 1_000)
            }
        };
        assert_eq!(refusal.reason.name(), name);
        assert_eq!(refusal.timestamp_ms.is_some(), status == 410, "{name}");
    }
    let mut names: Vec<_> = REASONS.iter().map(|(_, name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::ALL.len());
}

#[test]
fn a_bearer_token_is_as_good_as_a_certificate_while_it_is_fresh() {
    assert_eq!(refusal_of(&token("KEY1", "TEAM1", NOW)), None);
    assert_eq!(refusal_of(&token("KEY2", "TEAM2", NOW)), None);
    assert_eq!(refusal_of(&token("KEY1", "TEAM1", NOW - 3600)), None);
    assert_eq!(refusal_of(&token("KEY1", "TEAM1", NOW + 60)), None);
    let late = refusal_of(&token("KEY1", "TEAM1", NOW + 61));
    assert_eq!(late, Some(Reason::ExpiredProviderToken));
}

#[test]
fn a_token_that_is_not_signed_by_a_known_key_of_its_team_is_invalid() {
    let claims = format!(r#"{{"iss":"TEAM1","iat":{NOW}}}"#);
    let header = r#"{"alg":"ES256","kid":"KEY1"}"#;
    let wrong = [
        token("KEY1", "TEAM2", NOW),
        signed(header, &claims, "KEY2"),
        signed(r#"{"alg":"none","kid":"KEY1"}"#, &claims, "KEY1"),
        signed(r#"{"alg":"ES256"}"#, &claims, "KEY1"),
        signed(header, r#"{"iss":"TEAM1"}"#, "KEY1"),
        signed(header, r#"{"iss":"TEAM1","iat":"now"}"#, "KEY1"),
        "a.b".to_owned(),
        "...".to_owned(),
        "\u{fc}.\u{fc}.\u{fc}".to_owned(),
    ];
    for token in wrong {
        let reason = refusal_of(&token);
        assert_eq!(reason, Some(Reason::InvalidProviderToken), "{token}");
    }
    let extreme = signed(
        header,
        r#"{"iss":"TEAM1","iat":-9223372036854775808}"#,
        "KEY1",
    );
    assert_eq!(refusal_of(&extreme), Some(Reason::ExpiredProviderToken));
}

#[test]
fn authorization_without_a_token_or_of_another_scheme_lets_nobody_in() {
    let cases = [
        ("", Reason::MissingProviderToken),
        ("bearer", Reason::MissingProviderToken),
        ("Bearer  ", Reason::MissingProviderToken),
        ("basic dXNlcg==", Reason::InvalidProviderToken),
        ("bearer nonsense", Reason::InvalidProviderToken),
    ];
    for (authorization, reason) in cases {
        let mut sent = Sent::new();
        sent.provider = nobody();
        sent.authorization = Some(authorization.to_owned());
        let refused = sent.answer().unwrap_err();
        assert_eq!(refused.refusal.reason, reason, "{authorization}");
    }
}

#[test]
fn a_key_for_certain_topics_is_for_no_others() {
    let reason = refusal_of(&token("NARROW", "TEAM1", NOW));
    assert_eq!(reason, Some(Reason::TopicDisallowed));
}

#[test]
fn a_bearer_token_names_no_topic_so_the_push_has_to() {
    let mut sent = Sent::new();
    sent.bearer(&token("KEY1", "TEAM1", NOW));
    sent.topic = None;
    let refused = sent.answer().unwrap_err();
    assert_eq!(refused.refusal.reason, Reason::MissingTopic);
}

#[test]
fn with_a_certificate_no_bearer_token_is_looked_at() {
    let mut sent = Sent::new();
    sent.authorization = Some("bearer nonsense".to_owned());
    assert!(sent.answer().is_ok());
}

#[test]
fn a_certificate_is_taken_by_the_services_it_is_marked_for_and_unmarked_by_both() {
    let taken = |development, production, environment| {
        let certificate = Certificate {
            topics: vec![TOPIC.to_owned()],
            development,
            production,
        };
        let mut sent = Sent::new();
        sent.provider = Provider::new(Some(certificate), environment);
        sent.answer().is_ok()
    };
    use Environment::{Production, Sandbox};
    assert!(taken(true, true, Sandbox) && taken(true, true, Production));
    assert!(taken(true, false, Sandbox) && !taken(true, false, Production));
    assert!(!taken(false, true, Sandbox) && taken(false, true, Production));
    assert!(taken(false, false, Sandbox) && taken(false, false, Production));
}

#[test]
fn a_connection_may_bring_a_new_token_after_20_minutes_and_grows_old_with_its_last() {
    let mut admission = admission();
    let mut sent = Sent::new();
    let mut push_at = |secs: u64, token: &str| {
        sent.authorization = Some(format!("bearer {token}"));
        let push = Incoming {
            method: "POST",
            path: &sent.path,
            authorization: sent.authorization.as_deref(),
            topic: Some(TOPIC),
            id: None,
            expiration: None,
            priority: None,
            push_type: Some("mdm"),
            collapse_id: None,
            has_duplicates: false,
            payload: &sent.payload,
        };
        if secs == 0 {
            sent.provider = nobody();
        }
        let admitted = admission.admit(SimTime::from_secs(secs), &mut sent.provider, &push);
        admitted.err().map(|refused| refused.refusal.reason)
    };
    let first = token("KEY1", "TEAM1", NOW);
    let second = token("KEY1", "TEAM1", NOW + 1199);
    assert_eq!(push_at(0, &first), None);
    assert_eq!(
        push_at(1199, &second),
        Some(Reason::TooManyProviderTokenUpdates)
    );
    assert_eq!(push_at(1200, &second), None);
    assert_eq!(push_at(1199 + 3600, &second), None);
    assert_eq!(
        push_at(1199 + 3601, &second),
        Some(Reason::ExpiredProviderToken)
    );
}
