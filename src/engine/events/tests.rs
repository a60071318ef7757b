//! The door of a webhook over real sockets.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::{EVENT_MAX, EventDoor, EventTally};
use crate::engine::adapter::Adapter;
use crate::engine::clock::Clock;
use crate::engine::operator::Operator;
use crate::engine::operator_tests::{RUN, crowd, operator, plan};
use crate::engine::scribe::Batch;
use crate::fact::{FactKind, ResultStatus, ServerEvent, TEXT_MAX};
use crate::ids::{Channel, CommandUuid, DeviceId, OrderIndex};
use crate::plan::Plan;

struct Rig {
    address: SocketAddr,
    operator: Rc<Operator>,
    tally: watch::Receiver<EventTally>,
    batches: mpsc::Receiver<Batch>,
}

impl Rig {
    async fn open(plan: Plan) -> Self {
        let (to, batches) = mpsc::channel(64);
        let operator = Rc::new(operator(Clock::start(), plan, Adapter::Observe, to));
        let (tell, tally) = watch::channel(EventTally::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = EventDoor::new(Rc::clone(&operator), tell);
        tokio::task::spawn_local(door.listen(listener));
        Self {
            address,
            operator,
            tally,
            batches,
        }
    }

    /// The status of the answer to a request that is sent as it is.
    async fn raw(&self, request: &[u8]) -> String {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        // Of what is refused, the rest may not be taken.
        let _ = tcp.write_all(request).await;
        let mut answer = [0; 12];
        let _ = tcp.read_exact(&mut answer).await;
        String::from_utf8_lossy(&answer[9..]).into_owned()
    }

    async fn post(&self, body: &str) -> String {
        let length = body.len();
        let head = format!("POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        self.raw(format!("{head}{body}").as_bytes()).await
    }

    /// What came and what was refused so far, and what was counted.
    async fn end(mut self) -> (Vec<(Channel, ServerEvent)>, Vec<String>, EventTally) {
        self.operator.flush().await;
        let batch = self.batches.try_recv().unwrap();
        let (mut events, mut refused) = (Vec::new(), Vec::new());
        for fact in batch.facts {
            if let FactKind::EventReceived { channel, event } = fact.kind {
                events.push((channel, event));
            } else if let FactKind::EventRefused { why, .. } = fact.kind {
                refused.push(why);
            } else {
                panic!("{fact:?}");
            }
        }
        (events, refused, *self.tally.borrow())
    }
}

/// The event of a result for this order, under this name.
fn result(enrollment: &str, order: u32) -> (String, ServerEvent) {
    let uuid = CommandUuid::of_order(RUN, OrderIndex(order));
    let text = format!(
        r#"{{"topic":"mdm.Connect","acknowledge_event":{{"udid":"{enrollment}",
        "status":"Acknowledged","command_uuid":"{uuid}","raw_payload":""}}}}"#
    );
    let (uuid, status) = (Some(uuid), ResultStatus::Acknowledged);
    (text, ServerEvent::Result { uuid, status })
}

#[tokio::test]
async fn events_of_our_devices_become_facts_and_others_are_counted() {
    let scene = async {
        let rig = Rig::open(plan()).await;
        let device = rig.operator.plan.orders[0].channel.device;
        let (text, event) = result(&crowd().udid(device), 0);
        assert_eq!(rig.post(&text).await, "200");
        assert_eq!(rig.post(&result("somebody", 0).0).await, "200");
        assert_eq!(rig.post("{}").await, "400");
        assert_eq!(
            rig.raw(b"GET /webhook HTTP/1.1\r\nhost: x\r\n\r\n").await,
            "400"
        );
        (device, event, rig.end().await)
    };
    let (device, event, (events, refused, tally)) = LocalSet::new().run_until(scene).await;
    assert_eq!(events, [(Channel::device(device), event)]);
    let expected = EventTally {
        ours: 1,
        foreign: 1,
        unreadable: 2,
    };
    assert_eq!(tally, expected);
    // The GET was none, whatever it was for.
    let missing = "the event has no acknowledge_event or checkin_event";
    assert_eq!(refused, [missing]);
}

/// MicroMDM tells of what a user's channel said under the device's UDID alone.
#[tokio::test]
async fn a_users_result_under_the_devices_name_is_the_users() {
    let mut plan = plan();
    for order in &mut plan.orders {
        order.channel.user = 1;
    }
    let channel = plan.orders[0].channel;
    let index = plan.orders[0].index.0;
    let other = DeviceId(1 - channel.device.0);
    let scene = async {
        let rig = Rig::open(plan).await;
        rig.post(&result(&crowd().udid(channel.device), index).0)
            .await;
        // A result of the wrong device is that device's.
        rig.post(&result(&crowd().udid(other), index).0).await;
        rig.end().await.0
    };
    let events = LocalSet::new().run_until(scene).await;
    let channels: Vec<Channel> = events.iter().map(|it| it.0).collect();
    assert_eq!(channels, [channel, Channel::device(other)]);
}

#[tokio::test]
async fn what_is_too_large_or_no_http_is_not_taken() {
    let scene = async {
        let rig = Rig::open(plan()).await;
        let large = " ".repeat(EVENT_MAX + 1);
        // The connection ends with the answer, so who still writes may not come to read it.
        rig.post(&large).await;
        let mut tally = rig.tally.clone();
        tally.wait_for(|tally| tally.unreadable == 1).await.unwrap();
        rig.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
            .await;
        // Whoever sends half an event and goes holds nobody up.
        let half = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{";
        let mut gone = TcpStream::connect(rig.address).await.unwrap();
        gone.write_all(half).await.unwrap();
        let device = rig.operator.plan.orders[0].channel.device;
        assert_eq!(rig.post(&result(&crowd().udid(device), 0).0).await, "200");
        rig.end().await
    };
    let (events, refused, tally) = LocalSet::new().run_until(scene).await;
    assert_eq!((events.len(), tally.ours), (1, 1));
    assert_eq!(refused.len(), 2, "{refused:?}");
}

/// A parser quoted what it was sent, and a target may send 2 MiB.
#[tokio::test]
async fn the_reason_of_a_refusal_is_short() {
    let scene = async {
        let rig = Rig::open(plan()).await;
        let body = format!("\"{}\"", "\u{e4}".repeat(100_000));
        assert_eq!(rig.post(&body).await, "400");
        rig.end().await.1
    };
    let refused = LocalSet::new().run_until(scene).await;
    assert_eq!(refused.len(), 1);
    assert!(refused[0].len() <= 2 * TEXT_MAX && refused[0].contains('\u{e4}'));
}
