//! One enrolled channel: who it is, where its pushes go, and its queue.

use std::sync::Arc;

use super::Identity;
use super::defect::{Defect, Defects};
use super::queue::Queue;
use crate::protocol::checkin::TokenUpdate;
use crate::time::SimTime;

/// A channel that has authenticated at least once.
#[derive(Debug)]
pub(super) struct Enrollment {
    /// Its UDID; a user's channel adds a colon and the user.
    pub(super) id: Arc<str>,
    /// Whose it is.
    pub(super) holder: Holder,
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
    /// The bootstrap token that a Mac has left here.
    pub(super) bootstrap_token: Option<Box<[u8]>>,
    /// The first token of the channel, whatever it has now.
    first_token: Option<Box<[u8]>>,
    /// When it came with another certificate than before.
    pub(super) renewed: Option<SimTime>,
}

/// Whose channel it is.
#[derive(Debug)]
pub(super) enum Holder {
    /// A device's own, with the certificate it is bound to and the slots of its users. Users have
    /// no certificate: they come with their device's.
    Device { identity: Identity, users: Vec<u32> },
    /// A user's.
    User,
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
    pub(super) fn new(id: Arc<str>, holder: Holder) -> Self {
        Self {
            id,
            holder,
            stage: Stage::Authenticated,
            queue: Queue::default(),
            last_contact: None,
            alarm: None,
            epoch: 0,
            bootstrap_token: None,
            first_token: None,
            renewed: None,
        }
    }

    /// Begins a new enrolment: nothing of the one before is left.
    pub(super) fn begin(&mut self, defects: Defects) {
        self.stage = Stage::Authenticated;
        if !defects.has(Defect::StaleAfterReenroll) {
            self.queue.clear();
        }
        self.bootstrap_token = None;
        self.last_contact = None;
    }

    /// The slots of a device's users; none of a user.
    pub(super) fn users(&self) -> &[u32] {
        match &self.holder {
            Holder::Device { users, .. } => users,
            Holder::User => &[],
        }
    }

    /// Whether it is a device's that is bound to `identity`.
    pub(super) fn is_bound_to(&self, wanted: Identity) -> bool {
        match self.holder {
            Holder::Device { identity, .. } => identity == wanted,
            Holder::User => false,
        }
    }

    pub(super) fn enable(&mut self, message: &TokenUpdate, defects: Defects) {
        self.epoch += 1;
        let token: Box<[u8]> = message.token.as_slice().into();
        let token = if defects.has(Defect::PushesOldToken) {
            self.first_token.get_or_insert(token).clone()
        } else {
            token
        };
        self.stage = Stage::Enabled(PushTarget {
            topic: message.topic.as_str().into(),
            token,
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
