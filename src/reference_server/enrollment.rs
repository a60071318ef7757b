//! One enrolled channel: who it is, where its pushes go, and its queue.

use std::sync::Arc;

use super::Identity;
use super::queue::Queue;
use crate::protocol::checkin::TokenUpdate;
use crate::time::SimTime;

/// A channel that has authenticated at least once.
#[derive(Debug)]
pub(super) struct Enrollment {
    /// Its UDID.
    pub(super) id: Arc<str>,
    /// The certificate it is bound to.
    pub(super) identity: Identity,
    /// How far its enrolment is.
    pub(super) stage: Stage,
    /// Its commands.
    pub(super) queue: Queue,
    /// When a session was last heard of, while it lasts.
    pub(super) last_contact: Option<SimTime>,
    /// When to look whether it needs a push.
    pub(super) alarm: Option<SimTime>,
    /// Grows with each TokenUpdate, so that the outcome of an older push is told apart.
    pub(super) epoch: u32,
}

/// How far an enrolment is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Authenticated; pushes have nowhere to go.
    Authenticated,
    /// Enrolled.
    Enabled(PushTarget),
    /// Enrolled, but APNs has said that the token is no good.
    Unreachable,
    /// It has left.
    CheckedOut,
}

/// Where the pushes of a channel go and what they contain.
#[derive(Debug)]
pub(super) struct PushTarget {
    /// The topic.
    pub(super) topic: Box<str>,
    /// The token.
    pub(super) token: Box<[u8]>,
    /// The PushMagic.
    pub(super) magic: Box<str>,
}

impl Enrollment {
    pub(super) fn new(id: Arc<str>, identity: Identity) -> Self {
        Self {
            id,
            identity,
            stage: Stage::Authenticated,
            queue: Queue::default(),
            last_contact: None,
            alarm: None,
            epoch: 0,
        }
    }

    /// Begins a new enrolment and returns the identity of the one before.
    pub(super) fn begin(&mut self, identity: Identity) -> Identity {
        self.stage = Stage::Authenticated;
        self.queue.clear();
        self.last_contact = None;
        std::mem::replace(&mut self.identity, identity)
    }

    pub(super) fn enable(&mut self, message: &TokenUpdate) {
        self.epoch += 1;
        self.stage = Stage::Enabled(PushTarget {
            topic: message.topic.as_str().into(),
            token: message.token.as_slice().into(),
            magic: message.magic.as_str().into(),
        });
    }

    pub(super) const fn is_managed(&self) -> bool {
        match self.stage {
            Stage::Authenticated | Stage::Enabled(_) | Stage::Unreachable => true,
            Stage::CheckedOut => false,
        }
    }
}
