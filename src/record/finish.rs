//! The end of a run: what is still open and why, and whether every order is accounted for.

use crate::time::SimTime;

use super::Ledger;
use super::account::Account;
use super::log::CommandId;

impl Ledger {
    /// Closes the books at `at`: every fact has been recorded.
    ///
    /// # Panics
    ///
    /// When orders do not add up: ordered = completed + failed + rejected + cancelled + pending, in
    /// each cohort and stage.
    pub fn finish(mut self, at: SimTime) -> Account {
        self.take_snapshots(at);
        self.take_last_snapshots(at);
        self.explain_slow(at);
        self.slow.stop();
        self.advance(SimTime::NEVER);
        let silent_since = self.silence(at);
        // Facts of an order that was never ordered here.
        let ghosts = self.open.values().filter(|open| {
            let is_ordered = open.due.is_some() || open.born.is_some();
            !is_ordered && open.settled.is_some()
        });
        self.beside.ghost += ghosts.count() as u64;
        let pending = self.pending_at_end(at);
        let lives = self.take_lives(at);
        for open in &pending {
            self.tally(CommandId(open.order.0)).pending += 1;
        }
        for (tallies, cohort) in self.tallies.iter().zip(&self.setup.cohorts) {
            for tally in tallies {
                let name = &cohort.name;
                assert!(
                    tally.is_conserved(),
                    "orders of {name} do not add up: {tally:?}"
                );
            }
        }
        self.enrolling.finish();
        Account {
            at,
            orderer: self.setup.orderer,
            cohorts: self.setup.cohorts,
            stages: self.setup.stages,
            requests: self.setup.requests,
            tallies: self.tallies,
            devices: self.devices,
            providers_cut: self.providers_cut,
            pushes: self.pushes,
            beside: self.beside,
            failures: self.failures,
            snapshots: self.snapshots.taken,
            slow_after: self.slow.limit,
            slow: self.slow.groups,
            histograms: self.histograms,
            slices: self.slices,
            pending,
            lives,
            intervals: self.intervals,
            lateness: self.lateness,
            enrollment: self.enrollment,
            enrolling: self.enrolling,
            target_silent: silent_since.is_some(),
        }
    }
}
