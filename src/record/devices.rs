//! What is known of devices: their conditions, clocks and enrolments.

use crate::condition::Conditions;
use crate::fact::{Broken, Got};
use crate::ids::DeviceId;
use crate::time::SimTime;

use super::Ledger;
use super::cause::situation::{Held, is_clock_wrong};
use super::command::{Ending, Settled};
use super::log::CommandId;

/// What is known of a device that is not as usual.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceRecord {
    pub(super) held: Held,
    pub(super) clock_ahead_ms: i64,
    /// When and why it dropped its management.
    pub(super) unenrolled: Option<Box<(SimTime, String)>>,
    /// The last time it enrolled anew.
    cleared: Option<Cleared>,
}

/// A new enrolment, with which the target forgets what it had for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cleared {
    /// When Authenticate was sent.
    sent: SimTime,
    /// When its 2xx was read.
    read: SimTime,
    /// When that was known.
    seen: SimTime,
}

/// A device of which nothing is known.
static USUAL: DeviceRecord = DeviceRecord {
    held: Held::NOTHING,
    clock_ahead_ms: 0,
    unenrolled: None,
    cleared: None,
};

impl Ledger {
    /// Changes what is known of a device; nothing is kept of one that is as usual.
    pub(super) fn device(&mut self, device: DeviceId, change: impl FnOnce(&mut DeviceRecord)) {
        let record = self.crowd.entry(device).or_default();
        change(record);
        if *record == USUAL {
            self.crowd.remove(&device);
        }
    }

    /// What is known of a device.
    pub(super) fn known(&self, device: DeviceId) -> &DeviceRecord {
        self.crowd.get(&device).unwrap_or(&USUAL)
    }

    /// From `at` on, a device is in `now`.
    pub(super) fn enters(&mut self, device: DeviceId, now: Conditions, at: SimTime) {
        if self.known(device).held.is_eased_by(now) {
            for (_, record) in self.channels.of_device_mut(device) {
                record.eased = at;
            }
        }
        self.device(device, |it| it.held.enter(now, at));
    }

    /// A device has finished enrolling; whether for the first time.
    pub(super) fn enrolls_first(&mut self, device: DeviceId) -> bool {
        let index = device.0 as usize;
        if self.cohort_ends.last().is_none_or(|end| device.0 >= *end) {
            // A log may name whom it will: the table is as long as the plan.
            return false;
        }
        if self.enrolled.len() <= index {
            self.enrolled.resize(index + 1, false);
        }
        self.device(device, |it| it.unenrolled = None);
        !std::mem::replace(&mut self.enrolled[index], true)
    }

    /// A device was let go. Before time zero that is what an earlier run has left: it goes on with
    /// nothing.
    pub(super) fn let_go_early(&mut self, device: DeviceId) {
        let was_enrolled = self.enrolled.get(device.0 as usize) == Some(&true);
        if !was_enrolled || self.snapshots.has_begun() {
            return;
        }
        self.enrolling.left += 1;
        self.enrolling.resumed = self.enrolling.resumed.saturating_sub(1);
        self.devices_of(device, |tally| {
            tally.enrolled = tally.enrolled.saturating_sub(1);
        });
    }

    /// Whether a wrong clock of the device explains that its request came to nothing.
    pub(super) fn is_clocks_fault(&self, device: DeviceId, got: &Got) -> bool {
        is_clock_wrong(self.known(device).clock_ahead_ms)
            && matches!(got, Got::Status(400) | Got::Lost(Broken::Tls(_)))
    }

    /// An Authenticate was accepted. For a device that was enrolled, the target clears its queues
    /// (design section 6): what it had accepted before comes to nothing.
    pub(super) fn authenticated(
        &mut self,
        device: DeviceId,
        (sent, read): (SimTime, SimTime),
        seen: SimTime,
    ) {
        let open = self.open_of(device);
        let was_enrolled = self.enrolled.get(device.0 as usize) == Some(&true);
        if !was_enrolled && open.is_empty() {
            return;
        }
        self.device(device, |it| it.cleared = Some(Cleared { sent, read, seen }));
        for id in open {
            self.cancel_if_cleared(id);
        }
    }

    /// Cancels an open command that the target had before its device enrolled anew.
    pub(super) fn cancel_if_cleared(&mut self, id: CommandId) {
        let device = self.info(id).channel.device;
        let Some(cleared) = self.known(device).cleared else {
            return;
        };
        let had = |at: SimTime| at <= cleared.sent;
        let is_gone = self.open.get(&id).is_some_and(|open| {
            let taken = open
                .marks
                .accepted
                .or_else(|| open.born.map(|(_, read)| read));
            open.settled.is_none() && taken.is_some_and(had)
        });
        if is_gone {
            let ending = Ending::Cancelled;
            let (at, seen) = (cleared.read, cleared.seen.max(cleared.read));
            self.settle(id, Settled { at, seen, ending });
        }
    }

    /// The open commands of all channels of a device.
    fn open_of(&self, device: DeviceId) -> Vec<CommandId> {
        self.channels
            .of_device(device)
            .flat_map(|(_, record)| record.open.iter().copied())
            .collect()
    }
}
