//! The door of the meta group, and who leads what.

use std::sync::Arc;

use convoy_proto::storage as proto;
use futures_util::future::BoxFuture;
use prost::Message as _;
use tokio::sync::watch;

use super::cluster::{Change, Changed, Cluster, Configuration};
use super::command::Draft;
use super::door::{Meta, ReportError};
use super::local::Queue;
use super::machine::{Answer, MachineError, Table};
use super::meta;
use super::proposer::When;
use super::work::report_error;
use crate::id::{GroupId, NodeId};

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
        self.members.get(&group)?.group.leader()
    }
}
