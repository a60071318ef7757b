//! Whom an event is about: what a target calls our devices and their users, looked up.

use std::collections::HashMap;

use super::message::Message;
use crate::engine::operator::Operator;
use crate::fact::ServerEvent;
use crate::ids::{Channel, CommandUuid, DeviceId, OrderBook};

/// The names that a target has for the channels of a plan.
#[derive(Debug)]
pub(super) struct Directory {
    channels: HashMap<Box<str>, Channel>,
    book: OrderBook,
    /// The channel of each order, by its index.
    orders: Vec<Channel>,
}

impl Directory {
    /// Everybody whom `operator` may command.
    pub(super) fn of(operator: &Operator) -> Self {
        let plan = &operator.plan;
        let mut channels = HashMap::with_capacity(plan.devices() as usize);
        for cohort in &plan.cohorts {
            for device in cohort.first.0..cohort.first.0 + cohort.count {
                for user in 0..=cohort.traits.users {
                    let device = DeviceId(device);
                    let channel = Channel { device, user };
                    let name = operator.enrollment_id(channel).into_boxed_str();
                    channels.insert(name, channel);
                }
            }
        }
        let mut orders = vec![Channel::default(); plan.orders.len()];
        for order in &plan.orders {
            orders[order.index.0 as usize] = order.channel;
        }
        Self {
            channels,
            book: OrderBook::new(operator.run, orders.len() as u32),
            orders,
        }
    }

    /// The channel that a message is about; `None` for a device that is not ours.
    pub(super) fn find(&self, message: &Message) -> Option<Channel> {
        let named = *self.channels.get(message.enrollment.as_str())?;
        if named.user != 0 {
            return Some(named);
        }
        // MicroMDM tells of a user's results under the device's name; our orders know whose they are.
        let ordered = match &message.event {
            ServerEvent::Result { uuid, .. } => uuid.as_ref().and_then(|uuid| self.ordered(uuid)),
            ServerEvent::Authenticate
            | ServerEvent::TokenUpdate
            | ServerEvent::CheckOut
            | ServerEvent::Idle
            | ServerEvent::Other(_) => None,
        };
        let of_device = ordered.filter(|channel| channel.device == named.device);
        Some(of_device.unwrap_or(named))
    }

    fn ordered(&self, uuid: &CommandUuid) -> Option<Channel> {
        let order = self.book.order(uuid)?;
        self.orders.get(order.0 as usize).copied()
    }
}
