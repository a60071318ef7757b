//! The end of a run: what is still open and why, and whether every order is accounted for.

use std::time::Duration;

use crate::fact::Reach;
use crate::ids::OrderIndex;
use crate::time::SimTime;

use super::account::{Account, Pending};
use super::cause::{Failure, FailureKind, Situation, explain};
use super::command::Open;
use super::log::CommandId;
use super::phase::Fold;
use super::settle::begin;
use super::setup::Orderer;
use super::{Ledger, micros};

/// A target that answers nothing for this long at the end, while requests fail, is gone.
const SILENCE: Duration = Duration::from_secs(10);

impl Ledger {
    /// Closes the books at `at`: every fact has been recorded.
    ///
    /// # Panics
    ///
    /// When orders do not add up: ordered = completed + failed + rejected + cancelled + pending, in
    /// each cohort and stage.
    pub fn finish(mut self, at: SimTime) -> Account {
        self.advance(SimTime::NEVER);
        let silent_since = self
            .silent_since()
            .filter(|since| at.since(*since) >= SILENCE)
            .map(|_| self.last_answer);
        let mut pending = Vec::new();
        for (id, open) in std::mem::take(&mut self.open) {
            if open.due.is_none() && open.born.is_none() {
                // Facts of an order that was never ordered here.
                self.beside.ghost += u64::from(open.settled.is_some());
                continue;
            }
            self.tally(id).pending += 1;
            pending.push(self.pend(id, open, at, silent_since));
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
        Account {
            at,
            orderer: self.setup.orderer,
            cohorts: self.setup.cohorts,
            stages: self.setup.stages,
            requests: self.setup.requests,
            tallies: self.tallies,
            devices: self.devices,
            pushes: self.pushes,
            beside: self.beside,
            histograms: self.histograms,
            slices: self.slices,
            pending,
            intervals: self.intervals,
            lateness: self.lateness,
            enrollment: self.enrollment,
            target_silent: silent_since.is_some(),
        }
    }

    /// An open command as a censored sample, with the cause of its wait.
    fn pend(
        &self,
        id: CommandId,
        mut open: Open,
        at: SimTime,
        silent_since: Option<SimTime>,
    ) -> Pending {
        let info = self.info(id);
        let observed = self.setup.orderer == Orderer::Elsewhere;
        let record = self
            .channels
            .get(&info.channel)
            .expect("a channel with an open command has a record");
        begin(id, &mut open, &record.log, observed);
        let due = open.due.unwrap_or(at);
        let marks = open.marks;
        let mut fold = open.fold.take().expect("the fold was just begun");
        fold.run(record.log.entries(), marks, at);
        let situation = self.situation(id, &open, &fold, at, silent_since);
        let (cause, owner, evidence) = explain(&situation);
        Pending {
            order: OrderIndex(id.0),
            channel: info.channel,
            cohort: info.cohort.0,
            stage: info.stage,
            request: info.request,
            age_micros: micros(due, at),
            phase: situation.phase,
            owner,
            cause,
            evidence,
        }
    }

    fn situation(
        &self,
        id: CommandId,
        open: &Open,
        fold: &Fold,
        at: SimTime,
        silent_since: Option<SimTime>,
    ) -> Situation {
        let channel = self.info(id).channel;
        let record = self.channels.get(&channel);
        let reach = self
            .reach
            .get(&channel.device)
            .copied()
            .unwrap_or(Reach::Online);
        let (phase, owner) = fold.present();
        let offered = open.marks.offered.unwrap_or(SimTime::NEVER);
        // A device that is off the network cuts its own requests: not the target's silence.
        let counts = |failure: &&Failure| match failure.kind {
            FailureKind::NoAnswer(_) => reach != Reach::Offline && failure.at >= offered,
            FailureKind::Harness(_) | FailureKind::Status(_) | FailureKind::Unreadable(_) => {
                failure.at >= offered
            }
        };
        Situation {
            at,
            phase,
            owner,
            accepted: open.marks.accepted,
            was_pushed: fold.was_pushed(),
            was_fetched: fold.was_fetched(),
            is_refused: fold.is_refused(),
            is_pushed_again: fold.is_pushed_again(),
            enqueue: open.enqueue.clone(),
            request: record
                .and_then(|record| record.failure.as_ref())
                .filter(counts)
                .cloned(),
            refusal: record
                .and_then(|record| record.refusal.clone())
                .filter(|refusal| refusal.at >= offered),
            reach,
            silent_since,
        }
    }
}
