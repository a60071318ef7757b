//! One process at a time: a lock file that says which.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::error::RosterError;

/// A roster's folder while this process holds it. The operating system frees it when the process
/// dies, however that happens.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder, which is made if there is none.
    pub(super) fn take(folder: &Path) -> Result<Self, RosterError> {
        if !folder.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(RosterError::io("make the roster's folder", folder))?;
        }
        check_private(folder, 0o700)?;
        let path = folder.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(RosterError::io("write", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RosterError::InUse {
                    folder: folder.to_owned(),
                    process: read_process(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(RosterError::io("lock", &path)(source));
            }
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(RosterError::io("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// The process that a lock file names.
fn read_process(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Refuses a file or folder that others may read.
pub(super) fn check_private(path: &Path, wanted: u32) -> Result<(), RosterError> {
    let metadata = fs::metadata(path).map_err(RosterError::io("read", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(RosterError::Open {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    Ok(())
}
