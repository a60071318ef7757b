//! Serial orders: a device's next one waits until its last one settled.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{Channel, OrderIndex};

/// Orders that wait for their channel's previous one: the one that goes, and those behind it.
#[derive(Clone, Debug, Default)]
pub struct Lines(BTreeMap<Channel, (OrderIndex, VecDeque<OrderIndex>)>);

impl Lines {
    /// Whether `order` may go now; if not, it stands in line.
    pub fn enter(&mut self, channel: Channel, order: OrderIndex) -> bool {
        match self.0.get_mut(&channel) {
            Some((_, line)) => {
                line.push_back(order);
                false
            }
            None => {
                self.0.insert(channel, (order, VecDeque::new()));
                true
            }
        }
    }

    /// Whether nobody goes and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `order` has settled: who goes in its place. One that stood in line leaves it.
    pub fn leave(&mut self, channel: Channel, order: OrderIndex) -> Option<OrderIndex> {
        let (first, line) = self.0.get_mut(&channel)?;
        if *first != order {
            line.retain(|waiting| *waiting != order);
            return None;
        }
        match line.pop_front() {
            Some(next) => *first = next,
            None => drop(self.0.remove(&channel)),
        }
        let next = self.0.get(&channel);
        next.map(|(first, _)| *first)
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
        assert!(!lines.enter(channel, OrderIndex(2)));
        // One that never went, and one that is not of this line.
        assert_eq!(lines.leave(channel, OrderIndex(1)), None);
        assert_eq!(lines.leave(channel, OrderIndex(9)), None);
        assert_eq!(lines.leave(channel, OrderIndex(0)), Some(OrderIndex(2)));
        assert_eq!(lines.leave(channel, OrderIndex(2)), None);
        assert!(lines.is_empty() && lines.enter(channel, OrderIndex(3)));
    }
}
