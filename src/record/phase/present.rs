//! The phase a command is in at the cursor, and whose it is: by the channel's turn and its own step.

use crate::metric::{Owner, Phase};
use crate::record::log::Request;
use crate::record::turn::Holder;

use super::{Fold, Push, Step};

/// The harness's time, which is nobody else's.
const HARNESS: (Phase, Owner) = (Phase::Harness, Owner::Harness);

impl Fold {
    /// The phase the command is in at the cursor, and who is responsible for it.
    pub(in crate::record) fn present(&self) -> (Phase, Owner) {
        if let Some(slice) = self.own_request() {
            return slice;
        }
        match self.step {
            Step::Waiting { .. } if self.offered.is_none() => (Phase::Lateness, Owner::Operator),
            Step::Waiting { .. } if self.push == Push::Absent => match self.accepted {
                Some(_) => (Phase::Dispatch, Owner::Target),
                None => (Phase::Queue, Owner::Target),
            },
            Step::Waiting { retry } => self.underway(retry),
            Step::Executing => match self.turn.holder {
                Holder::Connection(_) => (Phase::Wake, Owner::Network),
                Holder::Nobody
                | Holder::Permit(_)
                | Holder::Target(_)
                | Holder::Mailbox(_)
                | Holder::Device => (Phase::Execute, Owner::Device),
            },
            Step::ExecutedLate | Step::DeferredLate => HARNESS,
            Step::Ready => self.ready_to_send(),
            Step::Undelivered(_) if self.turn.wake_overdue => HARNESS,
            Step::Undelivered(owner) => retry(owner),
            Step::Deferred => (Phase::Deferral, Owner::Device),
            Step::ReturnByDevice => self.returning(),
            Step::ReturnByTarget(_) => (Phase::ReturnTarget, Owner::Target),
        }
    }

    /// The slice of a request that brings this command or carries its answer.
    fn own_request(&self) -> Option<(Phase, Owner)> {
        match self.turn.holder {
            Holder::Target(request) if request.carries_result(self.command) => {
                Some((Phase::Settle, Owner::Target))
            }
            Holder::Target(request) if request.brings(self.command) && !self.is_deferred() => {
                Some((Phase::Fetch, Owner::Target))
            }
            Holder::Permit(request) | Holder::Mailbox(request) if self.concerns(request) => {
                Some(HARNESS)
            }
            Holder::Nobody
            | Holder::Permit(_)
            | Holder::Connection(_)
            | Holder::Target(_)
            | Holder::Mailbox(_)
            | Holder::Device => None,
        }
    }

    /// The answer is ready and no request carries it yet.
    const fn ready_to_send(&self) -> (Phase, Owner) {
        match self.turn.holder {
            Holder::Nobody if self.turn.wake_overdue => HARNESS,
            Holder::Nobody => (Phase::Retry, Owner::Device),
            Holder::Permit(_) | Holder::Mailbox(_) => HARNESS,
            Holder::Connection(_) => (Phase::Wake, Owner::Network),
            Holder::Target(_) => (Phase::Line, Owner::Target),
            Holder::Device => (Phase::Execute, Owner::Device),
        }
    }

    /// The reason for NotNow is over, and the device polls by itself.
    const fn returning(&self) -> (Phase, Owner) {
        match self.turn.holder {
            Holder::Nobody if self.turn.wake_overdue => HARNESS,
            Holder::Permit(_) => HARNESS,
            Holder::Connection(_) => (Phase::Wake, Owner::Network),
            Holder::Nobody | Holder::Target(_) | Holder::Mailbox(_) | Holder::Device => {
                (Phase::ReturnDevice, Owner::Device)
            }
        }
    }

    /// Whether the harness holding `request` up holds this command up, beyond what the session's
    /// turn says of every command that waits in line.
    fn concerns(&self, request: Request) -> bool {
        let brings = request.brings(self.command) && self.fetched && !self.is_deferred();
        let carries_refusal = request.carries_not_now(self.command) && self.step == Step::Executing;
        brings || carries_refusal || request.carries_result(self.command)
    }

    const fn is_deferred(&self) -> bool {
        matches!(self.step, Step::Deferred | Step::DeferredLate)
    }

    /// The wait of a command whose push is under way, or has brought the device here.
    fn underway(&self, failure: Option<Owner>) -> (Phase, Owner) {
        match self.turn.holder {
            Holder::Permit(_) | Holder::Mailbox(_) => HARNESS,
            Holder::Connection(_) => (Phase::Wake, Owner::Network),
            Holder::Target(_) => (Phase::Line, Owner::Target),
            Holder::Device => (Phase::Line, Owner::Device),
            Holder::Nobody => match (self.push, failure) {
                (Push::Taken, _) if self.turn.push_overdue => HARNESS,
                (Push::Absent | Push::Lost | Push::Delivered(_), _) if self.turn.wake_overdue => {
                    HARNESS
                }
                (Push::Taken, None) => (Phase::Delivery, Owner::Device),
                (Push::Lost, None) => (Phase::Delivery, Owner::Apns),
                (_, Some(owner)) => retry(owner),
                (Push::Absent | Push::Delivered(_), None) => (Phase::Wake, Owner::Device),
            },
        }
    }
}

/// Waiting for another attempt after one that `owner` is to blame for.
const fn retry(owner: Owner) -> (Phase, Owner) {
    match owner {
        Owner::Harness => HARNESS,
        Owner::Target | Owner::Device | Owner::Network | Owner::Apns | Owner::Operator => {
            (Phase::Retry, owner)
        }
    }
}
