//! Bytes to types and back: what devices, MDM servers and APNs say to each other.
//!
//! Everything here is a pure function of its input. Decoding never panics and never trusts a
//! length; what it cannot read it names in an error. Devices and the reference server share
//! nothing but this module.

pub mod access_right;
pub mod checkin;
pub mod command;
pub mod error_chain;
pub mod plist;
mod plist_reader;
mod plist_writer;
pub mod profile;
pub mod push;
pub mod redaction;
pub mod request_types;
pub mod status_report;
