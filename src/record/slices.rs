//! How long each phase of one or many commands took, by owner.

use crate::metric::{Owner, Phase};

/// How long each phase took, by owner, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slices {
    micros: [[u64; Owner::ALL.len()]; Phase::ALL.len()],
    /// The push came before the acceptance: dispatch is there and took no time.
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
