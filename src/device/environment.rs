//! What all devices of a run share: plain data, made once.

use std::sync::Arc;
use std::time::Duration;

use crate::device::traits::Traits;
use crate::ids::{CohortId, Crowd, OrderBook};
use crate::seed::Seed;
use crate::time::{RunEpoch, SimTime};

/// What all devices of a run share.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The seed of every draw.
    pub seed: Seed,
    /// What names and tokens are derived from.
    pub crowd: Crowd,
    /// The topic of the push certificate the devices enrol with.
    pub topic: Arc<str>,
    /// How much faster than real time scenario times pass; 1 on virtual time.
    pub time_scale: f64,
    /// The wall time at the run's beginning.
    pub epoch: RunEpoch,
    /// The time of the scenario's week at time zero, since Monday 00:00: what daily windows count
    /// from.
    pub starts: Duration,
    /// Which order a CommandUUID belongs to.
    pub orders: OrderBook,
    /// Traits by cohort.
    pub cohorts: Vec<Arc<Traits>>,
    /// When a device that is not enrolled yet gives up.
    pub enroll_until: SimTime,
}

impl Environment {
    /// The traits of a cohort.
    pub fn traits(&self, cohort: CohortId) -> &Traits {
        &self.cohorts[usize::from(cohort.0)]
    }

    /// A span of scenario time on the ruler.
    pub fn scaled(&self, span: Duration) -> Duration {
        span.div_f64(self.time_scale)
    }
}
