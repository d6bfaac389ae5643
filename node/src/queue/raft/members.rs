//! Who belongs to a group, and how it changes.
//!
//! Only the leader changes members, one step at a time: a new replica follows first, and votes
//! when it has the log. Each step looks at the members as they are, so that a change that was
//! interrupted is taken up by whoever leads next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::alias::StoredMembershipOf;
use openraft::async_runtime::WatchReceiver;
use openraft::impls::BasicNode;
use openraft::raft::Precondition;
use openraft::type_config::TypeConfigExt;
use openraft::{ChangeMembers, Instant as _, RaftMetrics};

use super::TypeConfig;
use super::group::Group;
use crate::id::NodeId;
use crate::queue::cluster::Placement;
use crate::queue::model::{GroupFigures, Moved};

/// A replica that lacks more entries does not vote yet, and is not made the leader.
const LAG: u64 = 200;
/// A replica that has not been heard of for longer is not made the leader.
const SILENCE: Duration = Duration::from_secs(1);

type Membership = Arc<StoredMembershipOf<TypeConfig>>;

fn voters(membership: &Membership) -> BTreeSet<u64> {
    membership.voter_ids().collect()
}

fn all(membership: &Membership) -> BTreeSet<u64> {
    membership.nodes().map(|(id, _)| *id).collect()
}

fn numbers(nodes: &[NodeId]) -> BTreeSet<u64> {
    nodes.iter().map(|node| node.0).collect()
}

fn names(nodes: &BTreeSet<u64>) -> String {
    nodes.iter().map(|node| NodeId(*node).to_string()).collect::<Vec<_>>().join(" ")
}

impl Group {
    fn snapshot_of_metrics(&self) -> RaftMetrics<TypeConfig> {
        self.raft().metrics().borrow_watched().clone()
    }

    /// Who leads it, as far as this node knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let metrics = self.raft().metrics();
        metrics.borrow_watched().current_leader.map(NodeId)
    }

    /// Does another node lead it?
    pub(crate) fn is_led_elsewhere(&self) -> bool {
        self.leader().is_some_and(|node| node != self.parts.node)
    }

    /// How it stands here.
    pub(crate) fn figures(&self) -> GroupFigures {
        let metrics = self.snapshot_of_metrics();
        let membership = &metrics.membership_config;
        let index = |id: &Option<super::convert::RaftLogId>| id.as_ref().map_or(0, |id| id.index());
        let matched = metrics.replication.iter().flatten();
        let now = TypeConfig::now();
        let heard = metrics.heartbeat.iter().flatten().filter_map(|(node, at)| {
            let since = now.saturating_duration_since(**at.as_ref()?);
            Some((NodeId(*node), since))
        });
        GroupFigures {
            group: self.id(),
            leader: metrics.current_leader.map(NodeId),
            term: metrics.current_term,
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.membership().learner_ids().map(NodeId).collect(),
            first: index(&metrics.purged) + 1,
            last: metrics.last_log_index.unwrap_or(0),
            committed: index(&metrics.local_committed),
            applied: index(&metrics.last_applied),
            matched: matched.map(|(node, id)| (NodeId(*node), index(id))).collect(),
            heard: heard.collect::<BTreeMap<_, _>>(),
        }
    }

    /// Members that could take over at once: voters that have been heard of and have the log.
    pub(crate) fn successors(&self) -> Vec<NodeId> {
        let figures = self.figures();
        let fit = |node: &&NodeId| {
            let matched = figures.matched.get(*node).copied().unwrap_or(0);
            let heard = figures.heard.get(*node).is_some_and(|since| *since < SILENCE);
            **node != self.parts.node && heard && matched + LAG >= figures.last
        };
        figures.voters.iter().filter(fit).copied().collect()
    }

    /// Hands leadership to another voter. It is taken when [`Group::leader`] says so.
    pub(crate) async fn transfer(&self, to: NodeId) -> Result<(), String> {
        let transferred = self.raft().trigger().transfer_leader(to.0).await;
        transferred.map_err(|e| format!("group {}: {e}", self.id()))
    }

    /// Makes one step from the members as they are to those that `placement` names. To be called
    /// by the leader, again and again until it says [`Moved::There`].
    pub(crate) async fn move_to(&self, placement: &Placement) -> Result<Moved, String> {
        let metrics = self.snapshot_of_metrics();
        let now = metrics.membership_config.clone();
        let committed = metrics.committed_membership_config.log_id() == now.log_id();
        if !committed {
            return Ok(Moved::Waiting("a change of members is under way".to_owned()));
        }
        let (wanted, learners) = (numbers(&placement.voters), numbers(&placement.learners));
        let every: BTreeSet<u64> = wanted.union(&learners).copied().collect();
        let missing: BTreeSet<u64> = every.difference(&all(&now)).copied().collect();
        if !missing.is_empty() {
            let nodes = missing.iter().map(|id| (*id, BasicNode::default())).collect();
            self.change(&now, ChangeMembers::AddNodes(nodes), true).await?;
            return Ok(Moved::Step(format!("{} follow", names(&missing))));
        }
        if now.get_joint_config().len() > 1 || voters(&now) != wanted {
            let figures = self.figures();
            let behind = |id: &u64| {
                let matched = figures.matched.get(&NodeId(*id)).copied().unwrap_or(0);
                *id != self.parts.node.0 && matched + LAG < figures.last
            };
            let new: BTreeSet<u64> = wanted.difference(&voters(&now)).copied().collect();
            let late: BTreeSet<u64> = new.iter().copied().filter(behind).collect();
            if !late.is_empty() {
                return Ok(Moved::Waiting(format!("{} catch up", names(&late))));
            }
            let text = format!("{} vote", names(&wanted));
            self.change(&now, ChangeMembers::ReplaceAllVoters(wanted), false).await?;
            return Ok(Moved::Step(text));
        }
        let extra: BTreeSet<u64> = all(&now).difference(&every).copied().collect();
        if !extra.is_empty() {
            let text = format!("{} leave", names(&extra));
            self.change(&now, ChangeMembers::RemoveNodes(extra), false).await?;
            return Ok(Moved::Step(text));
        }
        Ok(Moved::There)
    }

    /// Changes the members, unless somebody has changed them meanwhile.
    async fn change(
        &self,
        now: &Membership,
        change: ChangeMembers<u64, BasicNode>,
        retain: bool,
    ) -> Result<(), String> {
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: *now.log_id() };
        let changed = self.raft().change_membership_if(change, retain, [unchanged]).await;
        changed.map(drop).map_err(|e| format!("group {}: {e}", self.id()))
    }
}
