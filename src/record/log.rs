//! What happened on one channel, in order of time, as far back as an open command needs it.
//!
//! A fact that spans time (an exchange, a delivery that was late) becomes one entry per moment, so
//! that a fold meets each moment in order. Facts of several producers arrive slightly out of order;
//! an entry is put where its time says.

use crate::fact::{Broken, Got, ResultStatus, Said, Stamps};
use crate::ids::PushId;
use crate::metric::Owner;
use crate::time::SimTime;

use super::turn::Turn;

/// The ledger's number of a command: the order's index, or one past them for an observed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CommandId(pub(super) u32);

/// One request of a device and its outcome, as far as folds need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Whether it asks for work by Idle, carries a result, or is a check-in.
    pub(super) says: Says,
    /// What came back.
    pub(super) answer: Answer,
    /// Just before its first byte was written, or when it was given up before that.
    pub(super) sent: SimTime,
}

/// What a request said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// A check-in message; its empty answer ends nothing.
    CheckIn,
    /// Status Idle.
    Idle,
    /// A result; `None` for a command nobody here knows.
    Result(Option<CommandId>, ResultStatus),
}

/// What a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 2xx without a body.
    Empty,
    /// 2xx with a command; `None` for one nobody here knows.
    Command(Option<CommandId>),
    /// 2xx with something else.
    Unreadable,
    /// Not delivered, and whose fault that is.
    Failed(Owner),
}

impl Request {
    pub(super) fn carries_result(&self, command: CommandId) -> bool {
        match self.says {
            Says::Result(of, status) => of == Some(command) && status != ResultStatus::NotNow,
            Says::CheckIn | Says::Idle => false,
        }
    }

    pub(super) fn carries_not_now(&self, command: CommandId) -> bool {
        self.says == Says::Result(Some(command), ResultStatus::NotNow)
    }

    pub(super) fn brings(&self, command: CommandId) -> bool {
        self.answer == Answer::Command(Some(command))
    }

    /// Whether it ends its session: the target had nothing more to say.
    pub(super) fn ends_session(&self) -> bool {
        self.answer == Answer::Empty && self.says != Says::CheckIn
    }
}

/// Whose fault a lost answer is. A cut or refused connection is the network's, because the device
/// cannot tell a dead server from a dead line; silence and nonsense on an open one are the target's.
pub(super) fn blame(got: &Got, stamps: &Stamps) -> Option<Owner> {
    match got {
        Got::Empty | Got::Command { .. } | Got::Content { .. } | Got::Unreadable { .. } => None,
        Got::Status(_) => Some(Owner::Target),
        Got::Lost(broken) => Some(match broken {
            // What was never written got lost on the way.
            Broken::TimedOut if stamps.sent.is_none() => Owner::Network,
            Broken::TimedOut | Broken::Malformed(_) | Broken::TooLarge(_) => Owner::Target,
            Broken::Unreachable(_) | Broken::Tls(_) | Broken::Cut(_) => Owner::Network,
            Broken::Harness(_) => Owner::Harness,
        }),
    }
}

/// What a request says, with the ledger's number for the command.
pub(super) fn says(said: &Said, command: Option<CommandId>) -> Says {
    match said {
        Said::Authenticate
        | Said::TokenUpdate
        | Said::CheckOut
        | Said::UserAuthenticate
        | Said::SetBootstrapToken
        | Said::GetBootstrapToken
        | Said::GetToken
        | Said::ReturnToService
        | Said::DeclarativeManagement { .. } => Says::CheckIn,
        Said::Idle => Says::Idle,
        Said::Result { status, .. } => Says::Result(command, *status),
    }
}

/// One moment on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// APNs took a push.
    PushArrived(PushId),
    /// A push should be at the device.
    PushDue,
    /// The device has a push.
    PushDelivered(PushId),
    /// The device ignores a push it has.
    PushIgnored(PushId),
    /// A push is gone undelivered.
    PushDiscarded(PushId),
    /// The gateway lost a push, as the scenario asked.
    PushLost(PushId),
    /// The device should connect.
    WakeDue,
    /// The device decided to connect.
    Woke,
    /// A request is wanted.
    Asked(Request),
    /// The harness let it go.
    Permitted(Request),
    /// Its first byte is about to be written.
    Sent(Request),
    /// Its answer is off the network.
    Read(Request),
    /// The device saw its answer.
    Seen(Request),
    /// A command's answer should be ready.
    ExecutedDue(CommandId),
    /// A command's answer is ready.
    Executed(CommandId),
    /// The reason for a NotNow should be over.
    DeferralDue(CommandId),
    /// It is over; whether the device polls by itself.
    DeferralEnded(CommandId, bool),
    /// The session is over.
    SessionEnded,
}

/// A moment and when it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) at: SimTime,
    pub(super) moment: Moment,
}

/// The moments of one cycle: a push, a wake, two requests, a command, the session's end.
pub(super) const CYCLE: usize = 18;

/// The kept moments of one channel.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Whose turn it was at `floor`, before the first entry.
    pub(super) base: Turn,
    /// Everything before this is folded away; nothing can be entered before it.
    pub(super) floor: SimTime,
    entries: Vec<Entry>,
}

impl Log {
    /// Enters a moment behind everything that is not later.
    pub(super) fn enter(&mut self, at: SimTime, moment: Moment) {
        let at = at.max(self.floor);
        // Nearly every moment is the latest.
        let before = self.entries.iter().rposition(|entry| entry.at <= at);
        let place = before.map_or(0, |before| before + 1);
        self.entries.insert(place, Entry { at, moment });
    }

    /// Enters a request's five moments. The stamps are made monotonic and no later than `seen`, so
    /// that a producer's slip cannot turn time around; `Request::sent` becomes the corrected one.
    /// Returns when its answer was read.
    pub(super) fn enter_request(
        &mut self,
        mut request: Request,
        stamps: &Stamps,
        seen: SimTime,
    ) -> (SimTime, SimTime) {
        let seen = seen.max(self.floor);
        let step = |at: SimTime, after: SimTime| at.max(after).min(seen);
        let asked = step(stamps.asked, self.floor);
        let permitted = step(stamps.permitted, asked);
        let sent = stamps.sent.map(|sent| step(sent, permitted));
        let read = step(stamps.read, sent.unwrap_or(permitted));
        request.sent = sent.unwrap_or(read);
        self.enter(asked, Moment::Asked(request));
        self.enter(permitted, Moment::Permitted(request));
        if let Some(sent) = sent {
            self.enter(sent, Moment::Sent(request));
        }
        self.enter(read, Moment::Read(request));
        self.enter(seen, Moment::Seen(request));
        (request.sent, read)
    }

    /// All entries, oldest first.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The time of the entry in the middle.
    pub(super) fn middle(&self) -> SimTime {
        self.entries
            .get(self.entries.len() / 2)
            .map_or(self.floor, |entry| entry.at)
    }

    /// Drops everything before `until`; whoever still needs it has folded it.
    pub(super) fn drop_before(&mut self, until: SimTime) {
        let count = self.entries.partition_point(|entry| entry.at < until);
        for entry in self.entries.drain(..count) {
            self.base.step(entry.moment);
        }
        self.floor = self.floor.max(until);
    }

    /// Keeps no more room than there are entries.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }
}

/// How many rooms are kept.
const ROOMS_MAX: usize = 1_024;

/// Room of logs that have ended, for those that begin: sessions do so all the time.
#[derive(Debug, Default)]
pub(super) struct Rooms(Vec<Vec<Entry>>);

impl Rooms {
    /// Gives an empty log room for a cycle.
    pub(super) fn furnish(&mut self, log: &mut Log) {
        if log.entries.capacity() == 0 {
            let room = self.0.pop();
            log.entries = room.unwrap_or_else(|| Vec::with_capacity(CYCLE));
        }
    }

    /// Takes the room of a log, if nothing is in it.
    pub(super) fn clear(&mut self, log: &mut Log) {
        if log.entries.is_empty() {
            let room = std::mem::take(&mut log.entries);
            let is_usual = (CYCLE..=2 * CYCLE).contains(&room.capacity());
            if is_usual && self.0.len() < ROOMS_MAX {
                self.0.push(room);
            }
        }
    }
}
