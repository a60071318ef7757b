//! The roster's file: a redb database, one table for each kind of entry.
//!
//! Every write is one durable transaction. It leaves the allocator's state behind too, so that a
//! file whose writer was killed opens as fast as any other.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, TableDefinition, TableError, WriteTransaction,
};
use rustls::pki_types::CertificateDer;

use super::borrowed;
use super::error::RosterError;
use super::lock::{Lock, check_private};
use super::meta::{FORMAT, Meta};
use super::record::{self, Kept};
use crate::engine::identity::{OwnIdentity, sha256};
use crate::ids::{BorrowedNames, DeviceId};

/// One entry, `meta`: JSON.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Keys and certificates, by device.
const IDENTITIES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("identities");
/// The certificates between those of devices and a root, by SHA-256.
const ISSUERS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("issuers");
/// [`Kept`] as JSON, by device.
const DEVICES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("devices");
/// Names that devices brought along, by device.
const BORROWED: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("borrowed");

/// What redb may keep of the file in memory; the operating system keeps the rest.
const CACHE_BYTES: usize = 64 << 20;

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) identities: BTreeMap<DeviceId, Arc<OwnIdentity>>,
    pub(super) kept: BTreeMap<DeviceId, Kept>,
    pub(super) borrowed: BTreeMap<DeviceId, BorrowedNames>,
}

/// How many entries there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Identities.
    pub identities: u64,
    /// Devices with something to remember.
    pub devices: u64,
    /// Devices with names of their own.
    pub borrowed: u64,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    path: PathBuf,
    /// Held for as long as anybody can read or write.
    _lock: Lock,
}

impl Store {
    /// Opens the file; `None` when there is none.
    pub(super) fn open(path: &Path, lock: Lock) -> Result<Option<Self>, RosterError> {
        if !path.exists() {
            return Ok(None);
        }
        check_private(path, 0o600)?;
        // To redb an empty file is one that is to be filled.
        let length = fs::metadata(path).map_err(RosterError::io("read", path))?;
        if length.len() == 0 {
            return Err(RosterError::damaged(path, "it is empty"));
        }
        let database = caught(path, || {
            let opened = Database::builder().set_cache_size(CACHE_BYTES).open(path);
            opened.map_err(|error| {
                let what = error.to_string();
                if let DatabaseError::Storage(redb::StorageError::Io(source)) = error
                    && source.kind() == ErrorKind::PermissionDenied
                {
                    return RosterError::io("open", path)(source);
                }
                RosterError::damaged(path, what)
            })
        })?;
        let path = path.to_owned();
        Ok(Some(Self {
            database,
            path,
            _lock: lock,
        }))
    }

    /// Makes the file with `meta` in it; it is there whole or not at all.
    pub(super) fn create(path: &Path, meta: &Meta, lock: Lock) -> Result<Self, RosterError> {
        let fresh = path.with_extension("new");
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(RosterError::io("write", &fresh))?;
        let made = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_file(file);
        let store = Self {
            database: made.map_err(|error| unwritten(&fresh, &error))?,
            path: path.to_owned(),
            _lock: lock,
        };
        store.write_meta(meta)?;
        store.write(&Batch::default())?;
        fs::rename(&fresh, path).map_err(RosterError::io("write", path))?;
        if let Some(folder) = path.parent() {
            let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(RosterError::io("write", folder))?;
        }
        Ok(store)
    }

    /// What it says of itself.
    pub(super) fn meta(&self, folder: &Path) -> Result<Meta, RosterError> {
        let unreadable = || RosterError::damaged(&self.path, "it does not say whose it is");
        let bytes = self.read(|reading| match reading.open_table(META) {
            Ok(table) => {
                let found = table.get("meta").map_err(|error| self.damaged(&error))?;
                Ok(found.map(|value| value.value().to_vec()))
            }
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(self.damaged(&error)),
        })?;
        let content = bytes.as_deref().and_then(|it| record::unseal(0, it));
        let content = content.ok_or_else(unreadable)?;
        let read: serde_json::Value = serde_json::from_slice(content).map_err(|_| unreadable())?;
        // A later format may have changed everything but this one key.
        let format = read.get("format").and_then(serde_json::Value::as_u64);
        match format.and_then(|it| u32::try_from(it).ok()) {
            Some(FORMAT) => serde_json::from_value(read).map_err(|_| unreadable()),
            Some(found) => Err(RosterError::Newer {
                folder: folder.to_owned(),
                found,
                known: FORMAT,
            }),
            None => Err(unreadable()),
        }
    }

    pub(super) fn write_meta(&self, meta: &Meta) -> Result<(), RosterError> {
        let content = serde_json::to_vec(meta).expect("plain data has a JSON form");
        self.change(|transaction| {
            let mut table = transaction.open_table(META)?;
            table.insert("meta", &*record::seal(0, &content))?;
            Ok(())
        })
    }

    /// Writes all of it, or nothing; it is on the disk when this returns.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), RosterError> {
        self.change(|transaction| {
            let mut identities = transaction.open_table(IDENTITIES)?;
            let mut issuers = transaction.open_table(ISSUERS)?;
            for (device, identity) in &batch.identities {
                let written = record::write_identity(identity);
                for issuer in &written.issuers {
                    let name = sha256(issuer);
                    if issuers.get(&name)?.is_none() {
                        issuers.insert(&name, issuer.as_ref())?;
                    }
                }
                let sealed = record::seal(device.0, &written.content);
                identities.insert(device.0, &*sealed)?;
            }
            let mut devices = transaction.open_table(DEVICES)?;
            for (device, kept) in &batch.kept {
                let content = serde_json::to_vec(kept).expect("plain data has a JSON form");
                devices.insert(device.0, &*record::seal(device.0, &content))?;
            }
            let mut borrowed = transaction.open_table(BORROWED)?;
            for (device, names) in &batch.borrowed {
                let content = borrowed::write(names);
                borrowed.insert(device.0, &*record::seal(device.0, &content))?;
            }
            Ok(())
        })
    }

    /// Forgets these devices. How many of them were known.
    pub(super) fn remove(&self, forget: &[DeviceId]) -> Result<u64, RosterError> {
        let mut known = 0;
        self.change(|transaction| {
            let mut identities = transaction.open_table(IDENTITIES)?;
            let mut devices = transaction.open_table(DEVICES)?;
            let mut borrowed = transaction.open_table(BORROWED)?;
            for device in forget {
                let parts = [
                    identities.remove(device.0)?.is_some(),
                    devices.remove(device.0)?.is_some(),
                    borrowed.remove(device.0)?.is_some(),
                ];
                known += u64::from(parts.contains(&true));
            }
            Ok(())
        })?;
        Ok(known)
    }

    pub(super) fn counts(&self) -> Result<Counts, RosterError> {
        let count = |table: TableDefinition<'_, u32, &[u8]>| {
            self.read(|reading| {
                let table = reading.open_table(table).map_err(|it| self.damaged(&it))?;
                table.len().map_err(|error| self.damaged(&error))
            })
        };
        Ok(Counts {
            identities: count(IDENTITIES)?,
            devices: count(DEVICES)?,
            borrowed: count(BORROWED)?,
        })
    }

    /// The identity of a device.
    pub(super) fn identity(&self, device: DeviceId) -> Result<Option<OwnIdentity>, RosterError> {
        self.read(|reading| {
            let table = reading.open_table(IDENTITIES);
            let table = table.map_err(|error| self.damaged(&error))?;
            let found = table.get(device.0).map_err(|error| self.damaged(&error))?;
            let Some(found) = found else {
                return Ok(None);
            };
            let issuers = reading.open_table(ISSUERS);
            let issuers = issuers.map_err(|error| self.damaged(&error))?;
            let issuer = |name: &[u8; 32]| {
                let der = issuers.get(name).ok()??.value().to_vec();
                (sha256(&der) == *name).then(|| CertificateDer::from(der))
            };
            let content = record::unseal(device.0, found.value());
            let read = content.and_then(|content| record::read_identity(content, issuer));
            let damaged = || RosterError::damaged_entry(&self.path, "identity", device);
            read.map(Some).ok_or_else(damaged)
        })
    }

    /// Shows each device's certificate, in order, until told to stop.
    pub(super) fn each_certificate(
        &self,
        devices: Range<u32>,
        mut show: impl FnMut(DeviceId, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), RosterError> {
        self.each(IDENTITIES, "identity", devices, |device, content| {
            Some(show(device, record::read_certificate(content)?))
        })
    }

    /// Shows what is kept of each device, in order, until told to stop.
    pub(super) fn each_kept(
        &self,
        devices: Range<u32>,
        mut show: impl FnMut(DeviceId, Kept) -> ControlFlow<()>,
    ) -> Result<(), RosterError> {
        self.each(DEVICES, "state", devices, |device, content| {
            Some(show(device, serde_json::from_slice(content).ok()?))
        })
    }

    /// What is kept of a device.
    pub(super) fn kept(&self, device: DeviceId) -> Result<Option<Kept>, RosterError> {
        let mut found = None;
        let after = device.0.saturating_add(1);
        self.each_kept(device.0..after, |_, kept| {
            found = Some(kept);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Shows the names each device brought along, in order.
    pub(super) fn each_borrowed(
        &self,
        mut show: impl FnMut(DeviceId, BorrowedNames),
    ) -> Result<(), RosterError> {
        self.each(BORROWED, "name", 0..u32::MAX, |device, content| {
            show(device, borrowed::read(content)?);
            Some(ControlFlow::Continue(()))
        })
    }

    fn each(
        &self,
        table: TableDefinition<'_, u32, &[u8]>,
        part: &str,
        devices: Range<u32>,
        mut show: impl FnMut(DeviceId, &[u8]) -> Option<ControlFlow<()>>,
    ) -> Result<(), RosterError> {
        self.read(|reading| {
            let table = reading.open_table(table);
            let table = table.map_err(|error| self.damaged(&error))?;
            let entries = table.range(devices).map_err(|error| self.damaged(&error))?;
            for entry in entries {
                let (device, value) = entry.map_err(|error| self.damaged(&error))?;
                let device = DeviceId(device.value());
                let content = record::unseal(device.0, value.value());
                let shown = content.and_then(|content| show(device, content));
                let damaged = || RosterError::damaged_entry(&self.path, part, device);
                if shown.ok_or_else(damaged)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, RosterError>,
    ) -> Result<T, RosterError> {
        caught(&self.path, || {
            let begun = self.database.begin_read();
            read(&begun.map_err(|error| self.damaged(&error))?)
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), RosterError> {
        let written = || {
            let mut transaction = self.database.begin_write()?;
            transaction.set_quick_repair(true);
            change(&transaction)?;
            transaction.commit()?;
            Ok::<_, redb::Error>(())
        };
        // A panic drops the transaction, which takes back what it had changed.
        caught(&self.path, || {
            written().map_err(|error| unwritten(&self.path, &error))
        })
    }

    fn damaged(&self, error: &dyn std::error::Error) -> RosterError {
        RosterError::damaged(&self.path, error.to_string())
    }
}

/// Runs something that reads or writes the file. redb asserts what it expects there: pages are summed only when
/// somebody asks for that, which takes as long as reading all of them.
fn caught<T>(path: &Path, work: impl FnOnce() -> Result<T, RosterError>) -> Result<T, RosterError> {
    // Nothing of what was being read is used after a panic.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let what = "its pages are not as they were written";
        Err(RosterError::damaged(path, what))
    })
}

fn unwritten(path: &Path, error: &dyn std::error::Error) -> RosterError {
    RosterError::Unwritten {
        file: path.to_owned(),
        why: error.to_string(),
    }
}
