//! The cluster: who belongs to it, how its nodes reach each other, and what each has to do.
//!
//! - `transport`: one connection to each other node for control and log entries, one for what is
//!   long (snapshots, tunnels).
//! - `placement`: where groups should be.
//! - `steward`: what each node does to bring and keep them there.

pub mod placement;
pub mod steward;
pub mod transport;

#[cfg(test)]
mod cluster_test;
#[cfg(test)]
pub(crate) mod fixture;
