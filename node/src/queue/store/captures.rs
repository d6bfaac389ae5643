//! Who wants to see the state of a group as it is exactly after a certain entry.
//!
//! Replicas that are compared have to be at the same entry, and while mail flows they never are at
//! the same time. The applier stops for a moment when it has applied the entry that somebody waits
//! for, until that one has taken a snapshot.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::id::GroupId;

/// Looks at whole states that may go on at a time.
const LOOKS: usize = 2;
/// A thread that was woken takes its snapshot within this time, or goes without.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who waits for which entries.
pub(crate) struct Captures {
    /// Cheap to read for appliers, who are hardly ever asked.
    count: AtomicUsize,
    waiting: Mutex<HashMap<GroupId, Vec<Waiting>>>,
    /// Held while a whole state is read.
    pub(crate) looks: Semaphore,
}

struct Waiting {
    index: u64,
    reached: SyncSender<()>,
    taken: Receiver<()>,
}

/// Somebody who waits. Dropping it lets the applier go on.
pub(crate) struct Capture {
    reached: Receiver<()>,
    _taken: SyncSender<()>,
}

impl Default for Captures {
    fn default() -> Self {
        let looks = Semaphore::new(LOOKS);
        Self { count: AtomicUsize::new(0), waiting: Mutex::default(), looks }
    }
}

impl Captures {
    /// Waits for entry `index` of `group` from now on.
    pub(crate) fn register(&self, group: GroupId, index: u64) -> Capture {
        let (reached_tx, reached) = sync_channel(1);
        let (taken_tx, taken) = sync_channel(1);
        let one = Waiting { index, reached: reached_tx, taken };
        self.waiting.lock().entry(group).or_default().push(one);
        self.count.fetch_add(1, Ordering::Release);
        Capture { reached, _taken: taken_tx }
    }

    /// The first entry up to `last` that somebody waits for.
    pub(crate) fn next(&self, group: GroupId, last: u64) -> Option<u64> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let waiting = self.waiting.lock();
        let wanted = waiting.get(&group)?.iter().map(|one| one.index);
        wanted.filter(|index| *index <= last).min()
    }

    /// Entry `index` is applied, or was passed: whoever waits for it, or for an earlier one, takes
    /// a snapshot now. Blocks until it has.
    pub(crate) fn reached(&self, group: GroupId, index: u64) {
        let mut ready = Vec::new();
        {
            let mut all = self.waiting.lock();
            let Some(waiting) = all.get_mut(&group) else { return };
            let mut at = 0;
            while at < waiting.len() {
                if waiting[at].index <= index {
                    ready.push(waiting.swap_remove(at));
                } else {
                    at += 1;
                }
            }
            if waiting.is_empty() {
                all.remove(&group);
            }
        }
        self.count.fetch_sub(ready.len(), Ordering::Release);
        for one in ready {
            if one.reached.try_send(()).is_ok() {
                // Nothing is ever sent: it waits for the other side to be dropped.
                let _ = one.taken.recv_timeout(PATIENCE);
            }
        }
    }
}

impl Capture {
    /// Waits until the entry is applied, at most for `time`. True when it is.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        !matches!(self.reached.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const GROUP: GroupId = GroupId(2);

    #[test]
    fn the_applier_stops_at_the_entry_until_the_snapshot_is_taken() {
        let captures = Arc::new(Captures::default());
        assert_eq!(captures.next(GROUP, 100), None);
        let capture = captures.register(GROUP, 7);
        assert_eq!(captures.next(GROUP, 6), None);
        assert_eq!(captures.next(GROUP, 100), Some(7));
        assert_eq!(captures.next(GroupId(3), 100), None);
        let applier = Arc::clone(&captures);
        let applying = std::thread::spawn(move || applier.reached(GROUP, 7));
        assert!(capture.wait(Duration::from_secs(20)));
        assert!(!applying.is_finished(), "it waits for the snapshot");
        drop(capture);
        applying.join().unwrap();
        assert_eq!(captures.next(GROUP, 100), None);
    }

    #[test]
    fn nobody_waits_for_one_who_has_gone() {
        let captures = Captures::default();
        drop(captures.register(GROUP, 7));
        captures.reached(GROUP, 7);
        assert_eq!(captures.next(GROUP, 100), None);
    }
}
