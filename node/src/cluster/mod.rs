//! The cluster: who belongs to it, how its nodes reach each other, and what each has to do.
//!
//! - `limits`: leases of limits that hold for all nodes together.
//! - `transport`: one connection to each other node for control and log entries, one for what is
//!   long (snapshots, tunnels).
//! - `placement`: where groups should be.
//! - `steward`: what each node does to bring and keep them there.
//! - `authority`: the certificates of nodes and operators; `subject`: whom a certificate is for.
//! - `credentials`: the node's own certificate in use; `files`: on disk; `renewal`: kept good.
//! - `dial`, `accept`: TLS connections to others and from others; `gate`: who may call what.
//! - `doubt`: attempts whose result is not known, since their node ended in between.
//! - `token`, `join`, `joining`: how a new node gets in, seen from the cluster and from the node.

pub mod accept;
pub mod authority;
pub mod credentials;
pub mod dial;
pub mod doubt;
pub mod files;
pub mod gate;
pub mod join;
pub mod joining;
pub mod limits;
pub mod placement;
pub mod renewal;
pub mod steward;
pub mod subject;
pub mod token;
pub mod transport;

#[cfg(test)]
mod accept_test;
#[cfg(test)]
mod cluster_test;
#[cfg(test)]
pub(crate) mod fixture;
