//! The accounting files of one node: rows in, files with names, numbers and ends out.
//!
//! A job (one entry of the group's log) is done when the ledger says so. Files are synced first,
//! then the ledger; a crash in between leaves bytes and files that no ledger knows, which the next
//! start removes, and the job is done again with the same result. What cannot be written is tried
//! again until it can: rows are never left out.
//!
//! Other threads read what the ledger said last, to send the files in a snapshot (`cargo.rs`).

mod install;
mod repair;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::cargo::Cargo;
use super::disk::{Disk, Mode};
use super::ledger::LedgerSlots;
use super::naming::{self, Naming};
use super::output::{self, FileFigures, OutFile, Writer};
use super::rotation::{self, Rotations, finish};
use super::wire;
use crate::clock::Timestamp;
use crate::id::GroupId;
use crate::message::Record;
use crate::queue::machine::MachineError;
use crate::queue::model::OutboxPosition;

/// Where the collector stands in each partition.
pub(crate) type Marks = BTreeMap<GroupId, OutboxPosition>;

/// What to do when the file system refuses.
pub(crate) trait Patience: Send + 'static {
    /// Waits a while. False when there is no point in trying again: the node stops.
    fn failed(&mut self, what: &str) -> bool;

    /// It works again.
    fn recovered(&mut self);
}

/// Directories of the collector.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where relative paths of the configuration begin.
    pub base: PathBuf,
    /// Where the ledger is.
    pub ledger: PathBuf,
}

/// What one entry of the log asks of the files.
pub(crate) struct Job<'a> {
    pub index: u64,
    pub now: Timestamp,
    pub utc_offset_s: i32,
    /// The name of the log.
    pub founding: u64,
    /// New files are in force from here on.
    pub layout: Option<&'a wire::Layout>,
    pub rotate: Option<&'a wire::Rotate>,
    pub rows: &'a [Record],
    /// Where the collector stands after these rows.
    pub marks: &'a Marks,
}

pub(crate) struct Archive<D> {
    disk: D,
    place: Place,
    patience: Box<dyn Patience>,
    slots: Option<LedgerSlots>,
    /// As it is on disk, apart from files that were moved since.
    ledger: wire::Ledger,
    /// The same, for other threads.
    published: Arc<Mutex<wire::Ledger>>,
    /// Files are in line with the ledger.
    repaired: bool,
    files: Vec<OutFile>,
    /// Files whose move failed, to say so once.
    complained: HashSet<String>,
}

impl<D: Disk> Archive<D> {
    pub(crate) fn new(disk: D, place: Place, patience: Box<dyn Patience>) -> Self {
        Self {
            disk,
            place,
            patience,
            slots: None,
            ledger: wire::Ledger::default(),
            published: Arc::default(),
            repaired: false,
            files: Vec::new(),
            complained: HashSet::new(),
        }
    }

    /// Takes up the files as the ledger knows them. `founding`, `layout` and `marks` are what the
    /// group's state says, which may be behind the ledger.
    pub(crate) fn open(
        &mut self,
        founding: Option<u64>,
        layout: &wire::Layout,
        marks: &Marks,
    ) -> Result<(), MachineError> {
        if self.slots.is_none() {
            self.discard_received();
        }
        let directory = self.place.ledger.clone();
        let loaded = self.insist("read the accounting ledger", |disk| {
            LedgerSlots::load(disk, directory.clone())
        })?;
        self.slots = Some(loaded.0);
        self.ledger = loaded.1;
        self.files = self.out_files(layout);
        self.repair_if_it_works();
        if let Some(founding) = founding {
            self.follow(founding);
        }
        let missing = marks.iter().filter(|(group, upto)| self.mark(**group) < **upto).count();
        if missing > 0 {
            warn!("Accounting rows of {missing} partitions are in the files of other nodes only.");
        }
        self.publish();
        Ok(())
    }

    /// How snapshots get the files.
    pub(crate) fn cargo(&self) -> Cargo<D> {
        Cargo::new(self.disk.clone(), self.place.clone(), Arc::clone(&self.published))
    }

    fn publish(&self) {
        self.published.lock().clone_from(&self.ledger);
    }

    fn out_files(&self, layout: &wire::Layout) -> Vec<OutFile> {
        let files = layout.files.iter().filter(|definition| definition.command.is_empty());
        files.map(|definition| OutFile::new(&self.place.base, definition)).collect()
    }

    fn mark(&self, group: GroupId) -> OutboxPosition {
        let mark = self.ledger.marks.iter().find(|m| m.partition == group.0);
        wire::position(mark.and_then(|m| m.upto))
    }

    /// A ledger that follows another log knows nothing about this one: its files stay as they are.
    fn follow(&mut self, founding: u64) {
        if self.ledger.founding != 0 && self.ledger.founding != founding {
            warn!("The accounting ledger belongs to another cluster; starting new files.");
            self.ledger = wire::Ledger::default();
        }
        self.ledger.founding = founding;
    }

    /// Does what an entry asks, once.
    pub(crate) fn apply(&mut self, job: &Job<'_>) -> Result<(), MachineError> {
        self.follow(job.founding);
        let before = job.layout.map(|layout| {
            let files = self.out_files(layout);
            std::mem::replace(&mut self.files, files)
        });
        if job.index <= self.ledger.applied {
            return Ok(());
        }
        self.repair()?;
        let mut next = self.ledger.clone();
        next.applied = job.index;
        next.now_ms = rotation::time_after(Timestamp(next.now_ms), job.now).as_millis();
        next.marks = wire::marks(job.marks);
        for one in &mut next.series {
            one.begun.clear();
            one.abandoned.clear();
        }
        if let Some(before) = before {
            self.finish_changed(&mut next, &before);
        }
        self.finish_due(&mut next, job);
        let files = std::mem::take(&mut self.files);
        let written = files.iter().try_for_each(|file| self.write(file, &mut next, job));
        self.files = files;
        written?;
        self.commit(next)?;
        self.move_finished();
        Ok(())
    }

    /// Files that are configured no more, or in another form, end here.
    fn finish_changed(&self, next: &mut wire::Ledger, before: &[OutFile]) {
        for one in &mut next.series {
            let old = before.iter().find(|f| f.definition.path == one.path);
            let new = self.files.iter().find(|f| f.definition.path == one.path);
            let move_to = old.or(new).map_or("", |f| f.definition.move_to.as_str());
            let same = match (old, new) {
                (Some(old), Some(new)) => output::same_form(&old.definition, &new.definition),
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if !same {
                finish(one, move_to);
            }
        }
    }

    /// Midnight, `move-interval`, and the operator's command.
    fn finish_due(&self, next: &mut wire::Ledger, job: &Job<'_>) {
        let now = Timestamp(next.now_ms);
        let today = naming::date(now, job.utc_offset_s);
        for file in &self.files {
            let definition = &file.definition;
            let Some(one) = next.series.iter_mut().find(|s| s.path == definition.path) else {
                continue;
            };
            let told = job.rotate.is_some_and(|rotate| rotation::names(rotate, definition));
            if told || rotation::is_due(one, definition, now, &today) {
                finish(one, &definition.move_to);
            }
        }
        next.series.retain(|one| {
            let configured = self.files.iter().any(|file| file.definition.path == one.path);
            let closed = configured && !one.closed.is_empty();
            one.open.is_some() || !one.finished.is_empty() || closed || one.date >= today
        });
    }

    fn write(
        &mut self,
        file: &OutFile,
        next: &mut wire::Ledger,
        job: &Job<'_>,
    ) -> Result<(), MachineError> {
        let mut rows =
            job.rows.iter().filter_map(|r| file.format.row(r, job.utc_offset_s)).peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let now = Timestamp(next.now_ms);
        let today = naming::date(now, job.utc_offset_s);
        let mut writer = Writer {
            file,
            series: output::series(next, &file.definition.path),
            now,
            today,
            waiting: None,
        };
        for row in rows {
            if writer.is_full(row.len()) {
                self.flush(&mut writer)?;
                finish(writer.series, &file.definition.move_to);
            }
            writer.add(&row);
        }
        self.flush(&mut writer)
    }

    /// Writes what waits to the open file, or to a new one when there is none.
    fn flush(&mut self, writer: &mut Writer<'_>) -> Result<(), MachineError> {
        let Some(waiting) = writer.waiting.take() else { return Ok(()) };
        loop {
            if writer.series.open.is_none() {
                self.begin(writer)?;
            }
            let open = writer.series.open.as_mut().expect("a file has just been begun");
            let path = writer.file.naming.directory.join(&open.name);
            let at = open.length_bytes;
            let written = self.insist("write to an accounting file", |disk| {
                match disk.write_at(&path, at, &waiting.bytes) {
                    Err(e) if is_interference(&e) => Ok(false),
                    result => result.map(|()| true),
                }
            })?;
            if written {
                open.length_bytes += waiting.bytes.len() as u64;
                open.rows += waiting.rows;
                open.last_row_ms = writer.now.as_millis();
                return Ok(());
            }
            report_interference(&path);
            finish(writer.series, &writer.file.definition.move_to);
        }
    }

    /// Begins a file under the next free number of the day. The ledger names it before it exists:
    /// a file of that name that no ledger names is somebody else's.
    fn begin(&mut self, writer: &mut Writer<'_>) -> Result<(), MachineError> {
        let OutFile { definition, format, naming } = writer.file;
        let series = &mut *writer.series;
        if series.date < writer.today {
            series.date.clone_from(&writer.today);
            series.next_number = 0;
        }
        let moved = self.place.base.join(&definition.move_to);
        let name = loop {
            let name = naming.file(&series.date, series.next_number);
            series.next_number += 1;
            let taken = self.insist("look for accounting files", |disk| {
                Ok(disk.length(&naming.directory.join(&name))?.is_some()
                    || (!definition.move_to.is_empty()
                        && disk.length(&moved.join(&name))?.is_some()))
            })?;
            if !taken {
                break name;
            }
        };
        series.world_readable = definition.world_readable;
        let mut announced = self.ledger.clone();
        output::series(&mut announced, &definition.path).begun.push(name.clone());
        self.commit(announced)?;
        let header = format.header();
        let mode = if definition.world_readable { Mode::World } else { Mode::Group };
        let path = naming.directory.join(&name);
        let what = format!("begin the accounting file {}", path.display());
        self.insist(&what, |disk| disk.create(&path, &header, mode))?;
        series.open = Some(wire::Segment {
            name,
            length_bytes: header.len() as u64,
            opened_ms: writer.now.as_millis(),
            rows: 0,
            last_row_ms: 0,
        });
        self.delete_old(writer);
        Ok(())
    }

    /// `delete-after`.
    fn delete_old(&mut self, writer: &Writer<'_>) {
        let OutFile { definition, naming, .. } = writer.file;
        let (Some(after_s), true) = (definition.delete_after_s, definition.move_to.is_empty())
        else {
            return;
        };
        let Ok(listed) = self.disk.list(&naming.directory) else { return };
        let open = writer.series.open.as_ref().map(|open| &open.name);
        for (name, written_at) in listed {
            let old = writer.now.since(written_at).as_secs() >= after_s;
            if !old || Some(&name) == open || !naming.owns(&name) {
                continue;
            }
            match self.disk.remove(&naming.directory.join(&name)) {
                Ok(()) => info!("Deleted accounting file {name}, older than {after_s} s."),
                Err(e) => warn!("Error deleting accounting file {name}: {e}"),
            }
        }
    }

    fn commit(&mut self, ledger: wire::Ledger) -> Result<(), MachineError> {
        let mut slots = self.slots.take().expect("the archive is opened before it is used");
        let stored = self.insist("write the accounting ledger", |disk| slots.store(disk, &ledger));
        self.slots = Some(slots);
        stored?;
        self.ledger = ledger;
        self.publish();
        Ok(())
    }

    /// `move-to`. The ledger knows already that these files are finished, so that a move that a
    /// crash interrupts is made at the next chance.
    fn move_finished(&mut self) {
        for one in &mut self.ledger.series {
            let from = Naming::new(&self.place.base, &one.path).directory;
            one.finished.retain(|finished| {
                let to = self.place.base.join(&finished.move_to).join(&finished.name);
                match self.disk.rename(&from.join(&finished.name), &to) {
                    Ok(()) => false,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => false,
                    Err(e) => {
                        if self.complained.insert(finished.name.clone()) {
                            error!("Error moving {} to {}: {e}", finished.name, to.display());
                        }
                        true
                    }
                }
            });
        }
        self.publish();
    }

    /// Tries until it works. Rows that were accepted must be written, so the group waits.
    fn insist<T>(
        &mut self,
        what: &str,
        mut operation: impl FnMut(&mut D) -> io::Result<T>,
    ) -> Result<T, MachineError> {
        let mut failed = false;
        loop {
            match operation(&mut self.disk) {
                Ok(value) => {
                    if failed {
                        self.patience.recovered();
                    }
                    return Ok(value);
                }
                Err(source) => {
                    failed = true;
                    if !self.patience.failed(&format!("cannot {what}: {source}")) {
                        return Err(MachineError::Io { context: what.to_owned(), source });
                    }
                }
            }
        }
    }

    /// The last entry that is in the files.
    pub(crate) const fn applied(&self) -> u64 {
        self.ledger.applied
    }

    /// The latest time of any entry.
    pub(crate) const fn now(&self) -> Timestamp {
        Timestamp(self.ledger.now_ms)
    }

    /// The configured files and where they stand.
    pub(crate) fn figures(&self) -> Vec<FileFigures> {
        let series = |path: &str| self.ledger.series.iter().find(|s| s.path == path);
        self.files.iter().map(|file| file.figures(series(&file.definition.path))).collect()
    }

    /// The open files and when they end.
    pub(crate) fn rotations(&self) -> Rotations {
        Rotations::new(self.files.iter().filter_map(|file| {
            let one = self.ledger.series.iter().find(|s| s.path == file.definition.path)?;
            Some((file.definition.clone(), one.clone()))
        }))
    }
}

fn is_interference(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

fn report_interference(path: &Path) {
    error!("Accounting file {} was removed or cut by another program.", path.display());
}

#[cfg(test)]
#[path = "archive_test.rs"]
mod tests;
