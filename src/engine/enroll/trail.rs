//! What an errand leaves behind it: each step as a fact, and how it ended.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::refusal::Stop;
use super::seat::Seat;
use crate::device::contract::Obtained;
use crate::engine::clock::Clock;
use crate::fact::{FactKind, IdentityStep};
use crate::ids::{DeviceId, RequestId};
use crate::time::SimTime;

/// What comes from an errand.
#[derive(Debug)]
pub(in crate::engine) enum News {
    /// A step is over.
    Fact(FactKind),
    /// The errand is, and gives back the place its device had among those that enrol.
    Ended(DeviceId, RequestId, Obtained, OwnedSemaphorePermit),
}

/// News on their way to the worker. Bounded by the errands: each has a dozen steps at most.
#[derive(Debug, Default)]
pub(in crate::engine) struct Reports {
    queue: RefCell<VecDeque<News>>,
    any: Notify,
}

impl Reports {
    pub(in crate::engine) fn push(&self, news: News) {
        self.queue.borrow_mut().push_back(news);
        self.any.notify_one();
    }

    pub(in crate::engine) fn pop(&self) -> Option<News> {
        self.queue.borrow_mut().pop_front()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Ready once there is news.
    pub(in crate::engine) async fn arrived(&self) {
        if self.is_empty() {
            self.any.notified().await;
        }
    }
}

/// The steps of one errand, and the place it has meanwhile.
#[derive(Debug)]
pub(in crate::engine) struct Trail {
    clock: Clock,
    device: DeviceId,
    seat: Seat,
    /// `None` where nobody wants to know: the one errand before a run.
    to: Option<Rc<Reports>>,
    /// How much of the step that is under way was our own work, or waiting here.
    ours: Cell<Duration>,
}

impl Trail {
    pub(in crate::engine) const fn new(
        clock: Clock,
        device: DeviceId,
        seat: Seat,
        to: Option<Rc<Reports>>,
    ) -> Self {
        Self {
            clock,
            device,
            seat,
            to,
            ours: Cell::new(Duration::ZERO),
        }
    }

    /// A step begins now, after all that had to be waited for here.
    pub(super) fn begin(&self) -> SimTime {
        self.ours.set(Duration::ZERO);
        self.clock.now()
    }

    /// Where time is added that is ours.
    pub(super) const fn ours(&self) -> &Cell<Duration> {
        &self.ours
    }

    /// Does `work` within a step; its time is not the server's.
    pub(super) fn working<T>(&self, work: impl FnOnce() -> T) -> T {
        let since = self.clock.now();
        let done = work();
        let took = self.clock.now().since(since);
        self.ours.set(self.ours.get() + took);
        done
    }

    /// The place that the errand has among those that enrol.
    pub(super) const fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The errand is over: what is left is its place.
    pub(in crate::engine) fn into_place(self) -> OwnedSemaphorePermit {
        self.seat.into_place()
    }

    /// A step that began at `since` is over. What of it was ours is taken off its beginning.
    pub(super) fn end<T>(
        &self,
        step: IdentityStep,
        since: SimTime,
        outcome: Result<T, Stop>,
    ) -> Result<T, Stop> {
        let until = self.clock.now();
        let since = (since + self.ours.take()).min(until);
        self.over(step, (since, until), outcome)
    }

    /// A step that took this long is over.
    pub(super) fn over<T>(
        &self,
        step: IdentityStep,
        (since, until): (SimTime, SimTime),
        outcome: Result<T, Stop>,
    ) -> Result<T, Stop> {
        if let Some(to) = &self.to {
            to.push(News::Fact(FactKind::IdentityStep {
                device: self.device,
                step,
                since,
                until,
                failed: outcome.as_ref().err().map(Stop::refusal),
            }));
        }
        outcome
    }
}
