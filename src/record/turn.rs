//! Who holds a channel's session at a moment: the device, the target, the line or the harness.

use super::log::{Answer, Moment, Request};

/// A channel's session, and which planned steps of it are overdue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Who holds it.
    pub(super) holder: Holder,
    /// A push should be at the device, and our timer has not fired.
    pub(super) push_overdue: bool,
    /// The device should have connected, and our timer has not fired.
    pub(super) wake_overdue: bool,
}

/// Who holds the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody: there is no session.
    #[default]
    Nobody,
    /// A request waits for the harness's permit.
    Permit(Request),
    /// A request's connection is made, or the request is about to be written.
    Connection(Request),
    /// A request is with the target.
    Target(Request),
    /// An answer waits for the device in our mailbox.
    Mailbox(Request),
    /// The device works on what it got.
    Device,
}

impl Turn {
    /// Whether there is no session and nothing is overdue.
    pub(super) fn is_resting(self) -> bool {
        self == Self::default()
    }

    /// The turn after `moment`.
    pub(super) fn step(&mut self, moment: Moment) {
        match moment {
            Moment::PushDue => self.push_overdue = true,
            Moment::PushDelivered(_) => self.push_overdue = false,
            Moment::WakeDue => self.wake_overdue = true,
            Moment::Woke => self.wake_overdue = false,
            Moment::Asked(request) => self.holder = Holder::Permit(request),
            Moment::Permitted(request) => self.holder = Holder::Connection(request),
            Moment::Sent(request) => self.holder = Holder::Target(request),
            Moment::Read(request) => self.holder = Holder::Mailbox(request),
            Moment::Seen(request) => self.holder = after(request),
            Moment::SessionEnded => self.holder = Holder::Nobody,
            Moment::PushArrived(_)
            | Moment::PushIgnored(_)
            | Moment::PushDiscarded(_)
            | Moment::PushLost(_)
            | Moment::ExecutedDue(_)
            | Moment::Executed(_)
            | Moment::DeferralDue(_)
            | Moment::DeferralEnded(..) => {}
        }
    }
}

/// Who holds the session once the device has seen the answer to `request`.
fn after(request: Request) -> Holder {
    match request.answer {
        Answer::Command(_) | Answer::Unreadable => Holder::Device,
        Answer::Empty if request.ends_session() => Holder::Nobody,
        Answer::Empty => Holder::Device,
        Answer::Failed(_) => Holder::Nobody,
    }
}
