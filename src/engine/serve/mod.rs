//! The reference server over HTTP and HTTPS: devices on `/mdm`, an administrator on `/v1`.
//!
//! The server itself is the pure machine in `reference_server`; it is locked for one call at a time
//! and never across an await. Here are its sockets, its TLS, its pushes and its timer.

mod embedded;
mod enroll;
mod listener;
mod peer;
mod register;
mod routes;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::authority::{AuthorityError, Credential};
use super::clock::Clock;
use super::identity::TlsError;
use super::push_client::{PushClients, PushTarget};
use crate::reference_server::{Defects, NetworkUsers, PushOrder, PushResult, Server, Settings};
use crate::seed::Seed;
use crate::time::SimTime;

pub use embedded::{Embedded, EmbeddedError, run_embedded};
use enroll::Enrolling;
pub use enroll::EnrollmentSettings;
use peer::Door;
use register::Register;

/// What a reference server needs to know.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServeSettings {
    /// Where to listen for plain HTTP; port 0 lets the operating system choose.
    pub listen_http: Option<SocketAddr>,
    /// Where to listen for HTTPS.
    pub listen_https: Option<SocketAddr>,
    /// The server's certificate chain, as PEM; needed for HTTPS.
    pub certificate: String,
    /// Its private key, as PEM.
    pub key: String,
    /// The password of the administrator `nanomdm`.
    pub api_key: String,
    /// How devices prove who they are.
    pub identity: IdentityMode,
    /// The authority that signed the devices' certificates, as PEM.
    pub device_authority: String,
    /// Whether clients are given TLS session tickets. Without them each wake is a full handshake.
    #[serde(default)]
    pub tickets: bool,
    /// Where pushes go.
    pub push: PushTarget,
    /// A push certificate and its key, as PEM; others are uploaded by the administrator.
    pub push_certificate: Option<String>,
    /// The only topic devices may enrol with; `None` for any.
    pub push_topic: Option<String>,
    /// From the end of a session that left refused commands to the next push.
    pub repush_after: Duration,
    /// From a push without an answer to the next.
    pub repush_every: Duration,
    /// What happens to network users of Macs.
    pub network_users: NetworkUsers,
    /// What is wrong with the server.
    pub defects: Defects,
    /// What defects draw with that strike at random.
    pub seed: Seed,
    /// How devices come by their identities here; `None` when they bring them.
    #[serde(default)]
    pub enrollment: Option<EnrollmentSettings>,
}

impl fmt::Debug for ServeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeSettings")
            .field("listen_http", &self.listen_http)
            .field("listen_https", &self.listen_https)
            .field("identity", &self.identity)
            .field("push", &self.push)
            .finish_non_exhaustive()
    }
}

/// How devices prove who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityMode {
    /// With the client certificate of the TLS connection.
    Mtls,
    /// With the header `Mdm-Signature`.
    Signature,
    /// With their certificate in this header (RFC 9440), as a proxy in front would send it.
    Header(String),
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}; choose another port, or 0 for any")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// No address was given.
    #[error("no address to listen on: give one for HTTP, HTTPS or both")]
    NoAddress,
    /// The server's certificate or key cannot be used.
    #[error("the server's certificate: {0}")]
    Certificate(#[from] AuthorityError),
    /// The authority that issues identities cannot be used.
    #[error("the authority of enrolment: {0}")]
    Issuer(String),
    /// TLS material cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    machine: Mutex<Server>,
    /// Something may have to be pushed earlier than the timer thinks.
    sooner: Notify,
    door: Door,
    api_key: String,
    push: PushTarget,
    push_clients: PushClients,
    register: Arc<Register>,
    /// The ways in, if there are any.
    enrolling: Option<Arc<Enrolling>>,
}

/// A server at work; it stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it listens for plain HTTP.
    pub http: Option<SocketAddr>,
    /// Where it listens for HTTPS.
    pub https: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

/// Pushes that are sent at the same time for one request or one turn of the timer.
const PUSHES_AT_ONCE: usize = 256;

impl Running {
    /// Starts a server; every address is bound when this returns.
    ///
    /// Must be called inside a tokio runtime.
    #[expect(
        clippy::too_many_lines,
        reason = "one part of the server after another, each with what those before it gave"
    )]
    pub fn start(settings: ServeSettings) -> Result<Self, ServeError> {
        if settings.listen_http.is_none() && settings.listen_https.is_none() {
            return Err(ServeError::NoAddress);
        }
        let machine = Server::new(Settings {
            repush_after: settings.repush_after,
            repush_every: settings.repush_every,
            push_topic: settings.push_topic,
            configures: settings
                .enrollment
                .as_ref()
                .is_none_or(|enrollment| enrollment.rules.configures),
            network_users: settings.network_users,
            defects: settings.defects,
            seed: settings.seed,
        });
        let push_clients = PushClients::default();
        if let Some(pem) = &settings.push_certificate {
            push_clients.add(pem, &settings.push)?;
        }
        let issuer = settings.enrollment.as_ref();
        let door = Door::new(
            settings.identity.clone(),
            &settings.device_authority,
            issuer.map(|issuer| issuer.certificate.as_str()),
        )?;
        let register = Arc::default();
        let enrolling = match &settings.enrollment {
            Some(enrollment) => Some(Arc::new(Enrolling::new(
                enrollment,
                settings.identity,
                &Credential::from_pem(&settings.certificate, &settings.key)?,
                door.vouching(),
                Arc::clone(&register),
            )?)),
            None => None,
        };
        let mut running = Self {
            http: None,
            https: None,
            tasks: JoinSet::new(),
        };
        let http = settings.listen_http.map(listener::bind).transpose()?;
        let https = match settings.listen_https {
            Some(address) => {
                let credential = Credential::from_pem(&settings.certificate, &settings.key)?;
                Some((
                    listener::bind(address)?,
                    door.acceptor(&credential, settings.tickets)?,
                ))
            }
            None => None,
        };
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            machine: Mutex::new(machine),
            sooner: Notify::new(),
            door,
            api_key: settings.api_key,
            push: settings.push,
            push_clients,
            register,
            enrolling,
        });
        if let Some((socket, address)) = http {
            running.http = Some(address);
            let shared = Arc::clone(&shared);
            running.tasks.spawn(listener::accept(socket, None, shared));
        }
        if let Some(((socket, address), acceptor)) = https {
            running.https = Some(address);
            let shared = Arc::clone(&shared);
            running
                .tasks
                .spawn(listener::accept(socket, Some(acceptor), shared));
        }
        running.tasks.spawn(push_again(shared));
        Ok(running)
    }

    /// Waits until the server has stopped, which it does not do by itself.
    pub async fn wait(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Stops the server and closes every connection.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    /// The machine, for one call.
    fn machine(&self) -> MutexGuard<'_, Server> {
        self.machine
            .lock()
            .expect("the machine does not panic on anything a device or administrator sends")
    }

    /// Calls the machine with the time, and wakes the timer when it has something to do sooner.
    fn call<T>(&self, act: impl FnOnce(&mut Server, SimTime) -> T) -> T {
        let mut machine = self.machine();
        let before = machine.deadline();
        let result = act(&mut machine, self.clock.now());
        let after = machine.deadline();
        drop(machine);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
        result
    }

    /// Sends the pushes, tells the machine how they went, and returns that.
    async fn send(&self, orders: Vec<PushOrder>) -> Vec<(PushOrder, PushResult)> {
        stream::iter(orders)
            .map(async |order| {
                let result = match self.push_clients.find(&order.topic) {
                    Some(client) => client.push(&order).await,
                    None => PushResult::Failed {
                        why: format!("no push certificate for the topic {}", order.topic),
                    },
                };
                self.call(|server, _| server.pushed(order.ticket, &result));
                (order, result)
            })
            .buffer_unordered(PUSHES_AT_ONCE)
            .collect()
            .await
    }
}

/// Sends the pushes that the machine's own rules ask for, each in its time.
async fn push_again(shared: Arc<Shared>) {
    loop {
        let deadline = shared.machine().deadline().unwrap_or(SimTime::NEVER);
        tokio::select! {
            () = sleep_until(shared.clock.instant(deadline)) => {}
            () = shared.sooner.notified() => continue,
        }
        let orders = shared.call(|server, now| server.tick(now));
        shared.send(orders).await;
    }
}
