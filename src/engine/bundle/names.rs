//! `devices.ndjson.zst`: which number of a run is which device at the target.
//!
//! Names derive from a secret of the state folder, which no bundle has.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::LEVEL;
use super::lines::{Line, Lines};
use crate::ids::{Crowd, DeviceId};

/// The file's name.
pub(super) const NAMES: &str = "devices.ndjson.zst";

/// What a target knows a device by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNames {
    /// Its number in the run.
    pub device: DeviceId,
    /// Its UDID.
    pub udid: String,
    /// Its serial number.
    pub serial: String,
}

impl DeviceNames {
    /// Whether somebody means this device by `name`: UDID or serial number, in either case.
    pub fn is_called(&self, name: &str) -> bool {
        self.udid.eq_ignore_ascii_case(name) || self.serial.eq_ignore_ascii_case(name)
    }
}

/// Writes the names of the first `devices` of `crowd`.
pub(super) fn write(folder: &Path, crowd: &Crowd, devices: u32) -> io::Result<()> {
    let file = File::create_new(folder.join(NAMES))?;
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    for device in (0..devices).map(DeviceId) {
        let names = DeviceNames {
            device,
            udid: crowd.udid(device),
            serial: crowd.serial(device),
        };
        serde_json::to_writer(&mut encoder, &names)?;
        encoder.write_all(b"\n")?;
    }
    encoder.finish().map(drop)
}

/// The first device that `wanted` picks; `None` when there is none, or no such file.
pub(super) fn find(
    folder: &Path,
    wanted: impl Fn(&DeviceNames) -> bool,
) -> io::Result<Option<DeviceNames>> {
    let mut lines = match Lines::open(&folder.join(NAMES)) {
        Ok(lines) => lines,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    loop {
        match lines.read_line()? {
            Line::Whole(line) => {
                let names: DeviceNames = serde_json::from_slice(line)?;
                if wanted(&names) {
                    return Ok(Some(names));
                }
            }
            Line::End => return Ok(None),
            // Whether it had been among the rest nobody knows.
            Line::Cut => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
