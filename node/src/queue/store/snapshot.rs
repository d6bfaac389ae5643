//! Snapshots of a group: the state of live messages, their bodies and the files that the group's
//! machine keeps, as a stream of chunks.
//!
//! A snapshot is nothing but a moment of the database: taking one writes nothing and copies
//! nothing. A thread holds it and reads chunks when it is asked. The receiver writes them under
//! the next epoch of keys, so that installing the whole is one small write. A machine's files are
//! held after the state and installed before it: they may be ahead of it and are never behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use convoy_proto::storage as proto;
use parking_lot::Mutex;

use super::database::{Database, Family, Frozen, decode};
use super::overlay::FrozenView;
use super::{StoreError, keys};
use crate::id::GroupId;
use crate::queue::machine::{
    BodyPart, FilePart, Files, HeldFiles, LiveBodies, MachineError, ReceivedFiles, Row, Table,
};

/// Bytes in a chunk; a single row may be longer.
const CHUNK_BYTES: usize = 1 << 20;
/// Rows in a chunk.
const CHUNK_ROWS: usize = 4096;
/// Log entries whose bodies are listed at a time.
const BODY_STEP: u64 = 4096;

/// What a snapshot consists of. Keys are without group and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// Rows of a table.
    Rows(Table, Vec<Row>),
    /// Parts of bodies.
    Bodies(Vec<(BodyPart, Vec<u8>)>),
    /// A run of one of the machine's own files.
    File(FilePart),
}

type ChunkResult = Result<Chunk, StoreError>;

/// A snapshot on its way out. Dropping it lets the moment go.
pub(crate) struct SnapshotSource {
    /// What the state was applied to at that moment.
    pub applied: proto::Applied,
    chunks: Receiver<ChunkResult>,
    go: SyncSender<()>,
    /// The thread has sent the last chunk.
    complete: Arc<AtomicBool>,
}

impl SnapshotSource {
    /// Takes a snapshot. Blocks shortly.
    pub(crate) fn take(
        database: &Arc<Database>,
        group: GroupId,
        live: LiveBodies,
        files: Option<Arc<dyn Files>>,
    ) -> Result<Self, StoreError> {
        let (applied_tx, applied_rx) = sync_channel(1);
        let (chunk_tx, chunks) = sync_channel(2);
        let (go, go_rx) = sync_channel(1);
        let database = database.clone();
        let complete = Arc::new(AtomicBool::new(false));
        let sent_all = complete.clone();
        thread::Builder::new()
            .name(format!("snapshot-{group}"))
            .spawn(move || {
                let frozen = database.snapshot();
                let (applied, held) = match hold(&frozen, group, files.as_deref()) {
                    Ok((applied, held)) => (Ok(applied), held),
                    Err(error) => (Err(error), None),
                };
                let taken = applied.is_ok();
                // Dropping the source ends both channels and thereby the thread.
                if applied_tx.send(applied).is_err() || !taken || go_rx.recv().is_err() {
                    return;
                }
                match send_chunks(&frozen, group, live, held, &chunk_tx) {
                    Ok(()) => sent_all.store(true, Ordering::Release),
                    Err(Stop::Failed(error)) => drop(chunk_tx.send(Err(error))),
                    Err(Stop::Dropped) => {}
                }
            })
            .map_err(|e| StoreError::Database {
                context: "starting a snapshot thread",
                message: e.to_string(),
            })?;
        let applied = applied_rx.recv().map_err(|_| StoreError::Closed)??;
        Ok(Self { applied: applied.unwrap_or_default(), chunks, go, complete })
    }

    /// The next chunk; `None` after the last. Blocks.
    pub(crate) fn next_chunk(&self) -> Option<ChunkResult> {
        // Full when the thread was told before.
        let _ = self.go.try_send(());
        match self.chunks.recv() {
            Ok(chunk) => Some(chunk),
            Err(_) if self.complete.load(Ordering::Acquire) => None,
            // A thread that has panicked must not look like one that is done.
            Err(_) => Some(Err(StoreError::Closed)),
        }
    }
}

enum Stop {
    /// Nobody wants the snapshot any more.
    Dropped,
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// What the state was applied to, and the files that go with it.
type Moment = (Option<proto::Applied>, Option<Box<dyn HeldFiles>>);

/// Reads what the state was applied to, and then takes hold of the machine's files.
fn hold(
    frozen: &Frozen<'_>,
    group: GroupId,
    files: Option<&dyn Files>,
) -> Result<Moment, StoreError> {
    let applied = read_applied(frozen, group)?;
    let held = files.map(Files::hold).transpose().map_err(of_files)?;
    Ok((applied, held))
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn of_files(error: MachineError) -> StoreError {
    StoreError::Files(error.to_string())
}

pub(crate) fn read_epoch(frozen: &Frozen<'_>, group: GroupId) -> Result<u16, StoreError> {
    let Some(value) = frozen.get(Family::Meta, &keys::meta(group, keys::Meta::Epoch))? else {
        return Ok(0);
    };
    value
        .try_into()
        .ok()
        .and_then(|bytes| u16::try_from(u64::from_be_bytes(bytes)).ok())
        .ok_or_else(|| StoreError::Damaged(format!("epoch of {group}")))
}

pub(crate) fn read_applied(
    frozen: &Frozen<'_>,
    group: GroupId,
) -> Result<Option<proto::Applied>, StoreError> {
    let epoch = read_epoch(frozen, group)?;
    let key = keys::meta(group, keys::Meta::Applied(epoch));
    frozen.get(Family::Meta, &key)?.map(|value| decode(&value)).transpose()
}

fn send_chunks(
    frozen: &Frozen<'_>,
    group: GroupId,
    live: LiveBodies,
    held: Option<Box<dyn HeldFiles>>,
    chunks: &SyncSender<ChunkResult>,
) -> Result<(), Stop> {
    let epoch = read_epoch(frozen, group)?;
    let prefix = keys::state(group, epoch);
    for table in Table::ALL {
        send_table(frozen, table, &prefix, chunks)?;
    }
    let last = read_applied(frozen, group)?.and_then(|a| a.log_id).map_or(0, |id| id.index);
    let view = FrozenView { frozen, prefix };
    let mut after = 0;
    while after < last {
        let upto = last.min(after + BODY_STEP);
        let parts = live(&view, after, upto)
            .map_err(|e| StoreError::Damaged(format!("list of live bodies: {e}")))?;
        send_bodies(frozen, group, &parts, chunks)?;
        after = upto;
    }
    held.map_or(Ok(()), |held| send_files(held, chunks))
}

fn send_files(mut held: Box<dyn HeldFiles>, chunks: &SyncSender<ChunkResult>) -> Result<(), Stop> {
    while let Some(part) = held.next_part(CHUNK_BYTES).map_err(of_files)? {
        chunks.send(Ok(Chunk::File(part))).map_err(|_| Stop::Dropped)?;
    }
    Ok(())
}

fn send_table(
    frozen: &Frozen<'_>,
    table: Table,
    prefix: &[u8],
    chunks: &SyncSender<ChunkResult>,
) -> Result<(), Stop> {
    let end = keys::after_prefix(prefix);
    let mut from = prefix.to_vec();
    loop {
        let mut rows = frozen.scan(Family::Table(table), &from, &end, CHUNK_ROWS, CHUNK_BYTES)?;
        let Some(last) = rows.last() else { return Ok(()) };
        from.clone_from(&last.key);
        from.push(0);
        for row in &mut rows {
            row.key.drain(..prefix.len());
        }
        chunks.send(Ok(Chunk::Rows(table, rows))).map_err(|_| Stop::Dropped)?;
    }
}

fn send_bodies(
    frozen: &Frozen<'_>,
    group: GroupId,
    parts: &[BodyPart],
    chunks: &SyncSender<ChunkResult>,
) -> Result<(), Stop> {
    let (mut bodies, mut size) = (Vec::new(), 0);
    for part in parts {
        let bytes = frozen
            .body(group, *part)?
            .ok_or_else(|| StoreError::Damaged(format!("body {part:?} of {group} is missing")))?;
        size += bytes.len();
        bodies.push((*part, bytes));
        if size >= CHUNK_BYTES {
            size = 0;
            let chunk = Chunk::Bodies(std::mem::take(&mut bodies));
            chunks.send(Ok(chunk)).map_err(|_| Stop::Dropped)?;
        }
    }
    if !bodies.is_empty() {
        chunks.send(Ok(Chunk::Bodies(bodies))).map_err(|_| Stop::Dropped)?;
    }
    Ok(())
}

/// Only one snapshot at a time is written to the next epoch of a group.
#[derive(Clone, Default)]
pub(crate) struct StagingLock(Arc<AtomicBool>);

struct StagingGuard(StagingLock);

impl Drop for StagingGuard {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

/// A snapshot on its way in, under the next epoch. Methods block.
pub(crate) struct Staged {
    group: GroupId,
    epoch: u16,
    /// Dropped before the guard: the next snapshot writes to the same place.
    files: Option<Mutex<Box<dyn ReceivedFiles>>>,
    _guard: StagingGuard,
}

impl Staged {
    /// Begins with an empty next epoch. Refused while another snapshot is on its way in.
    pub(crate) fn begin(
        database: &Database,
        group: GroupId,
        lock: &StagingLock,
        files: Option<&dyn Files>,
    ) -> Result<Self, StoreError> {
        if lock.0.swap(true, Ordering::AcqRel) {
            return Err(StoreError::Busy);
        }
        let guard = StagingGuard(lock.clone());
        let files = files.map(Files::receive).transpose().map_err(of_files)?.map(Mutex::new);
        let epoch = database
            .epoch(group)?
            .checked_add(1)
            .ok_or_else(|| StoreError::Damaged(format!("{group} has used all epochs")))?;
        let mut batch = database.batch();
        batch.delete_state(group, epoch);
        batch.put_number(group, keys::Meta::Staging, epoch.into());
        database.write(batch, false)?;
        Ok(Self { group, epoch, files, _guard: guard })
    }

    /// Writes a chunk.
    pub(crate) fn write(&self, database: &Database, chunk: &Chunk) -> Result<(), StoreError> {
        let mut batch = database.batch();
        match chunk {
            Chunk::Rows(table, rows) => {
                let prefix = keys::state(self.group, self.epoch);
                for row in rows {
                    let key = [prefix.as_slice(), &row.key].concat();
                    batch.put(Family::Table(*table), &key, &row.value);
                }
            }
            Chunk::Bodies(bodies) => {
                for (part, bytes) in bodies {
                    batch.put(Family::Body, &keys::body(self.group, *part), bytes);
                }
            }
            Chunk::File(part) => {
                let files = self
                    .files
                    .as_ref()
                    .ok_or_else(|| StoreError::Damaged(format!("{} keeps no files", self.group)))?;
                return files.lock().write(part).map_err(of_files);
            }
        }
        database.write(batch, false)
    }

    /// Writes all chunks of a source.
    pub(crate) fn write_all(
        &self,
        database: &Database,
        source: &SnapshotSource,
    ) -> Result<(), StoreError> {
        while let Some(chunk) = source.next_chunk() {
            self.write(database, &chunk?)?;
        }
        self.complete()
    }

    /// All chunks are written. An error when the machine's files are not all there: to be called
    /// before the snapshot is handed on, while it can still be refused. Blocks.
    pub(crate) fn complete(&self) -> Result<(), StoreError> {
        self.files.as_ref().map_or(Ok(()), |files| files.lock().complete().map_err(of_files))
    }

    /// Makes the staged epoch the state: one synced write. Gives the epoch.
    pub(crate) fn install(
        self,
        database: &Database,
        applied: &proto::Applied,
    ) -> Result<u16, StoreError> {
        use prost::Message as _;
        let group = self.group;
        let mut batch = database.batch();
        let key = keys::meta(group, keys::Meta::Applied(self.epoch));
        batch.put(Family::Meta, &key, &applied.encode_to_vec());
        batch.put_number(group, keys::Meta::Epoch, self.epoch.into());
        // Bodies of the old state that the new one does not need are found by the next sweep.
        batch.put_number(group, keys::Meta::Swept, 0);
        batch.delete(Family::Meta, &keys::meta(group, keys::Meta::Staging));
        database.write(batch, true)?;
        let mut batch = database.batch();
        batch.delete_state(group, self.epoch - 1);
        database.write(batch, false)?;
        Ok(self.epoch)
    }
}

/// Removes what a snapshot that was not finished left behind. Called at start.
pub(crate) fn remove_unfinished(database: &Database, group: GroupId) -> Result<(), StoreError> {
    let Some(epoch) = database.number(group, keys::Meta::Staging)? else { return Ok(()) };
    let epoch = u16::try_from(epoch)
        .map_err(|_| StoreError::Damaged(format!("staged epoch of {group}")))?;
    let mut batch = database.batch();
    batch.delete_state(group, epoch);
    batch.put_number(group, keys::Meta::Swept, 0);
    batch.delete(Family::Meta, &keys::meta(group, keys::Meta::Staging));
    database.write(batch, false)
}
