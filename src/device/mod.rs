//! One virtual device.
pub mod contract;
pub mod traits;
