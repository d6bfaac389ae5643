//! The replicated queue: model, commands, their application, and Raft over one RocksDB.
//!
//! `door` is what the rest of the node sees; `model` are the values that go through it.

pub mod door;
pub mod machine;
pub mod model;
pub mod pattern;
