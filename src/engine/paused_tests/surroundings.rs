//! Everybody but the worker, on the same paused time: operator, gateway and reference server, with
//! the same latency between any two of them.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{sleep, sleep_until};

use super::super::clock::Clock;
use super::super::tokens::TokenChange;
use super::super::worker::ToWorker;
use super::{LATENCY, RUN, SERVER_TIME, TOPIC};
use crate::apns::admission::{self, Admission, Storage};
use crate::apns::provider::{self, Certificate, Provider};
use crate::device::contract::Push;
use crate::device::environment::Environment;
use crate::device::messages::enrollment_id;
use crate::ids::{CommandUuid, PushId, hex_lower};
use crate::plan::{Order, Plan};
use crate::protocol::checkin::CheckIn;
use crate::protocol::command::Template;
use crate::protocol::push::payload;
use crate::protocol::status_report::StatusReport;
use crate::reference_server::{Identity, PushOrder, PushResult, Reply, Server, Settings, WithPush};
use crate::scenario::Scenario;
use crate::time::SimTime;

/// Everybody whom the worker has to do with.
pub(super) struct Surroundings {
    clock: Clock,
    env: Arc<Environment>,
    plan: Arc<Plan>,
    server: RefCell<Server>,
    /// The server may have another deadline.
    served: Notify,
    admission: RefCell<Admission>,
    pushes: Cell<u64>,
    worker: mpsc::Sender<ToWorker>,
}

impl Surroundings {
    pub(super) fn new(
        scenario: &Scenario,
        plan: &Arc<Plan>,
        env: Arc<Environment>,
        clock: Clock,
        worker: mpsc::Sender<ToWorker>,
    ) -> Rc<Self> {
        let storage = Storage {
            without_expiration: scenario.apns.store_without_expiration,
            time_scale: 1.0,
        };
        let crowd = env.crowd.clone();
        let admission = Admission::new(crowd, TOPIC.into(), env.epoch, plan.devices(), storage);
        Rc::new(Self {
            clock,
            env,
            plan: Arc::clone(plan),
            server: RefCell::new(Server::new(Settings::default())),
            served: Notify::new(),
            admission: RefCell::new(admission),
            pushes: Cell::new(0),
            worker,
        })
    }

    /// The operator's part, for one order.
    pub(super) async fn order(self: Rc<Self>, zero: SimTime, order: Order) {
        sleep_until(self.clock.instant(zero + order.due())).await;
        sleep(LATENCY).await;
        let command = &self.plan.commands[usize::from(order.command)];
        let uuid = CommandUuid::of_order(RUN, order.index);
        let body = Template::new(&command.dictionary).with(&uuid);
        let cohort = self.plan.cohort_of(order.channel.device);
        let platform = self.env.traits(cohort).platform;
        let id = enrollment_id(&self.env.crowd, &self.env.terms, platform, order.channel);
        let now = self.clock.now();
        let mut server = self.server.borrow_mut();
        let submission = server.enqueue(now, &[id], &body, WithPush::Yes);
        drop(server);
        self.send(submission.pushes);
    }

    fn send(self: &Rc<Self>, pushes: Vec<PushOrder>) {
        self.served.notify_one();
        for push in pushes {
            spawn_local(Rc::clone(self).deliver(push));
        }
    }

    /// The gateway's part, for one push.
    async fn deliver(self: Rc<Self>, order: PushOrder) {
        sleep(LATENCY).await;
        let arrived = self.clock.now();
        let body = payload(&order.magic);
        let certificate = Certificate::for_topic(TOPIC);
        let admitted = self.admission.borrow_mut().admit(
            arrived,
            &mut Provider::new(Some(certificate), provider::Environment::Production),
            &admission::Incoming {
                method: "POST",
                path: &format!("/3/device/{}", hex_lower(&order.token)),
                authorization: None,
                topic: Some(&order.topic),
                id: None,
                expiration: None,
                priority: None,
                push_type: Some("mdm"),
                collapse_id: None,
                has_duplicates: false,
                payload: &body,
            },
        );
        let id = PushId(self.pushes.replace(self.pushes.get() + 1));
        let result = match admitted {
            Ok(admitted) => {
                let push = Push {
                    id,
                    channel: admitted.channel,
                    topic: admitted.topic,
                    magic: admitted.magic,
                    urgency: admitted.urgency,
                    arrived,
                    due: arrived,
                };
                let message = ToWorker::Push(push, admitted.keep);
                self.worker.send(message).await.unwrap();
                PushResult::Accepted {
                    apns_id: String::new(),
                }
            }
            Err(refused) => PushResult::Refused(refused.refusal.reason),
        };
        sleep(LATENCY).await;
        self.server.borrow_mut().pushed(order.ticket, &result);
        self.served.notify_one();
    }

    /// The gateway learns of new tokens.
    pub(super) async fn learn(self: Rc<Self>, mut changes: mpsc::Receiver<TokenChange>) {
        while let Some(change) = changes.recv().await {
            let (channel, since) = (change.channel, change.since);
            let mut admission = self.admission.borrow_mut();
            match change.epoch {
                Some(epoch) => admission.token_changed(channel, epoch, since),
                None => admission.unregistered(channel, since),
            }
            let _ = change.known.send(());
        }
    }

    /// The server pushes again when it has to.
    pub(super) async fn push_again(self: Rc<Self>) {
        loop {
            let deadline = self.server.borrow().deadline();
            let deadline = self.clock.instant(deadline.unwrap_or(SimTime::NEVER));
            tokio::select! {
                () = self.served.notified() => {}
                () = sleep_until(deadline) => {
                    let pushes = self.server.borrow_mut().tick(self.clock.now());
                    self.send(pushes);
                }
            }
        }
    }

    /// The server's end of every connection.
    pub(super) async fn accept(self: Rc<Self>, mut accepted: mpsc::Receiver<DuplexStream>) {
        while let Some(stream) = accepted.recv().await {
            let surroundings = Rc::clone(&self);
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let surroundings = Rc::clone(&surroundings);
                async move {
                    let is_check_in = request.uri().path() == "/checkin";
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    // What is on its way gets there, even if the device has left meanwhile.
                    let answer = spawn_local(surroundings.answer(is_check_in, body));
                    Ok::<_, Infallible>(answer.await.unwrap())
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            spawn_local(http.serve_connection(TokioIo::new(stream), service));
        }
    }

    fn serve(&self, is_check_in: bool, body: &[u8]) -> Reply {
        self.served.notify_one();
        let (now, identity) = (self.clock.now(), Some(identity(is_check_in, body)));
        let mut server = self.server.borrow_mut();
        if is_check_in {
            server.check_in(now, identity, body)
        } else {
            server.connect(now, identity, body)
        }
    }

    async fn answer(self: Rc<Self>, is_check_in: bool, body: Bytes) -> Response<Full<Bytes>> {
        sleep(LATENCY).await;
        let reply = self.serve(is_check_in, &body);
        sleep(SERVER_TIME + LATENCY).await;
        let mut response = Response::new(Full::new(reply.body.into()));
        *response.status_mut() = reply.status.try_into().unwrap();
        response
    }
}

/// A certificate for each device: here its UDID stands for it.
fn identity(is_check_in: bool, body: &[u8]) -> Identity {
    let udid = if is_check_in {
        CheckIn::decode(body).unwrap().enrollee().to_string()
    } else {
        StatusReport::decode(body).unwrap().udid.to_string()
    };
    Identity(*blake3::hash(udid.as_bytes()).as_bytes())
}
