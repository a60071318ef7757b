//! The lives of single commands, of a device that somebody asks about.

use crate::ids::{Channel, DeviceId, OrderIndex};
use crate::time::SimTime;

use super::Ledger;
use super::command::{Ending, Open};
use super::log::CommandId;
use super::slices::Slices;

/// One command from due to its end, or to the end of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLife {
    /// The order; in observe mode, the number of the received command.
    pub order: OrderIndex,
    /// The channel it is for.
    pub channel: Channel,
    /// Its request type's index.
    pub request: u16,
    /// When it was due.
    pub due: SimTime,
    /// When and how it was over; `None` while it is open.
    pub ended: Option<(SimTime, LifeEnd)>,
    /// What its time was spent on, by phase and owner.
    pub slices: Slices,
}

/// How a command was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeEnd {
    /// Acknowledged.
    Completed,
    /// Error or CommandFormatError.
    Failed,
    /// Refused by the admin API.
    Rejected,
    /// Taken back.
    Cancelled,
}

impl LifeEnd {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<Ending> for LifeEnd {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Completed => Self::Completed,
            Ending::Failed => Self::Failed,
            Ending::Rejected => Self::Rejected,
            Ending::Cancelled => Self::Cancelled,
        }
    }
}

/// The device whose commands' lives are kept, and those that are over.
#[derive(Debug)]
pub(super) struct Followed {
    device: DeviceId,
    lives: Vec<CommandLife>,
}

impl Ledger {
    /// Keeps the life of every command of `device`. Call it before the first fact.
    pub fn follow(&mut self, device: DeviceId) {
        let lives = Vec::new();
        self.followed = Some(Followed { device, lives });
    }

    /// Keeps a life that was folded, if it is one of those that are asked for.
    pub(super) fn keep_life(&mut self, id: CommandId, open: &Open, slices: &Slices) {
        let info = self.info(id);
        let Some(followed) = &mut self.followed else {
            return;
        };
        if followed.device == info.channel.device {
            followed.lives.push(CommandLife {
                order: OrderIndex(id.0),
                channel: info.channel,
                request: info.request,
                due: open.due.unwrap_or_default(),
                ended: open.settled.map(|it| (it.at, it.ending.into())),
                slices: slices.clone(),
            });
        }
    }

    /// The lives that were asked for, by when they began; those of open commands end at `at`.
    pub(super) fn take_lives(&mut self, at: SimTime) -> Vec<CommandLife> {
        let Some(device) = self.followed.as_ref().map(|it| it.device) else {
            return Vec::new();
        };
        let records = self.channels.of_device(device);
        let is_open = |open: &Open| open.due.is_some() || open.born.is_some();
        let open: Vec<_> = records
            .flat_map(|(_, record)| self.lives(record.open.iter().copied(), record, at, is_open))
            .collect();
        for life in open {
            self.keep_life(life.id, &life.open, life.fold.slices());
        }
        let mut lives = self.followed.take().map_or_else(Vec::new, |it| it.lives);
        lives.sort_by_key(|life| (life.due, life.order));
        lives
    }
}
