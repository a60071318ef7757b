//! Somebody who listens to the pushes of a token at the plain door: server-sent events on one
//! connection.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use hyper::body::Frame;
use tokio::sync::Notify;

use super::plain::{Events, Plain};
use crate::apns::pending::{Fetched, ListenerId};
use crate::engine::clock::Clock;

/// How often a comment is sent, so that a connection that is gone is noticed, and proxies on the way
/// do not close one that is idle.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How those who listen are woken.
#[derive(Debug, Default)]
pub(super) struct Bells(BTreeMap<ListenerId, Rc<Notify>>);

impl Bells {
    /// There is something for this listener.
    pub(super) fn ring(&self, listener: ListenerId) {
        if let Some(bell) = self.0.get(&listener) {
            bell.notify_one();
        }
    }

    /// How many listen.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// One who listens, until it is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    plain: Rc<Plain>,
    clock: Clock,
    token: Box<str>,
    id: ListenerId,
    bell: Rc<Notify>,
}

impl Listening {
    /// Begins to listen, in the place of whoever listened to this token. `None` when there is no room.
    pub(super) fn begin(plain: Rc<Plain>, clock: Clock, token: &str) -> Option<Self> {
        let (id, before) = plain.pending.borrow_mut().listen(token)?;
        let bell = Rc::new(Notify::new());
        let mut bells = plain.bells.borrow_mut();
        if let Some(before) = before {
            bells.ring(before);
        }
        bells.0.insert(id, Rc::clone(&bell));
        drop(bells);
        Some(Self {
            plain,
            clock,
            token: token.into(),
            id,
            bell,
        })
    }

    /// What the listener reads: an event for each push, a comment now and then. It ends when another
    /// listens to the same token.
    pub(super) fn events(self) -> Events {
        Box::pin(unfold(self, async |listening| {
            let text = listening.next().await?;
            Some((Ok(Frame::data(text)), listening))
        }))
    }

    async fn next(&self) -> Option<Bytes> {
        loop {
            let now = self.clock.now();
            let fetched = self
                .plain
                .pending
                .borrow_mut()
                .fetch(now, &self.token, self.id);
            match fetched {
                Fetched::Push(payload) => return Some(event(&payload)),
                Fetched::Replaced => return None,
                Fetched::Nothing => {}
            }
            let rung = tokio::time::timeout(KEEP_ALIVE, self.bell.notified()).await;
            if rung.is_err() {
                return Some(Bytes::from_static(b": keepalive\n\n"));
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.plain.pending.borrow_mut().leave(&self.token, self.id);
        self.plain.bells.borrow_mut().0.remove(&self.id);
    }
}

/// A push as an event. A payload of several lines takes as many `data` lines, which the reader joins
/// again (WHATWG, "Server-sent events").
fn event(payload: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(payload.len() + 32);
    text.extend_from_slice(b"event: ping\n");
    for line in payload.split(|&byte| byte == b'\n') {
        text.extend_from_slice(b"data: ");
        // A carriage return would end the line, too.
        text.extend(
            line.iter()
                .map(|&byte| if byte == b'\r' { b' ' } else { byte }),
        );
        text.push(b'\n');
    }
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::event;

    #[test]
    fn a_payload_of_several_lines_is_one_event() {
        assert_eq!(&event(b"{}")[..], b"event: ping\ndata: {}\n\n");
        let text = event(b"a\r\nb\rc");
        assert_eq!(&text[..], b"event: ping\ndata: a \ndata: b c\n\n");
    }
}
