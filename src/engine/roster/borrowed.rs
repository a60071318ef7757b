//! Names that a device brought along, as they are written.

use serde::{Deserialize, Serialize};

use crate::ids::{BorrowedNames, hex_array, hex_lower};

/// [`BorrowedNames`] as JSON.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    udid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    /// Hexadecimal.
    token: String,
    magic: String,
}

pub(super) fn write(names: &BorrowedNames) -> Vec<u8> {
    let written = Written {
        udid: names.udid.clone(),
        serial: names.serial.clone(),
        token: hex_lower(&names.token),
        magic: names.magic.clone(),
    };
    serde_json::to_vec(&written).expect("plain data has a JSON form")
}

pub(super) fn read(content: &[u8]) -> Option<BorrowedNames> {
    let Written {
        udid,
        serial,
        token,
        magic,
    } = serde_json::from_slice(content).ok()?;
    Some(BorrowedNames {
        udid,
        serial,
        token: hex_array(&token)?,
        magic,
    })
}
