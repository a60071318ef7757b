//! The open commands at some moment, each with the cause of its wait.

use std::time::Duration;

use crate::ids::OrderIndex;
use crate::time::SimTime;

use super::account::Pending;
use super::cause::situation::{Failure, FailureKind, Held, Situation};
use super::cause::{Cause, explain};
use super::command::Open;
use super::log::CommandId;
use super::phase::Fold;
use super::settle::fold_so_far;
use super::setup::Orderer;
use super::{ChannelRecord, Ledger, micros, timeline};

/// A target that answers nothing for this long, while requests fail, is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// An open command and its life so far.
pub(super) struct Life {
    pub(super) id: CommandId,
    pub(super) open: Open,
    pub(super) fold: Fold,
}

impl Ledger {
    /// When the target last answered, if it has answered nothing for long before `at` while
    /// requests failed.
    pub(super) fn silence(&self, at: SimTime) -> Option<SimTime> {
        self.silent_since()
            .filter(|since| at.since(*since) >= SILENCE)
            .map(|_| self.last_answer)
    }

    /// The commands that are open at `at`, each a censored sample, oldest order first.
    pub(super) fn pending(&self, at: SimTime) -> Vec<Pending> {
        self.explained(at, |open| {
            let is_over = open.settled.is_some_and(|settled| settled.at <= at);
            let is_due = open.due.is_some_and(|due| due <= at) || open.born.is_some();
            is_due && !is_over
        })
    }

    /// The same at the end of the run, when all that is over has been accounted for.
    pub(super) fn pending_at_end(&self, at: SimTime) -> Vec<Pending> {
        self.explained(at, |open| open.due.is_some() || open.born.is_some())
    }

    fn explained(&self, at: SimTime, is_open: impl Fn(&Open) -> bool) -> Vec<Pending> {
        let silent_since = self.silence(at);
        let mut pending = Vec::new();
        for record in self.channels.values().filter(|it| !it.open.is_empty()) {
            let lives = self.lives(record.open.iter().copied(), record, at, &is_open);
            for life in &lives {
                pending.push(self.pend(life, &lives, record, at, silent_since));
            }
        }
        pending.sort_unstable_by_key(|pending| pending.order);
        pending
    }

    /// Those of a channel's commands `ids` that are open, with their lives until `at`.
    pub(super) fn lives(
        &self,
        ids: impl Iterator<Item = CommandId>,
        record: &ChannelRecord,
        at: SimTime,
        is_open: impl Fn(&Open) -> bool,
    ) -> Vec<Life> {
        let observed = self.setup.orderer == Orderer::Elsewhere;
        ids.filter_map(|id| Some((id, self.open.get(&id).filter(|open| is_open(open))?)))
            .map(|(id, open)| {
                let mut open = Open::clone(open);
                let mut fold = fold_so_far(id, &mut open, &record.log, observed);
                fold.run(record.log.entries(), open.marks, at);
                Life { id, open, fold }
            })
            .collect()
    }

    /// Why one of them waits.
    pub(super) fn pend(
        &self,
        life: &Life,
        lives: &[Life],
        record: &ChannelRecord,
        at: SimTime,
        silent_since: Option<SimTime>,
    ) -> Pending {
        let info = self.info(life.id);
        let situation = Situation {
            ahead: self
                .before(life, lives, at)
                .or_else(|| ahead(life, lives, at)),
            ..self.situation(life, record, at, silent_since)
        };
        let (cause, owner, mut evidence) = explain(&situation);
        if cause == Cause::Unknown {
            let entries = record.log.entries();
            evidence += &format!(": {}", timeline::words(entries, life.open.marks, at));
        }
        let not_now = life.open.not_now.as_ref();
        Pending {
            order: OrderIndex(life.id.0),
            channel: info.channel,
            cohort: info.cohort.0,
            stage: info.stage,
            request: info.request,
            age_micros: micros(life.open.due.unwrap_or(at), at),
            phase: situation.phase,
            owner,
            cause,
            evidence,
            reason: not_now
                .filter(|_| cause.is_not_now())
                .map(|not_now| not_now.why.clone()),
        }
    }

    /// The order whose end the operator waits for before it sends a serial one.
    fn before(
        &self,
        life: &Life,
        lives: &[Life],
        at: SimTime,
    ) -> Option<(OrderIndex, &'static str)> {
        let is_sent = |life: &Life| life.open.marks.offered.is_some_and(|it| it <= at);
        if !self.info(life.id).serial || is_sent(life) {
            return None;
        }
        let sent = lives
            .iter()
            .filter(|other| self.info(other.id).serial && is_sent(other));
        let last = sent.max_by_key(|other| other.open.marks.offered)?;
        Some((OrderIndex(last.id.0), "has to settle first"))
    }

    fn situation<'a>(
        &'a self,
        life: &'a Life,
        record: &'a ChannelRecord,
        at: SimTime,
        silent_since: Option<SimTime>,
    ) -> Situation<'a> {
        let (open, fold) = (&life.open, &life.fold);
        let channel = self.info(life.id).channel;
        let known = self.known(channel.device);
        let (phase, owner) = fold.present();
        let by_then = |mark: Option<SimTime>| mark.filter(|mark| *mark <= at);
        let offered = by_then(open.marks.offered);
        let is_since_offer = |at: SimTime| offered.is_some_and(|offered| at >= offered);
        Situation {
            at,
            channel,
            phase,
            owner,
            offered,
            accepted: by_then(open.marks.accepted),
            was_pushed: fold.was_pushed(),
            was_fetched: fold.was_fetched(),
            is_refused: fold.is_refused(),
            is_pushed_again: fold.is_pushed_again(),
            is_in_session: fold.is_in_session(),
            last_step: last_step(open, record, at),
            withheld: fold.withheld(),
            is_undelivered: fold.is_undelivered(),
            passed_over: fold.passed_over(),
            came_for_nothing: fold.came_for_nothing(),
            push: fold.push(),
            last_push: record
                .last_push
                .as_ref()
                .filter(|last| is_since_offer(last.arrived)),
            enqueue: open.enqueue.as_ref(),
            request: record.failure.as_ref().filter(|failure| {
                is_since_offer(failure.at) && !is_own_fault(failure, &known.held)
            }),
            refusal: record
                .refusal
                .as_ref()
                .filter(|refusal| is_since_offer(refusal.at)),
            push_failed: open.push_failed.as_deref(),
            provider: self.provider.as_ref(),
            held: &known.held,
            clock_ahead_ms: known.clock_ahead_ms,
            unenrolled: known.unenrolled.as_deref(),
            not_now: open.not_now.as_deref(),
            spins: record
                .spin
                .filter(|(command, _)| *command == life.id)
                .map_or(0, |(_, times)| times),
            ahead: None,
            silent_since,
            last_answer: self.last_answer,
        }
    }
}

/// When anything last happened to a command or on its channel.
fn last_step(open: &Open, record: &ChannelRecord, at: SimTime) -> SimTime {
    let entries = record.log.entries().iter().map(|entry| entry.at);
    let others = [open.due, open.marks.offered, open.marks.accepted];
    let others = others.into_iter().flatten().chain([record.eased]);
    let moments = entries.chain(others).filter(|it| *it <= at);
    moments.max().unwrap_or(at)
}

/// A device that is off the network cuts its own requests: not the target's silence.
fn is_own_fault(failure: &Failure, held: &Held) -> bool {
    match failure.kind {
        FailureKind::NoAnswer(_) | FailureKind::Tls(_) | FailureKind::TimedOut => held.is_cut_off(),
        FailureKind::Harness(_) | FailureKind::Status(_) | FailureKind::Unreadable(_) => false,
    }
}

/// The oldest command of the channel that the device has already got, if it stands before `life`,
/// and what it waits for.
fn ahead(life: &Life, lives: &[Life], at: SimTime) -> Option<(OrderIndex, &'static str)> {
    // Facts from after `at` may be here already.
    let offered = life.open.marks.offered.filter(|it| *it <= at)?;
    let oldest = lives
        .iter()
        .filter(|other| other.id != life.id && other.fold.was_fetched())
        .filter(|other| other.open.marks.offered.is_some_and(|it| it <= offered))
        .min_by_key(|other| (other.open.marks.offered, other.id))?;
    let what = if oldest.fold.is_refused() {
        "was answered with NotNow"
    } else if oldest.fold.is_undelivered() {
        "has a result that the target does not take"
    } else {
        "is under way"
    };
    Some((OrderIndex(oldest.id.0), what))
}
