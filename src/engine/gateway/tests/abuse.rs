//! Clients that do what no provider does: each is cut off, and others do not notice.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::engine::clock::wall_now;
use crate::engine::gateway::Patience;

/// What a client begins HTTP/2 with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// SETTINGS without a setting.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Another provider's push goes through.
async fn others_do_not_notice(rig: &Rig) {
    assert!(is_accepted(&rig.push(0).await));
}

/// Reads to the end, however that is.
async fn read_out(tls: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = tokio::time::timeout(LONG, tls.read_to_end(&mut read))
        .await
        .unwrap();
    read
}

#[tokio::test]
async fn garbage_instead_of_tls_is_cut_off() {
    with(async |mut rig: Rig| {
        others_do_not_notice(&rig).await;
        let mut tcp = TcpStream::connect(rig.direct).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let why = rig.cut().await;
        assert!(why.contains("TLS"), "{why}");
        others_do_not_notice(&rig).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_our_authority_is_told_of_as_refused() {
    with(async |mut rig: Rig| {
        let (other, _) = crate::engine::authority::Authority::create("other", wall_now()).unwrap();
        let target = PushTarget {
            address: rig.direct,
            server_name: "api.push.apple.com".into(),
            authority: Some(other.certificate_pem()),
            expires_after: None,
        };
        rig.provider = PushClient::new(target, &rig.state.push).unwrap();
        assert!(matches!(rig.push(0).await, PushResult::Failed { .. }));
        let fact = rig.fact(|it| {
            matches!(
                it,
                FactKind::ProviderRefused { .. } | FactKind::ProviderCut { .. }
            )
        });
        let fact = format!("{:?}", fact.await);
        assert!(fact.contains("does not trust the gateway"), "{fact}");
    })
    .await;
}

#[tokio::test]
async fn garbage_instead_of_http_2_is_cut_off() {
    with(async |mut rig: Rig| {
        others_do_not_notice(&rig).await;
        for garbage in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            &[PREFACE, SETTINGS, &[0xff; 64]].concat(),
            &[
                PREFACE,
                SETTINGS,
                SETTINGS,
                &[0, 0, 3, 0, 1, 0, 0, 0, 1, 7, 7, 7],
            ]
            .concat(),
        ] {
            let mut tls = rig.tls(Some(&rig.state.push)).await;
            tls.write_all(garbage).await.unwrap();
            let why = rig.cut().await;
            assert!(why.contains("HTTP/2"), "{why}");
            read_out(&mut tls).await;
        }
        others_do_not_notice(&rig).await;
    })
    .await;
}

#[tokio::test]
async fn headers_beyond_all_measure_are_cut_off() {
    with(async |mut rig: Rig| {
        others_do_not_notice(&rig).await;
        let line = rig.line().await;
        let (mut parts, ()) = request("/3/device/00").into_parts();
        let long = "x".repeat(40_000).parse().unwrap();
        parts.headers.insert("apns-topic", long);
        let sent = line.send(Request::from_parts(parts, ()), PAYLOAD).await;
        assert!(!matches!(&sent, Ok(seen) if seen.status == StatusCode::OK));
        let why = rig.cut().await;
        assert!(why.contains("headers") || why.contains("HTTP/2"), "{why}");
        others_do_not_notice(&rig).await;
    })
    .await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_are_cut_off() {
    with(async |mut rig: Rig| {
        others_do_not_notice(&rig).await;
        let line = rig.line().await;
        let path = rig.path(3, 0);
        let flood = async {
            for _ in 0..10_000 {
                let Ok(mut sender) = line.sender.clone().ready().await else {
                    return;
                };
                let Ok((_, mut body)) = sender.send_request(request(&path), false) else {
                    return;
                };
                tokio::task::yield_now().await;
                body.send_reset(h2::Reason::CANCEL);
            }
        };
        flood.await;
        let why = rig.cut().await;
        assert!(why.contains("reset") || why.contains("HTTP/2"), "{why}");
        assert!(line.push(&path, PAYLOAD).await.is_err());
        others_do_not_notice(&rig).await;
    })
    .await;
}

#[tokio::test]
async fn frames_without_a_push_are_cut_off() {
    with(async |mut rig: Rig| {
        others_do_not_notice(&rig).await;
        let mut tls = rig.tls(Some(&rig.state.push)).await;
        tls.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
        // WINDOW_UPDATE of the connection, by one.
        let update = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(100);
        for _ in 0..200 {
            if tls.write_all(&update).await.is_err() {
                break;
            }
        }
        let why = rig.cut().await;
        assert!(why.contains("again and again"), "{why}");
        others_do_not_notice(&rig).await;
    })
    .await;
}

#[tokio::test]
async fn a_payload_that_trickles_in_is_cut_off() {
    let settings = Settings {
        patience: Patience {
            payload: Duration::from_millis(50),
            ..Patience::default()
        },
        ..Settings::default()
    };
    with_settings(settings, async |mut rig: Rig| {
        others_do_not_notice(&rig).await;
        let line = rig.line().await;
        let path = rig.path(3, 0);
        let mut sender = line.sender.clone().ready().await.unwrap();
        let (answer, mut body) = sender.send_request(request(&path), false).unwrap();
        body.send_data(Bytes::from_static(b"{"), false).unwrap();
        assert!(answer.await.is_err());
        assert_eq!(rig.cut().await, "a payload did not come in time");
        others_do_not_notice(&rig).await;
    })
    .await;
}

#[tokio::test]
async fn a_silent_client_is_cut_off() {
    let settings = Settings {
        patience: Patience {
            handshake: Duration::from_millis(300),
            ..Patience::default()
        },
        ..Settings::default()
    };
    with_settings(settings, async |mut rig: Rig| {
        let _silent = TcpStream::connect(rig.direct).await.unwrap();
        let why = rig.cut().await;
        assert!(why.contains("in time"), "{why}");
    })
    .await;
}

#[tokio::test]
async fn connections_that_are_opened_and_dropped_leave_nothing() {
    with(async |rig: Rig| {
        others_do_not_notice(&rig).await;
        let before = Rc::strong_count(&rig.gateway);
        for index in 0..10_000 {
            let tcp = TcpStream::connect(rig.direct).await.unwrap();
            // Some get further than others.
            if index % 50 == 0 {
                let tls = rig
                    .tls_over(tcp, "api.push.apple.com", Some(&rig.state.push))
                    .await;
                drop(Line::over(tls).await.sender);
            }
        }
        let gone = async {
            while Rc::strong_count(&rig.gateway) > before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, gone).await.unwrap();
        others_do_not_notice(&rig).await;
    })
    .await;
}
