//! Safe shares: what each member may use of a limit that nobody has leased out.
//!
//! A limit is divided among the members; what is left over goes to the first ones of an order that
//! is drawn anew for each limit. Shares of all members never add up to more than the limit.

use crate::delivery::limits::{Bound, Measure};
use crate::id::NodeId;

/// A rate with fewer events per member than this is one node's at a time.
const EVENTS_EACH: u64 = 10;

/// Units that may be given to `nodes` nodes together. Of a rate, one unit per further node is kept
/// back: when shares move, each node may have an event more in a period than its share.
pub(super) fn units(bound: &Bound, nodes: usize) -> u64 {
    match bound.measure {
        Measure::Places => bound.units,
        Measure::Events { .. } if is_exclusive(bound, nodes) => bound.units,
        Measure::Events { .. } => bound.units.saturating_sub(nodes.saturating_sub(1) as u64),
    }
}

/// Fewer units than this are of no use to a node.
pub(super) fn least(bound: &Bound, nodes: usize) -> u64 {
    match bound.measure {
        Measure::Places => 1,
        Measure::Events { .. } if is_exclusive(bound, nodes) => bound.units,
        Measure::Events { step, .. } => step,
    }
}

/// Can only one node at a time have anything of it?
pub(super) fn is_exclusive(bound: &Bound, nodes: usize) -> bool {
    let few = bound.units < EVENTS_EACH.saturating_mul(nodes as u64);
    nodes > 1 && few && bound.measure != Measure::Places
}

/// The safe share of `node` when `members` share.
pub(super) fn safe(bound: &Bound, members: &[NodeId], node: NodeId) -> u64 {
    if !members.contains(&node) {
        return 0;
    }
    let nodes = members.len();
    if nodes == 1 {
        return bound.units;
    }
    if is_exclusive(bound, nodes) {
        return 0;
    }
    let all = units(bound, nodes);
    let mine = weight(bound, node);
    let before = members.iter().filter(|other| weight(bound, **other) < mine).count();
    let share = all / nodes as u64 + u64::from((before as u64) < all % nodes as u64);
    if share < least(bound, nodes) { 0 } else { share }
}

/// The place of a node in the order of a limit. No two are the same.
fn weight(bound: &Bound, node: NodeId) -> (u64, NodeId) {
    (mixed(hash(bound.key.as_str()) ^ mixed(node.0)), node)
}

/// The same on every node and in every version: FNV-1a.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Spreads what differs in few bits (the last steps of `splitmix64`).
const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::settings::Rate;
    use crate::delivery::limits::Key;

    fn members(n: u64) -> Vec<NodeId> {
        (1..=n).map(NodeId).collect()
    }

    fn sum(bound: &Bound, members: &[NodeId]) -> u64 {
        members.iter().map(|node| safe(bound, members, *node)).sum()
    }

    #[test]
    fn shares_of_connections_use_all_of_the_limit() {
        for limit in 1..40 {
            for n in 1..7 {
                let bound = Bound::places(Key::from_text(&format!("k{limit}")), limit);
                assert_eq!(sum(&bound, &members(n)), u64::from(limit));
            }
        }
        let bound = Bound::places(Key::from_text("k"), 20);
        assert_eq!(safe(&bound, &members(3), NodeId(4)), 0);
    }

    #[test]
    fn shares_of_rates_leave_room_for_what_moves() {
        for events in [1, 5, 29, 30, 31, 100, 5000] {
            let rate = Rate { events, period: Duration::from_secs(60) };
            let bound = Bound::events(Key::from_text("k"), rate);
            assert_eq!(sum(&bound, &members(1)), events);
            let three = sum(&bound, &members(3));
            let expected = if events < 30 { 0 } else { events - 2 };
            assert_eq!(three, expected, "of {events}");
        }
    }

    #[test]
    fn a_larger_limit_never_means_a_smaller_share() {
        for limit in 1..40 {
            for node in members(4) {
                let share = |n| safe(&Bound::places(Key::from_text("k"), n), &members(4), node);
                assert!(share(limit) <= share(limit + 1));
            }
        }
    }

    #[test]
    fn what_is_left_over_is_spread() {
        let first = |k: u64| {
            let bound = Bound::places(Key::from_text(&format!("max-smtp-out d{k}/v")), 1);
            members(3).into_iter().find(|node| safe(&bound, &members(3), *node) == 1)
        };
        for node in members(3) {
            let count = (0..300).filter(|k| first(*k) == Some(node)).count();
            assert!((60..140).contains(&count), "{node}: {count}");
        }
    }
}
