//! When waiting for open orders has no point any more.

use std::time::Duration;

use super::crew::Crew;
use crate::time::SimTime;

/// How far apart two looks must be, so that what was on its way between them is seen.
const LOOKS_APART: Duration = Duration::from_secs(1);

/// What the looks so far have seen.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Since when the operator has had no request in flight.
    operator_idle_since: Option<SimTime>,
    /// Since when no device with an open order has had plans.
    devices_idle_since: Option<SimTime>,
    looked: Option<SimTime>,
}

impl Patience {
    /// Whether no order is open, or no device with an open order has anything planned before
    /// `end`: the latter seen twice, since a push may be on its way between two looks.
    ///
    /// `happenings` are when the timeline does something to pushes or by the operator's hand.
    pub(super) async fn is_over(
        &mut self,
        crew: &Crew,
        end: SimTime,
        happenings: &[SimTime],
    ) -> bool {
        let now = crew.now();
        if !crew.operator_is_idle() {
            *self = Self::default();
            return false;
        }
        let idle_since = *self.operator_idle_since.get_or_insert(now);
        let open = crew.open().await;
        // What the recorder knew before the operator was through says nothing.
        if open.as_of <= idle_since {
            return false;
        }
        if open.devices.is_empty() {
            return true;
        }
        if self.looked.is_some_and(|looked| now < looked + LOOKS_APART) {
            return false;
        }
        self.looked = Some(now);
        let happens = happenings.iter().any(|at| now < *at && *at < end);
        if happens || crew.anyone_has_plans(&open.devices, end).await {
            self.devices_idle_since = None;
            return false;
        }
        now >= *self.devices_idle_since.get_or_insert(now) + LOOKS_APART
    }
}
