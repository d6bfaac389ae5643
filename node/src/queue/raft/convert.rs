//! Between openraft's values and ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use convoy_proto::storage as proto;
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::impls::{BasicNode, EntryPayload};
use openraft::vote::RaftLeaderId;
use openraft::{Membership, Vote};

use super::{AppData, TypeConfig};
use crate::queue::store::StoreError;
use crate::queue::store::entry::{LogEntry, LogId, Payload};

pub(super) type Entry = EntryOf<TypeConfig>;
pub(super) type RaftLogId = LogIdOf<TypeConfig>;
pub(super) type RaftVote = VoteOf<TypeConfig>;
pub(super) type RaftMembership = Membership<u64, BasicNode>;
pub(super) type RaftStoredMembership = StoredMembershipOf<TypeConfig>;
pub(super) type RaftSnapshotMeta = SnapshotMetaOf<TypeConfig>;

pub(super) fn io_error(error: StoreError) -> io::Error {
    io::Error::other(error)
}

pub(super) fn log_id(id: &RaftLogId) -> LogId {
    LogId { term: id.committed_leader_id().term, index: id.index() }
}

pub(super) fn raft_log_id(id: LogId) -> RaftLogId {
    RaftLogId::new_term_index(id.term, id.index)
}

pub(super) fn vote(vote: &RaftVote) -> proto::Vote {
    proto::Vote {
        term: vote.leader_id.term,
        node_id: *vote.leader_id.node_id(),
        committed: vote.committed,
    }
}

pub(super) fn raft_vote(vote: &proto::Vote) -> RaftVote {
    let mut read = Vote::new(vote.term, vote.node_id);
    read.committed = vote.committed;
    read
}

pub(super) fn membership(membership: &RaftMembership) -> proto::Membership {
    let configs = membership.get_joint_config().iter();
    let node =
        |(id, node): (&u64, &BasicNode)| proto::Node { node_id: *id, address: node.addr.clone() };
    proto::Membership {
        configs: configs
            .map(|voters| proto::VoterSet { node_ids: voters.iter().copied().collect() })
            .collect(),
        nodes: membership.nodes().map(node).collect(),
    }
}

pub(super) fn raft_membership(membership: &proto::Membership) -> io::Result<RaftMembership> {
    let configs: Vec<BTreeSet<u64>> =
        membership.configs.iter().map(|c| c.node_ids.iter().copied().collect()).collect();
    let nodes: BTreeMap<u64, BasicNode> = membership
        .nodes
        .iter()
        .map(|n| (n.node_id, BasicNode { addr: n.address.clone() }))
        .collect();
    Membership::new(configs, nodes).map_err(io::Error::other)
}

pub(super) fn entry(entry: &Entry) -> LogEntry {
    let payload = match &entry.payload {
        EntryPayload::Blank => Payload::Blank,
        EntryPayload::Normal(AppData(proposal)) => Payload::Normal(proposal.clone()),
        EntryPayload::Membership(m) => Payload::Membership(Arc::new(membership(m))),
    };
    LogEntry { id: log_id(&entry.log_id), payload }
}

pub(super) fn raft_entry(entry: &LogEntry) -> io::Result<Entry> {
    let payload = match &entry.payload {
        Payload::Blank => EntryPayload::Blank,
        Payload::Normal(proposal) => EntryPayload::Normal(AppData(proposal.clone())),
        Payload::Membership(m) => EntryPayload::Membership(raft_membership(m)?),
    };
    Ok(Entry::new(raft_log_id(entry.id), payload))
}

/// What a state was applied to, as openraft asks for it.
pub(super) fn raft_applied(
    applied: Option<&proto::Applied>,
) -> io::Result<(Option<RaftLogId>, RaftStoredMembership)> {
    let Some(applied) = applied else {
        return Ok((None, RaftStoredMembership::default()));
    };
    let id = |id: &proto::LogId| raft_log_id((*id).into());
    let stored = match &applied.membership {
        None => RaftStoredMembership::default(),
        Some(stored) => {
            let read = stored.membership.as_ref().map(raft_membership).transpose()?;
            let at = stored.log_id.as_ref().map(id);
            RaftStoredMembership::new(at, read.unwrap_or_default())
        }
    };
    Ok((applied.log_id.as_ref().map(id), stored))
}

pub(super) fn applied(meta: &RaftSnapshotMeta) -> proto::Applied {
    let id = |id: &RaftLogId| proto::LogId::from(log_id(id));
    proto::Applied {
        log_id: meta.last_log_id.as_ref().map(id),
        membership: Some(proto::StoredMembership {
            log_id: meta.last_membership.log_id().as_ref().map(id),
            membership: Some(membership(meta.last_membership.membership())),
        }),
    }
}
