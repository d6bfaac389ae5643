//! A store of one group in a temporary directory, for tests.

use std::path::Path;
use std::sync::Arc;

use super::applier::{Applier, ApplierThread, ApplyEntry};
use super::committer::{Committer, CommitterThread};
use super::database::{Database, Sizes};
use super::entry::{LogEntry, LogId, Payload, Proposal};
use super::log::GroupLog;
use super::reader::{Reader, ReaderThreads};
use super::{FatalHook, StoreError};
use crate::id::GroupId;
use crate::queue::machine::Machine;

pub(crate) const GROUP: GroupId = GroupId::partition(0);

pub(crate) const SIZES: Sizes = Sizes {
    body_buffer_bytes: 4 << 20,
    log_buffer_bytes: 4 << 20,
    cache_bytes: 4 << 20,
    tail_bytes: 1 << 20,
    log_bytes: 1 << 30,
};

/// The threads of a store; they end when it is dropped.
pub(crate) struct TestStore {
    pub(crate) log: Arc<GroupLog>,
    pub(crate) applier: Applier,
    pub(crate) committer: Committer,
    pub(crate) reader: Reader,
    applier_thread: ApplierThread,
    committer_thread: CommitterThread,
    reader_threads: ReaderThreads,
}

impl TestStore {
    /// Opens the group in `dir` with `tail_bytes` of its log in memory.
    pub(crate) fn open(dir: &Path, machine: Box<dyn Machine>, tail_bytes: usize) -> Self {
        let fatal = FatalHook::new(|reason| panic!("the store failed: {reason}"));
        let database = Arc::new(Database::open(dir, &SIZES).unwrap());
        let (committer_thread, committer) =
            CommitterThread::start(database.clone(), fatal.clone()).unwrap();
        let (reader_threads, reader) = Reader::start(&database, 2).unwrap();
        let opened =
            GroupLog::open(GROUP, &database, committer.clone(), reader.clone(), tail_bytes);
        let log = Arc::new(opened.unwrap());
        let (applier_thread, applier) =
            Applier::start(GROUP, database, machine, log.clone(), fatal).unwrap();
        Self { log, applier, committer, reader, applier_thread, committer_thread, reader_threads }
    }

    /// Appends entries and waits until they are on stable storage.
    pub(crate) async fn append(&self, entries: Vec<LogEntry>) {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.log.append(entries, Box::new(|result| tx.send(result).unwrap())).unwrap();
        rx.await.unwrap().unwrap();
    }

    /// Applies entries.
    pub(crate) async fn apply(&self, entries: &[LogEntry]) {
        let entry = |entry: &LogEntry| ApplyEntry { entry: entry.clone(), respond: None };
        self.applier.apply(entries.iter().map(entry).collect()).await.unwrap();
    }

    /// Runs `read` on the database.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.reader.read(move |database| read(database)).await.unwrap()
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.applier_thread.stop();
        self.committer_thread.stop();
        self.reader_threads.stop();
    }
}

pub(crate) fn entry(term: u64, index: u64, payload: &str, bodies: &[&str]) -> LogEntry {
    let bodies = bodies.iter().map(|b| b.as_bytes().to_vec().into()).collect();
    let proposal = Proposal { payload: payload.as_bytes().to_vec().into(), bodies };
    LogEntry { id: LogId { term, index }, payload: Payload::Normal(Arc::new(proposal)) }
}
