//! What a push is answered with when nothing is wrong but the push.

use super::*;
use crate::engine::tokens::Announcer;
use crate::fact::NoEntry;
use crate::protocol::push::Reason;
use crate::time::WallTime;

#[tokio::test]
async fn an_accepted_push_has_its_own_id_or_a_new_one() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        let given = "eabeae54-14a8-11e5-b60b-1697f925ec7b";
        let (mut parts, ()) = request(&path).into_parts();
        parts.headers.insert("apns-id", given.parse().unwrap());
        let echoed = line.send(Request::from_parts(parts, ()), PAYLOAD).await;
        let expected = Seen {
            status: StatusCode::OK,
            id: Some(given.into()),
            body: String::new(),
        };
        assert_eq!(echoed.unwrap(), expected);
        let mut made = Vec::new();
        for _ in 0..2 {
            let seen = line.push(&path, PAYLOAD).await.unwrap();
            let id = seen.id.unwrap();
            let parsed = uuid::Uuid::try_parse(&id).unwrap();
            assert_eq!((id.len(), parsed.get_version_num()), (36, 4));
            assert_eq!(id, id.to_uppercase());
            made.push(id);
        }
        assert_ne!(made[0], made[1]);
        assert_eq!(rig.seen().await.0, 3);
    })
    .await;
}

#[tokio::test]
async fn a_push_that_is_refused_says_why() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        let large = vec![b' '; 5000];
        let huge = vec![b' '; 100_000];
        let cases: [(&str, &[u8], u16, &str); 4] = [
            (
                "/3/device/00",
                PAYLOAD,
                400,
                r#"{"reason":"BadDeviceToken"}"#,
            ),
            (&path, &large, 413, r#"{"reason":"PayloadTooLarge"}"#),
            (&path, b"", 400, r#"{"reason":"PayloadEmpty"}"#),
            ("/4", PAYLOAD, 404, r#"{"reason":"BadPath"}"#),
        ];
        for (path, payload, status, body) in cases {
            let seen = line.push(path, payload).await.unwrap();
            assert_eq!((seen.status.as_u16(), seen.body.as_str()), (status, body));
        }
        // More than its window: it is answered without being read to its end.
        let seen = line.push(&path, &huge).await.unwrap();
        assert_eq!(seen.status, StatusCode::PAYLOAD_TOO_LARGE);
        let (mut parts, ()) = request(&path).into_parts();
        parts.headers.append("apns-priority", "5".parse().unwrap());
        parts.headers.append("apns-priority", "10".parse().unwrap());
        let twice = line.send(Request::from_parts(parts, ()), PAYLOAD).await;
        assert_eq!(twice.unwrap().body, r#"{"reason":"DuplicateHeaders"}"#);
        assert_eq!(rig.seen().await.0, 0);
        // The connection is as good as before.
        let accepted = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(accepted.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_provider_without_a_certificate_needs_a_bearer_token_and_has_one_stream() {
    with(async |rig: Rig| {
        let path = rig.path(3, 0);
        let line = Line::over(rig.tls(None).await).await;
        let seen = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(seen.body, r#"{"reason":"MissingProviderToken"}"#);
        assert_eq!(line.sender.current_max_send_streams(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_push_certificate_of_another_topic_is_not_for_our_tokens() {
    with(async |rig: Rig| {
        let path = rig.path(3, 0);
        let now = crate::engine::clock::wall_now();
        let other = "com.apple.mgmt.External.other";
        let other = rig.state.apns_authority.push_certificate(other, now);
        let line = Line::over(rig.tls(Some(&other.unwrap())).await).await;
        let seen = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(seen.body, r#"{"reason":"DeviceTokenNotForTopic"}"#);
    })
    .await;
}

#[tokio::test]
async fn an_old_token_is_refused_as_soon_as_a_worker_hears_that_the_new_one_is_known() {
    with(async |rig: Rig| {
        let (to, mut changes) = mpsc::channel(1);
        let mut announcer = Announcer::new(to);
        assert!(is_accepted(&rig.push(0).await));
        for (epoch, old, new) in [(Some(1), 0, 1), (None, 1, 1), (Some(2), 1, 2)] {
            let gate = announcer.announce(CHANNEL, epoch, WallTime::default());
            rig.gateway.learn(changes.recv().await.unwrap());
            gate.await.unwrap();
            let refused = PushResult::Refused(Reason::Unregistered);
            assert_eq!(rig.push(old).await, refused);
            assert_eq!(is_accepted(&rig.push(new).await), epoch.is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn a_stale_token_is_answered_with_the_millisecond_it_went() {
    with(async |rig: Rig| {
        let (to, mut changes) = mpsc::channel(1);
        let mut announcer = Announcer::new(to);
        let since = WallTime::from_unix_micros(1_700_000_000_123_456);
        let _gate = announcer.announce(Channel::device(DeviceId(3)), Some(1), since);
        rig.gateway.learn(changes.recv().await.unwrap());
        let line = rig.line().await;
        let seen = line.push(&rig.path(3, 0), PAYLOAD).await.unwrap();
        assert_eq!(seen.status, StatusCode::GONE);
        let body = r#"{"reason":"Unregistered","timestamp":1700000000123}"#;
        assert_eq!(seen.body, body);
    })
    .await;
}

#[tokio::test]
async fn an_expired_push_certificate_ends_what_stands_and_lets_nobody_in() {
    with(async |mut rig: Rig| {
        assert!(is_accepted(&rig.push(0).await));
        let line = rig.line().await;
        line.push(&rig.path(3, 0), PAYLOAD).await.unwrap();
        rig.seen().await;
        rig.gateway.expire_certificate();
        let ended = line.ended().await;
        assert!(ended.is_ok(), "{ended:?}");
        // The first may still go out on the connection that is about to end.
        for _ in 0..2 {
            rig.push(0).await;
        }
        let PushResult::Failed { why } = rig.push(0).await else {
            panic!("a provider with an expired certificate was let in")
        };
        assert!(why.contains("CertificateExpired"), "{why}");
        let why = NoEntry::Certificate("the push certificate is expired".to_owned());
        let (_, facts) = rig.seen().await;
        assert!(
            facts.contains(&FactKind::ProviderRefused { why }),
            "{facts:?}"
        );
        rig.gateway.renew_certificate();
        assert!(is_accepted(&rig.push(0).await));
    })
    .await;
}

#[tokio::test]
async fn a_hundred_connections_with_a_hundred_streams_each_lose_nothing() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let mut lines = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let line = rig.line().await;
            let path = path.clone();
            lines.spawn_local(async move {
                let mut answers = Vec::new();
                for _ in 0..100 {
                    answers.push(line.begin(request(&path), PAYLOAD).await.unwrap());
                }
                let mut accepted = 0;
                for answer in answers {
                    accepted += usize::from(answer.await.unwrap().status == StatusCode::OK);
                }
                accepted
            });
        }
        let accepted: usize = lines.join_all().await.into_iter().sum();
        let (pushes, facts) = rig.seen().await;
        assert_eq!((accepted, pushes), (10_000, 10_000));
        let is_received = |fact: &&FactKind| matches!(fact, FactKind::PushReceived { .. });
        assert_eq!(facts.iter().filter(is_received).count(), 10_000);
    })
    .await;
}
