//! Which queue has work when: one entry per queue that is not empty, whatever its length.
//!
//! Kept outside of the scheduler's actor, so that it survives it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::clock::Timestamp;
use crate::id::{GroupId, QueueName};

/// What is known about a queue that nobody works on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Per partition, when there is something to do.
    pub(crate) due: BTreeMap<GroupId, Timestamp>,
    /// Nothing is tried before this.
    pub(crate) not_before: Timestamp,
    /// Failures in a row to reach the queue's hosts.
    pub(crate) failures: u32,
    /// Some recipients wait for an operator's switch.
    pub(crate) set_aside: bool,
}

impl Rest {
    /// When somebody should look at the queue.
    fn at(&self) -> Option<Timestamp> {
        self.due.values().min().map(|due| self.not_before.max(*due))
    }
}

/// All queues with work.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    queues: HashMap<QueueName, Rest>,
    times: BTreeSet<(Timestamp, QueueName)>,
}

impl Agenda {
    /// There is work due at `due`.
    pub(crate) fn note(&mut self, queue: &QueueName, group: GroupId, due: Timestamp) {
        self.change(queue, |rest| {
            let known = rest.due.entry(group).or_insert(due);
            *known = due.min(*known);
        });
    }

    /// Nobody works on the queue any more, and this is left. A queue without work is forgotten.
    pub(crate) fn put(&mut self, queue: &QueueName, rest: Rest) {
        self.change(queue, |known| {
            let noted = std::mem::replace(known, rest);
            for (group, due) in noted.due {
                let known = known.due.entry(group).or_insert(due);
                *known = due.min(*known);
            }
        });
        let empty = |rest: &Rest| rest.due.is_empty() && !rest.set_aside;
        if self.queues.get(queue).is_some_and(empty) {
            self.queues.remove(queue);
        }
    }

    /// Queues that somebody worked on when the agenda was last heard of.
    pub(crate) fn taken(&self) -> Vec<QueueName> {
        let taken = |rest: &Rest| rest.due.is_empty() && !rest.set_aside;
        let queues = self.queues.iter().filter(|(_, rest)| taken(rest));
        queues.map(|(queue, _)| queue.clone()).collect()
    }

    /// The queue is to be looked at now.
    pub(crate) fn hasten(&mut self, queue: &QueueName, groups: &[GroupId]) {
        if self.queues.contains_key(queue) {
            self.change(queue, |rest| {
                rest.not_before = Timestamp(0);
                for group in groups {
                    rest.due.insert(*group, Timestamp(0));
                }
            });
        }
    }

    /// Queues in which recipients were set aside.
    pub(crate) fn set_aside(&self) -> Vec<QueueName> {
        let aside = self.queues.iter().filter(|(_, rest)| rest.set_aside);
        aside.map(|(queue, _)| queue.clone()).collect()
    }

    /// Takes the queues whose time has come, with all that was noted: who takes it looks after it
    /// until [`Self::put`].
    pub(crate) fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<(QueueName, Rest)> {
        let mut due = Vec::new();
        while due.len() < limit {
            let Some((at, _)) = self.times.first() else { break };
            if *at > now {
                break;
            }
            let Some((_, queue)) = self.times.pop_first() else { break };
            if let Some(rest) = self.queues.get_mut(&queue) {
                let taken = rest.clone();
                rest.due.clear();
                due.push((queue, taken));
            }
        }
        due
    }

    /// When the next queue's time comes.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.times.first().map(|(at, _)| *at)
    }

    /// How many queues are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }

    fn change(&mut self, queue: &QueueName, change: impl FnOnce(&mut Rest)) {
        let rest = self.queues.entry(queue.clone()).or_default();
        if let Some(at) = rest.at() {
            self.times.remove(&(at, queue.clone()));
        }
        change(rest);
        if let Some(at) = rest.at() {
            self.times.insert((at, queue.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(2);

    fn queue(name: &str) -> QueueName {
        name.parse().unwrap()
    }

    fn names(due: &[(QueueName, Rest)]) -> Vec<String> {
        due.iter().map(|(queue, _)| queue.domain.clone()).collect()
    }

    #[test]
    fn queues_come_in_order_of_time_and_once() {
        let mut agenda = Agenda::default();
        agenda.note(&queue("b"), GROUP, Timestamp(20));
        agenda.note(&queue("a"), GROUP, Timestamp(30));
        agenda.note(&queue("a"), GroupId(3), Timestamp(10));
        agenda.note(&queue("c"), GROUP, Timestamp(99));
        assert_eq!(agenda.next(), Some(Timestamp(10)));
        assert_eq!(names(&agenda.take_due(Timestamp(50), 10)), ["a", "b"]);
        assert!(agenda.take_due(Timestamp(50), 10).is_empty());
        assert_eq!(agenda.taken().len(), 2);
        agenda.note(&queue("a"), GROUP, Timestamp(40));
        let again = agenda.take_due(Timestamp(50), 10);
        assert_eq!(again[0].1.due, BTreeMap::from([(GROUP, Timestamp(40))]), "only what is new");
    }

    #[test]
    fn a_queue_that_cannot_be_reached_waits_whatever_comes() {
        let mut agenda = Agenda::default();
        let due = BTreeMap::from([(GROUP, Timestamp(5))]);
        let not_before = Timestamp(100);
        agenda.put(&queue("a"), Rest { due, not_before, failures: 2, set_aside: false });
        agenda.note(&queue("a"), GROUP, Timestamp(7));
        assert!(agenda.take_due(Timestamp(99), 10).is_empty());
        let taken = agenda.take_due(Timestamp(100), 10);
        assert_eq!(taken[0].1.failures, 2);
        assert_eq!(taken[0].1.due, BTreeMap::from([(GROUP, Timestamp(5))]));
        agenda.put(&queue("a"), taken[0].1.clone());
        agenda.hasten(&queue("a"), &[GROUP]);
        assert_eq!(names(&agenda.take_due(Timestamp(0), 10)), ["a"]);
    }

    #[test]
    fn an_empty_queue_is_forgotten_and_one_that_waits_for_a_switch_is_not() {
        let mut agenda = Agenda::default();
        agenda.note(&queue("a"), GROUP, Timestamp(5));
        agenda.take_due(Timestamp(5), 10);
        agenda.note(&queue("a"), GROUP, Timestamp(7));
        agenda.put(&queue("a"), Rest::default());
        assert_eq!(agenda.next(), Some(Timestamp(7)), "what came in between is not lost");
        agenda.take_due(Timestamp(7), 10);
        agenda.put(&queue("a"), Rest::default());
        assert_eq!((agenda.len(), agenda.next()), (0, None));
        agenda.put(&queue("b"), Rest { set_aside: true, ..Rest::default() });
        assert_eq!(agenda.set_aside(), [queue("b")]);
        agenda.hasten(&queue("b"), &[GROUP]);
        assert_eq!(names(&agenda.take_due(Timestamp(5), 10)), ["b"]);
    }
}
