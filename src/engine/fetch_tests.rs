//! The client of errands against servers over loopback, well-behaved and otherwise.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::authority::{Authority, LOCAL_NAMES};
use super::clock::{Clock, wall_now};
use super::connection::Connector;
use super::endpoint::Endpoint;
use super::fetch::{Fetch, Fetched, Fetcher, Kept};
use super::http1::{BODY_MAX, Headers, Heard, Times};
use super::http2::{ALPN, ALPN_HTTP1};
use super::identity::{ClientTls, roots_of_pem};
use super::permits::Permits;
use super::redirect::PublicTargets;
use crate::fact::Broken;

/// A server whose certificate `authority` vouches for.
pub(super) struct Server {
    authority: Authority,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server {
    pub(super) async fn offering(protocols: &[&[u8]]) -> Self {
        let (authority, _) = Authority::create("test", wall_now()).unwrap();
        let leaf = authority.server_certificate(&LOCAL_NAMES, wall_now());
        let leaf = leaf.unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let mut config = config
            .with_single_cert(leaf.chain.clone(), leaf.key.clone_key())
            .unwrap();
        config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self {
            authority,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(super) fn tls(&self) -> ClientTls {
        let roots = roots_of_pem(&self.authority.certificate_pem()).unwrap();
        ClientTls::new(roots, 0, "http/1.1").unwrap()
    }

    fn fetcher(&self, timeout: Duration) -> Fetcher {
        let roots = roots_of_pem(&self.authority.certificate_pem()).unwrap();
        let (clock, permits) = (Clock::start(), Permits::unbounded());
        Fetcher::new(clock, permits, roots, PublicTargets::Refused, timeout).unwrap()
    }

    async fn accept(&self) -> TlsStream<TcpStream> {
        let (tcp, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(tcp).await.unwrap()
    }

    /// Serves [`answer`] from now on.
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    pub(super) fn serve(self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let (tcp, _) = self.listener.accept().await.unwrap();
                let acceptor = self.acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let peer = format!("{}", stream.get_ref().0.peer_addr().unwrap());
                    let service = service_fn(move |request| answer(request, peer.clone()));
                    let builder = Builder::new(TokioExecutor::new());
                    // However it ends, the client tells.
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        })
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: String,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let to = |status: u16, location: &str| {
        let answer = Response::builder().status(status);
        let answer = answer.header(LOCATION, location);
        answer.body(Full::default()).unwrap()
    };
    let said = format!("{} {:?}", request.method(), request.version());
    let has_credentials = request.headers().contains_key(AUTHORIZATION);
    Ok(match request.uri().path() {
        "/huge" => Response::new(Full::from(vec![b'x'; BODY_MAX + 1])),
        "/round" => to(302, "/round"),
        "/see" => to(303, "echo"),
        "/again" => to(307, "/echo"),
        "/public" => to(302, "https://8.8.8.8/"),
        "/plain" => to(302, "http://127.0.0.1/"),
        "/away" => to(302, "https://localhost:1/"),
        "/sign-in" => to(302, "apple-remotemanagement-user-login://done?token=1"),
        "/silent" => std::future::pending().await,
        _ => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let text = format!("{said} {} {has_credentials}", body.len());
            let answer = Response::builder().header("peer", peer);
            answer.body(Full::from(text)).unwrap()
        }
    })
}

const SOON: Duration = Duration::from_secs(20);

async fn fetched(protocols: &[&[u8]], path: &str) -> Result<Fetched, Broken> {
    let server = Server::offering(protocols).await;
    let fetcher = server.fetcher(SOON);
    let url = format!("https://{}{path}", server.address());
    let serving = server.serve();
    let fetched = fetcher.fetch(Fetch::post(&url, b"body")).await;
    serving.abort();
    fetched
}

fn text(fetched: &Fetched) -> &str {
    std::str::from_utf8(&fetched.body).unwrap()
}

#[tokio::test]
async fn the_version_is_what_the_server_agrees_to() {
    for (protocols, version) in [
        (&[ALPN, ALPN_HTTP1][..], "HTTP/2.0"),
        (&[ALPN_HTTP1], "HTTP/1.1"),
        (&[], "HTTP/1.1"),
    ] {
        let fetched = fetched(protocols, "/echo?x=1").await.unwrap();
        assert_eq!(text(&fetched), format!("POST {version} 4 false"));
        assert_eq!(fetched.status, 200);
        assert!(fetched.header("peer").is_some());
    }
}

#[tokio::test]
async fn redirects_are_followed_as_http_clients_do() {
    for protocols in [&[ALPN][..], &[ALPN_HTTP1]] {
        let again = fetched(protocols, "/again").await.unwrap();
        assert!(text(&again).starts_with("POST") && text(&again).contains(" 4 "));
        let see = fetched(protocols, "/see").await.unwrap();
        assert!(text(&see).starts_with("GET") && text(&see).contains(" 0 "));
        let sign_in = fetched(protocols, "/sign-in").await.unwrap();
        assert_eq!(sign_in.status, 302);
        assert!(sign_in.header("location").unwrap().contains("token=1"));
    }
}

#[tokio::test]
async fn what_leads_astray_or_is_too_large_is_an_error_that_says_so() {
    for protocols in [&[ALPN][..], &[ALPN_HTTP1]] {
        let says = async |path: &str| fetched(protocols, path).await.unwrap_err().to_string();
        assert!(says("/huge").await.contains("more than 4194304 bytes"));
        assert!(says("/round").await.contains("more than 5 redirects"));
        assert!(says("/public").await.contains("a public address"));
        assert!(says("/plain").await.contains("between http and https"));
    }
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_given_up_after_the_timeout() {
    let server = Server::offering(&[ALPN]).await;
    let fetcher = server.fetcher(Duration::from_millis(200));
    let url = format!("https://{}/silent", server.address());
    let serving = server.serve();
    let silent = fetcher.fetch(Fetch::get(&url)).await;
    assert_eq!(silent.unwrap_err(), Broken::TimedOut);
    serving.abort();
}

#[tokio::test]
async fn an_errand_keeps_its_connection_and_its_credentials_to_itself() {
    let server = Server::offering(&[ALPN]).await;
    let fetcher = server.fetcher(SOON);
    let base = format!("https://{}", server.address());
    let serving = server.serve();
    let mut kept = Kept::default();
    let bearer = [(AUTHORIZATION, HeaderValue::from_static("Bearer 1"))];
    let mut peers = Vec::new();
    for _ in 0..3 {
        let url = format!("{base}/echo");
        let fetch = Fetch {
            headers: &bearer,
            ..Fetch::get(&url)
        };
        let fetched = fetcher.fetch_over(&mut kept, fetch).await.unwrap();
        assert!(text(&fetched).ends_with("true"));
        peers.push(fetched.header("peer").unwrap().to_owned());
    }
    assert!(peers.iter().all(|peer| *peer == peers[0]), "{peers:?}");
    let other = fetcher.fetch(Fetch::get(&format!("{base}/echo"))).await;
    assert_ne!(other.unwrap().header("peer"), Some(&*peers[0]));
    serving.abort();
}

#[tokio::test]
async fn a_stranger_is_not_trusted_until_a_profile_vouches_for_it() {
    let server = Server::offering(&[ALPN]).await;
    let (stranger, _) = Authority::create("stranger", wall_now()).unwrap();
    let roots = roots_of_pem(&stranger.certificate_pem()).unwrap();
    let (clock, permits) = (Clock::start(), Permits::unbounded());
    let fetcher = Fetcher::new(clock, permits, roots, PublicTargets::Refused, SOON).unwrap();
    let url = format!("https://{}/echo", server.address());
    let ca = super::authority::certificates_of(&server.authority.certificate_pem()).unwrap();
    let serving = server.serve();
    let refused = fetcher.fetch(Fetch::get(&url)).await;
    assert!(matches!(refused, Err(Broken::Tls(_))), "{refused:?}");
    let trust = fetcher.trusting(&ca).unwrap();
    let fetch = Fetch {
        trust: Some(&trust),
        ..Fetch::get(&url)
    };
    assert_eq!(fetcher.fetch(fetch).await.unwrap().status, 200);
    let late = Fetch {
        trust: Some(&trust),
        ahead_us: 100 * 365 * 86_400 * 1_000_000,
        ..Fetch::get(&url)
    };
    let expired = fetcher.fetch(late).await.unwrap_err().to_string();
    assert!(expired.contains("the device's clock shows"), "{expired}");
    serving.abort();
}

#[tokio::test]
async fn a_header_of_ours_reaches_the_server_over_both_versions() {
    let name = HeaderName::from_static("x-apple-aspen-deviceinfo");
    let headers = [(name, HeaderValue::from_static("AAAA"))];
    for protocols in [&[ALPN][..], &[ALPN_HTTP1]] {
        let server = Server::offering(protocols).await;
        let fetcher = server.fetcher(SOON);
        let url = format!("https://{}/", server.address());
        let fetch = Fetch {
            headers: &headers,
            ..Fetch::get(&url)
        };
        let serve = async {
            let service = service_fn(|request: Request<Incoming>| async move {
                let found = request.headers().get("x-apple-aspen-deviceinfo").cloned();
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
                    found.unwrap().to_str().unwrap().to_owned(),
                )))
            });
            let stream = TokioIo::new(server.accept().await);
            let builder = Builder::new(TokioExecutor::new());
            // The client goes when it has its answer.
            let _ = builder.serve_connection(stream, service).await;
        };
        let (fetched, ()) = tokio::join!(fetcher.fetch(fetch), serve);
        assert_eq!(text(&fetched.unwrap()), "AAAA");
    }
}

/// What a device gets over HTTP/2 from a server that does `how` to its streams.
async fn over_http2<F>(requests: usize, how: F) -> Vec<(Result<u16, Broken>, Heard)>
where
    F: AsyncFn(&mut h2::server::Connection<TlsStream<TcpStream>, Bytes>),
{
    let server = Server::offering(&[ALPN]).await;
    let endpoint = Endpoint::resolve(&format!("https://{}", server.address())).unwrap();
    let tls = server.tls().offering(&[ALPN]).config_for(None);
    let ours = async {
        let connector = Connector::new(&endpoint).unwrap();
        let mut connection = connector.connect(Some(tls)).await.unwrap();
        let mut outcomes = Vec::new();
        for _ in 0..requests {
            let request = b"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";
            let times = Cell::new(Times::default());
            let received = connection
                .exchange(Clock::start(), request, &times, Headers::Dropped)
                .await;
            assert!(times.get().sent.is_some());
            let status = received.map(|received| received.answer.status);
            outcomes.push((status, times.get().heard));
        }
        outcomes
    };
    let theirs = async {
        let mut connection = h2::server::handshake(server.accept().await).await.unwrap();
        how(&mut connection).await;
    };
    tokio::join!(ours, theirs).0
}

#[tokio::test]
async fn a_refused_stream_and_a_goaway_are_a_closed_connection() {
    let refused = over_http2(1, async |connection| {
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        // Until the client hangs up.
        let _ = std::future::poll_fn(|context| connection.poll_closed(context)).await;
    });
    let refused = refused.await;
    assert!(
        matches!(refused[..], [(Err(Broken::Cut(_)), Heard::NotProcessed)]),
        "{refused:?}"
    );

    let given_up = over_http2(1, async |connection| {
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_reset(h2::Reason::CANCEL);
        let _ = std::future::poll_fn(|context| connection.poll_closed(context)).await;
    });
    let given_up = given_up.await;
    assert!(
        matches!(given_up[..], [(Err(Broken::Cut(_)), Heard::GivenUp)]),
        "{given_up:?}"
    );

    let left = over_http2(2, async |connection| {
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        connection.graceful_shutdown();
        // Until the client hangs up.
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    let left = left.await;
    assert!(
        matches!(left[..], [(Ok(200), _), (Err(Broken::Cut(_)), _)]),
        "{left:?}"
    );
}

/// Answers the first request of each connection, and hangs up on the second.
async fn serve_one_each(listener: TcpListener) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut read = [0; 1024];
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut read).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read(&mut read).await.unwrap();
    }
}

#[tokio::test]
async fn what_uses_something_up_is_not_sent_twice() {
    let server = Server::offering(&[]).await;
    let fetcher = server.fetcher(SOON);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let ours = async {
        let mut kept = Kept::default();
        let first = fetcher.fetch_over(&mut kept, Fetch::get(&url)).await;
        assert_eq!(first.unwrap().status, 200);
        let again = fetcher.fetch_over(&mut kept, Fetch::get(&url)).await;
        assert_eq!(again.unwrap().status, 200);
        let posted = fetcher.fetch_over(&mut kept, Fetch::post(&url, b"once"));
        let posted = posted.await;
        assert!(matches!(posted, Err(Broken::Cut(_))), "{posted:?}");
    };
    tokio::select! {
        () = ours => {}
        () = serve_one_each(listener) => {}
    }
}

#[tokio::test]
async fn what_is_no_http2_is_malformed() {
    let server = Server::offering(&[ALPN]).await;
    let fetcher = server.fetcher(SOON);
    let url = format!("https://{}/", server.address());
    let serve = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = server.accept().await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        // Until the client hangs up.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let (fetched, ()) = tokio::join!(fetcher.fetch(Fetch::get(&url)), serve);
    assert!(matches!(fetched, Err(Broken::Malformed(_))), "{fetched:?}");
}

#[tokio::test]
async fn a_target_that_does_not_agree_on_what_is_asked_for_is_refused() {
    let server = Server::offering(&[]).await;
    let endpoint = Endpoint::resolve(&format!("https://{}", server.address())).unwrap();
    let tls = server.tls().offering(&[ALPN]).config_for(None);
    let connector = Connector::new(&endpoint).unwrap();
    let (refused, _) = tokio::join!(connector.connect(Some(tls)), server.accept());
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("does not agree on HTTP/2"), "{refused}");
}

/// Errands opened connections as they liked, past the limits on sockets and handshakes, and were in
/// no count.
#[tokio::test]
async fn an_errand_waits_for_the_permits_of_sessions_and_that_wait_is_ours() {
    let server = Server::offering(&[]).await;
    let permits = Permits {
        sockets: Arc::new(Semaphore::new(1)),
        ..Permits::unbounded()
    };
    let roots = roots_of_pem(&server.authority.certificate_pem()).unwrap();
    let (clock, public) = (Clock::start(), PublicTargets::Refused);
    let fetcher = Fetcher::new(clock, permits.clone(), roots, public, SOON).unwrap();
    let url = format!("https://{}/", server.address());
    let serving = server.serve();

    let (ours, mut kept) = (Cell::new(Duration::ZERO), Kept::default());
    let of_a_session = permits.socket().await;
    let fetch = Fetch {
        ours: Some(&ours),
        ..Fetch::get(&url)
    };
    let wait = Duration::from_millis(2);
    let session_ends = async {
        let since = clock.now();
        while clock.now().since(since) < wait {
            tokio::task::yield_now().await;
        }
        assert_eq!(permits.open_sockets.highest(), 0);
        drop(of_a_session);
    };
    let (fetched, ()) = tokio::join!(fetcher.fetch_over(&mut kept, fetch), session_ends);
    assert_eq!(fetched.unwrap().status, 200);
    assert!(ours.get() >= wait, "{:?}", ours.get());
    let again = fetcher.fetch_over(&mut kept, Fetch::get(&url)).await;
    assert_eq!(again.unwrap().status, 200);
    assert_eq!(permits.sockets.available_permits(), 0);
    assert_eq!(permits.open_sockets.highest(), 1);
    assert_eq!(permits.connections.seen().all, 1);
    kept.close();
    assert_eq!(permits.sockets.available_permits(), 1);
    serving.abort();
}
