//! Carries the requests of awake devices: one task per session, none for a device at rest.
//!
//! A session's task opens the connection with the first request, keeps it until the device closes
//! the channel, and stamps every step. Waiting for a socket or a handshake slot is stamped too, so
//! that it is booked as our own time and never as the target's.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::connection::{Connection, Connector};
use super::health::Gauge;
use super::http1::Times;
use super::identity::{ClientTls, Identities};
use super::wire::Wire;
use crate::device::contract::{Answer, Reply, Request};
use crate::fact::{Broken, Said, Stamps};
use crate::ids::{Channel, RequestId};
use crate::time::SimTime;

/// What every session of a worker shares.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) clock: Clock,
    pub(super) connector: Connector,
    pub(super) wire: Wire,
    /// `None` for a plain HTTP target.
    pub(super) tls: Option<ClientTls>,
    pub(super) identities: Arc<Identities>,
    /// From permission to the whole answer.
    pub(super) timeout: Duration,
    pub(super) sockets: Arc<Semaphore>,
    pub(super) handshakes: Arc<Semaphore>,
    /// A place for each device that may be enrolling at once.
    pub(super) enrolling: Arc<Semaphore>,
    pub(super) open_sockets: Gauge,
}

/// Answers on their way back to the shard. Bounded by the sessions: each has one request in flight.
#[derive(Debug, Default)]
pub(super) struct Returns {
    queue: RefCell<VecDeque<(Channel, RequestId, Reply)>>,
    news: Notify,
}

impl Returns {
    fn push(&self, channel: Channel, id: RequestId, reply: Reply) {
        self.queue.borrow_mut().push_back((channel, id, reply));
        self.news.notify_one();
    }

    pub(super) fn pop(&self) -> Option<(Channel, RequestId, Reply)> {
        self.queue.borrow_mut().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Ready once there is an answer.
    pub(super) async fn arrived(&self) {
        if self.is_empty() {
            self.news.notified().await;
        }
    }
}

/// The way of requests from the courier to a session's task. A channel has one request in flight,
/// so there is never a second one to keep; a general queue would cost 4 KiB per session.
#[derive(Debug, Default)]
struct Line {
    request: RefCell<Option<Request>>,
    is_closed: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Line {
    fn put(&self, request: Request) {
        let channel = request.channel;
        let before = self.request.replace(Some(request));
        assert!(
            before.is_none() && !self.is_closed.get(),
            "{channel} has two requests in flight"
        );
        self.wake();
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// The next request; `None` once the channel is closed.
    async fn take(&self) -> Option<Request> {
        poll_fn(|context| match self.request.take() {
            Some(request) => Poll::Ready(Some(request)),
            None if self.is_closed.get() => Poll::Ready(None),
            None => {
                self.waiting.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// The open sessions of one worker.
#[derive(Debug)]
pub(super) struct Courier {
    carrier: Rc<Carrier>,
    returns: Rc<Returns>,
    sessions: HashMap<Channel, Rc<Line>>,
    tasks: JoinSet<()>,
}

impl Courier {
    pub(super) fn new(carrier: Carrier) -> Self {
        let (carrier, returns) = (Rc::new(carrier), Rc::new(Returns::default()));
        Self {
            carrier,
            returns,
            sessions: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    pub(super) fn returns(&self) -> Rc<Returns> {
        Rc::clone(&self.returns)
    }

    /// Carries a request; the reply comes through [`Returns`].
    pub(super) fn send(&mut self, request: Request) {
        let channel = request.channel;
        let session = self.sessions.entry(channel).or_insert_with(|| {
            let line = Rc::new(Line::default());
            let (carrier, returns) = (Rc::clone(&self.carrier), Rc::clone(&self.returns));
            self.tasks
                .spawn_local(session(carrier, returns, Rc::clone(&line)));
            line
        });
        session.put(request);
    }

    /// Ends a channel's session; a request in flight comes back as cut.
    pub(super) fn close(&mut self, channel: Channel) {
        if let Some(line) = self.sessions.remove(&channel) {
            line.close();
        }
    }

    /// Forgets finished tasks; a panic in one is passed on.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// A connection and the permit that counts it.
struct Open {
    connection: Connection,
    _socket: OwnedSemaphorePermit,
    _counted: super::health::Counted,
}

async fn session(carrier: Rc<Carrier>, returns: Rc<Returns>, line: Rc<Line>) {
    let mut open = None;
    let mut place = None;
    while let Some(request) = line.take().await {
        let (channel, id) = (request.channel, request.id);
        let steps = Steps::of(&request);
        if place.is_none() && matches!(request.said, Said::Authenticate | Said::TokenUpdate) {
            place = Some(carrier.place_to_enroll().await);
        }
        let answer = tokio::select! {
            answer = carrier.carry(&mut open, &request, &steps) => answer,
            // Closed in mid-request: nothing else can come, one request is in flight.
            _ = line.take() => Err(Broken::Cut("the device left the network".into())),
        };
        if answer.is_err() {
            open = None;
        }
        let stamps = steps.stamps(carrier.clock.now());
        returns.push(channel, id, Reply { stamps, answer });
    }
}

/// The steps of a request as it takes them, so that they are known even of one that is given up
/// half-way.
#[derive(Debug)]
struct Steps {
    asked: SimTime,
    permitted: Cell<SimTime>,
    connected: Cell<Option<SimTime>>,
    times: Cell<Times>,
}

impl Steps {
    fn of(request: &Request) -> Self {
        Self {
            asked: request.asked,
            permitted: Cell::new(request.asked),
            connected: Cell::default(),
            times: Cell::default(),
        }
    }

    fn stamps(&self, read: SimTime) -> Stamps {
        let Times { sent, first_byte } = self.times.get();
        let (asked, permitted) = (self.asked, self.permitted.get());
        Stamps {
            asked,
            permitted,
            connected: self.connected.get(),
            sent,
            first_byte,
            read,
        }
    }
}

impl Carrier {
    async fn carry(
        &self,
        open: &mut Option<Open>,
        request: &Request,
        steps: &Steps,
    ) -> Result<Answer, Broken> {
        let bytes = self.wire.request(request, &self.identities);
        let mut reused = open.is_some();
        loop {
            let socket = if open.is_none() {
                Some(self.permit().await)
            } else {
                None
            };
            if !reused {
                steps.permitted.set(self.clock.now());
            }
            let attempt = self.attempt(open, socket, request, &bytes, steps);
            let outcome = match tokio::time::timeout(self.timeout, attempt).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Broken::TimedOut),
            };
            // A kept connection that the other side had closed meanwhile says nothing about this
            // request: HTTP clients open a new one and send it again, once.
            let stale = reused
                && matches!(outcome, Err(Broken::Cut(_)))
                && steps.times.get().first_byte.is_none();
            if !stale {
                return outcome;
            }
            reused = false;
            *open = None;
        }
    }

    /// Enrolling is how a run begins, not what it measures: a crowd of any size is let in a few at
    /// a time, so that a slow target is not asked for everything at once.
    async fn place_to_enroll(&self) -> OwnedSemaphorePermit {
        let place = Arc::clone(&self.enrolling).acquire_owned().await;
        place.expect("the enrolment semaphore is never closed")
    }

    async fn permit(&self) -> (OwnedSemaphorePermit, OwnedSemaphorePermit) {
        let socket = Arc::clone(&self.sockets).acquire_owned().await;
        let handshake = Arc::clone(&self.handshakes).acquire_owned().await;
        (
            socket.expect("the socket semaphore is never closed"),
            handshake.expect("the handshake semaphore is never closed"),
        )
    }

    async fn attempt(
        &self,
        open: &mut Option<Open>,
        permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
        request: &Request,
        bytes: &[u8],
        steps: &Steps,
    ) -> Result<Answer, Broken> {
        if let Some((socket, handshake)) = permits {
            let counted = self.open_sockets.count();
            let tls = self.tls.as_ref().map(|tls| {
                tls.config_for(
                    self.wire
                        .tls_identity(&self.identities, request.channel.device),
                )
            });
            let connection = self.connector.connect(tls).await?;
            drop(handshake);
            steps.connected.set(Some(self.clock.now()));
            *open = Some(Open {
                connection,
                _socket: socket,
                _counted: counted,
            });
        }
        let held = open
            .as_mut()
            .expect("a connection is opened when there is none");
        let exchange = held.connection.exchange(self.clock, bytes, &steps.times);
        let received = exchange.await?;
        if !received.keep_alive {
            *open = None;
        }
        Ok(received.answer)
    }
}
