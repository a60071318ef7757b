//! What happens to every provider at once, as each of them sees it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::apns::service::{Rate, Service, ServiceChange};
use crate::engine::gateway::Patience;
use crate::protocol::push::Reason;
use crate::seed::Dist;

/// Waits until the client knows this limit of streams.
async fn limited_to(line: &Line, streams: usize) {
    let known = async {
        while line.sender.current_max_send_streams() != streams {
            tokio::task::yield_now().await;
        }
    };
    let last = line.sender.current_max_send_streams();
    let known = tokio::time::timeout(LONG, known).await;
    assert!(known.is_ok(), "the limit is {last}, not {streams}");
}

#[tokio::test]
async fn an_outage_resets_what_stands_and_closes_what_comes() {
    with(async |mut rig: Rig| {
        let line = rig.line().await;
        line.push(&rig.path(3, 0), PAYLOAD).await.unwrap();
        rig.gateway.service(ServiceChange::Out(true));
        let ended = line.ended().await.unwrap_err();
        assert!(ended.is_io(), "{ended:?}");
        assert!(matches!(rig.push(0).await, PushResult::Failed { .. }));
        let is_refused = |fact: &FactKind| matches!(fact, FactKind::ProviderRefused { .. });
        rig.fact(is_refused).await;
        rig.gateway.service(ServiceChange::Out(false));
        assert!(is_accepted(&rig.push(0).await));
    })
    .await;
}

#[tokio::test]
async fn everybody_is_told_to_go_with_the_reason() {
    with(async |rig: Rig| {
        assert!(is_accepted(&rig.push(0).await));
        let mut tls = rig.tls(Some(&rig.state.push)).await;
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
        tls.write_all(&begin).await.unwrap();
        // The gateway's own SETTINGS: it has taken the connection.
        let mut head = [0; 9];
        tls.read_exact(&mut head).await.unwrap();
        rig.gateway.service(ServiceChange::GoAway(Reason::Shutdown));
        let mut rest = Vec::new();
        tls.read_to_end(&mut rest).await.unwrap();
        let why = br#"{"reason":"Shutdown"}"#;
        // GOAWAY (7) of the connection: no stream was looked at, and there is no error.
        let length = 8 + why.len() as u8;
        let head = [0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let goaway = [&head[..], why].concat();
        let is_there = rest.windows(goaway.len()).any(|it| it == goaway);
        assert!(is_there, "{rest:?}");
        assert!(is_accepted(&rig.push(0).await));
    })
    .await;
}

#[tokio::test]
async fn streams_are_limited_from_the_start_and_while_a_connection_stands() {
    let settings = Settings {
        service: Service {
            streams: 7,
            ..Service::default()
        },
        ..Settings::default()
    };
    with_settings(settings, async |rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        line.push(&path, PAYLOAD).await.unwrap();
        limited_to(&line, 7).await;
        for streams in [1, 900, 3] {
            rig.gateway.service(ServiceChange::Streams(streams));
            limited_to(&line, streams as usize).await;
        }
        let answers = (0..20).map(|_| async { rig.push(0).await });
        let answers = futures_util::future::join_all(answers).await;
        assert!(answers.iter().all(is_accepted));
    })
    .await;
}

#[tokio::test]
async fn a_rejected_push_lowers_the_streams_until_one_is_accepted() {
    let settings = Settings {
        service: Service {
            lowers_streams: true,
            ..Service::default()
        },
        ..Settings::default()
    };
    with_settings(settings, async |rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        for _ in 0..3 {
            let seen = line.push("/3/device/00", PAYLOAD).await.unwrap();
            assert_eq!(seen.status, StatusCode::BAD_REQUEST);
            limited_to(&line, 1).await;
            let seen = line.push(&path, PAYLOAD).await.unwrap();
            assert_eq!(seen.status, StatusCode::OK);
            limited_to(&line, 1000).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_is_pushed_to_as_often_as_it_may_be() {
    with(async |rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.gateway.service(ServiceChange::Rate(Some(Rate {
            pushes: 2,
            per: Duration::from_secs(3600),
        })));
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(line.push(&path, PAYLOAD).await.unwrap().status.as_u16());
        }
        assert_eq!(statuses, [200, 200, 429]);
        let other = line.push(&rig.path(4, 0), PAYLOAD).await.unwrap();
        assert_eq!(other.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_ends_answers_what_is_under_way() {
    with(async |rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        let short = Dist::Constant(Duration::from_millis(40));
        rig.fault_nth(1, Fault::Slow(short));
        let slow = line.begin(request(&path), PAYLOAD).await.unwrap();
        // It has been read once another one is answered.
        line.push(&path, PAYLOAD).await.unwrap();
        rig.gateway.shut_down();
        assert_eq!(slow.await.unwrap().status, StatusCode::OK);
        assert!(line.ended().await.is_ok());
        assert!(TcpStream::connect(rig.direct).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let settings = Settings {
        patience: Patience {
            idle: Duration::from_millis(50),
            payload: Duration::from_millis(50),
            ..Patience::default()
        },
        ..Settings::default()
    };
    with_settings(settings, async |rig: Rig| {
        assert!(rig.line().await.ended().await.is_ok());
    })
    .await;
}

/// What the proxy says to a CONNECT.
async fn connect(rig: &Rig, target: &str) -> (String, TcpStream) {
    let mut tcp = TcpStream::connect(rig.proxy).await.unwrap();
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tcp.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    (answer.lines().next().unwrap().to_owned(), tcp)
}

#[tokio::test]
async fn a_provider_with_apples_name_compiled_in_comes_through_the_proxy() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        for host in ["api.push.apple.com:443", "api.sandbox.push.apple.com:2197"] {
            let (said, tcp) = connect(&rig, host).await;
            assert_eq!(said, "HTTP/1.1 200 Connection Established");
            let name = "api.push.apple.com";
            let tls = rig.tls_over(tcp, name, Some(&rig.state.push)).await;
            let line = Line::over(tls).await;
            let seen = line.push(&path, PAYLOAD).await.unwrap();
            assert_eq!(seen.status, StatusCode::OK);
        }
        let (said, _) = connect(&rig, "example.com:443").await;
        assert_eq!(said, "HTTP/1.1 403 Forbidden");
        rig.gateway.service(ServiceChange::RefuseConnect(true));
        let (said, _) = connect(&rig, "api.push.apple.com:443").await;
        assert_eq!(said, "HTTP/1.1 403 Forbidden");
        let is_refused = |fact: &FactKind| matches!(fact, FactKind::ProviderRefused { .. });
        rig.fact(is_refused).await;
        rig.gateway.service(ServiceChange::RefuseConnect(false));
        let (said, _) = connect(&rig, "api.push.apple.com:443").await;
        assert_eq!(said, "HTTP/1.1 200 Connection Established");
    })
    .await;
}

#[tokio::test]
async fn an_allowed_host_is_tunnelled_to() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap();
    let settings = Settings {
        allow_hosts: vec![address.to_string()],
        ..Settings::default()
    };
    with_settings(settings, async |rig: Rig| {
        let (said, mut near) = connect(&rig, &address.to_string()).await;
        assert_eq!(said, "HTTP/1.1 200 Connection Established");
        let (mut far, _) = other.accept().await.unwrap();
        near.write_all(b"there").await.unwrap();
        far.write_all(b"back").await.unwrap();
        let (mut there, mut back) = ([0; 5], [0; 4]);
        far.read_exact(&mut there).await.unwrap();
        near.read_exact(&mut back).await.unwrap();
        assert_eq!((&there, &back), (b"there", b"back"));
    })
    .await;
}

/// The first client of a gateway, which has connected and said nothing, once the gateway has taken it.
async fn silent(rig: &Rig) -> TcpStream {
    let tcp = TcpStream::connect(rig.direct).await.unwrap();
    // Both doors look out for news, and the connection.
    let taken = async {
        while rig.gateway.standing.receiver_count() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, taken).await.unwrap();
    tcp
}

/// A client during whose TLS handshake the service changes.
async fn changed_meanwhile(rig: &Rig, change: ServiceChange) -> Line {
    let tcp = silent(rig).await;
    rig.gateway.service(change);
    let tls = rig.tls_over(tcp, "api.push.apple.com", Some(&rig.state.push));
    Line::over(tls.await).await
}

#[tokio::test]
async fn a_limit_that_comes_during_a_handshake_counts() {
    with(async |rig: Rig| {
        let line = changed_meanwhile(&rig, ServiceChange::Streams(7)).await;
        line.push(&rig.path(3, 0), PAYLOAD).await.unwrap();
        limited_to(&line, 7).await;
    })
    .await;
}

#[tokio::test]
async fn a_goaway_that_comes_during_a_handshake_is_said_after_it() {
    with(async |rig: Rig| {
        let line = changed_meanwhile(&rig, ServiceChange::GoAway(Reason::Shutdown)).await;
        assert!(line.ended().await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn an_outage_ends_what_has_not_begun() {
    with(async |rig: Rig| {
        let mut tcp = silent(&rig).await;
        rig.gateway.service(ServiceChange::Out(true));
        rig.gateway.service(ServiceChange::Out(false));
        let read = tokio::time::timeout(LONG, tcp.read(&mut [0; 8])).await;
        assert!(!matches!(read.unwrap(), Ok(1..)));
    })
    .await;
}

#[tokio::test]
async fn a_slow_acceptance_gives_the_streams_back() {
    let settings = Settings {
        service: Service {
            lowers_streams: true,
            ..Service::default()
        },
        ..Settings::default()
    };
    with_settings(settings, async |rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        line.push("/3/device/00", PAYLOAD).await.unwrap();
        limited_to(&line, 1).await;
        rig.fault(Fault::Slow(Dist::Constant(Duration::from_millis(20))));
        let seen = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(seen.status, StatusCode::OK);
        limited_to(&line, 1000).await;
    })
    .await;
}
