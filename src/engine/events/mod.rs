//! Where a target tells what it has seen: the receiver of its webhook, over plain HTTP/1.1.
//!
//! Each event of a device of ours becomes a fact, to be compared with what the device knows. Whatever
//! path it is sent to, an event is answered with 200 and anything else with 400; both are counted.
//! What is refused and may have been an event is a fact as well: nobody may call it missing.

mod directory;
mod message;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::directory::Directory;
use self::message::Message;
use super::gateway::tasks::{next_connection, pass_on};
use super::operator::Operator;
use crate::fact::FactKind;
use crate::time::SimTime;

/// How many connections may be open; further ones wait in the kernel's queue. NanoMDM opens one for
/// each event that overlaps with another.
const CONNECTIONS_MAX: usize = 64;

/// The most an event may have, in bytes: it carries what the device said in base64.
const EVENT_MAX: usize = 2 * 1024 * 1024;

/// How long a connection may be idle: longer than Go keeps one, or an event could meet its end.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// How long an event may take to come in.
const BODY_MAX: Duration = Duration::from_secs(10);

/// What has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTally {
    /// Events of our devices.
    pub ours: u64,
    /// Events of devices that are not ours.
    pub foreign: u64,
    /// Requests that were no events.
    pub unreadable: u64,
}

/// The door that events come in by. Lives on the operator's thread.
#[derive(Debug)]
pub(super) struct EventDoor {
    operator: Rc<Operator>,
    directory: Directory,
    tally: watch::Sender<EventTally>,
}

impl EventDoor {
    /// A door for events of whom `operator` commands.
    pub(super) fn new(operator: Rc<Operator>, tally: watch::Sender<EventTally>) -> Rc<Self> {
        Rc::new(Self {
            directory: Directory::of(&operator),
            operator,
            tally,
        })
    }

    /// Serves a listener until the task is dropped.
    pub(super) async fn listen(self: Rc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let is_full = connections.len() >= CONNECTIONS_MAX;
            tokio::select! {
                (tcp, _) = next_connection(&listener, "webhook"), if !is_full => {
                    connections.spawn_local(Rc::clone(&self).serve(tcp));
                }
                Some(joined) = connections.join_next() => pass_on(joined),
            }
        }
    }

    async fn serve(self: Rc<Self>, tcp: TcpStream) {
        let _ = tcp.set_nodelay(true);
        let service = service_fn(|request| {
            let door = Rc::clone(&self);
            async move { Ok::<_, std::convert::Infallible>(door.answer(request).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_MAX)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(tcp), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection of the webhook ended");
            // Hyper itself refuses what is no HTTP, or has too much of a head.
            if error.is_parse() || error.is_incomplete_message() {
                self.note_refused(self.operator.clock.now(), error.to_string());
                self.make_room().await;
            }
        }
    }

    /// Something that may have been an event was refused.
    fn note_refused(&self, since: SimTime, why: String) {
        self.operator.note(FactKind::EventRefused { since, why });
    }

    /// Whoever sends faster than is recorded waits for its answer.
    async fn make_room(&self) {
        if self.operator.scribe.borrow().is_full() {
            self.operator.flush().await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let since = self.operator.clock.now();
        let is_event = *request.method() == Method::POST;
        let taken = match is_event {
            true => self.take(request.into_body()).await,
            false => Err("events are sent with POST".to_owned()),
        };
        let (status, body) = match taken {
            Ok(()) => (StatusCode::OK, Bytes::new()),
            Err(why) => {
                tracing::debug!(why, "a request at the webhook's door is no event");
                if is_event {
                    self.note_refused(since, why.clone());
                    self.make_room().await;
                }
                self.tally.send_modify(|tally| tally.unreadable += 1);
                (StatusCode::BAD_REQUEST, format!("{why}\n").into())
            }
        };
        let mut answer = Response::new(Full::new(body));
        *answer.status_mut() = status;
        answer
    }

    /// Takes one event; an error says why it is none.
    async fn take(&self, body: Incoming) -> Result<(), String> {
        let read = Limited::new(body, EVENT_MAX).collect();
        let body = match tokio::time::timeout(BODY_MAX, read).await {
            Ok(Ok(body)) => body.to_bytes(),
            // What is still to come of it cannot be told from the next request: hyper closes.
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the event did not come in time".to_owned()),
        };
        let message = Message::read(&body).map_err(|error| error.to_string())?;
        let Some(channel) = self.directory.find(&message) else {
            tracing::debug!(message.enrollment, "an event of a device that is not ours");
            self.tally.send_modify(|tally| tally.foreign += 1);
            return Ok(());
        };
        let event = message.event;
        self.operator
            .note(FactKind::EventReceived { channel, event });
        self.tally.send_modify(|tally| tally.ours += 1);
        self.make_room().await;
        Ok(())
    }
}
