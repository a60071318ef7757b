//! The APNs gateway: takes pushes from any provider over HTTP/2 and TLS with a client certificate,
//! as Apple's does, and hands them to the workers.
//!
//! What is let in is decided by [`Admission`]; the answer goes out as soon as the push is in its
//! owner's mailbox, never after the device has acted. A provider with Apple's host name compiled in
//! comes through the CONNECT proxy on a port of its own.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::authority::topic_of;
use super::clock::Clock;
use super::ports::{Ports, Undecided};
use crate::apns::admission::{Admission, Incoming, PAYLOAD_MAX};
use crate::fact::FactKind;
use crate::time::SimTime;

/// How many streams a provider may have open on one connection (observed: 500 to 1500).
const STREAMS_MAX: u32 = 1000;

/// How many provider connections may be open; further ones wait in the kernel's queue.
pub(super) const CONNECTIONS_MAX: usize = 256;

/// How long a provider may take for its TLS handshake or the head of a CONNECT.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The most a push's headers may have, in bytes.
const HEADERS_MAX: u32 = 16 * 1024;

/// The gateway's listeners and what they share.
#[derive(Debug)]
pub(super) struct Gateway {
    admission: Admission,
    ports: Ports,
    clock: Clock,
}

impl Gateway {
    pub(super) fn new(admission: Admission, ports: Ports, clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            admission,
            ports,
            clock,
        })
    }

    /// Sends the facts noted so far to the recorder.
    pub(super) async fn flush(&self) {
        self.ports.flush().await;
    }

    /// Serves a listener until the task is dropped.
    pub(super) async fn listen(self: Rc<Self>, listener: TcpListener, door: Door) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= CONNECTIONS_MAX {
                connections.join_next().await;
            }
            match listener.accept().await {
                Ok((tcp, from)) => {
                    let gateway = Rc::clone(&self);
                    let door = door.clone();
                    connections.spawn_local(async move { gateway.admit(tcp, from, door).await });
                }
                Err(error) => {
                    // Out of descriptors, most likely: waiting is all that helps.
                    tracing::warn!(%error, "the gateway could not take a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn admit(self: Rc<Self>, tcp: TcpStream, from: SocketAddr, door: Door) {
        let _ = tcp.set_nodelay(true);
        let served = match door {
            Door::Tls(acceptor) => self.serve_tls(tcp, &acceptor).await,
            Door::Connect(acceptor) => {
                let connect = super::proxy::accept(tcp);
                match tokio::time::timeout(HANDSHAKE_MAX, connect).await {
                    Ok(Ok(tcp)) => self.serve_tls(tcp, &acceptor).await,
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("no CONNECT in time".into()),
                }
            }
        };
        if let Err(error) = served {
            tracing::debug!(%from, %error, "a provider's connection ended");
        }
    }

    async fn serve_tls<S>(self: Rc<Self>, stream: S, acceptor: &TlsAcceptor) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
        let tls = match handshake {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a provider's TLS handshake failed");
                return Err(error.to_string());
            }
            Err(_) => return Err("no TLS handshake in time".into()),
        };
        let certificate = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        let topic: Arc<str> = certificate
            .and_then(|der| topic_of(der))
            .unwrap_or_default()
            .into();
        let service = hyper::service::service_fn(move |request| {
            let (gateway, topic) = (Rc::clone(&self), Arc::clone(&topic));
            async move { gateway.answer(request, &topic).await }
        });
        hyper::server::conn::http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_MAX)
            .serve_connection(TokioIo::new(tls), service)
            .await
            .map_err(|error| error.to_string())
    }

    /// Answers one push.
    async fn answer(
        &self,
        request: Request<Body>,
        certificate_topic: &str,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let arrived = self.clock.now();
        let undecided = self.ports.next_push(arrived);
        let (head, body) = request.into_parts();
        let payload = read_payload(body).await?;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let incoming = Incoming {
            method: head.method.as_str(),
            path: head.uri.path(),
            certificate_topic,
            topic: header("apns-topic"),
            id: header("apns-id"),
            expiration: header("apns-expiration"),
            priority: header("apns-priority"),
            push_type: header("apns-push-type"),
            collapse_id: header("apns-collapse-id"),
            payload: &payload,
        };
        let id = incoming
            .id
            .map_or_else(|| self.ports.apns_id(arrived), str::to_owned);
        let (status, body) = self.decide(undecided, arrived, &incoming).await;
        self.ports.flush_full().await;
        let response = Response::builder().status(status).header("apns-id", id);
        Ok(response.body(Full::new(body.into())).unwrap_or_default())
    }

    async fn decide(
        &self,
        undecided: Undecided,
        arrived: SimTime,
        incoming: &Incoming<'_>,
    ) -> (StatusCode, Vec<u8>) {
        let push = undecided.push;
        match self.admission.admit(arrived, incoming) {
            Ok(admitted) => {
                let channel = Some(admitted.channel);
                self.ports.forward(push, arrived, admitted).await;
                self.note(FactKind::PushReceived {
                    push,
                    channel,
                    arrived,
                    status: 200,
                    reason: None,
                });
                (StatusCode::OK, Vec::new())
            }
            Err(refused) => {
                let reason = refused.refusal.reason;
                let status = reason.status();
                self.note(FactKind::PushReceived {
                    push,
                    channel: refused.channel,
                    arrived,
                    status,
                    reason: Some(reason.name().to_owned()),
                });
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                (status, refused.refusal.encode())
            }
        }
    }

    fn note(&self, fact: FactKind) {
        self.ports.note(self.clock.now(), fact);
    }
}

/// How a provider comes in.
#[derive(Clone)]
pub(super) enum Door {
    /// Straight, over TLS.
    Tls(TlsAcceptor),
    /// Through CONNECT, then TLS.
    Connect(TlsAcceptor),
}

/// Reads at most one byte more than a payload may have, which is enough to refuse it.
async fn read_payload(mut body: Body) -> Result<Bytes, hyper::Error> {
    let mut payload = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            payload.extend_from_slice(&data);
        }
        if payload.len() > PAYLOAD_MAX {
            break;
        }
    }
    Ok(payload.freeze())
}

/// Runs a connection's streams on the gateway's own thread.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        // hyper owns the stream's lifetime: the task ends with its connection.
        tokio::task::spawn_local(future);
    }
}
