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
mod carrier;
mod certificate_header;
mod client_tls;
pub mod clock;
mod connection;
mod courier;
pub mod endpoint;
mod enroll;
mod errand;
pub mod events;
mod fetch;
#[cfg(test)]
mod fetch_tests;
pub mod front;
pub mod gateway;
pub mod health;
mod http1;
mod http2;
pub mod identity;
mod inspection;
pub mod limits;
mod operator;
#[cfg(test)]
mod operator_tests;
#[cfg(test)]
mod paused_tests;
mod permits;
mod pins;
pub mod pki;
mod ports;
#[doc(hidden)]
pub mod probe;
mod provider_tls;
mod proxy;
mod push_certificate;
pub mod push_client;
mod recorder;
pub mod redirect;
pub mod reset;
pub mod roster;
mod round;
pub mod run;
mod scribe;
pub mod serve;
pub mod state;
mod tickets;
mod tokens;
mod wire;
mod worker;

pub use pki::mdm_signature as cms;
