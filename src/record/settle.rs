//! Folding lives: of a command that settled, or as far as a log is dropped.

use std::collections::BTreeMap;

use crate::metric::{Metric, Owner, Phase};
use crate::time::SimTime;

use super::command::{Ending, Open, Settled, Stand};
use super::log::{CYCLE, CommandId, Log, Moment};
use super::phase::{Fold, Marks};
use super::setup::Orderer;
use super::{ChannelRecord, Ledger, micros};

/// The longest log of one channel before it is folded: a cycle, or as many pushes that were stored for
/// a device that is away. It is what a log begins with room for.
const LOG_MAX: usize = CYCLE;

impl Ledger {
    /// Folds a settled command's life and forgets it.
    pub(super) fn account_for(&mut self, id: CommandId) {
        let info = self.info(id);
        let Some(mut open) = self.open.remove(&id) else {
            return;
        };
        self.channel(info.channel).open.retain(|other| *other != id);
        let observed = self.setup.orderer == Orderer::Elsewhere;
        let settled = open
            .settled
            .expect("only settled commands are accounted for");
        self.stands[id.0 as usize] = match settled.ending {
            Ending::Completed | Ending::Failed => Stand::Answered,
            Ending::Rejected | Ending::Cancelled => Stand::GivenUp,
        };
        let record = self.channels.of(info.channel);
        let mut fold = fold_so_far(id, &mut open, &record.log, observed);
        let due = open
            .due
            .expect("a command is accounted for once it was ordered");
        fold.run(record.log.entries(), open.marks, settled.at);
        assert_eq!(
            fold.slices().total(),
            micros(due, settled.at),
            "the phases of order {} must add up to its life",
            id.0
        );
        self.keep_life(id, &open, fold.slices());
        self.enter_life(id, settled, &fold);
    }

    /// Enters a folded life into the distributions.
    fn enter_life(&mut self, id: CommandId, settled: Settled, fold: &Fold) {
        let info = self.info(id);
        let (cohort, stage) = (info.cohort.0, info.stage);
        match settled.ending {
            Ending::Rejected | Ending::Cancelled => return,
            Ending::Failed => {}
            Ending::Completed => {
                if let Some((first, last)) = fold.pushes() {
                    let whole = micros(first, settled.at);
                    let since_last = micros(last, settled.at);
                    let histograms = &mut self.histograms;
                    histograms.record(Metric::PushToCompletion, cohort, stage, whole);
                    histograms.record(Metric::LastPushToCompletion, cohort, stage, since_last);
                    histograms.record_request(Metric::PushToCompletion, info.request, whole);
                    self.current.settle(whole);
                } else {
                    self.tally(id).completed_without_push += 1;
                }
            }
        }
        let slices = fold.slices();
        let server_time = slices.owner(Owner::Target);
        self.histograms
            .record(Metric::ServerTime, cohort, stage, server_time);
        for phase in Phase::ALL {
            if let Some(micros) = slices.phase(phase) {
                self.histograms
                    .record(Metric::Phase(phase), cohort, stage, micros);
            }
        }
        self.slices.merge(slices);
    }

    /// Drops what no open command needs, now that nothing before `watermark` is to come.
    pub(super) fn forget(&mut self, watermark: SimTime) {
        let observed = self.setup.orderer == Orderer::Elsewhere;
        for channel in std::mem::take(&mut self.touched) {
            let Some(record) = self.channels.get_mut(channel) else {
                continue;
            };
            record.is_touched = false;
            let is_long = record.log.entries().len() > LOG_MAX;
            if is_long {
                let until = record.log.middle().min(watermark);
                fold_until(record, &mut self.open, until, observed);
                record.log.drop_before(until);
                // It grew to twice the room it needs, and may wait all day.
                record.log.shrink();
            } else if record.open.is_empty() {
                let needed = unanswered_push(&record.log, SimTime::NEVER)
                    .filter(|_| observed)
                    .unwrap_or(watermark);
                record.log.drop_before(needed.min(watermark));
            }
            let is_idle = record.open.is_empty() && record.log.entries().is_empty();
            self.rooms.clear(&mut record.log);
            if is_idle && record.is_as_usual() {
                self.channels.remove(channel);
            } else if is_long || (record.open.is_empty() && !is_idle) {
                record.is_touched = true;
                self.touched.push(channel);
            }
        }
    }
}

/// Folds every open command of a channel through what comes before `until`.
fn fold_until(
    record: &ChannelRecord,
    open: &mut BTreeMap<CommandId, Box<Open>>,
    until: SimTime,
    observed: bool,
) {
    let count = record
        .log
        .entries()
        .partition_point(|entry| entry.at < until);
    for id in &record.open {
        if let Some(open) = open.get_mut(id)
            && (open.due.is_some() || open.born.is_some())
        {
            let mut fold = fold_so_far(*id, open, &record.log, observed);
            let end = open.settled.map_or(until, |settled| settled.at.min(until));
            fold.run(&record.log.entries()[..count], open.marks, end);
            open.fold = Some(Box::new(fold.pack()));
        }
    }
}

/// Takes the fold of a command out of it, or begins one; an observed command is dated on the way.
pub(super) fn fold_so_far(id: CommandId, open: &mut Open, log: &Log, observed: bool) -> Fold {
    if let Some(fold) = open.fold.take() {
        return fold.unpack();
    }
    if let (Some((sent, read)), None) = (open.born, open.due) {
        let begun = unanswered_push(log, read).unwrap_or(sent);
        open.due = Some(begun);
        open.marks = Marks {
            offered: Some(begun),
            accepted: Some(begun),
        };
    }
    let due = open.due.unwrap_or(log.floor);
    Fold::new(id, due, log.base, observed)
}

/// The earliest push up to `until` that no empty answer has followed: what an observed command's
/// life begins with.
fn unanswered_push(log: &Log, until: SimTime) -> Option<SimTime> {
    let mut earliest = None;
    for entry in log.entries().iter().take_while(|entry| entry.at <= until) {
        match entry.moment {
            Moment::PushArrived(_) => earliest = earliest.or(Some(entry.at)),
            Moment::Read(request) if request.ends_session() => earliest = None,
            Moment::PushDue
            | Moment::PushDelivered(_)
            | Moment::PushIgnored(_)
            | Moment::PushDiscarded(_)
            | Moment::PushLost(_)
            | Moment::WakeDue
            | Moment::Woke
            | Moment::Asked(_)
            | Moment::Permitted(_)
            | Moment::Sent(_)
            | Moment::Read(_)
            | Moment::Seen(_)
            | Moment::ExecutedDue(_)
            | Moment::Executed(_)
            | Moment::DeferralDue(_)
            | Moment::DeferralEnded(..)
            | Moment::SessionEnded => {}
        }
    }
    earliest
}
