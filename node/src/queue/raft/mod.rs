//! Raft over the store: the only module that knows openraft.
//!
//! A [`Group`] is a Raft group as the rest of the queue sees it: it proposes, knows whether this
//! node leads and may send, and tells when leadership comes and goes. What goes to disk and over
//! the wire are our own messages: types of a pre-release library are not a format.

mod convert;
pub mod group;
mod incoming;
mod leadership;
mod log;
pub(crate) mod members;
mod network;
mod outgoing;
mod recovery;
mod service;
mod state;
mod wire;

#[cfg(test)]
mod suite_test;

use std::fmt;
use std::sync::Arc;

pub(crate) use network::MESSAGE_BYTES;
pub use network::{Alone, Peers};
pub(crate) use service::RaftService;

use crate::queue::machine::Answer;
use crate::queue::store::entry::Proposal;

openraft::declare_raft_types!(
    /// Types of all groups.
    pub(crate) TypeConfig:
        D = AppData,
        R = Answers,
        NodeId = u64,
        Node = openraft::impls::BasicNode,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

/// A proposal as Raft carries it.
#[derive(Clone, Debug)]
pub(crate) struct AppData(pub(crate) Arc<Proposal>);

impl fmt::Display for AppData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the machine answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(pub(crate) Vec<Answer>);
