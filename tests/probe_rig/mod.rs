//! A target that counts, and the requests of one device: all on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request as HttpRequest, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mdmstorm::device::contract::{Request, Trip};
use mdmstorm::engine::probe::Probe;
use mdmstorm::fact::Said;
use mdmstorm::ids::{Channel, RequestId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a target saw of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// A target that answers as it is told and counts.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) requests: mpsc::Receiver<Seen>,
    pub(crate) connections: Arc<AtomicU32>,
    _tasks: JoinSet<()>,
}

/// The answer to a request for this path: a status, and where to go instead.
pub(crate) type Answers = fn(&str, SocketAddr) -> (u16, Option<String>);

/// 200 without a body, whatever is asked.
pub(crate) const EMPTY: Answers = |_, _| (200, None);

impl Target {
    /// Over TLS when there is an acceptor. `other` is handed to `answers`.
    pub(crate) async fn start(
        tls: Option<TlsAcceptor>,
        answers: Answers,
        other: Option<SocketAddr>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let other = other.unwrap_or(address);
        let (told, requests) = mpsc::channel(64);
        let connections = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let (tls, told) = (tls.clone(), told.clone());
                sessions.spawn(async move {
                    let service =
                        service_fn(move |request| answer(request, told.clone(), answers, other));
                    let http = hyper::server::conn::http1::Builder::new();
                    // How a connection ends is the device's business.
                    let _ = match tls {
                        None => http.serve_connection(TokioIo::new(tcp), service).await,
                        Some(tls) => match tls.accept(tcp).await {
                            Ok(tls) => http.serve_connection(TokioIo::new(tls), service).await,
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self {
            address,
            requests,
            connections,
            _tasks: tasks,
        }
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn answer(
    request: HttpRequest<Incoming>,
    told: mpsc::Sender<Seen>,
    answers: Answers,
    other: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let (status, location) = answers(&path, other);
    let seen = Seen {
        method: head.method.to_string(),
        path,
        body: body.collect().await.unwrap().to_bytes(),
    };
    told.send(seen).await.unwrap();
    let mut response = Response::builder().status(status);
    if let Some(location) = location {
        response = response.header("location", location);
    }
    Ok(response.body(Full::default()).unwrap())
}

/// An Idle at the device's present time, `ahead_us` microseconds ahead of the right one.
pub(crate) fn idle(probe: &Probe, ahead_us: i64, trip: Trip) -> Request {
    let asked = probe.clock().now();
    let right = probe.clock().epoch().wall(asked);
    Request {
        id: RequestId(0),
        channel: Channel::default(),
        said: Said::Idle,
        body: b"idle"[..].into(),
        wall: mdmstorm::time::WallTime::from_unix_micros(right.unix_micros() + ahead_us),
        asked,
        trip,
    }
}

/// Longer than anything here takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
