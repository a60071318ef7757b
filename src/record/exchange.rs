//! What a device's request and its answer mean for the commands of its channel.

use crate::fact::{Broken, Got, ResultStatus, Said, Stamps};
use crate::ids::Channel;
use crate::metric::Owner;
use crate::time::SimTime;

use super::Ledger;
use super::cause::situation::{Failure, FailureKind};
use super::command::{Ending, Settled};
use super::log::{Answer, CommandId, Request, Says, blame, says};
use super::setup::Orderer;

/// A result a device delivered.
struct Delivered {
    /// The command; `None` for one that nobody here knows.
    command: Option<CommandId>,
    status: ResultStatus,
    read: SimTime,
    seen: SimTime,
}

impl Ledger {
    /// One request of a device and what came back.
    pub(super) fn exchange(
        &mut self,
        channel: Channel,
        said: &Said,
        stamps: &Stamps,
        got: &Got,
        seen: SimTime,
    ) {
        let reported = match said {
            Said::Result { uuid, .. } => uuid.as_ref().and_then(|uuid| self.command(channel, uuid)),
            Said::Idle
            | Said::Authenticate
            | Said::TokenUpdate
            | Said::CheckOut
            | Said::UserAuthenticate
            | Said::SetBootstrapToken
            | Said::GetBootstrapToken
            | Said::GetToken
            | Said::ReturnToService
            | Said::DeclarativeManagement { .. } => None,
        };
        let mut born = None;
        let blamed = self.blamed(channel, got, stamps);
        let answer = match (got, blamed) {
            (_, Some(owner)) => Answer::Failed(owner),
            (Got::Command { uuid, request_type }, None) => {
                if self.setup.orderer == Orderer::Elsewhere {
                    born = self.observe(channel, uuid, request_type);
                }
                Answer::Command(self.command(channel, uuid))
            }
            (Got::Unreadable { .. }, None) => Answer::Unreadable,
            (Got::Empty | Got::Content { .. } | Got::Status(_) | Got::Lost(_), None) => {
                Answer::Empty
            }
        };
        let request = Request {
            says: says(said, reported),
            answer,
            sent: stamps.read,
        };
        let log = self.log(channel);
        let (sent, read) = log.enter_request(request, stamps, seen);
        if let Some(open) = born.and_then(|id| self.open.get_mut(&id)) {
            open.born = Some((sent, read));
        }
        if let Some(id) = born {
            self.slow.watch(id, read);
        }
        self.note_spin(channel, request.says);
        self.note_answer(channel, got, stamps, read);
        if *said == Said::Authenticate && got.is_delivered() {
            self.authenticated(channel.device, (sent, read), seen.max(read));
        }
        if *said == Said::TokenUpdate && got.is_delivered() && channel.user == 0 {
            // The target manages it again.
            self.device(channel.device, |it| it.unenrolled = None);
        }
        if let (Said::Result { status, .. }, true) = (said, got.is_delivered()) {
            self.result(&Delivered {
                command: reported,
                status: *status,
                read,
                seen: seen.max(read),
            });
        }
    }

    /// Whose fault a failed request is. A device whose clock is wrong fails itself; what was lost
    /// before it was sent is not the target's silence.
    fn blamed(&self, channel: Channel, got: &Got, stamps: &Stamps) -> Option<Owner> {
        let owner = blame(got, stamps)?;
        if self.is_clocks_fault(channel.device, got) {
            return Some(Owner::Device);
        }
        let is_unsent = *got == Got::Lost(Broken::TimedOut) && stamps.sent.is_none();
        Some(if is_unsent { Owner::Network } else { owner })
    }

    /// Counts how often in a row a session's one command is refused.
    fn note_spin(&mut self, channel: Channel, says: Says) {
        let record = self.channel(channel);
        record.spin = match (says, record.spin) {
            (Says::Result(Some(id), ResultStatus::NotNow), Some((before, times)))
                if id == before =>
            {
                Some((id, times + 1))
            }
            (Says::Result(Some(id), ResultStatus::NotNow), _) => Some((id, 1)),
            (Says::Result(..) | Says::CheckIn | Says::Idle, _) => None,
        };
    }

    /// Counts how a device's request ended, and remembers it for causes.
    fn note_answer(&mut self, channel: Channel, got: &Got, stamps: &Stamps, read: SimTime) {
        let known = self.known(channel.device);
        let is_own_fault = known.held.is_cut_off() || self.is_clocks_fault(channel.device, got);
        let kind = match got {
            Got::Empty | Got::Command { .. } | Got::Content { .. } | Got::Unreadable { .. } => None,
            Got::Status(status) => Some(FailureKind::Status(*status)),
            Got::Lost(broken) => Some(failure_kind(broken, stamps.sent)),
        };
        match &kind {
            None => self.beside.answered += 1,
            Some(FailureKind::Status(_)) => {
                self.beside.answered += 1;
                self.beside.http_errors += 1;
            }
            Some(
                FailureKind::Unreadable(_)
                | FailureKind::NoAnswer(_)
                | FailureKind::Tls(_)
                | FailureKind::TimedOut,
            ) => self.beside.lost += 1,
            Some(FailureKind::Harness(_)) => self.beside.harness_failures += 1,
        }
        match &kind {
            None | Some(FailureKind::Status(_) | FailureKind::Unreadable(_)) => {
                self.target_answered(read);
            }
            // A device that left the network cut its own request.
            Some(FailureKind::NoAnswer(_) | FailureKind::Tls(_) | FailureKind::TimedOut)
                if !is_own_fault =>
            {
                self.target_failed(read);
            }
            Some(
                FailureKind::NoAnswer(_)
                | FailureKind::Tls(_)
                | FailureKind::TimedOut
                | FailureKind::Harness(_),
            ) => {}
        }
        self.channel(channel).failure = kind.map(|kind| Failure { at: read, kind });
    }

    /// A result reached the target.
    fn result(&mut self, delivered: &Delivered) {
        let ending = match delivered.status {
            ResultStatus::Acknowledged => Ending::Completed,
            ResultStatus::Error | ResultStatus::CommandFormatError => Ending::Failed,
            ResultStatus::NotNow => {
                self.beside.not_now += 1;
                return;
            }
        };
        let Some(id) = delivered.command else {
            self.beside.ghost += 1;
            return;
        };
        self.settle(
            id,
            Settled {
                at: delivered.read,
                seen: delivered.seen,
                ending,
            },
        );
    }
}

/// How a request failed that has no complete answer, if it was `sent`.
pub(super) fn failure_kind(broken: &Broken, sent: Option<SimTime>) -> FailureKind {
    match broken {
        Broken::Unreachable(why) | Broken::Cut(why) => FailureKind::NoAnswer(why.clone()),
        Broken::Tls(why) => FailureKind::Tls(why.clone()),
        Broken::TimedOut if sent.is_some() => FailureKind::TimedOut,
        Broken::TimedOut => FailureKind::NoAnswer("timed out before it was sent".to_owned()),
        Broken::Malformed(why) | Broken::TooLarge(why) => FailureKind::Unreadable(why.clone()),
        Broken::Harness(why) => FailureKind::Harness(why.clone()),
    }
}
