//! What all connections are told at once: how the service is doing.

use std::collections::VecDeque;

use crate::apns::service::{Service, ServiceChange};
use crate::protocol::push::Reason;

/// The latest of what all connections are told. A connection compares it with what it knew.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// How the service is doing.
    pub(super) service: Service,
    /// How often every connection was ended with GOAWAY, and why the last time.
    pub(super) goodbyes: (u64, Option<Reason>),
    /// How often every connection was reset.
    pub(super) resets: u64,
    /// Whether the gateway takes no more connections.
    pub(super) is_closing: bool,
}

/// What a connection that stands has to do about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is to be reset.
    Reset,
    /// It is to end with this reason.
    Goodbye(Reason),
    /// It may have so many streams.
    Streams(u32),
}

impl Standing {
    pub(super) const fn change(&mut self, change: ServiceChange) {
        self.service.change(change);
        match change {
            ServiceChange::Out(true) => self.resets += 1,
            ServiceChange::GoAway(reason) => self.end(reason),
            ServiceChange::Out(false)
            | ServiceChange::RefuseConnect(_)
            | ServiceChange::Streams(_)
            | ServiceChange::Rate(_) => {}
        }
    }

    /// Every connection that stands is to end.
    pub(super) const fn end(&mut self, reason: Reason) {
        self.goodbyes = (self.goodbyes.0 + 1, Some(reason));
    }

    /// What a connection that knew `before` has to do, in this order.
    pub(super) fn since(&self, before: &Self) -> VecDeque<Told> {
        let mut told = VecDeque::new();
        if self.resets != before.resets {
            told.push_back(Told::Reset);
        }
        if self.service.streams != before.service.streams {
            told.push_back(Told::Streams(self.service.streams));
        }
        if self.goodbyes.0 != before.goodbyes.0
            && let Some(reason) = self.goodbyes.1
        {
            told.push_back(Told::Goodbye(reason));
        }
        told
    }
}
