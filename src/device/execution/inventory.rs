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
}

/// The most profiles or apps one device keeps; further ones are acknowledged and forgotten, so
/// that a scenario with a million identifiers does not fill the memory.
const ITEMS_MAX: usize = 1000;

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
                let profiles = &mut self.belongings().profiles;
                if profiles.len() < ITEMS_MAX || profiles.contains_key(&profile.identifier) {
                    profiles.insert(profile.identifier.clone(), profile);
                }
            }
            Effect::ProfileRemoved(identifier) => {
                self.belongings().profiles.remove(&identifier);
            }
            Effect::ApplicationInstalled(identifier) => {
                let applications = &mut self.belongings().applications;
                if applications.len() < ITEMS_MAX || applications.contains_key(&identifier) {
                    applications.insert(identifier, true);
                }
            }
            Effect::ApplicationRemoved(identifier) => {
                self.belongings().applications.insert(identifier, false);
            }
            Effect::Renamed(name) => self.belongings().name = Some(name),
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
