//! The ruler and wall time, kept apart.
//!
//! [`SimTime`] is the only thing latencies are computed from; [`WallTime`] is what a person or a
//! device would read off a clock. Nothing here reads a clock: a driver hands times in.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time since the run began, in whole microseconds, on one machine.
///
/// Every latency is a difference of two of these. Prints as seconds: `12.040s`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimTime(u64);

impl SimTime {
    /// The beginning of the run.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens; the value of a deadline that is not set.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time `micros` microseconds after the run began.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The time `secs` seconds after the run began.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000)
    }

    /// Microseconds since the run began.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The latest time that can come: a microsecond before [`SimTime::NEVER`].
const LATEST: u64 = u64::MAX - 1;

impl Add<Duration> for SimTime {
    type Output = Self;

    /// Saturates just below [`SimTime::NEVER`], so that a sum is always a time that can come.
    fn add(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros).min(LATEST))
    }
}

impl AddAssign<Duration> for SimTime {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub for SimTime {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("never");
        }
        write!(
            f,
            "{}.{:03}s",
            self.0 / 1_000_000,
            self.0 % 1_000_000 / 1_000
        )
    }
}

/// A moment of civil time: microseconds since the Unix epoch. Never used to measure.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct WallTime(i64);

impl WallTime {
    /// The moment `micros` microseconds after the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The moment `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// The moment `span` earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// RFC 3339 in UTC with milliseconds, `2026-11-20T08:00:00.000Z`.
    pub fn rfc3339(self) -> String {
        let stamp =
            jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        format!("{stamp:.3}")
    }
}

/// The one pair that relates the ruler to civil time: the wall time at [`SimTime::ZERO`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunEpoch(pub WallTime);

impl RunEpoch {
    /// The wall time at `at`.
    pub fn wall(self, at: SimTime) -> WallTime {
        let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
        WallTime(self.0.0.saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_as_seconds_with_milliseconds() {
        assert_eq!(SimTime::from_micros(12_040_999).to_string(), "12.040s");
        assert_eq!(SimTime::NEVER.to_string(), "never");
    }

    #[test]
    fn a_sum_never_reaches_never() {
        assert!(SimTime::from_secs(1) + Duration::MAX < SimTime::NEVER);
    }

    #[test]
    fn wall_time_prints_as_rfc_3339() {
        let wall = RunEpoch(WallTime::from_unix_micros(1_000_000)).wall(SimTime::from_secs(1));
        assert_eq!(wall.rfc3339(), "1970-01-01T00:00:02.000Z");
    }
}
