//! Max-min fair division: nobody gets more by taking from somebody who has less.

use std::collections::BTreeMap;

use crate::id::NodeId;

/// Nodes that want nothing keep enough for a beginning, if that is no more than this part of all:
/// they can begin at once, also when the coordinator has just died.
const AMPLE: u64 = 10;

/// Divides `all` units. Who wants something gets at least `least`: the caller sees to it that there
/// is so much. What nobody wants is divided, too, so that who needs more tomorrow has it already.
pub(super) fn divide(all: u64, least: u64, wants: &BTreeMap<NodeId, u64>) -> BTreeMap<NodeId, u64> {
    let nodes = wants.len() as u64;
    if nodes == 0 {
        return BTreeMap::new();
    }
    let idle = wants.values().filter(|want| **want == 0).count() as u64;
    let ample = all / AMPLE >= least.saturating_mul(idle);
    let start = if ample { least } else { 0 };
    let need = |want: u64| if want > 0 { want.max(least) } else { start };
    let mut order: Vec<(u64, NodeId)> = wants.iter().map(|(node, w)| (need(*w), *node)).collect();
    order.sort_unstable();
    let mut left = all;
    let mut shares = BTreeMap::new();
    for (i, (need, node)) in order.iter().enumerate() {
        let share = (*need).min(left / (nodes - i as u64));
        left -= share;
        shares.insert(*node, share);
    }
    // The most in need come last, and get what cannot be divided.
    for (i, (_, node)) in order.iter().rev().enumerate() {
        let more = left.div_ceil(nodes - i as u64);
        left -= more;
        *shares.entry(*node).or_default() += more;
    }
    shares.retain(|_, share| *share >= least);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(all: u64, least: u64, wants: &[u64], expected: &[u64]) {
        let node = |i: usize| NodeId(i as u64 + 1);
        let map = wants.iter().enumerate().map(|(i, want)| (node(i), *want)).collect();
        let shares = divide(all, least, &map);
        let share = |i| shares.get(&node(i)).copied().unwrap_or_default();
        let shares: Vec<_> = (0..wants.len()).map(share).collect();
        assert_eq!(shares, expected, "{all} by {wants:?}");
        assert!(shares.iter().sum::<u64>() <= all);
    }

    #[test]
    fn small_wishes_come_true_and_large_ones_are_cut() {
        check(20, 1, &[3, 50, 50], &[3, 8, 9]);
        check(20, 1, &[50, 50, 50], &[6, 7, 7]);
        check(7, 1, &[50, 1], &[6, 1]);
    }

    #[test]
    fn what_nobody_wants_is_divided() {
        check(19, 1, &[0, 20, 0], &[0, 19, 0]);
        check(20, 1, &[0, 20, 0], &[1, 18, 1]);
        check(30, 1, &[0, 50, 0], &[1, 28, 1]);
        check(20, 1, &[0, 5, 0], &[5, 10, 5]);
        check(9, 1, &[0, 0, 0], &[3, 3, 3]);
    }

    #[test]
    fn shares_that_are_of_no_use_are_not_given() {
        check(30, 10, &[30, 0, 0], &[30, 0, 0]);
        check(30, 10, &[12, 30, 0], &[12, 18, 0]);
        check(15, 10, &[0, 0, 0], &[0, 0, 0]);
    }
}
