//! What goes wrong with single pushes, as the scenario has it: which pushes, and how.
//!
//! Both drivers ask [`Faults::decide`] about each push and carry the answer out with their own means,
//! so that a rehearsal goes wrong where a run does.

use std::mem::discriminant;
use std::ops::Range;

use crate::ids::{Channel, DeviceId, PushId};
use crate::protocol::push::Reason;
use crate::seed::{Dist, Purpose, Seed};

/// What the push service does to a push.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Accepted; it sets out to its device later by this much.
    Delay(Dist),
    /// Accepted and lost.
    Drop,
    /// Accepted; it reaches its device a second time, later by this much.
    Duplicate(Dist),
    /// Accepted; it sets out after the next accepted push to any device, or after this long.
    Reorder(Dist),
    /// Not looked at: answered with a status and, if there is one, the reason as JSON.
    Answer {
        /// The HTTP status, 200 to 599.
        status: u16,
        /// The reason; without one the body is empty.
        reason: Option<Reason>,
    },
    /// Not looked at: answered with a status and an HTML page, as by a proxy on the way.
    Garble {
        /// The HTTP status, 200 to 599.
        status: u16,
    },
    /// Never answered, and lost.
    Hang,
    /// Accepted, and sets out at once; the answer is given later by this much.
    Slow(Dist),
    /// The provider's connection is reset, with all that is under way on it; the push is lost.
    Reset,
    /// The connection ends with GOAWAY before this push, which is not looked at; the reason is in the
    /// frame's debug data as JSON.
    GoAway(Reason),
}

impl Fault {
    /// As a scenario and a log name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Drop => "drop",
            Self::Duplicate(_) => "duplicate",
            Self::Reorder(_) => "reorder",
            Self::Answer { .. } => "answer",
            Self::Garble { .. } => "garble",
            Self::Hang => "hang",
            Self::Slow(_) => "slow",
            Self::Reset => "reset",
            Self::GoAway(_) => "goaway",
        }
    }
}

/// Which of the pushes that a rule is about it strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strikes {
    /// This share of them, 0 to 1, drawn by seed.
    Share(f64),
    /// The nth alone, from 1, counted from when the rule came.
    Nth(u64),
}

/// One rule: whose pushes, which of them, and what happens to them.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// Whose; `None` for all pushes, even those whose token names nobody.
    pub of: Option<Range<DeviceId>>,
    /// Which of them.
    pub strikes: Strikes,
    /// What happens.
    pub fault: Fault,
}

impl FaultRule {
    /// Whether it is there to end faults: a share of nothing ends all of its kind.
    fn ends_its_kind(&self) -> bool {
        matches!(self.strikes, Strikes::Share(share) if share <= 0.0)
    }

    /// Whether it counts instead of an older rule, for the devices that it is about. A share counts
    /// instead of another share of the very same fault; faults that differ in what they answer stand
    /// together.
    fn overrules(&self, older: &Self) -> bool {
        let is_share = |it: &Self| matches!(it.strikes, Strikes::Share(_));
        if self.ends_its_kind() {
            discriminant(&self.fault) == discriminant(&older.fault)
        } else {
            is_share(self) && is_share(older) && self.fault == older.fault
        }
    }

    /// Whether pushes to this channel, or to nobody, are concerned.
    fn is_about(&self, channel: Option<Channel>) -> bool {
        self.of
            .as_ref()
            .is_none_or(|devices| channel.is_some_and(|channel| devices.contains(&channel.device)))
    }
}

/// The rules in force; the latest that strikes a push counts.
#[derive(Clone, Debug)]
pub struct Faults {
    seed: Seed,
    rules: Vec<(FaultRule, u64)>,
}

impl Faults {
    /// None yet.
    pub const fn none(seed: Seed) -> Self {
        Self {
            seed,
            rules: Vec::new(),
        }
    }

    /// From here on a rule applies, before those that were there.
    pub fn add(&mut self, rule: FaultRule) {
        let covers = |other: &FaultRule| match (&rule.of, &other.of) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(new), Some(old)) => new.start <= old.start && old.end <= new.end,
        };
        // What it overrules for the same devices or fewer can go, so this stays as short as cohorts
        // and faults are few.
        self.rules
            .retain(|(other, _)| !(rule.overrules(other) && covers(other)));
        let is_of_use = |(other, _): &(FaultRule, u64)| rule.overrules(other);
        if !rule.ends_its_kind() || self.rules.iter().any(is_of_use) {
            self.rules.push((rule, 0));
        }
    }

    /// From here on no fault that was for just these devices strikes, and those for all strike as
    /// before; `None` ends all.
    pub fn heal(&mut self, of: Option<&Range<DeviceId>>) {
        match of {
            None => self.rules.clear(),
            // A share of nothing keeps a fault for all away from them: it is no fault itself.
            Some(of) => self
                .rules
                .retain(|(rule, _)| rule.of.as_ref() != Some(of) || rule.ends_its_kind()),
        }
    }

    /// Whether there is any rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What happens to a push; `None` when nothing is wrong with it. Ask once for each push.
    pub fn decide(&mut self, push: PushId, channel: Option<Channel>) -> Option<Fault> {
        let mut struck = None;
        let mut is_spent = false;
        for at in (0..self.rules.len()).rev() {
            if !self.rules[at].0.is_about(channel) {
                continue;
            }
            let strikes = match self.rules[at].0.strikes {
                Strikes::Nth(nth) => {
                    self.rules[at].1 += 1;
                    let is_it = self.rules[at].1 == nth;
                    is_spent |= is_it;
                    is_it && !self.is_overruled(at, channel)
                }
                Strikes::Share(share) => {
                    let subject = channel.map_or(u64::MAX, |it| u64::from(it.device.0));
                    let user = channel.map_or(0, |it| u32::from(it.user));
                    let attempt = user | (at as u32) << 8;
                    let mut draw = self.seed.draw(Purpose::PushLoss, subject, push.0, attempt);
                    !self.is_overruled(at, channel) && draw.chance(share)
                }
            };
            if strikes && struck.is_none() {
                struck = Some(self.rules[at].0.fault.clone());
            }
        }
        if is_spent {
            self.rules.retain(|(rule, seen)| match rule.strikes {
                Strikes::Nth(nth) => *seen < nth,
                Strikes::Share(_) => true,
            });
        }
        struck
    }

    /// Whether a later rule has replaced this one for some devices, of which this is one.
    fn is_overruled(&self, at: usize, channel: Option<Channel>) -> bool {
        let (rule, later) = (&self.rules[at].0, &self.rules[at + 1..]);
        let mut later = later.iter();
        later.any(|(later, _)| later.overrules(rule) && later.is_about(channel))
    }

    /// How long a fault takes for a push.
    pub fn span(&self, push: PushId, dist: &Dist) -> std::time::Duration {
        let mut draw = self.seed.draw(Purpose::PushFault, push.0, 0, 0);
        draw.span(dist)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rule(of: Option<Range<u32>>, strikes: Strikes, fault: Fault) -> FaultRule {
        let of = of.map(|of| DeviceId(of.start)..DeviceId(of.end));
        FaultRule { of, strikes, fault }
    }

    fn struck(faults: &mut Faults, device: u32) -> usize {
        let channel = Some(Channel::device(DeviceId(device)));
        let pushes = (0..1000).map(PushId);
        pushes
            .filter(|&push| faults.decide(push, channel).is_some())
            .count()
    }

    #[test]
    fn a_share_of_the_pushes_is_struck_until_another_share_is_set() {
        let mut faults = Faults::none(Seed(7));
        assert_eq!(struck(&mut faults, 3), 0);
        faults.add(rule(Some(0..10), Strikes::Share(1.0), Fault::Drop));
        faults.add(rule(Some(0..10), Strikes::Share(0.3), Fault::Drop));
        assert!((200..400).contains(&struck(&mut faults, 3)));
        assert_eq!(struck(&mut faults, 10), 0);
        faults.add(rule(None, Strikes::Share(0.0), Fault::Drop));
        assert_eq!(struck(&mut faults, 3), 0);
    }

    #[test]
    fn the_nth_push_alone_is_struck() {
        let mut faults = Faults::none(Seed(7));
        faults.add(rule(None, Strikes::Nth(3), Fault::Hang));
        let mut decide = |push| faults.decide(PushId(push), None);
        assert_eq!([decide(0), decide(1)], [None, None]);
        assert_eq!(decide(2), Some(Fault::Hang));
        assert_eq!(decide(3), None);
    }

    #[test]
    fn each_of_several_nth_pushes_is_struck_and_a_share_beside_them() {
        let mut faults = Faults::none(Seed(7));
        let answer = |reason: Reason| Fault::Answer {
            status: reason.status(),
            reason: Some(reason),
        };
        let (gone, busy) = (
            answer(Reason::Unregistered),
            answer(Reason::TooManyRequests),
        );
        faults.add(rule(None, Strikes::Share(1.0), Fault::Drop));
        faults.add(rule(None, Strikes::Nth(2), gone.clone()));
        faults.add(rule(None, Strikes::Nth(3), gone.clone()));
        faults.add(rule(None, Strikes::Nth(3), busy.clone()));
        let mut decide = |push| faults.decide(PushId(push), None);
        assert_eq!(decide(0), Some(Fault::Drop));
        assert_eq!(decide(1), Some(gone));
        assert_eq!(decide(2), Some(busy));
        assert_eq!(decide(3), Some(Fault::Drop));
    }

    #[test]
    fn a_later_share_for_a_cohort_counts_there_instead_of_the_one_for_all() {
        let mut faults = Faults::none(Seed(7));
        faults.add(rule(None, Strikes::Share(1.0), Fault::Drop));
        faults.add(rule(Some(0..5), Strikes::Share(0.0), Fault::Drop));
        assert_eq!(struck(&mut faults, 3), 0);
        assert_eq!(struck(&mut faults, 7), 1000);
    }

    #[test]
    fn a_share_of_nothing_ends_a_fault_whatever_it_answers_or_however_long_it_takes() {
        let mut faults = Faults::none(Seed(7));
        let answer = |reason: Option<Reason>| Fault::Answer {
            status: 503,
            reason,
        };
        // Two answers stand together.
        faults.add(rule(None, Strikes::Share(0.3), answer(None)));
        faults.add(rule(
            None,
            Strikes::Share(0.3),
            answer(Some(Reason::Shutdown)),
        ));
        faults.add(rule(None, Strikes::Nth(5), answer(None)));
        assert!((410..610).contains(&struck(&mut faults, 3)));
        faults.add(rule(None, Strikes::Nth(5), answer(None)));
        faults.add(rule(Some(0..5), Strikes::Share(0.0), answer(None)));
        assert_eq!(struck(&mut faults, 3), 0);
        assert!(struck(&mut faults, 7) > 400);
        // Healing the cohort ends no fault for all: the cohort is spared as before.
        faults.heal(Some(&(DeviceId(0)..DeviceId(5))));
        assert_eq!(struck(&mut faults, 3), 0);
        faults.add(rule(None, Strikes::Share(0.0), answer(None)));
        assert!(faults.is_empty());
        let slow = |secs| Fault::Slow(Dist::Constant(Duration::from_secs(secs)));
        faults.add(rule(Some(0..5), Strikes::Share(1.0), slow(3)));
        faults.add(rule(Some(0..5), Strikes::Share(0.0), slow(9)));
        assert!(faults.is_empty());
    }

    #[test]
    fn the_latest_rule_that_strikes_counts_and_a_cohort_heals_alone() {
        let mut faults = Faults::none(Seed(7));
        let delay = Fault::Delay(Dist::Constant(Duration::from_secs(3)));
        faults.add(rule(None, Strikes::Share(1.0), delay.clone()));
        faults.add(rule(Some(0..5), Strikes::Share(1.0), Fault::Hang));
        let decide = |faults: &mut Faults, device| {
            faults.decide(PushId(0), Some(Channel::device(DeviceId(device))))
        };
        assert_eq!(decide(&mut faults, 2), Some(Fault::Hang));
        assert_eq!(decide(&mut faults, 7), Some(delay.clone()));
        faults.heal(Some(&(DeviceId(0)..DeviceId(5))));
        assert_eq!(decide(&mut faults, 2), Some(delay));
        faults.heal(None);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_push_of_nobody_is_struck_by_rules_about_all() {
        let mut faults = Faults::none(Seed(7));
        faults.add(rule(Some(0..5), Strikes::Share(1.0), Fault::Hang));
        assert_eq!(faults.decide(PushId(0), None), None);
        faults.add(rule(None, Strikes::Share(1.0), Fault::Reset));
        assert_eq!(faults.decide(PushId(0), None), Some(Fault::Reset));
    }
}
