//! The doors over plain HTTP/1.1: one that takes pushes in the shape of Fleet's development mock of
//! APNs, and one that only tells how the gateway is doing.
//!
//! | request | at the plain door | at the admin door |
//! | --- | --- | --- |
//! | `POST /3/device/{token}` | a push, to any token | - |
//! | `GET /events?token=` | the pushes of a token as server-sent events named `ping` | - |
//! | `GET /stats` | counters as JSON | the same |
//! | `GET /metrics` | counters in Prometheus' text format | the same |
//! | `GET /healthz` | `ok` | the same |
//!
//! A push to a token of ours goes the way it goes through TLS, as if its provider had shown our push
//! certificate. One to another token is kept for whoever listens to it ([`Pending`]).

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming as Body};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::{Answer as Answered, Asked, Headers, Verdict as Judged, received};
use super::events::{Bells, Listening};
use super::lookout::{Lookout, Sight, Verdict, Way};
use super::tasks::{next_connection, pass_on};
use super::{Gateway, metrics};
use crate::apns::admission::{Incoming, PAYLOAD_MAX};
use crate::apns::fault::Fault;
use crate::apns::pending::{self, Pending, Taken};
use crate::apns::provider::{Certificate, Environment, Provider};
use crate::apns::slot::Keep;
use crate::device::contract::Push;
use crate::engine::clock::Clock;
use crate::fact::NoEntry;
use crate::ids::hex_lower;
use crate::protocol::push::{self, Reason, Refusal};

/// How many connections may be open: a load rig keeps one for each device.
const CONNECTIONS_MAX: usize = 100_000;

/// How long a connection may be idle, and how long a push may take to come in.
const IDLE_MAX: Duration = Duration::from_secs(120);
const PUSH_MAX: Duration = Duration::from_secs(10);

/// How often pushes whose time is over are cleared away.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What an answer's body is.
pub(super) type Answer = Response<Either<Full<Bytes>, StreamBody<Events>>>;

/// The pushes of a token as they come.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>>>>;

/// What a door may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Role {
    /// Everything.
    Plain,
    /// How the gateway is doing.
    Admin,
}

/// Both doors, and what waits behind the first. Lives on the gateway's thread.
#[derive(Debug)]
pub(in crate::engine) struct Plain {
    gateway: Rc<Gateway>,
    lookout: Lookout,
    clock: Clock,
    /// The topic of our devices.
    topic: Arc<str>,
    pub(super) pending: RefCell<Pending>,
    pub(super) bells: RefCell<Bells>,
}

impl Plain {
    /// Doors to a gateway that is watched, for devices that enrolled with `topic`.
    pub(in crate::engine) fn new(
        gateway: Rc<Gateway>,
        lookout: Lookout,
        clock: Clock,
        topic: Arc<str>,
    ) -> Rc<Self> {
        Rc::new(Self {
            gateway,
            lookout,
            clock,
            topic,
            pending: RefCell::default(),
            bells: RefCell::default(),
        })
    }

    /// Serves a listener until the task is dropped.
    pub(in crate::engine) async fn listen(self: Rc<Self>, listener: TcpListener, role: Role) {
        let mut connections = JoinSet::new();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            let is_full = connections.len() >= CONNECTIONS_MAX;
            tokio::select! {
                (tcp, _) = next_connection(&listener, "plain"), if !is_full => {
                    connections.spawn_local(Rc::clone(&self).serve(tcp, role));
                }
                Some(joined) = connections.join_next() => pass_on(joined),
                _ = sweep.tick() => self.pending.borrow_mut().sweep(self.clock.now()),
            }
        }
    }

    async fn serve(self: Rc<Self>, tcp: TcpStream, role: Role) {
        let _ = tcp.set_nodelay(true);
        if role == Role::Plain && self.gateway.standing.borrow().service.is_out {
            return self.gateway.refuse_provider(NoEntry::Service);
        }
        let _open = self.lookout.connected();
        let service = service_fn(move |request| {
            let plain = Rc::clone(&self);
            async move {
                let answer = plain.answer(request, role).await;
                answer.ok_or("the scenario has no answer to this request")
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_MAX)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(tcp), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a plain connection ended");
        }
    }

    async fn answer(self: Rc<Self>, request: Request<Body>, role: Role) -> Option<Answer> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let is_out = || role == Role::Plain && self.gateway.standing.borrow().service.is_out;
        if is_out() {
            return None;
        }
        Some(match (role, &head.method, path) {
            (_, &Method::GET, "/stats") => {
                let stats = serde_json::to_vec_pretty(&self.tally().stats()).unwrap_or_default();
                text("application/json", stats)
            }
            (_, &Method::GET, "/metrics") => {
                let metrics = metrics::text(&self.tally());
                text("text/plain; version=0.0.4; charset=utf-8", metrics)
            }
            (_, &Method::GET, "/healthz") => text("text/plain", "ok\n"),
            (Role::Plain, &Method::GET, "/events") => self.events(head.uri.query()),
            (Role::Plain, ..) if path.starts_with("/3/device") => {
                match tokio::time::timeout(PUSH_MAX, read_payload(body)).await {
                    Ok(Ok(_)) if is_out() => return None,
                    Ok(Ok(payload)) => return self.push(&head, payload).await,
                    // The rest of the payload is still to come, so nothing else can on this
                    // connection: hyper closes it.
                    Err(_) => {
                        self.gateway.cut("a payload did not come in time");
                        refused(Reason::IdleTimeout)
                    }
                    Ok(Err(_)) => refused(Reason::IdleTimeout),
                }
            }
            (Role::Plain | Role::Admin, ..) => {
                let mut answer = text("text/plain", "there is nothing here; GET /stats\n");
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
            }
        })
    }

    /// Takes a push to any token; `None` when its connection is to end without an answer.
    async fn push(&self, head: &Parts, payload: Bytes) -> Option<Answer> {
        let token = head.uri.path().strip_prefix("/3/device/");
        let token = token.unwrap_or_default().to_ascii_lowercase();
        let arrived = self.clock.now();
        let push = self.gateway.ports.next_push();
        let is_ours = {
            let admission = self.gateway.admission.borrow();
            admission.owner(head.uri.path()).is_some()
        };
        let mut asked = Asked {
            push,
            arrived,
            now: arrived,
            door: Way::Plain,
            head,
            certificate: None,
            payload: &payload,
        };
        if !is_ours {
            return self.push_foreign(&asked, &token, &payload).await;
        }
        asked.certificate = Some(&self.topic);
        let certificate = Certificate::for_topic(&self.topic);
        let mut provider = Provider::new(Some(certificate), Environment::Production);
        let judged = self.gateway.judge(&asked, &mut provider);
        if self.gateway.is_behind() {
            self.gateway.catch_up().await;
        }
        given(judged).await
    }

    /// Takes a push to a token that is not ours. A fault that is about its way to a device, `delay`,
    /// `duplicate` or `reorder`, means nothing to it: it has none.
    async fn push_foreign(
        &self,
        asked: &Asked<'_>,
        token: &str,
        payload: &Bytes,
    ) -> Option<Answer> {
        let headers = Headers::of(&asked.head.headers);
        let incoming = headers.incoming(asked.head, payload);
        let checked = check(&incoming, token).and_then(|()| self.keep(asked.head));
        let (fault, owner) = match checked {
            Ok(_) => self.gateway.fault_of(asked),
            Err(_) => (None, None),
        };
        let struck = fault.as_ref().map(Fault::name);
        let (judged, fault) = match self.gateway.unseen(asked, &headers, fault, owner) {
            Ok(judged) => (Some(judged), None),
            Err(fault) => (None, fault),
        };
        let (name, is_lost, after) = match &fault {
            Some(Fault::Drop) => (struck, true, Duration::ZERO),
            Some(Fault::Slow(by)) => (struck, false, self.gateway.span(asked.push, by)),
            Some(_) => (None, false, Duration::ZERO),
            None => (struck, judged.is_some(), Duration::ZERO),
        };
        let taken = checked.and_then(|keep| {
            if is_lost {
                return Ok(());
            }
            match self.take(token, payload, keep) {
                Taken::Live(_) | Taken::Stored | Taken::Discarded => Ok(()),
                Taken::Full => Err(Reason::ServiceUnavailable),
            }
        });
        let status = taken.err().map_or(200, Reason::status);
        if judged.is_none() {
            let fact = received(asked, None, status, taken.err());
            self.gateway.ports.note(asked.now, fact);
        }
        let id = match incoming.id {
            Some(id) if taken != Err(Reason::BadMessageId) => id.to_owned(),
            Some(_) | None => {
                let id = self.gateway.new_id(asked.push);
                id.to_str().unwrap_or_default().to_owned()
            }
        };
        let verdict = Verdict::Answered {
            status,
            reason: taken.err().map(|reason| reason.name().to_owned()),
        };
        self.lookout.saw(Sight {
            push: asked.push,
            arrived: self.clock.epoch().wall(asked.arrived),
            door: Way::Plain,
            incoming: &incoming,
            owner: None,
            topic: incoming.topic,
            apns_id: judged.as_ref().map_or(&*id, Judged::apns_id),
            verdict: &judged.as_ref().map_or(verdict, Judged::seen),
            fault: name,
        });
        self.gateway.catch_up().await;
        if let Some(judged) = judged {
            return given(judged).await;
        }
        tokio::time::sleep(after).await;
        Some(accepted(taken, &id))
    }

    /// Takes a push to a token of ours that no device takes.
    pub(in crate::engine) fn take_ours(&self, taken: &Push, keep: Keep) {
        let token = hex_lower(&self.lookout.crowd().token(taken.channel, 0).0);
        let payload = push::payload(taken.magic.as_deref().unwrap_or_default());
        self.take(&token, &payload.into(), keep);
    }

    fn keep(&self, head: &Parts) -> Result<Keep, Reason> {
        let expiration = head.headers.get("apns-expiration");
        let expiration = expiration.map(|value| value.to_str().unwrap_or("?"));
        let now = self.clock.now();
        pending::keep(now, self.clock.epoch().wall(now), expiration)
    }

    fn take(&self, token: &str, payload: &Bytes, keep: Keep) -> Taken {
        let payload = Arc::from(&payload[..]);
        let now = self.clock.now();
        let taken = self.pending.borrow_mut().push(now, token, payload, keep);
        if let Taken::Live(listener) = taken {
            self.bells.borrow().ring(listener);
        }
        taken
    }

    /// The pushes of a token, from now on.
    fn events(self: Rc<Self>, query: Option<&str>) -> Answer {
        let mut pairs = query.unwrap_or_default().split('&');
        let token = pairs.find_map(|pair| pair.strip_prefix("token="));
        let token = match token {
            None | Some("") => return refused(Reason::MissingDeviceToken),
            Some(token) if !is_token(token) => return refused(Reason::BadDeviceToken),
            Some(token) => token.to_ascii_lowercase(),
        };
        let clock = self.clock;
        match Listening::begin(self, clock, &token) {
            Some(listening) => {
                let body = StreamBody::new(listening.events());
                let mut answer = typed("text/event-stream", Either::Right(body));
                let headers = answer.headers_mut();
                // The stream is over when the connection is.
                for (name, value) in [("cache-control", "no-cache"), ("connection", "close")] {
                    headers.insert(name, http::HeaderValue::from_static(value));
                }
                answer
            }
            None => refused(Reason::ServiceUnavailable),
        }
    }

    /// The counters, with what waits here.
    fn tally(&self) -> super::tally::Tally {
        let mut tally = self.lookout.tally().borrow().clone();
        let pending = self.pending.borrow();
        tally.pending = pending.counts();
        tally.waiting = pending.waiting() as u64;
        tally.listeners = self.bells.borrow().len() as u64;
        tally
    }
}

/// The answer to a push to a token that is not ours.
fn accepted(taken: Result<(), Reason>, id: &str) -> Answer {
    let mut answer = match taken {
        Ok(()) => Response::new(Either::Left(Full::default())),
        Err(reason) => refused(reason),
    };
    if let Ok(id) = id.parse() {
        answer.headers_mut().insert("apns-id", id);
    }
    answer
}

/// Gives the answer to a push in its time, or none.
async fn given(judged: Judged) -> Option<Answer> {
    let Answered { head, body, .. } = match judged {
        Judged::Answer(answer) => answer,
        Judged::Slow(answer, after) => {
            tokio::time::sleep(after).await;
            answer
        }
        Judged::Hang => std::future::pending().await,
        Judged::Reset | Judged::GoAway(_) => return None,
    };
    Some(head.map(|()| Either::Left(Full::new(body))))
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

/// Whether this may be a token: hexadecimal digits in pairs, as many as there may be.
fn is_token(text: &str) -> bool {
    text.len().is_multiple_of(2)
        && text.len() <= pending::TOKEN_MAX
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a push to any token has to be.
fn check(push: &Incoming<'_>, token: &str) -> Result<(), Reason> {
    if push.method != "POST" {
        return Err(Reason::MethodNotAllowed);
    }
    if push.id.is_some_and(|id| uuid::Uuid::try_parse(id).is_err()) {
        return Err(Reason::BadMessageId);
    }
    if push.push_type.is_some_and(|kind| kind != "mdm") {
        return Err(Reason::InvalidPushType);
    }
    if token.is_empty() {
        return Err(Reason::MissingDeviceToken);
    }
    if !is_token(token) {
        return Err(Reason::BadDeviceToken);
    }
    match push.payload.len() {
        0 => Err(Reason::PayloadEmpty),
        bytes if bytes > PAYLOAD_MAX => Err(Reason::PayloadTooLarge),
        _ => Ok(()),
    }
}

fn text(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    typed(kind, Either::Left(Full::new(body.into())))
}

fn typed(kind: &'static str, body: Either<Full<Bytes>, StreamBody<Events>>) -> Answer {
    let mut answer = Response::new(body);
    let kind = http::HeaderValue::from_static(kind);
    answer.headers_mut().insert("content-type", kind);
    answer
}

fn refused(reason: Reason) -> Answer {
    let mut answer = text("application/json", Refusal::new(reason).encode());
    *answer.status_mut() = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::BAD_REQUEST);
    answer
}
