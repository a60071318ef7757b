//! Every message and every answer round-trips; what cannot be read is an error.

use proptest::prelude::*;

use super::super::plist::tests::any_text;
use super::*;
use crate::ids::{Channel, Crowd, CrowdId, DeviceId};

pub(in crate::protocol) fn any_user() -> impl Strategy<Value = User> {
    (
        any_text(),
        any_text(),
        any_text(),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(id, short_name, long_name, not_on_console)| User {
            id,
            short_name,
            long_name,
            not_on_console,
        })
}

pub(in crate::protocol) fn any_enrollee() -> impl Strategy<Value = Enrollee> {
    prop_oneof![
        any_text().prop_map(Enrollee::Udid),
        any_text().prop_map(Enrollee::EnrollmentId),
    ]
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    prop::option::of(any_text())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..64)
}

fn some_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 1..64))
}

fn any_authenticate() -> impl Strategy<Value = CheckIn> {
    let names =
        (any_text(), any_text(), any_text()).prop_map(|(device_name, model_name, model)| {
            MacNames {
                device_name,
                model_name,
                model,
            }
        });
    let texts = (maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
    (any_enrollee(), any_text(), texts, prop::option::of(names)).prop_map(
        |(udid, topic, (os_version, build, product, serial, imei, meid), mac)| {
            CheckIn::Authenticate(Authenticate {
                udid,
                topic,
                os_version,
                build,
                product,
                serial,
                imei,
                meid,
                mac,
            })
        },
    )
}

fn any_token_update() -> impl Strategy<Value = CheckIn> {
    let user = prop::option::of(any_user());
    let head = (any_enrollee(), any_text(), bytes(), any_text());
    (
        head,
        prop::option::of(bytes()),
        user,
        any::<bool>(),
        maybe(),
    )
        .prop_map(
            |(
                (udid, topic, token, magic),
                unlock_token,
                user,
                awaiting_configuration,
                auth_token,
            )| {
                CheckIn::TokenUpdate(TokenUpdate {
                    udid,
                    topic,
                    token,
                    magic,
                    unlock_token,
                    user,
                    awaiting_configuration,
                    auth_token,
                })
            },
        )
}

fn any_request() -> impl Strategy<Value = CheckIn> {
    let parameters = (any_text(), any_text(), any_text());
    let parameters =
        parameters.prop_map(|(security_token, phone_udid, watch_udid)| TokenParameters {
            security_token,
            phone_udid,
            watch_udid,
        });
    let user = || prop::option::of(any_user());
    prop_oneof![
        (any_enrollee(), any_text())
            .prop_map(|(udid, topic)| CheckIn::CheckOut(CheckOut { udid, topic })),
        (any_enrollee(), any_user(), maybe()).prop_map(|(udid, user, digest_response)| {
            CheckIn::UserAuthenticate(UserAuthenticate {
                udid,
                user,
                digest_response,
            })
        }),
        (any_enrollee(), some_bytes(), any::<bool>()).prop_map(
            |(udid, token, awaiting_configuration)| {
                CheckIn::SetBootstrapToken(SetBootstrapToken {
                    udid,
                    token,
                    awaiting_configuration,
                })
            }
        ),
        (any_enrollee(), any::<bool>()).prop_map(|(udid, awaiting_configuration)| {
            CheckIn::GetBootstrapToken(GetBootstrapToken {
                udid,
                awaiting_configuration,
            })
        }),
        (
            any_enrollee(),
            user(),
            any_text(),
            prop::option::of(parameters)
        )
            .prop_map(|(udid, user, service, parameters)| {
                CheckIn::GetToken(GetToken {
                    udid,
                    user,
                    service,
                    parameters,
                })
            }),
        any_enrollee().prop_map(|udid| CheckIn::ReturnToService(ReturnToService { udid })),
        (
            any_enrollee(),
            user(),
            any_text(),
            prop::option::of(bytes())
        )
            .prop_map(|(udid, user, endpoint, data)| {
                CheckIn::DeclarativeManagement(DeclarativeManagement {
                    udid,
                    user,
                    endpoint,
                    data,
                })
            }),
    ]
}

fn any_message() -> impl Strategy<Value = CheckIn> {
    prop_oneof![any_authenticate(), any_token_update(), any_request()]
}

proptest! {
    #[test]
    fn a_message_round_trips(message in any_message()) {
        prop_assert_eq!(CheckIn::decode(&message.encode()).unwrap(), message);
    }

    #[test]
    fn an_answer_round_trips(
        text in any_text(),
        token in some_bytes(),
        wifi_profile in some_bytes(),
        enabled in any::<bool>(),
    ) {
        let digest = UserChallenge::Digest(text.clone());
        prop_assert_eq!(UserChallenge::decode(&digest.encode()).unwrap(), digest);
        let auth_token = UserChallenge::Token(text);
        prop_assert_eq!(UserChallenge::decode(&auth_token.encode()).unwrap(), auth_token);
        let kept = BootstrapToken { token: token.clone() };
        prop_assert_eq!(BootstrapToken::decode(&kept.encode()).unwrap(), kept);
        let data = TokenData(token.clone().unwrap_or_default());
        prop_assert_eq!(TokenData::decode(&data.encode()).unwrap(), data);
        let back = WayBack { enabled, wifi_profile, mdm_profile: None, bootstrap_token: token };
        prop_assert_eq!(WayBack::decode(&back.encode()).unwrap(), back);
    }

    #[test]
    fn no_bytes_make_an_answer_panic(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = CheckIn::decode(&body);
        let _ = UserChallenge::decode(&body);
        let _ = BootstrapToken::decode(&body);
        let _ = TokenData::decode(&body);
        let _ = WayBack::decode(&body);
    }
}

#[test]
fn a_message_without_a_key_it_needs_or_of_another_type_is_refused() {
    let refusal = |inside: &str| {
        let body = format!("<plist><dict>{inside}</dict></plist>");
        CheckIn::decode(body.as_bytes()).unwrap_err().to_string()
    };
    assert_eq!(refusal(""), "the check-in message has no MessageType");
    assert_eq!(
        refusal(
            "<key>MessageType</key><string>TokenUpdate</string><key>UDID</key><string>U</string><key>Topic</key><string>T</string>"
        ),
        "the check-in message has no Token"
    );
    assert_eq!(
        refusal("<key>MessageType</key><string>Hello</string>"),
        "MessageType is \"Hello\", which no version of Apple's schema has"
    );
}

#[test]
fn a_users_channel_is_called_as_nanomdm_calls_it() {
    let crowd = Crowd::new(CrowdId([1; 4]), [1; 32]);
    let channel = Channel {
        device: DeviceId(3),
        user: 2,
    };
    let mac = User::of_mac(&crowd, channel);
    assert_eq!(mac.enrollment_id("UDID"), format!("UDID:{}", mac.id));
    let shared_ipad = User::of_shared_ipad(&crowd, channel);
    assert_eq!(shared_ipad.enrollment_id("UDID"), "UDID:user2-3");
}

/// A token of megabytes was kept for every user of every Mac.
#[test]
fn a_users_token_or_challenge_has_an_end() {
    for size in [16 * 1024, 16 * 1024 + 1] {
        let text = "a".repeat(size);
        for answer in [
            UserChallenge::Token(text.clone()),
            UserChallenge::Digest(text),
        ] {
            let read = UserChallenge::decode(&answer.encode());
            assert_eq!(read.is_ok(), size <= 16 * 1024, "{size}");
        }
    }
}
