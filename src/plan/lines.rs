//! Serial orders: a device's next one waits until its last one settled.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{Channel, OrderIndex};

/// Orders that wait for their device's previous one.
#[derive(Clone, Debug, Default)]
pub struct Lines(BTreeMap<Channel, VecDeque<OrderIndex>>);

impl Lines {
    /// Whether `order` may go now; if not, it stands in line.
    pub fn enter(&mut self, channel: Channel, order: OrderIndex) -> bool {
        let is_free = !self.0.contains_key(&channel);
        let line = self.0.entry(channel).or_default();
        if !is_free {
            line.push_back(order);
        }
        is_free
    }

    /// Whether nobody is at the front of a line.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one at the front has settled: who goes next.
    pub fn leave(&mut self, channel: Channel) -> Option<OrderIndex> {
        let line = self.0.get_mut(&channel)?;
        let next = line.pop_front();
        if next.is_none() {
            self.0.remove(&channel);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_in_line_go_one_by_one() {
        let (mut lines, channel) = (Lines::default(), Channel::default());
        assert!(lines.enter(channel, OrderIndex(0)));
        assert!(!lines.enter(channel, OrderIndex(1)));
        assert_eq!(lines.leave(channel), Some(OrderIndex(1)));
        assert_eq!(lines.leave(channel), None);
        assert!(lines.enter(channel, OrderIndex(2)));
    }
}
