//! The sessions of a queue, as their destination sees them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::{Instant, Timestamp};
use crate::delivery::claim::Key;
use crate::delivery::feed::Batch;
use crate::id::GroupId;

/// What a session has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) group: GroupId,
    pub(super) due: Timestamp,
    pub(super) recipients: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// On its way to the server.
    Opening,
    /// Since then without work.
    Idle(Instant),
    Busy(Task),
    /// It takes no more.
    Leaving,
}

impl State {
    pub(super) const fn idle(now: Instant) -> Self {
        Self::Idle(now)
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Slot {
    /// Dropped to let the session go.
    assign: Option<mpsc::Sender<Batch>>,
    /// The session's task holds the other end as long as it lives.
    presence: Weak<()>,
    state: State,
    /// Its local address, where limits depend on it.
    source: Option<IpAddr>,
}

impl Slot {
    fn give(&mut self, batch: Batch) -> Result<(), Batch> {
        let task = Task {
            group: batch.claim.locator.group,
            due: batch.due,
            recipients: batch.claim.recipients.iter().map(|r| (batch.claim.locator, *r)).collect(),
        };
        let given = match &self.assign {
            Some(assign) => assign.try_send(batch).map_err(|error| error.into_inner()),
            None => Err(batch),
        };
        self.state = if given.is_ok() { State::Busy(task) } else { State::Leaving };
        given
    }
}

/// All sessions of a queue.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: BTreeMap<u64, Slot>,
    next: u64,
}

impl Slots {
    /// A new session: its number, where it gets its batches, and what it holds while it lives.
    pub(super) fn add(&mut self) -> (u64, mpsc::Receiver<Batch>, Arc<()>) {
        let (assign, assignments) = mpsc::channel(1);
        let presence = Arc::new(());
        self.next += 1;
        let slot = Slot {
            assign: Some(assign),
            presence: Arc::downgrade(&presence),
            state: State::Opening,
            source: None,
        };
        self.slots.insert(self.next, slot);
        (self.next, assignments, presence)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Sessions that will take a batch soon.
    pub(super) fn available(&self) -> usize {
        let soon = |slot: &&Slot| matches!(slot.state, State::Opening | State::Idle(_));
        self.slots.values().filter(soon).count()
    }

    /// Sessions that have reached the server.
    pub(super) fn working(&self) -> usize {
        let working = |slot: &&Slot| matches!(slot.state, State::Idle(_) | State::Busy(_));
        self.slots.values().filter(working).count()
    }

    /// Recipients in the sessions' hands.
    pub(super) fn recipients(&self) -> usize {
        let of_slot = |slot: &Slot| match &slot.state {
            State::Busy(task) => task.recipients.len(),
            State::Opening | State::Idle(_) | State::Leaving => 0,
        };
        self.slots.values().map(of_slot).sum()
    }

    /// Idle sessions with their local addresses; first the one that has been idle for the
    /// shortest time: its connection is the safest.
    pub(super) fn idle(&self) -> Vec<(u64, Option<IpAddr>)> {
        let since = |(number, slot): (&u64, &Slot)| match slot.state {
            State::Idle(since) => Some((since, *number, slot.source)),
            State::Opening | State::Busy(_) | State::Leaving => None,
        };
        let mut idle: Vec<_> = self.slots.iter().filter_map(since).collect();
        idle.sort_unstable_by_key(|(since, number, _)| std::cmp::Reverse((*since, *number)));
        idle.into_iter().map(|(_, number, source)| (number, source)).collect()
    }

    /// Hands a batch to a session. It comes back when the session is on its way out.
    pub(super) fn give(&mut self, number: u64, batch: Batch) -> Result<(), Batch> {
        match self.slots.get_mut(&number) {
            Some(slot) => slot.give(batch),
            None => Err(batch),
        }
    }

    pub(super) fn set_source(&mut self, number: u64, source: Option<IpAddr>) {
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.source = source;
        }
    }

    pub(super) fn set(&mut self, number: u64, state: State) {
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.state = state;
        }
    }

    /// A session is done with its batch: gives what that was.
    pub(super) fn ended(&mut self, number: u64, last: bool) -> Option<Task> {
        let slot = self.slots.get_mut(&number)?;
        let idle = State::Idle(crate::clock::monotonic());
        let next = if last { State::Leaving } else { idle };
        match std::mem::replace(&mut slot.state, next) {
            State::Busy(task) => Some(task),
            State::Opening | State::Idle(_) | State::Leaving => None,
        }
    }

    /// A session is gone. True when it still had a batch.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let slot = self.slots.remove(&number);
        slot.is_some_and(|slot| matches!(slot.state, State::Busy(_)))
    }

    /// Drops sessions whose task ended without a message. True when there were any.
    pub(super) fn reap(&mut self) -> bool {
        let before = self.slots.len();
        self.slots.retain(|_, slot| slot.presence.strong_count() > 0);
        self.slots.len() < before
    }

    /// Lets sessions go that have been idle for `patience`.
    pub(super) fn let_go(&mut self, patience: Duration, now: Instant) {
        for slot in self.slots.values_mut() {
            if matches!(slot.state, State::Idle(since) if since + patience <= now) {
                slot.assign = None;
                slot.state = State::Leaving;
            }
        }
    }

    /// When the first idle session has been so for `patience`.
    pub(super) fn next_expiry(&self, patience: Duration) -> Option<Instant> {
        let expiry = |slot: &Slot| match slot.state {
            State::Idle(since) => Some(since + patience),
            State::Opening | State::Busy(_) | State::Leaving => None,
        };
        self.slots.values().filter_map(expiry).min()
    }
}
