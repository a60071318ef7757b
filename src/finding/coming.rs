//! Facts that others may still come before.

use std::collections::VecDeque;

use crate::time::SimTime;

use super::event::{Event, Place};

/// Facts in the order of their places, as soon as nothing can come before them.
///
/// Those of a class come from few producers, each of which tells them in order: a queue for each class
/// is a few runs that sorting merges, or one, and then nothing is moved. An ordered map would allocate
/// and move all day.
#[derive(Debug, Default)]
pub(super) struct Coming {
    classes: [Class; Place::CLASSES],
    /// Every fact before this has been given out. Nothing is sorted until it rises: while one producer
    /// is silent, those of others only wait.
    given: SimTime,
}

#[derive(Debug, Default)]
struct Class {
    events: VecDeque<(Place, Event)>,
    is_unsorted: bool,
}

impl Coming {
    /// Takes a fact.
    pub(super) fn add(&mut self, place: Place, event: Event) {
        let class = &mut self.classes[place.class()];
        let is_last = class.events.back().is_none_or(|(last, _)| *last < place);
        class.is_unsorted |= !is_last;
        class.events.push_back((place, event));
    }

    /// The next fact, if its time is before `watermark`.
    pub(super) fn pop_before(&mut self, watermark: SimTime) -> Option<(Place, Event)> {
        if watermark <= self.given {
            return None;
        }
        for class in &mut self.classes {
            if std::mem::take(&mut class.is_unsorted) {
                class.events.make_contiguous().sort_by_key(|it| it.0);
            }
        }
        let with_any = self.classes.iter_mut().filter(|it| !it.events.is_empty());
        let first = with_any.min_by_key(|class| class.events.front().map(|it| it.0));
        let due = first.and_then(|class| {
            let is_due = class.events.front()?.0.at < watermark;
            is_due.then(|| class.events.pop_front()).flatten()
        });
        if due.is_none() {
            self.given = watermark;
        }
        due
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.classes.iter().map(|class| class.events.len()).sum()
    }
}
