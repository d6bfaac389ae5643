//! The door of the meta group, and who leads what.

use std::collections::BTreeMap;
use std::sync::Arc;

use convoy_proto::storage as proto;
use futures_util::future::BoxFuture;
use prost::Message as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cluster::{Change, Changed, Cluster, Configuration, Placement};
use super::command::Draft;
use super::door::{Groups, Meta, ReportError};
use super::local::Queue;
use super::machine::{Answer, MachineError, Table};
use super::meta;
use super::model::{GroupFigures, Moved};
use super::proposer::When;
use super::raft::Peers;
use super::work::report_error;
use crate::id::{GroupId, NodeId};

/// Where the members of a cluster are.
pub(super) fn addresses(cluster: &Cluster) -> BTreeMap<NodeId, String> {
    let members = cluster.members.iter();
    members.map(|(node, member)| (*node, member.address.clone())).collect()
}

/// Keeps the way to other nodes current.
pub(super) fn follow_addresses(queue: &Queue) -> JoinHandle<()> {
    let (mut cluster, peers) = (queue.meta.cluster.clone(), queue.peers.clone());
    tokio::spawn(async move {
        loop {
            peers.learn(&addresses(&cluster.borrow_and_update()));
            if cluster.changed().await.is_err() {
                return;
            }
        }
    })
}

impl Queue {
    /// The way to other nodes.
    #[must_use]
    pub fn peers(&self) -> Arc<dyn Peers> {
        Arc::clone(&self.peers)
    }
}

impl Meta for Queue {
    fn me(&self) -> NodeId {
        self.node
    }

    fn cluster(&self) -> watch::Receiver<Arc<Cluster>> {
        self.meta.cluster.clone()
    }

    fn change(&self, change: Change) -> BoxFuture<'_, Result<Changed, ReportError>> {
        Box::pin(async move {
            let draft = Draft::cluster(&change);
            let told = self.propose(GroupId::META, draft, When::Applied).await;
            match told.map_err(report_error)?.answer {
                Some(Answer::Done) => Ok(Changed::Done),
                Some(Answer::Number(number) | Answer::Changed(number)) => {
                    Ok(Changed::Number(number))
                }
                Some(
                    Answer::Refused | Answer::Stored(_) | Answer::Repeated(_) | Answer::Piece(_),
                )
                | None => Ok(Changed::Refused),
            }
        })
    }

    fn configuration(&self, version: u64) -> BoxFuture<'_, Option<Configuration>> {
        Box::pin(self.read(GroupId::META, move |state| {
            let Some(row) = state.row(Table::State, &meta::version_row(version))? else {
                return Ok(None);
            };
            let row = proto::Configuration::decode(row.as_slice())
                .map_err(|e| MachineError::Inconsistent(e.to_string()))?;
            Ok(Some(row.into()))
        }))
    }

    fn leader(&self, group: GroupId) -> Option<NodeId> {
        self.groups.get(&group)?.leader()
    }
}

impl Groups for Queue {
    fn figures(&self) -> Vec<GroupFigures> {
        self.groups.values().map(|group| group.figures()).collect()
    }

    fn successors(&self, group: GroupId) -> Vec<NodeId> {
        self.groups.get(&group).map(|group| group.successors()).unwrap_or_default()
    }

    fn move_to(
        &self,
        group: GroupId,
        placement: Placement,
    ) -> BoxFuture<'_, Result<Moved, String>> {
        Box::pin(async move {
            let group = self.groups.get(&group).ok_or_else(|| format!("no group {group} here"))?;
            group.move_to(&placement).await
        })
    }

    fn retire(&self, group: GroupId) {
        self.index.retire(group);
    }

    fn resume(&self, group: GroupId) {
        self.index.resume(group);
    }

    fn transfer(&self, group: GroupId, to: NodeId) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let group = self.groups.get(&group).ok_or_else(|| format!("no group {group} here"))?;
            group.transfer(to).await
        })
    }
}
