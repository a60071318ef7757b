//! What defects do to the queue of one channel. Without defects none of it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use super::super::defect::{Defect, Defects};
use super::{Queue, Queued};
use crate::ids::CommandUuid;
use crate::time::SimTime;

/// From reading the record of a queue until it is written back whole.
const WRITE_TIME: Duration = Duration::from_millis(20);

/// How long after its push a command can be read.
const COMMIT_TIME: Duration = Duration::from_millis(300);

/// How old the copy is that Idle is answered from.
const REPLICA_LAG: Duration = Duration::from_millis(300);

/// What a queue keeps on behalf of defects.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// What was refused in an earlier session, by order of arrival.
    pub(super) shelved: BTreeMap<u64, Box<Queued>>,
    /// The record is being written.
    write: Option<Write>,
    /// What was answered meanwhile.
    overlapped: Vec<(u64, Box<Queued>)>,
    /// What the copy still has, and since when it should not: no more than is answered in its lag.
    replica: Vec<(SimTime, u64, Box<Queued>)>,
    /// Commands whose results are refused.
    cursed: BTreeSet<CommandUuid>,
}

/// The record of a queue was read, and is to be written back.
#[derive(Clone, Copy, Debug)]
struct Write {
    done: SimTime,
    /// The first place that was not there when it was read.
    unknown: u64,
}

impl Queue {
    /// Ends what is over by now. To be called before anything else is done to the queue.
    pub(in super::super) fn catch_up(&mut self, now: SimTime, defects: Defects) {
        let Some(write) = self.damage.write.filter(|write| write.done <= now) else {
            return;
        };
        self.damage.write = None;
        if defects.has(Defect::LosesOnOverlap) {
            let all = [&self.ready, &self.refused, &self.damage.shelved];
            let lost: Vec<u64> = all
                .into_iter()
                .flat_map(|them| them.range(write.unknown..).map(|(place, _)| *place))
                .collect();
            for place in lost {
                self.drop_at(place);
            }
        }
        for (place, queued) in std::mem::take(&mut self.damage.overlapped) {
            self.places.insert(queued.uuid.clone(), NonZero::new(place));
            self.ready.insert(place, queued);
        }
    }

    /// The record is read as it is now, and will be written back.
    pub(in super::super) fn begin_write(&mut self, now: SimTime) {
        let write = Write {
            done: now + WRITE_TIME,
            unknown: self.arrivals + 1,
        };
        self.damage.write.get_or_insert(write);
    }

    /// [`Queue::settle`], as defects have it.
    pub(in super::super) fn settle_badly(
        &mut self,
        now: SimTime,
        defects: Defects,
        uuid: &CommandUuid,
    ) {
        let Some(place) = self.offered_place(uuid) else {
            if defects.has(Defect::UnknownResultDamagesQueue) {
                self.drop_head();
            }
            return;
        };
        let answered = self.take(place);
        self.places.insert(uuid.clone(), None);
        if defects.has(Defect::LosesOnOverlap) {
            self.begin_write(now);
        }
        let Some(answered) = answered else { return };
        if defects.has(Defect::LaggingReplica) {
            let replica = &mut self.damage.replica;
            replica.retain(|(since, ..)| *since + REPLICA_LAG > now);
            replica.push((now, place, answered.clone()));
        }
        if defects.has(Defect::DoublesOnOverlap) && self.damage.write.is_some() {
            self.damage.overlapped.push((place, answered));
        }
    }

    /// [`Queue::begin_session`] of a queue that puts aside what was refused.
    pub(in super::super) fn shelve_refused(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        self.damage.shelved.extend(refused);
    }

    /// [`Queue::offer`], as defects have it; `asks` when a device says Idle.
    pub(in super::super) fn offer_badly(
        &mut self,
        now: SimTime,
        defects: Defects,
        asks: bool,
    ) -> Option<Arc<[u8]>> {
        let lag = if defects.has(Defect::PushBeforeCommit) {
            COMMIT_TIME
        } else if asks && defects.has(Defect::LaggingReplica) {
            REPLICA_LAG
        } else {
            Duration::ZERO
        };
        let mut ready = self.ready.iter();
        let next = ready.find(|(_, queued)| queued.added + lag <= now);
        let next = next.map(|(place, _)| *place);
        if asks && let Some(body) = self.offer_again(now, next) {
            return Some(body);
        }
        let Some(place) = next else {
            let mut first = self.damage.shelved.first_entry()?;
            first.get_mut().was_offered = true;
            return Some(first.get().body.clone());
        };
        let mut queued = self.ready.remove(&place)?;
        queued.was_offered = true;
        let body = queued.body.clone();
        let mut place = place;
        if defects.has(Defect::OrderLostOnRedelivery) {
            self.arrivals += 1;
            place = self.arrivals;
            self.places.insert(queued.uuid.clone(), NonZero::new(place));
        }
        self.ready.insert(place, queued);
        Some(body)
    }

    /// What the copy has before `next`, though it was answered.
    fn offer_again(&mut self, now: SimTime, next: Option<u64>) -> Option<Arc<[u8]>> {
        let replica = &mut self.damage.replica;
        replica.retain(|(since, ..)| *since + REPLICA_LAG > now);
        let first = replica.iter().min_by_key(|(_, place, _)| *place)?;
        let comes_first = next.is_none_or(|next| first.1 < next);
        comes_first.then_some(Arc::clone(&first.2.body))
    }

    /// Whether a command is open that was never refused.
    pub(in super::super) fn has_unrefused(&self) -> bool {
        self.ready.values().any(|queued| !queued.was_refused)
    }

    /// Whether this command was offered and has no result.
    pub(in super::super) fn awaits(&self, uuid: &CommandUuid) -> bool {
        self.offered_place(uuid).is_some()
    }

    /// Lets the result of this command be refused.
    pub(in super::super) fn curse(&mut self, uuid: &CommandUuid) {
        self.damage.cursed.insert(uuid.clone());
    }

    /// Whether the result of this command is refused.
    pub(in super::super) fn is_cursed(&self, uuid: &CommandUuid) -> bool {
        self.damage.cursed.contains(uuid)
    }

    fn drop_head(&mut self) {
        if let Some((&place, _)) = self.ready.first_key_value() {
            self.drop_at(place);
        }
    }

    fn drop_at(&mut self, place: u64) {
        if let Some(queued) = self.take(place) {
            self.places.insert(queued.uuid, None);
        }
    }
}
