//! What a status report does to the queue, and what is offered next.

use std::sync::Arc;

use super::defect::{Defect, Defects};
use super::queue::QueueError;
use super::{Reply, Server};
use crate::ids::CommandUuid;
use crate::protocol::status_report::{Status, StatusReport};
use crate::time::SimTime;

/// How a session goes on once a report is booked.
#[derive(Debug)]
pub(super) enum Next {
    /// With the next command, if there is one.
    Offer,
    /// It ends, whatever is open.
    End,
    /// Nothing is booked, and the device is told this.
    Refuse(Reply),
}

impl Server {
    /// Takes note of what a device says.
    pub(super) fn book(&mut self, now: SimTime, slot: u32, report: &StatusReport) -> Next {
        let defects = self.settings.defects;
        let queue = &mut self.enrollments[slot as usize].queue;
        match (&report.status, &report.uuid) {
            (Status::Idle, _) if defects.has(Defect::NotNowStarves) => queue.shelve_refused(),
            (Status::Idle, _) => queue.begin_session(),
            (Status::NotNow, Some(uuid)) => return self.book_refusal(now, slot, uuid),
            (Status::Acknowledged | Status::Error | Status::CommandFormatError, Some(uuid)) => {
                return self.book_result(now, slot, &report.status, uuid);
            }
            // A result of no command that could be told: nothing to book.
            (
                Status::NotNow | Status::Acknowledged | Status::Error | Status::CommandFormatError,
                None,
            ) => {}
            (Status::Unknown(_), _) => return Next::Refuse(Reply::BAD_REQUEST),
        }
        Next::Offer
    }

    fn book_refusal(&mut self, now: SimTime, slot: u32, uuid: &CommandUuid) -> Next {
        let defects = self.settings.defects;
        let queue = &mut self.enrollments[slot as usize].queue;
        if defects.has(Defect::HeadBlocks) {
            return Next::End;
        }
        if defects.has(Defect::NotNowForgotten) {
            queue.settle_badly(now, defects, uuid);
        } else if !defects.has(Defect::NotNowSpins) {
            queue.refuse(uuid);
        }
        Next::Offer
    }

    fn book_result(
        &mut self,
        now: SimTime,
        slot: u32,
        status: &Status,
        uuid: &CommandUuid,
    ) -> Next {
        let defects = self.settings.defects;
        let queue = &mut self.enrollments[slot as usize].queue;
        if defects.is_empty() {
            queue.settle(uuid);
            return Next::Offer;
        }
        let stays_the_head = *status != Status::Acknowledged && queue.awaits(uuid);
        if stays_the_head && defects.has(Defect::HeadBlocks) {
            return Next::End;
        }
        if queue.is_cursed(uuid) {
            return Next::Refuse(Reply::FAILED);
        }
        queue.settle_badly(now, defects, uuid);
        Next::Offer
    }

    /// The next command of a session, if there is one; `asks` when the device said Idle.
    pub(super) fn offer(&mut self, now: SimTime, slot: u32, asks: bool) -> Option<Arc<[u8]>> {
        let defects = self.settings.defects;
        let queue = &mut self.enrollments[slot as usize].queue;
        if defects.is_empty() {
            queue.offer()
        } else {
            queue.offer_badly(now, defects, asks)
        }
    }

    /// Puts a command into a channel's queue.
    pub(super) fn add_to(
        &mut self,
        now: SimTime,
        slot: u32,
        uuid: &CommandUuid,
        body: Arc<[u8]>,
    ) -> Result<(), QueueError> {
        self.catch_up(now, slot);
        if self.is_wiped(now, slot) {
            return Ok(());
        }
        let defects = self.settings.defects;
        let queue = &mut self.enrollments[slot as usize].queue;
        queue.add(now, uuid, body)?;
        if defects.has(Defect::LosesOnOverlap) || defects.has(Defect::DoublesOnOverlap) {
            queue.begin_write(now);
        }
        if self.trouble.is_cursed(defects) {
            self.enrollments[slot as usize].queue.curse(uuid);
        }
        Ok(())
    }

    /// Ends what a defect left undone in a channel's queue. To be called before the queue is used.
    pub(super) fn catch_up(&mut self, now: SimTime, slot: u32) {
        let defects: Defects = self.settings.defects;
        if !defects.is_empty() {
            self.enrollments[slot as usize].queue.catch_up(now, defects);
        }
    }

    /// Whether a channel has commands that its device has to be pushed for.
    pub(super) fn owes_push(&self, slot: u32) -> bool {
        let queue = &self.enrollments[slot as usize].queue;
        if self.settings.defects.has(Defect::NotNowNeverPushed) {
            queue.has_unrefused()
        } else {
            queue.has_open()
        }
    }
}
