//! Carries the requests of awake devices: one task per session, none for a device at rest.
//!
//! A task whose session is over waits for the next one, and the latest to wait is the next to work:
//! its kilobytes are still in the cache, and filling new ones costs a tenth of a cycle.
//!
//! A session's task opens the connection with the first request and keeps it until the device closes
//! the channel. Waiting for a socket, a handshake slot or the gateway is stamped too, so that it is
//! booked as our own time and never as the target's.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::task::JoinSet;

use super::carrier::{Carrier, Open, Steps};
use crate::device::contract::{Reply, Request};
use crate::fact::{Broken, Said};
use crate::ids::{Channel, RequestId};

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

/// Opens when the gateway knows the channel's token; one that is dropped is open.
type Gate = oneshot::Receiver<()>;

/// What goes along with a request.
#[derive(Debug, Default)]
struct Along {
    /// What it waits for.
    gate: Option<Gate>,
    /// The place its device has among those that enrol.
    place: Option<OwnedSemaphorePermit>,
}

/// The way of requests from the courier to a session's task. A channel has one request in flight,
/// so there is never a second one to keep; a general queue would cost 4 KiB per session.
#[derive(Debug, Default)]
struct Line {
    request: RefCell<Option<(Request, Along)>>,
    is_closed: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Line {
    fn put(&self, request: Request, along: Along) {
        let channel = request.channel;
        let before = self.request.replace(Some((request, along)));
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

    /// Another session may begin.
    fn reopen(&self) {
        self.is_closed.set(false);
    }

    /// The next request; `None` once the channel is closed.
    async fn take(&self) -> Option<(Request, Along)> {
        poll_fn(|context| {
            // Looked at before it is taken: a session's task is polled some twenty times for each
            // request, and to take moves as many bytes as a request has, even when there is none.
            if self.request.borrow().is_some() {
                return Poll::Ready(self.request.take());
            }
            if self.is_closed.get() {
                return Poll::Ready(None);
            }
            let is_known = |it: &Waker| it.will_wake(context.waker());
            if !self.waiting.borrow().as_ref().is_some_and(is_known) {
                self.waiting.replace(Some(context.waker().clone()));
            }
            Poll::Pending
        })
        .await
    }
}

/// The lines of tasks without a session; the last came last.
type Idle = Rc<RefCell<Vec<Rc<Line>>>>;

/// How many tasks wait for a session at most. What a herd needed beyond them is given back.
const IDLE_MAX: usize = 64;

/// The open sessions of one worker.
#[derive(Debug)]
pub(super) struct Courier {
    carrier: Rc<Carrier>,
    returns: Rc<Returns>,
    sessions: BTreeMap<Channel, Rc<Line>>,
    idle: Idle,
    /// What the next request of a channel waits for.
    gates: BTreeMap<Channel, Gate>,
    /// The place that a device brings along from its way to an identity.
    seat: Option<(Channel, OwnedSemaphorePermit)>,
    tasks: JoinSet<()>,
}

impl Courier {
    pub(super) fn new(carrier: Carrier) -> Self {
        let (carrier, returns) = (Rc::new(carrier), Rc::new(Returns::default()));
        Self {
            carrier,
            returns,
            sessions: BTreeMap::new(),
            idle: Rc::default(),
            gates: BTreeMap::new(),
            seat: None,
            tasks: JoinSet::new(),
        }
    }

    pub(super) fn returns(&self) -> Rc<Returns> {
        Rc::clone(&self.returns)
    }

    /// Holds the channel's next request back until the gateway knows of its new token.
    pub(super) fn hold(&mut self, channel: Channel, gate: Gate) {
        self.gates.insert(channel, gate);
    }

    /// The channel's next request need not wait for a place to enrol: it has this one. `None` takes
    /// back what was not used.
    pub(super) fn seat(&mut self, seat: Option<(Channel, OwnedSemaphorePermit)>) {
        self.seat = seat;
    }

    /// Carries a request; the reply comes through [`Returns`].
    pub(super) fn send(&mut self, request: Request) {
        let channel = request.channel;
        let session = self.sessions.entry(channel).or_insert_with(|| {
            self.idle.borrow_mut().pop().unwrap_or_else(|| {
                let line = Rc::new(Line::default());
                let (carrier, returns) = (Rc::clone(&self.carrier), Rc::clone(&self.returns));
                let (idle, its) = (Rc::clone(&self.idle), Rc::clone(&line));
                self.tasks
                    .spawn_local(sessions(carrier, returns, idle, its));
                line
            })
        });
        let along = Along {
            gate: self.gates.remove(&channel),
            place: self
                .seat
                .take_if(|(its, _)| *its == channel)
                .map(|(_, place)| place),
        };
        session.put(request, along);
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

/// One session after another, as long as there are few tasks that wait for one.
async fn sessions(carrier: Rc<Carrier>, returns: Rc<Returns>, idle: Idle, line: Rc<Line>) {
    loop {
        session(&carrier, &returns, &line).await;
        if idle.borrow().len() >= IDLE_MAX {
            return;
        }
        line.reopen();
        idle.borrow_mut().push(Rc::clone(&line));
    }
}

async fn session(carrier: &Carrier, returns: &Returns, line: &Line) {
    let mut open: Option<Open> = None;
    let mut place = None;
    loop {
        let next = tokio::select! {
            biased;
            next = line.take() => next,
            () = Open::tend(&mut open) => None,
        };
        let Some((request, along)) = next else {
            break;
        };
        place = along.place.or(place);
        let (channel, id) = (request.channel, request.id);
        let steps = Steps::of(&request);
        if place.is_none() && matches!(request.said, Said::Authenticate | Said::TokenUpdate) {
            place = Some(carrier.place_to_enroll().await);
            steps.permit(carrier.clock.now());
        }
        let answer = {
            let carried = pin!(async {
                if let Some(gate) = along.gate {
                    // A gateway that is gone lets nobody wait.
                    let _ = gate.await;
                    steps.permit(carrier.clock.now());
                }
                carrier.carry(&mut open, &request, &steps).await
            });
            tokio::select! {
                // An answer that is there counts, even if the device leaves at the same moment.
                biased;
                answer = carried => answer,
                // Closed in mid-request: nothing else can come, one request is in flight.
                _ = line.take() => Err(Broken::Cut("the device left the network".into())),
            }
        };
        if answer.is_err() {
            open = None;
        }
        let stamps = steps.stamps(carrier.clock.now());
        let traced = carrier.traced(&request, &answer);
        returns.push(channel, id, Reply { stamps, answer });
        if let (Some(tracer), Some(traced)) = (&carrier.tracer, traced) {
            // Boxed, because a session's task is as large as its largest moment.
            Box::pin(tracer.note(traced)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::task::LocalSet;

    use super::*;
    use crate::device::contract::Trip;
    use crate::engine::clock::Clock;
    use crate::engine::connection::Connector;
    use crate::engine::endpoint::Endpoint;
    use crate::engine::health::{Connections, Gauge};
    use crate::engine::identity::Identities;
    use crate::engine::permits::Permits;
    use crate::engine::redirect::PublicTargets;
    use crate::engine::wire::{Proof, Wire};

    fn courier(endpoint: Endpoint) -> Courier {
        let places = || Arc::new(Semaphore::new(1));
        Courier::new(Carrier {
            clock: Clock::start(),
            connector: Connector::new(&endpoint).unwrap(),
            wire: Wire::new(&endpoint, &endpoint, Proof::Mtls, &[]),
            endpoint,
            tls: None,
            identities: Arc::new(Identities::default()),
            timeout: Duration::from_secs(20),
            public: PublicTargets::Refused,
            permits: Permits {
                sockets: places(),
                handshakes: places(),
                open_sockets: Gauge::default(),
                connections: Connections::default(),
            },
            enrolling: places(),
            tickets: None,
            tracer: None,
        })
    }

    fn request(courier: &Courier) -> Request {
        let clock = courier.carrier.clock;
        Request {
            id: RequestId(0),
            channel: Channel::default(),
            said: Said::TokenUpdate,
            body: b"token"[..].into(),
            wall: clock.epoch().wall(clock.now()),
            asked: clock.now(),
            trip: Trip::default(),
        }
    }

    #[tokio::test]
    async fn a_request_waits_until_the_gateway_knows_the_token_and_that_wait_is_ours() {
        // Nobody accepts: the request is over as soon as it has been let go.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut courier = courier(Endpoint::resolve(&format!("http://{address}")).unwrap());
        let (known, gate) = oneshot::channel();
        courier.hold(Channel::default(), gate);
        let request = request(&courier);
        let run = async {
            courier.send(request);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(courier.returns.is_empty());
            let opened = courier.carrier.clock.now();
            known.send(()).unwrap();
            courier.returns.arrived().await;
            let (_, _, reply) = courier.returns.pop().unwrap();
            assert!(matches!(reply.answer, Err(Broken::Unreachable(_))));
            assert!(reply.stamps.permitted >= opened);
        };
        LocalSet::new().run_until(run).await;
    }
}
