//! The APNs gateway: takes pushes from any provider over HTTP/2 and TLS, as Apple's does, and hands
//! them to the workers.
//!
//! What is let in is decided by [`Admission`], and what goes wrong by [`Faults`]; here both are
//! carried out. The answer goes out as soon as the push is in its owner's mailbox, never after the
//! device has acted. A provider with Apple's host name compiled in comes through the CONNECT proxy on
//! a port of its own.

mod answer;
mod connection;
mod events;
mod frames;
mod late;
pub mod lookout;
mod metrics;
pub(super) mod plain;
mod standing;
mod streams;
pub mod tally;
pub(super) mod tasks;
#[cfg(test)]
mod tests;
pub mod webhook;

use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::apns::admission::Admission;
use crate::apns::fault::{FaultRule, Faults};
use crate::apns::service::{Service, ServiceChange};
use crate::engine::clock::Clock;
use crate::engine::ports::Ports;
use crate::engine::provider_tls::{self, PushCertificate};
use crate::engine::proxy::{self, Proxied};
use crate::engine::tokens::TokenChange;
use crate::fact::{FactKind, NoEntry};
use crate::ids::DeviceId;
use crate::protocol::push::Reason;
use crate::seed::Seed;
use connection::Connection;
use lookout::Lookout;
use standing::Standing;

/// How many provider connections may be open at each door; further ones wait in the kernel's queue.
pub(in crate::engine) const CONNECTIONS_MAX: usize = 512;

/// The most a push's headers may have, in bytes.
const HEADERS_MAX: u32 = 16 * 1024;

/// What a gateway is set to.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Settings {
    /// What chance is drawn from.
    pub(in crate::engine) seed: Seed,
    /// How the service is doing at first.
    pub(in crate::engine) service: Service,
    /// What goes wrong with pushes at first.
    pub(in crate::engine) faults: Vec<FaultRule>,
    /// Hosts that the CONNECT proxy tunnels to, beside Apple's push hosts.
    pub(in crate::engine) allow_hosts: Vec<String>,
    /// How long a provider may take.
    pub(in crate::engine) patience: Patience,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: Seed(0),
            service: Service::default(),
            faults: Vec::new(),
            allow_hosts: Vec::new(),
            patience: Patience::default(),
        }
    }
}

/// How long a provider may take, in real time.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Patience {
    /// For its TLS handshake, the head of a CONNECT, or the beginning of HTTP/2.
    pub(in crate::engine) handshake: Duration,
    /// For a push's payload, once its headers were read. A run's report waits as long for what happened
    /// since, so it is short.
    pub(in crate::engine) payload: Duration,
    /// From one push to the next; Apple's closes after about an hour.
    pub(in crate::engine) idle: Duration,
    /// For what is under way when a connection ends.
    pub(in crate::engine) goodbye: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            payload: Duration::from_secs(3),
            idle: Duration::from_secs(3600),
            goodbye: Duration::from_secs(5),
        }
    }
}

/// The gateway's listeners and what they share.
#[derive(Debug)]
pub(in crate::engine) struct Gateway {
    admission: RefCell<Admission>,
    faults: RefCell<Faults>,
    ports: Ports,
    clock: Clock,
    certificate: PushCertificate,
    settings: Settings,
    /// What all connections are told.
    standing: watch::Sender<Standing>,
    /// How many pushes set out later, and what wakes those that wait for the next one.
    late: RefCell<JoinSet<()>>,
    next: Arc<Notify>,
    /// Where pushes can be listened to that no device takes.
    plain: OnceCell<Weak<plain::Plain>>,
    /// Who looks on from outside.
    lookout: OnceCell<Lookout>,
}

impl Gateway {
    pub(in crate::engine) fn new(
        mut admission: Admission,
        ports: Ports,
        clock: Clock,
        certificate: PushCertificate,
        settings: Settings,
    ) -> Rc<Self> {
        admission.set_rate(settings.service.rate);
        let mut faults = Faults::none(settings.seed);
        for rule in &settings.faults {
            faults.add(rule.clone());
        }
        let standing = Standing {
            service: settings.service,
            ..Standing::default()
        };
        Rc::new(Self {
            admission: RefCell::new(admission),
            faults: RefCell::new(faults),
            ports,
            clock,
            certificate,
            settings,
            standing: watch::Sender::new(standing),
            late: RefCell::default(),
            next: Arc::default(),
            plain: OnceCell::new(),
            lookout: OnceCell::new(),
        })
    }

    /// Takes note of a channel's new token, and tells whoever waits for that.
    pub(in crate::engine) fn learn(&self, change: TokenChange) {
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
    pub(in crate::engine) fn expire_certificate(&self) {
        self.certificate.expire();
        self.standing
            .send_modify(|standing| standing.end(Reason::BadCertificate));
    }

    /// The push certificate is good again.
    pub(in crate::engine) fn renew_certificate(&self) {
        self.certificate.renew();
    }

    /// From here on pushes that no device takes can be listened to there.
    pub(in crate::engine) fn let_listen(&self, plain: &Rc<plain::Plain>) {
        let _ = self.plain.set(Rc::downgrade(plain));
    }

    /// From here on this one looks on; the first stays.
    pub(super) fn watched_by(&self, lookout: Lookout) {
        let _ = self.lookout.set(lookout);
    }

    /// From here on this goes wrong with pushes, too.
    pub(in crate::engine) fn fault(&self, rule: FaultRule) {
        self.faults.borrow_mut().add(rule);
    }

    /// From here on nothing goes wrong with pushes to these devices; `None` for all.
    pub(in crate::engine) fn heal(&self, of: Option<&Range<DeviceId>>) {
        self.faults.borrow_mut().heal(of);
    }

    /// The service is doing otherwise from here on.
    pub(in crate::engine) fn service(&self, change: ServiceChange) {
        if let ServiceChange::Rate(rate) = change {
            self.admission.borrow_mut().set_rate(rate);
        }
        self.standing
            .send_modify(|standing| standing.change(change));
    }

    /// Sends the facts noted so far to the recorder, and waiting pushes to workers that were behind.
    pub(in crate::engine) async fn flush(&self) {
        self.look_after_late();
        self.ports.catch_up().await;
        self.ports.flush().await;
    }

    /// Takes no more connections, and ends those that stand: what is under way on them is answered.
    pub(in crate::engine) fn shut_down(&self) {
        self.standing.send_modify(|standing| {
            standing.is_closing = true;
            standing.end(Reason::Shutdown);
        });
    }

    /// Serves a listener until the gateway is shut down and the last connection has ended, or the
    /// task is dropped.
    pub(in crate::engine) async fn listen(self: Rc<Self>, listener: TcpListener, door: Door) {
        let mut connections = JoinSet::new();
        let mut news = self.standing.subscribe();
        loop {
            while let Some(joined) = connections.try_join_next() {
                tasks::pass_on(joined);
            }
            let has_room = connections.len() < CONNECTIONS_MAX;
            tokio::select! {
                _ = news.wait_for(|standing| standing.is_closing) => break,
                Some(joined) = connections.join_next(), if !has_room => tasks::pass_on(joined),
                (tcp, from) = tasks::next_connection(&listener, "gateway"), if has_room => {
                    let (gateway, door) = (Rc::clone(&self), door.clone());
                    connections.spawn_local(gateway.admit(tcp, from, door));
                }
            }
        }
        drop(listener);
        while let Some(joined) = connections.join_next().await {
            tasks::pass_on(joined);
        }
    }

    async fn admit(self: Rc<Self>, tcp: TcpStream, from: SocketAddr, door: Door) {
        let _ = tcp.set_nodelay(true);
        let _open = self.lookout.get().map(Lookout::connected);
        // Whatever changes from here on reaches the connection, however long it takes to begin.
        let mut news = self.standing.subscribe();
        let known = news.borrow_and_update().clone();
        let service = known.service;
        if service.is_out {
            return self.refuse_provider(NoEntry::Service);
        }
        let (tcp, acceptor) = match door {
            Door::Tls(acceptor) => (tcp, acceptor),
            Door::Connect(acceptor) => {
                let allowed = &self.settings.allow_hosts;
                let connect = proxy::accept(tcp, allowed, service.refuses_connect);
                let connect = timeout(self.settings.patience.handshake, connect);
                let connected = tokio::select! {
                    connected = connect => connected,
                    () = ended(&mut news, &known) => return,
                };
                match connected {
                    Ok(Ok(Proxied::Push(tcp))) => (tcp, acceptor),
                    Ok(Ok(Proxied::Tunnel(mut near, mut far))) => {
                        let carried = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                        return tracing::debug!(%from, ?carried, "a tunnel has ended");
                    }
                    Ok(Ok(Proxied::Refused(why))) => return self.refuse_provider(why),
                    Ok(Err(error)) => {
                        return tracing::debug!(%from, %error, "a CONNECT did not come");
                    }
                    Err(_) => return self.cut("its CONNECT did not come in time"),
                }
            }
        };
        self.serve_tls(tcp, from, &acceptor, (news, known)).await;
    }

    async fn serve_tls(
        self: Rc<Self>,
        tcp: TcpStream,
        from: SocketAddr,
        acceptor: &TlsAcceptor,
        (mut news, known): (watch::Receiver<Standing>, Standing),
    ) {
        let handshake = timeout(self.settings.patience.handshake, acceptor.accept(tcp));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = ended(&mut news, &known) => return,
        };
        let tls = match shaken {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                tracing::debug!(%from, %error, "a provider's TLS handshake failed");
                if let Some(why) = provider_tls::refusal(&error) {
                    self.refuse_provider(NoEntry::Certificate(why));
                } else if error.kind() == std::io::ErrorKind::InvalidData {
                    self.cut(&format!("its TLS handshake failed: {error}"));
                }
                return;
            }
            Err(_) => return self.cut("its TLS handshake did not end in time"),
        };
        let (certificate, environment) = provider_tls::introduction(tls.get_ref().1);
        let provider = (certificate, environment);
        let opened = Connection::open(Rc::clone(&self), tls, provider, (news, known));
        if let Some(connection) = opened.await {
            connection.serve().await;
        }
    }

    fn lowers_streams(&self) -> bool {
        self.standing.borrow().service.lowers_streams
    }

    fn refuse_provider(&self, why: NoEntry) {
        self.note(FactKind::ProviderRefused { why });
    }

    /// Whether a worker or a reader is behind: no push is taken before [`Self::catch_up`].
    fn is_behind(&self) -> bool {
        self.ports.is_behind() || self.lookout.get().is_some_and(Lookout::is_behind)
    }

    /// Waits until nobody is behind.
    async fn catch_up(&self) {
        self.ports.catch_up().await;
        if let Some(lookout) = self.lookout.get() {
            lookout.catch_up().await;
        }
    }

    fn note(&self, fact: FactKind) {
        if let Some(lookout) = self.lookout.get() {
            lookout.note(&fact);
        }
        self.ports.note(self.clock.now(), fact);
    }
}

/// Waits until a connection that has not begun HTTP/2 is to end: there is nothing yet to say goodbye
/// in, so it is dropped.
async fn ended(news: &mut watch::Receiver<Standing>, known: &Standing) {
    let is_over = |now: &Standing| now.is_closing || now.resets != known.resets;
    // The gateway outlives its connections, so there is always somebody to tell.
    let _ = news.wait_for(is_over).await;
}

/// Waits until a connection that stands is to be reset.
async fn reset(news: &mut watch::Receiver<Standing>, known: &Standing) {
    let _ = news.wait_for(|now| now.resets != known.resets).await;
}

/// How a provider comes in.
#[derive(Clone)]
pub(in crate::engine) enum Door {
    /// Straight, over TLS.
    Tls(TlsAcceptor),
    /// Through CONNECT, then TLS.
    Connect(TlsAcceptor),
}
