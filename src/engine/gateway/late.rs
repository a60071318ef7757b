//! Pushes that do not set out to their device at once.

use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use super::Gateway;
use super::tasks::pass_on;
use crate::apns::slot::Keep;
use crate::device::contract::Push;

/// How many pushes may be late at once; further ones set out at once, so that no provider can fill
/// the memory.
const LATE_MAX: usize = 100_000;

/// How an accepted push sets out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Departure {
    /// Without delay.
    AtOnce,
    /// After so long.
    Later(Duration),
    /// After the next accepted push, or after so long.
    AfterNext(Duration),
    /// At once, and again after so long.
    Twice(Duration),
    /// Not at all.
    Nowhere,
}

impl Gateway {
    /// Sends a push on its way to its owner.
    pub(super) fn set_out(self: &Rc<Self>, push: Push, keep: Keep, departure: Departure) {
        let has_room = self.late.borrow().len() < LATE_MAX;
        match departure {
            Departure::Nowhere => {}
            Departure::Later(span) if has_room => self.wait(push, keep, span, false),
            Departure::AfterNext(span) if has_room => {
                // Those before it need not wait for the next but one.
                self.release();
                self.wait(push, keep, span, true);
                return;
            }
            Departure::Twice(span) if has_room => {
                self.forward(push.clone(), keep);
                self.wait(push, keep, span, false);
            }
            Departure::AtOnce
            | Departure::Later(_)
            | Departure::AfterNext(_)
            | Departure::Twice(_) => {
                self.forward(push, keep);
            }
        }
        self.release();
    }

    /// To the push's device; where there are none, to whoever listens at the plain door.
    fn forward(&self, push: Push, keep: Keep) {
        if self.ports.has_devices() {
            self.ports.forward(push, keep);
        } else if let Some(plain) = self.plain.get().and_then(Weak::upgrade) {
            plain.take_ours(&push, keep);
        }
    }

    /// Those that wait for the next push set out after it.
    fn release(&self) {
        if !self.late.borrow().is_empty() {
            self.next.notify_waiters();
        }
    }

    fn wait(self: &Rc<Self>, mut push: Push, keep: Keep, span: Duration, for_next: bool) {
        let gateway = Rc::clone(self);
        let next = Arc::clone(&self.next).notified_owned();
        let until = self.clock.now() + span;
        let wait = async move {
            let due = tokio::time::sleep_until(gateway.clock.instant(until));
            if for_next {
                tokio::select! {
                    () = due => {}
                    () = next => {}
                }
            } else {
                due.await;
            }
            // To its device it is a push that comes now.
            push.arrived = gateway.clock.now();
            push.due = push.arrived;
            gateway.forward(push, keep);
        };
        self.late.borrow_mut().spawn_local(wait);
    }

    /// Forgets those that have set out.
    pub(super) fn look_after_late(&self) {
        loop {
            let joined = self.late.borrow_mut().try_join_next();
            let Some(joined) = joined else { break };
            pass_on(joined);
        }
    }
}
