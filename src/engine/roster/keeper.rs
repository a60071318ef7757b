//! The thread that writes the roster, and the way to it.
//!
//! Who has something to keep sends it. What comes in while nothing was written for a while is written
//! at once; otherwise it waits for the rest of a short pause, so that a storm of enrolments costs a
//! commit for many devices, not for each.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::error::RosterError;
use super::record::Kept;
use super::store::{Batch, Store};
use crate::engine::identity::OwnIdentity;
use crate::ids::DeviceId;

/// How many messages may wait for the thread. A device that enrols waits for room; what devices
/// remember stays with their worker until there is some.
const MAILBOX: usize = 1024;

/// The least time between two commits.
const PAUSE: Duration = Duration::from_millis(50);

/// The most entries of one commit: about 20 MB with RSA keys.
const BATCH_MAX: usize = 4096;

/// The way to the roster's thread.
#[derive(Clone, Debug)]
pub struct Keeper {
    to: mpsc::Sender<Word>,
}

/// Why something could not be kept; the first reason stays for everything after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeepError(String);

#[derive(Debug)]
enum Word {
    Identity(
        DeviceId,
        Arc<OwnIdentity>,
        oneshot::Sender<Result<(), KeepError>>,
    ),
    Kept(BTreeMap<DeviceId, Kept>),
}

impl Keeper {
    /// Keeps a device's identity, in the place of the one it had. It is on the disk when this returns.
    ///
    /// # Errors
    /// When it could not be written; the device may not use it then, because a later run would not
    /// know of it.
    pub async fn keep_identity(
        &self,
        device: DeviceId,
        identity: Arc<OwnIdentity>,
    ) -> Result<(), KeepError> {
        let (kept, answer) = oneshot::channel();
        let gone = || KeepError("the roster's thread has ended".to_owned());
        let sent = self.to.send(Word::Identity(device, identity, kept)).await;
        sent.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Room for a message, if there is any. When the thread has ended there is none; it says why when
    /// it is joined.
    pub(super) fn room(&self) -> Option<Room<'_>> {
        self.to.try_reserve().ok().map(Room)
    }

    /// Keeps what devices remember, as soon as there is room.
    pub(super) async fn keep(&self, kept: BTreeMap<DeviceId, Kept>) {
        // As above.
        let _ = self.to.send(Word::Kept(kept)).await;
    }
}

/// Room for a message.
pub(super) struct Room<'a>(mpsc::Permit<'a, Word>);

impl Room<'_> {
    /// Keeps what devices remember.
    pub(super) fn keep(self, kept: BTreeMap<DeviceId, Kept>) {
        self.0.send(Word::Kept(kept));
    }
}

/// The thread. It ends when no [`Keeper`] is left, and everything is on the disk then.
#[derive(Debug)]
pub struct Writing {
    thread: JoinHandle<Option<KeepError>>,
}

impl Writing {
    /// Starts the thread.
    pub(super) fn start(store: Arc<Store>) -> (Keeper, Self) {
        let (to, inbox) = mpsc::channel(MAILBOX);
        let thread = std::thread::Builder::new()
            .name("roster".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .expect("a runtime with timers alone needs nothing of the system");
                runtime.block_on(Writer::new(store, inbox).run())
            })
            .expect("a thread can be started");
        (Keeper { to }, Self { thread })
    }

    /// Waits for the end: the first write that failed, if one did.
    pub(in crate::engine) fn join(self) -> Option<KeepError> {
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

struct Writer {
    store: Arc<Store>,
    inbox: mpsc::Receiver<Word>,
    batch: Batch,
    waiting: Vec<oneshot::Sender<Result<(), KeepError>>>,
    failed: Option<KeepError>,
}

impl Writer {
    fn new(store: Arc<Store>, inbox: mpsc::Receiver<Word>) -> Self {
        Self {
            store,
            inbox,
            batch: Batch::default(),
            waiting: Vec::new(),
            failed: None,
        }
    }

    async fn run(mut self) -> Option<KeepError> {
        let mut next = Instant::now();
        while let Some(word) = self.inbox.recv().await {
            self.take(word);
            self.gather(next).await;
            self.commit();
            next = Instant::now() + PAUSE;
        }
        self.failed
    }

    /// Takes what comes until `end`, and what is there already in any case.
    async fn gather(&mut self, end: Instant) {
        while self.entries() < BATCH_MAX {
            let word = tokio::select! {
                biased;
                word = self.inbox.recv() => word,
                () = tokio::time::sleep_until(end) => None,
            };
            let Some(word) = word else {
                return;
            };
            self.take(word);
        }
    }

    fn entries(&self) -> usize {
        self.batch.identities.len() + self.batch.kept.len()
    }

    fn take(&mut self, word: Word) {
        match word {
            Word::Identity(device, identity, kept) => {
                self.batch.identities.insert(device, identity);
                self.waiting.push(kept);
            }
            Word::Kept(mut kept) => self.batch.kept.append(&mut kept),
        }
    }

    /// What devices remember is about the identities that they had. With a new one, which nobody has
    /// seen yet, they have to enrol: who is stopped now does not go on as if it had.
    fn note_identities(&self, batch: &mut Batch) -> Result<(), RosterError> {
        for &device in batch.identities.keys() {
            let kept = match batch.kept.remove(&device) {
                Some(kept) => Some(kept),
                None => self.store.kept(device)?,
            };
            if let Some(mut kept) = kept {
                kept.keepsake.take_identity();
                batch.kept.insert(device, kept);
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        let mut batch = mem::take(&mut self.batch);
        if self.failed.is_none()
            && let Err(error) = self
                .note_identities(&mut batch)
                .and_then(|()| self.store.write(&batch))
        {
            tracing::warn!(%error, "nothing more is kept in the roster");
            self.failed = Some(KeepError(error.to_string()));
        }
        for waiting in self.waiting.drain(..) {
            let result = self.failed.clone().map_or(Ok(()), Err);
            // Whoever asked may have been stopped.
            let _ = waiting.send(result);
        }
    }
}
