//! What commands have left on a device in this run.

use std::collections::BTreeMap;

/// What a command does to a device beyond its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A profile is there, new or in place of the one with the same identifier.
    ProfileInstalled(Profile),
    /// The profile of this identifier is gone.
    ProfileRemoved(String),
    /// The app of this identifier is there and managed.
    ApplicationInstalled(String),
    /// The app of this identifier is gone.
    ApplicationRemoved(String),
    /// The device has this name.
    Renamed(String),
    /// The device restarts once the result is delivered.
    Restart,
    /// The device goes off once the result is delivered, until a person turns it on.
    ShutDown,
    /// The device is erased once the result was sent: one attempt, and it is no longer managed.
    Erase,
}

/// An installed configuration profile, as ProfileList names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `PayloadIdentifier`.
    pub identifier: String,
    /// `PayloadUUID`.
    pub uuid: String,
    /// `PayloadDisplayName`; empty when it has none.
    pub display_name: String,
    /// `PayloadVersion`.
    pub version: i64,
    /// The `PayloadType` and `PayloadIdentifier` of its payloads.
    pub payloads: Vec<(String, String)>,
}

/// What commands have left on a device. A device that none has changed keeps 8 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory(Option<Box<Belongings>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Belongings {
    /// By identifier.
    pub(super) profiles: BTreeMap<String, Profile>,
    /// The identifiers of managed apps; `false` for one that was removed.
    pub(super) applications: BTreeMap<String, bool>,
    /// Its name, when it was given one.
    pub(super) name: Option<String>,
    /// How often a command has changed it.
    revision: u32,
    /// How much of the memory all of these take, in bytes.
    size: usize,
}

/// The most profiles or apps one device keeps; further ones are acknowledged and forgotten, so
/// that a scenario with a million identifiers does not fill the memory.
const ITEMS_MAX: usize = 1000;

/// The most that all of them and the device's name may take on one device, in bytes: a server chooses how
/// long they are, and a thousand usual profiles take less. What is beyond is forgotten as well.
const SIZE_MAX: usize = 256 * 1024;

impl Inventory {
    /// What an earlier run has left, by identifier; of the rest nothing is known.
    pub fn remembered(profiles: Vec<String>, applications: Vec<String>) -> Self {
        let mut inventory = Self::default();
        for identifier in profiles {
            inventory.apply(Effect::ProfileInstalled(Profile {
                uuid: identifier.clone(),
                identifier,
                display_name: String::new(),
                version: 1,
                payloads: Vec::new(),
            }));
        }
        for identifier in applications {
            inventory.apply(Effect::ApplicationInstalled(identifier));
        }
        inventory
    }

    /// The identifiers of profiles and of apps that are there.
    pub(in crate::device) fn identifiers(&self) -> (Vec<String>, Vec<String>) {
        let Some(belongings) = &self.0 else {
            return (Vec::new(), Vec::new());
        };
        let apps = belongings.applications.iter().filter(|(_, there)| **there);
        (
            belongings.profiles.keys().cloned().collect(),
            apps.map(|(identifier, _)| identifier.clone()).collect(),
        )
    }

    /// A number that changes whenever a command changes something.
    pub(in crate::device) fn revision(&self) -> u32 {
        self.0.as_deref().map_or(0, |it| it.revision)
    }

    /// Takes what a command has done.
    pub fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::ProfileInstalled(profile) => {
                let belongings = self.belongings();
                let before = belongings.profiles.get(&profile.identifier);
                let is_new = before.is_none();
                let before = before.map_or(0, Profile::size);
                if (!is_new || belongings.profiles.len() < ITEMS_MAX)
                    && belongings.has_room(before, profile.size())
                {
                    let profiles = &mut belongings.profiles;
                    profiles.insert(profile.identifier.clone(), profile);
                }
            }
            Effect::ProfileRemoved(identifier) => {
                let belongings = self.belongings();
                if let Some(profile) = belongings.profiles.remove(&identifier) {
                    belongings.size -= profile.size();
                }
            }
            Effect::ApplicationInstalled(identifier) => {
                let belongings = self.belongings();
                if let Some(is_there) = belongings.applications.get_mut(&identifier) {
                    *is_there = true;
                } else if belongings.applications.len() < ITEMS_MAX
                    && belongings.has_room(0, identifier.len())
                {
                    belongings.applications.insert(identifier, true);
                }
            }
            Effect::ApplicationRemoved(identifier) => {
                if let Some(is_there) = self.belongings().applications.get_mut(&identifier) {
                    *is_there = false;
                }
            }
            Effect::Renamed(name) => {
                let belongings = self.belongings();
                let before = belongings.name.as_ref().map_or(0, String::len);
                if belongings.has_room(before, name.len()) {
                    belongings.name = Some(name);
                }
            }
            Effect::Erase => self.0 = None,
            Effect::Restart | Effect::ShutDown => {}
        }
    }

    /// Whether no command has changed anything.
    pub(in crate::device) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What is there; `None` when no command has changed anything.
    pub(super) fn contents(&self) -> Option<&Belongings> {
        self.0.as_deref()
    }

    fn belongings(&mut self) -> &mut Belongings {
        let belongings = self.0.get_or_insert_default();
        belongings.revision = belongings.revision.wrapping_add(1);
        belongings
    }
}

impl Belongings {
    /// Whether something of a size may take the place of something of another; if so, it is counted.
    fn has_room(&mut self, before: usize, after: usize) -> bool {
        let size = self.size - before + after;
        let fits = size <= SIZE_MAX;
        if fits {
            self.size = size;
        }
        fits
    }
}

impl Profile {
    /// What it takes of the memory, in bytes, but for what all take.
    fn size(&self) -> usize {
        let texts = [&self.identifier, &self.uuid, &self.display_name].map(|text| text.len());
        let payloads = self.payloads.iter();
        let payloads = payloads.map(|it| it.0.len() + it.1.len() + size_of_val(it));
        // The identifier is a key as well.
        texts.iter().sum::<usize>() + self.identifier.len() + payloads.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(identifier: &str, name: usize, payloads: usize) -> Effect {
        Effect::ProfileInstalled(Profile {
            identifier: identifier.to_owned(),
            uuid: String::new(),
            display_name: "x".repeat(name),
            version: 1,
            payloads: vec![(String::new(), String::new()); payloads],
        })
    }

    /// A server may put four megabytes into a name, and as many payloads as fit into a profile.
    #[test]
    fn what_does_not_fit_is_forgotten_and_what_goes_makes_room() {
        let mut inventory = Inventory::default();
        for effect in [
            profile("large", SIZE_MAX, 0),
            profile("many", 0, SIZE_MAX / 24),
            Effect::Renamed("x".repeat(SIZE_MAX + 1)),
            Effect::ApplicationInstalled("x".repeat(SIZE_MAX + 1)),
            Effect::ApplicationRemoved("never there".to_owned()),
            profile("most", SIZE_MAX - 8, 0),
            profile("next", 8, 0),
        ] {
            inventory.apply(effect);
        }
        let names = |inventory: &Inventory| inventory.identifiers().0;
        assert_eq!(names(&inventory), ["most"]);
        let contents = inventory.contents().unwrap();
        assert_eq!((&contents.name, contents.applications.len()), (&None, 0));
        // A smaller one in its place, and it away: the room is there again.
        inventory.apply(profile("most", 8, 0));
        inventory.apply(profile("next", 8, 0));
        assert_eq!(names(&inventory), ["most", "next"]);
        for identifier in ["most", "next", "next"] {
            inventory.apply(Effect::ProfileRemoved(identifier.to_owned()));
        }
        assert_eq!(inventory.contents().unwrap().size, 0);
    }
}
