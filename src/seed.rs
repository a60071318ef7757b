//! One seed, and every die that is thrown with it.
//!
//! A draw is a pure function of (seed, purpose, subject, event, attempt). No generator is stored
//! anywhere, so adding a device or a new kind of draw shifts no other. The generator is ChaCha with
//! 8 rounds, keyed by the five numbers; its output is portable and pinned by a test vector.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::Distribution as _;
use serde::{Deserialize, Serialize};

/// The number that reproduces a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// What a die is thrown for. A new kind of draw is a new variant with a new number, so that it
/// shifts none of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Which device an order goes to.
    OrderTarget = 1,
    /// When orders arrive.
    Arrival = 2,
    /// When a device falls asleep and wakes.
    Sleep = 3,
    /// When a device loses and finds its network.
    Link = 4,
    /// Whether a command is refused with NotNow, and for how long.
    NotNow = 5,
    /// How long a device takes to execute a command.
    Execute = 6,
    /// How long APNs takes to reach a device.
    PushLatency = 7,
    /// How long a device takes from a push to its connection.
    WakeDelay = 8,
    /// How long a device waits before it tries again.
    BackOff = 9,
    /// How the devices of a cohort are spread over a timeline event.
    Spread = 10,
    /// What differs between devices of one model: installed software, free space, battery.
    Traits = 11,
    /// When a condition other than sleep and absence comes and goes.
    Rhythm = 12,
    /// Which devices begin in a condition, or with a wrong clock.
    Begins = 13,
    /// What the network does to a request.
    Trip = 14,
    /// Whether a command fails by a scenario's rule.
    Failure = 15,
    /// Whether a device breaks the protocol by a scenario's rule.
    Misbehaviour = 16,
    /// How long a device takes to boot.
    Boot = 17,
    /// When a clock is set right.
    Resync = 18,
    /// What the simulated network does to a request, a push or an order (`sim`).
    Network = 19,
    /// Which pushes a fault of the push service strikes.
    PushLoss = 20,
    /// How long a fault of the push service takes.
    PushFault = 21,
    /// Which requests a defect of the reference server strikes.
    Defect = 22,
}

impl Seed {
    /// A fresh die for `purpose`; `subject` is usually a device, `event` the n-th thing that
    /// happens to it (an order, a change), `attempt` how often that was tried before.
    pub fn draw(self, purpose: Purpose, subject: u64, event: u64, attempt: u32) -> Draw {
        let mut key = [0_u8; 32];
        key[0..8].copy_from_slice(&self.0.to_le_bytes());
        key[8..12].copy_from_slice(&(purpose as u32).to_le_bytes());
        key[12..20].copy_from_slice(&subject.to_le_bytes());
        key[20..28].copy_from_slice(&event.to_le_bytes());
        key[28..32].copy_from_slice(&attempt.to_le_bytes());
        Draw(ChaCha8Rng::from_seed(key))
    }
}

/// The outcome of one [`Seed::draw`]: a short stream of numbers.
#[derive(Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    /// A number in `0..bound`; zero when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.0.random_range(0..bound)
        }
    }

    /// True with probability `p` (0 to 1).
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A span of time drawn from `dist`.
    pub fn span(&mut self, dist: &Dist) -> Duration {
        dist.sample(self)
    }
}

/// How long something takes. All lengths are non-negative; a sample is whole microseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Dist {
    /// Always the same.
    Constant(Duration),
    /// Evenly between two bounds.
    Uniform {
        /// The shortest.
        low: Duration,
        /// The longest.
        high: Duration,
    },
    /// Log-normal, given by two points people know.
    LogNormal {
        /// Half of the samples are shorter.
        median: Duration,
        /// 95 of 100 samples are shorter; at least the median.
        p95: Duration,
    },
    /// Exponential.
    Exponential {
        /// The mean.
        mean: Duration,
    },
}

/// No sample is longer: 400 days keeps every sum far from overflow.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// The 95th percentile of the standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_2;

impl Dist {
    /// Always zero.
    pub const ZERO: Self = Self::Constant(Duration::ZERO);

    /// One sample, at most 400 days.
    pub fn sample(&self, draw: &mut Draw) -> Duration {
        let seconds = match self {
            Self::Constant(span) => return (*span).min(LONGEST),
            Self::Uniform { low, high } => {
                let (low, high) = (low.as_micros() as u64, high.as_micros() as u64);
                let wide = high.saturating_sub(low).saturating_add(1);
                return Duration::from_micros(low + draw.below(wide)).min(LONGEST);
            }
            Self::LogNormal { median, p95 } => {
                if median.is_zero() {
                    return Duration::ZERO;
                }
                let mu = libm_ln(median.as_secs_f64());
                let sigma = (libm_ln(p95.as_secs_f64()) - mu).max(0.0) / Z95;
                match rand_distr::LogNormal::new(mu, sigma) {
                    Ok(shape) => shape.sample(&mut draw.0),
                    Err(_) => median.as_secs_f64(),
                }
            }
            Self::Exponential { mean } => {
                if mean.is_zero() {
                    return Duration::ZERO;
                }
                match rand_distr::Exp::new(1.0 / mean.as_secs_f64()) {
                    Ok(shape) => shape.sample(&mut draw.0),
                    Err(_) => mean.as_secs_f64(),
                }
            }
        };
        let micros = (seconds.min(LONGEST.as_secs_f64()) * 1e6) as u64;
        Duration::from_micros(micros)
    }
}

/// The natural logarithm from `libm`, so that samples do not depend on the platform's C library.
fn libm_ln(x: f64) -> f64 {
    libm::log(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_pinned_across_versions_and_platforms() {
        let mut draw = Seed(42).draw(Purpose::NotNow, 7, 3, 1);
        let drawn: Vec<u64> = (0..4).map(|_| draw.below(1_000_000)).collect();
        assert_eq!(drawn, PINNED);
    }

    #[test]
    fn draws_for_different_purposes_subjects_events_and_attempts_differ() {
        let first = |p, s, e, a| Seed(1).draw(p, s, e, a).below(u64::MAX);
        let base = first(Purpose::Sleep, 1, 1, 0);
        assert_ne!(base, first(Purpose::Link, 1, 1, 0));
        assert_ne!(base, first(Purpose::Sleep, 2, 1, 0));
        assert_ne!(base, first(Purpose::Sleep, 1, 2, 0));
        assert_ne!(base, first(Purpose::Sleep, 1, 1, 1));
    }

    #[test]
    fn a_log_normal_has_the_median_and_p95_it_was_given() {
        let dist = Dist::LogNormal {
            median: Duration::from_millis(500),
            p95: Duration::from_secs(2),
        };
        let mut spans: Vec<Duration> = (0..4001)
            .map(|i| Seed(9).draw(Purpose::PushLatency, i, 0, 0).span(&dist))
            .collect();
        spans.sort();
        let (median, p95) = (spans[2000].as_secs_f64(), spans[3800].as_secs_f64());
        assert!((0.46..0.54).contains(&median), "median {median}");
        assert!((1.8..2.2).contains(&p95), "p95 {p95}");
    }

    const PINNED: [u64; 4] = [396_819, 300_325, 32_600, 908_656];
}
