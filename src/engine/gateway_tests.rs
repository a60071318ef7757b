//! The gateway and a provider, over real sockets.

use tokio::sync::mpsc;
use tokio::task::LocalSet;

use std::rc::Rc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::clock::Clock;
use super::gateway::{Door, Gateway};
use super::losses::Losses;
use super::ports::Ports;
use super::provider_tls::gateway_tls;
use super::push_client::{PushClient, PushTarget};
use super::scribe::{Batch, Scribe};
use super::state::State;
use super::tokens::Announcer;
use super::worker::ToWorker;
use crate::apns::admission::{Admission, Storage};
use crate::fact::FactKind;
use crate::ids::{Channel, Crowd, DeviceId};
use crate::protocol::push::Reason;
use crate::reference_server::{PushOrder, PushResult, Ticket};
use crate::seed::Seed;
use crate::time::WallTime;

const CHANNEL: Channel = Channel {
    device: DeviceId(3),
    user: 1,
};

/// A gateway for ten devices, what stands behind it, and a provider with a connection kept open.
struct Rig {
    gateway: Rc<Gateway>,
    mailbox: mpsc::Receiver<ToWorker>,
    facts: mpsc::Receiver<Batch>,
    provider: PushClient,
    crowd: Crowd,
    topic: String,
}

impl Rig {
    async fn start(folder: &std::path::Path) -> Self {
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
        let (to_worker, mailbox) = mpsc::channel(16);
        let (to_recorder, facts) = mpsc::channel(16);
        let ports = Ports::new(vec![to_worker], Scribe::new(clock, 0, to_recorder));
        let gateway = Gateway::new(admission, ports, clock, tls.certificate);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = PushTarget {
            address: listener.local_addr().unwrap(),
            server_name: "api.push.apple.com".into(),
            authority: Some(state.apns_authority.certificate_pem()),
            expires_after: None,
        };
        let door = Door::Tls(TlsAcceptor::from(tls.config));
        tokio::task::spawn_local(Rc::clone(&gateway).listen(listener, door));
        Self {
            gateway,
            mailbox,
            facts,
            provider: PushClient::new(target, &state.push).unwrap(),
            crowd,
            topic,
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
        self.gateway.flush().await;
        let facts = self.facts.try_recv().unwrap().facts;
        let pushes = std::iter::from_fn(|| self.mailbox.try_recv().ok()).count();
        (pushes, facts.into_iter().map(|fact| fact.kind).collect())
    }
}

/// Runs a test where the gateway's tasks can live.
async fn with<F: Future<Output = ()>>(test: impl FnOnce(Rig) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let run = async { test(Rig::start(folder.path()).await).await };
    LocalSet::new().run_until(run).await;
}

fn is_accepted(result: &PushResult) -> bool {
    matches!(result, PushResult::Accepted { .. })
}

#[tokio::test]
async fn an_old_token_is_refused_as_soon_as_a_worker_hears_that_the_new_one_is_known() {
    with(async |rig: Rig| {
        let (to, mut changes) = mpsc::channel(1);
        let mut announcer = Announcer::new(to);
        assert!(is_accepted(&rig.push(0).await));
        for (epoch, old, new) in [(Some(1), 0, 1), (None, 1, 1), (Some(2), 1, 2)] {
            let gate = announcer.announce(CHANNEL, epoch, WallTime::default());
            rig.gateway.learn(changes.recv().await.unwrap());
            gate.await.unwrap();
            let refused = PushResult::Refused(Reason::Unregistered);
            assert_eq!(rig.push(old).await, refused);
            assert_eq!(is_accepted(&rig.push(new).await), epoch.is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn an_expired_push_certificate_ends_what_stands_and_lets_nobody_in() {
    with(async |mut rig: Rig| {
        assert!(is_accepted(&rig.push(0).await));
        rig.seen().await;
        rig.gateway.expire_certificate();
        // The first may still go out on the connection that is about to end.
        for _ in 0..2 {
            rig.push(0).await;
        }
        let PushResult::Failed { why } = rig.push(0).await else {
            panic!("a provider with an expired certificate was let in")
        };
        assert!(why.contains("CertificateExpired"), "{why}");
        let why = "the push certificate is expired".to_owned();
        let (_, facts) = rig.seen().await;
        assert!(
            facts.contains(&FactKind::ProviderRefused { why }),
            "{facts:?}"
        );
        rig.gateway.renew_certificate();
        assert!(is_accepted(&rig.push(0).await));
    })
    .await;
}

#[tokio::test]
async fn a_lost_push_is_answered_with_200_and_reaches_nobody() {
    with(async |mut rig: Rig| {
        let mut losses = Losses::none(Seed(1));
        losses.set(DeviceId(0)..DeviceId(10), 1.0);
        rig.gateway.lose(losses.clone());
        assert!(is_accepted(&rig.push(0).await));
        let (pushes, facts) = rig.seen().await;
        assert_eq!(pushes, 0);
        let [
            FactKind::PushReceived {
                push, status: 200, ..
            },
            lost,
        ] = &facts[..]
        else {
            panic!("{facts:?}")
        };
        let (push, channel) = (*push, CHANNEL);
        assert_eq!(lost, &FactKind::PushLost { push, channel });
        losses.set(DeviceId(0)..DeviceId(10), 0.0);
        rig.gateway.lose(losses);
        assert!(is_accepted(&rig.push(0).await));
        let (pushes, facts) = rig.seen().await;
        assert_eq!((pushes, facts.len()), (1, 1));
    })
    .await;
}
