//! The way to the other members of a group.
//!
//! A node alone in its cluster has no peers; asking one is answered `Unreachable`, so that Raft
//! backs off and tries again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use openraft::alias::SnapshotOf;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend};
use tonic::transport::Channel;

use super::TypeConfig;
use super::convert::RaftVote;
use crate::id::{GroupId, NodeId};
use crate::queue::store::snapshot::SnapshotSource;

/// The way to other nodes. The cluster's transport implements it.
pub trait Peers: Send + Sync + 'static {
    /// The connection for control and log entries. The error says why there is none.
    fn channel(&self, node: NodeId) -> Result<Channel, String>;

    /// The connection for what is long.
    fn bulk(&self, node: NodeId) -> Result<Channel, String>;

    /// Where nodes are, `HOST:PORT` each. Nodes that are not named are not known any more.
    fn learn(&self, addresses: &BTreeMap<NodeId, String>);

    /// Makes the connections to a node anew: calls have failed again and again.
    fn renew(&self, node: NodeId);
}

/// The peers of a node that is alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Peers for Alone {
    fn channel(&self, node: NodeId) -> Result<Channel, String> {
        Err(format!("{node} is not known"))
    }

    fn bulk(&self, node: NodeId) -> Result<Channel, String> {
        self.channel(node)
    }

    fn learn(&self, _: &BTreeMap<NodeId, String>) {}

    fn renew(&self, _: NodeId) {}
}

/// Makes clients for the peers of one group.
#[derive(Clone)]
pub(super) struct Factory {
    pub(super) group: GroupId,
    pub(super) peers: Arc<dyn Peers>,
}

/// A client for one peer of one group.
pub(super) struct Client {
    factory: Factory,
    target: NodeId,
}

impl Client {
    fn unreachable(&self) -> Unreachable<TypeConfig> {
        let reason = self.factory.peers.channel(self.target).err().unwrap_or_default();
        Unreachable::new(&AnyError::error(format!("{}: {reason}", self.factory.group)))
    }
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Client {
        Client { factory: self.clone(), target: NodeId(target) }
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotSource;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn pre_vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: RaftVote,
        _snapshot: SnapshotOf<TypeConfig, SnapshotSource>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(self.unreachable().into())
    }
}
