//! The errands of one worker: one task for each device that is on its way to an identity.

use std::rc::Rc;

use tokio::task::JoinSet;

use super::enroll::{Enroller, News, Reports, Trail};
use crate::device::contract::Errand;
use crate::device::traits::Traits;
use crate::ids::DeviceId;

/// The errands of a worker.
#[derive(Debug)]
pub(super) struct Errands {
    enroller: Rc<Enroller>,
    reports: Rc<Reports>,
    tasks: JoinSet<()>,
}

impl Errands {
    pub(super) fn new(enroller: Enroller) -> Self {
        Self {
            enroller: Rc::new(enroller),
            reports: Rc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Where steps and ends come in.
    pub(super) fn reports(&self) -> Rc<Reports> {
        Rc::clone(&self.reports)
    }

    /// Begins an errand of a device with `traits`; its end comes through [`Reports`].
    pub(super) fn set_out(&mut self, errand: Errand, traits: &Traits) {
        let (enroller, reports) = (Rc::clone(&self.enroller), Rc::clone(&self.reports));
        let bearer = enroller.bearer(&errand, traits);
        self.tasks.spawn_local(async move {
            let (clock, seat) = (enroller.clock(), enroller.seat().await);
            let trail = Trail::new(clock, errand.device, seat, Some(Rc::clone(&reports)));
            let obtained = enroller.obtain(&errand, &bearer, &trail).await;
            let place = trail.into_place();
            reports.push(News::Ended(errand.device, errand.id, obtained, place));
        });
    }

    /// A device has enrolled.
    pub(super) fn enrolled(&self, device: DeviceId) {
        self.enroller.enrolled(device);
    }

    /// Forgets finished tasks; a panic in one is passed on.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}
