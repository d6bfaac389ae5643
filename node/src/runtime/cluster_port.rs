//! What administration asks of the cluster, answered by the queue.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tonic::transport::Channel;

use super::node::Parts;
use crate::admin::ports::{ClusterPort, Refusal};
use crate::id::{GroupId, NodeId};
use crate::queue::cluster::{Change, Changed, Cluster, Standing};
use crate::queue::door::{Groups as _, Meta as _};
use crate::queue::model::GroupFigures;

/// The cluster, as administration sees it.
pub(super) struct Port(pub(super) Arc<Parts>);

impl ClusterPort for Port {
    fn me(&self) -> NodeId {
        self.0.queue.me()
    }

    fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.0.queue.cluster().borrow())
    }

    fn others(&self) -> Vec<(NodeId, Result<Channel, String>)> {
        let (me, cluster) = (self.me(), self.cluster());
        let others = cluster.members.keys().filter(|node| **node != me);
        let peers = self.0.queue.peers();
        others.map(|node| (*node, peers.channel(*node))).collect()
    }

    fn groups(&self) -> Vec<GroupFigures> {
        self.0.queue.figures()
    }

    fn transfer(&self, group: GroupId, node: NodeId) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            let handed = self.0.steward.hand_over(group, node).await;
            handed.map_err(|kept| Refusal::Unavailable(kept.to_string()))
        }
        .boxed()
    }

    fn set_standing(&self, node: NodeId, standing: Standing) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            match self.0.queue.change(Change::set_standing(node, standing)).await {
                Ok(Changed::Done | Changed::Number(_)) => Ok(()),
                Ok(Changed::Refused) => Err(Refusal::Refused(format!(
                    "{node} cannot be set so: it is being removed already, or nobody would be left \
                     to take its replicas"
                ))),
                Err(error) => Err(Refusal::Unavailable(error.to_string())),
            }
        }
        .boxed()
    }

    fn balance(&self) -> BoxFuture<'_, Result<u64, Refusal>> {
        async move {
            let (me, cluster) = (self.me(), self.cluster());
            let mut moved = 0;
            for led in self.groups().into_iter().filter(|one| one.leader == Some(me)) {
                let placed = cluster.placement.get(&led.group);
                let Some(preferred) = placed.and_then(|placed| placed.voters.first()) else {
                    continue;
                };
                // One that cannot take over now gets its group later, by itself.
                if *preferred != me && self.0.steward.hand_over(led.group, *preferred).await.is_ok()
                {
                    moved += 1;
                }
            }
            Ok(moved)
        }
        .boxed()
    }
}
