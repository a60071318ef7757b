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
    /// What else the enrolment profile lays down.
    pub terms: Terms,
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

    /// How many users of a device of this cohort have a channel: none where the server has not said
    /// that it can (Apple, `com.apple.mdm.per-user-connections`).
    pub fn users(&self, cohort: CohortId) -> u8 {
        if self.terms.per_user_connections {
            self.traits(cohort).users
        } else {
            0
        }
    }

    /// A span of scenario time on the ruler.
    pub fn scaled(&self, span: Duration) -> Duration {
        span.div_f64(self.time_scale)
    }
}

/// What an enrolment profile lays down for every device (Apple, `com.apple.mdm` payload).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether devices have to get their identity themselves before Authenticate; otherwise they
    /// were issued one before the run.
    pub obtains: bool,
    /// `SignMessage`: what a device sends is signed, and says what its clock shows.
    pub signs: bool,
    /// `AccessRights`; 8191 is all.
    pub access_rights: u16,
    /// `CheckOutWhenRemoved`.
    pub check_out_when_removed: bool,
    /// `ServerCapabilities` has `com.apple.mdm.per-user-connections`.
    pub per_user_connections: bool,
    /// `ServerCapabilities` has `com.apple.mdm.bootstraptoken`.
    pub bootstrap_token: bool,
    /// `ServerCapabilities` has `com.apple.mdm.token`.
    pub get_token: bool,
    /// Automated enrolment: Setup Assistant waits for DeviceConfigured after the first TokenUpdate.
    pub awaits_configuration: bool,
    /// User enrolment: an EnrollmentID takes the place of UDID and serial number.
    pub is_user_enrollment: bool,
}

impl Default for Terms {
    /// Those of a device that is issued its identity.
    fn default() -> Self {
        Self {
            obtains: false,
            signs: false,
            access_rights: 8191,
            check_out_when_removed: true,
            per_user_connections: true,
            bootstrap_token: true,
            get_token: true,
            awaits_configuration: false,
            is_user_enrollment: false,
        }
    }
}
