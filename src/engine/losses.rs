//! Pushes that the gateway answers with 200 and loses, as the scenario has it.

use std::ops::Range;

use crate::ids::{Channel, DeviceId, PushId};
use crate::seed::{Purpose, Seed};

/// Which share of the pushes to which devices is lost.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    seed: Seed,
    /// Devices and their share, 0 to 1; the last that has a device counts.
    shares: Vec<(Range<DeviceId>, f64)>,
}

impl Losses {
    /// None yet.
    pub(super) const fn none(seed: Seed) -> Self {
        Self {
            seed,
            shares: Vec::new(),
        }
    }

    /// From here on `share` of the pushes to `devices` is lost.
    pub(super) fn set(&mut self, devices: Range<DeviceId>, share: f64) {
        // What it covers whole does not count any more, so this stays as short as the cohorts are
        // few.
        let covers =
            |other: &Range<DeviceId>| devices.start <= other.start && other.end <= devices.end;
        self.shares.retain(|(other, _)| !covers(other));
        self.shares.push((devices, share));
    }

    /// Whether `push` is lost.
    pub(super) fn takes(&self, push: PushId, channel: Channel) -> bool {
        let mut shares = self.shares.iter().rev();
        let Some((_, share)) = shares.find(|(devices, _)| devices.contains(&channel.device)) else {
            return false;
        };
        let subject = u64::from(channel.device.0);
        let mut draw = self
            .seed
            .draw(Purpose::PushLoss, subject, push.0, channel.user.into());
        draw.chance(*share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(losses: &Losses, device: u32) -> usize {
        let channel = Channel::device(DeviceId(device));
        let pushes = (0..1000).map(PushId);
        pushes.filter(|&push| losses.takes(push, channel)).count()
    }

    #[test]
    fn a_share_of_the_pushes_is_lost_until_another_share_is_set() {
        let mut losses = Losses::none(Seed(7));
        assert_eq!(lost(&losses, 3), 0);
        losses.set(DeviceId(0)..DeviceId(10), 1.0);
        losses.set(DeviceId(0)..DeviceId(5), 0.3);
        assert!((200..400).contains(&lost(&losses, 3)));
        assert_eq!((lost(&losses, 7), lost(&losses, 10)), (1000, 0));
        losses.set(DeviceId(0)..DeviceId(10), 0.0);
        assert_eq!((lost(&losses, 3), lost(&losses, 7)), (0, 0));
    }
}
