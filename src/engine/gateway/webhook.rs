//! Passes each push on to somebody who wants to hear of it: as JSON, by POST.
//!
//! It is a side show: pushes are not held up by it. What it cannot pass on in time is counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::lookout::Seen;
use super::tally::Tally;
use crate::engine::endpoint::{Endpoint, EndpointError};

/// How many pushes may wait to be passed on; further ones are left out and counted.
pub const WAITING_MAX: usize = 1024;

/// How long one POST may take, from connecting to the end of its answer.
const POST_MAX: Duration = Duration::from_secs(5);

/// The most of an answer that is read, in bytes: nothing in it matters.
const ANSWER_MAX: usize = 64 * 1024;

/// Where pushes are passed on to.
#[derive(Clone, Debug)]
pub struct Webhook(Endpoint);

/// Why a URL cannot be a webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// It is no URL, or its host does not resolve.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It wants TLS.
    #[error(
        "the webhook {url} is https, but pushes are passed on over http only; let a proxy on this machine do TLS"
    )]
    Tls {
        /// The URL.
        url: String,
    },
    /// It is not on this machine, and nobody allowed that.
    #[error(
        "the webhook {url} is at {address}, which is not this machine, and pushes would go there \
         readable for anybody on the way; pass --webhook-anywhere if that is meant"
    )]
    Elsewhere {
        /// The URL.
        url: String,
        /// The address.
        address: std::net::IpAddr,
    },
}

/// Where a webhook may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On this machine.
    Loopback,
    /// Anywhere.
    Anywhere,
}

impl Webhook {
    /// The webhook at `url`.
    ///
    /// # Errors
    /// When it is no http URL that resolves within `reach`.
    pub fn resolve(url: &str, reach: Reach) -> Result<Self, WebhookError> {
        let endpoint = Endpoint::resolve(url)?;
        if endpoint.tls {
            return Err(WebhookError::Tls { url: url.into() });
        }
        let address = endpoint.address.ip();
        if reach == Reach::Loopback && !address.is_loopback() {
            return Err(WebhookError::Elsewhere {
                url: url.into(),
                address,
            });
        }
        Ok(Self(endpoint))
    }

    /// Passes on what comes, one after the other, on one connection that is kept.
    pub(in crate::engine) async fn forward(
        self,
        from: mpsc::Receiver<Arc<Seen>>,
        tally: watch::Sender<Tally>,
    ) {
        let mut kept = None;
        let mut queue = Queue {
            from,
            tally: tally.clone(),
            under_way: 0,
        };
        while let Some(seen) = queue.from.recv().await {
            queue.under_way = 1;
            let body = Bytes::from(serde_json::to_vec(&*seen).unwrap_or_default());
            let posted = tokio::time::timeout(POST_MAX, self.post(&mut kept, body)).await;
            let is_sent = match posted {
                Ok(Ok(status)) if status.is_success() => true,
                Ok(Ok(status)) => {
                    tracing::debug!(%status, "the webhook refused a push");
                    false
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the webhook could not be reached");
                    kept = None;
                    false
                }
                Err(_) => {
                    tracing::debug!("the webhook did not answer in time");
                    kept = None;
                    false
                }
            };
            queue.under_way = 0;
            tally.send_modify(|tally| {
                tally.webhook.sent += u64::from(is_sent);
                tally.webhook.failed += u64::from(!is_sent);
            });
        }
    }

    async fn post(
        &self,
        kept: &mut Option<Kept>,
        body: Bytes,
    ) -> Result<http::StatusCode, Box<dyn std::error::Error>> {
        // One that stood idle may have been closed from the other side.
        if kept.as_ref().is_some_and(|kept| kept.sender.is_closed()) {
            *kept = None;
        }
        let Kept { sender, .. } = match kept {
            Some(kept) => kept,
            None => kept.insert(self.connect().await?),
        };
        sender.ready().await?;
        let request = Request::post(&self.0.path)
            .header("host", self.0.host_header())
            .header("content-type", "application/json")
            .header(
                "user-agent",
                concat!("mdmstorm/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let rest = http_body_util::Limited::new(answer.into_body(), ANSWER_MAX);
        rest.collect().await.map_err(|error| error.to_string())?;
        Ok(status)
    }

    async fn connect(&self) -> Result<Kept, Box<dyn std::error::Error>> {
        let tcp = TcpStream::connect(self.0.address).await?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(tcp)).await?;
        let mut driver = JoinSet::new();
        driver.spawn_local(connection);
        Ok(Kept {
            sender,
            _driver: driver,
        })
    }
}

/// A connection that stays open, and the task that drives it.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<hyper::Result<()>>,
}

/// What is to be passed on; what is left of it at the end counts as dropped.
struct Queue {
    from: mpsc::Receiver<Arc<Seen>>,
    tally: watch::Sender<Tally>,
    under_way: u64,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.from.close();
        let waiting = std::iter::from_fn(|| self.from.try_recv().ok()).count() as u64;
        let rest = waiting + self.under_way;
        self.tally
            .send_modify(|tally| tally.webhook.dropped += rest);
    }
}
