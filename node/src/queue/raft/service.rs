//! What other nodes ask of this node's Raft groups.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use convoy_proto::peer;
use futures_util::{Stream, StreamExt as _, stream};
use openraft::storage::Snapshot;
use tonic::{Request, Response, Status, Streaming};

use super::convert::{RaftSnapshotMeta, raft_applied};
use super::group::Group;
use super::state::SnapshotData;
use super::{convert, incoming, wire};
use crate::id::GroupId;

/// All groups of this node.
#[derive(Clone)]
pub(crate) struct RaftService {
    groups: Arc<BTreeMap<GroupId, Arc<Group>>>,
}

type AppendReplies = Pin<Box<dyn Stream<Item = Result<peer::AppendReply, Status>> + Send>>;

fn unreadable(error: std::io::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

impl RaftService {
    /// Serves these groups.
    pub(crate) const fn new(groups: Arc<BTreeMap<GroupId, Arc<Group>>>) -> Self {
        Self { groups }
    }

    fn group(&self, number: u32) -> Result<&Arc<Group>, Status> {
        let group = GroupId(number);
        self.groups.get(&group).ok_or_else(|| Status::not_found(format!("no group {group} here")))
    }

    pub(crate) async fn append(
        &self,
        request: Request<Streaming<peer::AppendRequest>>,
    ) -> Result<Response<AppendReplies>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("nothing to append"))?;
        let raft = self.group(first.group)?.raft();
        let group = first.group;
        let rest = stream::once(std::future::ready(Ok(first))).chain(requests);
        // A broken stream ends the input; what was read before is answered.
        let readable = rest.scan((), move |(), request| {
            let read = match request {
                Ok(request) if request.group == group => wire::read_append_request(request).ok(),
                Ok(_) | Err(_) => None,
            };
            std::future::ready(read)
        });
        let replies = raft.stream_append(readable).map(|result| match result {
            Ok(result) => Ok(wire::append_reply(&result)),
            Err(fatal) => Err(stopped(fatal)),
        });
        Ok(Response::new(Box::pin(replies)))
    }

    pub(crate) async fn append_one(
        &self,
        request: peer::AppendRequest,
    ) -> Result<peer::AppendReply, Status> {
        let raft = self.group(request.group)?.raft();
        let request = wire::read_append_request(request).map_err(unreadable)?;
        let one = stream::once(std::future::ready(request));
        let mut replies = Box::pin(raft.stream_append(one));
        match replies.next().await {
            Some(Ok(result)) => Ok(wire::append_reply(&result)),
            Some(Err(fatal)) => Err(stopped(fatal)),
            None => Err(stopped("the group has stopped")),
        }
    }

    pub(crate) async fn vote(&self, request: peer::VoteRequest) -> Result<peer::VoteReply, Status> {
        let raft = self.group(request.group)?.raft();
        let read = wire::read_vote_request(&request).map_err(unreadable)?;
        let reply =
            if request.pre_vote { raft.pre_vote(read).await } else { raft.vote(read).await };
        reply.map(|reply| wire::vote_reply(&reply)).map_err(stopped)
    }

    pub(crate) async fn snapshot(
        &self,
        request: Request<Streaming<peer::SnapshotFrame>>,
    ) -> Result<peer::SnapshotReply, Status> {
        let mut frames = request.into_inner();
        let head = incoming::head(&mut frames).await?;
        let group = self.group(head.group)?;
        let applied = head.applied.ok_or_else(|| Status::invalid_argument("no position"))?;
        let (last_log_id, last_membership) = raft_applied(Some(&applied)).map_err(unreadable)?;
        let vote = head.vote.as_ref().map(convert::raft_vote);
        let vote = vote.ok_or_else(|| Status::invalid_argument("no vote"))?;
        tracing::info!("{}: a snapshot arrives", group.id());
        let staged = group.stage(frames).await?;
        let meta = RaftSnapshotMeta { last_log_id, last_membership };
        let snapshot = Snapshot { meta, snapshot: SnapshotData::Staged(staged) };
        let reply = group.raft().install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        tracing::info!("{}: a snapshot is installed", group.id());
        Ok(peer::SnapshotReply { vote: Some(convert::vote(&reply.vote)) })
    }

    pub(crate) async fn transfer_leader(
        &self,
        request: peer::TransferLeaderRequest,
    ) -> Result<peer::TransferLeaderReply, Status> {
        use openraft::raft::TransferLeaderError;
        use peer::transfer_leader_reply::Refused;
        let raft = self.group(request.group)?.raft();
        let read = wire::read_transfer_request(&request).map_err(unreadable)?;
        let refused = match raft.handle_transfer_leader(read).await.map_err(stopped)? {
            Ok(()) => None,
            Err(TransferLeaderError::VoteChanged { actual, .. }) => {
                Some(Refused::Vote(convert::vote(&actual)))
            }
            Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
                let last = actual.as_ref().map(|id| convert::log_id(id).into());
                Some(Refused::Last(last.unwrap_or_default()))
            }
        };
        Ok(peer::TransferLeaderReply { refused })
    }
}
