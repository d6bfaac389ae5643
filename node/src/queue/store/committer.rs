//! The one thread that writes logs and votes.
//!
//! It takes all that waits, of all groups, into one batch, in the order in which it was sent, and
//! syncs once: the sync is the timer that makes batches. When a write fails, nobody knows what is
//! on the disk, so nothing is written after that.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use convoy_proto::storage as proto;
use parking_lot::Mutex;
use prost::Message;

use super::database::{Batch, Database, Family};
use super::entry::{LogEntry, LogId};
use super::{FatalHook, PanicGuard, StoreError, keys};
use crate::id::GroupId;
use crate::queue::machine::BodyPart;

/// Bytes in one batch; a single write may be longer.
const BATCH_BYTES: usize = 4 << 20;
/// Writes in one batch.
const BATCH_WRITES: usize = 1024;

/// Called on the committer's thread when the write is on stable storage, or has failed.
pub(crate) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A change of a group's log.
#[derive(Debug)]
pub(crate) enum Write {
    /// Adds entries.
    Append(Vec<LogEntry>),
    /// Replaces the vote.
    Vote(proto::Vote),
    /// Removes entries from this index on, with their bodies.
    Truncate(u64),
    /// Removes records up to this entry. Bodies stay: the state may need them.
    Purge(LogId),
}

struct Op {
    group: GroupId,
    write: Write,
    done: Done,
}

enum Order {
    Op(Op),
    Stop,
}

/// Hands writes to the thread. What waits is bounded by what the groups have in flight.
#[derive(Clone)]
pub(crate) struct Committer {
    tx: Sender<Order>,
}

impl Committer {
    /// Queues a write.
    pub(crate) fn send(&self, group: GroupId, write: Write, done: Done) {
        let op = Op { group, write, done };
        if let Err(unsent) = self.tx.send(Order::Op(op))
            && let Order::Op(op) = unsent.0
        {
            (op.done)(Err(StoreError::Closed));
        }
    }

    /// Queues a write and waits until it is on stable storage.
    pub(crate) async fn write(&self, group: GroupId, write: Write) -> Result<(), StoreError> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let done = move |result| {
            // The one who waited may have gone.
            let _ = tx.send(result);
        };
        self.send(group, write, Box::new(done));
        rx.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// The thread.
pub(crate) struct CommitterThread {
    tx: Sender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl CommitterThread {
    /// Starts it.
    pub(crate) fn start(
        database: Arc<Database>,
        fatal: FatalHook,
    ) -> std::io::Result<(Self, Committer)> {
        let (tx, rx) = channel();
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || run(&database, &rx, &fatal, |batch| database.write(batch, true)))?;
        let committer = Committer { tx: tx.clone() };
        Ok((Self { tx, thread: Mutex::new(Some(thread)) }, committer))
    }

    /// Lets it finish what was sent before, and waits. Blocks.
    pub(crate) fn stop(&self) {
        // The thread is gone already when nobody receives.
        let _ = self.tx.send(Order::Stop);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("The committer thread has panicked.");
        }
    }
}

fn run<'a>(
    database: &'a Database,
    rx: &Receiver<Order>,
    fatal: &FatalHook,
    mut write: impl FnMut(Batch<'a>) -> Result<(), StoreError>,
) {
    let _guard = PanicGuard { what: "the committer thread", fatal: fatal.clone() };
    let mut failed = false;
    let mut stopping = false;
    while !stopping {
        let Ok(first) = rx.recv() else { return };
        let mut batch = database.batch();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Order::Stop => stopping = true,
                Order::Op(op) => {
                    stage(&mut batch, op.group, &op.write);
                    waiting.push(op.done);
                    if waiting.len() < BATCH_WRITES && batch.size_bytes() < BATCH_BYTES {
                        next = rx.try_recv().ok();
                    }
                }
            }
        }
        let result = if failed { Err(StoreError::Failed) } else { write(batch) };
        if let Err(error) = &result {
            failed = true;
            fatal.report(&error.to_string());
        }
        for done in waiting {
            done(result.clone());
        }
    }
}

fn stage(batch: &mut Batch<'_>, group: GroupId, write: &Write) {
    match write {
        Write::Append(entries) => {
            for entry in entries {
                let record = entry.to_record().encode_to_vec();
                batch.put(Family::Log, &keys::log(group, entry.id.index), &record);
                for (part, bytes) in (0..).zip(entry.bodies()) {
                    let part = BodyPart { index: entry.id.index, part };
                    batch.put(Family::Body, &keys::body(group, part), bytes);
                }
            }
        }
        Write::Vote(vote) => {
            let key = keys::meta(group, keys::Meta::Vote);
            batch.put(Family::Meta, &key, &vote.encode_to_vec());
        }
        Write::Truncate(from) => {
            let end = keys::group_end(group);
            batch.delete_range(Family::Log, &keys::log(group, *from), &end);
            let first = BodyPart { index: *from, part: 0 };
            batch.delete_range(Family::Body, &keys::body(group, first), &end);
        }
        Write::Purge(upto) => {
            let (from, to) = (keys::log(group, 0), keys::log(group, upto.index + 1));
            batch.delete_range(Family::Log, &from, &to);
            let purged = proto::LogId::from(*upto).encode_to_vec();
            batch.put(Family::Meta, &keys::meta(group, keys::Meta::Purged), &purged);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use tempfile::TempDir;

    use super::*;
    use crate::queue::store::fixture::{GROUP, SIZES, entry};

    #[test]
    fn after_a_failed_write_nothing_is_written_and_the_node_is_told_once() {
        let dir = TempDir::new().unwrap();
        let database = Database::open(dir.path(), &SIZES).unwrap();
        let (tx, rx) = channel();
        let (done_tx, done_rx) = channel();
        let send = |index| {
            let done_tx = done_tx.clone();
            let done: Done = Box::new(move |result| done_tx.send((index, result)).unwrap());
            let write = Write::Append(vec![entry(1, index, "", &[])]);
            tx.send(Order::Op(Op { group: GROUP, write, done })).unwrap();
        };
        let (told_tx, told_rx) = channel();
        let fatal = FatalHook::new(move |reason| told_tx.send(reason).unwrap());
        let mut writes = 0;
        send(1);
        run(&database, &rx, &fatal, |batch| {
            writes += 1;
            match writes {
                // Each write lets the next one come, so that they are not one batch.
                1 => {
                    send(2);
                    database.write(batch, true)
                }
                2 => {
                    send(3);
                    tx.send(Order::Stop).unwrap();
                    Err(StoreError::Damaged("no space".to_owned()))
                }
                _ => panic!("written after a failure"),
            }
        });
        let results: Vec<_> = done_rx.try_iter().map(|(i, r)| (i, r.is_ok())).collect();
        assert_eq!(results, [(1, true), (2, false), (3, false)]);
        assert_eq!(told_rx.try_iter().count(), 1);
        let key = |index| keys::log(GROUP, index);
        assert!(database.get(Family::Log, &key(1)).unwrap().is_some());
        assert!(database.get(Family::Log, &key(3)).unwrap().is_none());
    }
}
