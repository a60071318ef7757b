//! The commands a device has refused with NotNow, and until when it would refuse them again.
//!
//! The device keeps no copy of a refused command, only that it refused it: the server must send it
//! again (Apple, "Handling NotNow status responses").

use crate::ids::CommandUuid;
use crate::time::SimTime;

/// One refused command.
#[derive(Clone, Debug)]
struct Refused {
    uuid: CommandUuid,
    /// While this is to come the command is refused without another throw of the die;
    /// [`SimTime::NEVER`] once the reason is over.
    until: SimTime,
    /// How often the die was thrown for it.
    attempts: u32,
}

/// How many refused commands a device remembers; the oldest is forgotten first, which means that
/// its next offer throws the die afresh.
const REMEMBERED_MAX: usize = 1024;

/// A device's refused commands, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Deferrals(Vec<Refused>);

impl Deferrals {
    /// Whether the reason to refuse `uuid` still holds.
    pub(super) fn holds(&self, uuid: &CommandUuid, now: SimTime) -> bool {
        self.0
            .iter()
            .any(|r| r.uuid == *uuid && r.until != SimTime::NEVER && r.until > now)
    }

    /// How often the die was thrown for `uuid`.
    pub(super) fn attempts(&self, uuid: &CommandUuid) -> u32 {
        self.0
            .iter()
            .find(|r| r.uuid == *uuid)
            .map_or(0, |r| r.attempts)
    }

    /// Notes that `uuid` is refused until `until`.
    pub(super) fn refuse(&mut self, uuid: &CommandUuid, until: SimTime) {
        if let Some(known) = self.0.iter_mut().find(|r| r.uuid == *uuid) {
            known.until = until;
            known.attempts += 1;
            return;
        }
        if self.0.len() == REMEMBERED_MAX {
            self.0.remove(0);
        }
        self.0.push(Refused {
            uuid: uuid.clone(),
            until,
            attempts: 1,
        });
    }

    /// Forgets `uuid`: it has a terminal result.
    pub(super) fn forget(&mut self, uuid: &CommandUuid) {
        self.0.retain(|r| r.uuid != *uuid);
    }

    /// When the next reason is over.
    pub(super) fn next(&self) -> SimTime {
        self.0
            .iter()
            .map(|r| r.until)
            .min()
            .unwrap_or(SimTime::NEVER)
    }

    /// Takes the commands whose reason is over by `now`, each with when it ended.
    pub(super) fn expire(&mut self, now: SimTime) -> Vec<(CommandUuid, SimTime)> {
        let over = self.0.iter_mut().filter(|r| r.until <= now);
        over.map(|r| {
            (
                r.uuid.clone(),
                std::mem::replace(&mut r.until, SimTime::NEVER),
            )
        })
        .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
