//! `mdmstorm schema`: the JSON Schema of scenario files, for editors.

use super::print::{Stop, say};

pub(super) fn run() -> Result<u8, Stop> {
    let schema = serde_json::to_string_pretty(&crate::scenario::schema());
    say(&schema.map_err(|error| Stop::because(crate::report::exit::Exit::Unexpected, error))?);
    Ok(0)
}
