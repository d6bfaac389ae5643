//! Limits that hold for all nodes together, shared out by leases.
//!
//! Every limit belongs to a partition of the queue, by its name, and the leader of that partition
//! coordinates it, in memory only. As long as no node needs more than its safe share
//! ([`share`]), nothing is coordinated: each member uses its own share without asking. When one
//! wants more, the limit is leased out: [`coordinator`] divides it among those who want it, and
//! what each may use under its lease takes the place of its safe share.
//!
//! What all nodes may use together never exceeds the limit, whatever is lost, late, dead or paused:
//!
//! - A lease ends six seconds after it was asked for, on the clock of the node that holds it; the
//!   coordinator counts it for eight seconds after it was asked.
//! - Less takes effect with an acknowledgement, or when the old lease has run out; more is granted
//!   only out of what is free.
//! - A node whose lease has run out uses the smaller of its lease and its safe share, and its whole
//!   safe share only when everything that was granted on its account has run out, too.
//! - A coordinator keeps the safe share of every node that it does not hear of. A node that hears
//!   of no coordinator for a minute has no right to safe shares any more, so that a dead node does
//!   not hold its part for ever.
//! - A new coordinator learns for the time of a lease, or until all members have told what they
//!   have, and in that time moves around only what it was told of.
//! - A new division of safe shares, when members come or go, is granted once every member uses no
//!   more than the smaller of the old one and the new one.
//!
//! `model_test.rs` plays this with lost and late messages, dead and paused nodes, clocks that run
//! apart and changing limits. What no protocol can prevent: a node that is paused keeps its
//! connections open for longer than its lease; it ends them when it wakes.

pub mod coordinator;
pub mod driver;
mod entry;
mod fair;
pub mod holder;
mod share;
pub mod terms;
mod wire;

pub use driver::{Driver, Surroundings};
pub use holder::{Sight, State};

#[cfg(test)]
mod driver_test;
#[cfg(test)]
mod model_test;
