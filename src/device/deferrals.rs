//! The commands an agent has refused with NotNow, and until when it would refuse them again.
//!
//! The device keeps no copy of a refused command, only that it refused it: the server must send it
//! again (Apple, "Handling NotNow status responses").

use std::sync::Arc;

use crate::condition::Condition;
use crate::ids::CommandUuid;
use crate::time::SimTime;

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// A rule of the scenario, by its number, until a time; [`SimTime::NEVER`] until an event.
    Rule(u8, SimTime),
    /// What the device is in.
    Condition(Condition),
    /// Nothing any more: the next offer is judged afresh.
    Over,
}

/// One refused command.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) uuid: CommandUuid,
    pub(super) request_type: Arc<str>,
    pub(super) because: Because,
    /// How often the die was thrown for it.
    attempts: u32,
}

/// How many refused commands an agent remembers; the oldest is forgotten first, which means that
/// its next offer throws the die afresh.
const REMEMBERED_MAX: usize = 1024;

/// An agent's refused commands, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Deferrals(Vec<Refused>);

impl Deferrals {
    /// Why `uuid` is still refused; `None` when it is not, or not any more.
    pub(super) fn holds(&self, uuid: &CommandUuid, now: SimTime) -> Option<Because> {
        let known = self.0.iter().find(|r| r.uuid == *uuid)?;
        match known.because {
            Because::Rule(_, until) if until > now => Some(known.because),
            Because::Condition(_) => Some(known.because),
            Because::Rule(..) | Because::Over => None,
        }
    }

    /// How often the die was thrown for `uuid`.
    pub(super) fn attempts(&self, uuid: &CommandUuid) -> u32 {
        self.0
            .iter()
            .find(|r| r.uuid == *uuid)
            .map_or(0, |r| r.attempts)
    }

    /// Notes that `uuid` is refused.
    pub(super) fn refuse(&mut self, uuid: &CommandUuid, request_type: &str, because: Because) {
        if let Some(known) = self.0.iter_mut().find(|r| r.uuid == *uuid) {
            known.because = because;
            known.attempts += 1;
            return;
        }
        if self.0.len() == REMEMBERED_MAX {
            self.0.remove(0);
        }
        self.0.push(Refused {
            uuid: uuid.clone(),
            request_type: request_type.into(),
            because,
            attempts: 1,
        });
    }

    /// Forgets `uuid`: it has a terminal result.
    pub(super) fn forget(&mut self, uuid: &CommandUuid) {
        self.0.retain(|r| r.uuid != *uuid);
    }

    /// When the next reason is over that ends at a known time.
    pub(super) fn next(&self) -> SimTime {
        let ends = self.0.iter().map(|r| match r.because {
            Because::Rule(_, until) => until,
            Because::Condition(_) | Because::Over => SimTime::NEVER,
        });
        ends.min().unwrap_or(SimTime::NEVER)
    }

    /// Takes the commands whose reason is over, as `is_over` says, each with when it ended: its
    /// time, or `now`.
    pub(super) fn end(
        &mut self,
        now: SimTime,
        is_over: impl Fn(&Refused) -> bool,
    ) -> Vec<(CommandUuid, SimTime)> {
        let mut ended = Vec::new();
        for refused in &mut self.0 {
            if refused.because == Because::Over || !is_over(refused) {
                continue;
            }
            let due = match refused.because {
                Because::Rule(_, until) => until.min(now),
                Because::Condition(_) | Because::Over => now,
            };
            refused.because = Because::Over;
            ended.push((refused.uuid.clone(), due));
        }
        ended
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
