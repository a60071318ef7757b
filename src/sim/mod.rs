//! Virtual time: a whole run in one machine, without a socket, a thread or a clock.
//!
//! [`World`] turns what `engine` turns on real time (a shard, the switchboard, the operator) with the
//! reference server in the target's place and a network that is drawn from the seed. The same plan and
//! settings give the same facts, byte for byte. Device life is never scaled here: time costs nothing.

mod agenda;
pub mod checker;
mod courier;
mod drain;
mod happenings;
pub mod load;
pub mod network;
mod operator;
mod origin;
mod provider;
mod trace;
pub mod transcript;
mod world;

pub use origin::Settings;
pub use trace::Exchanged;
pub use world::{Finished, World};
