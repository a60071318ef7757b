//! Every deadline of one channel's agent.

use crate::time::SimTime;

/// Why an agent wants to be woken. In the order in which deadlines of one instant are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A reason for NotNow is over.
    Deferral,
    /// Begins a session: after a push, to enrol, or after a failed request.
    Connect,
    /// A command's answer is ready.
    Execute,
}

/// One instant per [`Timer`]; [`SimTime::NEVER`] when it is not set.
#[derive(Clone, Debug)]
pub(super) struct Timers([SimTime; 3]);

impl Timers {
    const ALL: [Timer; 3] = [Timer::Deferral, Timer::Connect, Timer::Execute];

    pub(super) const fn none() -> Self {
        Self([SimTime::NEVER; 3])
    }

    pub(super) fn set(&mut self, timer: Timer, at: SimTime) {
        self.0[timer as usize] = at;
    }

    /// When it is set for.
    pub(super) const fn of(&self, timer: Timer) -> SimTime {
        self.0[timer as usize]
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.set(timer, SimTime::NEVER);
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> SimTime {
        self.0.iter().copied().min().unwrap_or(SimTime::NEVER)
    }

    /// Takes out the earliest deadline that is not later than `now`.
    pub(super) fn expire(&mut self, now: SimTime) -> Option<(Timer, SimTime)> {
        let timer = Self::ALL
            .into_iter()
            .min_by_key(|&timer| self.0[timer as usize])?;
        let due = self.0[timer as usize];
        if due > now {
            return None;
        }
        self.clear(timer);
        Some((timer, due))
    }
}
