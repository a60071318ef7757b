//! Being in a state and out of it by turns: asleep and awake, offline and online.

use super::timers::Timer;
use super::traits::{Alternation, Traits};

/// Whether a device is in the state, and how its next change is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Never in it by itself.
    Outside,
    /// Out of it until its timer; `changes` numbers the draw.
    Between { changes: u32 },
    /// In it until its timer.
    Inside { changes: u32 },
    /// In it until the timeline says otherwise.
    Held { changes: u32 },
}

impl Presence {
    pub(super) const fn is_inside(self) -> bool {
        matches!(self, Self::Inside { .. } | Self::Held { .. })
    }

    /// The other side, with the next draw.
    pub(super) const fn toggled(self) -> Self {
        match self {
            Self::Between { changes } => Self::Inside {
                changes: changes + 1,
            },
            Self::Inside { changes } => Self::Between {
                changes: changes + 1,
            },
            Self::Outside | Self::Held { .. } => self,
        }
    }

    /// In it until [`Presence::released`].
    pub(super) const fn held(self) -> Self {
        Self::Held {
            changes: self.changes(),
        }
    }

    /// Out of it, with the next draw.
    pub(super) const fn released(self) -> Self {
        Self::Between {
            changes: self.changes() + 1,
        }
    }

    const fn changes(self) -> u32 {
        match self {
            Self::Outside => 0,
            Self::Between { changes } | Self::Inside { changes } | Self::Held { changes } => {
                changes
            }
        }
    }

    /// How the cohort alternates for the deadline `timer`.
    pub(super) const fn shape(traits: &Traits, timer: Timer) -> Option<&Alternation> {
        match timer {
            Timer::Sleep => traits.sleep.as_ref(),
            Timer::Link => traits.offline.as_ref(),
            Timer::Deferral | Timer::Connect | Timer::Execute => None,
        }
    }
}
