//! One device behind a scripted server, on virtual time: what it does, as transcripts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod enrollment;
mod not_now;
mod random;
mod reach;
mod rig;
mod session;
mod verdict;
