//! What is to happen when: one queue by time, then by the order in which it arose.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::courier::Letter;
use super::provider::{PushAnswer, PushFlight};
use crate::device::contract::Reply;
use crate::ids::{Channel, OrderIndex, RequestId};
use crate::reference_server::Answer;
use crate::time::SimTime;

/// Something that is to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// Enrolment has taken too long.
    GiveUpEnrolling,
    /// Devices begin to live, the operator begins to order.
    TimeZero,
    /// The plan's next order is due.
    OrderDue,
    /// The timeline's next change is due.
    ChangeDue,
    /// The timeline's next deed to pushes, or of the operator, is due.
    HappeningDue,
    /// An observed target has been observed for as long as the stages last.
    Observed,
    /// Whether the drain can end is looked at.
    Look,
    /// The drain has been long enough.
    DrainOver,
    /// The operator's request reaches the server.
    Enqueue(OrderIndex),
    /// The operator has the answer.
    Enqueued(OrderIndex, Box<Answer>),
    /// The operator's request, or its answer, is lost.
    EnqueueLost(OrderIndex),
    /// A device's request reaches the server.
    Asked(Box<Letter>),
    /// A device has its answer, or the news that there will be none.
    Answered(Channel, RequestId, Box<Reply>),
    /// A push reaches the gateway.
    Pushed(Box<PushFlight>),
    /// A push that the gateway holds back sets out to its device.
    PushSetsOut(u64),
    /// The server has the gateway's answer.
    PushAnswered(Box<PushAnswer>),
}

/// Events by time, then by the order in which they arose.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Entry>,
    arisen: u64,
}

#[derive(Debug)]
struct Entry {
    at: SimTime,
    number: u64,
    event: Event,
}

impl Agenda {
    pub(super) fn add(&mut self, at: SimTime, event: Event) {
        let number = self.arisen;
        self.arisen += 1;
        self.heap.push(Entry { at, number, event });
    }

    /// When the next event is; [`SimTime::NEVER`] when there is none.
    pub(super) fn next(&self) -> SimTime {
        self.heap.peek().map_or(SimTime::NEVER, |entry| entry.at)
    }

    pub(super) fn take(&mut self) -> Option<Event> {
        self.heap.pop().map(|entry| entry.event)
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
