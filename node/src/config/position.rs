//! Where a word of a configuration file stands: file, line, column, and the line itself so that a
//! message can show it.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// One line of a file, without its line end.
#[derive(Debug)]
pub(super) struct SourceLine {
    /// Name of the file as it was given or included.
    pub(super) file: Arc<Path>,
    /// Counted from 1.
    pub(super) number: u32,
    /// The line, comment included.
    pub(super) text: Box<str>,
}

/// A place in a configuration file.
#[derive(Clone)]
pub struct Position {
    line: Arc<SourceLine>,
    column: u32,
}

impl Position {
    /// The start of a file that could not be read or has no lines.
    pub(super) fn start_of(file: &Path) -> Self {
        let line = SourceLine { file: file.into(), number: 1, text: "".into() };
        Self { line: Arc::new(line), column: 1 }
    }

    /// Name of the file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.line.file
    }

    /// Line, counted from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line.number
    }

    /// Column in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.column
    }

    /// The whole line.
    pub(super) fn source(&self) -> &str {
        &self.line.text
    }
}

/// `FILE:LINE:COLUMN`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file().display(), self.line(), self.column)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Position {}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |p: &Self| (p.line.number, p.column);
        self.file().cmp(other.file()).then_with(|| key(self).cmp(&key(other)))
    }
}

/// A piece of a line that knows where it stands.
#[derive(Clone)]
pub(super) struct Text {
    line: Arc<SourceLine>,
    /// Bytes of the line.
    range: Range<usize>,
}

impl Text {
    /// The whole line.
    pub(super) fn of_line(line: Arc<SourceLine>) -> Self {
        let range = 0..line.text.len();
        Self { line, range }
    }

    /// A text that stands in no file, for instance a default of the table.
    pub(super) fn detached(origin: &str, text: &str) -> Self {
        let line = SourceLine { file: Path::new(origin).into(), number: 1, text: text.into() };
        Self::of_line(Arc::new(line))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.line.text[self.range.clone()]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Its first character.
    pub(super) fn position(&self) -> Position {
        let column = self.line.text[..self.range.start].chars().count() + 1;
        Position { line: self.line.clone(), column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    /// Its width in characters.
    pub(super) fn width(&self) -> usize {
        self.as_str().chars().count()
    }

    /// Bytes `start..end` of this text.
    pub(super) fn part(&self, start: usize, end: usize) -> Self {
        let range = self.range.start + start..self.range.start + end;
        Self { line: self.line.clone(), range }
    }

    /// All from byte `start`.
    pub(super) fn after(&self, start: usize) -> Self {
        self.part(start, self.range.len())
    }

    /// From the start of this text to the end of `later`, which stands on the same line.
    pub(super) fn joined(&self, later: &Self) -> Self {
        let range = self.range.start..later.range.end.max(self.range.end);
        Self { line: self.line.clone(), range }
    }

    /// Without blanks at both ends.
    pub(super) fn trim(&self) -> Self {
        let text = self.as_str();
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len();
        self.part(start.min(end), end)
    }

    /// Its parts between `separator`, trimmed.
    pub(super) fn split(&self, separator: char) -> Vec<Self> {
        let text = self.as_str();
        let mut parts = Vec::new();
        let mut start = 0;
        for (at, _) in text.match_indices(separator) {
            parts.push(self.part(start, at).trim());
            start = at + separator.len_utf8();
        }
        parts.push(self.after(start).trim());
        parts
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.as_str(), self.position())
    }
}
