//! The cluster: who belongs to it, how its nodes reach each other, and what each has to do.
//!
//! - `transport`: one connection to each other node for control and log entries, one for what is
//!   long (snapshots, tunnels).

pub mod transport;
