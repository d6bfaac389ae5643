//! What the other nodes have open, as they told it.

use std::collections::{BTreeMap, HashMap};

use convoy_proto::indoubt as proto;
use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, NodeId};
use crate::queue::model::FinalDot;

/// Recipients kept of one node; further ones are dropped.
const OPEN_MAX: usize = 1 << 18;
/// Nodes that are listened to.
const NODES_MAX: usize = 256;

/// What others told.
#[derive(Debug, Default)]
pub struct Foreign(Mutex<HashMap<NodeId, Told>>);

#[derive(Debug, Default)]
struct Told {
    run: u64,
    number: u64,
    open: BTreeMap<u64, FinalDot>,
    recipients: usize,
}

impl Foreign {
    /// Takes a message; true when something before it was missed and the next has to be whole.
    pub(super) fn take(&self, node: NodeId, request: proto::TellRequest) -> bool {
        let mut all = self.0.lock();
        if !all.contains_key(&node) && all.len() >= NODES_MAX {
            return false;
        }
        let told = all.entry(node).or_default();
        let follows = request.run == told.run && request.number == told.number + 1;
        if !request.whole && !follows {
            return true;
        }
        if request.whole {
            // What an earlier run left open, the sender has in its own journal.
            *told = Told::default();
        }
        (told.run, told.number) = (request.run, request.number);
        for ticket in request.ended {
            told.remove(ticket);
        }
        for attempt in request.begun {
            told.insert(attempt);
        }
        false
    }

    /// What others began in `group` in terms before `term`: they do not report it any more.
    pub(super) fn left_behind(&self, group: GroupId, term: u64) -> Vec<(NodeId, Vec<FinalDot>)> {
        let left = |dot: &&FinalDot| dot.locator.group == group && dot.term < term;
        let all = self.0.lock();
        let of = |(node, told): (&NodeId, &Told)| {
            let dots: Vec<_> = told.open.values().filter(left).cloned().collect();
            (!dots.is_empty()).then_some((*node, dots))
        };
        all.iter().filter_map(of).collect()
    }

    /// These are noted.
    pub(super) fn settled(&self, node: NodeId, group: GroupId, term: u64) {
        if let Some(told) = self.0.lock().get_mut(&node) {
            told.open.retain(|_, dot| dot.locator.group != group || dot.term >= term);
            told.recipients = told.open.values().map(|dot| dot.recipients.len()).sum();
        }
    }
}

impl Told {
    fn remove(&mut self, ticket: u64) {
        if let Some(dot) = self.open.remove(&ticket) {
            self.recipients -= dot.recipients.len();
        }
    }

    fn insert(&mut self, attempt: proto::Attempt) {
        if self.recipients + attempt.recipients.len() > OPEN_MAX {
            return;
        }
        let ticket = attempt.ticket;
        self.remove(ticket);
        if let Some(dot) = read(attempt) {
            self.recipients += dot.recipients.len();
            self.open.insert(ticket, dot);
        }
    }
}

fn read(attempt: proto::Attempt) -> Option<FinalDot> {
    let recipient = |r: &proto::Recipient| Some((u16::try_from(r.number).ok()?, r.attempts));
    Some(FinalDot {
        locator: Locator {
            group: GroupId(attempt.group),
            index: attempt.index,
            slot: u16::try_from(attempt.slot).ok()?,
        },
        term: attempt.term,
        at: Timestamp(attempt.at_ms),
        recipients: attempt.recipients.iter().map(recipient).collect::<Option<_>>()?,
    })
}

/// As it is told.
pub(super) fn attempt(ticket: u64, dot: &FinalDot) -> proto::Attempt {
    let recipient = |(number, attempts): &(u16, u32)| proto::Recipient {
        number: (*number).into(),
        attempts: *attempts,
    };
    proto::Attempt {
        ticket,
        group: dot.locator.group.0,
        index: dot.locator.index,
        slot: dot.locator.slot.into(),
        term: dot.term,
        at_ms: dot.at.0,
        recipients: dot.recipients.iter().map(recipient).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::dot;
    use super::*;

    const GROUP: GroupId = GroupId(2);

    fn tell(number: u64, whole: bool, begun: &[u64], ended: &[u64]) -> proto::TellRequest {
        let begun = begun.iter().map(|n| attempt(*n, &dot(2, *n, &[(0, 1)]))).collect();
        proto::TellRequest { run: 1, number, whole, begun, ended: ended.to_vec() }
    }

    fn open(foreign: &Foreign) -> Vec<u64> {
        let left = foreign.left_behind(GROUP, 8);
        left.into_iter().flat_map(|(_, dots)| dots).map(|dot| dot.locator.index).collect()
    }

    #[test]
    fn changes_are_taken_in_order_and_a_gap_asks_for_the_whole() {
        let foreign = Foreign::default();
        assert!(foreign.take(NodeId(5), tell(4, false, &[1], &[])), "the beginning is not known");
        assert!(!foreign.take(NodeId(5), tell(5, true, &[1, 2], &[])));
        assert!(!foreign.take(NodeId(5), tell(6, false, &[3], &[1])));
        assert_eq!(open(&foreign), [2, 3]);
        assert!(foreign.take(NodeId(5), tell(8, false, &[4], &[2])), "7 was missed");
        assert_eq!(open(&foreign), [2, 3]);
        assert!(!foreign.take(NodeId(5), tell(9, true, &[4], &[])));
        assert_eq!(open(&foreign), [4]);
    }

    #[test]
    fn only_earlier_terms_are_left_behind_and_only_once() {
        let foreign = Foreign::default();
        foreign.take(NodeId(5), tell(1, true, &[1], &[]));
        assert!(foreign.left_behind(GROUP, 7).is_empty(), "its sender may still report");
        assert!(foreign.left_behind(GroupId(3), 9).is_empty());
        assert_eq!(foreign.left_behind(GROUP, 8), [(NodeId(5), vec![dot(2, 1, &[(0, 1)])])]);
        foreign.settled(NodeId(5), GROUP, 8);
        assert!(open(&foreign).is_empty());
    }
}
