//! What a device believes the time is. It colours what the device says and checks, and measures
//! nothing (design section 3).

use super::environment::Environment;
use super::traits::ClockTraits;
use crate::time::{SimTime, WallTime};

/// A clock that is not right, or was not once. A right clock is no clock at all.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// When it was last set, rightly or wrongly.
    set_at: SimTime,
    /// How far ahead it was then, in microseconds.
    ahead_us: i64,
    /// When it is set right by itself; [`SimTime::NEVER`] when it is not.
    pub(super) resync_at: SimTime,
    /// Resyncs so far: numbers the draws.
    pub(super) resyncs: u32,
}

impl Clock {
    /// A clock that was set `ahead_us` ahead at `set_at`.
    pub(super) const fn set(set_at: SimTime, ahead_us: i64) -> Self {
        Self {
            set_at,
            ahead_us,
            resync_at: SimTime::NEVER,
            resyncs: 0,
        }
    }

    /// How far ahead of the right time it is, in microseconds; negative when it is behind.
    pub(super) fn ahead_us(&self, env: &Environment, traits: &ClockTraits, now: SimTime) -> i64 {
        let since = now.since(self.set_at).as_micros() as f64 * env.time_scale;
        // As far as a clock can run: whole microseconds, and never out of range.
        let drifted = (since * traits.drift_ppm / 1e6) as i64;
        self.ahead_us.saturating_add(drifted)
    }

    /// Takes another setting, and goes on.
    pub(super) const fn reset(&mut self, now: SimTime, ahead_us: i64) {
        self.set_at = now;
        self.ahead_us = ahead_us;
    }
}

/// What a clock shows that is this far ahead.
pub(super) fn shown(env: &Environment, now: SimTime, ahead_us: i64) -> WallTime {
    let right = env.epoch.wall(now).unix_micros();
    WallTime::from_unix_micros(right.saturating_add(ahead_us))
}

/// How far ahead a clock is that begins again after its battery was flat.
pub(super) fn flat_battery(env: &Environment, now: SimTime) -> i64 {
    ClockTraits::RESET_TO_SECONDS * 1_000_000 - env.epoch.wall(now).unix_micros()
}
