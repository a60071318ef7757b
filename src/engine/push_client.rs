//! Sends pushes as a provider does: HTTP/2 over TLS, with the push certificate as client.
//!
//! One connection carries every push and is made anew when it is gone. A push is sent once: when a
//! connection breaks under it, whether APNs has it is unknown, and a second one would count twice.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::authority::{Credential, Validity, topic_of};
use super::clock::wall_now;
use super::identity::{ClientTls, TlsError, certified, roots_of_pem, system_roots};
use crate::ids::hex_lower;
use crate::protocol::push::{Refusal, payload};
use crate::reference_server::{PushOrder, PushResult};

/// Where pushes go.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PushTarget {
    /// The address to connect to.
    pub address: SocketAddr,
    /// The name its certificate must carry.
    pub server_name: String,
    /// The root to trust, as PEM; `None` for those of this machine.
    pub authority: Option<String>,
    /// How long APNs keeps a push for a device it cannot reach; `None` leaves it to APNs.
    pub expires_after: Option<Duration>,
}

/// More pushes wait for an earlier one to be answered; APNs allows a thousand streams.
const IN_FLIGHT_MAX: usize = 500;
/// The longest a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest APNs may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Answers are a short JSON object; no more is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// A provider's connection to APNs, made when it is needed.
#[derive(Debug)]
pub struct PushClient {
    target: PushTarget,
    server_name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    permits: Semaphore,
    line: Mutex<Line>,
}

/// The connection in use, and the tasks of it and of those before it.
#[derive(Debug, Default)]
struct Line {
    link: Option<Link>,
    drivers: JoinSet<()>,
}

/// A connection and, once it has ended, why.
#[derive(Clone, Debug)]
struct Link {
    sender: SendRequest<Full<Bytes>>,
    ended: Arc<OnceLock<String>>,
}

impl Link {
    /// Why a push could not be sent: with TLS 1.3 a refused certificate shows only after the
    /// handshake, and then to the connection, not to what is sent over it.
    fn failure(&self, error: &hyper::Error) -> String {
        let why = self.ended.get().filter(|_| error.is_canceled());
        let why = why.cloned().unwrap_or_else(|| chain(error));
        format!("sending to APNs: {why}")
    }
}

impl PushClient {
    /// A client that shows `push` to `target`; connects with the first push.
    pub fn new(target: PushTarget, push: &Credential) -> Result<Self, TlsError> {
        let roots = match &target.authority {
            Some(pem) => roots_of_pem(pem)?,
            None => system_roots()?,
        };
        let tls = ClientTls::new(roots, 0, "h2")?.config_for(Some(certified(push)?));
        let server_name = ServerName::try_from(target.server_name.clone())
            .map_err(|error| TlsError::ServerName(format!("{}: {error}", target.server_name)))?;
        Ok(Self {
            server_name,
            tls,
            permits: Semaphore::new(IN_FLIGHT_MAX),
            line: Mutex::default(),
            target,
        })
    }

    /// Sends one push and waits for the answer.
    pub async fn push(&self, order: &PushOrder) -> PushResult {
        let _permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        match timeout(ANSWER_TIMEOUT, self.send(order)).await {
            Ok(Ok(result)) => result,
            Ok(Err(why)) => PushResult::Failed { why },
            Err(_) => PushResult::Failed {
                why: format!("no answer from APNs within {} s", ANSWER_TIMEOUT.as_secs()),
            },
        }
    }

    async fn send(&self, order: &PushOrder) -> Result<PushResult, String> {
        let request = self.request(order)?;
        let mut link = self.link().await?;
        let response = match link.sender.send_request(request.clone()).await {
            // The connection went away before the push was on it, so it may be sent on another.
            Err(error) if error.is_canceled() => {
                link = self.link().await?;
                link.sender.send_request(request).await
            }
            other => other,
        };
        let response = response.map_err(|error| link.failure(&error))?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK {
            let apns_id = text(&head.headers, "apns-id");
            return Ok(PushResult::Accepted { apns_id });
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| format!("reading the answer of APNs: {error}"))?
            .to_bytes();
        Ok(match Refusal::decode(&body) {
            Some(refusal) => PushResult::Refused(refusal.reason),
            None => PushResult::Failed {
                why: format!("APNs answered {} without a known reason", head.status),
            },
        })
    }

    fn request(&self, order: &PushOrder) -> Result<Request<Full<Bytes>>, String> {
        let uri = format!(
            "https://{}/3/device/{}",
            self.target.server_name,
            hex_lower(&order.token)
        );
        let mut request = Request::post(uri)
            .header("apns-push-type", "mdm")
            .header("apns-topic", &order.topic);
        if let Some(after) = self.target.expires_after {
            let seconds = wall_now()
                .unix_seconds()
                .saturating_add_unsigned(after.as_secs());
            request = request.header("apns-expiration", seconds);
        }
        request
            .body(Full::new(payload(&order.magic).into()))
            .map_err(|error| format!("the push cannot be written as a request: {error}"))
    }

    /// The connection, made anew when there is none. Others wait meanwhile, so there is only one.
    async fn link(&self) -> Result<Link, String> {
        let mut line = self.line.lock().await;
        while line.drivers.try_join_next().is_some() {}
        if let Some(link) = &line.link
            && !link.sender.is_closed()
        {
            return Ok(link.clone());
        }
        line.link = None;
        let address = self.target.address;
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::clone(&self.tls))
                .connect(self.server_name.clone(), stream)
                .await
        };
        let stream = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => {
                connected.map_err(|error| format!("connecting to APNs at {address}: {error}"))?
            }
            Err(_) => return Err(format!("connecting to APNs at {address}: no answer")),
        };
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("beginning HTTP/2 with APNs: {}", chain(&error)))?;
        let ended = Arc::default();
        let link = Link {
            sender,
            ended: Arc::clone(&ended),
        };
        line.drivers.spawn(async move {
            // Its pushes fail with it, and report this.
            if let Err(error) = connection.await {
                let _ = ended.set(chain(&error));
            }
        });
        line.link = Some(link.clone());
        Ok(link)
    }
}

/// The push clients of a server, one per topic.
#[derive(Debug, Default)]
pub struct PushClients {
    by_topic: std::sync::RwLock<std::collections::BTreeMap<String, Arc<PushClient>>>,
}

impl PushClients {
    /// Uses the push certificate and key in `pem` for its topic from here on; returns the topic and
    /// when the certificate may be used.
    pub fn add(&self, pem: &str, target: &PushTarget) -> Result<(String, Validity), TlsError> {
        let push = Credential::from_pem(pem, pem)?;
        let topic = topic_of(&push.chain[0]).ok_or(TlsError::NoTopic)?;
        let validity = Validity::of_certificate(&push.chain[0]).ok_or(TlsError::NoTopic)?;
        let client = Arc::new(PushClient::new(target.clone(), &push)?);
        let mut clients = self.by_topic.write().expect("nobody panics while writing");
        clients.insert(topic.clone(), client);
        Ok((topic, validity))
    }

    /// A topic that there is a client for; the first one by name if there are several.
    pub fn any_topic(&self) -> Option<String> {
        let clients = self.by_topic.read().expect("nobody panics while writing");
        clients.keys().next().cloned()
    }

    /// The client for `topic`.
    pub fn find(&self, topic: &str) -> Option<Arc<PushClient>> {
        let clients = self.by_topic.read().expect("nobody panics while writing");
        clients.get(topic).cloned()
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// An error with its causes, which hold what the operating system said.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push_str(&format!(": {error}"));
        cause = error.source();
    }
    said
}
