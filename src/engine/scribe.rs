//! Facts on their way from where they arise to the recorder.
//!
//! Each producer owns a [`Scribe`]. It sends facts in batches, each with a watermark: the promise
//! that every fact of an earlier time has been sent. The sender waits when the recorder is behind;
//! no fact is ever dropped.

use tokio::sync::mpsc;

use super::clock::Clock;
use crate::fact::{Fact, FactKind};
use crate::time::SimTime;

/// Facts of one producer, in the order of their times.
#[derive(Debug)]
pub(super) struct Batch {
    /// Which producer.
    pub(super) producer: usize,
    pub(super) facts: Vec<Fact>,
    /// Every fact of this producer before this time is in this batch or an earlier one.
    pub(super) watermark: SimTime,
    /// The way of the room back to the producer.
    room: mpsc::Sender<Vec<Fact>>,
}

impl Batch {
    /// The facts have been folded: the producer gets their room back. To return it to the system and
    /// to ask for it again, hundreds of times a second, costs a hundredth of a cycle.
    pub(super) fn give_back(self) {
        let Self {
            mut facts, room, ..
        } = self;
        facts.clear();
        // What a pause of the recorder has made larger than it need be is not kept.
        facts.shrink_to(2 * BATCH_FACTS);
        // A producer that has enough, or is gone, does without.
        let _ = room.try_send(facts);
    }
}

/// How many batches may wait for the recorder.
pub(super) const BATCHES_MAX: usize = 256;

/// How many times the room of a batch a producer keeps for later.
const ROOMS_MAX: usize = 2;

/// How many facts make a batch that is sent without waiting for a pause.
const BATCH_FACTS: usize = 512;

/// A producer's end.
#[derive(Debug)]
pub(super) struct Scribe {
    clock: Clock,
    producer: usize,
    facts: Vec<Fact>,
    to: mpsc::Sender<Batch>,
    /// Room that the recorder has given back.
    rooms: mpsc::Receiver<Vec<Fact>>,
    room: mpsc::Sender<Vec<Fact>>,
}

impl Scribe {
    pub(super) fn new(clock: Clock, producer: usize, to: mpsc::Sender<Batch>) -> Self {
        let (room, rooms) = mpsc::channel(ROOMS_MAX);
        Self {
            clock,
            producer,
            facts: Vec::new(),
            to,
            rooms,
            room,
        }
    }

    /// Notes a fact that is known now. This is where a text that somebody else chose gets its bound.
    pub(super) fn note(&mut self, at: SimTime, kind: FactKind) {
        let kind = kind.shortened();
        self.facts.push(Fact { at, kind });
    }

    /// Whether a batch is full.
    pub(super) fn is_full(&self) -> bool {
        self.facts.len() >= BATCH_FACTS
    }

    /// Whether there is anything to send.
    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Where batches go. Whoever sends one waits for a place first, and takes the batch then: a wait
    /// that is given up loses nothing.
    pub(super) fn to(&self) -> mpsc::Sender<Batch> {
        self.to.clone()
    }

    /// Takes what there is as a batch.
    pub(super) fn take(&mut self) -> Batch {
        let next = self.rooms.try_recv().unwrap_or_default();
        let facts = std::mem::replace(&mut self.facts, next);
        Batch {
            producer: self.producer,
            facts,
            watermark: self.clock.now(),
            room: self.room.clone(),
        }
    }

    /// Sends what there is, waiting for the recorder if need be.
    pub(super) async fn flush(&mut self) {
        let to = self.to();
        let place = to.reserve().await;
        let batch = self.take();
        // The recorder outlives every producer; if it is gone, the run is being torn down.
        if let Ok(place) = place {
            place.send(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flush_that_is_given_up_loses_nothing() {
        let (to, mut from) = mpsc::channel(1);
        let mut scribe = Scribe::new(Clock::start(), 0, to);
        scribe.flush().await;
        scribe.note(SimTime::ZERO, FactKind::TimeZero);
        let given_up = futures_util::FutureExt::now_or_never(scribe.flush());
        assert_eq!(given_up, None);
        assert_eq!(from.recv().await.unwrap().facts, []);
        scribe.flush().await;
        assert_eq!(from.recv().await.unwrap().facts.len(), 1);
    }
}
