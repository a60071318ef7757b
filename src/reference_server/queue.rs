//! The commands of one channel: at least once, in order, refused ones later.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;

use thiserror::Error;

use crate::ids::CommandUuid;
use crate::time::SimTime;

mod damage;

use damage::Damage;

/// The most commands one channel may have open. Far above what any scenario means to queue for one
/// device, and reached only by an operator that never looks at its answers.
const OPEN_MAX: usize = 100_000;

/// A command and where it stands. Every lookup is logarithmic, whatever a device reports. Commands are
/// boxed, because an ordered map takes room for eleven at once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What may be offered in this session, by order of arrival.
    ready: BTreeMap<u64, Box<Queued>>,
    /// What the device refused in this session, by order of arrival.
    refused: BTreeMap<u64, Box<Queued>>,
    /// Every CommandUUID this channel ever had and, while it is open, its place: the first has place 1.
    places: BTreeMap<CommandUuid, Option<NonZero<u64>>>,
    arrivals: u64,
    /// What only defects need.
    damage: Damage,
}

#[derive(Clone, Debug)]
struct Queued {
    uuid: CommandUuid,
    body: Arc<[u8]>,
    added: SimTime,
    /// A device cannot have a result for what it never saw.
    was_offered: bool,
    was_refused: bool,
}

/// Why a command was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum QueueError {
    /// This channel had it before.
    #[error("the CommandUUID was used before, but each command needs its own")]
    Reused,
    /// There is no room.
    #[error("the queue is full: {OPEN_MAX} commands are open")]
    Full,
}

impl Queue {
    /// Puts a command at the end.
    pub(super) fn add(
        &mut self,
        now: SimTime,
        uuid: &CommandUuid,
        body: Arc<[u8]>,
    ) -> Result<(), QueueError> {
        if self.places.contains_key(uuid) {
            return Err(QueueError::Reused);
        }
        if self.open() >= OPEN_MAX {
            return Err(QueueError::Full);
        }
        self.arrivals += 1;
        let place = self.arrivals;
        self.places.insert(uuid.clone(), NonZero::new(place));
        let queued = Queued {
            uuid: uuid.clone(),
            body,
            added: now,
            was_offered: false,
            was_refused: false,
        };
        self.ready.insert(place, Box::new(queued));
        Ok(())
    }

    /// Makes everything that was refused ready again, in its old place.
    pub(super) fn begin_session(&mut self) {
        self.ready.extend(std::mem::take(&mut self.refused));
    }

    /// The next command of this session; the same one until it is answered.
    pub(super) fn offer(&mut self) -> Option<Arc<[u8]>> {
        let mut first = self.ready.first_entry()?;
        first.get_mut().was_offered = true;
        Some(first.get().body.clone())
    }

    /// Takes note of a NotNow. A command that is not open or was never offered is no concern.
    pub(super) fn refuse(&mut self, uuid: &CommandUuid) {
        if let Some(place) = self.offered_place(uuid)
            && let Some(mut queued) = self.take(place)
        {
            queued.was_refused = true;
            self.refused.insert(place, queued);
        }
    }

    /// Takes note of a final result. A command that is not open or was never offered is no concern.
    pub(super) fn settle(&mut self, uuid: &CommandUuid) {
        if let Some(place) = self.offered_place(uuid) {
            self.take(place);
            self.places.insert(uuid.clone(), None);
        }
    }

    /// Drops an open command; its CommandUUID stays used. Whether it was open. A result that comes
    /// for it all the same is no concern.
    pub(super) fn cancel(&mut self, uuid: &CommandUuid) -> bool {
        let Some(Some(place)) = self.places.get(uuid).copied() else {
            return false;
        };
        self.take(place.get());
        self.places.insert(uuid.clone(), None);
        true
    }

    /// Drops every open command. Their CommandUUIDs stay used.
    pub(super) fn clear(&mut self) {
        let dropped = [
            std::mem::take(&mut self.ready),
            std::mem::take(&mut self.refused),
            std::mem::take(&mut self.damage).shelved,
        ];
        for queued in dropped.into_iter().flat_map(BTreeMap::into_values) {
            self.places.insert(queued.uuid, None);
        }
    }

    /// Every open command, whether refused or not, in order of arrival.
    pub(super) fn open_uuids(&self) -> Vec<CommandUuid> {
        let mut queued: Vec<_> = self.ready.iter().chain(&self.refused).collect();
        queued.sort_unstable_by_key(|(place, _)| **place);
        queued.into_iter().map(|(_, it)| it.uuid.clone()).collect()
    }

    pub(super) fn open(&self) -> usize {
        self.ready.len() + self.refused.len() + self.damage.shelved.len()
    }

    pub(super) fn has_open(&self) -> bool {
        self.open() > 0
    }

    fn offered_place(&self, uuid: &CommandUuid) -> Option<u64> {
        let place = (*self.places.get(uuid)?)?.get();
        self.at(place)?.was_offered.then_some(place)
    }

    fn at(&self, place: u64) -> Option<&Queued> {
        let refused = || self.refused.get(&place);
        let shelved = || self.damage.shelved.get(&place);
        let found = self.ready.get(&place).or_else(refused).or_else(shelved);
        found.map(Box::as_ref)
    }

    fn take(&mut self, place: u64) -> Option<Box<Queued>> {
        let ready = self.ready.remove(&place);
        ready
            .or_else(|| self.refused.remove(&place))
            .or_else(|| self.damage.shelved.remove(&place))
    }
}
