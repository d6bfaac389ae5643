//! Commands for groups that another node leads, and those that come from other nodes.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use convoy_proto::peer;
use convoy_proto::peer::peer_client::PeerClient;
use convoy_proto::peer::peer_server::{Peer, PeerServer};
use convoy_proto::storage as proto;
use futures_util::{Stream, stream};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::command::{Draft, FORMAT};
use super::local::{Member, Queue};
use super::machine::{Answer, BodyPart};
use super::proposer::{Failure, Told, When};
use super::raft::{MESSAGE_BYTES, RaftService};
use crate::id::{GroupId, Locator, NodeId};

/// Bytes of bodies in one message.
const RUN_BYTES: usize = 1 << 20;
/// Bytes of the bodies of one command.
const BODIES_BYTES: u64 = 16 << 20;
/// How long another node may take to commit a command.
const PATIENCE: Duration = Duration::from_secs(10);

impl Queue {
    /// Asks `node` to propose a command to a group that it leads.
    pub(super) async fn propose_at(
        &self,
        node: NodeId,
        group: GroupId,
        draft: &Draft,
        when: When,
    ) -> Result<Told, Failure> {
        // Nobody was asked, so nothing is stored.
        let channel = self.peers.channel(node).map_err(|_| Failure::NotLeader)?;
        let mut client = PeerClient::new(channel).max_encoding_message_size(MESSAGE_BYTES);
        let asked = client.propose(stream::iter(requests(group, draft, when)));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(reply)) => read_reply(group, &reply.into_inner()),
            Ok(Err(status)) => {
                tracing::debug!("{node} did not take a command for {group}: {status}");
                Err(Failure::Unknown)
            }
            Err(_) => Err(Failure::Unknown),
        }
    }

    /// What other nodes ask of this one. To be served to nodes of the cluster only.
    #[must_use]
    pub fn peer_service(self: &Arc<Self>) -> PeerServer<PeerService> {
        let service = PeerService {
            raft: RaftService::new(Arc::clone(&self.groups)),
            members: Arc::clone(&self.members),
            node: self.node,
        };
        PeerServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }
}

/// A command as messages: its head, and the bytes of its bodies in runs.
fn requests(
    group: GroupId,
    draft: &Draft,
    when: When,
) -> impl Iterator<Item = peer::ProposeRequest> + Send + 'static {
    use peer::propose_request::{Head, Part};
    let (command, bodies) = draft.parts();
    let head = Head {
        group: group.0,
        command: command.encode_to_vec().into(),
        body_sizes: bodies.iter().map(|body| body.len() as u64).collect(),
        applied: when == When::Applied,
        term: draft.term.unwrap_or(0),
        rows: draft.rows as u64,
    };
    let bodies = bodies.to_vec();
    let runs = bodies.into_iter().flat_map(|body| {
        let starts = (0..body.len()).step_by(RUN_BYTES);
        starts.map(move |start| body.slice(start..body.len().min(start + RUN_BYTES)))
    });
    let parts = std::iter::once(Part::Head(head)).chain(runs.map(Part::Bytes));
    parts.map(|part| peer::ProposeRequest { part: Some(part) })
}

fn read_reply(group: GroupId, reply: &peer::ProposeReply) -> Result<Told, Failure> {
    use peer::propose_reply::Result as Kind;
    match &reply.result {
        Some(Kind::Told(told)) => {
            let slot = u16::try_from(told.slot).map_err(|_| Failure::Unknown)?;
            let at = Locator { group, index: told.index, slot };
            let answer = told.answer.as_ref().map(|answer| read_answer(group, answer));
            Ok(Told { at, answer: answer.transpose()? })
        }
        Some(Kind::Failure(number)) => Err(match peer::Failure::try_from(*number) {
            Ok(peer::Failure::Busy) => Failure::Busy,
            // The other node stops: somebody else will lead.
            Ok(peer::Failure::NotLeader | peer::Failure::Stopping) => Failure::NotLeader,
            Ok(peer::Failure::Unknown | peer::Failure::Unspecified) | Err(_) => Failure::Unknown,
        }),
        None => Err(Failure::Unknown),
    }
}

fn read_answer(group: GroupId, answer: &peer::Answer) -> Result<Answer, Failure> {
    use peer::answer::Answer as Kind;
    let locator = |at: &proto::Position| {
        let slot = u16::try_from(at.slot).map_err(|_| Failure::Unknown)?;
        Ok(Locator { group, index: at.index, slot })
    };
    Ok(match answer.answer.as_ref().ok_or(Failure::Unknown)? {
        Kind::Done(_) => Answer::Done,
        Kind::Stored(at) => Answer::Stored(locator(at)?),
        Kind::RepeatedMessage(at) => Answer::Repeated(locator(at)?),
        Kind::Changed(count) => Answer::Changed(*count),
        Kind::Piece(piece) => {
            let part = u16::try_from(piece.part).map_err(|_| Failure::Unknown)?;
            Answer::Piece(BodyPart { index: piece.index, part })
        }
        Kind::Refused(_) => Answer::Refused,
        Kind::Number(number) => Answer::Number(*number),
    })
}

fn answer(answer: Answer) -> peer::Answer {
    use peer::answer::{Answer as Kind, Nothing, Piece};
    let position = |at: Locator| proto::Position { index: at.index, slot: at.slot.into() };
    let answer = match answer {
        Answer::Done => Kind::Done(Nothing {}),
        Answer::Stored(at) => Kind::Stored(position(at)),
        Answer::Repeated(at) => Kind::RepeatedMessage(position(at)),
        Answer::Changed(count) => Kind::Changed(count),
        Answer::Piece(part) => Kind::Piece(Piece { index: part.index, part: part.part.into() }),
        Answer::Refused => Kind::Refused(Nothing {}),
        Answer::Number(number) => Kind::Number(number),
    };
    peer::Answer { answer: Some(answer) }
}

fn reply(told: Result<Told, Failure>) -> peer::ProposeReply {
    use peer::propose_reply::{Result as Kind, Told as WireTold};
    let result = match told {
        Ok(told) => Kind::Told(WireTold {
            index: told.at.index,
            slot: told.at.slot.into(),
            answer: told.answer.map(answer),
        }),
        Err(failure) => Kind::Failure(
            match failure {
                Failure::Busy => peer::Failure::Busy,
                Failure::NotLeader => peer::Failure::NotLeader,
                Failure::Unknown => peer::Failure::Unknown,
                Failure::Stopping => peer::Failure::Stopping,
            }
            .into(),
        ),
    };
    peer::ProposeReply { result: Some(result) }
}

/// The service of a node for other nodes.
#[derive(Clone)]
pub struct PeerService {
    raft: RaftService,
    members: Arc<BTreeMap<GroupId, Member>>,
    node: NodeId,
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn hello(
        &self,
        _: Request<peer::HelloRequest>,
    ) -> Result<Response<peer::HelloReply>, Status> {
        Ok(Response::new(peer::HelloReply {
            node_id: self.node.0,
            level: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    type AppendStream = Pin<Box<dyn Stream<Item = Result<peer::AppendReply, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<peer::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        self.raft.append(request).await
    }

    async fn append_one(
        &self,
        request: Request<peer::AppendRequest>,
    ) -> Result<Response<peer::AppendReply>, Status> {
        self.raft.append_one(request.into_inner()).await.map(Response::new)
    }

    async fn vote(
        &self,
        request: Request<peer::VoteRequest>,
    ) -> Result<Response<peer::VoteReply>, Status> {
        self.raft.vote(request.into_inner()).await.map(Response::new)
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<peer::SnapshotFrame>>,
    ) -> Result<Response<peer::SnapshotReply>, Status> {
        self.raft.snapshot(request).await.map(Response::new)
    }

    async fn transfer_leader(
        &self,
        request: Request<peer::TransferLeaderRequest>,
    ) -> Result<Response<peer::TransferLeaderReply>, Status> {
        self.raft.transfer_leader(request.into_inner()).await.map(Response::new)
    }

    async fn propose(
        &self,
        request: Request<Streaming<peer::ProposeRequest>>,
    ) -> Result<Response<peer::ProposeReply>, Status> {
        let (group, draft, when) = read_command(request.into_inner()).await?;
        let member = self.members.get(&group);
        let member = member.ok_or_else(|| Status::not_found(format!("no group {group} here")))?;
        let told = match member.proposer.offer(draft, when) {
            Ok(answer) => answer.await.unwrap_or(Err(Failure::Unknown)),
            Err(failure) => Err(failure),
        };
        Ok(Response::new(reply(told)))
    }
}

/// Reads a command and the bodies that come with it.
async fn read_command(
    mut requests: Streaming<peer::ProposeRequest>,
) -> Result<(GroupId, Draft, When), Status> {
    use peer::propose_request::Part;
    let wrong = |what: &str| Status::invalid_argument(format!("a command {what}"));
    let first = requests.message().await?.and_then(|request| request.part);
    let Some(Part::Head(head)) = first else { return Err(wrong("without a head")) };
    let total: u64 = head.body_sizes.iter().sum();
    if total > BODIES_BYTES {
        return Err(wrong("with bodies that are too long"));
    }
    let total = usize::try_from(total).map_err(|_| wrong("that is too long"))?;
    let mut bytes = BytesMut::new();
    while bytes.len() < total {
        match requests.message().await?.and_then(|request| request.part) {
            Some(Part::Bytes(run)) => bytes.extend_from_slice(&run),
            Some(Part::Head(_)) | None => return Err(wrong("that was cut off")),
        }
    }
    if bytes.len() != total {
        return Err(wrong("with more bytes than it said"));
    }
    let mut bytes = bytes.freeze();
    let split = |size: &u64| {
        let size = usize::try_from(*size).unwrap_or(usize::MAX).min(bytes.len());
        bytes.split_to(size)
    };
    let bodies: Vec<Bytes> = head.body_sizes.iter().map(split).collect();
    let command = proto::Command::decode(head.command).map_err(|_| wrong("that is unreadable"))?;
    let rows = usize::try_from(head.rows).map_err(|_| wrong("with too many rows"))?;
    let term = (head.term != 0).then_some(head.term);
    let when = if head.applied { When::Applied } else { When::Committed };
    Ok((GroupId(head.group), Draft::from_parts(command, bodies, rows, term), when))
}
