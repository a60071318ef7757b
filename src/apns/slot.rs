//! Store and forward: the one push APNs keeps per channel and topic.
//!
//! A push to a reachable device is on its way for a drawn time; one to an unreachable device is
//! stored until it can be reached. A newer push takes the place of an older one in either state, and
//! keeps it when the older one was held up and comes late (Apple, "Sending notification requests to APNs": one notification per device and topic). All
//! devices of a run enrol with one topic, and the doorkeeper lets in no other, so a channel has one
//! place.
//!
//! Its expiration matters to a stored push alone: at the first attempt a device that can be reached
//! gets the push all the same (Apple, "Viewing the status of push notifications": is it restricted, then
//! has it expired).

use crate::device::contract::{Push, Urgency};
use crate::fact::FactKind;
use crate::time::SimTime;

/// How long a push may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// One attempt, never stored: `apns-expiration: 0`.
    Never,
    /// Stored until then, at most 30 days.
    Until(SimTime),
}

/// A channel's place for one push. Empty ones own nothing on the heap.
#[derive(Debug, Default)]
pub struct Slot(Option<Box<Held>>);

#[derive(Debug)]
struct Held {
    push: Push,
    keep: Keep,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Reaches the device at the push's `due`.
    OnItsWay(Attempt),
    /// The device could not be reached.
    Stored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// It came just now.
    First,
    /// It was stored.
    Again,
}

impl Keep {
    /// Whether a push may be stored at `now`.
    fn allows(self, now: SimTime) -> bool {
        match self {
            Self::Never => false,
            Self::Until(until) => now < until,
        }
    }
}

impl Held {
    /// Whether this one came in after `push`, which was held up on its way, and still counts.
    fn outlives(&self, push: &Push) -> bool {
        self.push.id > push.id
            && match self.state {
                State::OnItsWay(_) => true,
                State::Stored => self.keep.allows(push.arrived),
            }
    }

    /// Takes an older push in, which would have arrived at `due`: this one goes in its place if that
    /// is sooner.
    fn stand_for(&mut self, push: &Push, due: Option<SimTime>) -> FactKind {
        if let (State::OnItsWay(_), Some(due)) = (self.state, due) {
            self.push.due = self.push.due.min(due).max(push.arrived);
        }
        FactKind::PushCoalesced {
            push: push.id,
            into: self.push.id,
            channel: push.channel,
        }
    }
}

impl Slot {
    /// Takes a push that was accepted: on its way when `due` is given, else stored.
    pub fn take(&mut self, mut push: Push, keep: Keep, due: Option<SimTime>) -> Vec<FactKind> {
        let channel = push.channel;
        if due.is_none() && !keep.allows(push.arrived) {
            // It is not stored, so it cannot stand for the one that is.
            return vec![FactKind::PushDiscarded {
                push: push.id,
                channel,
            }];
        }
        if let Some(held) = &mut self.0
            && held.outlives(&push)
        {
            return vec![held.stand_for(&push, due)];
        }
        let mut facts = Vec::new();
        // The newest counts even when it is not to be stored: should the device be gone when it
        // arrives, it is discarded, and the one that it replaced does not come back. That is meant:
        // there is one notification per device and topic, and it is the newest.
        let before = self.0.take();
        // A duplicate does not take the place of the push it is one of.
        if let Some(old) = &before
            && old.push.id != push.id
        {
            facts.push(FactKind::PushCoalesced {
                push: old.push.id,
                into: push.id,
                channel,
            });
        }
        let state = match due {
            Some(due) => {
                // It rides with the one it replaces, if that would have arrived sooner; but it is
                // not due before it is here, even when the other is overdue.
                push.due = match before {
                    Some(old) if matches!(old.state, State::OnItsWay(_)) => {
                        old.push.due.min(due).max(push.arrived)
                    }
                    Some(_) | None => due,
                };
                State::OnItsWay(Attempt::First)
            }
            None => {
                facts.push(FactKind::PushStored {
                    push: push.id,
                    channel,
                });
                State::Stored
            }
        };
        self.0 = Some(Box::new(Held { push, keep, state }));
        facts
    }

    /// When the push on its way reaches the device; [`SimTime::NEVER`] when none is.
    pub fn deadline(&self) -> SimTime {
        match &self.0 {
            Some(held) if matches!(held.state, State::OnItsWay(_)) => held.push.due,
            Some(_) | None => SimTime::NEVER,
        }
    }

    /// Whether it may wait for a device that saves power: of the stored push, if there is one.
    pub fn stored(&self) -> Option<Urgency> {
        let held = self.0.as_ref()?;
        (held.state == State::Stored).then_some(held.push.urgency)
    }

    /// The device can be reached again: the stored push sets out and arrives at `due`.
    pub fn release(&mut self, due: SimTime) {
        if let Some(held) = &mut self.0
            && held.state == State::Stored
        {
            held.push.due = due;
            held.state = State::OnItsWay(Attempt::Again);
        }
    }

    /// The push on its way has arrived: the device gets it, or it is stored after all when the
    /// device has become unreachable meanwhile.
    pub fn arrive(&mut self, now: SimTime, hears: impl Fn(Urgency) -> bool) -> Arrival {
        let Some(mut held) = self.0.take() else {
            return Arrival::Nothing;
        };
        if held.state == State::Stored || held.push.due > now {
            self.0 = Some(held);
            return Arrival::Nothing;
        }
        let (push, channel) = (held.push.id, held.push.channel);
        if held.state == State::OnItsWay(Attempt::Again) && !held.keep.allows(now) {
            return Arrival::Kept(FactKind::PushDiscarded { push, channel });
        }
        if hears(held.push.urgency) {
            return Arrival::Delivered(held.push);
        }
        if !held.keep.allows(now) {
            return Arrival::Kept(FactKind::PushDiscarded { push, channel });
        }
        held.state = State::Stored;
        self.0 = Some(held);
        Arrival::Kept(FactKind::PushStored { push, channel })
    }
}

/// What became of a push that was on its way.
#[derive(Debug, PartialEq)]
pub enum Arrival {
    /// There was none, or its time has not come.
    Nothing,
    /// The device has it.
    Delivered(Push),
    /// The device could not be reached: it is stored, or gone.
    Kept(FactKind),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Channel, PushId};

    fn push(id: u64) -> Push {
        Push {
            id: PushId(id),
            channel: Channel::default(),
            topic: "com.apple.mgmt.External.test".into(),
            magic: None,
            urgency: Urgency::Immediate,
            arrived: SimTime::from_secs(id),
            due: SimTime::ZERO,
        }
    }

    const LONG: Keep = Keep::Until(SimTime::from_secs(1_000));

    #[test]
    fn a_push_to_a_reachable_device_arrives_when_it_is_due() {
        let mut slot = Slot::default();
        assert_eq!(slot.take(push(1), LONG, Some(SimTime::from_secs(3))), []);
        assert_eq!(
            slot.arrive(SimTime::from_secs(2), |_| true),
            Arrival::Nothing
        );
        let Arrival::Delivered(push) = slot.arrive(SimTime::from_secs(3), |_| true) else {
            panic!("not delivered")
        };
        assert_eq!(push.due, SimTime::from_secs(3));
        assert_eq!(slot.deadline(), SimTime::NEVER);
    }

    #[test]
    fn only_the_newest_of_several_stored_pushes_is_delivered() {
        let mut slot = Slot::default();
        slot.take(push(1), LONG, None);
        let facts = slot.take(push(2), LONG, None);
        assert!(matches!(
            facts[..],
            [
                FactKind::PushCoalesced {
                    push: PushId(1),
                    into: PushId(2),
                    ..
                },
                FactKind::PushStored {
                    push: PushId(2),
                    ..
                }
            ]
        ));
        slot.release(SimTime::from_secs(9));
        let Arrival::Delivered(push) = slot.arrive(SimTime::from_secs(9), |_| true) else {
            panic!("not delivered")
        };
        assert_eq!(push.id, PushId(2));
    }

    #[test]
    fn a_push_with_expiration_zero_is_never_stored() {
        let mut slot = Slot::default();
        let facts = slot.take(push(1), Keep::Never, None);
        assert!(matches!(facts[..], [FactKind::PushDiscarded { .. }]));
        assert_eq!(slot.stored(), None);
    }

    #[test]
    fn a_push_that_is_not_stored_leaves_the_stored_one_in_its_place() {
        let mut slot = Slot::default();
        slot.take(push(1), LONG, None);
        let facts = slot.take(push(2), Keep::Never, None);
        assert!(matches!(
            facts[..],
            [FactKind::PushDiscarded {
                push: PushId(2),
                ..
            }]
        ));
        slot.release(SimTime::from_secs(9));
        let arrival = slot.arrive(SimTime::from_secs(9), |_| true);
        assert!(matches!(arrival, Arrival::Delivered(push) if push.id == PushId(1)));
    }

    #[test]
    fn a_push_that_rides_with_an_overdue_one_is_not_due_before_it_came() {
        let mut slot = Slot::default();
        slot.take(push(1), LONG, Some(SimTime::from_secs(3)));
        slot.take(push(5), LONG, Some(SimTime::from_secs(7)));
        assert_eq!(slot.deadline(), SimTime::from_secs(5));
    }

    #[test]
    fn a_stored_push_expires() {
        let mut slot = Slot::default();
        slot.take(push(1), Keep::Until(SimTime::from_secs(5)), None);
        slot.release(SimTime::from_secs(6));
        let arrival = slot.arrive(SimTime::from_secs(6), |_| true);
        assert!(matches!(
            arrival,
            Arrival::Kept(FactKind::PushDiscarded { .. })
        ));
    }

    #[test]
    fn an_expired_push_is_tried_once_and_never_stored() {
        let until = SimTime::from_secs(5);
        let mut slot = Slot::default();
        slot.take(push(4), Keep::Until(until), Some(SimTime::from_secs(6)));
        let arrival = slot.arrive(SimTime::from_secs(6), |_| true);
        assert!(matches!(arrival, Arrival::Delivered(_)));
        slot.take(push(4), Keep::Until(until), Some(SimTime::from_secs(6)));
        let arrival = slot.arrive(SimTime::from_secs(6), |_| false);
        let discarded =
            |kept: &Arrival| matches!(kept, Arrival::Kept(FactKind::PushDiscarded { .. }));
        assert!(discarded(&arrival));
        let facts = slot.take(push(5), Keep::Until(until), None);
        assert!(matches!(facts[..], [FactKind::PushDiscarded { .. }]));
    }

    #[test]
    fn a_duplicate_does_not_stand_for_the_push_it_is_one_of() {
        let mut slot = Slot::default();
        assert_eq!(slot.take(push(1), LONG, Some(SimTime::from_secs(4))), []);
        assert_eq!(slot.take(push(1), LONG, Some(SimTime::from_secs(9))), []);
        assert_eq!(slot.deadline(), SimTime::from_secs(4));
    }

    #[test]
    fn an_older_push_that_was_held_up_does_not_take_the_place_of_a_newer_one() {
        // The first is delayed; the second comes meanwhile, and is stored for a device that sleeps.
        let mut slot = Slot::default();
        slot.take(push(2), LONG, None);
        let late = Push {
            arrived: SimTime::from_secs(5),
            ..push(1)
        };
        let coalesced = [FactKind::PushCoalesced {
            push: PushId(1),
            into: PushId(2),
            channel: Channel::default(),
        }];
        assert_eq!(slot.take(late.clone(), LONG, None), coalesced);
        slot.release(SimTime::from_secs(9));
        // It is on its way now, and rides with the older one, which would arrive sooner.
        let due = Some(SimTime::from_secs(7));
        assert_eq!(slot.take(late.clone(), LONG, due), coalesced);
        let arrival = slot.arrive(SimTime::from_secs(7), |_| true);
        assert!(matches!(arrival, Arrival::Delivered(push) if push.id == PushId(2)));
        // A newer one that has expired does not stand in its way.
        slot.take(push(3), Keep::Until(SimTime::from_secs(4)), None);
        slot.take(late, LONG, due);
        let arrival = slot.arrive(SimTime::from_secs(7), |_| true);
        assert!(matches!(arrival, Arrival::Delivered(push) if push.id == PushId(1)));
    }

    #[test]
    fn a_device_that_leaves_while_a_push_is_on_its_way_gets_it_later() {
        let mut slot = Slot::default();
        slot.take(push(1), LONG, Some(SimTime::from_secs(2)));
        let arrival = slot.arrive(SimTime::from_secs(2), |_| false);
        assert!(matches!(
            arrival,
            Arrival::Kept(FactKind::PushStored { .. })
        ));
        assert_eq!(slot.stored(), Some(Urgency::Immediate));
    }
}
