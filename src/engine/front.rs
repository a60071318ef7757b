//! The front thread: gateway and operator, side by side, apart from the workers, so that neither
//! pushes nor orders wait for devices.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsAcceptor;

use super::gateway::{Door, Gateway};
use super::operator::{Halt, Operator, Standing};
use super::ports::Ports;
use super::provider_tls::ProviderTls;
use super::tokens::TokenChange;
use crate::apns::admission::Admission;
use crate::ids::OrderIndex;
use crate::time::SimTime;

/// How often facts go to the recorder at the latest.
const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// The gateway's listeners, bound before anything else starts, so that a port in use is known.
#[derive(Debug)]
pub struct Listeners {
    /// For providers that connect straight.
    pub direct: StdListener,
    /// For providers that come through CONNECT.
    pub proxy: Option<StdListener>,
}

/// Why a port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for {purpose}: {source}; \
     stop what uses the port, or set another one under [apns] {key}"
)]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What for.
    pub purpose: &'static str,
    /// The scenario's key.
    pub key: &'static str,
    /// What the system says.
    pub source: std::io::Error,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// When one is in use or not ours to bind.
    pub fn bind(direct: SocketAddr, proxy: Option<SocketAddr>) -> Result<Self, ListenError> {
        let bind = |address, purpose, key| {
            let refused = |source| ListenError {
                address,
                purpose,
                key,
                source,
            };
            let listener = StdListener::bind(address).map_err(refused)?;
            listener.set_nonblocking(true).map_err(refused)?;
            Ok(listener)
        };
        Ok(Self {
            direct: bind(direct, "the APNs gateway", "listen")?,
            proxy: match proxy {
                Some(address) => Some(bind(address, "the CONNECT proxy", "connect-proxy")?),
                None => None,
            },
        })
    }

    /// Where the gateway listens, with the port the system chose for port 0.
    pub fn direct_address(&self) -> std::io::Result<SocketAddr> {
        self.direct.local_addr()
    }

    /// Where the CONNECT proxy listens.
    pub fn proxy_address(&self) -> Option<SocketAddr> {
        self.proxy
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }
}

/// What the front thread needs. Whatever is not `Send` is made on the thread.
pub(super) struct FrontPlan {
    pub(super) listeners: Listeners,
    pub(super) tls: ProviderTls,
    pub(super) admission: Admission,
    pub(super) clock: super::clock::Clock,
    pub(super) ports: Box<dyn FnOnce() -> Ports + Send>,
    pub(super) operator: Option<Box<dyn FnOnce() -> Operator + Send>>,
    pub(super) settled: mpsc::Receiver<OrderIndex>,
    pub(super) tokens: mpsc::Receiver<TokenChange>,
    pub(super) halt: watch::Receiver<Halt>,
}

/// The running front thread.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) thread: JoinHandle<()>,
    /// Tells the operator time zero.
    pub(super) begin: Option<oneshot::Sender<SimTime>>,
    /// How far the operator is.
    pub(super) standing: watch::Receiver<Standing>,
}

impl Front {
    /// Starts the thread. It ends when everything is halted.
    pub(super) fn start(plan: FrontPlan) -> Self {
        let (begin, begun) = oneshot::channel();
        let (tell, standing) = watch::channel(Standing::default());
        let thread = std::thread::Builder::new()
            .name("front".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime needs a descriptor or two, which the limits check reserved");
                LocalSet::new().block_on(&runtime, work(plan, begun, tell));
            })
            .expect("a thread can be started");
        Self {
            thread,
            begin: Some(begin),
            standing,
        }
    }
}

async fn work(
    plan: FrontPlan,
    begun: oneshot::Receiver<SimTime>,
    standing: watch::Sender<Standing>,
) {
    let mut halt = plan.halt.clone();
    let acceptor = TlsAcceptor::from(plan.tls.config);
    let gateway = Gateway::new(
        plan.admission,
        (plan.ports)(),
        plan.clock,
        plan.tls.certificate,
    );
    let operator = plan.operator.map(|make| Rc::new(make()));
    let mut tasks = JoinSet::new();
    let listen = |listener: StdListener, door: Door| {
        let gateway = Rc::clone(&gateway);
        async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => gateway.listen(listener, door).await,
                Err(error) => tracing::error!(%error, "the gateway cannot listen"),
            }
        }
    };
    tasks.spawn_local(listen(plan.listeners.direct, Door::Tls(acceptor.clone())));
    if let Some(proxy) = plan.listeners.proxy {
        tasks.spawn_local(listen(proxy, Door::Connect(acceptor)));
    }
    let ordering = async {
        if let (Ok(zero), Some(operator)) = (begun.await, operator.as_ref()) {
            Rc::clone(operator)
                .run(zero, plan.settled, plan.halt, &standing, &gateway)
                .await;
        }
        std::future::pending::<()>().await;
    };
    let mut tokens = plan.tokens;
    let learning = async {
        while let Some(change) = tokens.recv().await {
            gateway.learn(change);
        }
        std::future::pending::<()>().await;
    };
    let flushing = async {
        let mut tick = tokio::time::interval(FLUSH_EVERY);
        loop {
            tick.tick().await;
            gateway.flush().await;
            if let Some(operator) = &operator {
                operator.flush().await;
            }
        }
    };
    tokio::select! {
        () = ordering => {}
        () = flushing => {}
        () = learning => {}
        _ = halt.wait_for(|halt| *halt == Halt::Everything) => {}
    }
    drop(tasks);
    gateway.flush().await;
    if let Some(operator) = &operator {
        operator.flush().await;
    }
}
