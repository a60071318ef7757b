//! Real time: everything that does I/O, reads a clock, spawns or locks.
//!
//! The pure machines decide; what is here carries: requests to the target (`courier`), pushes
//! from it (`gateway`), orders to it (`operator`), facts to the ledger (`recorder`). The
//! story of a run is in [`run`].

pub mod adapter;
pub mod alone;
pub mod authority;
#[doc(hidden)]
pub mod bench;
pub mod bundle;
pub mod clock;
pub mod cms;
mod cms_types;
mod connection;
mod courier;
pub mod endpoint;
pub mod front;
mod gateway;
pub mod health;
mod http1;
pub mod identity;
pub mod limits;
mod operator;
mod ports;
mod provider_tls;
mod proxy;
pub mod push_client;
mod recorder;
pub mod run;
mod scribe;
pub mod serve;
pub mod state;
mod wire;
mod worker;
