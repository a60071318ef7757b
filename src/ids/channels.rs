//! A table by channel.

use std::collections::BTreeMap;

use super::{Channel, DeviceId};

/// How many devices share a page. A device of which nothing is known costs a pointer once any of its
/// page is known, and nothing before; few, so that a log that names devices far apart gains nothing.
const PAGE: usize = 32;

/// The rows of devices that stand side by side.
type Page<T> = Box<[Option<Box<T>>]>;

/// What is known of each channel, in the order of channels.
///
/// Every fact of a run looks its channel up, several times: an ordered map of a hundred thousand
/// channels would cost as much as all that is done with what it finds. Here a device channel is two
/// steps away. Users are few; theirs is an ordered map.
#[derive(Clone, Debug)]
pub struct Channels<T> {
    pages: BTreeMap<u32, Page<T>>,
    users: BTreeMap<Channel, T>,
}

impl<T> Default for Channels<T> {
    fn default() -> Self {
        Self {
            pages: BTreeMap::new(),
            users: BTreeMap::new(),
        }
    }
}

/// The page of a device, and its place there.
const fn place(device: DeviceId) -> (u32, usize) {
    (device.0 / PAGE as u32, device.0 as usize % PAGE)
}

impl<T> Channels<T> {
    /// What is known of `channel`.
    pub fn get(&self, channel: Channel) -> Option<&T> {
        if channel.user > 0 {
            return self.users.get(&channel);
        }
        let (page, place) = place(channel.device);
        self.pages.get(&page)?[place].as_deref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, channel: Channel) -> Option<&mut T> {
        if channel.user > 0 {
            return self.users.get_mut(&channel);
        }
        let (page, place) = place(channel.device);
        self.pages.get_mut(&page)?[place].as_deref_mut()
    }

    /// What is known of `channel`: from now on its default, if that is nothing.
    pub fn of(&mut self, channel: Channel) -> &mut T
    where
        T: Default,
    {
        if channel.user > 0 {
            return self.users.entry(channel).or_default();
        }
        let (page, place) = place(channel.device);
        let page = self.pages.entry(page).or_insert_with(empty_page);
        page[place].get_or_insert_default()
    }

    /// Forgets what is known of `channel`.
    pub fn remove(&mut self, channel: Channel) -> Option<T> {
        if channel.user > 0 {
            return self.users.remove(&channel);
        }
        let (page, place) = place(channel.device);
        self.pages.get_mut(&page)?[place].take().map(|it| *it)
    }

    /// The channels of which something is known, in ascending order, and what.
    pub fn iter(&self) -> impl Iterator<Item = (Channel, &T)> {
        let mut users = self.users.iter().peekable();
        let mut own = self.own().peekable();
        std::iter::from_fn(move || {
            let is_user_next = match (own.peek(), users.peek()) {
                (Some((own, _)), Some((user, _))) => *user < own,
                (own, _) => own.is_none(),
            };
            if is_user_next {
                return users.next().map(|(&channel, it)| (channel, it));
            }
            own.next()
        })
    }

    /// What is known, in the order of channels.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, it)| it)
    }

    /// What is known of the channels of `device`: its own, then those of its users.
    pub fn of_device(&self, device: DeviceId) -> impl Iterator<Item = (Channel, &T)> {
        let channel = Channel::device(device);
        let own = self.get(channel).map(|it| (channel, it));
        let users = self.users.range(Channel::all_of(device));
        own.into_iter()
            .chain(users.map(|(&channel, it)| (channel, it)))
    }

    /// The same, to be changed.
    pub fn of_device_mut(&mut self, device: DeviceId) -> impl Iterator<Item = (Channel, &mut T)> {
        let channel = Channel::device(device);
        let (page, place) = place(device);
        let page = self.pages.get_mut(&page);
        let own = page.and_then(|page| page[place].as_deref_mut());
        let users = self.users.range_mut(Channel::all_of(device));
        own.map(|it| (channel, it))
            .into_iter()
            .chain(users.map(|(&channel, it)| (channel, it)))
    }

    /// The device channels of which something is known.
    fn own(&self) -> impl Iterator<Item = (Channel, &T)> {
        self.pages.iter().flat_map(|(&page, rows)| {
            let first = page * PAGE as u32;
            let rows = rows.iter().enumerate();
            rows.filter_map(move |(place, row)| {
                let device = DeviceId(first + place as u32);
                Some((Channel::device(device), row.as_deref()?))
            })
        })
    }
}

fn empty_page<T>() -> Page<T> {
    (0..PAGE).map(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Devices around the edges of pages and of the number's range, with up to two users.
    fn channel() -> impl Strategy<Value = Channel> {
        let device = prop_oneof![0..3_u32, 30..35_u32, (u32::MAX - 2)..=u32::MAX];
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
}
