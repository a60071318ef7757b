//! The front thread: gateway and operator, side by side, apart from the workers, so that neither
//! pushes nor orders wait for devices.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsAcceptor;

use super::events::{EventDoor, EventTally};
use super::gateway::lookout::{Lookout, Seen};
use super::gateway::plain::{Plain, Role};
use super::gateway::tasks::pass_on;
use super::gateway::webhook::Webhook;
use super::gateway::{Door, Gateway, Settings};
use super::inspection::Inspection;
use super::operator::{Halt, Operator, Standing};
use super::ports::Ports;
use super::provider_tls::ProviderTls;
use super::tokens::TokenChange;
use crate::apns::admission::Admission;
use crate::ids::OrderIndex;
use crate::time::SimTime;

/// How often facts go to the recorder at the latest.
const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// How long providers' connections may take to end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// The gateway's listeners, bound before anything else starts, so that a port in use is known.
#[derive(Debug)]
pub struct Listeners {
    /// For providers that connect straight.
    pub direct: StdListener,
    /// Further ones for providers that connect straight.
    pub further: Vec<StdListener>,
    /// For providers that come through CONNECT.
    pub proxy: Option<StdListener>,
    /// For providers and listeners over plain HTTP/1.1.
    pub plain: Option<StdListener>,
    /// For whoever asks how the gateway is doing.
    pub admin: Option<StdListener>,
    /// For the target's webhook.
    pub events: Option<StdListener>,
}

/// Where a gateway is to listen.
#[derive(Clone, Debug)]
pub struct Doors {
    /// For providers that connect straight.
    pub direct: SocketAddr,
    /// Further addresses for them.
    pub further: Vec<SocketAddr>,
    /// For providers that come through CONNECT.
    pub proxy: Option<SocketAddr>,
    /// For providers and listeners over plain HTTP/1.1.
    pub plain: Option<SocketAddr>,
    /// For whoever asks how the gateway is doing.
    pub admin: Option<SocketAddr>,
    /// For the target's webhook.
    pub events: Option<SocketAddr>,
}

/// Every port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nerror: "))]
pub struct ListenErrors(pub Vec<ListenError>);

/// Why a port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for {purpose}: {source}; \
     stop what uses the port, or set another one {}",
    match key {
        Some(key) => format!("under {key}"),
        None => "on the command line".to_owned(),
    }
)]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What for.
    pub purpose: &'static str,
    /// The scenario's key, if it has one.
    pub key: Option<&'static str>,
    /// What the system says.
    pub source: std::io::Error,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// When one is in use or not ours to bind.
    pub fn bind(direct: SocketAddr, proxy: Option<SocketAddr>) -> Result<Self, ListenErrors> {
        Self::open(&Doors {
            direct,
            further: Vec::new(),
            proxy,
            plain: None,
            admin: None,
            events: None,
        })
    }

    /// Binds every door.
    ///
    /// # Errors
    /// With each that is in use or not ours to bind.
    pub fn open(doors: &Doors) -> Result<Self, ListenErrors> {
        let mut errors = Vec::new();
        let mut bind = |address, purpose, key| match listener(address) {
            Ok(listener) => Some(listener),
            Err(source) => {
                errors.push(ListenError {
                    address,
                    purpose,
                    key,
                    source,
                });
                None
            }
        };
        let direct = bind(doors.direct, "the APNs gateway", Some("[apns] listen"));
        let further = doors.further.iter();
        let further = further.filter_map(|it| bind(*it, "the APNs gateway", None));
        let further = further.collect();
        let proxy = doors.proxy;
        let key = Some("[apns] connect-proxy");
        let proxy = proxy.and_then(|it| bind(it, "the CONNECT proxy", key));
        let key = Some("[apns] plain-listen");
        let plain = doors.plain;
        let plain = plain.and_then(|it| bind(it, "pushes over plain HTTP", key));
        let admin = doors.admin.and_then(|it| bind(it, "counters", None));
        let key = Some("webhook in the target's section");
        let events = doors.events;
        let events = events.and_then(|it| bind(it, "the target's events", key));
        match (direct, errors.is_empty()) {
            (Some(direct), true) => Ok(Self {
                direct,
                further,
                proxy,
                plain,
                admin,
                events,
            }),
            (Some(_) | None, _) => Err(ListenErrors(errors)),
        }
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

    /// Where every door is, with the ports the system chose for port 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn doors(&self) -> std::io::Result<Doors> {
        let of = |listener: &Option<StdListener>| match listener {
            Some(listener) => listener.local_addr().map(Some),
            None => Ok(None),
        };
        let further = self.further.iter().map(StdListener::local_addr);
        Ok(Doors {
            direct: self.direct.local_addr()?,
            further: further.collect::<Result<_, _>>()?,
            proxy: of(&self.proxy)?,
            plain: of(&self.plain)?,
            admin: of(&self.admin)?,
            events: of(&self.events)?,
        })
    }
}

fn listener(address: SocketAddr) -> std::io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Who looks on from outside, and what they are told through.
pub(super) struct Outside {
    pub(super) lookout: Lookout,
    /// Where pushes are passed on to, and those that are to be.
    pub(super) webhook: Option<(Webhook, mpsc::Receiver<Arc<Seen>>)>,
    /// The topic of our devices.
    pub(super) topic: Arc<str>,
}

/// What the front thread needs. Whatever is not `Send` is made on the thread.
pub(super) struct FrontPlan {
    pub(super) listeners: Listeners,
    pub(super) tls: ProviderTls,
    pub(super) admission: Admission,
    pub(super) settings: Settings,
    pub(super) clock: super::clock::Clock,
    pub(super) ports: Box<dyn FnOnce() -> Ports + Send>,
    pub(super) operator: Option<Box<dyn FnOnce() -> Operator + Send>>,
    pub(super) settled: mpsc::Receiver<OrderIndex>,
    pub(super) tokens: mpsc::Receiver<TokenChange>,
    pub(super) halt: watch::Receiver<Halt>,
    pub(super) outside: Option<Outside>,
}

/// The running front thread.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) thread: JoinHandle<()>,
    /// Tells the operator time zero.
    pub(super) begin: Option<oneshot::Sender<SimTime>>,
    /// How far the operator is.
    pub(super) standing: watch::Receiver<Standing>,
    /// What the operator is to look into.
    pub(super) inspections: mpsc::Sender<Inspection>,
    /// What has come from the target's webhook.
    pub(super) events: watch::Receiver<EventTally>,
}

impl Front {
    /// Starts the thread. It ends when everything is halted.
    pub(super) fn start(plan: FrontPlan) -> Self {
        let (begin, begun) = oneshot::channel();
        let (tell, standing) = watch::channel(Standing::default());
        // One look at a time is asked for, by the run.
        let (inspections, asked) = mpsc::channel(1);
        let (hear, events) = watch::channel(EventTally::default());
        let talk = Talk {
            begun,
            standing: tell,
            inspections: asked,
            events: hear,
        };
        let thread = std::thread::Builder::new()
            .name("front".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime needs a descriptor or two, which the limits check reserved");
                LocalSet::new().block_on(&runtime, work(plan, talk));
            })
            .expect("a thread can be started");
        Self {
            thread,
            begin: Some(begin),
            standing,
            inspections,
            events,
        }
    }
}

/// The thread's ends of what [`Front`] has.
struct Talk {
    begun: oneshot::Receiver<SimTime>,
    standing: watch::Sender<Standing>,
    inspections: mpsc::Receiver<Inspection>,
    events: watch::Sender<EventTally>,
}

async fn work(plan: FrontPlan, talk: Talk) {
    let mut halt = plan.halt.clone();
    let acceptor = TlsAcceptor::from(plan.tls.config);
    let gateway = Gateway::new(
        plan.admission,
        (plan.ports)(),
        plan.clock,
        plan.tls.certificate,
        plan.settings,
    );
    let operator = plan.operator.map(|make| Rc::new(make()));
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut onlookers = JoinSet::new();
    let listen = |listener: StdListener, door: Door| {
        let gateway = Rc::clone(&gateway);
        async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => gateway.listen(listener, door).await,
                Err(error) => tracing::error!(%error, "the gateway cannot listen"),
            }
        }
    };
    for listener in std::iter::once(plan.listeners.direct).chain(plan.listeners.further) {
        tasks.spawn_local(listen(listener, Door::Tls(acceptor.clone())));
    }
    if let Some(proxy) = plan.listeners.proxy {
        tasks.spawn_local(listen(proxy, Door::Connect(acceptor)));
    }
    if let Some(outside) = plan.outside {
        let doors = [
            (plan.listeners.plain, Role::Plain),
            (plan.listeners.admin, Role::Admin),
        ];
        look_on(&mut onlookers, &gateway, outside, plan.clock, doors);
    }
    if let (Some(listener), Some(operator)) = (plan.listeners.events, &operator) {
        let door = EventDoor::new(Rc::clone(operator), talk.events);
        onlookers.spawn_local(hear(door, listener));
    }
    let ordering = async {
        if let (Ok(zero), Some(operator)) = (talk.begun.await, operator.as_ref()) {
            Rc::clone(operator)
                .run(zero, plan.settled, plan.halt, &talk.standing, &gateway)
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
    tokio::select! {
        () = ordering => {}
        () = inspect(operator.as_deref(), talk.inspections) => {}
        () = flush_always(&gateway, operator.as_deref()) => {}
        () = learning => {}
        () = watch_over(&mut tasks, &mut onlookers) => {}
        _ = halt.wait_for(|halt| *halt == Halt::Everything) => {}
    }
    end(&gateway, tasks).await;
    if let Some(operator) = &operator {
        operator.flush().await;
    }
}

/// Looks into the target's queues whenever that is asked for, for ever.
async fn inspect(operator: Option<&Operator>, mut asked: mpsc::Receiver<Inspection>) {
    if let Some(operator) = operator {
        while let Some(Inspection { channels, done }) = asked.recv().await {
            let told = operator.inspect(&channels).await;
            // Whoever asked may have stopped waiting.
            let _ = done.send(told);
        }
    }
    std::future::pending().await
}

/// Listens to the target's webhook.
async fn hear(door: Rc<EventDoor>, listener: StdListener) {
    match TcpListener::from_std(listener) {
        Ok(listener) => door.listen(listener).await,
        Err(error) => tracing::error!(%error, "the webhook's door cannot listen"),
    }
}

/// Sends facts to the recorder as long as there are any.
async fn flush_always(gateway: &Gateway, operator: Option<&Operator>) {
    let mut tick = tokio::time::interval(FLUSH_EVERY);
    loop {
        tick.tick().await;
        gateway.flush().await;
        if let Some(operator) = operator {
            operator.flush().await;
        }
    }
}

/// Waits for a task that panics, for ever: the others end with the gateway.
async fn watch_over(tasks: &mut JoinSet<()>, onlookers: &mut JoinSet<()>) {
    loop {
        tokio::select! {
            Some(joined) = tasks.join_next() => pass_on(joined),
            Some(joined) = onlookers.join_next() => pass_on(joined),
            else => std::future::pending().await,
        }
    }
}

/// What is under way is still answered, and providers are told why their connection ends.
async fn end(gateway: &Gateway, mut doors: JoinSet<()>) {
    gateway.shut_down();
    let ending = async {
        while let Some(joined) = doors.join_next().await {
            pass_on(joined);
        }
    };
    let _ = tokio::time::timeout(SHUTDOWN_MAX, ending).await;
    drop(doors);
    gateway.flush().await;
}

/// Starts what is seen from outside.
fn look_on(
    tasks: &mut JoinSet<()>,
    gateway: &Rc<Gateway>,
    outside: Outside,
    clock: super::clock::Clock,
    doors: [(Option<StdListener>, Role); 2],
) {
    let Outside {
        lookout,
        webhook,
        topic,
    } = outside;
    gateway.watched_by(lookout.clone());
    if let Some((webhook, from)) = webhook {
        tasks.spawn_local(webhook.forward(from, lookout.tally().clone()));
    }
    let plain = Plain::new(Rc::clone(gateway), lookout, clock, topic);
    if doors[0].0.is_some() {
        gateway.let_listen(&plain);
    }
    for (listener, role) in doors {
        let Some(listener) = listener else { continue };
        let plain = Rc::clone(&plain);
        tasks.spawn_local(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => plain.listen(listener, role).await,
                Err(error) => tracing::error!(%error, "the plain door cannot listen"),
            }
        });
    }
}
