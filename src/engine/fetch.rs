//! The HTTP client of errands: what a device fetches on its way to an identity, and the operator
//! before a run.
//!
//! It speaks HTTP/1.1 or HTTP/2 as the server likes, follows redirects, and takes no more than a
//! head and a body of sane size within one timeout. Its errors are those of a device's requests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::clock::Clock;
use super::connection::{Connection, Connector};
use super::endpoint::{Endpoint, EndpointError, Names};
use super::health::Counted;
use super::http1::{Headers, Heard, Received, Times};
use super::http2::{ALPN, ALPN_HTTP1};
use super::identity::{ClientTls, TlsError};
use super::permits::{Handshake, Permits, Socket};
use super::redirect::{self, HOPS_MAX, PublicTargets, RedirectError};
use crate::fact::Broken;
use crate::protocol::redaction::without_secrets;

/// Fetches for the devices of one worker, or for one preparation.
#[derive(Debug)]
pub(super) struct Fetcher {
    clock: Clock,
    permits: Permits,
    roots: Arc<RootCertStore>,
    trust: Trust,
    public: PublicTargets,
    /// For one fetch, redirects included.
    timeout: Duration,
    names: Names,
    connectors: RefCell<BTreeMap<(SocketAddr, String), Rc<Connector>>>,
}

/// How many endpoints are remembered; beyond it all are forgotten.
const CONNECTORS_MAX: usize = 64;

/// Which servers are believed to be who they say.
#[derive(Clone, Debug)]
pub(super) struct Trust(ClientTls);

impl Trust {
    fn of(roots: Arc<RootCertStore>) -> Result<Self, TlsError> {
        let tls = ClientTls::new(roots, 0, "http/1.1")?;
        Ok(Self(tls.offering(&[ALPN, ALPN_HTTP1])))
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Fetch<'a> {
    pub(super) method: Method,
    /// http or https.
    pub(super) url: &'a str,
    /// Beside `Host` and `Content-Length`.
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    pub(super) body: &'a [u8],
    /// Whether it may be sent once more when a kept connection ends without a word. What uses
    /// something up, such as a challenge, may not.
    pub(super) repeats: bool,
    /// How far the device's clock is ahead of the right time, in microseconds.
    pub(super) ahead_us: i64,
    /// Whom to believe; `None` for those whom the fetcher believes.
    pub(super) trust: Option<&'a Trust>,
    /// Where time is added that was spent waiting for permits, which is ours and never the server's.
    pub(super) ours: Option<&'a Cell<Duration>>,
}

impl<'a> Fetch<'a> {
    /// A GET that shows nothing and trusts what the fetcher does, by a clock that is right.
    pub(super) fn get(url: &'a str) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: &[],
            body: &[],
            repeats: true,
            ahead_us: 0,
            trust: None,
            ours: None,
        }
    }

    /// A POST of `body`, which is not sent twice; otherwise the same.
    pub(super) fn post(url: &'a str, body: &'a [u8]) -> Self {
        Self {
            method: Method::POST,
            body,
            repeats: false,
            ..Self::get(url)
        }
    }
}

/// A whole answer, whatever its status.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Fetched {
    /// A header's value, if it is there and text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A connection that one errand keeps from one fetch to the next. It belongs to one device: with
/// the same clock and the same trust.
#[derive(Debug, Default)]
pub(super) struct Kept {
    open: Option<Open>,
    /// Leave to have one connection, whichever it is.
    socket: Option<Socket>,
}

/// An open connection, and where it leads.
#[derive(Debug)]
struct Open {
    to: Endpoint,
    connection: Connection,
    _counted: Counted,
}

impl Kept {
    /// Drops a connection that the server has ended.
    async fn look(&mut self) {
        if let Some(open) = &mut self.open
            && open.connection.is_over().await
        {
            self.close();
        }
    }

    /// Ends the connection, and lets somebody else have one.
    pub(super) fn close(&mut self) {
        self.open = None;
        self.socket = None;
    }
}

/// Whether a request that a kept connection did not answer is sent once more.
fn again(times: Times, repeats: bool) -> bool {
    times.first_byte.is_none()
        && match times.heard {
            Heard::Nothing => repeats,
            Heard::NotProcessed => true,
            Heard::GivenUp => false,
        }
}

impl Fetcher {
    /// For servers that `roots` vouch for.
    pub(super) fn new(
        clock: Clock,
        permits: Permits,
        roots: Arc<RootCertStore>,
        public: PublicTargets,
        timeout: Duration,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            clock,
            permits,
            trust: Trust::of(Arc::clone(&roots))?,
            roots,
            public,
            timeout,
            names: Names::default(),
            connectors: RefCell::default(),
        })
    }

    /// Trust in what the fetcher believes and, beyond that, in what a profile brings.
    pub(super) fn trusting(&self, further: &[CertificateDer<'static>]) -> Result<Trust, TlsError> {
        let mut roots = RootCertStore::clone(&self.roots);
        for root in further {
            roots.add(root.clone())?;
        }
        Trust::of(Arc::new(roots))
    }

    /// Fetches over a connection of its own.
    pub(super) async fn fetch(&self, fetch: Fetch<'_>) -> Result<Fetched, Broken> {
        self.fetch_over(&mut Kept::default(), fetch).await
    }

    /// Fetches over the kept connection if it leads there, and keeps the one it used.
    pub(super) async fn fetch_over(
        &self,
        kept: &mut Kept,
        fetch: Fetch<'_>,
    ) -> Result<Fetched, Broken> {
        kept.look().await;
        let outcome = self.fetch_in_time(kept, &fetch).await;
        if outcome.is_err() || kept.open.is_none() {
            kept.close();
        }
        outcome
    }

    /// Waits for permits before the server's time begins to count.
    async fn fetch_in_time(&self, kept: &mut Kept, fetch: &Fetch<'_>) -> Result<Fetched, Broken> {
        let asked = self.clock.now();
        let here = tokio::time::timeout(self.timeout, self.look_up(fetch.url)).await;
        let here = here.map_err(|_| Broken::TimedOut)?;
        let left = self.timeout.saturating_sub(self.clock.now().since(asked));
        let here = here.map_err(unreachable)?;
        let handshake = match &kept.open {
            Some(open) if open.to.is_beside(&here) => None,
            Some(_) | None => Some(self.leave(kept, fetch).await),
        };
        let all = Box::pin(self.follow(kept, fetch, here, handshake));
        match tokio::time::timeout(left, all).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Broken::TimedOut),
        }
    }

    /// Leave to open a connection.
    async fn leave(&self, kept: &mut Kept, fetch: &Fetch<'_>) -> Handshake {
        let since = self.clock.now();
        if kept.socket.is_none() {
            kept.socket = Some(self.permits.socket().await);
        }
        let handshake = self.permits.handshake().await;
        if let Some(ours) = fetch.ours {
            ours.set(ours.get() + self.clock.now().since(since));
        }
        handshake
    }

    async fn follow(
        &self,
        kept: &mut Kept,
        fetch: &Fetch<'_>,
        mut here: Endpoint,
        mut handshake: Option<Handshake>,
    ) -> Result<Fetched, Broken> {
        let mut hop = Hop {
            method: fetch.method.clone(),
            body: fetch.body,
            headers: fetch.headers.to_vec(),
        };
        for _ in 0..=HOPS_MAX {
            let bytes = hop.bytes(&here);
            let received = self.exchange(kept, &here, &bytes, fetch, handshake.take());
            let received = received.await?;
            let status = received.answer.status;
            let headers = received.headers.map_or_else(HeaderMap::new, |kept| *kept);
            let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location
                .filter(|_| redirect::is_redirect(status) || status == 303)
                .map(|location| redirect::absolute(&here, location));
            // A web sign-in ends in a URL of another scheme, which is for its caller to read.
            let Some(next) = next.filter(|next| redirect::is_web(next)) else {
                return Ok(Fetched {
                    status,
                    headers,
                    body: received.answer.body,
                });
            };
            let there = self.look_up(&next).await;
            let there = there.map_err(|error| RedirectError::Endpoint(error).broken())?;
            if here.tls && !there.tls {
                return Err(RedirectError::Scheme { location: next }.broken());
            }
            hop.turn(status, there.is_beside(&here));
            here = there;
        }
        Err(RedirectError::TooMany.broken())
    }

    async fn look_up(&self, url: &str) -> Result<Endpoint, EndpointError> {
        let endpoint = self.names.look_up(url).await?;
        if self.public == PublicTargets::Refused {
            endpoint.refuse_public(url)?;
        }
        Ok(endpoint)
    }

    async fn exchange(
        &self,
        kept: &mut Kept,
        endpoint: &Endpoint,
        bytes: &[u8],
        fetch: &Fetch<'_>,
        handshake: Option<Handshake>,
    ) -> Result<Received, Broken> {
        let here = kept.open.take().filter(|it| it.to.is_beside(endpoint));
        let (mut open, mut reused) = match here {
            Some(open) => (open, true),
            None => (self.connect(kept, endpoint, fetch, handshake).await?, false),
        };
        loop {
            let times = Cell::new(Times::default());
            let connection = &mut open.connection;
            let exchange = connection.exchange(self.clock, bytes, &times, Headers::Kept);
            match exchange.await {
                // The server had closed a kept connection meanwhile.
                Err(Broken::Cut(_)) if reused && again(times.get(), fetch.repeats) => {
                    reused = false;
                    drop(open);
                    open = self.connect(kept, endpoint, fetch, None).await?;
                }
                Err(broken) => return Err(broken),
                Ok(received) => {
                    if received.keep_alive {
                        kept.open = Some(open);
                    }
                    return Ok(received);
                }
            }
        }
    }

    async fn connect(
        &self,
        kept: &mut Kept,
        endpoint: &Endpoint,
        fetch: &Fetch<'_>,
        handshake: Option<Handshake>,
    ) -> Result<Open, Broken> {
        let connector = self.connector(endpoint).map_err(unreachable)?;
        let config = endpoint.tls.then(|| self.config(fetch));
        let handshake = match handshake {
            Some(handshake) => handshake,
            None => self.leave(kept, fetch).await,
        };
        let opened = self.permits.open(&connector, handshake, config).await;
        let (connection, counted) = opened?;
        Ok(Open {
            to: endpoint.clone(),
            connection,
            _counted: counted,
        })
    }

    /// The one for this endpoint, so that connections come from all of its source addresses in turn.
    fn connector(&self, endpoint: &Endpoint) -> Result<Rc<Connector>, EndpointError> {
        let mut connectors = self.connectors.borrow_mut();
        let place = (endpoint.address, endpoint.host.clone());
        if let Some(connector) = connectors.get(&place) {
            return Ok(Rc::clone(connector));
        }
        if connectors.len() >= CONNECTORS_MAX {
            connectors.clear();
        }
        let connector = Rc::new(Connector::new(endpoint)?);
        connectors.insert(place, Rc::clone(&connector));
        Ok(connector)
    }

    fn config(&self, fetch: &Fetch<'_>) -> Arc<ClientConfig> {
        let Trust(tls) = fetch.trust.unwrap_or(&self.trust);
        tls.config_ahead(None, fetch.ahead_us)
    }
}

/// What of a request changes from one redirect to the next.
struct Hop<'a> {
    method: Method,
    body: &'a [u8],
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Hop<'_> {
    /// The request in HTTP/1.1's form.
    fn bytes(&self, endpoint: &Endpoint) -> Vec<u8> {
        let (path, host) = (&endpoint.path, endpoint.host_header());
        let head = format!("{} {path} HTTP/1.1\r\nHost: {host}\r\n", self.method);
        let mut bytes = head.into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        if !self.body.is_empty() || self.method != Method::GET {
            let length = format!("content-length: {}\r\n", self.body.len());
            bytes.extend_from_slice(length.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body);
        bytes
    }

    /// A redirect other than 307 and 308 turns a POST into a GET, as HTTP clients have it (RFC 9110
    /// 15.4); credentials do not follow to another server.
    fn turn(&mut self, status: u16, is_beside: bool) {
        if !matches!(status, 307 | 308) && self.method != Method::GET {
            self.method = Method::GET;
            self.body = &[];
            self.headers
                .retain(|(name, _)| *name != http::header::CONTENT_TYPE);
        }
        if !is_beside {
            self.headers.retain(|(name, _)| *name != AUTHORIZATION);
        }
    }
}

fn unreachable(error: EndpointError) -> Broken {
    Broken::Unreachable(without_secrets(error.to_string()))
}
