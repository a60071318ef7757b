//! An ordered map that mostly has one entry.

use std::collections::BTreeMap;

/// What an ordered map holds; a single entry is held in place.
///
/// Nearly every channel with an open command has one of them, and several maps to tell in what state it
/// is: as ordered maps, each of which takes room for eleven entries at its first, they would be most of
/// what an open command costs, in memory and in time. What once had two entries stays an ordered map.
#[derive(Clone, Debug, Default)]
pub(super) enum Few<K, V = ()> {
    #[default]
    None,
    One(K, V),
    /// Boxed, because of that room.
    Many(BTreeMap<K, Box<V>>),
}

impl<K: Ord, V> Few<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// The least key.
    pub(super) fn first(&self) -> Option<&K> {
        self.keys().next()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self {
            Self::None => None,
            Self::One(its, value) => (its == key).then_some(value),
            Self::Many(map) => map.get(key).map(Box::as_ref),
        }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::None => None,
            Self::One(its, value) => (its == key).then_some(value),
            Self::Many(map) => map.get_mut(key).map(Box::as_mut),
        }
    }

    /// The value of `key`: from now on its default, if there is none.
    pub(super) fn of(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        if matches!(self, Self::One(its, _) if *its != key)
            && let Self::One(its, value) = std::mem::take(self)
        {
            *self = Self::Many(BTreeMap::from([(its, Box::new(value))]));
        }
        if matches!(self, Self::None) {
            *self = Self::One(key, V::default());
            return self.of_one();
        }
        match self {
            Self::Many(map) => map.entry(key).or_default(),
            Self::None | Self::One(..) => self.of_one(),
        }
    }

    fn of_one(&mut self) -> &mut V {
        match self {
            Self::One(_, value) => value,
            Self::None | Self::Many(_) => unreachable!("whoever asks has looked"),
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::One(its, _) if its == key => match std::mem::take(self) {
                Self::One(_, value) => Some(value),
                Self::None | Self::Many(_) => None,
            },
            Self::None | Self::One(..) => None,
            Self::Many(map) => map.remove(key).map(|value| *value),
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<(K, V)> {
        match self {
            Self::Many(map) => map.pop_first().map(|(key, value)| (key, *value)),
            Self::None | Self::One(..) => match std::mem::take(self) {
                Self::One(key, value) => Some((key, value)),
                Self::None | Self::Many(_) => None,
            },
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::None;
    }

    /// The entries in ascending order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(key, value) => (Some((key, value)), None),
            Self::Many(map) => (None, Some(map)),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(key, value)| (key, &**value)))
    }

    /// The same, with values to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(key, value) => (Some((&*key, value)), None),
            Self::Many(map) => (None, Some(map)),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(key, value)| (key, &mut **value)))
    }

    /// The keys in ascending order.
    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Ord> Few<K> {
    /// Adds a key, as to a set.
    pub(super) fn add(&mut self, key: K) {
        self.of(key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_an_ordered_map_holds(
            steps in prop::collection::vec((0..6_u8, 0..4_u8, any::<u32>()), 0..40),
        ) {
            let (mut few, mut map) = (Few::default(), BTreeMap::new());
            for (step, key, value) in steps {
                match step {
                    0 | 1 => {
                        *few.of(key) = value;
                        *map.entry(key).or_default() = value;
                    }
                    2 => prop_assert_eq!(few.remove(&key), map.remove(&key)),
                    3 => prop_assert_eq!(few.pop_first(), map.pop_first()),
                    4 => {
                        few.values_mut().for_each(|it| *it = value);
                        map.values_mut().for_each(|it| *it = value);
                    }
                    _ => prop_assert_eq!(few.get_mut(&key), map.get_mut(&key)),
                }
                prop_assert_eq!(few.get(&key), map.get(&key));
                prop_assert_eq!(few.is_empty(), map.is_empty());
                prop_assert!(few.iter().eq(map.iter()));
                prop_assert!(few.keys().rev().eq(map.keys().rev()));
            }
            few.clear();
            prop_assert!(few.is_empty());
        }
    }
}
