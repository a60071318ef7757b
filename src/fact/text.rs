//! How much of a text is kept. A server may say anything at any length, and what it says is kept with a
//! command or a device until the run is over, so a fact has the beginning of a long text and its length.

use super::{Broken, ErrorEnds, FactKind, Got, NoEntry, Said, ServerEvent, ServerPush};
use crate::ids::CommandUuid;

/// The longest text of a fact, in bytes; of a longer one the beginning is kept, and how long it was.
pub const TEXT_MAX: usize = 1024;

impl FactKind {
    /// Cuts every text to [`TEXT_MAX`], and leaves out of a queue what no command can be called.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        match &mut self {
            Self::EnrollmentFailed { reason: text, .. }
            | Self::Unenrolled { why: text, .. }
            | Self::Rejected { reason: text, .. }
            | Self::EventRefused { why: text, .. }
            | Self::ProviderCut { why: text }
            | Self::Refused { why: text, .. }
            | Self::Violation { what: text, .. } => shorten(text),
            Self::IdentityStep { failed, .. } => {
                if let Some(refusal) = failed {
                    shorten(&mut refusal.name);
                    shorten(&mut refusal.what);
                }
            }
            Self::Accepted { push, .. } => {
                if let ServerPush::Failed(why) = push {
                    shorten(why);
                }
            }
            Self::AcceptanceUnknown { why, .. } => why.shorten(),
            Self::QueueSeen { open, .. } => {
                open.retain(|uuid| uuid.0.len() <= CommandUuid::BYTES_MAX);
            }
            Self::EventReceived { event, .. } => {
                if let ServerEvent::Other(name) = event {
                    shorten(name);
                }
            }
            Self::PushReceived { reason, .. } => {
                if let Some(reason) = reason {
                    shorten(reason);
                }
            }
            Self::ProviderRefused { why } => match why {
                NoEntry::Certificate(why) | NoEntry::Stray(why) => shorten(why),
                NoEntry::Connect | NoEntry::Service => {}
            },
            Self::Exchange { said, got, .. } => {
                if let Said::DeclarativeManagement { endpoint } = said {
                    shorten(endpoint);
                }
                got.shorten();
            }
            Self::Executed { error, .. } => {
                if let Some(ends) = error {
                    ends.shorten();
                }
            }
            Self::Enrolled { .. }
            | Self::IdentityObtained { .. }
            | Self::Resumed { .. }
            | Self::TimeZero
            | Self::Condition { .. }
            | Self::Clock { .. }
            | Self::Ordered { .. }
            | Self::Offered { .. }
            | Self::Cancelled { .. }
            | Self::PushStored { .. }
            | Self::PushCoalesced { .. }
            | Self::PushDiscarded { .. }
            | Self::PushDelivered { .. }
            | Self::PushLost { .. }
            | Self::PushUnanswered { .. }
            | Self::PushIgnored { .. }
            | Self::Woke { .. }
            | Self::DeferralEnded { .. }
            | Self::SessionEnded { .. } => {}
        }
        self
    }
}

impl ErrorEnds {
    fn shorten(&mut self) {
        shorten(&mut self.top.domain);
        if let Some(deepest) = &mut self.deepest {
            shorten(&mut deepest.domain);
        }
    }
}

impl Got {
    fn shorten(&mut self) {
        match self {
            Self::Command { request_type, .. } => shorten(request_type),
            Self::Unreadable { what } => shorten(what),
            Self::Lost(broken) => broken.shorten(),
            Self::Empty | Self::Content { .. } | Self::Status(_) => {}
        }
    }
}

impl Broken {
    fn shorten(&mut self) {
        match self {
            Self::Unreachable(why)
            | Self::Tls(why)
            | Self::Cut(why)
            | Self::Malformed(why)
            | Self::TooLarge(why)
            | Self::Harness(why) => shorten(why),
            Self::TimedOut => {}
        }
    }
}

fn shorten(text: &mut String) {
    let length = text.len();
    if length <= TEXT_MAX {
        return;
    }
    let is_whole = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=TEXT_MAX).rev().find(is_whole).unwrap_or_default();
    // A new text: the old one has room for all that it was.
    *text = format!("{}... ({length} bytes)", &text[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Channel, OrderIndex};
    use crate::time::SimTime;

    #[test]
    fn a_long_text_is_cut_between_characters_and_tells_its_length() {
        let order = OrderIndex(0);
        let failed = |why: String| FactKind::Accepted {
            order,
            push: ServerPush::Failed(why),
        };
        let short = failed("é".repeat(TEXT_MAX / 2));
        assert_eq!(short.clone().shortened(), short);
        let cut = format!("x{}... (4000001 bytes)", "é".repeat(TEXT_MAX / 2 - 1));
        let long = failed(format!("x{}", "é".repeat(2_000_000)));
        assert_eq!(long.shortened(), failed(cut));
    }

    #[test]
    fn a_queue_has_no_names_that_no_command_can_have() {
        let queue = |names: &[usize]| FactKind::QueueSeen {
            channel: Channel::default(),
            asked: SimTime::ZERO,
            open: names
                .iter()
                .map(|length| CommandUuid("x".repeat(*length).into()))
                .collect(),
            names_refused: true,
        };
        let longest = CommandUuid::BYTES_MAX;
        let seen = queue(&[36, longest, longest + 1]);
        assert_eq!(seen.shortened(), queue(&[36, longest]));
    }
}
