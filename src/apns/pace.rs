//! How often a token may be pushed to before APNs answers 429 TooManyRequests.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::Channel;
use crate::time::SimTime;

/// The pushes to each channel in its present span; a span begins with its first push.
#[derive(Debug)]
pub(super) struct Pace {
    pushes: u32,
    per: Duration,
    /// When a channel's span began and how many pushes were let in since. Bounded by the crowd.
    spans: BTreeMap<Channel, (SimTime, u32)>,
}

impl Pace {
    pub(super) const fn new(pushes: u32, per: Duration) -> Self {
        let spans = BTreeMap::new();
        Self { pushes, per, spans }
    }

    /// Whether a push may be let in at `now`; if so, it counts.
    pub(super) fn allows(&mut self, channel: Channel, now: SimTime) -> bool {
        let (began, count) = self.spans.entry(channel).or_insert((now, 0));
        if now.since(*began) >= self.per {
            (*began, *count) = (now, 0);
        }
        if *count >= self.pushes {
            return false;
        }
        *count += 1;
        true
    }
}
