//! Why a roster cannot be used, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::ids::DeviceId;

/// Why a roster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}; name another folder with --roster", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Others can read its keys.
    #[error(
        "{} is open to others (mode {mode:o}): it holds private keys, run chmod {wanted:o} {}",
        path.display(), path.display()
    )]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// Another process has it.
    #[error(
        "the roster {} is in use by {}; wait until that ends, or name another folder with --roster",
        folder.display(), holder(*process)
    )]
    InUse {
        /// The roster's folder.
        folder: PathBuf,
        /// The process, if it could be read who it is.
        process: Option<u32>,
    },
    /// There is none.
    #[error(
        "there is no roster in {}; `mdmstorm enroll FILE --roster {}` makes one",
        folder.display(), folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// A later mdmstorm wrote it.
    #[error(
        "the roster {} has format {found}, and this mdmstorm reads format {known}: use the version \
         that wrote it, or name another folder with --roster", folder.display()
    )]
    Newer {
        /// The roster's folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
        /// What is known here.
        known: u32,
    },
    /// Its devices are of another state folder.
    #[error(
        "the roster {} holds devices of crowd {found}, and this state folder is crowd {expected}: \
         give the state folder it was made with (--state), or name another folder with --roster",
        folder.display()
    )]
    OtherCrowd {
        /// The roster's folder.
        folder: PathBuf,
        /// Its crowd, hexadecimal.
        found: String,
        /// That of the state folder.
        expected: String,
    },
    /// Its devices are enrolled elsewhere.
    #[error(
        "the roster {} holds devices that are enrolled with {found}, and the target is {expected}: \
         each target needs a roster of its own, name another folder with --roster",
        folder.display()
    )]
    OtherTarget {
        /// The roster's folder.
        folder: PathBuf,
        /// The target's URL it was made for.
        found: String,
        /// The URL of the target.
        expected: String,
    },
    /// Its devices wait for pushes of another topic.
    #[error(
        "the roster {} holds devices that enrolled with the push topic {found}, and the topic of this \
         run is {expected}: use the push certificate it was made with, or name another folder with \
         --roster",
        folder.display()
    )]
    OtherTopic {
        /// The roster's folder.
        folder: PathBuf,
        /// The topic it was made with.
        found: String,
        /// That of the run.
        expected: String,
    },
    /// The devices of the scenario are not those that were enrolled.
    #[error(
        "the roster {} holds other devices than the scenario has: {differences}; use the scenario \
         they were enrolled with, or name another folder with --roster",
        folder.display()
    )]
    OtherDevices {
        /// The roster's folder.
        folder: PathBuf,
        /// The first of them, and how many more there are.
        differences: String,
    },
    /// The target will not be there in a later run.
    #[error(
        "the embedded target forgets its devices when the run ends, so a roster of them is of no \
         use: leave --roster out, or give the scenario a target that stays"
    )]
    Embedded,
    /// What is in it is not what was written.
    #[error(
        "the roster {} is damaged: {what}; restore a copy, or move it away and enrol again",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// It cannot be written to.
    #[error("the roster {} cannot be written: {why}", file.display())]
    Unwritten {
        /// The file.
        file: PathBuf,
        /// The reason.
        why: String,
    },
}

impl RosterError {
    /// Whether the command line or the scenario has to be changed.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::OtherCrowd { .. }
            | Self::OtherTarget { .. }
            | Self::OtherTopic { .. }
            | Self::OtherDevices { .. }
            | Self::Embedded => true,
            Self::Io { .. }
            | Self::Open { .. }
            | Self::InUse { .. }
            | Self::Newer { .. }
            | Self::Damaged { .. }
            | Self::Unwritten { .. } => false,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(super) fn damaged(file: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            what: what.into(),
        }
    }

    /// The entry of one device cannot be read.
    pub(super) fn damaged_entry(file: &Path, part: &str, device: DeviceId) -> Self {
        let what = format!("the {part} of device {} is not as it was written", device.0);
        Self::damaged(file, what)
    }
}

fn holder(process: Option<u32>) -> String {
    process.map_or_else(
        || "another process".to_owned(),
        |process| format!("process {process}"),
    )
}
