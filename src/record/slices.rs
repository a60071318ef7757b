//! How long each phase of one or many commands took, by owner.

use crate::metric::{Owner, Phase};

/// How long each phase took, by owner, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slices {
    micros: [[u64; Owner::ALL.len()]; Phase::ALL.len()],
    /// The push came before the acceptance: dispatch is there and took no time.
    instant_dispatch: bool,
}

/// Slices that are put away: most are empty.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// Those that are not, by their place.
    micros: Box<[(u8, u64)]>,
    instant_dispatch: bool,
}

impl Default for Slices {
    fn default() -> Self {
        Self {
            micros: [[0; Owner::ALL.len()]; Phase::ALL.len()],
            instant_dispatch: false,
        }
    }
}

impl Slices {
    /// Microseconds of `phase` that `owner` is responsible for.
    pub const fn owned(&self, phase: Phase, owner: Owner) -> u64 {
        self.micros[phase as usize][owner as usize]
    }

    /// Microseconds of `phase`; `None` when it did not occur.
    pub fn phase(&self, phase: Phase) -> Option<u64> {
        let sum = self.micros[phase as usize].iter().sum();
        (sum > 0 || (phase == Phase::Dispatch && self.instant_dispatch)).then_some(sum)
    }

    /// Microseconds `owner` is responsible for.
    pub fn owner(&self, owner: Owner) -> u64 {
        self.micros.iter().map(|row| row[owner as usize]).sum()
    }

    /// All microseconds.
    pub fn total(&self) -> u64 {
        self.micros.iter().flatten().sum()
    }

    pub(super) fn pack(&self) -> Packed {
        let places = (0_u8..).zip(self.micros.as_flattened());
        let taken = places.filter(|(_, micros)| **micros > 0);
        Packed {
            micros: taken.map(|(place, micros)| (place, *micros)).collect(),
            instant_dispatch: self.instant_dispatch,
        }
    }

    pub(super) fn unpack(packed: &Packed) -> Self {
        let mut slices = Self {
            instant_dispatch: packed.instant_dispatch,
            ..Self::default()
        };
        for (place, micros) in &packed.micros {
            slices.micros.as_flattened_mut()[usize::from(*place)] = *micros;
        }
        slices
    }

    /// Adds another command's slices.
    pub(super) fn merge(&mut self, other: &Self) {
        for phase in Phase::ALL {
            for owner in Owner::ALL {
                self.add(phase, owner, other.owned(phase, owner));
            }
        }
        self.instant_dispatch |= other.instant_dispatch;
    }

    pub(super) fn add(&mut self, phase: Phase, owner: Owner, micros: u64) {
        self.micros[phase as usize][owner as usize] += micros;
    }

    /// The push came before the acceptance.
    pub(super) const fn dispatch_was_instant(&mut self) {
        self.instant_dispatch = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_away_comes_back() {
        let mut slices = Slices::default();
        slices.add(Phase::Lateness, Owner::ALL[0], 7);
        slices.add(Phase::Settle, Owner::ALL[Owner::ALL.len() - 1], u64::MAX);
        assert_eq!(Slices::unpack(&slices.pack()), slices);
        slices.dispatch_was_instant();
        assert_eq!(Slices::unpack(&slices.pack()), slices);
        assert_eq!(slices.pack().micros.len(), 2);
    }
}
