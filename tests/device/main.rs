//! One device behind a scripted server, on virtual time: what it does, as transcripts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod check_in;
mod clock;
mod conditions;
mod enrollment;
mod identity;
mod manners;
mod not_now;
mod random;
mod reach;
mod renewal;
mod resumption;
mod returns;
mod rig;
mod session;
mod users;
mod verdict;
mod words;
