//! What is kept of one channel, and the way to its log.

use crate::ids::{Channel, PushId};
use crate::time::SimTime;

use super::cause::situation::{Failure, LastPush, Refusal};
use super::histogram::sample;
use super::log::{CommandId, Log, Moment};
use super::{Ledger, micros};

/// What is kept of one channel.
#[derive(Debug, Default)]
pub(super) struct ChannelRecord {
    pub(super) log: Log,
    /// Whether it is among those that are touched.
    pub(super) is_touched: bool,
    pub(super) open: Vec<CommandId>,
    /// Whether and why the last push was refused.
    pub(super) refusal: Option<Refusal>,
    /// The last push that was taken.
    pub(super) last_push: Option<LastPush>,
    /// The push that APNs keeps for it.
    pub(super) stored: Option<PushId>,
    /// The command that was refused last in this session, and how often in a row.
    pub(super) spin: Option<(CommandId, u32)>,
    /// Whether and how the last request failed.
    pub(super) failure: Option<Failure>,
    /// When its device was last rid of a condition, if a command was open then.
    pub(super) eased: SimTime,
}

impl ChannelRecord {
    /// Its log may soon have something to drop.
    fn touch(&mut self, channel: Channel, touched: &mut Vec<Channel>) {
        if !self.is_touched {
            self.is_touched = true;
            touched.push(channel);
        }
    }

    /// Whether nothing is known of the channel that still matters once no command is open.
    pub(super) fn is_as_usual(&self) -> bool {
        self.log.base.is_resting() && self.refusal.is_none() && self.failure.is_none()
    }
}

impl Ledger {
    /// What is kept of a channel, which from now on is touched.
    pub(super) fn channel(&mut self, channel: Channel) -> &mut ChannelRecord {
        let record = self.channels.of(channel);
        record.touch(channel, &mut self.touched);
        record
    }

    /// The log of a channel, with room in it.
    pub(super) fn log(&mut self, channel: Channel) -> &mut Log {
        let record = self.channels.of(channel);
        record.touch(channel, &mut self.touched);
        self.rooms.furnish(&mut record.log);
        &mut record.log
    }

    /// Enters a moment into the log of a channel.
    pub(super) fn enter(&mut self, channel: Channel, at: SimTime, moment: Moment) {
        self.log(channel).enter(at, moment);
    }

    /// Enters a step of a device that was planned for `due` and happened at `at`.
    pub(super) fn planned(
        &mut self,
        channel: Channel,
        due: SimTime,
        at: SimTime,
        late: Moment,
        happened: Moment,
    ) {
        sample(&mut self.lateness, micros(due, at));
        self.enter(channel, due.min(at), late);
        self.enter(channel, at, happened);
    }
}
