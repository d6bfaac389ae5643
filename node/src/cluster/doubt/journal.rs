//! What this node has open: between the final dot and the committed report.
//!
//! Kept in memory, and in a file that is written without being synced: it is there for a process
//! that ends and not for a disk that forgets. Begin and end cost a short write each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::record;
use crate::queue::door::{Doubts, Ticket};
use crate::queue::model::FinalDot;

/// The file is written anew when it is longer than this, and than twice what is open.
const COMPACT_BYTES: u64 = 1 << 20;
/// Recipients that may be open; further ones are not kept.
const OPEN_MAX: usize = 1 << 18;
/// Changes kept for other nodes; with more, they are told all that is open.
const CHANGES_MAX: usize = 1 << 16;
/// The name of one that is not kept.
const NOT_KEPT: Ticket = Ticket(0);

/// The journal.
pub struct Journal {
    state: Mutex<State>,
    changed: Notify,
    doubted: Notify,
}

struct State {
    path: PathBuf,
    file: File,
    bytes: u64,
    next: u64,
    open: BTreeMap<u64, FinalDot>,
    recipients: usize,
    /// Of those that are open: will never be reported, since this node lost its right to.
    doubtful: BTreeSet<u64>,
    changes: Changes,
    /// A failure is told once.
    failed: bool,
}

/// What has changed since other nodes were told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) begun: BTreeSet<u64>,
    pub(super) ended: Vec<u64>,
    /// There were too many.
    pub(super) overflow: bool,
}

impl Changes {
    fn begin(&mut self, ticket: u64) {
        self.begun.insert(ticket);
        self.bound();
    }

    fn end(&mut self, ticket: u64) {
        // One that nobody was told of need not be taken back.
        if !self.begun.remove(&ticket) {
            self.ended.push(ticket);
        }
        self.bound();
    }

    fn bound(&mut self) {
        if self.begun.len() + self.ended.len() > CHANGES_MAX {
            *self = Self { overflow: true, ..Self::default() };
        }
    }
}

impl Journal {
    /// Opens the journal at `path`. What a former run left open is doubtful. Blocks.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => drop(file.read_to_end(&mut bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let open = record::read_open(&bytes);
        let doubtful = open.keys().copied().collect();
        let (file, bytes) = write_anew(path, &open)?;
        let state = State {
            path: path.to_owned(),
            file,
            bytes,
            next: open.keys().next_back().map_or(1, |last| last + 1),
            recipients: open.values().map(|dot| dot.recipients.len()).sum(),
            open,
            doubtful,
            changes: Changes::default(),
            failed: false,
        };
        Ok(Self { state: Mutex::new(state), changed: Notify::new(), doubted: Notify::new() })
    }

    /// Transactions that will never be reported.
    pub(super) fn doubtful(&self) -> Vec<(Ticket, FinalDot)> {
        let state = self.state.lock();
        let dot = |ticket: &u64| Some((Ticket(*ticket), state.open.get(ticket)?.clone()));
        state.doubtful.iter().filter_map(dot).collect()
    }

    /// Waits until there may be new ones.
    pub(super) async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// All that is open.
    pub(super) fn whole(&self) -> Vec<(u64, FinalDot)> {
        let state = self.state.lock();
        state.open.iter().map(|(ticket, dot)| (*ticket, dot.clone())).collect()
    }

    /// Takes what has changed since the last call, with the transactions that have begun.
    pub(super) fn take_changes(&self) -> (Changes, Vec<(u64, FinalDot)>) {
        let mut state = self.state.lock();
        let changes = std::mem::take(&mut state.changes);
        let dot = |ticket: &u64| Some((*ticket, state.open.get(ticket)?.clone()));
        let begun = changes.begun.iter().filter_map(dot).collect();
        (changes, begun)
    }

    /// Waits until something has changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Doubts for Journal {
    fn begin(&self, dot: FinalDot) -> Ticket {
        let mut state = self.state.lock();
        if state.recipients + dot.recipients.len() > OPEN_MAX {
            return NOT_KEPT;
        }
        let ticket = state.next;
        state.next += 1;
        let mut bytes = Vec::with_capacity((dot.recipients.len() + 1) * record::RECORD);
        record::begin(&mut bytes, ticket, &dot);
        state.recipients += dot.recipients.len();
        state.open.insert(ticket, dot);
        state.changes.begin(ticket);
        state.write(&bytes);
        drop(state);
        self.changed.notify_one();
        Ticket(ticket)
    }

    fn end(&self, ticket: Ticket, known: bool) {
        if ticket == NOT_KEPT {
            return;
        }
        let mut state = self.state.lock();
        if !known {
            if state.open.contains_key(&ticket.0) {
                state.doubtful.insert(ticket.0);
            }
            drop(state);
            return self.doubted.notify_one();
        }
        let Some(dot) = state.open.remove(&ticket.0) else { return };
        state.recipients -= dot.recipients.len();
        state.doubtful.remove(&ticket.0);
        state.changes.end(ticket.0);
        let mut bytes = Vec::with_capacity(record::RECORD);
        record::end(&mut bytes, ticket.0);
        state.write(&bytes);
        drop(state);
        self.changed.notify_one();
    }
}

impl State {
    fn write(&mut self, bytes: &[u8]) {
        let written = self.file.write_all(bytes).and_then(|()| {
            self.bytes += bytes.len() as u64;
            self.compact()
        });
        match written {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                let path = self.path.display();
                tracing::warn!(
                    "{path} cannot be written: {error}. After a crash, messages that are sent \
                     twice will not be listed as unknown."
                );
            }
            Err(_) => {}
        }
    }

    /// Drops what has ended.
    fn compact(&mut self) -> io::Result<()> {
        let live = (self.recipients + self.open.len()) as u64 * record::RECORD as u64;
        if self.bytes > COMPACT_BYTES.max(2 * live) {
            (self.file, self.bytes) = write_anew(&self.path, &self.open)?;
        }
        Ok(())
    }
}

/// Writes a journal with nothing but what is open, and puts it in the place of the old one.
fn write_anew(path: &Path, open: &BTreeMap<u64, FinalDot>) -> io::Result<(File, u64)> {
    let mut bytes = Vec::new();
    for (ticket, dot) in open {
        record::begin(&mut bytes, *ticket, dot);
    }
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&beside)?;
    file.write_all(&bytes)?;
    std::fs::rename(&beside, path)?;
    Ok((file, bytes.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::super::record::dot;
    use super::*;

    fn open_now(journal: &Journal) -> Vec<u64> {
        journal.whole().into_iter().map(|(ticket, _)| ticket).collect()
    }

    #[test]
    fn what_is_open_outlives_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("in-doubt");
        let journal = Journal::open(&path).unwrap();
        let done = journal.begin(dot(2, 1, &[(0, 0)]));
        let open = journal.begin(dot(2, 2, &[(0, 4), (1, 0)]));
        journal.end(done, true);
        assert_eq!(journal.doubtful(), []);
        // No drop runs when a process is killed: the file is as it is now.
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.doubtful(), [(open, dot(2, 2, &[(0, 4), (1, 0)]))]);
        let next = again.begin(dot(2, 3, &[(0, 0)]));
        assert!(next > open, "names are not used twice");
        again.end(open, true);
        again.end(next, true);
        assert_eq!(Journal::open(&path).unwrap().doubtful(), []);
    }

    #[test]
    fn a_lost_right_to_report_is_a_doubt_until_it_is_noted() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("in-doubt")).unwrap();
        let ticket = journal.begin(dot(2, 1, &[(0, 0)]));
        journal.end(ticket, false);
        assert_eq!(journal.doubtful().len(), 1);
        journal.end(ticket, true);
        assert_eq!((journal.doubtful(), open_now(&journal)), (vec![], vec![]));
    }

    #[test]
    fn the_file_stays_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("in-doubt");
        let journal = Journal::open(&path).unwrap();
        let kept = journal.begin(dot(2, 9, &[(0, 0)]));
        for index in 0..20_000 {
            let ticket = journal.begin(dot(2, index, &[(0, 0)]));
            journal.end(ticket, true);
        }
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length <= COMPACT_BYTES + 3 * record::RECORD as u64, "{length}");
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.doubtful().first().map(|(ticket, _)| *ticket), Some(kept));
    }

    #[test]
    fn others_are_told_what_changed_and_not_what_came_and_went() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("in-doubt")).unwrap();
        let stays = journal.begin(dot(2, 1, &[(0, 0)]));
        let goes = journal.begin(dot(2, 2, &[(0, 0)]));
        journal.end(goes, true);
        let (changes, begun) = journal.take_changes();
        assert_eq!((begun.len(), begun[0].0, changes.ended), (1, stays.0, vec![]));
        journal.end(stays, true);
        let (changes, begun) = journal.take_changes();
        assert_eq!((begun, changes.ended), (vec![], vec![stays.0]));
    }

    #[test]
    fn too_many_are_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("in-doubt")).unwrap();
        let many: Vec<(u16, u32)> = (0..=u16::MAX).map(|n| (n, 0)).collect();
        for index in 0..4 {
            assert_ne!(journal.begin(dot(2, index, &many)), NOT_KEPT);
        }
        assert_eq!(journal.begin(dot(2, 9, &[(0, 0)])), NOT_KEPT);
        journal.end(NOT_KEPT, true);
    }
}
