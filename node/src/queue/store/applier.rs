//! The thread that applies committed entries of one group to its machine.
//!
//! Changes, applied position and membership go into one batch that is not synced: the log is, and
//! after a crash its last entries are applied again. The thread also removes bodies that neither
//! the state nor the log needs: a body goes when its message is finished and its log record is
//! purged, whichever comes last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use convoy_proto::storage as proto;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::oneshot;

use super::database::{Batch, Database, Family};
use super::entry::{LogEntry, Payload};
use super::log::GroupLog;
use super::overlay::Overlay;
use super::snapshot::{SnapshotSource, Staged, StagingLock, remove_unfinished};
use super::{FatalHook, PanicGuard, StoreError, keys};
use crate::id::GroupId;
use crate::queue::machine::{
    Answer, BodyPart, Committed, Files, LiveBodies, Machine, MachineError,
};

/// Log entries whose bodies are swept in one batch.
const SWEEP_STEP: u64 = 4096;

/// Called on the applier's thread when an entry's changes are written.
pub(crate) type Respond = Box<dyn FnOnce(Vec<Answer>) + Send>;

/// An entry to apply.
pub(crate) struct ApplyEntry {
    pub entry: LogEntry,
    pub respond: Option<Respond>,
}

enum Job {
    Apply(Vec<ApplyEntry>, oneshot::Sender<Result<(), StoreError>>),
    Install(proto::Applied, Staged, oneshot::Sender<Result<(), StoreError>>),
    Sweep,
    Stop,
}

/// Hands work to the thread, and knows what it has done.
#[derive(Clone)]
pub(crate) struct Applier {
    tx: Sender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    group: GroupId,
    applied: Mutex<Option<proto::Applied>>,
    epoch: Arc<AtomicU16>,
    live: LiveBodies,
    files: Option<Arc<dyn Files>>,
    staging: StagingLock,
}

/// The thread.
pub(crate) struct ApplierThread {
    tx: Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread owns.
struct Worker {
    group: GroupId,
    database: Arc<Database>,
    machine: Box<dyn Machine>,
    log: Arc<GroupLog>,
    shared: Arc<Shared>,
    epoch: u16,
    swept: u64,
    fatal: FatalHook,
    failed: bool,
}

impl Applier {
    /// Opens the state and starts the thread. Blocks.
    pub(crate) fn start(
        group: GroupId,
        database: Arc<Database>,
        mut machine: Box<dyn Machine>,
        log: Arc<GroupLog>,
        fatal: FatalHook,
    ) -> Result<(ApplierThread, Self), MachineError> {
        remove_unfinished(&database, group)?;
        let epoch = database.epoch(group)?;
        let key = keys::meta(group, keys::Meta::Applied(epoch));
        let applied: Option<proto::Applied> = database.message(Family::Meta, &key)?;
        let swept = database.number(group, keys::Meta::Swept)?.unwrap_or(0);
        machine.opened(&Overlay::new(&database, keys::state(group, epoch)))?;
        log.set_applied(index_of(applied.as_ref()));
        let shared = Arc::new(Shared {
            group,
            applied: Mutex::new(applied),
            epoch: Arc::new(AtomicU16::new(epoch)),
            live: machine.live_bodies(),
            files: machine.files(),
            staging: StagingLock::default(),
        });
        let worker = Worker {
            group,
            database,
            machine,
            log,
            shared: shared.clone(),
            epoch,
            swept,
            fatal,
            failed: false,
        };
        let (tx, rx) = channel();
        let thread = std::thread::Builder::new()
            .name(format!("applier-{group}"))
            .spawn(move || worker.run(&rx))
            .map_err(|source| MachineError::Io {
                context: "starting an applier thread".to_owned(),
                source,
            })?;
        // A crash may have come between the purge of the log and the sweep of its bodies.
        let _ = tx.send(Job::Sweep);
        let thread = ApplierThread { tx: tx.clone(), thread: Mutex::new(Some(thread)) };
        Ok((thread, Self { tx, shared }))
    }

    /// What the state was applied to.
    pub(crate) fn applied(&self) -> Option<proto::Applied> {
        self.shared.applied.lock().clone()
    }

    /// The epoch of the state, for readers.
    pub(crate) fn epoch(&self) -> Arc<AtomicU16> {
        self.shared.epoch.clone()
    }

    /// Applies entries and waits until their changes are written.
    pub(crate) async fn apply(&self, entries: Vec<ApplyEntry>) -> Result<(), StoreError> {
        let (tx, rx) = oneshot::channel();
        self.tx.send(Job::Apply(entries, tx)).map_err(|_| StoreError::Closed)?;
        rx.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Writes a snapshot to the next epoch. Blocks.
    pub(crate) fn stage(
        &self,
        database: &Database,
        source: &SnapshotSource,
    ) -> Result<Staged, StoreError> {
        let staged = self.begin_staging(database)?;
        staged.write_all(database, source)?;
        Ok(staged)
    }

    /// Begins to take in a snapshot piece by piece. Blocks.
    pub(crate) fn begin_staging(&self, database: &Database) -> Result<Staged, StoreError> {
        let Shared { group, files, staging, .. } = &*self.shared;
        Staged::begin(database, *group, staging, files.as_deref())
    }

    /// Replaces the state by a snapshot.
    pub(crate) async fn install(
        &self,
        applied: proto::Applied,
        staged: Staged,
    ) -> Result<(), StoreError> {
        let (tx, rx) = oneshot::channel();
        self.tx.send(Job::Install(applied, staged, tx)).map_err(|_| StoreError::Closed)?;
        rx.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Removes bodies that the log does not need any more.
    pub(crate) fn sweep(&self) {
        // A thread that has stopped sweeps at the next start.
        let _ = self.tx.send(Job::Sweep);
    }

    /// Takes a snapshot of the state. Blocks.
    pub(crate) fn snapshot(&self, database: &Arc<Database>) -> Result<SnapshotSource, StoreError> {
        let files = self.shared.files.clone();
        SnapshotSource::take(database, self.shared.group, self.shared.live, files)
    }
}

impl ApplierThread {
    /// Lets it finish what was sent before, and waits. Blocks.
    pub(crate) fn stop(&self) {
        let _ = self.tx.send(Job::Stop);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("An applier thread has panicked.");
        }
    }
}

fn index_of(applied: Option<&proto::Applied>) -> u64 {
    applied.and_then(|a| a.log_id.as_ref()).map_or(0, |id| id.index)
}

impl Worker {
    fn run(mut self, rx: &Receiver<Job>) {
        let _guard = PanicGuard { what: "an applier thread", fatal: self.fatal.clone() };
        while let Ok(job) = rx.recv() {
            // After a failure nothing may be built on what is in memory.
            let stopped = self.failed;
            match job {
                Job::Stop => return,
                Job::Apply(_, done) | Job::Install(_, _, done) if stopped => {
                    let _ = done.send(Err(StoreError::Failed));
                }
                Job::Sweep if stopped => {}
                Job::Apply(entries, done) => {
                    let result = self.apply(entries);
                    let _ = done.send(self.check(result));
                }
                Job::Install(applied, staged, done) => {
                    let result = self.install(applied, staged);
                    let _ = done.send(self.check(result));
                }
                Job::Sweep => {
                    let result = self.sweep();
                    let _ = self.check(result);
                }
            }
        }
    }

    fn check(&mut self, result: Result<(), MachineError>) -> Result<(), StoreError> {
        result.map_err(|error| {
            let reason = format!("{}: {error}", self.group);
            self.failed = true;
            self.fatal.report(&reason);
            StoreError::Damaged(reason)
        })
    }

    /// Applies entries, with a stop after each one that somebody waits for.
    fn apply(&mut self, mut entries: Vec<ApplyEntry>) -> Result<(), MachineError> {
        while let Some(last) = entries.last().map(|last| last.entry.id.index)
            && let Some(index) = self.database.captures.next(self.group, last)
        {
            let rest = entries.split_off(entries.partition_point(|e| e.entry.id.index <= index));
            if !entries.is_empty() {
                self.apply_batch(entries)?;
            }
            self.database.captures.reached(self.group, index);
            entries = rest;
        }
        if entries.is_empty() { Ok(()) } else { self.apply_batch(entries) }
    }

    fn apply_batch(&mut self, entries: Vec<ApplyEntry>) -> Result<(), MachineError> {
        let mut applied = self.shared.applied.lock().clone().unwrap_or_default();
        let prefix = keys::state(self.group, self.epoch);
        let mut overlay = Overlay::new(&self.database, prefix);
        let mut responses = Vec::with_capacity(entries.len());
        for ApplyEntry { entry, respond } in entries {
            let answers = match &entry.payload {
                Payload::Blank => Vec::new(),
                Payload::Membership(membership) => {
                    applied.membership = Some(proto::StoredMembership {
                        log_id: Some(entry.id.into()),
                        membership: Some(membership.as_ref().clone()),
                    });
                    Vec::new()
                }
                Payload::Normal(proposal) => {
                    let committed = Committed {
                        group: self.group,
                        index: entry.id.index,
                        term: entry.id.term,
                        payload: proposal.payload.clone(),
                        bodies: proposal.bodies.iter().map(|b| b.len() as u64).collect(),
                    };
                    self.machine.apply(&committed, &mut overlay)?
                }
            };
            applied.log_id = Some(entry.id.into());
            if let Some(respond) = respond {
                responses.push((respond, answers));
            }
        }
        let mut batch = self.database.batch();
        let released = overlay.write_to(&mut batch);
        self.drop_released(&mut batch, &released);
        let key = keys::meta(self.group, keys::Meta::Applied(self.epoch));
        batch.put(Family::Meta, &key, &applied.encode_to_vec());
        self.database.write(batch, false)?;
        self.machine.written()?;
        let index = index_of(Some(&applied));
        *self.shared.applied.lock() = Some(applied);
        self.log.set_applied(index);
        for (respond, answers) in responses {
            respond(answers);
        }
        Ok(())
    }

    /// Bodies whose log record is still there are left to the sweep.
    fn drop_released(&self, batch: &mut Batch<'_>, released: &[BodyPart]) {
        for part in released.iter().filter(|part| part.index <= self.swept) {
            batch.delete(Family::Body, &keys::body(self.group, *part));
        }
    }

    fn sweep(&mut self) -> Result<(), MachineError> {
        let purged = self.log.extent().purged.map_or(0, |p| p.index);
        while self.swept < purged {
            let upto = purged.min(self.swept + SWEEP_STEP);
            let prefix = keys::state(self.group, self.epoch);
            let view = Overlay::new(&self.database, prefix);
            let live = (self.shared.live)(&view, self.swept, upto)?;
            let mut batch = self.database.batch();
            let mut from = keys::body(self.group, BodyPart { index: self.swept + 1, part: 0 });
            for part in live {
                let key = keys::body(self.group, part);
                batch.delete_range(Family::Body, &from, &key);
                from = keys::body(self.group, next(part));
            }
            let end = keys::body(self.group, BodyPart { index: upto + 1, part: 0 });
            batch.delete_range(Family::Body, &from, &end);
            batch.put_number(self.group, keys::Meta::Swept, upto);
            self.database.write(batch, false)?;
            self.swept = upto;
        }
        Ok(())
    }

    fn install(&mut self, applied: proto::Applied, staged: Staged) -> Result<(), MachineError> {
        staged.complete()?;
        self.machine.install_files()?;
        self.epoch = staged.install(&self.database, &applied)?;
        self.swept = 0;
        self.shared.epoch.store(self.epoch, Ordering::Release);
        let index = index_of(Some(&applied));
        *self.shared.applied.lock() = Some(applied);
        self.machine.opened(&Overlay::new(&self.database, keys::state(self.group, self.epoch)))?;
        self.log.set_applied(index);
        Ok(())
    }
}

/// The key after a part's. Part numbers are small: an entry holds a few megabytes at most.
fn next(part: BodyPart) -> BodyPart {
    BodyPart { index: part.index, part: part.part.saturating_add(1) }
}
