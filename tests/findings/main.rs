//! Detectors of broken rules: each fires on what breaks its rule, and keeps silent on what looks alike.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deliveries;
#[path = "../fact_rig/mod.rs"]
mod fact_rig;
mod hostile;
mod not_now;
mod order_of_facts;
mod pushes;
mod rehearsed;
mod servers_view;
mod tale;
