//! Apple's push service, as far as a provider and a device can tell: what is let in
//! ([`admission`]), and what is kept for a device that cannot be reached ([`slot`]).
//!
//! Pure: the gateway's sockets are in `engine`, and the delivery times are drawn by the shard.

pub mod admission;
pub mod slot;
