//! Attempts whose result is not known: what was between final dot and report when its node ended.
//!
//! - `record`: the records of the journal.
//! - `journal`: what this node has open, in memory and in a file that outlives the process.
//! - `foreign`: what the other nodes have told that they have open.
//! - `teller`: tells them what this node has open, every few milliseconds.
//! - `service`: hears what they tell.
//! - `marker`: notes in the partitions what is not known: of this node after a restart or a lost
//!   leadership, of others when this node begins to lead what they led.
//!
//! Best effort by design: the file is not synced, and what a node told last may be lost with it. A
//! mark that is missing hides a duplicate from `list --unknown` and does no other harm.

#[cfg(test)]
mod doubt_test;
mod foreign;
mod journal;
mod marker;
mod record;
mod service;
mod teller;

use std::sync::Arc;

use tokio::task::JoinHandle;

pub use convoy_proto::indoubt::in_doubt_server::InDoubtServer;
pub use foreign::Foreign;
pub use journal::Journal;
pub use service::InDoubtService;

use crate::queue::door::{MarkUnknown, Meta, Work};
use crate::queue::raft::Peers;

/// What the tasks ask.
pub struct Surroundings {
    /// Where marks are put.
    pub mark: Arc<dyn MarkUnknown>,
    /// What this node leads.
    pub work: Arc<dyn Work>,
    /// Who else there is.
    pub meta: Arc<dyn Meta>,
    /// The way to them.
    pub peers: Arc<dyn Peers>,
}

/// Starts the tasks on the current runtime; they run until they are aborted.
#[must_use]
pub fn start(
    journal: &Arc<Journal>,
    foreign: &Arc<Foreign>,
    around: Surroundings,
) -> Vec<JoinHandle<()>> {
    let Surroundings { mark, work, meta, peers } = around;
    let own = marker::own(Arc::clone(journal), Arc::clone(&mark), meta.me());
    let taken_over = marker::taken_over(Arc::clone(foreign), mark, work);
    vec![
        tokio::spawn(own),
        tokio::spawn(taken_over),
        tokio::spawn(teller::run(Arc::clone(journal), meta, peers)),
    ]
}

/// Marks what a former run of this node left open, in groups that have a leader by now. To be
/// awaited before anything is sent again, and not for long: the rest is left to the tasks.
pub async fn mark_left_open(journal: &Journal, mark: &dyn MarkUnknown, meta: &dyn Meta) {
    marker::mark_own(journal, mark, meta.me()).await;
}
