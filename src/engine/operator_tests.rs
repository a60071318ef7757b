//! The operator against a target that writes down what it is asked, over real sockets.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::LocalSet;

use super::adapter::{Adapter, AdminClient, Micromdm, Nanomdm, Product};
use super::clock::Clock;
use super::endpoint::Endpoint;
use super::gateway::{Gateway, Settings};
use super::inspection::{QUEUES_MAX, worth_a_look};
use super::operator::{Halt, Operator, Standing};
use super::ports::Ports;
use super::provider_tls::PushCertificate;
use super::scribe::{Batch, Scribe};
use crate::apns::admission::{Admission, Storage};
use crate::device::environment::Terms;
use crate::fact::FactKind;
use crate::ids::{Channel, CommandUuid, Crowd, CrowdId, DeviceId, OrderIndex, RunId};
use crate::plan::{Event, Happening, Plan};
use crate::protocol::checkin::User;
use crate::scenario::{Scenario, commands};
use crate::seed::Seed;

const SCENARIO: &str = r#"
name = "two"
[target.embedded]
[[cohorts]]
name = "macs"
count = 2
preset = "macbook"
[[stages]]
name = "a"
duration = "100ms"
commands = [{ request = "ProfileList", to = "macs", each = 2, arrival = "even" }]
"#;

pub(super) const RUN: RunId = RunId([9; 16]);

pub(super) fn plan() -> Plan {
    let scenario = Scenario::parse(SCENARIO, "two.toml").unwrap_or_else(|e| panic!("{e}"));
    let built = scenario.commands();
    let built = built.map(|command| commands::build(command, None).unwrap());
    Plan::new(&scenario, built.collect(), Seed(1))
}

pub(super) fn crowd() -> Crowd {
    Crowd::new(CrowdId([1; 4]), [1; 32])
}

/// What a run of the operator did.
struct Done {
    /// Method and path of each request, in the order in which they came.
    asked: Vec<String>,
    facts: Vec<FactKind>,
}

/// Runs the plan to its end. `settled` is what the recorder would tell.
async fn operate(plan: Plan, product: Product, settled: &[OrderIndex]) -> Done {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let (to, batches) = mpsc::channel(64);
    let clock = Clock::start();
    let queued = |_: &str| (200, r#"{"command_uuid":"C"}"#.to_owned());
    let client = client(clock, listen(Rc::clone(&asked), queued).await);
    let adapter = Adapter::Nanomdm(Box::new(Nanomdm::new(client, product)));
    let operator = Rc::new(operator(clock, plan, adapter, to.clone()));
    let storage = Storage {
        without_expiration: true,
        time_scale: 1.0,
    };
    let admission = Admission::new(crowd(), "topic".into(), clock.epoch(), 2, storage);
    let ports = Ports::new(Vec::new(), Scribe::new(clock, 1, to));
    let gateway = Gateway::new(
        admission,
        ports,
        clock,
        PushCertificate::default(),
        Settings::default(),
    );
    let (tell, settlements) = mpsc::channel(16);
    for order in settled {
        tell.send(*order).await.unwrap();
    }
    let (_halt, halted) = watch::channel(Halt::No);
    let (standing, _) = watch::channel(Standing::default());
    Rc::clone(&operator)
        .run(clock.now(), settlements, halted, &standing, &gateway)
        .await;
    operator.flush().await;
    Done {
        asked: asked.take(),
        facts: facts(batches),
    }
}

pub(super) fn operator(
    clock: Clock,
    plan: Plan,
    adapter: Adapter,
    to: mpsc::Sender<Batch>,
) -> Operator {
    Operator {
        clock,
        adapter,
        plan: Arc::new(plan),
        crowd: crowd(),
        terms: Terms::default(),
        run: RUN,
        scribe: RefCell::new(Scribe::new(clock, 0, to)),
        // One at a time, so that the order of requests is certain.
        places: Arc::new(Semaphore::new(1)),
    }
}

fn client(clock: Clock, address: SocketAddr) -> AdminClient {
    let endpoint = Endpoint::resolve(&format!("http://{address}")).unwrap();
    let timeout = Duration::from_secs(20);
    AdminClient::new(clock, &endpoint, None, timeout, "nanomdm", "key").unwrap()
}

fn facts(mut batches: mpsc::Receiver<Batch>) -> Vec<FactKind> {
    let batches = std::iter::from_fn(|| batches.try_recv().ok());
    batches
        .flat_map(|batch| batch.facts)
        .map(|fact| fact.kind)
        .collect()
}

/// A target whose answer to a method and path is this.
async fn listen(
    asked: Rc<RefCell<Vec<String>>>,
    answer: impl Fn(&str) -> (u16, String) + Clone + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (asked, answer) = (Rc::clone(&asked), answer.clone());
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let what = format!("{} {}", request.method(), request.uri().path());
                let (status, body) = answer(&what);
                asked.borrow_mut().push(what);
                let answer = Response::builder().status(status);
                let answer = answer.body(Full::new(Bytes::from(body))).unwrap();
                async { Ok::<_, Infallible>(answer) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::task::spawn_local(http.serve_connection(TokioIo::new(tcp), service));
        }
    });
    address
}

async fn local<T>(run: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(run).await
}

/// The orders that were cancelled, with what took their place, and those that were taken up.
fn orders(facts: &[FactKind]) -> (Vec<(u32, Option<u32>)>, Vec<u32>) {
    let (mut cancelled, mut ordered) = (Vec::new(), Vec::new());
    for fact in facts {
        if let FactKind::Cancelled { order, instead } = fact {
            cancelled.push((order.0, instead.map(|it| it.0)));
        }
        if let FactKind::Ordered { order, .. } = fact {
            ordered.push(order.0);
        }
    }
    (cancelled, ordered)
}

fn uuid(order: u32) -> String {
    CommandUuid::of_order(RUN, OrderIndex(order)).to_string()
}

#[tokio::test]
async fn an_order_that_is_open_is_taken_back_before_it_is_placed_again() {
    let mut plan = plan();
    plan.reissues = [(OrderIndex(3), OrderIndex(0))].into();
    let id = crowd().udid(plan.orders[0].channel.device);
    let done = local(operate(plan, Product::Reference, &[])).await;
    let (cancelled, ordered) = orders(&done.facts);
    assert_eq!(cancelled, [(0, Some(3))]);
    assert_eq!(ordered, [0, 1, 2, 3]);
    assert_eq!(done.asked.len(), 5, "{:?}", done.asked);
    assert_eq!(done.asked[3], format!("DELETE /v1/queue/{id}/{}", uuid(0)));
    assert!(done.asked[4].starts_with("PUT /v1/enqueue/"));
}

#[tokio::test]
async fn an_order_that_has_settled_is_not_placed_again() {
    let mut plan = plan();
    plan.reissues = [(OrderIndex(3), OrderIndex(0))].into();
    let done = local(operate(plan, Product::Reference, &[OrderIndex(0)])).await;
    let (cancelled, ordered) = orders(&done.facts);
    assert!(cancelled.is_empty());
    assert_eq!(ordered, [0, 1, 2]);
    assert_eq!(done.asked.len(), 3);
}

#[tokio::test]
async fn nor_is_one_that_would_replace_what_was_not_placed_again() {
    // The second reissue took the first one's order, which was never placed, for an open one.
    let mut plan = plan();
    plan.reissues = [
        (OrderIndex(2), OrderIndex(0)),
        (OrderIndex(3), OrderIndex(2)),
    ]
    .into();
    let done = local(operate(plan, Product::Reference, &[OrderIndex(0)])).await;
    let (cancelled, ordered) = orders(&done.facts);
    assert!(cancelled.is_empty());
    assert_eq!(ordered, [0, 1]);
}

#[tokio::test]
async fn nanomdm_is_not_asked_for_what_it_cannot_do() {
    let mut plan = plan();
    plan.reissues = [(OrderIndex(3), OrderIndex(0))].into();
    let done = local(operate(plan, Product::Nanomdm, &[])).await;
    assert_eq!(orders(&done.facts).0, [(0, Some(3))]);
    assert!(
        done.asked
            .iter()
            .all(|it| it.starts_with("PUT /v1/enqueue/"))
    );
    assert_eq!(done.asked.len(), 4);
}

#[tokio::test]
async fn blank_pushes_are_asked_for_the_whole_cohort_at_their_time() {
    let mut plan = plan();
    plan.happenings = vec![Happening {
        at: Duration::from_millis(150),
        what: Event::BlankPush(None),
    }];
    let done = local(operate(plan, Product::Nanomdm, &[])).await;
    let ids = [0, 1].map(|device| crowd().udid(DeviceId(device)));
    assert_eq!(done.asked.len(), 5);
    assert_eq!(done.asked[4], format!("PUT /v1/push/{}", ids.join(",")));
}

#[tokio::test]
async fn an_order_for_a_user_goes_to_the_users_enrollment() {
    let mut plan = plan();
    for order in &mut plan.orders {
        order.channel.user = 1;
    }
    let channel = Channel {
        user: 1,
        ..plan.orders[0].channel
    };
    let user = User::of_mac(&crowd(), channel);
    let id = user.enrollment_id(&crowd().udid(channel.device));
    let done = local(operate(plan, Product::Nanomdm, &[])).await;
    assert_eq!(done.asked[0], format!("PUT /v1/enqueue/{id}"));
}

/// What two devices' queues are said to be by a target with these answers: why not all were seen,
/// what was asked, and the facts.
async fn inspect(
    adapter: fn(AdminClient) -> Adapter,
    answer: impl Fn(&str) -> (u16, String) + Clone + 'static,
) -> (Option<String>, Done) {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let (to, batches) = mpsc::channel(64);
    let clock = Clock::start();
    let adapter = adapter(client(clock, listen(Rc::clone(&asked), answer).await));
    let operator = operator(clock, plan(), adapter, to);
    let channels = worth_a_look(&operator.plan, &[DeviceId(1)]);
    let why = operator.inspect(&channels).await;
    operator.flush().await;
    let (asked, facts) = (asked.take(), facts(batches));
    (why, Done { asked, facts })
}

fn reference(client: AdminClient) -> Adapter {
    Adapter::Nanomdm(Box::new(Nanomdm::new(client, Product::Reference)))
}

fn micromdm(client: AdminClient) -> Adapter {
    Adapter::Micromdm(Box::new(Micromdm::new(client)))
}

#[tokio::test]
async fn what_the_reference_server_says_of_queues_becomes_facts_open_devices_first() {
    let ids = [1, 0].map(|device| crowd().udid(DeviceId(device)));
    let stranger = format!("GET /v1/queue/{}", ids[1]);
    let answer = move |asked: &str| match asked == stranger {
        true => (404, r#"{"error":"nobody"}"#.to_owned()),
        false => (200, r#"{"open":["B","A"]}"#.to_owned()),
    };
    let (why, done) = local(inspect(reference, answer)).await;
    assert_eq!(why, None);
    assert_eq!(done.asked, ids.map(|id| format!("GET /v1/queue/{id}")));
    let [
        FactKind::QueueSeen {
            channel,
            open,
            names_refused,
            ..
        },
    ] = &done.facts[..]
    else {
        panic!("{:?}", done.facts)
    };
    assert_eq!(*channel, Channel::device(DeviceId(1)));
    assert_eq!(open, &["B", "A"].map(|it| CommandUuid(it.into())));
    assert!(names_refused);
}

#[tokio::test]
async fn micromdms_list_is_known_to_leave_refused_commands_out() {
    let answer = |_: &str| {
        (
            200,
            r#"{"commands":[{"uuid":"A","payload":"AA=="}]}"#.into(),
        )
    };
    let (why, done) = local(inspect(micromdm, answer)).await;
    assert_eq!((why, done.facts.len()), (None, 2));
    let id = crowd().udid(DeviceId(1));
    assert_eq!(done.asked[0], format!("GET /v1/commands/{id}"));
    for fact in done.facts {
        let FactKind::QueueSeen {
            open,
            names_refused,
            ..
        } = fact
        else {
            panic!("{fact:?}")
        };
        assert_eq!(
            (open, names_refused),
            (vec![CommandUuid("A".into())], false)
        );
    }
}

#[tokio::test]
async fn nanomdm_is_not_asked_for_queues_that_it_tells_nobody_of() {
    let nanomdm = |client| Adapter::Nanomdm(Box::new(Nanomdm::new(client, Product::Nanomdm)));
    let (why, done) = local(inspect(nanomdm, |_| (500, String::new()))).await;
    assert_eq!((why, done.asked.len(), done.facts.len()), (None, 0, 0));
}

#[tokio::test]
async fn a_queue_that_cannot_be_had_ends_the_look_and_says_why() {
    let (reference, micromdm): (fn(_) -> _, fn(_) -> _) = (reference, micromdm);
    for (adapter, status, body) in [
        (reference, 500, r#"{"error":"no"}"#),
        (reference, 200, r#"{"open":[1]}"#),
        (reference, 401, ""),
        (micromdm, 404, "404 page not found"),
        (micromdm, 200, "<html>sign in</html>"),
        (micromdm, 200, r#"{"commands":[{"uuid":{}}]}"#),
    ] {
        let (why, done) = local(inspect(adapter, move |_| (status, body.to_owned()))).await;
        assert_eq!((done.asked.len(), done.facts.len()), (1, 0), "{body}");
        let why = why.unwrap();
        assert!(why.contains("only 0 of 2 were seen"), "{why}");
    }
}

#[test]
fn what_is_looked_into_is_bounded_and_open_devices_go_first() {
    let mut plan = plan();
    let order = plan.orders[0];
    let devices = QUEUES_MAX as u32 * 3;
    plan.orders = vec![order; devices as usize];
    for (device, order) in (0..).zip(&mut plan.orders) {
        order.channel = Channel::device(DeviceId(device));
    }
    let open: Vec<DeviceId> = (0..devices).map(DeviceId).step_by(6).collect();
    let chosen = worth_a_look(&plan, &open);
    assert_eq!(chosen.len(), QUEUES_MAX);
    assert!(open.iter().zip(&chosen).all(|(a, b)| *a == b.device));
    let all: Vec<DeviceId> = (0..devices).map(DeviceId).collect();
    let chosen = worth_a_look(&plan, &all);
    assert_eq!(chosen.len(), QUEUES_MAX);
    assert_eq!(chosen[QUEUES_MAX - 1].device.0, devices - 3);
}
