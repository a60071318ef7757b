//! What the gateway holds in its hands: the workers' mailboxes, the recorder, and the counters of
//! pushes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::scribe::Scribe;
use super::worker::ToWorker;
use crate::apns::admission::Admitted;
use crate::device::contract::Push;
use crate::fact::FactKind;
use crate::ids::PushId;
use crate::shard::Share;
use crate::time::SimTime;

/// The way from the gateway to everybody else. Lives on the gateway's thread.
#[derive(Debug)]
pub(super) struct Ports {
    workers: Vec<mpsc::Sender<ToWorker>>,
    scribe: RefCell<Scribe>,
    pushes: Cell<u64>,
    /// When the pushes arrived that are not decided yet: no later time is promised meanwhile.
    undecided: Rc<RefCell<BTreeSet<(SimTime, PushId)>>>,
}

/// A push that is not decided yet; it counts as decided once this is gone.
#[derive(Debug)]
pub(super) struct Undecided {
    /// Its number.
    pub(super) push: PushId,
    arrived: SimTime,
    among: Rc<RefCell<BTreeSet<(SimTime, PushId)>>>,
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.among.borrow_mut().remove(&(self.arrived, self.push));
    }
}

impl Ports {
    pub(super) fn new(workers: Vec<mpsc::Sender<ToWorker>>, scribe: Scribe) -> Self {
        Self {
            workers,
            scribe: RefCell::new(scribe),
            pushes: Cell::new(0),
            undecided: Rc::default(),
        }
    }

    /// The next push, whose headers were read at `arrived`.
    pub(super) fn next_push(&self, arrived: SimTime) -> Undecided {
        let push = PushId(self.pushes.get());
        self.pushes.set(push.0 + 1);
        self.undecided.borrow_mut().insert((arrived, push));
        Undecided {
            push,
            arrived,
            among: Rc::clone(&self.undecided),
        }
    }

    /// An `apns-id` for a push that brought none.
    pub(super) fn apns_id(&self, at: SimTime) -> String {
        let name = format!("{} {}", self.pushes.get(), at.as_micros());
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes())
            .to_string()
            .to_uppercase()
    }

    /// Puts a push into its owner's mailbox, waiting while that is full. A push is never dropped.
    pub(super) async fn forward(&self, id: PushId, arrived: SimTime, admitted: Admitted) {
        let Admitted {
            channel,
            topic,
            magic,
            urgency,
            keep,
        } = admitted;
        if self.workers.is_empty() {
            return;
        }
        let owner = Share::owner(self.workers.len() as u32, channel.device);
        let push = Push {
            id,
            channel,
            topic,
            magic,
            urgency,
            arrived,
            due: arrived,
        };
        // A worker that is gone has ended with the run.
        let _ = self.workers[owner as usize]
            .send(ToWorker::Push(push, keep))
            .await;
    }

    pub(super) fn note(&self, at: SimTime, fact: FactKind) {
        self.scribe.borrow_mut().note(at, fact);
    }

    /// Sends the facts noted so far.
    pub(super) async fn flush(&self) {
        let (to, mut batch) = self.scribe.borrow_mut().take();
        if let Some(&(arrived, _)) = self.undecided.borrow().first() {
            batch.watermark = batch.watermark.min(arrived);
        }
        let _ = to.send(batch).await;
    }

    /// Sends the facts noted so far if they are many; waits while the recorder is behind.
    pub(super) async fn flush_full(&self) {
        if self.scribe.borrow().is_full() {
            self.flush().await;
        }
    }
}
