//! What the accounting group applies its entries to: which rows are new is decided here, from the
//! group's state; the archive writes them to this node's files.

use std::sync::Arc;

use prost::Message as _;
use tracing::error;

use super::archive::{Archive, Job, Marks, Place};
use super::board::{Board, Standing, UntilStopped};
use super::disk::{Disk, SystemDisk};
use super::row::Format;
use super::{parcel, wire};
use crate::clock::Timestamp;
use crate::id::GroupId;
use crate::message::Record;
use crate::queue::machine::{
    Answer, Changes, Committed, Files, LiveBodies, Machine, MachineError, Table, View, no_bodies,
};

const LAYOUT_KEY: &[u8] = b"layout";
const FOUNDING_KEY: &[u8] = b"founding";
const MARK_PREFIX: &[u8] = b"mark/";
const MARKS_END: &[u8] = b"mark0";
/// More partitions than any cluster has.
const MARKS_MAX: usize = 1 << 16;

/// The machine of [`GroupId::ACCOUNTING`].
pub struct CollectorMachine(Collecting<SystemDisk>);

impl CollectorMachine {
    pub(crate) fn new(place: Place, board: Arc<Board>) -> Self {
        let patience = Box::new(UntilStopped(Arc::clone(&board)));
        Self(Collecting::new(Archive::new(SystemDisk, place, patience), board))
    }
}

impl Machine for CollectorMachine {
    fn opened(&mut self, view: &dyn View) -> Result<(), MachineError> {
        self.0.opened(view)
    }

    fn apply(
        &mut self,
        entry: &Committed,
        changes: &mut dyn Changes,
    ) -> Result<Vec<Answer>, MachineError> {
        self.0.apply(entry, changes)
    }

    fn written(&mut self) -> Result<(), MachineError> {
        self.0.written();
        Ok(())
    }

    fn live_bodies(&self) -> LiveBodies {
        // Entries of this group come without bodies.
        no_bodies
    }

    fn files(&self) -> Option<Arc<dyn Files>> {
        Some(self.0.files())
    }

    fn install_files(&mut self) -> Result<(), MachineError> {
        self.0.install_files()
    }
}

/// The machine on any file system.
pub(crate) struct Collecting<D> {
    archive: Archive<D>,
    board: Arc<Board>,
    founding: Option<u64>,
    layout: Arc<wire::Layout>,
    marks: Marks,
    /// Pipes of the layout, and their rows until the entry is written.
    pipes: Vec<(Vec<String>, Format)>,
    pipe_rows: Vec<(Vec<String>, Vec<u8>)>,
}

impl<D: Disk> Collecting<D> {
    pub(crate) fn new(archive: Archive<D>, board: Arc<Board>) -> Self {
        Self {
            archive,
            board,
            founding: None,
            layout: Arc::default(),
            marks: Marks::new(),
            pipes: Vec::new(),
            pipe_rows: Vec::new(),
        }
    }

    pub(crate) fn opened(&mut self, view: &dyn View) -> Result<(), MachineError> {
        self.founding = match view.get(Table::State, FOUNDING_KEY)? {
            None => None,
            Some(bytes) => Some(u64::from_be_bytes(fixed(&bytes)?)),
        };
        self.marks = read_marks(view)?;
        let layout = view.get(Table::State, LAYOUT_KEY)?.unwrap_or_default();
        self.set_layout(wire::Layout::decode(layout.as_slice()).map_err(unreadable)?);
        self.archive.open(self.founding, &self.layout, &self.marks)?;
        self.written();
        Ok(())
    }

    pub(crate) fn files(&self) -> Arc<dyn Files> {
        Arc::new(self.archive.cargo())
    }

    pub(crate) fn install_files(&mut self) -> Result<(), MachineError> {
        self.archive.install()
    }

    fn set_layout(&mut self, layout: wire::Layout) {
        self.pipes = layout
            .files
            .iter()
            .filter(|file| !file.command.is_empty())
            .map(|file| (file.command.clone(), Format::new(file)))
            .collect();
        self.layout = Arc::new(layout);
    }

    pub(crate) fn apply(
        &mut self,
        committed: &Committed,
        changes: &mut dyn Changes,
    ) -> Result<Vec<Answer>, MachineError> {
        let mut entry = wire::Entry::decode(committed.payload.clone()).map_err(unreadable)?;
        let founding = *self.founding.get_or_insert_with(|| {
            changes.put(Table::State, FOUNDING_KEY, &entry.founding.to_be_bytes());
            entry.founding
        });
        let layout = entry.layout.take();
        if let Some(layout) = &layout {
            changes.put(Table::State, LAYOUT_KEY, &layout.encode_to_vec());
            self.set_layout(layout.clone());
        }
        let mut rows = Vec::new();
        for batch in &entry.batches {
            self.take(batch, &mut rows, changes);
        }
        self.archive.apply(&Job {
            index: committed.index,
            now: Timestamp(entry.now_ms),
            utc_offset_s: entry.utc_offset_s,
            founding,
            layout: layout.as_ref(),
            rotate: entry.rotate.as_ref(),
            rows: &rows,
            marks: &self.marks,
        })?;
        if entry.proposer == self.board.proposer {
            self.keep_for_pipes(&rows, entry.utc_offset_s);
        }
        Ok(Vec::new())
    }

    /// Takes the rows of a batch that are new. A batch that begins beyond what is known leaves a
    /// gap: nothing of it is taken, and its sender begins again where the mark is.
    fn take(&mut self, batch: &wire::Batch, rows: &mut Vec<Record>, changes: &mut dyn Changes) {
        let partition = wire::partition(batch.partition);
        let before = self.marks.get(&partition).copied().unwrap_or_default();
        if wire::position(batch.previous) > before {
            return;
        }
        let mut mark = before;
        for row in &batch.rows {
            let at = wire::position(row.position);
            if at <= mark {
                continue;
            }
            mark = at;
            match parcel::unpack(&row.record) {
                Some(record) => rows.push(record),
                None => error!("Accounting row {partition}:{}.{} cannot be read.", at.index, at.n),
            }
        }
        if mark > before {
            self.marks.insert(partition, mark);
            changes.put(
                Table::State,
                &mark_key(partition),
                &wire::position_of(mark).encode_to_vec(),
            );
        }
    }

    fn keep_for_pipes(&mut self, rows: &[Record], utc_offset_s: i32) {
        for (command, format) in &self.pipes {
            let lines = rows.iter().filter_map(|record| format.row(record, utc_offset_s));
            self.pipe_rows.extend(lines.map(|line| (command.clone(), line)));
        }
    }

    pub(crate) fn written(&mut self) {
        self.board.publish(Standing {
            founding: self.founding,
            applied: self.archive.applied(),
            now: self.archive.now(),
            layout: Arc::clone(&self.layout),
            marks: self.marks.clone(),
            rotations: self.archive.rotations(),
            files: self.archive.figures(),
        });
        for (command, line) in self.pipe_rows.drain(..) {
            self.board.pipes.feed(&command, line);
        }
    }
}

fn mark_key(partition: GroupId) -> Vec<u8> {
    [MARK_PREFIX, &partition.0.to_be_bytes()].concat()
}

fn read_marks(view: &dyn View) -> Result<Marks, MachineError> {
    let mut marks = Marks::new();
    for row in view.scan(Table::State, MARK_PREFIX, MARKS_END, MARKS_MAX)? {
        let number = u32::from_be_bytes(fixed(&row.key[MARK_PREFIX.len()..])?);
        let position = wire::Position::decode(row.value.as_slice()).map_err(unreadable)?;
        marks.insert(wire::partition(number), wire::position(Some(position)));
    }
    Ok(marks)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], MachineError> {
    bytes.try_into().map_err(|_| MachineError::Inconsistent("a number of another size".into()))
}

fn unreadable(error: prost::DecodeError) -> MachineError {
    MachineError::Inconsistent(format!("accounting entry: {error}"))
}

#[cfg(test)]
#[path = "machine_test.rs"]
mod tests;
