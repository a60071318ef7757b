//! What the gateway's facts mean for the commands of a channel.

use crate::fact::{FactKind, NoEntry};
use crate::ids::{Channel, PushId};
use crate::time::SimTime;

use super::cause::situation::{LastPush, NoPush, ProviderRefusal, PushFate, Refusal};
use super::log::Moment;
use super::{ChannelRecord, Ledger};

/// Reasons for cutting providers off that are counted apart. They quote what a provider sent, so there
/// may be any number of them.
const CUT_REASONS_MAX: usize = 50;

/// A push as the gateway answered it.
struct Received<'a> {
    push: PushId,
    channel: Option<Channel>,
    arrived: SimTime,
    status: u16,
    reason: Option<&'a String>,
}

impl Ledger {
    /// Takes a fact about a push or a provider.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of fact")]
    pub(super) fn push_fact(&mut self, at: SimTime, kind: &FactKind) {
        match kind {
            FactKind::PushReceived {
                push,
                channel,
                arrived,
                status,
                reason,
            } => self.push_received(&Received {
                push: *push,
                channel: *channel,
                arrived: (*arrived).min(at),
                status: *status,
                reason: reason.as_ref(),
            }),
            FactKind::PushStored { push, channel } => {
                self.pushes.stored += 1;
                let record = self.channel(*channel);
                record.stored = Some(*push);
                record.meets(*push, PushFate::Stored(at));
            }
            FactKind::PushCoalesced {
                push,
                into,
                channel,
            } => {
                self.pushes.coalesced += 1;
                let record = self.channel(*channel);
                if record.stored == Some(*push) {
                    record.stored = Some(*into);
                }
            }
            FactKind::PushDiscarded { push, channel } => {
                self.pushes.discarded += 1;
                let gone = Moment::PushDiscarded(*push);
                self.push_gone(*channel, *push, at, gone, PushFate::Discarded(at));
            }
            FactKind::PushLost { push, channel } => {
                self.pushes.lost += 1;
                let gone = Moment::PushLost(*push);
                self.push_gone(*channel, *push, at, gone, PushFate::Lost(at));
            }
            FactKind::PushDelivered { push, channel, due } => {
                self.pushes.delivered += 1;
                let record = self.channel(*channel);
                record.stored = None;
                record.meets(*push, PushFate::Delivered(at));
                let delivered = Moment::PushDelivered(*push);
                self.planned(*channel, *due, at, Moment::PushDue, delivered);
            }
            FactKind::PushIgnored { push, channel, why } => {
                self.pushes.ignored += 1;
                self.channel(*channel)
                    .meets(*push, PushFate::Ignored(at, *why));
                self.enter(*channel, at, Moment::PushIgnored(*push));
            }
            FactKind::ProviderRefused { why } => match why {
                NoEntry::Certificate(_) | NoEntry::Connect | NoEntry::Service => {
                    let why = why.clone();
                    self.provider = Some(ProviderRefusal { at, why });
                }
                NoEntry::Stray(why) => self.count_cut(why),
            },
            FactKind::PushUnanswered {
                push,
                channel,
                arrived,
                how,
            } => {
                self.pushes.unanswered += 1;
                let arrived = (*arrived).min(at);
                self.let_in(arrived);
                if let Some(channel) = channel {
                    self.channel(*channel).refusal = Some(Refusal {
                        at: arrived,
                        push: *push,
                        answer: NoPush::Unanswered(*how),
                    });
                }
            }
            FactKind::ProviderCut { why } => self.count_cut(why),
            FactKind::Enrolled { .. }
            | FactKind::EnrollmentFailed { .. }
            | FactKind::IdentityStep { .. }
            | FactKind::IdentityObtained { .. }
            | FactKind::Resumed { .. }
            | FactKind::TimeZero
            | FactKind::Condition { .. }
            | FactKind::Clock { .. }
            | FactKind::Unenrolled { .. }
            | FactKind::Refused { .. }
            | FactKind::Cancelled { .. }
            | FactKind::Ordered { .. }
            | FactKind::Offered { .. }
            | FactKind::Accepted { .. }
            | FactKind::Rejected { .. }
            | FactKind::AcceptanceUnknown { .. }
            | FactKind::Woke { .. }
            | FactKind::Exchange { .. }
            | FactKind::Executed { .. }
            | FactKind::DeferralEnded { .. }
            | FactKind::SessionEnded { .. }
            | FactKind::QueueSeen { .. }
            | FactKind::EventReceived { .. }
            | FactKind::EventRefused { .. }
            | FactKind::Violation { .. } => unreachable!("only facts about pushes come here"),
        }
    }

    fn count_cut(&mut self, why: &str) {
        let is_known = self.providers_cut.contains_key(why);
        let why = if is_known || self.providers_cut.len() < CUT_REASONS_MAX {
            why
        } else {
            "another reason"
        };
        *self.providers_cut.entry(why.to_owned()).or_default() += 1;
    }

    fn push_received(&mut self, received: &Received<'_>) {
        let &Received {
            push,
            channel,
            arrived,
            status,
            reason,
        } = received;
        self.let_in(arrived);
        if status == 200 {
            self.pushes.received += 1;
            self.current.counts.pushes += 1;
        } else {
            self.pushes.rejected += 1;
        }
        let Some(channel) = channel else {
            return;
        };
        if status == 200 {
            self.enter(channel, arrived, Moment::PushArrived(push));
            let record = self.channel(channel);
            record.refusal = None;
            let fate = PushFate::Underway;
            // Its delivery may have been recorded before it.
            if record.last_push.is_none_or(|last| last.push < push) {
                record.last_push = Some(LastPush {
                    push,
                    arrived,
                    fate,
                });
            }
        } else {
            self.channel(channel).refusal = Some(Refusal {
                at: arrived,
                push,
                answer: NoPush::Refused {
                    status,
                    reason: reason.cloned(),
                },
            });
        }
    }

    /// Whoever sent a push was let in.
    fn let_in(&mut self, arrived: SimTime) {
        if self.provider.as_ref().is_some_and(|it| it.at <= arrived) {
            self.provider = None;
        }
    }

    /// A push is gone undelivered. One that was not to be stored leaves the stored one in its
    /// place, so for the channel nothing has changed.
    fn push_gone(
        &mut self,
        channel: Channel,
        push: PushId,
        at: SimTime,
        moment: Moment,
        fate: PushFate,
    ) {
        let record = self.channel(channel);
        if record.stored.is_some_and(|stored| stored != push) {
            return;
        }
        record.stored = None;
        record.meets(push, fate);
        self.enter(channel, at, moment);
    }
}

impl ChannelRecord {
    /// Remembers what became of a push, unless it is an older one than the last.
    fn meets(&mut self, push: PushId, fate: PushFate) {
        match &mut self.last_push {
            Some(last) if last.push == push => last.fate = fate,
            Some(last) if last.push > push => {}
            Some(_) | None => {
                let (PushFate::Stored(arrived)
                | PushFate::Delivered(arrived)
                | PushFate::Ignored(arrived, _)
                | PushFate::Discarded(arrived)
                | PushFate::Lost(arrived)) = fate
                else {
                    return;
                };
                self.last_push = Some(LastPush {
                    push,
                    arrived,
                    fate,
                });
            }
        }
    }
}
