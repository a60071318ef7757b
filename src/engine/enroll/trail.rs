//! What an errand leaves behind it: each step as a fact, and how it ended.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::refusal::Stop;
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

/// The steps of one errand.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Trail {
    clock: Clock,
    device: DeviceId,
    /// `None` where nobody wants to know: the one errand before a run.
    to: Option<Rc<Reports>>,
}

impl Trail {
    pub(in crate::engine) const fn new(
        clock: Clock,
        device: DeviceId,
        to: Option<Rc<Reports>>,
    ) -> Self {
        Self { clock, device, to }
    }

    /// A step begins now, after all that had to be waited for here.
    pub(super) fn begin(&self) -> SimTime {
        self.clock.now()
    }

    /// A step that began at `since` is over.
    pub(super) fn end<T>(
        &self,
        step: IdentityStep,
        since: SimTime,
        outcome: Result<T, Stop>,
    ) -> Result<T, Stop> {
        self.over(step, (since, self.clock.now()), outcome)
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
