//! Figures of queues and jobs, and who waits for news of them.
//!
//! Everything here can be rebuilt from the rows: at start and after a snapshot by reading all
//! open recipients once, afterwards by what entries changed. Memory grows with the number of
//! queues and jobs, not with the number of messages.

use std::collections::{BTreeMap, HashMap};

use convoy_proto::storage as proto;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;

use super::codec;
use super::machine::{MachineError, Table, View};
use super::model::{QueueFigures, Wake};
use super::raft::group::Leadership;
use crate::clock::Timestamp;
use crate::id::{GroupId, QueueName};

/// Recipients read at a time when the figures are rebuilt.
const PAGE: usize = 4096;

/// What an entry changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A recipient came in; `due` unless it is held.
    Opened { queue: QueueName, job: String, bytes: u64, due: Option<Timestamp> },
    /// A recipient was finished.
    Closed { queue: QueueName, job: String, bytes: u64 },
    /// A recipient waits for another time.
    Due { queue: QueueName, due: Timestamp },
    /// The outbox has a new row.
    Outbox,
}

/// Figures of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub queues: HashMap<QueueName, QueueFigures>,
    pub jobs: HashMap<String, QueueFigures>,
}

#[derive(Default)]
struct Inner {
    groups: BTreeMap<GroupId, Figures>,
    led: BTreeMap<GroupId, u64>,
    /// Led, but about to be handed over: no new work is taken from them.
    retired: BTreeMap<GroupId, u64>,
    wakes: HashMap<(GroupId, QueueName), Timestamp>,
}

/// Figures of all groups of this node.
#[derive(Default)]
pub(crate) struct Index {
    inner: Mutex<Inner>,
    woken: Notify,
    outbox: Notify,
}

impl Index {
    /// Reads a group's figures anew.
    pub(crate) fn rebuild(&self, group: GroupId, view: &dyn View) -> Result<(), MachineError> {
        let mut figures = Figures::default();
        let mut from = Vec::new();
        // Keys have twelve bytes.
        let end = [u8::MAX; 13];
        loop {
            let rows = view.scan(Table::Recipient, &from, &end, PAGE)?;
            let Some(last) = rows.last() else { break };
            from.clone_from(&last.key);
            from.push(0);
            for row in &rows {
                figures.add(opened(&row.value)?)?;
            }
        }
        let mut inner = self.inner.lock();
        inner.groups.insert(group, figures);
        if inner.led.contains_key(&group) {
            inner.wake_all(group);
            self.woken.notify_one();
        }
        Ok(())
    }

    /// Counts what entries changed.
    pub(crate) fn record(
        &self,
        group: GroupId,
        effects: impl Iterator<Item = Effect>,
    ) -> Result<(), MachineError> {
        let (mut woken, mut outbox) = (false, false);
        {
            let mut inner = self.inner.lock();
            let led = inner.led.contains_key(&group);
            let Inner { groups, wakes, .. } = &mut *inner;
            let figures = groups.entry(group).or_default();
            for effect in effects {
                outbox |= effect == Effect::Outbox;
                if let Some((queue, due)) = figures.add(effect)?
                    && led
                {
                    woken = true;
                    wake(wakes, group, queue, due);
                }
            }
        }
        if woken {
            self.woken.notify_one();
        }
        if outbox {
            self.outbox.notify_one();
        }
        Ok(())
    }

    /// Groups that this node leads, with their terms.
    pub(crate) fn led(&self) -> Vec<(GroupId, u64)> {
        self.inner.lock().led.iter().map(|(group, term)| (*group, *term)).collect()
    }

    /// The term in which this node leads `group`, if it does.
    pub(crate) fn term(&self, group: GroupId) -> Option<u64> {
        let inner = self.inner.lock();
        inner.led.get(&group).or_else(|| inner.retired.get(&group)).copied()
    }

    /// Is it being handed over?
    pub(crate) fn is_retired(&self, group: GroupId) -> bool {
        self.inner.lock().retired.contains_key(&group)
    }

    /// Takes no new work from a group.
    pub(crate) fn retire(&self, group: GroupId) {
        let mut inner = self.inner.lock();
        if let Some(term) = inner.led.remove(&group) {
            inner.retired.insert(group, term);
            inner.wakes.retain(|(of, _), _| *of != group);
        }
    }

    /// Takes work from a group again that was not handed over after all.
    pub(crate) fn resume(&self, group: GroupId) {
        let term = self.inner.lock().retired.remove(&group);
        if let Some(term) = term {
            self.gained(group, term);
        }
    }

    /// Waits for queues with new work and takes them.
    pub(crate) async fn wakes(&self) -> Vec<Wake> {
        loop {
            let wakes = std::mem::take(&mut self.inner.lock().wakes);
            if !wakes.is_empty() {
                let wake = |((group, queue), due)| Wake { group, queue, due };
                return wakes.into_iter().map(wake).collect();
            }
            self.woken.notified().await;
        }
    }

    /// Waits until some outbox has new rows.
    pub(crate) async fn outbox_changed(&self) {
        self.outbox.notified().await;
    }

    /// Figures per queue over the groups that this node leads, in order of the names.
    pub(crate) fn queues(&self) -> Vec<(QueueName, QueueFigures)> {
        self.sum(|figures| &figures.queues)
    }

    /// Figures per job, likewise.
    pub(crate) fn jobs(&self) -> Vec<(String, QueueFigures)> {
        self.sum(|figures| &figures.jobs)
    }

    fn sum<K: Ord + Clone>(
        &self,
        of: impl Fn(&Figures) -> &HashMap<K, QueueFigures>,
    ) -> Vec<(K, QueueFigures)> {
        let inner = self.inner.lock();
        let mut sums: BTreeMap<K, QueueFigures> = BTreeMap::new();
        let led = inner.groups.iter().filter(|(group, _)| inner.led.contains_key(group));
        for (_, figures) in led {
            for (key, part) in of(figures) {
                let sum = sums.entry(key.clone()).or_default();
                sum.recipients += part.recipients;
                sum.bytes += part.bytes;
                sum.next_due = earlier(sum.next_due, part.next_due);
            }
        }
        sums.into_iter().collect()
    }

    /// Corrects a queue's next due time after a look at the rows: entries only ever make it
    /// earlier.
    pub(crate) fn saw_due(&self, group: GroupId, queue: &QueueName, due: Timestamp) {
        let mut inner = self.inner.lock();
        if let Some(figures) = inner.groups.get_mut(&group).and_then(|g| g.queues.get_mut(queue)) {
            figures.next_due = Some(due);
        }
    }

    #[cfg(test)]
    pub(crate) fn figures(&self, group: GroupId) -> Figures {
        self.inner.lock().groups.get(&group).cloned().unwrap_or_default()
    }
}

impl Inner {
    /// Wakes every queue of a group that has something.
    fn wake_all(&mut self, group: GroupId) {
        let Some(figures) = self.groups.get(&group) else { return };
        for (queue, figures) in &figures.queues {
            let due = figures.next_due.unwrap_or_default();
            wake(&mut self.wakes, group, queue.clone(), due);
        }
    }
}

impl Leadership for Index {
    fn gained(&self, group: GroupId, term: u64) {
        let mut inner = self.inner.lock();
        inner.retired.remove(&group);
        inner.led.insert(group, term);
        inner.wake_all(group);
        self.woken.notify_one();
        self.outbox.notify_one();
    }

    fn lost(&self, group: GroupId) {
        let mut inner = self.inner.lock();
        inner.led.remove(&group);
        inner.retired.remove(&group);
        inner.wakes.retain(|(of, _), _| *of != group);
    }
}

fn wake(
    wakes: &mut HashMap<(GroupId, QueueName), Timestamp>,
    group: GroupId,
    queue: QueueName,
    due: Timestamp,
) {
    wakes.entry((group, queue)).and_modify(|at| *at = due.min(*at)).or_insert(due);
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

fn opened(row: &[u8]) -> Result<Effect, MachineError> {
    let row = proto::RecipientRow::decode(row)
        .map_err(|e| MachineError::Inconsistent(format!("row of a recipient: {e}")))?;
    Ok(Effect::Opened {
        queue: codec::read_queue_name(row.queue)?,
        job: row.job,
        bytes: row.size_bytes,
        due: (!row.held).then_some(Timestamp(row.due)),
    })
}

impl Figures {
    /// Counts one effect; gives the queue that has new work.
    fn add(&mut self, effect: Effect) -> Result<Option<(QueueName, Timestamp)>, MachineError> {
        match effect {
            Effect::Opened { queue, job, bytes, due } => {
                open(&mut self.queues, queue.clone(), bytes, due);
                if !job.is_empty() {
                    open(&mut self.jobs, job, bytes, due);
                }
                Ok(due.map(|due| (queue, due)))
            }
            Effect::Closed { queue, job, bytes } => {
                close(&mut self.queues, queue, bytes)?;
                if !job.is_empty() {
                    close(&mut self.jobs, job, bytes)?;
                }
                Ok(None)
            }
            Effect::Due { queue, due } => {
                if let Some(figures) = self.queues.get_mut(&queue) {
                    figures.next_due = earlier(figures.next_due, Some(due));
                }
                Ok(Some((queue, due)))
            }
            Effect::Outbox => Ok(None),
        }
    }
}

fn open<K: std::hash::Hash + Eq>(
    all: &mut HashMap<K, QueueFigures>,
    key: K,
    bytes: u64,
    due: Option<Timestamp>,
) {
    let figures = all.entry(key).or_default();
    figures.recipients += 1;
    figures.bytes += bytes;
    figures.next_due = earlier(figures.next_due, due);
}

fn close<K: std::hash::Hash + Eq + std::fmt::Debug>(
    all: &mut HashMap<K, QueueFigures>,
    key: K,
    bytes: u64,
) -> Result<(), MachineError> {
    let counted = |figures: &QueueFigures| figures.recipients > 0 && figures.bytes >= bytes;
    let Some(figures) = all.get_mut(&key).filter(|figures| counted(figures)) else {
        return Err(MachineError::Inconsistent(format!("{key:?} ends more than it has")));
    };
    figures.recipients -= 1;
    figures.bytes -= bytes;
    if figures.recipients == 0 {
        all.remove(&key);
    }
    Ok(())
}
