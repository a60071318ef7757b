//! mdmstorm simulates crowds of Apple devices to test MDM servers, and explains why commands are
//! pending. ARCHITECTURE.md is the way in.

pub mod condition;
pub mod fact;
pub mod ids;
pub mod metric;
pub mod rule;
pub mod seed;
pub mod time;

pub mod protocol;

pub mod apns;
pub mod device;
pub mod reference_server;
pub mod shard;

pub mod plan;
pub mod scenario;

pub mod finding;
pub mod record;
pub mod reduce;
pub mod report;

pub mod sim;

#[cfg(feature = "net")]
pub mod cli;
#[cfg(feature = "net")]
pub mod engine;
