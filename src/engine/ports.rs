//! What the gateway holds in its hands: the workers' mailboxes, the recorder, and the counters of
//! pushes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use tokio::sync::mpsc;

use super::scribe::Scribe;
use super::worker::ToWorker;
use crate::apns::slot::Keep;
use crate::device::contract::Push;
use crate::fact::FactKind;
use crate::ids::{PushId, scattered};
use crate::shard::Share;
use crate::time::SimTime;

/// The way from the gateway to everybody else. Lives on the gateway's thread.
#[derive(Debug)]
pub(super) struct Ports {
    workers: Vec<mpsc::Sender<ToWorker>>,
    scribe: RefCell<Scribe>,
    /// Pushes whose owner's mailbox was full when they came, with the owner.
    backlog: RefCell<VecDeque<(usize, Push, Keep)>>,
    pushes: Cell<u64>,
    /// Where the pushes' own `apns-id`s begin: another place in each run.
    ids: [u64; 2],
    /// When the pushes arrived that are not decided yet: no later time is promised meanwhile.
    undecided: Rc<RefCell<BTreeSet<(SimTime, PushId)>>>,
}

/// A push that is not decided yet; it counts as decided once this is gone.
#[derive(Debug)]
pub(super) struct Undecided {
    push: PushId,
    arrived: SimTime,
    among: Rc<RefCell<BTreeSet<(SimTime, PushId)>>>,
}

impl Undecided {
    /// Its number.
    pub(super) const fn push(&self) -> PushId {
        self.push
    }

    /// When its headers were read.
    pub(super) const fn arrived(&self) -> SimTime {
        self.arrived
    }
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
            backlog: RefCell::default(),
            pushes: Cell::new(0),
            ids: [random(), random()],
            undecided: Rc::default(),
        }
    }

    /// The number of the next push.
    pub(super) fn next_push(&self) -> PushId {
        PushId(self.pushes.replace(self.pushes.get() + 1))
    }

    /// Says that a push whose headers were read at `arrived` is not decided at once.
    pub(super) fn undecided(&self, push: PushId, arrived: SimTime) -> Undecided {
        self.undecided.borrow_mut().insert((arrived, push));
        Undecided {
            push,
            arrived,
            among: Rc::clone(&self.undecided),
        }
    }

    /// Whether there are devices that take pushes.
    pub(super) fn has_devices(&self) -> bool {
        !self.workers.is_empty()
    }

    /// An `apns-id` for a push that brought none: a random UUID by its looks, another for each push.
    pub(super) fn apns_id(&self, push: PushId) -> uuid::Uuid {
        let [high, low] = self.ids.map(|start| scattered(start.wrapping_add(push.0)));
        let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Puts a push into its owner's mailbox, or in the backlog while that is full. Where there are
    /// devices, a push is never dropped.
    pub(super) fn forward(&self, push: Push, keep: Keep) {
        if !self.has_devices() {
            return;
        }
        let owner = Share::owner(self.workers.len() as u32, push.channel.device) as usize;
        let mut backlog = self.backlog.borrow_mut();
        if !backlog.is_empty() {
            backlog.push_back((owner, push, keep));
            return;
        }
        match self.workers[owner].try_reserve() {
            Ok(place) => place.send(ToWorker::Push(push, keep)),
            Err(mpsc::error::TrySendError::Full(())) => backlog.push_back((owner, push, keep)),
            // A worker that is gone has ended with the run.
            Err(mpsc::error::TrySendError::Closed(())) => {}
        }
    }

    /// Whether a worker or the recorder is behind: no push is taken before [`Self::catch_up`].
    pub(super) fn is_behind(&self) -> bool {
        !self.backlog.borrow().is_empty() || self.scribe.borrow().is_full()
    }

    /// Waits until no worker and not the recorder is behind.
    pub(super) async fn catch_up(&self) {
        loop {
            let owner = self.backlog.borrow().front().map(|&(owner, ..)| owner);
            let Some(owner) = owner else { break };
            let place = self.workers[owner].reserve().await;
            let mut backlog = self.backlog.borrow_mut();
            // Another connection may have been waiting for the same, and have been first.
            if backlog.front().is_some_and(|&(front, ..)| front == owner)
                && let Some((_, push, keep)) = backlog.pop_front()
                && let Ok(place) = place
            {
                place.send(ToWorker::Push(push, keep));
            }
        }
        if self.scribe.borrow().is_full() {
            self.flush().await;
        }
    }

    pub(super) fn note(&self, at: SimTime, fact: FactKind) {
        self.scribe.borrow_mut().note(at, fact);
    }

    /// Sends the facts noted so far.
    pub(super) async fn flush(&self) {
        let to = self.scribe.borrow().to();
        let place = to.reserve().await;
        let mut batch = self.scribe.borrow_mut().take();
        if let Some(&(arrived, _)) = self.undecided.borrow().first() {
            batch.watermark = batch.watermark.min(arrived);
        }
        if let Ok(place) = place {
            place.send(batch);
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    u64::from_be_bytes(bytes)
}
