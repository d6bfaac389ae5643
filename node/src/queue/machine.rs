//! What a Raft group applies its committed entries to.
//!
//! A [`Machine`] decides what an entry changes; the store keeps the changes together with the
//! applied position in one batch. Every replica applies the same entries in the same order, so a
//! machine reads nothing but the entry and the [`View`]: no clock, no randomness, no file.

use std::sync::Arc;

use bytes::Bytes;

use crate::id::{GroupId, Locator};

/// A table of a group. Keys are the machine's own; the store puts group and epoch before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Small things: counters, positions, switches.
    State,
    /// Messages without their bytes.
    Message,
    /// Open recipients.
    Recipient,
    /// Recipients by queue and time.
    Due,
    /// Accounting rows that the collector does not have yet.
    Outbox,
    /// Tokens by which repeated commands are recognised.
    Token,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 6] =
        [Self::State, Self::Message, Self::Recipient, Self::Due, Self::Outbox, Self::Token];
}

/// Why a group cannot go on. There is no way back: the node stops.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The database failed.
    #[error("store: {0}")]
    Store(String),
    /// An entry or a row cannot be read, or an invariant of the state does not hold.
    #[error("state is inconsistent: {0}")]
    Inconsistent(String),
    /// A file of the machine's own failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the file's name.
        context: String,
        /// The system's error.
        source: std::io::Error,
    },
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The machine's key.
    pub key: Vec<u8>,
    /// The machine's value.
    pub value: Vec<u8>,
}

/// The state of a group as a machine reads it, changes of this batch included.
pub trait View {
    /// The value of `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, MachineError>;

    /// Rows with `from <= key < to` in order of their keys, at most `limit`.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, MachineError>;
}

/// The state of a group as a machine changes it. Nothing is written before the batch ends.
pub trait Changes: View {
    /// Sets `key`.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]);

    /// Removes `key`, if it is there.
    fn delete(&mut self, table: Table, key: &[u8]);

    /// Removes rows with `from <= key < to`.
    fn delete_range(&mut self, table: Table, from: &[u8], to: &[u8]);

    /// Says that nothing needs this part of a body any more. The store drops it when the log does
    /// not need it either.
    fn release_body(&mut self, part: BodyPart);
}

/// A part of a body: the entry that carried it, and its number therein.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyPart {
    /// Index of the entry.
    pub index: u64,
    /// Number of the part in the entry, from 0.
    pub part: u16,
}

/// A committed entry.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The group.
    pub group: GroupId,
    /// Position in the log; grows, with holes (blank and membership entries are not shown).
    pub index: u64,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// What was proposed.
    pub payload: Bytes,
    /// Sizes in bytes of the body parts that came with it.
    pub bodies: Vec<u64>,
}

/// What a command of an entry did, for the proposer that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done; there is nothing to tell.
    Done,
    /// A message was stored here.
    Stored(Locator),
    /// The message had been stored before, here.
    Repeated(Locator),
    /// This number of recipients changed.
    Changed(u64),
    /// A new thing has this number.
    Number(u64),
    /// A piece of a body was stored here.
    Piece(BodyPart),
    /// Nothing was done: what the command builds on is gone.
    Refused,
}

/// What becomes of a group's committed entries.
///
/// All methods are called on the group's own applier thread, one at a time. They may block on
/// files, and on nothing else.
pub trait Machine: Send + 'static {
    /// The state is open: at start, and again after a snapshot has replaced it. Rebuilds what the
    /// machine keeps in memory, and brings its own files in line with the state.
    fn opened(&mut self, view: &dyn View) -> Result<(), MachineError>;

    /// Applies one entry. Deterministic: the same entry on the same state makes the same changes
    /// on every replica. After a crash the last entries are applied again to the state as it was
    /// before them. The answers are one per command, in order; a machine without commands gives
    /// none.
    fn apply(
        &mut self,
        entry: &Committed,
        changes: &mut dyn Changes,
    ) -> Result<Vec<Answer>, MachineError>;

    /// The changes of all entries applied since the last call are written (not synced: they
    /// may be lost in a crash, and the entries are then applied again). Called before proposers
    /// are told that their entries are applied.
    fn written(&mut self) -> Result<(), MachineError>;

    /// How the store finds the bodies that the state still needs.
    fn live_bodies(&self) -> LiveBodies;

    /// How snapshots get the machine's own files; a machine without files gives none.
    fn files(&self) -> Option<Arc<dyn Files>> {
        None
    }

    /// Files that have come with a snapshot, all of them, take the place of the machine's own. On
    /// stable storage when it returns. Called before the state of the snapshot takes the place of
    /// the old one: a crash in between leaves the files ahead of the state. Does nothing when none
    /// have come.
    fn install_files(&mut self) -> Result<(), MachineError> {
        Ok(())
    }
}

/// A run of bytes of one of a machine's own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// The file's name in the snapshot; not a path.
    pub name: String,
    /// Bytes of the file before these.
    pub offset: u64,
    /// What follows there; nothing only for an empty file.
    pub bytes: Bytes,
}

/// A machine's own files, as snapshots see them. Methods are called on other threads than the
/// machine's, while it goes on. They block.
pub trait Files: Send + Sync + 'static {
    /// Takes hold of the files as they are now. They hold all entries of any state that was
    /// written before, and perhaps more.
    fn hold(&self) -> Result<Box<dyn HeldFiles>, MachineError>;

    /// Begins to receive files beside the machine's own. What an earlier snapshot left there goes.
    fn receive(&self) -> Result<Box<dyn ReceivedFiles>, MachineError>;
}

/// Files on their way out. They do not change, whatever the machine does meanwhile.
pub trait HeldFiles: Send {
    /// The next run of at most `limit` bytes; `None` after the last.
    fn next_part(&mut self, limit: usize) -> Result<Option<FilePart>, MachineError>;
}

/// Files on their way in. Dropping them removes what was not installed.
pub trait ReceivedFiles: Send {
    /// Writes a run. Runs of a file come in order.
    fn write(&mut self, part: &FilePart) -> Result<(), MachineError>;

    /// All runs have come; an error when some are missing. On stable storage when it returns. May
    /// be called again.
    fn complete(&mut self) -> Result<(), MachineError>;
}

/// Lists the parts of bodies from entries `after < index <= upto` that a state still needs, in
/// order. Reads nothing but the view: the store also asks it about snapshots, on other threads.
pub type LiveBodies = fn(&dyn View, after: u64, upto: u64) -> Result<Vec<BodyPart>, MachineError>;

/// For machines whose entries carry no bodies.
pub fn no_bodies(_: &dyn View, _: u64, _: u64) -> Result<Vec<BodyPart>, MachineError> {
    Ok(Vec::new())
}

#[cfg(test)]
pub(crate) use memory::Memory;

#[cfg(test)]
mod memory {
    use std::collections::BTreeMap;

    use super::{BodyPart, Changes, MachineError, Row, Table, View};

    /// The state of a group in memory, for tests of machines. Changes take effect at once.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Memory {
        pub(crate) rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
        pub(crate) released: Vec<BodyPart>,
    }

    impl View for Memory {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, MachineError> {
            Ok(self.rows.get(&(table, key.to_vec())).cloned())
        }

        fn scan(
            &self,
            table: Table,
            from: &[u8],
            to: &[u8],
            limit: usize,
        ) -> Result<Vec<Row>, MachineError> {
            if from >= to {
                return Ok(Vec::new());
            }
            let range = (table, from.to_vec())..(table, to.to_vec());
            let row = |((_, key), value): (&(Table, Vec<u8>), &Vec<u8>)| Row {
                key: key.clone(),
                value: value.clone(),
            };
            Ok(self.rows.range(range).take(limit).map(row).collect())
        }
    }

    impl Changes for Memory {
        fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
            self.rows.insert((table, key.to_vec()), value.to_vec());
        }

        fn delete(&mut self, table: Table, key: &[u8]) {
            self.rows.remove(&(table, key.to_vec()));
        }

        fn delete_range(&mut self, table: Table, from: &[u8], to: &[u8]) {
            self.rows
                .retain(|(t, key), _| *t != table || key.as_slice() < from || key.as_slice() >= to);
        }

        fn release_body(&mut self, part: BodyPart) {
            self.released.push(part);
        }
    }
}
