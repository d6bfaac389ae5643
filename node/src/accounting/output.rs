//! One configured file on its way to the disk: its form, the rows that wait, and the series of
//! files that it has become.

use std::path::{Path, PathBuf};

use super::naming::Naming;
use super::row::Format;
use super::wire;
use crate::clock::Timestamp;

/// A configured file.
pub(crate) struct OutFile {
    pub definition: wire::AcctFile,
    pub format: Format,
    pub naming: Naming,
}

impl OutFile {
    pub(crate) fn new(base: &Path, definition: &wire::AcctFile) -> Self {
        Self {
            definition: definition.clone(),
            format: Format::new(definition),
            naming: Naming::new(base, &definition.path),
        }
    }

    /// Where the file stands in this series.
    pub(crate) fn figures(&self, series: Option<&wire::Series>) -> FileFigures {
        let open = series.and_then(|s| s.open.as_ref());
        FileFigures {
            target: self.definition.path.clone(),
            directory: self.naming.directory.clone(),
            current: open.map(|o| self.naming.directory.join(&o.name)),
            rows: open.map_or(0, |o| o.rows),
            length_bytes: open.map_or(0, |o| o.length_bytes),
            last_row_at: open.filter(|o| o.rows > 0).map(|o| Timestamp(o.last_row_ms)),
        }
    }
}

/// A configured file and where it stands, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFigures {
    /// The path as configured.
    pub target: String,
    /// Where its files are on this node.
    pub directory: PathBuf,
    /// The file being written, with its directory; none before the first row after a rotation.
    pub current: Option<PathBuf>,
    /// Rows in it.
    pub rows: u64,
    /// Its length.
    pub length_bytes: u64,
    /// When its last row was written.
    pub last_row_at: Option<Timestamp>,
}

/// What waits to be written to one file.
pub(crate) struct Writer<'a> {
    pub file: &'a OutFile,
    pub series: &'a mut wire::Series,
    pub now: Timestamp,
    pub today: String,
    pub waiting: Option<Waiting>,
}

#[derive(Default)]
pub(crate) struct Waiting {
    pub bytes: Vec<u8>,
    pub rows: u64,
}

impl Writer<'_> {
    /// Would another row go beyond `max-size`? A file has at least one row.
    pub(crate) fn is_full(&self, row_bytes: usize) -> bool {
        let (bytes, rows) = self.waiting.as_ref().map_or((0, 0), |w| (w.bytes.len(), w.rows));
        let (length, begun) = self.series.open.as_ref().map_or_else(
            || (self.file.format.header().len() as u64, 0),
            |open| (open.length_bytes, open.rows),
        );
        begun + rows > 0
            && length + (bytes + row_bytes) as u64 > self.file.definition.max_size_bytes
    }

    pub(crate) fn add(&mut self, row: &[u8]) {
        let waiting = self.waiting.get_or_insert_default();
        waiting.bytes.extend_from_slice(row);
        waiting.rows += 1;
    }
}

/// Do both definitions write the same header and rows?
pub(crate) fn same_form(old: &wire::AcctFile, new: &wire::AcctFile) -> bool {
    old.records == new.records && old.iso_times == new.iso_times
}

/// The series of this path, begun when there is none.
pub(crate) fn series<'a>(ledger: &'a mut wire::Ledger, path: &str) -> &'a mut wire::Series {
    let at = ledger.series.iter().position(|s| s.path == path).unwrap_or_else(|| {
        ledger.series.push(wire::Series { path: path.to_owned(), ..wire::Series::default() });
        ledger.series.len() - 1
    });
    &mut ledger.series[at]
}
