//! Which nodes may be lost without losing mail or standing still. Pure.
//!
//! An entry is committed when a majority of its group's voters has it. While a majority is left, at
//! least one of those that have it is among them, and leads. So nothing is lost, and the group goes
//! on, exactly as long as every group keeps a majority of its voters: of both sets while they
//! change.

use std::collections::BTreeSet;

use crate::id::NodeId;

/// What may be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Survival {
    /// Any so many of the nodes that answer may be lost together.
    pub any: u32,
    /// Nodes that may be lost one at a time.
    pub single: BTreeSet<NodeId>,
}

/// Voter sets of all groups against the nodes that answer.
pub(super) fn survival<'a>(
    groups: impl Iterator<Item = &'a [BTreeSet<NodeId>]> + Clone,
    reachable: &BTreeSet<NodeId>,
) -> Survival {
    let sets = || groups.clone().flatten();
    // Losing the only node loses all.
    let spare = sets().map(|voters| spare(voters, reachable)).min().unwrap_or(0);
    let safe = |node: &&NodeId| {
        let mut left = reachable.clone();
        left.remove(*node);
        sets().next().is_some() && sets().all(|voters| has_majority(voters, &left))
    };
    Survival {
        any: u32::try_from(spare).unwrap_or(u32::MAX),
        single: reachable.iter().filter(safe).copied().collect(),
    }
}

/// Do those that answer make a majority?
pub(super) fn has_majority(voters: &BTreeSet<NodeId>, reachable: &BTreeSet<NodeId>) -> bool {
    voters.intersection(reachable).count() > voters.len() / 2
}

/// Voters that answer beyond a majority.
fn spare(voters: &BTreeSet<NodeId>, reachable: &BTreeSet<NodeId>) -> usize {
    voters.intersection(reachable).count().saturating_sub(voters.len() / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().map(|n| NodeId(*n)).collect()
    }

    fn check(groups: &[&[&[u64]]], reachable: &[u64], any: u32, single: &[u64]) {
        let groups: Vec<Vec<BTreeSet<NodeId>>> =
            groups.iter().map(|sets| sets.iter().map(|voters| set(voters)).collect()).collect();
        let got = survival(groups.iter().map(Vec::as_slice), &set(reachable));
        let expected = Survival { any, single: set(single) };
        assert_eq!(got, expected, "{groups:?} with {reachable:?}");
    }

    #[test]
    fn a_majority_of_every_group_must_be_left() {
        // A node alone.
        check(&[&[&[1]]], &[1], 0, &[]);
        // Three of three, and two of three.
        check(&[&[&[1, 2, 3]], &[&[1, 2, 3]]], &[1, 2, 3], 1, &[1, 2, 3]);
        check(&[&[&[1, 2, 3]]], &[1, 2], 0, &[]);
        // Five nodes: any one may go, since two may share a group.
        let spread: &[&[&[u64]]] = &[&[&[1, 2, 3]], &[&[3, 4, 5]], &[&[5, 1, 2]]];
        check(spread, &[1, 2, 3, 4, 5], 1, &[1, 2, 3, 4, 5]);
        // Node 4 is gone: those that it shares a group with must stay.
        check(spread, &[1, 2, 3, 5], 0, &[1, 2]);
        // Five voters bear two.
        check(&[&[&[1, 2, 3, 4, 5]]], &[1, 2, 3, 4, 5], 2, &[1, 2, 3, 4, 5]);
        // A node without replicas is no loss.
        check(&[&[&[1, 2]]], &[1, 2, 3], 0, &[3]);
        // Both sets count while voters change.
        check(&[&[&[1], &[1, 2, 3]]], &[1, 2, 3], 0, &[2, 3]);
        // A group without a majority: nothing more may be lost.
        check(&[&[&[1, 2, 3]], &[&[1, 4, 5]]], &[1, 2, 3], 0, &[]);
    }
}
