//! Apple's push service, as far as a provider and a device can tell: what is let in ([`admission`]) and
//! from whom ([`provider`], [`bearer`]), what is kept for a device that cannot be reached ([`slot`]) or is
//! not ours ([`pending`]), and what goes wrong with pushes ([`fault`]) or with all of it ([`service`]).
//!
//! Pure: the gateway's sockets are in `engine`, and the delivery times are drawn by the shard.

pub mod admission;
pub mod bearer;
pub mod connect;
pub mod fault;
mod pace;
pub mod pending;
pub mod provider;
pub mod service;
pub mod slot;

#[cfg(test)]
mod reason_tests;
