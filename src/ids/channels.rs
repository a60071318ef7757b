//! A table by channel.

use std::collections::BTreeMap;

use super::{Channel, DeviceId};

/// How many devices share a page. A device of which nothing is known costs a pointer once any of its
/// page is known, and next to nothing before; few, so that a log that names devices far apart gains
/// nothing.
const PAGE: usize = 32;

/// Devices from here on have no pages. No plan has one: a scenario has ten million devices at most. A
/// log that names any device at all makes the list of pages 4 MiB long at most.
const PAGED: u32 = 1 << 24;

/// The rows of devices that stand side by side.
type Page<T> = Box<[Option<Box<T>>; PAGE]>;

/// What is known of each channel, in the order of channels.
///
/// Every fact of a run looks its channel up, several times: an ordered map of a hundred thousand
/// channels would cost as much as all that is done with what it finds. Here a device channel is two
/// steps away. Users are few, and devices without a page are none of ours: they share an ordered map.
#[derive(Clone, Debug)]
pub struct Channels<T> {
    pages: Vec<Option<Page<T>>>,
    /// Users, and devices without a page.
    others: BTreeMap<Channel, T>,
}

impl<T> Default for Channels<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            others: BTreeMap::new(),
        }
    }
}

/// The page of a channel, and its place there; `None` for one that has none.
const fn place(channel: Channel) -> Option<(usize, usize)> {
    let Channel { device, user } = channel;
    if user > 0 || device.0 >= PAGED {
        return None;
    }
    Some((device.0 as usize / PAGE, device.0 as usize % PAGE))
}

impl<T> Channels<T> {
    /// What is known of `channel`.
    pub fn get(&self, channel: Channel) -> Option<&T> {
        let Some((page, place)) = place(channel) else {
            return self.others.get(&channel);
        };
        self.pages.get(page)?.as_ref()?[place].as_deref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, channel: Channel) -> Option<&mut T> {
        let Some((page, place)) = place(channel) else {
            return self.others.get_mut(&channel);
        };
        self.pages.get_mut(page)?.as_mut()?[place].as_deref_mut()
    }

    /// What is known of `channel`: from now on its default, if that is nothing.
    pub fn of(&mut self, channel: Channel) -> &mut T
    where
        T: Default,
    {
        let Some((page, place)) = place(channel) else {
            return self.others.entry(channel).or_default();
        };
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([const { None }; PAGE]));
        page[place].get_or_insert_default()
    }

    /// Forgets what is known of `channel`.
    pub fn remove(&mut self, channel: Channel) -> Option<T> {
        let Some((page, place)) = place(channel) else {
            return self.others.remove(&channel);
        };
        self.pages.get_mut(page)?.as_mut()?[place]
            .take()
            .map(|it| *it)
    }

    /// The channels of which something is known, in ascending order, and what.
    pub fn iter(&self) -> impl Iterator<Item = (Channel, &T)> {
        let mut others = self.others.iter().peekable();
        let mut paged = self.paged().peekable();
        std::iter::from_fn(move || {
            let is_other_next = match (paged.peek(), others.peek()) {
                (Some((paged, _)), Some((other, _))) => *other < paged,
                (paged, _) => paged.is_none(),
            };
            if is_other_next {
                return others.next().map(|(&channel, it)| (channel, it));
            }
            paged.next()
        })
    }

    /// What is known, in the order of channels.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, it)| it)
    }

    /// What is known of the channels of `device`: its own, then those of its users.
    pub fn of_device(&self, device: DeviceId) -> impl Iterator<Item = (Channel, &T)> {
        let channel = Channel::device(device);
        let paged = place(channel).and_then(|_| self.get(channel));
        let others = self.others.range(Channel::all_of(device));
        paged
            .map(|it| (channel, it))
            .into_iter()
            .chain(others.map(|(&channel, it)| (channel, it)))
    }

    /// The same, to be changed.
    pub fn of_device_mut(&mut self, device: DeviceId) -> impl Iterator<Item = (Channel, &mut T)> {
        let channel = Channel::device(device);
        let paged = place(channel)
            .and_then(|(page, place)| self.pages.get_mut(page)?.as_mut()?[place].as_deref_mut());
        let others = self.others.range_mut(Channel::all_of(device));
        paged
            .map(|it| (channel, it))
            .into_iter()
            .chain(others.map(|(&channel, it)| (channel, it)))
    }

    /// The channels with a page of which something is known.
    fn paged(&self) -> impl Iterator<Item = (Channel, &T)> {
        let rows = self.pages.iter().enumerate().flat_map(|(page, rows)| {
            let rows = rows.iter().flat_map(|rows| rows.iter());
            rows.enumerate()
                .map(move |(place, row)| (page * PAGE + place, row))
        });
        rows.filter_map(|(device, row)| {
            let channel = Channel::device(DeviceId(device as u32));
            Some((channel, row.as_deref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Devices around the edges of pages, behind all that have one, and at the end of the number's
    /// range, with up to two users.
    fn channel() -> impl Strategy<Value = Channel> {
        let device = prop_oneof![
            0..3_u32,
            30..35_u32,
            PAGED..=PAGED + 1,
            (u32::MAX - 2)..=u32::MAX
        ];
        (device, 0..3_u8).prop_map(|(device, user)| Channel {
            device: DeviceId(device),
            user,
        })
    }

    proptest! {
        #[test]
        fn it_holds_what_an_ordered_map_holds(
            steps in prop::collection::vec((channel(), 0..3_u8, any::<u32>()), 0..60),
        ) {
            let (mut table, mut map) = (Channels::default(), BTreeMap::new());
            for (channel, step, value) in steps {
                match step {
                    0 => {
                        *table.of(channel) = value;
                        map.insert(channel, value);
                    }
                    1 => prop_assert_eq!(table.remove(channel), map.remove(&channel)),
                    _ => {
                        for (_, it) in table.of_device_mut(channel.device) {
                            *it = value;
                        }
                        for (_, it) in map.range_mut(Channel::all_of(channel.device)) {
                            *it = value;
                        }
                    }
                }
                prop_assert_eq!(table.get(channel), map.get(&channel));
                prop_assert_eq!(table.get_mut(channel), map.get_mut(&channel));
                let known: Vec<_> = table.iter().collect();
                let expected: Vec<_> = map.iter().map(|(&key, it)| (key, it)).collect();
                prop_assert_eq!(known, expected);
                let of_device: Vec<_> = table.of_device(channel.device).collect();
                let expected = map.range(Channel::all_of(channel.device));
                let expected: Vec<_> = expected.map(|(&key, it)| (key, it)).collect();
                prop_assert_eq!(of_device, expected);
            }
        }
    }

    #[test]
    fn the_last_device_with_a_page_comes_before_the_first_without() {
        let mut table = Channels::default();
        let channels = [PAGED - 1, PAGED].map(|device| Channel::device(DeviceId(device)));
        for channel in channels.into_iter().rev() {
            *table.of(channel) = channel.device.0;
        }
        let known: Vec<Channel> = table.iter().map(|(channel, _)| channel).collect();
        assert_eq!(known, channels);
        assert_eq!(table.remove(channels[0]), Some(PAGED - 1));
        assert_eq!(table.values().collect::<Vec<_>>(), [&PAGED]);
    }
}
