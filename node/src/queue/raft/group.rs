//! One Raft group, as the rest of the queue sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::alias::OneshotReceiverOf;
use openraft::errors::{ClientWriteError, Fatal, InitializeError, RaftError};
use openraft::impls::{BasicNode, ProgressResponder};
use openraft::raft::ClientWriteResult;
use openraft::type_config::TypeConfigExt;
use openraft::{Config, Instant, Raft, SnapshotPolicy, WatchChangeHandle};
use parking_lot::RwLock;

use super::convert::{RaftLogId, log_id};
use super::log::LogAdapter;
use super::network::{Factory, Peers};
use super::state::StateAdapter;
use super::{AppData, TypeConfig, incoming, leadership, recovery};
use crate::id::{GroupId, NodeId};
use crate::queue::machine::Answer;
use crate::queue::store::FatalHook;
use crate::queue::store::applier::Applier;
use crate::queue::store::database::Database;
use crate::queue::store::entry::{LogId, Proposal};
use crate::queue::store::log::GroupLog;
use crate::queue::store::reader::Reader;
use crate::queue::store::snapshot::Staged;

/// A leader stops sending this long before another node could lead.
const LEASE_MARGIN: Duration = Duration::from_millis(200);

/// How long members wait for each other, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between heartbeats.
    pub heartbeat_ms: u64,
    /// Least time without a leader before an election.
    pub election_min_ms: u64,
    /// Most time without a leader before an election; also the leader's lease.
    pub election_max_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { heartbeat_ms: 100, election_min_ms: 400, election_max_ms: 600 }
    }
}

/// Told when this node begins and ceases to lead a group.
pub(crate) trait Leadership: Send + Sync + 'static {
    /// This node leads in `term`, and all that was committed before is applied.
    fn gained(&self, group: GroupId, term: u64);
    /// This node does not lead any more.
    fn lost(&self, group: GroupId);
}

/// Why a proposal was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProposeError {
    /// This node does not lead, or not in the term asked for. Nothing was stored.
    NotLeader,
    /// Another leader's log replaced the entry. It may have been committed nevertheless.
    Discarded,
    /// The group has stopped. The entry may be committed.
    Stopped,
}

/// What a group is made from, and made again from after its core has failed.
pub(crate) struct Parts {
    pub group: GroupId,
    pub node: NodeId,
    pub timing: Timing,
    pub log: Arc<GroupLog>,
    pub applier: Applier,
    pub reader: Reader,
    pub database: Arc<Database>,
    pub peers: Arc<dyn Peers>,
    pub leadership: Arc<dyn Leadership>,
    pub fatal: FatalHook,
}

pub(super) type GroupRaft = Raft<TypeConfig, StateAdapter>;

/// A running group.
pub(crate) struct Group {
    pub(super) parts: Parts,
    lease: Duration,
    core: RwLock<Core>,
    pub(super) stopping: AtomicBool,
}

/// Raft at work; replaced as a whole when it has failed.
pub(super) struct Core {
    pub(super) raft: GroupRaft,
    pub(super) watch: Option<WatchChangeHandle<TypeConfig>>,
}

/// A proposal on its way. Keep it until it is applied.
pub(crate) struct Proposed {
    commit: OneshotReceiverOf<TypeConfig, RaftLogId>,
    complete: OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>,
}

impl Proposed {
    /// Waits until a majority has the entry on stable storage. To be called once; after an error
    /// there is nothing more to wait for.
    pub(crate) async fn committed(&mut self) -> Result<LogId, ProposeError> {
        match (&mut self.commit).await {
            Ok(id) => Ok(log_id(&id)),
            Err(_) => match (&mut self.complete).await {
                Ok(Ok(response)) => Ok(log_id(&response.log_id)),
                Ok(Err(error)) => Err(refused(&error)),
                Err(_) => Err(ProposeError::Stopped),
            },
        }
    }

    /// Waits until this node has applied the entry.
    pub(crate) async fn applied(self) -> Result<Vec<Answer>, ProposeError> {
        match self.complete.await {
            Ok(Ok(response)) => Ok(response.data.0),
            Ok(Err(error)) => Err(refused(&error)),
            Err(_) => Err(ProposeError::Stopped),
        }
    }
}

impl Group {
    /// Starts the group.
    pub(crate) async fn start(parts: Parts) -> Result<Arc<Self>, String> {
        let lease = Duration::from_millis(parts.timing.election_max_ms);
        let core = Core::start(&parts).await?;
        let group = Arc::new(Self {
            parts,
            lease,
            core: RwLock::new(core),
            stopping: AtomicBool::new(false),
        });
        recovery::watch(&group);
        Ok(group)
    }

    /// Raft as it is at work now.
    pub(super) fn raft(&self) -> GroupRaft {
        self.core.read().raft.clone()
    }

    /// Puts a new core in the place of one that has failed.
    pub(super) fn replace(&self, core: Core) -> Core {
        std::mem::replace(&mut self.core.write(), core)
    }

    pub(super) fn take_watch(&self) -> Option<WatchChangeHandle<TypeConfig>> {
        self.core.write().watch.take()
    }

    /// Writes a snapshot that arrives from another node beside the current state.
    pub(super) async fn stage(
        &self,
        frames: tonic::Streaming<convoy_proto::peer::SnapshotFrame>,
    ) -> Result<Staged, tonic::Status> {
        let (applier, database) = (self.parts.applier.clone(), self.parts.database.clone());
        incoming::stage(frames, applier, database).await
    }

    /// Its number.
    pub(crate) const fn id(&self) -> GroupId {
        self.parts.group
    }

    /// Elects this node at once where it is the only voter; true if it is. A group without members
    /// gets this node as its only one, if it may found a cluster.
    pub(crate) async fn begin(&self, founder: bool) -> Result<bool, String> {
        let text = |e: &dyn std::fmt::Display| format!("group {}: {e}", self.id());
        let raft = self.raft();
        let node = self.parts.node.0;
        let voters = raft
            .with_raft_state(|state| state.membership_state.effective().voter_ids().collect())
            .await;
        let voters: Vec<u64> = voters.map_err(|e| text(&e))?;
        if voters == [node] {
            raft.trigger().elect(false).await.map_err(|e| text(&e))?;
            return Ok(true);
        }
        if !founder || !voters.is_empty() {
            return Ok(false);
        }
        let members = std::collections::BTreeMap::from([(node, BasicNode::default())]);
        match raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(true),
            Err(error) => Err(text(&error)),
        }
    }

    /// Waits until all that was committed before the start is applied.
    pub(crate) async fn recovered(&self, timeout: Duration) -> Result<(), String> {
        let raft = self.raft();
        let recovered = raft.wait_for_recovery(Some(timeout)).await;
        recovered.map(drop).map_err(|e| format!("group {}: {e}", self.id()))
    }

    /// Is this node the only voter?
    pub(crate) fn is_alone(&self) -> bool {
        let raft = self.raft();
        let mut voters = raft.voter_ids();
        voters.next() == Some(self.parts.node.0) && voters.next().is_none()
    }

    /// Does this node lead in `term`, and would no other node lead yet if this one were cut off?
    pub(crate) fn may_send(&self, term: u64) -> bool {
        let Ok(leader) = self.raft().as_leader() else { return false };
        if leader.term() != term {
            return false;
        }
        // A majority of one needs no acknowledgement.
        if self.is_alone() {
            return true;
        }
        leader.last_quorum_acked().is_some_and(|acked| {
            TypeConfig::now().saturating_duration_since(acked) + LEASE_MARGIN < self.lease
        })
    }

    /// Proposes an entry; with a term, only as the leader of that term. Entries are in the log in
    /// the order of these calls.
    pub(crate) async fn propose(
        &self,
        term: Option<u64>,
        proposal: Proposal,
    ) -> Result<Proposed, ProposeError> {
        let (responder, commit, complete) = ProgressResponder::new();
        let raft = self.raft();
        let mut request = raft.write(AppData(Arc::new(proposal))).responder(responder);
        if let Some(term) = term {
            request = request.with_leader(term);
        }
        request.await.map_err(|_: Fatal<TypeConfig>| ProposeError::Stopped)?;
        Ok(Proposed { commit, complete })
    }

    /// Removes entries from the front of the log that take more than `limit_bytes` of disk: those
    /// that a snapshot covers already. Entries not covered yet go the next time.
    pub(crate) async fn bound_log(&self, limit_bytes: u64) {
        let Some(upto) = self.parts.log.beyond(limit_bytes) else { return };
        let raft = self.raft();
        let trigger = raft.trigger();
        // A group that has stopped needs no bound.
        let _ = trigger.purge_log(upto).await;
        let _ = trigger.snapshot().await;
    }

    /// Stops the group. It does not hand over leadership.
    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(mut watch) = self.take_watch() {
            watch.close().await;
        }
        if let Err(error) = self.raft().shutdown().await {
            tracing::error!("Group {} did not stop cleanly: {error}", self.id());
        }
    }
}

impl Core {
    /// Starts Raft on what the store has.
    pub(super) async fn start(parts: &Parts) -> Result<Self, String> {
        let id = parts.group;
        let text = |e: &dyn std::fmt::Display| format!("group {id}: {e}");
        let config = config(id, parts.timing).validate().map_err(|e| text(&e))?;
        let raft = Raft::new(
            parts.node.0,
            Arc::new(config),
            Factory { group: id, peers: parts.peers.clone() },
            LogAdapter::new(parts.log.clone(), parts.applier.clone()),
            StateAdapter::new(parts.applier.clone(), parts.reader.clone()),
        )
        .await
        .map_err(|e| text(&e))?;
        let watch = leadership::watch(&raft, id, parts.leadership.clone());
        Ok(Self { raft, watch: Some(watch) })
    }
}

fn refused(error: &ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::LogEntryDiscarded(_) => ProposeError::Discarded,
        // The last two belong to changes of members and are never the answer to an entry.
        ClientWriteError::ForwardToLeader(_)
        | ClientWriteError::ChangeMembershipError(_)
        | ClientWriteError::PreconditionFailed(_) => ProposeError::NotLeader,
    }
}

fn config(group: GroupId, timing: Timing) -> Config {
    Config {
        cluster_name: group.to_string(),
        heartbeat_interval: timing.heartbeat_ms,
        heartbeat_min_interval: Some(timing.heartbeat_ms * 2),
        election_timeout_min: timing.election_min_ms,
        election_timeout_max: timing.election_max_ms,
        enable_pre_vote: Some(true),
        // A leader that comes back has lost what it had applied and not synced.
        enable_leader_restore: Some(false),
        broadcast_submitted_on_append: Some(true),
        max_payload_entries: 512,
        max_append_entries: Some(1024),
        api_channel_size: Some(4096),
        api_batch_capacity: 1024,
        api_batch_linger_ms: 0,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(20_000),
        // Followers that lag a little must not need a snapshot.
        max_in_snapshot_log_to_keep: 50_000,
        purge_batch_size: 4096,
        quorum_loss_probe_interval: None,
        allow_log_reversion: None,
        ..Config::default()
    }
}
