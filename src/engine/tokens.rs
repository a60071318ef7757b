//! The way of changed push tokens from the workers to the gateway.
//!
//! A server that has read a TokenUpdate may push to the new token at once, so the gateway has to
//! know it before that message leaves: the courier holds the channel's next request back until the
//! gateway has said so. Changes of one worker arrive in the order in which they happened.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot};

use crate::ids::Channel;
use crate::time::WallTime;

/// How many changes may wait for the gateway; a worker keeps further ones, one or two a device.
pub(super) const CHANGES_MAX: usize = 1024;

/// A channel's token has changed.
#[derive(Debug)]
pub(super) struct TokenChange {
    pub(super) channel: Channel,
    /// The epoch of the token that counts; `None` when none does any more.
    pub(super) epoch: Option<u32>,
    pub(super) since: WallTime,
    /// Told once the gateway knows.
    pub(super) known: oneshot::Sender<()>,
}

/// A worker's end.
#[derive(Debug)]
pub(super) struct Announcer {
    to: mpsc::Sender<TokenChange>,
    /// What there was no room for, in order.
    waiting: VecDeque<TokenChange>,
}

impl Announcer {
    pub(super) const fn new(to: mpsc::Sender<TokenChange>) -> Self {
        Self {
            to,
            waiting: VecDeque::new(),
        }
    }

    /// Tells the gateway that a channel's token has changed. The receiver hears when it knows, or
    /// that it never will.
    pub(super) fn announce(
        &mut self,
        channel: Channel,
        epoch: Option<u32>,
        since: WallTime,
    ) -> oneshot::Receiver<()> {
        let (known, gate) = oneshot::channel();
        self.waiting.push_back(TokenChange {
            channel,
            epoch,
            since,
            known,
        });
        while let Some(change) = self.waiting.pop_front() {
            match self.to.try_send(change) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(change)) => {
                    self.waiting.push_front(change);
                    break;
                }
            }
        }
        gate
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends the first that waits, once there is room for it.
    pub(super) async fn pass_on(&mut self) {
        match self.to.reserve().await {
            Ok(room) => {
                if let Some(change) = self.waiting.pop_front() {
                    room.send(change);
                }
            }
            // The gateway has ended with the run: nobody waits for it.
            Err(_) => self.waiting.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    #[tokio::test]
    async fn changes_arrive_in_order_however_little_room_there_is() {
        let (to, mut from) = mpsc::channel(1);
        let mut announcer = Announcer::new(to);
        let channel = Channel::device(DeviceId(0));
        let mut gates = Vec::new();
        for epoch in [Some(1), None, Some(2)] {
            gates.push(announcer.announce(channel, epoch, WallTime::default()));
        }
        for epoch in [Some(1), None, Some(2)] {
            let change = from.recv().await.unwrap();
            assert_eq!(change.epoch, epoch);
            change.known.send(()).unwrap();
            if announcer.is_waiting() {
                announcer.pass_on().await;
            }
        }
        assert!(!announcer.is_waiting());
        for gate in gates {
            gate.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_gateway_that_has_ended_holds_nobody_back() {
        let (to, from) = mpsc::channel(1);
        let mut announcer = Announcer::new(to);
        drop(from);
        let gate = announcer.announce(Channel::default(), Some(1), WallTime::default());
        assert!(gate.await.is_err() && !announcer.is_waiting());
    }
}
