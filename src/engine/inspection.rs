//! The target's queues, looked into once orders are over: what it says of itself, to be compared with
//! what devices know.
//!
//! It is a look and no part of the run: it is bounded in number and time, and what cannot be had is
//! told and changes nothing else.

use std::cell::Cell;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::oneshot;

use super::adapter::View;
use super::operator::Operator;
use crate::fact::FactKind;
use crate::ids::{Channel, DeviceId};
use crate::plan::Plan;

/// How many queues are looked into: enough to show what is systematic, and a second or so of a slow
/// admin API's time.
pub(super) const QUEUES_MAX: usize = 1000;

/// How long the look may take in all.
const INSPECTION_MAX: Duration = Duration::from_secs(5);

/// What the operator is to look into, and who wants to know how that went.
#[derive(Debug)]
pub(super) struct Inspection {
    /// Whose queues.
    pub(super) channels: Vec<Channel>,
    /// Told why not all of them were seen; `None` when they were.
    pub(super) done: oneshot::Sender<Option<String>>,
}

/// The channels whose queues are looked into: all of `open`'s devices that had orders, then an even
/// sample of the others, at most [`QUEUES_MAX`]. `open` is in ascending order.
pub(super) fn worth_a_look(plan: &Plan, open: &[DeviceId]) -> Vec<Channel> {
    let mut channels: Vec<Channel> = plan.orders.iter().map(|order| order.channel).collect();
    channels.sort_unstable();
    channels.dedup();
    let is_open = |channel: &Channel| open.binary_search(&channel.device).is_ok();
    let (open, others): (Vec<_>, Vec<_>) = channels.into_iter().partition(is_open);
    let mut chosen = evenly(&open, QUEUES_MAX);
    let room = QUEUES_MAX - chosen.len();
    chosen.extend(evenly(&others, room));
    chosen
}

/// At most `max` of `all`, from beginning to end alike.
fn evenly(all: &[Channel], max: usize) -> Vec<Channel> {
    let taken = all.len().min(max);
    (0..taken).map(|it| all[it * all.len() / taken]).collect()
}

impl Operator {
    /// Looks into the queues of `channels`, as far as the target tells of them. Why not all were
    /// seen, as a sentence; `None` when they were, or when the product tells nobody.
    pub(super) async fn inspect(&self, channels: &[Channel]) -> Option<String> {
        if !self.adapter.shows_queues() {
            return None;
        }
        let seen = Cell::new(0_usize);
        let looking = async {
            let looks = futures_util::stream::iter(channels).map(|it| self.look(*it));
            // The operator's places keep it within what the scenario allows at once.
            let mut looks = looks.buffer_unordered(QUEUES_MAX);
            while let Some(look) = looks.next().await {
                look?;
                seen.set(seen.get() + 1);
                if self.scribe.borrow().is_full() {
                    self.flush().await;
                }
            }
            Ok::<_, super::adapter::client::AdminError>(())
        };
        let why = match tokio::time::timeout(INSPECTION_MAX, looking).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{} seconds were over", INSPECTION_MAX.as_secs()),
        };
        let (seen, all) = (seen.get(), channels.len());
        tracing::warn!(why, seen, all, "the target's queues were not all seen");
        Some(format!(
            "The target's queues were to be compared with what devices know, but only {seen} of \
             {all} were seen: {why}."
        ))
    }

    async fn look(&self, channel: Channel) -> Result<(), super::adapter::client::AdminError> {
        let _place = self.place().await;
        let asked = Cell::new(self.clock.now());
        let id = self.enrollment_id(channel);
        let view = self.adapter.queue(&id, &|at| asked.set(at)).await?;
        if let Some(view) = view {
            let View {
                open,
                names_refused,
            } = view;
            self.note(FactKind::QueueSeen {
                channel,
                asked: asked.get(),
                open,
                names_refused,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(count: u32) -> Vec<Channel> {
        (0..count)
            .map(|device| Channel::device(DeviceId(device)))
            .collect()
    }

    #[test]
    fn a_sample_is_even_and_reaches_over_all() {
        let taken: Vec<u32> = evenly(&channels(10), 4)
            .iter()
            .map(|it| it.device.0)
            .collect();
        assert_eq!(taken, [0, 2, 5, 7]);
        assert_eq!(evenly(&channels(3), 4), channels(3));
        assert_eq!(evenly(&channels(3), 0), []);
        assert_eq!(evenly(&[], 4), []);
    }
}
