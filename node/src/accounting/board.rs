//! What the collector's parts know of each other: the machine writes it, the task that proposes,
//! the service and the operators read it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::{error, info};

use super::archive::{Marks, Patience};
use super::output::FileFigures;
use super::pipe::Pipes;
use super::rotation::Rotations;
use super::wire;
use crate::clock::Timestamp;

/// How long to wait before a file is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Shared between the machine and the rest.
#[derive(Debug)]
pub(crate) struct Board {
    /// Tells this process's entries from others.
    pub proposer: u64,
    pub pipes: Pipes,
    standing: Mutex<Standing>,
    trouble: Mutex<Trouble>,
    stopped: Condvar,
}

/// The state of the accounting group as this node has applied it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub founding: Option<u64>,
    /// The last entry that is in the files, and the latest time of any entry.
    pub applied: u64,
    pub now: Timestamp,
    pub layout: Arc<wire::Layout>,
    pub marks: Marks,
    pub rotations: Rotations,
    pub files: Vec<FileFigures>,
}

#[derive(Debug, Default)]
struct Trouble {
    stopping: bool,
    /// Why rows cannot be written now.
    error: Option<String>,
}

impl Board {
    pub(crate) fn new(proposer: u64) -> Arc<Self> {
        Arc::new(Self {
            proposer,
            pipes: Pipes::default(),
            standing: Mutex::default(),
            trouble: Mutex::default(),
            stopped: Condvar::new(),
        })
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }

    pub(crate) fn publish(&self, standing: Standing) {
        *self.standing.lock() = standing;
    }

    /// Why rows cannot be written, while they cannot.
    pub(crate) fn error(&self) -> Option<String> {
        self.trouble.lock().error.clone()
    }

    /// Ends waiting for files that cannot be written.
    pub(crate) fn stop(&self) {
        self.trouble.lock().stopping = true;
        self.stopped.notify_all();
    }
}

/// Waits for the operator to make room, until the node stops.
pub(crate) struct UntilStopped(pub(crate) Arc<Board>);

impl Patience for UntilStopped {
    fn failed(&mut self, what: &str) -> bool {
        error!("Error in accounting: {what}; trying again in {} s.", RETRY_AFTER.as_secs());
        let mut trouble = self.0.trouble.lock();
        trouble.error = Some(what.to_owned());
        if !trouble.stopping {
            self.0.stopped.wait_for(&mut trouble, RETRY_AFTER);
        }
        !trouble.stopping
    }

    fn recovered(&mut self) {
        info!("Accounting files can be written again.");
        self.0.trouble.lock().error = None;
    }
}
