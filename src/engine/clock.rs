//! The only reader of the operating system's clock.
//!
//! It measures with the runtime's instant, which is the system's, so that timers and stamps agree
//! even where a test has paused the runtime's time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::time::{RunEpoch, SimTime, WallTime};

/// The run's ruler: started once, copied to whoever takes stamps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    epoch: RunEpoch,
}

impl Clock {
    /// Begins a run: [`SimTime::ZERO`] is this moment.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            epoch: RunEpoch(wall_now()),
        }
    }

    /// How long the run has lasted.
    pub fn now(self) -> SimTime {
        SimTime::ZERO + Instant::now().saturating_duration_since(self.started)
    }

    /// The wall time at which the run began.
    pub const fn epoch(self) -> RunEpoch {
        self.epoch
    }

    /// The moment `at` for timers; one that lies out of reach is 30 years ahead.
    pub fn instant(self, at: SimTime) -> Instant {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        self.started + at.since(SimTime::ZERO).min(FAR)
    }
}

/// What the operating system's clock shows; never used to measure.
pub fn wall_now() -> WallTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is where the clock is read"
    )]
    let now = SystemTime::now();
    let micros = now.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    });
    WallTime::from_unix_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_becomes_the_moment_it_was_taken_from() {
        let clock = Clock::start();
        let at = clock.now();
        assert_eq!(clock.instant(at) - clock.started, at.since(SimTime::ZERO));
        assert!(clock.now() >= at);
        assert!(clock.instant(SimTime::NEVER) > clock.instant(at));
    }
}
