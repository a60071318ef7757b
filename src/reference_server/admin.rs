//! The administrator's side: enqueue and push, in the shape of NanoMDM's API.

use std::sync::Arc;

use super::Server;
use super::answer::Answer;
use super::enrollment::Stage;
use crate::ids::CommandUuid;
use crate::protocol::command::Command;
use crate::protocol::push::Reason;
use crate::time::SimTime;

/// A push that the driver has to send; [`Server::pushed`] is told how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushOrder {
    /// To be handed back with the outcome.
    pub ticket: Ticket,
    /// The enrollment.
    pub id: Arc<str>,
    /// `apns-topic`.
    pub topic: String,
    /// The token.
    pub token: Vec<u8>,
    /// The PushMagic.
    pub magic: String,
}

/// Which push an outcome belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    pub(super) slot: u32,
    epoch: u32,
}

/// How a push went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushResult {
    /// APNs took it.
    Accepted {
        /// `apns-id`.
        apns_id: String,
    },
    /// APNs refused it.
    Refused(Reason),
    /// APNs did not answer, or with something unreadable.
    Failed {
        /// What happened, as a lower-case fragment.
        why: String,
    },
}

/// Whether an enqueued command is announced by a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithPush {
    /// It is.
    Yes,
    /// It waits until the device comes by itself (`?nopush=1`).
    No,
}

/// What became of an administrator's request, and what has to be done before it is answered.
#[derive(Debug)]
pub struct Submission {
    /// The answer. It lacks the outcome of the pushes: [`Answer::pushed`].
    pub answer: Answer,
    /// The pushes to send.
    pub pushes: Vec<PushOrder>,
}

impl Server {
    /// Queues the command in `body` for each of `ids`. An empty body is a push alone.
    pub fn enqueue(
        &mut self,
        now: SimTime,
        ids: &[String],
        body: &[u8],
        with_push: WithPush,
    ) -> Submission {
        if body.is_empty() {
            return self.push(now, ids);
        }
        let command = match Command::decode(body) {
            Ok(command) => command,
            Err(error) => return refusal(error.to_string()),
        };
        let defect = command.defect();
        let (Some(uuid), Some(request_type), None) = (command.uuid, command.request_type, defect)
        else {
            return refusal(defect.unwrap_or_default().to_owned());
        };
        let mut answer = Answer::of_command(uuid.clone(), request_type, with_push);
        let mut pushes = Vec::new();
        let body: Arc<[u8]> = body.into();
        for id in ids {
            if answer.names(id) {
                continue;
            }
            if self.is_past_a_burst(now) {
                answer.fine(id);
                continue;
            }
            let queued = self.managed(id).and_then(|slot| {
                let added = self.add_to(now, slot, &uuid, body.clone());
                added.map(|()| slot).map_err(|error| error.to_string())
            });
            match (queued, with_push) {
                (Err(error), _) => answer.not_queued(id, error),
                (Ok(_), WithPush::No) => answer.fine(id),
                (Ok(slot), WithPush::Yes) => {
                    answer.fine(id);
                    self.push_one(now, id, slot, &mut answer, &mut pushes);
                }
            }
        }
        let pushes = self.hand_to_worker(pushes);
        Submission { answer, pushes }
    }

    /// Pushes each of `ids`, whether or not it has commands.
    pub fn push(&mut self, now: SimTime, ids: &[String]) -> Submission {
        let mut answer = Answer::default();
        let mut pushes = Vec::new();
        for id in ids {
            if answer.names(id) {
                continue;
            }
            match self.managed(id) {
                Ok(slot) => self.push_one(now, id, slot, &mut answer, &mut pushes),
                Err(error) => answer.not_pushed(id, error),
            }
        }
        let pushes = self.hand_to_worker(pushes);
        Submission { answer, pushes }
    }

    /// The open commands of the enrollment `id`, refused ones too, in order of arrival; `None` when
    /// nobody has ever enrolled under it.
    pub fn queue(&self, id: &str) -> Option<Vec<CommandUuid>> {
        let slot = *self.slot_of_id.get(id)?;
        Some(self.enrollments[slot as usize].queue.open_uuids())
    }

    /// Takes a command of the enrollment `id` back. Whether it was open; a device that has it
    /// already may execute it all the same.
    pub fn cancel(&mut self, id: &str, uuid: &CommandUuid) -> bool {
        let Some(&slot) = self.slot_of_id.get(id) else {
            return false;
        };
        let queue = &mut self.enrollments[slot as usize].queue;
        let was_open = queue.cancel(uuid);
        if !queue.has_open() {
            self.set_alarm(slot, None);
        }
        was_open
    }

    /// Takes note of how a push went. A token that APNs calls bad is not used again before the
    /// device sends another; every other failure is tried again in its time.
    pub fn pushed(&mut self, ticket: Ticket, result: &PushResult) {
        self.push_worker.be_free();
        let is_final = match result {
            PushResult::Accepted { .. } | PushResult::Failed { .. } => false,
            PushResult::Refused(reason) => reason.is_final(),
        };
        let enrollment = &mut self.enrollments[ticket.slot as usize];
        let is_current = enrollment.epoch == ticket.epoch;
        if is_final && is_current && matches!(enrollment.stage, Stage::Enabled(_)) {
            enrollment.stage = Stage::Unreachable;
            self.set_alarm(ticket.slot, None);
        }
    }

    /// Orders a push and sets the alarm for the next; `None` when there is nowhere to push to.
    pub(super) fn order_push(&mut self, now: SimTime, slot: u32) -> Option<PushOrder> {
        let enrollment = &self.enrollments[slot as usize];
        let order = match &enrollment.stage {
            Stage::Enabled(target) => Some(PushOrder {
                ticket: Ticket {
                    slot,
                    epoch: enrollment.epoch,
                },
                id: enrollment.id.clone(),
                topic: target.topic.to_string(),
                token: target.token.to_vec(),
                magic: target.magic.to_string(),
            }),
            Stage::Authenticated | Stage::Unreachable | Stage::CheckedOut => None,
        };
        let again = order.is_some() && self.owes_push(slot);
        self.set_alarm(slot, again.then_some(now + self.settings.repush_every));
        order
    }

    fn push_one(
        &mut self,
        now: SimTime,
        id: &str,
        slot: u32,
        answer: &mut Answer,
        pushes: &mut Vec<PushOrder>,
    ) {
        match self.order_push(now, slot) {
            Some(order) => {
                answer.fine(id);
                pushes.push(order);
            }
            None => answer.not_pushed(id, "the device has no valid push token".to_owned()),
        }
    }

    fn managed(&self, id: &str) -> Result<u32, String> {
        let slot = self.slot_of_id.get(id).copied();
        match slot.map(|slot| (slot, self.enrollments[slot as usize].is_managed())) {
            Some((slot, true)) => Ok(slot),
            Some((_, false)) => Err("the device has checked out".to_owned()),
            None => Err("no device is enrolled under this id".to_owned()),
        }
    }
}

fn refusal(error: String) -> Submission {
    Submission {
        answer: Answer::refused(error),
        pushes: Vec::new(),
    }
}
