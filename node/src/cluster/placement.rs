//! Where groups should be, as a function of who belongs to the cluster.
//!
//! Each group goes to the three nodes that come first for it in an order that depends on group and
//! node alone (rendezvous hashing), so that a node that comes or goes moves no more replicas than
//! it must. With three nodes or fewer every node has every group. The meta group votes on three
//! nodes as well, and all others follow it, since every node must know what it says.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::id::{GroupId, NodeId};
use crate::queue::cluster::{Cluster, Placement, REPLICAS, Standing};

/// Placements of `groups` that differ from those that the cluster has.
#[must_use]
pub fn changes(cluster: &Cluster, groups: &[GroupId]) -> Vec<(GroupId, Placement)> {
    let mut leads: BTreeMap<NodeId, usize> = cluster.active().map(|node| (node, 0)).collect();
    let mut changed = Vec::new();
    for group in groups {
        let Some(placement) = place(cluster, *group, &mut leads) else { continue };
        let known = cluster.placement.get(group);
        if known.is_none_or(|known| !known.is_same(&placement)) {
            changed.push((*group, placement));
        }
    }
    changed
}

/// Where one group should be; counts whom it would be led by.
fn place(
    cluster: &Cluster,
    group: GroupId,
    leads: &mut BTreeMap<NodeId, usize>,
) -> Option<Placement> {
    let staying = cluster.members.iter().filter(|(_, m)| m.standing != Standing::Removing);
    let mut nodes: Vec<NodeId> = staying.map(|(node, _)| *node).collect();
    nodes.sort_by_key(|node| std::cmp::Reverse(weight(group, *node)));
    let rest = nodes.split_off(REPLICAS.min(nodes.len()));
    let fewest = nodes.iter().filter_map(|node| leads.get(node).map(|count| (*count, *node)));
    // The first of those with equally few stays the first of the order.
    let preferred = fewest.min_by_key(|(count, _)| *count).map(|(_, node)| node);
    if let Some(preferred) = preferred {
        *leads.entry(preferred).or_default() += 1;
        nodes.retain(|node| *node != preferred);
        nodes.insert(0, preferred);
    }
    let learners = if group == GroupId::META { rest } else { Vec::new() };
    (!nodes.is_empty()).then_some(Placement { voters: nodes, learners, reached: false })
}

fn weight(group: GroupId, node: NodeId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(group.0.to_be_bytes());
    hash.update(node.0.to_be_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::queue::cluster::Member;

    fn cluster(nodes: impl IntoIterator<Item = u64>) -> Cluster {
        let members = nodes.into_iter().map(|node| (NodeId(node), Member::default())).collect();
        Cluster { members, ..Cluster::default() }
    }

    fn groups(count: u32) -> Vec<GroupId> {
        (0..count).map(GroupId).collect()
    }

    fn apply(cluster: &mut Cluster, groups: &[GroupId]) -> usize {
        let changed = changes(cluster, groups);
        let count = changed.len();
        cluster.placement.extend(changed);
        assert!(changes(cluster, groups).is_empty(), "what is placed stays");
        count
    }

    fn leaders(cluster: &Cluster) -> BTreeMap<NodeId, usize> {
        let mut leaders = BTreeMap::new();
        for placement in cluster.placement.values() {
            *leaders.entry(placement.voters[0]).or_default() += 1;
        }
        leaders
    }

    #[test]
    fn three_nodes_have_everything_and_lead_a_third_each() {
        let mut cluster = cluster(1..=3);
        apply(&mut cluster, &groups(10));
        for placement in cluster.placement.values() {
            assert_eq!(placement.voters.len(), 3);
            assert!(placement.learners.is_empty());
        }
        let counts: BTreeSet<usize> = leaders(&cluster).into_values().collect();
        assert_eq!(counts, BTreeSet::from([3, 4]));
    }

    #[test]
    fn a_fourth_node_takes_over_no_more_than_its_share() {
        let groups = groups(34);
        let mut cluster = cluster(1..=3);
        apply(&mut cluster, &groups);
        let before = cluster.placement.clone();
        cluster.members.insert(NodeId(4), Member::default());
        apply(&mut cluster, &groups);
        let mut moved = 0;
        for (group, placement) in &cluster.placement {
            let old: BTreeSet<_> = before[group].voters.iter().collect();
            let new: BTreeSet<_> = placement.voters.iter().collect();
            let came: Vec<_> = new.difference(&old).collect();
            assert!(came.len() <= 1 && came.iter().all(|node| ***node == NodeId(4)));
            moved += came.len();
        }
        assert!((15..=34).contains(&moved), "{moved} of 34 replicas moved");
        let meta = &cluster.placement[&GroupId::META];
        assert_eq!((meta.voters.len(), meta.learners.len()), (3, 1));
        assert!(leaders(&cluster).values().all(|count| (6..=12).contains(count)));
    }

    #[test]
    fn a_draining_node_keeps_its_replicas_and_is_preferred_nowhere() {
        let mut cluster = cluster(1..=3);
        apply(&mut cluster, &groups(10));
        let member = Member { standing: Standing::Draining, ..Member::default() };
        cluster.members.insert(NodeId(2), member);
        apply(&mut cluster, &groups(10));
        assert!(cluster.placement.values().all(|p| p.voters.contains(&NodeId(2))));
        assert_eq!(leaders(&cluster).get(&NodeId(2)), None);
    }

    #[test]
    fn a_node_that_is_removed_loses_its_replicas() {
        let mut cluster = cluster(1..=4);
        apply(&mut cluster, &groups(10));
        let member = Member { standing: Standing::Removing, ..Member::default() };
        cluster.members.insert(NodeId(3), member);
        apply(&mut cluster, &groups(10));
        for placement in cluster.placement.values() {
            assert!(!placement.voters.contains(&NodeId(3)));
            assert_eq!(placement.voters.len(), 3);
        }
    }

    #[test]
    fn one_node_has_all() {
        let mut cluster = cluster([7]);
        assert_eq!(apply(&mut cluster, &groups(3)), 3);
        assert!(cluster.placement.values().all(|p| p.voters == [NodeId(7)]));
    }
}
