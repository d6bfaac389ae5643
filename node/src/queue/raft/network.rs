//! The way to the other members of a group.
//!
//! Log entries go over one stream per group and node, requests ahead of their replies; heartbeats
//! are calls of their own, so that no batch holds them up; snapshots go over the connection for
//! what is long. A node that cannot be asked is answered `Unreachable`, so that Raft backs off and
//! tries again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use convoy_proto::peer;
use convoy_proto::peer::peer_client::PeerClient;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use openraft::alias::SnapshotOf;
use openraft::base::BoxFuture;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{
    Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential,
};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend};
use tonic::Status;
use tonic::transport::Channel;

use super::convert::{self, RaftVote, raft_log_id};
use super::state::SnapshotData;
use super::{TypeConfig, outgoing, wire};
use crate::id::{GroupId, NodeId};

/// Failed calls in a row after which connections are made anew.
const RENEW_AFTER: u32 = 8;
/// The longest message between nodes, in bytes: an entry of one long command and its bodies.
pub(crate) const MESSAGE_BYTES: usize = 64 << 20;
/// Pauses between tries to reach a node.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

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
    purpose: Purpose,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Entries,
    Heartbeat,
    Snapshot,
}

type Refused = Unreachable<TypeConfig>;
type AppendResults<'a> =
    BoxStream<'a, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;

fn unreachable(group: GroupId, reason: impl std::fmt::Display) -> Refused {
    Unreachable::new(&AnyError::error(format!("{group}: {reason}")))
}

impl Client {
    fn peer(&self) -> Result<PeerClient<Channel>, Refused> {
        let peers = &self.factory.peers;
        let channel = match self.purpose {
            Purpose::Entries | Purpose::Heartbeat => peers.channel(self.target),
            Purpose::Snapshot => peers.bulk(self.target),
        };
        let channel = channel.map_err(|reason| unreachable(self.factory.group, reason))?;
        Ok(PeerClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES))
    }

    /// Counts what became of a call.
    fn counted<T>(&mut self, result: Result<T, Status>) -> Result<T, Refused> {
        match result {
            Ok(reply) => {
                self.failures = 0;
                Ok(reply)
            }
            Err(status) => {
                self.failures += 1;
                if self.failures >= RENEW_AFTER {
                    self.failures = 0;
                    self.factory.peers.renew(self.target);
                }
                Err(unreachable(self.factory.group, status.message()))
            }
        }
    }

    async fn call<T>(
        &mut self,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Refused> {
        let result = match tokio::time::timeout(option.soft_ttl(), call).await {
            Ok(result) => result.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        };
        self.counted(result)
    }

    async fn ask_vote(
        &mut self,
        request: &VoteRequest<TypeConfig>,
        option: &RPCOption,
        pre_vote: bool,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut peer = self.peer()?;
        let request = wire::vote_request(self.factory.group, request, pre_vote);
        let reply = self.call(option, peer.vote(request)).await?;
        wire::read_vote_reply(&reply).map_err(|e| unreachable(self.factory.group, e).into())
    }

    /// Entries and replies over one stream.
    async fn stream<S>(&mut self, input: S) -> Result<AppendResults<'_>, RPCError<TypeConfig>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let group = self.factory.group;
        let mut peer = self.peer()?;
        let requests = input.map(move |request| wire::append_request(group, &request));
        let called = peer.append(requests).await;
        let replies = self.counted(called)?.into_inner();
        let results = replies.map(move |reply| {
            let reply = reply.map_err(|status| unreachable(group, status.message()))?;
            wire::read_append_reply(&reply).map_err(|e| unreachable(group, e).into())
        });
        Ok(results.boxed())
    }
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Client {
        self.client(target, Purpose::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _node: &BasicNode) -> Client {
        self.client(target, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, _node: &BasicNode) -> Client {
        self.client(target, Purpose::Snapshot)
    }
}

impl Factory {
    fn client(&self, target: u64, purpose: Purpose) -> Client {
        Client { factory: self.clone(), target: NodeId(target), purpose, failures: 0 }
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut peer = self.peer()?;
        let group = self.factory.group;
        let reply =
            self.call(&option, peer.append_one(wire::append_request(group, &request))).await?;
        let result = wire::read_append_reply(&reply).map_err(|e| unreachable(group, e))?;
        Ok(match result {
            Ok(upto) => AppendEntriesResponse::PartialSuccess(upto),
            Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
            Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendResults<'s>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        match self.purpose {
            Purpose::Heartbeat => stream_append_sequential(self, input, option),
            Purpose::Entries | Purpose::Snapshot => self.stream(input).boxed(),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(&request, &option, false).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(&request, &option, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let group = self.factory.group;
        let mut peer = self.peer()?;
        let frames = outgoing::frames(group, &vote, snapshot).map_err(|e| unreachable(group, e))?;
        let sending = peer.snapshot(frames);
        let sent = tokio::select! {
            sent = sending => sent.map(tonic::Response::into_inner),
            closed = cancel => return Err(closed.into()),
        };
        let reply = self.counted(sent)?;
        let vote = reply.vote.as_ref().map(convert::raft_vote);
        let vote = vote.ok_or_else(|| unreachable(group, "a reply without a vote"))?;
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        use peer::transfer_leader_reply::Refused as Kind;
        let mut peer = self.peer()?;
        let wire = wire::transfer_request(self.factory.group, &request);
        let reply = self.call(&option, peer.transfer_leader(wire)).await?;
        Ok(match reply.refused {
            None => Ok(()),
            Some(Kind::Vote(actual)) => Err(TransferLeaderError::VoteChanged {
                expected: *request.from_leader(),
                actual: convert::raft_vote(&actual),
            }),
            Some(Kind::Last(actual)) => Err(TransferLeaderError::LogNotFlushed {
                expected: request.last_log_id().copied(),
                actual: Some(raft_log_id(actual.into())),
            }),
        })
    }

    fn backoff(&self) -> Option<Backoff> {
        let pauses =
            std::iter::successors(Some(BACKOFF_FIRST), |pause| Some((*pause * 2).min(BACKOFF_MAX)));
        Some(Backoff::new(pauses))
    }
}
