//! Tells the other nodes what this node has open: every few milliseconds what has changed, and all
//! of it to a node that missed something.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use convoy_proto::indoubt as proto;
use convoy_proto::indoubt::in_doubt_client::InDoubtClient;
use tokio::task::JoinSet;

use super::Journal;
use super::foreign::attempt;
use super::journal::Changes;
use crate::id::NodeId;
use crate::queue::cluster::Cluster;
use crate::queue::door::Meta;
use crate::queue::model::FinalDot;
use crate::queue::raft::Peers;

/// Changes gather for so long.
const GATHER: Duration = Duration::from_millis(5);
/// A node that does not answer within this time has missed what it was told.
const ANSWER: Duration = Duration::from_millis(500);
/// Between tries to tell a node that does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// What a node knows.
#[derive(Clone, Copy, Debug, Default)]
struct Listener {
    number: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It has missed something.
    #[default]
    Behind,
    /// It knows all but the latest changes.
    Current,
    /// It has not answered yet; and has missed changes meanwhile, or not.
    Asked { missed: bool },
}

/// Tells until the task is aborted.
pub(super) async fn run(journal: Arc<Journal>, meta: Arc<dyn Meta>, peers: Arc<dyn Peers>) {
    let cluster = meta.cluster();
    let (me, run) = (meta.me(), rand::random());
    let mut listeners: BTreeMap<NodeId, Listener> = BTreeMap::new();
    let mut calls: JoinSet<(NodeId, bool)> = JoinSet::new();
    loop {
        tokio::select! {
            () = journal.changed() => {}
            Some(Ok((node, good))) = calls.join_next() => {
                if let Some(listener) = listeners.get_mut(&node) {
                    listener.answered(good);
                }
            }
            () = tokio::time::sleep(AGAIN), if listeners.values().any(Listener::is_behind) => {}
        }
        tokio::time::sleep(GATHER).await;
        let cluster = Arc::clone(&cluster.borrow());
        listeners.retain(|node, _| cluster.members.contains_key(node));
        for node in cluster.members.keys().filter(|node| **node != me) {
            listeners.entry(*node).or_default();
        }
        let (changes, begun) = journal.take_changes();
        let is_change = !begun.is_empty() || !changes.ended.is_empty() || changes.overflow;
        for (node, listener) in &mut listeners {
            let Some(whole) = listener.next(is_change, changes.overflow) else { continue };
            let dots = if whole { journal.whole() } else { begun.clone() };
            let message = message(&cluster, *node, whole, &dots, &changes);
            let number = listener.number;
            let message = proto::TellRequest { run, number, ..message };
            calls.spawn(tell(Arc::clone(&peers), *node, message));
        }
    }
}

impl Listener {
    const fn is_behind(&self) -> bool {
        matches!(self.state, State::Behind)
    }

    /// Whether it is to be told now, and then whether all or what has changed.
    const fn next(&mut self, is_change: bool, overflow: bool) -> Option<bool> {
        let whole = match self.state {
            State::Asked { missed } => {
                self.state = State::Asked { missed: missed || is_change };
                return None;
            }
            State::Current if !is_change => return None,
            State::Current => overflow,
            State::Behind => true,
        };
        self.state = State::Asked { missed: false };
        self.number += 1;
        Some(whole)
    }

    const fn answered(&mut self, good: bool) {
        let missed = matches!(self.state, State::Asked { missed: true });
        self.state = if good && !missed { State::Current } else { State::Behind };
    }
}

/// What concerns groups of which the node has a replica.
fn message(
    cluster: &Cluster,
    node: NodeId,
    whole: bool,
    dots: &[(u64, FinalDot)],
    changes: &Changes,
) -> proto::TellRequest {
    let concerns = |dot: &FinalDot| {
        let placed = cluster.placement.get(&dot.locator.group);
        placed.is_none_or(|p| p.voters.contains(&node) || p.learners.contains(&node))
    };
    let begun = dots.iter().filter(|(_, dot)| concerns(dot));
    proto::TellRequest {
        whole,
        begun: begun.map(|(ticket, dot)| attempt(*ticket, dot)).collect(),
        ended: if whole { Vec::new() } else { changes.ended.clone() },
        ..proto::TellRequest::default()
    }
}

/// True when the node has all that it was told.
async fn tell(peers: Arc<dyn Peers>, node: NodeId, message: proto::TellRequest) -> (NodeId, bool) {
    let Ok(channel) = peers.channel(node) else { return (node, false) };
    let mut client = InDoubtClient::new(channel);
    let good = match tokio::time::timeout(ANSWER, client.tell(message)).await {
        Ok(Ok(reply)) => !reply.into_inner().again,
        Ok(Err(_)) | Err(_) => false,
    };
    (node, good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_missed_something_is_told_all() {
        let mut listener = Listener::default();
        assert_eq!(listener.next(false, false), Some(true), "at first it knows nothing");
        assert_eq!(listener.next(true, false), None, "it has not answered yet");
        listener.answered(true);
        assert_eq!(listener.next(false, false), Some(true), "what changed meanwhile was missed");
        listener.answered(true);
        assert_eq!(listener.next(false, false), None);
        assert_eq!(listener.next(true, false), Some(false));
        listener.answered(false);
        assert!(listener.is_behind());
        assert_eq!((listener.next(true, false), listener.number), (Some(true), 4));
        listener.answered(true);
        assert_eq!(listener.next(true, true), Some(true), "too much has changed");
    }
}
