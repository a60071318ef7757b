//! The APNs gateway: takes pushes from any provider over HTTP/2 and TLS with a client certificate,
//! as Apple's does, and hands them to the workers.
//!
//! What is let in is decided by [`Admission`]; the answer goes out as soon as the push is in its
//! owner's mailbox, never after the device has acted. A provider with Apple's host name compiled in
//! comes through the CONNECT proxy on a port of its own.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
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
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::authority::topic_of;
use super::clock::Clock;
use super::losses::Losses;
use super::ports::{Ports, Undecided};
use super::provider_tls::PushCertificate;
use super::tokens::TokenChange;
use crate::apns::admission::{Admission, Incoming, PAYLOAD_MAX};
use crate::fact::FactKind;
use crate::ids::{Channel, PushId};
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
    admission: RefCell<Admission>,
    ports: Ports,
    clock: Clock,
    certificate: PushCertificate,
    /// How often every connection was ended with GOAWAY.
    goaways: watch::Sender<u32>,
    losses: RefCell<Option<Losses>>,
}

impl Gateway {
    pub(super) fn new(
        admission: Admission,
        ports: Ports,
        clock: Clock,
        certificate: PushCertificate,
    ) -> Rc<Self> {
        Rc::new(Self {
            admission: RefCell::new(admission),
            ports,
            clock,
            certificate,
            goaways: watch::Sender::new(0),
            losses: RefCell::default(),
        })
    }

    /// Takes note of a channel's new token, and tells whoever waits for that.
    pub(super) fn learn(&self, change: TokenChange) {
        let TokenChange {
            channel,
            epoch,
            since,
            known,
        } = change;
        let mut admission = self.admission.borrow_mut();
        match epoch {
            Some(epoch) => admission.token_changed(channel, epoch, since),
            None => admission.unregistered(channel, since),
        }
        // A device that has left the network waits no more.
        let _ = known.send(());
    }

    /// The push certificate has expired: no provider is let in, and those that are in have to go.
    pub(super) fn expire_certificate(&self) {
        self.certificate.expire();
        self.goaways.send_modify(|count| *count += 1);
    }

    /// The push certificate is good again.
    pub(super) fn renew_certificate(&self) {
        self.certificate.renew();
    }

    /// Which pushes are lost from here on.
    pub(super) fn lose(&self, losses: Losses) {
        *self.losses.borrow_mut() = Some(losses);
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
                if let Some(why) = refusal(&error) {
                    self.note(FactKind::ProviderRefused { why });
                }
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
        let mut goaways = self.goaways.subscribe();
        let service = hyper::service::service_fn(move |request| {
            let (gateway, topic) = (Rc::clone(&self), Arc::clone(&topic));
            async move { gateway.answer(request, &topic).await }
        });
        let connection = hyper::server::conn::http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_MAX)
            .serve_connection(TokioIo::new(tls), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            Ok(()) = goaways.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(|error| error.to_string())
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
        let admitted = self.admission.borrow().admit(arrived, incoming);
        match admitted {
            Ok(admitted) => {
                let channel = admitted.channel;
                let is_lost = self.loses(push, channel);
                if !is_lost {
                    self.ports.forward(push, arrived, admitted).await;
                }
                self.note(FactKind::PushReceived {
                    push,
                    channel: Some(channel),
                    arrived,
                    status: 200,
                    reason: None,
                });
                if is_lost {
                    self.note(FactKind::PushLost { push, channel });
                }
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

    fn loses(&self, push: PushId, channel: Channel) -> bool {
        let losses = self.losses.borrow();
        losses.as_ref().is_some_and(|it| it.takes(push, channel))
    }

    fn note(&self, fact: FactKind) {
        self.ports.note(self.clock.now(), fact);
    }
}

/// Why a provider's certificate was refused; `None` when the handshake failed otherwise.
fn refusal(error: &std::io::Error) -> Option<String> {
    use rustls::CertificateError::{Expired, ExpiredContext, UnknownIssuer};
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    if *tls == rustls::Error::NoCertificatesPresented {
        return Some("it showed no certificate".into());
    }
    let rustls::Error::InvalidCertificate(why) = tls else {
        return None;
    };
    let is_expired = matches!(why, Expired | ExpiredContext { .. });
    let is_foreign = *why == UnknownIssuer;
    Some(match (is_expired, is_foreign) {
        (true, _) => "the push certificate is expired".into(),
        (_, true) => "the push certificate is of an unknown issuer".into(),
        (false, false) => tls.to_string(),
    })
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
