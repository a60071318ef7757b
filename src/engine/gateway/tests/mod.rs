//! The gateway and a provider, over real sockets. Providers are those of this crate (hyper) and of the
//! tests' own (`h2`), both as they would be with Apple.

mod abuse;
mod answers;
mod faults;
mod service;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Door, Gateway, Settings};
use crate::apns::admission::{Admission, Storage};
use crate::apns::fault::{Fault, FaultRule, Strikes};
use crate::device::contract::Push;
use crate::engine::authority::Credential;
use crate::engine::clock::Clock;
use crate::engine::identity::{ClientTls, certified, roots_of_pem};
use crate::engine::ports::Ports;
use crate::engine::provider_tls::gateway_tls;
use crate::engine::push_client::{PushClient, PushTarget};
use crate::engine::scribe::{Batch, Scribe};
use crate::engine::state::State;
use crate::engine::worker::ToWorker;
use crate::fact::FactKind;
use crate::ids::{Channel, Crowd, DeviceId, hex_lower};
use crate::reference_server::{PushOrder, PushResult, Ticket};

const CHANNEL: Channel = Channel {
    device: DeviceId(3),
    user: 1,
};

/// Longer than anything takes; a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(30);

/// A gateway for ten devices, what stands behind it, and a provider with a connection kept open.
struct Rig {
    gateway: Rc<Gateway>,
    mailbox: mpsc::Receiver<ToWorker>,
    facts: mpsc::Receiver<Batch>,
    provider: PushClient,
    state: State,
    crowd: Crowd,
    topic: String,
    direct: SocketAddr,
    proxy: SocketAddr,
}

/// A provider's connection, by `h2`.
struct Line {
    sender: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// An answer as a provider sees it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: StatusCode,
    id: Option<String>,
    body: String,
}

impl Rig {
    async fn start(folder: &std::path::Path, settings: Settings) -> Self {
        let clock = Clock::start();
        let state = State::open(&folder.join("state")).unwrap();
        let tls = gateway_tls(&state, &state.push, clock).unwrap();
        let storage = Storage {
            without_expiration: true,
            time_scale: 1.0,
        };
        let (crowd, topic) = (state.crowd.clone(), state.topic.clone());
        let known = topic.as_str().into();
        let admission = Admission::new(crowd.clone(), known, clock.epoch(), 10, storage);
        let (to_worker, mailbox) = mpsc::channel(20_000);
        let (to_recorder, facts) = mpsc::channel(1_000);
        let ports = Ports::new(vec![to_worker], Scribe::new(clock, 0, to_recorder));
        let gateway = Gateway::new(admission, ports, clock, tls.certificate, settings);
        let acceptor = TlsAcceptor::from(tls.config);
        let mut addresses = Vec::new();
        for door in [Door::Tls(acceptor.clone()), Door::Connect(acceptor)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tokio::task::spawn_local(Rc::clone(&gateway).listen(listener, door));
        }
        let target = PushTarget {
            address: addresses[0],
            server_name: "api.push.apple.com".into(),
            authority: Some(state.apns_authority.certificate_pem()),
            expires_after: None,
        };
        Self {
            gateway,
            mailbox,
            facts,
            provider: PushClient::new(target, &state.push).unwrap(),
            crowd,
            topic,
            direct: addresses[0],
            proxy: addresses[1],
            state,
        }
    }

    /// The provider pushes to the token of this epoch.
    async fn push(&self, epoch: u32) -> PushResult {
        let order = PushOrder {
            ticket: Ticket::default(),
            id: "id".into(),
            topic: self.topic.clone(),
            token: self.crowd.token(CHANNEL, epoch).0.to_vec(),
            magic: "magic".into(),
        };
        self.provider.push(&order).await
    }

    /// How many pushes have been handed on, and the facts noted, since the last time.
    async fn seen(&mut self) -> (usize, Vec<FactKind>) {
        let facts = self.facts().await;
        let pushes = std::iter::from_fn(|| self.mailbox.try_recv().ok()).count();
        (pushes, facts)
    }

    async fn facts(&mut self) -> Vec<FactKind> {
        self.gateway.flush().await;
        let batches = std::iter::from_fn(|| self.facts.try_recv().ok());
        let facts = batches.flat_map(|batch| batch.facts);
        facts.map(|fact| fact.kind).collect()
    }

    /// The first fact that `is` says is meant, as soon as there is one.
    async fn fact(&mut self, is: impl Fn(&FactKind) -> bool) -> FactKind {
        let found = async {
            loop {
                if let Some(fact) = self.facts().await.into_iter().find(&is) {
                    return fact;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, found).await.unwrap()
    }

    /// Why a provider is cut off, as soon as one is.
    async fn cut(&mut self) -> String {
        let fact = self.fact(|it| matches!(it, FactKind::ProviderCut { .. }));
        let FactKind::ProviderCut { why } = fact.await else {
            panic!("another fact was found")
        };
        why
    }

    /// The next push that is handed on.
    async fn handed_on(&mut self) -> Push {
        let message = tokio::time::timeout(LONG, self.mailbox.recv()).await;
        let ToWorker::Push(push, _) = message.unwrap().unwrap() else {
            panic!("something else was handed on")
        };
        push
    }

    /// From here on this happens to every push.
    fn fault(&self, fault: Fault) {
        self.gateway.fault(FaultRule {
            of: None,
            strikes: Strikes::Share(1.0),
            fault,
        });
    }

    /// From here on this happens to the nth push from here.
    fn fault_nth(&self, nth: u64, fault: Fault) {
        self.gateway.fault(FaultRule {
            of: None,
            strikes: Strikes::Nth(nth),
            fault,
        });
    }

    /// TLS to the gateway, with this certificate.
    async fn tls(&self, shown: Option<&Credential>) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.direct).await.unwrap();
        self.tls_over(tcp, "api.push.apple.com", shown).await
    }

    async fn tls_over(
        &self,
        tcp: TcpStream,
        name: &'static str,
        shown: Option<&Credential>,
    ) -> TlsStream<TcpStream> {
        let roots = roots_of_pem(&self.state.apns_authority.certificate_pem()).unwrap();
        let shown = shown.map(|credential| certified(credential).unwrap());
        let config = ClientTls::new(roots, 0, "h2").unwrap().config_for(shown);
        let name = ServerName::try_from(name).unwrap();
        let connector = TlsConnector::from(Arc::clone(&config));
        connector.connect(name, tcp).await.unwrap()
    }

    /// A connection of a provider with our push certificate.
    async fn line(&self) -> Line {
        Line::over(self.tls(Some(&self.state.push)).await).await
    }

    fn path(&self, device: u32, epoch: u32) -> String {
        let token = self.crowd.token(Channel::device(DeviceId(device)), epoch);
        format!("/3/device/{}", hex_lower(&token.0))
    }
}

impl Line {
    async fn over(tls: TlsStream<TcpStream>) -> Self {
        let (sender, connection) = h2::client::handshake(tls).await.unwrap();
        Self {
            sender,
            driver: tokio::task::spawn_local(connection),
        }
    }

    /// Pushes a payload.
    async fn push(&self, path: &str, payload: &[u8]) -> Result<Seen, h2::Error> {
        self.send(request(path), payload).await
    }

    async fn send(&self, request: Request<()>, payload: &[u8]) -> Result<Seen, h2::Error> {
        self.begin(request, payload).await?.await
    }

    /// Sends a push; what comes back is its answer to be.
    async fn begin(
        &self,
        request: Request<()>,
        payload: &[u8],
    ) -> Result<impl Future<Output = Result<Seen, h2::Error>> + 'static, h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        let (answer, mut body) = sender.send_request(request, false)?;
        body.send_data(Bytes::copy_from_slice(payload), true)?;
        Ok(async move {
            let (head, mut body) = answer.await?.into_parts();
            let mut text = Vec::new();
            while let Some(piece) = body.data().await {
                text.extend_from_slice(&piece?);
            }
            let id = head.headers.get("apns-id");
            Ok(Seen {
                status: head.status,
                id: id.map(|id| id.to_str().unwrap().to_owned()),
                body: String::from_utf8(text).unwrap(),
            })
        })
    }

    /// How the connection ended, as the client sees it.
    async fn ended(self) -> Result<(), h2::Error> {
        let Self { sender, driver } = self;
        let ended = tokio::time::timeout(LONG, driver).await.unwrap().unwrap();
        drop(sender);
        ended
    }
}

const PAYLOAD: &[u8] = br#"{"mdm":"magic"}"#;

/// A push as NanoMDM sends it.
fn request(path: &str) -> Request<()> {
    let uri = format!("https://api.push.apple.com{path}");
    let request = Request::post(uri).header("content-type", "application/json");
    request.body(()).unwrap()
}

/// Runs a test where the gateway's tasks can live.
async fn with<F: Future<Output = ()>>(test: impl FnOnce(Rig) -> F) {
    with_settings(Settings::default(), test).await;
}

async fn with_settings<F: Future<Output = ()>>(settings: Settings, test: impl FnOnce(Rig) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let run = async { test(Rig::start(folder.path(), settings).await).await };
    let tasks = LocalSet::new();
    let run = tasks.run_until(run);
    tokio::time::timeout(4 * LONG, run).await.unwrap();
}

fn is_accepted(result: &PushResult) -> bool {
    matches!(result, PushResult::Accepted { .. })
}
