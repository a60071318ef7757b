//! Commands that were open for longer than a limit, whatever became of them: what each waited for
//! when the limit passed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::metric::Owner;
use crate::time::SimTime;

use super::account::Pending;
use super::cause::Cause;
use super::command::Open;
use super::log::CommandId;
use super::{ChannelRecord, Ledger};

/// What commands are told apart by: cohort, request type, why they waited and on whom.
pub type SlowKey = (u16, u16, Cause, Owner);

/// Commands that waited for the same.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowGroup {
    /// How many.
    pub count: u64,
    /// One of them, as it stood when the limit passed.
    pub example: Pending,
}

/// The commands that are watched, and what was seen.
#[derive(Debug, Default)]
pub(super) struct Slow {
    /// `None`: nobody asks.
    pub(super) limit: Option<Duration>,
    /// When each command passes the limit; those that settle earlier are skipped then.
    watched: BTreeSet<(SimTime, CommandId)>,
    pub(super) groups: BTreeMap<SlowKey, SlowGroup>,
}

/// So many of a channel's oldest commands are looked at for one that is in front.
const FRONT_MAX: usize = 64;

impl Slow {
    /// A command is open from `due` on.
    pub(super) fn watch(&mut self, id: CommandId, due: SimTime) {
        if let Some(limit) = self.limit {
            self.watched.insert((due + limit, id));
        }
    }

    /// The run is over: what has not passed the limit never will.
    pub(super) fn stop(&mut self) {
        self.watched.clear();
    }

    /// What passes the limit before `watermark`, earliest first.
    fn passed(&mut self, watermark: SimTime) -> BTreeSet<(SimTime, CommandId)> {
        let later = self.watched.split_off(&(watermark, CommandId(0)));
        std::mem::replace(&mut self.watched, later)
    }
}

impl Ledger {
    /// Explains every command that is open for longer than `limit` on the ruler. Call it before the
    /// first fact.
    pub fn explain_longer_than(&mut self, limit: Duration) {
        self.slow.limit = Some(limit);
    }

    /// Explains what passed the limit before `watermark`. Causes are as of the latest facts.
    pub(super) fn explain_slow(&mut self, watermark: SimTime) {
        for (at, id) in self.slow.passed(watermark) {
            if let Some(pending) = self.explain_one(id, at) {
                let key = (
                    pending.cohort,
                    pending.request,
                    pending.cause,
                    pending.owner,
                );
                let group = self.slow.groups.entry(key).or_insert(SlowGroup {
                    count: 0,
                    example: pending,
                });
                group.count += 1;
            }
        }
    }

    /// Why `id` waits at `at`; `None` when it does not.
    fn explain_one(&self, id: CommandId, at: SimTime) -> Option<Pending> {
        let is_open = |open: &Open| open.settled.is_none_or(|settled| settled.at > at);
        self.open.get(&id).filter(|open| is_open(open))?;
        let record = self.channels.get(self.info(id).channel)?;
        let lives = self.lives(in_front(record, id), record, at, is_open);
        let life = lives.iter().find(|life| life.id == id)?;
        Some(self.pend(life, &lives, record, at, self.silence(at)))
    }
}

/// The oldest commands of a channel, and `id`.
fn in_front(record: &ChannelRecord, id: CommandId) -> impl Iterator<Item = CommandId> {
    let front = &record.open[..record.open.len().min(FRONT_MAX)];
    let itself = (!front.contains(&id)).then_some(id);
    front.iter().copied().chain(itself)
}
