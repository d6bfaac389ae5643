//! When this node begins and ceases to lead a group.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::RaftError;
use openraft::{ReadPolicy, WatchChangeHandle};

use super::TypeConfig;
use super::convert::log_id;
use super::group::{GroupRaft, Leadership};
use crate::id::GroupId;

/// A wait between tries to confirm a new leadership.
const CONFIRM_EVERY: Duration = Duration::from_millis(20);

/// Tells `leadership` when this node begins and ceases to lead.
pub(super) fn watch(
    raft: &GroupRaft,
    group: GroupId,
    leadership: Arc<dyn Leadership>,
) -> WatchChangeHandle<TypeConfig> {
    let (started, stopped) = (leadership.clone(), leadership);
    let raft_of_start = raft.clone();
    raft.on_leader_change(
        move |leader| {
            let (raft, leadership) = (raft_of_start.clone(), started.clone());
            async move {
                if confirmed(&raft, leader.term).await {
                    leadership.gained(group, leader.term);
                }
            }
        },
        move |_| {
            let leadership = stopped.clone();
            async move { leadership.lost(group) }
        },
    )
}

/// Waits until the new leader has applied all that earlier leaders committed; false when it is
/// not the leader any more.
async fn confirmed(raft: &GroupRaft, term: u64) -> bool {
    loop {
        match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) if has_applied_own_term(raft, term) => return true,
            Ok(_) => {}
            Err(RaftError::Fatal(_)) => return false,
            Err(RaftError::APIError(_)) => {}
        }
        if raft.as_leader().ok().map(|leader| leader.term()) != Some(term) {
            return false;
        }
        tokio::time::sleep(CONFIRM_EVERY).await;
    }
}

/// True once an entry of this term is applied: the leader's first entry stands after all that was
/// in the log before, which a restarted node may not know to be committed until then.
fn has_applied_own_term(raft: &GroupRaft, term: u64) -> bool {
    let metrics = raft.metrics();
    let applied = metrics.borrow_watched().last_applied;
    applied.is_some_and(|applied| log_id(&applied).term == term)
}
