//! The replicated queue: model, commands, their application, and Raft over one RocksDB.
//!
//! `door` is what the rest of the node sees; `model` are the values that go through it; [`Queue`]
//! opens all of it. Inside: `command` and `codec` make entries, `proposer` gathers them, `raft`
//! replicates them, `store` keeps them, `apply` and `meta` say what they change, `index` counts.
//! Only `raft` knows openraft, and only `store` knows RocksDB.

mod apply;
pub mod audit;
pub mod cluster;
pub mod codec;
mod command;
pub mod door;
mod doubt;
mod examine;
mod housekeeping;
mod inbox;
mod index;
mod inspect;
mod local;
pub mod machine;
mod membership;
mod meta;
pub mod model;
pub mod pattern;
mod proposer;
pub mod raft;
mod reads;
mod remote;
mod room;
mod rows;
mod standing;
pub mod store;
mod work;

pub use command::FORMAT;
pub use local::{Queue, QueueError, QueueOptions};
pub use remote::PeerService;
pub use standing::free_bytes;

#[cfg(test)]
mod crash_test;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod queue_test;
