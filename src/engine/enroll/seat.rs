//! The place of an errand among those that enrol at once.
//!
//! A server may have a device wait for minutes (SCEP's PENDING). Others have its place meanwhile, so
//! that a crowd does not stand behind a few that wait.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A place that is had, or given back for a while.
#[derive(Debug)]
pub(in crate::engine) struct Seat {
    places: Arc<Semaphore>,
    /// `None` while somebody else may have it.
    held: RefCell<Option<OwnedSemaphorePermit>>,
}

impl Seat {
    /// Waits for a place.
    pub(in crate::engine) async fn take(places: Arc<Semaphore>) -> Self {
        let held = Some(place(&places).await);
        Self {
            places,
            held: RefCell::new(held),
        }
    }

    /// Lets others have the place for `span`, and then waits for one again. Whoever does so has no
    /// socket: those that have places wait for sockets.
    pub(super) async fn leave_for(&self, span: Duration) {
        drop(self.held.take());
        tokio::time::sleep(span).await;
        let held = place(&self.places).await;
        self.held.replace(Some(held));
    }

    pub(super) fn into_place(self) -> OwnedSemaphorePermit {
        let held = self.held.into_inner();
        held.expect("whoever leaves its place comes back to it")
    }
}

async fn place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let place = Arc::clone(places).acquire_owned().await;
    place.expect("the enrolment semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SCEP server answered a few devices with PENDING, and the whole crowd waited behind them.
    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_server_lets_others_have_its_place() {
        let places = Arc::new(Semaphore::new(1));
        let seat = Seat::take(Arc::clone(&places)).await;
        assert_eq!(places.available_permits(), 0);
        let waits = seat.leave_for(Duration::from_secs(60));
        let other = async {
            let began = tokio::time::Instant::now();
            let other = Seat::take(Arc::clone(&places)).await;
            assert_eq!(began.elapsed(), Duration::ZERO);
            tokio::time::sleep(Duration::from_secs(90)).await;
            drop(other);
        };
        let began = tokio::time::Instant::now();
        tokio::join!(waits, other);
        assert_eq!(began.elapsed(), Duration::from_secs(90));
        drop(seat.into_place());
        assert_eq!(places.available_permits(), 1);
    }
}
