//! What was enrolled, kept on disk: identities, what devices remember, and the names some brought
//! along.
//!
//! A roster is a folder that one process has at a time. It belongs to one crowd and one target.
//! Nothing in it is read before it is asked for, so that a million devices open at once; nothing is
//! read that is not as it was written. Main type: [`Roster`].

mod borrowed;
mod captured;
mod changes;
mod error;
mod keeper;
mod lock;
mod meta;
mod record;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::captured::{Adopted, Captured, CapturedError, CapturedIdentity};
pub(super) use self::changes::Changes;
pub use self::error::RosterError;
pub use self::keeper::{KeepError, Keeper, Writing};
use self::lock::Lock;
use self::meta::FORMAT;
pub use self::meta::{Expected, Meta};
pub use self::record::Kept;
pub use self::store::Counts;
use self::store::{Batch, Store};
use super::clock::wall_now;
use super::identity::OwnIdentity;
use crate::ids::{BorrowedNames, Crowd, DeviceId, hex_lower};

/// The file in a roster's folder.
const FILE: &str = "roster.redb";

/// An open roster.
#[derive(Debug)]
pub struct Roster {
    folder: PathBuf,
    store: Arc<Store>,
    meta: Meta,
}

impl Roster {
    /// Opens a roster of this crowd.
    ///
    /// # Errors
    /// When there is none, it is another crowd's, in use, damaged, or of a later format.
    pub fn open(folder: &Path, crowd: &Crowd) -> Result<Self, RosterError> {
        let missing = || RosterError::Missing {
            folder: folder.to_owned(),
        };
        // Looking for one makes no folder.
        if !folder.join(FILE).exists() {
            return Err(missing());
        }
        let lock = Lock::take(folder)?;
        let store = Store::open(&folder.join(FILE), lock)?.ok_or_else(missing)?;
        let meta = store.meta(folder)?;
        meta.check_crowd(folder, &crowd_name(crowd))?;
        Ok(Self {
            folder: folder.to_owned(),
            store: Arc::new(store),
            meta,
        })
    }

    /// The same; makes an empty one where there is none.
    ///
    /// # Errors
    /// As above, or when it cannot be made.
    pub fn open_or_create(folder: &Path, crowd: &Crowd) -> Result<Self, RosterError> {
        let file = folder.join(FILE);
        if file.exists() {
            return Self::open(folder, crowd);
        }
        let lock = Lock::take(folder)?;
        let meta = Meta {
            format: FORMAT,
            crowd: crowd_name(crowd),
            made: wall_now().rfc3339(),
            target: None,
            topic: None,
        };
        let store = Store::create(&file, &meta, lock)?;
        Ok(Self {
            folder: folder.to_owned(),
            store: Arc::new(store),
            meta,
        })
    }

    /// Whether the roster can be about this target and topic. Changes nothing.
    ///
    /// # Errors
    /// When it is about others.
    pub fn check(&self, want: &Expected) -> Result<(), RosterError> {
        self.agreed(want).map(drop)
    }

    /// From now on the roster is about this target and topic.
    ///
    /// # Errors
    /// When it is about others, or cannot be written.
    pub fn agree(&mut self, want: &Expected) -> Result<(), RosterError> {
        let meta = self.agreed(want)?;
        if meta != self.meta {
            self.store.write_meta(&meta)?;
            self.meta = meta;
        }
        Ok(())
    }

    fn agreed(&self, want: &Expected) -> Result<Meta, RosterError> {
        let mut meta = self.meta.clone();
        // A roster without devices is about nothing yet.
        if self.counts()? == Counts::default() {
            (meta.target, meta.topic) = (None, None);
        }
        meta.agree(&self.folder, want)?;
        Ok(meta)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whose it is.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn counts(&self) -> Result<Counts, RosterError> {
        self.store.counts()
    }

    /// The identity of a device, if it is kept.
    ///
    /// # Errors
    /// When it is not as it was written.
    pub fn identity(&self, device: DeviceId) -> Result<Option<OwnIdentity>, RosterError> {
        self.store.identity(device)
    }

    /// A way to look identities up while the roster is written to.
    pub fn shelf(&self) -> Shelf {
        Shelf(Arc::clone(&self.store))
    }

    /// Shows the certificates of these devices, in order, until told to stop.
    ///
    /// # Errors
    /// At the first that is not as it was written.
    pub fn each_certificate(
        &self,
        devices: Range<u32>,
        show: impl FnMut(DeviceId, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), RosterError> {
        self.store.each_certificate(devices, show)
    }

    /// Shows what these devices remember, in order, until told to stop.
    ///
    /// # Errors
    /// At the first that is not as it was written.
    pub fn each_kept(
        &self,
        devices: Range<u32>,
        show: impl FnMut(DeviceId, Kept) -> ControlFlow<()>,
    ) -> Result<(), RosterError> {
        self.store.each_kept(devices, show)
    }

    /// What a device remembers, if it is kept.
    ///
    /// # Errors
    /// When it is not as it was written.
    pub fn kept(&self, device: DeviceId) -> Result<Option<Kept>, RosterError> {
        self.store.kept(device)
    }

    /// The lowest number that no device has.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn lowest_free(&self) -> Result<DeviceId, RosterError> {
        let mut free = 0;
        self.store.each_certificate(0..u32::MAX, |device, _| {
            if device.0 != free {
                return ControlFlow::Break(());
            }
            free += 1;
            ControlFlow::Continue(())
        })?;
        Ok(DeviceId(free))
    }

    /// The names that devices brought along.
    ///
    /// # Errors
    /// At the first that are not as they were written.
    pub fn borrowed(&self) -> Result<BTreeMap<DeviceId, BorrowedNames>, RosterError> {
        let mut borrowed = BTreeMap::new();
        self.store.each_borrowed(|device, names| {
            borrowed.insert(device, names);
        })?;
        Ok(borrowed)
    }

    /// Keeps a device that exists elsewhere, on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn adopt(&self, device: DeviceId, adopted: Adopted) -> Result<(), RosterError> {
        self.store.write(&Batch {
            identities: BTreeMap::from([(device, Arc::new(adopted.identity))]),
            kept: BTreeMap::from([(device, adopted.kept)]),
            borrowed: BTreeMap::from([(device, adopted.names)]),
        })
    }

    /// Keeps identities, on the disk when this returns.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep_identities(
        &self,
        identities: BTreeMap<DeviceId, Arc<OwnIdentity>>,
    ) -> Result<(), RosterError> {
        self.store.write(&Batch {
            identities,
            ..Batch::default()
        })
    }

    /// Forgets these devices. How many of them were known.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget(&self, devices: &[DeviceId]) -> Result<u64, RosterError> {
        self.store.remove(devices)
    }

    /// Starts the thread that writes while a run goes on.
    pub fn start_writing(&self) -> (Keeper, Writing) {
        Writing::start(Arc::clone(&self.store))
    }
}

/// The identities of a roster, to be looked up one by one.
#[derive(Clone, Debug)]
pub struct Shelf(Arc<Store>);

impl Shelf {
    /// The identity of a device. One that cannot be read is none: a run looks all of its devices'
    /// over before it begins.
    pub fn identity(&self, device: DeviceId) -> Option<OwnIdentity> {
        self.0.identity(device).unwrap_or_else(|error| {
            tracing::warn!(%error, "an identity is not used");
            None
        })
    }
}

/// The public id of a crowd, as a roster notes it.
fn crowd_name(crowd: &Crowd) -> String {
    hex_lower(&crowd.id.0)
}
