//! Carries one request of a device: opens the connection if there is none, lets the network do to
//! it what the device's trip says, follows redirects, and stamps every step.
//!
//! What a trip adds passes before the request's first byte is written, however much of it is meant
//! for the way back: between that byte and the answer the clock runs against the target.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bundle::trace::{Traced, Tracer};
use super::clock::Clock;
use super::connection::{Connection, Connector};
use super::endpoint::Endpoint;
use super::health::Counted;
use super::http1::{Headers, Heard, Received, Times};
use super::identity::{ClientTls, Identities};
use super::permits::{Handshake, Permits, Socket};
use super::redirect::{self, HOPS_MAX, PublicTargets, RedirectError};
use super::tickets::Tickets;
use super::wire::Wire;
use crate::device::contract::{Answer, Fate, Request};
use crate::fact::{Broken, Said, Stamps};
use crate::time::SimTime;

/// What every session of a worker shares.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) clock: Clock,
    pub(super) endpoint: Endpoint,
    pub(super) connector: Connector,
    pub(super) wire: Wire,
    /// `None` for a plain HTTP target.
    pub(super) tls: Option<ClientTls>,
    pub(super) identities: Arc<Identities>,
    /// From permission to the whole answer.
    pub(super) timeout: Duration,
    /// Where redirects may lead.
    pub(super) public: PublicTargets,
    pub(super) permits: Permits,
    /// A place for each device that may be enrolling at once.
    pub(super) enrolling: Arc<Semaphore>,
    /// `None` where devices do not resume TLS sessions.
    pub(super) tickets: Option<Tickets>,
    /// `None` where nobody is watched.
    pub(super) tracer: Option<Tracer>,
}

/// A connection and the permit that counts it.
#[derive(Debug)]
pub(super) struct Open {
    connection: Connection,
    socket: Socket,
    _counted: Counted,
}

impl Open {
    /// Answers what the target says between requests, for as long as it is waited for.
    pub(super) async fn tend(open: &mut Option<Self>) {
        match open {
            Some(open) => open.connection.tend().await,
            None => std::future::pending().await,
        }
    }
}

/// Leave to open a connection.
type Permit = (Socket, Handshake);

/// The steps of a request as it takes them, so that they are known even of one that is given up
/// half-way.
#[derive(Debug)]
pub(super) struct Steps {
    asked: SimTime,
    permitted: Cell<SimTime>,
    connected: Cell<Option<SimTime>>,
    times: Cell<Times>,
    /// What the trip adds is waited for once, whatever has to be tried again.
    has_waited: Cell<bool>,
}

impl Steps {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            asked: request.asked,
            permitted: Cell::new(request.asked),
            connected: Cell::default(),
            times: Cell::default(),
            has_waited: Cell::default(),
        }
    }

    /// What was waited for until `now` was ours.
    pub(super) fn permit(&self, now: SimTime) {
        self.permitted.set(now);
    }

    pub(super) fn stamps(&self, read: SimTime) -> Stamps {
        let Times {
            sent, first_byte, ..
        } = self.times.get();
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
    /// Carries a request to its end. An error leaves a connection that is of no use any more.
    pub(super) async fn carry(
        &self,
        open: &mut Option<Open>,
        request: &Request,
        steps: &Steps,
    ) -> Result<Answer, Broken> {
        match &request.trip.fate {
            Fate::RefusesTls(why) => {
                steps.permit(self.clock.now());
                Err(Broken::Tls(why.clone()))
            }
            Fate::Lost => {
                steps.permit(self.clock.now());
                wait(self.timeout).await;
                Err(Broken::TimedOut)
            }
            Fate::Arrives | Fate::CutBefore => self.deliver(open, request, steps).await,
            Fate::CutAfter => {
                self.deliver(open, request, steps).await?;
                Err(Broken::Cut("the link was lost before the answer".into()))
            }
        }
    }

    async fn deliver(
        &self,
        open: &mut Option<Open>,
        request: &Request,
        steps: &Steps,
    ) -> Result<Answer, Broken> {
        if let (Said::Authenticate, Some(tickets)) = (&request.said, &self.tickets) {
            tickets.forget(request.channel.device);
        }
        let bytes = self.wire.request(request, &self.identities)?;
        let mut reused = open.is_some();
        loop {
            let permit = if open.is_none() {
                Some(self.permit().await)
            } else {
                None
            };
            if !reused {
                steps.permit(self.clock.now());
            }
            let outcome = {
                // Pinned where it is made: to hand it on would be to copy it.
                let attempt = pin!(self.attempt(open, permit, request, &bytes, steps));
                let in_time = tokio::time::timeout(self.timeout, attempt).await;
                in_time.unwrap_or(Err(Broken::TimedOut))
            };
            // A kept connection that the other side had closed meanwhile says nothing about this
            // request: HTTP clients open a new one and send it again, once.
            let times = steps.times.get();
            let stale = reused
                && matches!(outcome, Err(Broken::Cut(_)))
                && times.sent.is_some()
                && times.first_byte.is_none()
                && times.heard != Heard::GivenUp;
            if !stale {
                return outcome;
            }
            reused = false;
            *open = None;
        }
    }

    /// What is kept of an exchange; `None` when nobody watches its device.
    pub(super) fn traced(
        &self,
        request: &Request,
        answer: &Result<Answer, Broken>,
    ) -> Option<Traced> {
        let device = request.channel.device;
        let is_watched = self.tracer.as_ref()?.follows(device);
        is_watched.then(|| Traced::new(request.channel, request.asked, &request.body, answer))
    }

    /// Enrolling is how a run begins, not what it measures: a crowd of any size is let in a few at
    /// a time, so that a slow target is not asked for everything at once.
    pub(super) async fn place_to_enroll(&self) -> OwnedSemaphorePermit {
        let place = Arc::clone(&self.enrolling).acquire_owned().await;
        place.expect("the enrolment semaphore is never closed")
    }

    async fn permit(&self) -> Permit {
        (self.permits.socket().await, self.permits.handshake().await)
    }

    async fn attempt(
        &self,
        open: &mut Option<Open>,
        permit: Option<Permit>,
        request: &Request,
        bytes: &[u8],
        steps: &Steps,
    ) -> Result<Answer, Broken> {
        if let Some(permit) = permit {
            *open = Some(self.open(&self.connector, permit, request).await?);
            steps.connected.set(Some(self.clock.now()));
        }
        let trip = &request.trip;
        let added = trip.latency + trip.slow_read;
        if !added.is_zero() && !steps.has_waited.replace(true) {
            wait(added).await;
        }
        if trip.fate == Fate::CutBefore {
            return Err(Broken::Cut("the link was lost before the request".into()));
        }
        let held = open
            .as_mut()
            .expect("a connection is opened when there is none");
        let exchange = held
            .connection
            .exchange(self.clock, bytes, &steps.times, Headers::Dropped);
        let mut received = exchange.await?;
        if let Some(location) = received.location.take() {
            // Boxed, because a session's task is as large as its largest moment.
            received = Box::pin(self.follow(open, request, steps, location)).await?;
        }
        if !received.keep_alive {
            *open = None;
        }
        Ok(received.answer)
    }

    async fn open(
        &self,
        connector: &Connector,
        (socket, handshake): Permit,
        request: &Request,
    ) -> Result<Open, Broken> {
        let tls = self.tls_of(request);
        let (connection, counted) = self.permits.open(connector, handshake, tls).await?;
        Ok(Open {
            connection,
            socket,
            _counted: counted,
        })
    }

    /// The TLS of the device that asks, with its identity and with the time it believes in.
    fn tls_of(&self, request: &Request) -> Option<Arc<ClientConfig>> {
        let tls = self.tls.as_ref()?;
        let device = request.channel.device;
        let identity = || self.wire.tls_identity(&self.identities, device);
        let right = self.clock.epoch().wall(request.asked).unix_micros();
        let ahead_us = request.wall.unix_micros().saturating_sub(right);
        Some(match &self.tickets {
            None => tls.config_ahead(identity(), ahead_us),
            Some(tickets) => {
                let own = self.identities.own(device);
                tickets.config(tls, device, ahead_us, own, identity)
            }
        })
    }

    /// Sends a request to where its redirect leads, and on from there. A connection to another
    /// place is not kept: the next request starts at the payload's URL.
    async fn follow(
        &self,
        open: &mut Option<Open>,
        request: &Request,
        steps: &Steps,
        mut location: String,
    ) -> Result<Received, Broken> {
        let first_sent = steps.times.get().sent;
        let mut here = self.endpoint.clone();
        here.path = self.wire.path(request, &self.identities);
        let mut keeps = true;
        for _ in 0..HOPS_MAX {
            let next = redirect::resolve(&here, &location, self.public).await;
            let next = next.map_err(|error| error.broken())?;
            if !keeps || !next.is_beside(&here) {
                self.move_to(&next, open, request).await?;
            }
            let held = open
                .as_mut()
                .expect("whoever moves has a connection, or this is an error");
            let bytes = self.wire.request_to(&next, request, &self.identities)?;
            let exchange =
                held.connection
                    .exchange(self.clock, &bytes, &steps.times, Headers::Dropped);
            let outcome = exchange.await;
            // All of it is one request to the target, from the first byte on.
            steps.times.set(Times {
                sent: first_sent,
                ..steps.times.get()
            });
            let mut received = outcome?;
            keeps = received.keep_alive;
            match received.location.take() {
                Some(another) => (location, here) = (another, next),
                None => {
                    received.keep_alive &= next.is_beside(&self.endpoint);
                    return Ok(received);
                }
            }
        }
        Err(RedirectError::TooMany.broken())
    }

    /// Closes the connection and opens one to another place under the same permit.
    async fn move_to(
        &self,
        next: &Endpoint,
        open: &mut Option<Open>,
        request: &Request,
    ) -> Result<(), Broken> {
        let connector = Connector::new(next);
        let connector = connector.map_err(|error| RedirectError::Endpoint(error).broken())?;
        let before = open.take().expect("an answer came over a connection");
        let socket = before.socket;
        drop(before.connection);
        let permit = (socket, self.permits.handshake().await);
        *open = Some(self.open(&connector, permit, request).await?);
        Ok(())
    }
}

/// Waits in a box: a session's task is as large as its largest moment, and few sessions wait.
async fn wait(span: Duration) {
    Box::pin(tokio::time::sleep(span)).await;
}
