//! One proposer per group: turns what waits into entries.
//!
//! While earlier entries are on their way, commands gather; then up to 64 of them, or a megabyte,
//! make one entry. A few entries are on their way at a time, and an entry is so until it is
//! applied, so that a state that lags holds the proposer back. What waits is bounded in number
//! and in bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::cluster::Cluster;
use super::command::{self, Draft, ENTRY_BYTES, ENTRY_COMMANDS, ENTRY_ROWS, FORMAT};
use super::machine::Answer;
use super::raft::group::{Group, ProposeError, Proposed};
use crate::clock::{self, Timestamp};
use crate::id::Locator;

/// Entries on their way at a time.
const IN_FLIGHT: u32 = 4;
/// Commands that may wait.
const WAITING: usize = 4096;
/// Kilobytes of commands that may wait or be on their way.
const WAITING_KIB: u32 = 64 << 10;
/// How long a leader that is not confirmed yet is tried again.
const RETRY_FOR: Duration = Duration::from_secs(2);
/// How often.
const RETRY_EVERY: Duration = Duration::from_millis(20);

/// Why a command was not, or perhaps not, committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Too much waits already; nothing was stored.
    Busy,
    /// This node does not lead; nothing was stored.
    NotLeader,
    /// Leadership or the group ended before the answer came; it may be stored.
    Unknown,
    /// The proposer has stopped; nothing was stored.
    Stopping,
}

/// When a command is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// When a majority has it.
    Committed,
    /// When this node has applied it.
    Applied,
}

/// A command that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its entry and its number therein.
    pub at: Locator,
    /// What the machine answered, when it was waited for.
    pub answer: Option<Answer>,
}

/// The cluster, which knows what format of entries all its members read.
pub(crate) type Level = watch::Receiver<Arc<Cluster>>;

/// Where entries go, and in which format.
#[derive(Clone)]
struct Way {
    group: Arc<Group>,
    level: Level,
}

struct Item {
    draft: Draft,
    when: When,
    tx: oneshot::Sender<Result<Told, Failure>>,
    _bytes: OwnedSemaphorePermit,
}

/// The way to the proposer of one group.
pub(crate) struct Proposer {
    tx: mpsc::Sender<Item>,
    bytes: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    idle: Arc<Semaphore>,
}

impl Proposer {
    /// Starts it on the current runtime.
    pub(crate) fn start(group: Arc<Group>, level: Level) -> Self {
        let (tx, rx) = mpsc::channel(WAITING);
        let (stop, stopped) = watch::channel(false);
        let idle = Arc::new(Semaphore::new(0));
        tokio::spawn(run(Way { group, level }, rx, stopped, idle.clone()));
        Self { tx, bytes: Arc::new(Semaphore::new(WAITING_KIB as usize)), stop, idle }
    }

    /// Queues a command if there is room.
    pub(crate) fn offer(
        &self,
        draft: Draft,
        when: When,
    ) -> Result<oneshot::Receiver<Result<Told, Failure>>, Failure> {
        let bytes = self.bytes.clone().try_acquire_many_owned(kib(&draft));
        let bytes = bytes.map_err(|_| Failure::Busy)?;
        let (tx, rx) = oneshot::channel();
        match self.tx.try_send(Item { draft, when, tx, _bytes: bytes }) {
            Ok(()) => Ok(rx),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Failure::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Failure::Stopping),
        }
    }

    /// Queues a command when there is room, and waits for its answer.
    pub(crate) async fn propose(&self, draft: Draft, when: When) -> Result<Told, Failure> {
        let bytes = self.bytes.clone().acquire_many_owned(kib(&draft)).await;
        let bytes = bytes.map_err(|_| Failure::Stopping)?;
        let (tx, rx) = oneshot::channel();
        let item = Item { draft, when, tx, _bytes: bytes };
        self.tx.send(item).await.map_err(|_| Failure::Stopping)?;
        rx.await.unwrap_or(Err(Failure::Unknown))
    }

    /// Takes no more commands, and waits until those that wait are answered.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        // Closed only if the task has panicked.
        let _ = self.idle.acquire().await;
    }
}

fn kib(draft: &Draft) -> u32 {
    let kib = u32::try_from(draft.size_bytes / 1024 + 1).unwrap_or(u32::MAX);
    kib.min(WAITING_KIB)
}

async fn run(
    way: Way,
    mut rx: mpsc::Receiver<Item>,
    mut stopped: watch::Receiver<bool>,
    idle: Arc<Semaphore>,
) {
    let flights = Arc::new(Semaphore::new(IN_FLIGHT as usize));
    let mut carried = None;
    loop {
        let first = match carried.take() {
            Some(item) => item,
            None => match next(&mut rx, &mut stopped).await {
                Some(item) => item,
                None => break,
            },
        };
        let Ok(flight) = flights.clone().acquire_owned().await else { break };
        let batch;
        (batch, carried) = gather(first, &mut rx);
        propose(&way, batch, flight).await;
    }
    // Every flight gives its permit back.
    let _ = flights.acquire_many(IN_FLIGHT).await;
    idle.add_permits(Semaphore::MAX_PERMITS >> 1);
}

/// The next command; `None` when the proposer stops and nothing waits.
async fn next(rx: &mut mpsc::Receiver<Item>, stopped: &mut watch::Receiver<bool>) -> Option<Item> {
    tokio::select! {
        biased;
        item = rx.recv() => return item,
        // An error means that the proposer itself is gone.
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    rx.close();
    rx.recv().await
}

/// Takes what waits into one entry, and the command that did not fit.
fn gather(first: Item, rx: &mut mpsc::Receiver<Item>) -> (Vec<Item>, Option<Item>) {
    let (mut size, mut rows) = (first.draft.size_bytes, first.draft.rows);
    let mut term = first.draft.term;
    let mut batch = vec![first];
    while batch.len() < ENTRY_COMMANDS {
        let Ok(item) = rx.try_recv() else { break };
        size += item.draft.size_bytes;
        rows += item.draft.rows;
        let conflict = term.is_some() && item.draft.term.is_some() && term != item.draft.term;
        if conflict || size > ENTRY_BYTES || rows > ENTRY_ROWS {
            return (batch, Some(item));
        }
        term = term.or(item.draft.term);
        batch.push(item);
    }
    (batch, None)
}

/// Proposes a batch, and leaves the rest to a task, so that the next batch can follow at once.
async fn propose(way: &Way, batch: Vec<Item>, flight: OwnedSemaphorePermit) {
    let proposed = start(way, &batch).await;
    let way = way.clone();
    tokio::spawn(async move {
        let until = clock::monotonic() + RETRY_FOR;
        let mut attempt = Some((batch, proposed));
        while let Some((batch, proposed)) = attempt.take() {
            let left = finish(&way.group, batch, proposed).await;
            if left.is_empty() {
                break;
            }
            if clock::monotonic() >= until || way.group.is_led_elsewhere() {
                fail(left, Failure::NotLeader);
                break;
            }
            tokio::time::sleep(RETRY_EVERY).await;
            let proposed = start(&way, &left).await;
            attempt = Some((left, proposed));
        }
        drop(flight);
    });
}

async fn start(way: &Way, batch: &[Item]) -> Result<Proposed, ProposeError> {
    let term = batch.iter().find_map(|item| item.draft.term);
    let drafts = batch.iter().map(|item| &item.draft);
    let format = way.level.borrow().level.clamp(1, FORMAT);
    way.group.propose(term, command::entry(format, Timestamp::now(), drafts)).await
}

/// Answers the commands of an entry; gives those that should be proposed again.
async fn finish(
    group: &Group,
    batch: Vec<Item>,
    proposed: Result<Proposed, ProposeError>,
) -> Vec<Item> {
    let mut proposed = match proposed {
        Ok(proposed) => proposed,
        Err(error) => return again(batch, error),
    };
    let entry = match proposed.committed().await {
        Ok(id) => id,
        Err(error) => return again(batch, error),
    };
    let mut waiting = Vec::new();
    for (slot, item) in (0u16..).zip(batch) {
        let at = Locator { group: group.id(), index: entry.index, slot };
        match item.when {
            // Nobody may be waiting any more: the connection is gone.
            When::Committed => drop(item.tx.send(Ok(Told { at, answer: None }))),
            When::Applied => waiting.push((at, item)),
        }
    }
    match proposed.applied().await {
        Ok(answers) => {
            for (at, item) in waiting {
                let answer = answers.get(usize::from(at.slot)).copied();
                let _ = item.tx.send(Ok(Told { at, answer }));
            }
        }
        Err(_) => fail(waiting.into_iter().map(|(_, item)| item).collect(), Failure::Unknown),
    }
    Vec::new()
}

/// Answers what cannot be proposed again after `error`, and gives the rest.
fn again(batch: Vec<Item>, error: ProposeError) -> Vec<Item> {
    let (mut left, mut lost) = (Vec::new(), Vec::new());
    let failure = match error {
        ProposeError::NotLeader => Failure::NotLeader,
        ProposeError::Discarded | ProposeError::Stopped => Failure::Unknown,
    };
    for mut item in batch {
        let retry = match error {
            ProposeError::NotLeader => item.draft.term.is_none(),
            ProposeError::Discarded => item.draft.term.is_none() && item.draft.is_repeatable(),
            ProposeError::Stopped => false,
        };
        if !retry || item.tx.is_closed() {
            lost.push(item);
            continue;
        }
        if error == ProposeError::Discarded {
            // The first one may be committed: only the state knows which of the two counts.
            item.when = When::Applied;
        }
        left.push(item);
    }
    fail(lost, failure);
    left
}

fn fail(items: Vec<Item>, failure: Failure) {
    for item in items {
        let _ = item.tx.send(Err(failure));
    }
}
