//! Between openraft's messages and those on the wire (`proto/convoy/peer.proto`).

use std::io;
use std::sync::Arc;

use convoy_proto::peer;
use convoy_proto::storage as proto;
use openraft::alias::VoteOf;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};

use super::TypeConfig;
use super::convert::{self, RaftLogId, log_id, raft_log_id};
use crate::id::GroupId;
use crate::queue::machine::{BodyPart, FilePart, Row, Table};
use crate::queue::store::StoreError;
use crate::queue::store::entry::{LogEntry, Payload, Proposal};
use crate::queue::store::snapshot::Chunk;

type AppendRequest = AppendEntriesRequest<TypeConfig>;
type StreamResult = StreamAppendResult<TypeConfig>;

fn absent(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a message without {what}"))
}

fn to_log_id(id: &RaftLogId) -> proto::LogId {
    log_id(id).into()
}

fn to_raft_log_id(id: &proto::LogId) -> RaftLogId {
    raft_log_id((*id).into())
}

fn read_vote(vote: Option<&proto::Vote>) -> io::Result<VoteOf<TypeConfig>> {
    vote.map(convert::raft_vote).ok_or_else(|| absent("a vote"))
}

fn to_entry(entry: &LogEntry) -> peer::LogEntry {
    use peer::log_entry::{Blank, Normal, Payload as Kind};
    let payload = match &entry.payload {
        Payload::Blank => Kind::Blank(Blank {}),
        Payload::Normal(proposal) => Kind::Normal(Normal {
            payload: proposal.payload.clone(),
            bodies: proposal.bodies.clone(),
        }),
        Payload::Membership(membership) => Kind::Membership(membership.as_ref().clone()),
    };
    peer::LogEntry { id: Some(entry.id.into()), payload: Some(payload) }
}

fn read_entry(entry: peer::LogEntry) -> io::Result<convert::Entry> {
    use peer::log_entry::Payload as Kind;
    let id = entry.id.ok_or_else(|| absent("the place of an entry"))?;
    let payload = match entry.payload.ok_or_else(|| absent("the content of an entry"))? {
        Kind::Blank(_) => Payload::Blank,
        Kind::Normal(normal) => {
            let proposal = Proposal { payload: normal.payload, bodies: normal.bodies };
            Payload::Normal(Arc::new(proposal))
        }
        Kind::Membership(membership) => Payload::Membership(Arc::new(membership)),
    };
    convert::raft_entry(&LogEntry { id: id.into(), payload })
}

pub(super) fn append_request(group: GroupId, request: &AppendRequest) -> peer::AppendRequest {
    peer::AppendRequest {
        group: group.0,
        vote: Some(convert::vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(to_log_id),
        entries: request.entries.iter().map(|e| to_entry(&convert::entry(e))).collect(),
        committed: request.leader_commit.as_ref().map(to_log_id),
    }
}

pub(super) fn read_append_request(request: peer::AppendRequest) -> io::Result<AppendRequest> {
    Ok(AppendRequest {
        vote: read_vote(request.vote.as_ref())?,
        prev_log_id: request.previous.as_ref().map(to_raft_log_id),
        entries: request.entries.into_iter().map(read_entry).collect::<io::Result<_>>()?,
        leader_commit: request.committed.as_ref().map(to_raft_log_id),
    })
}

pub(super) fn append_reply(result: &StreamResult) -> peer::AppendReply {
    use peer::append_reply::{Result as Kind, Upto};
    let result = match result {
        Ok(upto) => Kind::Upto(Upto { id: upto.as_ref().map(to_log_id) }),
        Err(StreamAppendError::Conflict(id)) => Kind::Conflict(to_log_id(id)),
        Err(StreamAppendError::HigherVote(vote)) => Kind::HigherVote(convert::vote(vote)),
    };
    peer::AppendReply { result: Some(result) }
}

pub(super) fn read_append_reply(reply: &peer::AppendReply) -> io::Result<StreamResult> {
    use peer::append_reply::Result as Kind;
    Ok(match reply.result.as_ref().ok_or_else(|| absent("a result"))? {
        Kind::Upto(upto) => Ok(upto.id.as_ref().map(to_raft_log_id)),
        Kind::Conflict(id) => Err(StreamAppendError::Conflict(to_raft_log_id(id))),
        Kind::HigherVote(vote) => Err(StreamAppendError::HigherVote(convert::raft_vote(vote))),
    })
}

pub(super) fn vote_request(
    group: GroupId,
    request: &VoteRequest<TypeConfig>,
    pre_vote: bool,
) -> peer::VoteRequest {
    peer::VoteRequest {
        group: group.0,
        vote: Some(convert::vote(&request.vote)),
        last: request.last_log_id.as_ref().map(to_log_id),
        leadership_transfer: request.leadership_transfer,
        pre_vote,
    }
}

pub(super) fn read_vote_request(
    request: &peer::VoteRequest,
) -> io::Result<VoteRequest<TypeConfig>> {
    let vote = read_vote(request.vote.as_ref())?;
    let mut read = VoteRequest::new(vote, request.last.as_ref().map(to_raft_log_id));
    read.leadership_transfer = request.leadership_transfer;
    Ok(read)
}

pub(super) fn vote_reply(reply: &VoteResponse<TypeConfig>) -> peer::VoteReply {
    peer::VoteReply {
        vote: Some(convert::vote(&reply.vote)),
        last: reply.last_log_id.as_ref().map(to_log_id),
        granted: reply.vote_granted,
    }
}

pub(super) fn read_vote_reply(reply: &peer::VoteReply) -> io::Result<VoteResponse<TypeConfig>> {
    let vote = read_vote(reply.vote.as_ref())?;
    Ok(VoteResponse::new(vote, reply.last.as_ref().map(to_raft_log_id), reply.granted))
}

pub(super) fn transfer_request(
    group: GroupId,
    request: &TransferLeaderRequest<TypeConfig>,
) -> peer::TransferLeaderRequest {
    peer::TransferLeaderRequest {
        group: group.0,
        from: Some(convert::vote(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(to_log_id),
    }
}

pub(super) fn read_transfer_request(
    request: &peer::TransferLeaderRequest,
) -> io::Result<TransferLeaderRequest<TypeConfig>> {
    let from = read_vote(request.from.as_ref())?;
    let last = request.last.as_ref().map(to_raft_log_id);
    Ok(TransferLeaderRequest::new(from, request.to, last))
}

/// A checksum over keys, values and bodies, each with its length.
#[derive(Default)]
struct Checksum(crc32fast::Hasher);

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
}

fn checksum_of_rows(rows: &[peer::snapshot_frame::Row]) -> u32 {
    let mut sum = Checksum::default();
    for row in rows {
        sum.add(&row.key);
        sum.add(&row.value);
    }
    sum.0.finalize()
}

fn checksum_of_bodies(bodies: &[peer::snapshot_frame::Body]) -> u32 {
    let mut sum = Checksum::default();
    for body in bodies {
        sum.0.update(&body.index.to_be_bytes());
        sum.0.update(&body.part.to_be_bytes());
        sum.add(&body.bytes);
    }
    sum.0.finalize()
}

fn checksum_of_part(name: &str, offset: u64, bytes: &[u8]) -> u32 {
    let mut sum = Checksum::default();
    sum.add(name.as_bytes());
    sum.0.update(&offset.to_be_bytes());
    sum.add(bytes);
    sum.0.finalize()
}

/// A chunk of a snapshot as a frame.
pub(super) fn frame(chunk: Chunk) -> peer::SnapshotFrame {
    use peer::snapshot_frame::{Bodies, Body, FilePart as WirePart, Frame, Row as WireRow, Rows};
    let frame = match chunk {
        Chunk::Rows(table, rows) => {
            let row = |row: Row| WireRow { key: row.key.into(), value: row.value.into() };
            let rows: Vec<_> = rows.into_iter().map(row).collect();
            Frame::Rows(Rows { table: number_of(table), crc32: checksum_of_rows(&rows), rows })
        }
        Chunk::Bodies(bodies) => {
            let body = |(part, bytes): (BodyPart, Vec<u8>)| Body {
                index: part.index,
                part: part.part.into(),
                bytes: bytes.into(),
            };
            let bodies: Vec<_> = bodies.into_iter().map(body).collect();
            Frame::Bodies(Bodies { crc32: checksum_of_bodies(&bodies), bodies })
        }
        Chunk::File(FilePart { name, offset, bytes }) => {
            let crc32 = checksum_of_part(&name, offset, &bytes);
            Frame::File(WirePart { name, offset, bytes, crc32 })
        }
    };
    peer::SnapshotFrame { frame: Some(frame) }
}

fn number_of(table: Table) -> u32 {
    let at = Table::ALL.iter().position(|t| *t == table).expect("all tables are listed");
    u32::try_from(at).expect("there are few tables")
}

/// Reads a frame that carries a chunk; `None` for the others.
pub(super) fn read_frame(frame: peer::snapshot_frame::Frame) -> Result<Option<Chunk>, StoreError> {
    use peer::snapshot_frame::Frame;
    let damaged = |what: &str| StoreError::Damaged(format!("{what} of a snapshot"));
    match frame {
        Frame::Rows(rows) => {
            if checksum_of_rows(&rows.rows) != rows.crc32 {
                return Err(damaged("checksum of rows"));
            }
            let table = usize::try_from(rows.table).ok().and_then(|n| Table::ALL.get(n));
            let table = *table.ok_or_else(|| damaged("a table"))?;
            let row = |row: peer::snapshot_frame::Row| Row {
                key: row.key.into(),
                value: row.value.into(),
            };
            Ok(Some(Chunk::Rows(table, rows.rows.into_iter().map(row).collect())))
        }
        Frame::Bodies(bodies) => {
            if checksum_of_bodies(&bodies.bodies) != bodies.crc32 {
                return Err(damaged("checksum of bodies"));
            }
            let body = |body: peer::snapshot_frame::Body| {
                let part = u16::try_from(body.part).map_err(|_| damaged("a part of a body"))?;
                Ok((BodyPart { index: body.index, part }, body.bytes.into()))
            };
            let bodies = bodies.bodies.into_iter().map(body).collect::<Result<_, StoreError>>()?;
            Ok(Some(Chunk::Bodies(bodies)))
        }
        Frame::File(part) => {
            let peer::snapshot_frame::FilePart { name, offset, bytes, crc32 } = part;
            if checksum_of_part(&name, offset, &bytes) != crc32 {
                return Err(damaged("checksum of a file"));
            }
            Ok(Some(Chunk::File(FilePart { name, offset, bytes })))
        }
        Frame::Head(_) | Frame::End(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use openraft::entry::RaftEntry;
    use openraft::impls::EntryPayload;

    use super::*;
    use crate::queue::raft::AppData;

    #[test]
    fn requests_to_append_read_back() {
        let proposal = Proposal {
            payload: Bytes::from_static(b"p"),
            bodies: vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")],
        };
        let at = |index| RaftLogId::new_term_index(3, index);
        let entries = vec![
            convert::Entry::new(at(8), EntryPayload::Blank),
            convert::Entry::new(at(9), EntryPayload::Normal(AppData(Arc::new(proposal)))),
        ];
        let mut vote = openraft::Vote::new(3, 2);
        vote.committed = true;
        let request =
            AppendRequest { vote, prev_log_id: Some(at(7)), entries, leader_commit: Some(at(6)) };
        let read = read_append_request(append_request(GroupId(4), &request)).unwrap();
        assert_eq!(format!("{read}"), format!("{request}"));
        let stored: Vec<_> = read.entries.iter().map(convert::entry).collect();
        let sent: Vec<_> = request.entries.iter().map(convert::entry).collect();
        assert_eq!(stored, sent);
    }

    #[test]
    fn replies_to_append_read_back() {
        let at = RaftLogId::new_term_index(3, 9);
        let replies: [StreamResult; 4] = [
            Ok(None),
            Ok(Some(at)),
            Err(StreamAppendError::Conflict(at)),
            Err(StreamAppendError::HigherVote(openraft::Vote::new(9, 1))),
        ];
        for reply in replies {
            assert_eq!(read_append_reply(&append_reply(&reply)).unwrap(), reply);
        }
    }

    #[test]
    fn a_damaged_chunk_is_noticed() {
        let row = Row { key: b"k".to_vec(), value: b"v".to_vec() };
        let chunks = [
            Chunk::Rows(Table::Due, vec![row]),
            Chunk::Bodies(vec![(BodyPart { index: 7, part: 1 }, b"bytes".to_vec())]),
            Chunk::File(FilePart { name: "0/a".into(), offset: 9, bytes: Bytes::from("c") }),
        ];
        for chunk in chunks {
            let sent = frame(chunk.clone()).frame.unwrap();
            assert_eq!(read_frame(sent.clone()).unwrap(), Some(chunk));
            let damaged = match sent {
                peer::snapshot_frame::Frame::Rows(mut rows) => {
                    rows.rows[0].value = Bytes::from_static(b"w");
                    peer::snapshot_frame::Frame::Rows(rows)
                }
                peer::snapshot_frame::Frame::Bodies(mut bodies) => {
                    bodies.bodies[0].index += 1;
                    peer::snapshot_frame::Frame::Bodies(bodies)
                }
                peer::snapshot_frame::Frame::File(mut part) => {
                    part.offset -= 1;
                    peer::snapshot_frame::Frame::File(part)
                }
                other => other,
            };
            assert!(read_frame(damaged).is_err());
        }
    }
}
