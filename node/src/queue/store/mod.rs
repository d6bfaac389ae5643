//! One RocksDB for all Raft groups of a node.
//!
//! The database is owned by this module's threads and by nobody else: the [`committer`] writes
//! logs and votes and syncs them, one [`applier`] per group writes its state, the [`reader`] pool
//! reads. Callers send them closures or values, so a stalled database never blocks a worker of
//! the asynchronous runtime. When all threads have stopped, the database is closed.

pub(crate) mod applier;
pub(crate) mod captures;
pub(crate) mod committer;
pub mod database;
pub(crate) mod entry;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod overlay;
pub(crate) mod reader;
pub(crate) mod snapshot;
mod weight;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod store_test;

use std::sync::Arc;

use parking_lot::Mutex;

/// Why the store cannot do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// RocksDB reported an error.
    #[error("{context}: {message}")]
    Database {
        /// What was being done.
        context: &'static str,
        /// RocksDB's words.
        message: String,
    },
    /// A row cannot be read, or rows contradict each other.
    #[error("database is damaged: {0}")]
    Damaged(String),
    /// A write failed before; nothing is written after that.
    #[error("an earlier write failed")]
    Failed,
    /// A machine's own files cannot be read or written.
    #[error("{0}")]
    Files(String),
    /// Another snapshot of the group is on its way in.
    #[error("another snapshot is being received")]
    Busy,
    /// The store is closed.
    #[error("store is closed")]
    Closed,
}

impl StoreError {
    /// For `map_err` on calls of RocksDB.
    pub(crate) fn database(context: &'static str) -> impl FnOnce(rocksdb::Error) -> Self {
        move |error| Self::Database { context, message: error.into_string() }
    }
}

/// Told once, with the reason, when the store or a machine can not go on. The node has to stop:
/// a write or sync that failed is never tried again, since nobody knows what is on the disk.
#[derive(Clone)]
pub struct FatalHook(Arc<Mutex<Option<Callback>>>);

type Callback = Box<dyn FnOnce(String) + Send>;

impl FatalHook {
    /// Calls `callback` at the first failure.
    pub fn new(callback: impl FnOnce(String) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(callback)))))
    }

    /// Reports a failure.
    pub(crate) fn report(&self, reason: &str) {
        let callback = self.0.lock().take();
        if let Some(callback) = callback {
            tracing::error!("The store failed and the node must stop: {reason}");
            callback(reason.to_owned());
        }
    }
}

/// Reports a panic of the thread that holds it.
struct PanicGuard {
    what: &'static str,
    fatal: FatalHook,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fatal.report(&format!("{} has panicked", self.what));
        }
    }
}
