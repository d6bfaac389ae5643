//! The form of one accounting file: its header line, and a record as one of its rows.

use std::borrow::Cow;

use super::columns::{self, HEADER_PREFIX};
use super::fields::{self, Field, Style};
use super::filter::QueueFilter;
use super::wire;
use crate::message::{Record, RecordType};

/// How records are written to one file or pipe.
#[derive(Debug)]
pub(crate) struct Format {
    columns: Vec<String>,
    /// Per type of record that the file holds, where each column comes from.
    types: Vec<(RecordType, Vec<Cell>)>,
    filter: QueueFilter,
    iso_times: bool,
    user_string: String,
    syntax: Syntax,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Csv,
    /// One object per line, all values strings; for names that end in `.json`.
    Json,
}

/// Where the value of a column comes from, in rows of one type.
#[derive(Debug)]
enum Cell {
    /// The type lacks the column.
    Empty,
    Filled {
        /// Headers that replace the value, the first that is not empty.
        instead: Vec<String>,
        source: Source,
    },
}

enum Source {
    Field(&'static Field),
    Header(String),
    /// A field that Convoy does not know or that this type does not have.
    Nothing,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field.name),
            Self::Header(name) => f.write_str(name),
            Self::Nothing => f.write_str("-"),
        }
    }
}

impl Format {
    pub(crate) fn new(file: &wire::AcctFile) -> Self {
        let columns = columns::union(file.records.iter().map(|c| c.names.as_slice()));
        let types = file
            .records
            .iter()
            .filter_map(|of_type| {
                let kind = RecordType::parse(&of_type.r#type)?;
                let cell = |name: &String| cell(file, kind, name, of_type.names.contains(name));
                Some((kind, columns.iter().map(cell).collect()))
            })
            .collect();
        Self {
            columns,
            types,
            filter: QueueFilter::new(&file.queue_filter),
            iso_times: file.iso_times,
            user_string: file.user_string.clone(),
            syntax: if file.path.ends_with(".json") { Syntax::Json } else { Syntax::Csv },
        }
    }

    /// The first line of every file, and of every start of a pipe.
    pub(crate) fn header(&self) -> Vec<u8> {
        match self.syntax {
            Syntax::Csv => csv_line(self.columns.iter().map(String::as_str)),
            Syntax::Json => Vec::new(),
        }
    }

    /// The record as a line, or nothing when the file does not take it.
    pub(crate) fn row(&self, record: &Record, utc_offset_s: i32) -> Option<Vec<u8>> {
        let (_, cells) = self.types.iter().find(|(kind, _)| *kind == record.kind)?;
        if !self.filter.passes(record.kind, &record.queue) {
            return None;
        }
        let style =
            Style { iso_times: self.iso_times, utc_offset_s, user_string: &self.user_string };
        let values = cells.iter().map(|cell| cell.value(record, &style));
        Some(match self.syntax {
            Syntax::Csv => csv_line(values),
            Syntax::Json => json_line(self.columns.iter().zip(cells).zip(values)),
        })
    }
}

fn cell(file: &wire::AcctFile, kind: RecordType, name: &str, listed: bool) -> Cell {
    if !listed {
        return Cell::Empty;
    }
    let mapped = |map: &&wire::HeaderMap| {
        kind != RecordType::TransientQueue
            && RecordType::parse(&map.r#type) == Some(kind)
            && map.field.eq_ignore_ascii_case(name)
    };
    let instead = file.header_maps.iter().filter(mapped).map(|m| m.header.clone()).collect();
    let source = match (fields::find(name), name.strip_prefix(HEADER_PREFIX)) {
        (Some(field), _) if field.types.contains(&kind) => Source::Field(field),
        (Some(_), _) | (None, None) => Source::Nothing,
        (None, Some(header)) => Source::Header(header.to_owned()),
    };
    Cell::Filled { instead, source }
}

impl Cell {
    fn value<'a>(&'a self, record: &'a Record, style: &Style<'a>) -> Cow<'a, str> {
        let Self::Filled { instead, source } = self else {
            return Cow::Borrowed("");
        };
        let replaced = instead.iter().map(|h| fields::header(record, h)).find(|v| !v.is_empty());
        match (replaced, source) {
            (Some(value), _) => Cow::Borrowed(value),
            (None, Source::Field(field)) => (field.value)(record, style),
            (None, Source::Header(name)) => Cow::Borrowed(fields::header(record, name)),
            (None, Source::Nothing) => Cow::Borrowed(""),
        }
    }
}

/// RFC 4180: CRLF at the end, quotes only where a comma, quote or line end needs them.
fn csv_line<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .buffer_capacity(512)
        .from_writer(Vec::with_capacity(512));
    for value in values {
        writer.write_field(value.as_ref()).expect("a vector takes any number of bytes");
    }
    writer.write_record(None::<&[u8]>).expect("the columns never change in number");
    writer.into_inner().expect("a vector takes any number of bytes")
}

fn json_line<'a>(cells: impl Iterator<Item = ((&'a String, &'a Cell), Cow<'a, str>)>) -> Vec<u8> {
    let members: Vec<String> = cells
        .filter(|((_, cell), _)| !matches!(cell, Cell::Empty))
        .map(|((name, _), value)| {
            format!("{}:{}", serde_json::Value::from(name.as_str()), serde_json::Value::from(value))
        })
        .collect();
    format!("{{{}}}\n", members.join(",")).into_bytes()
}

#[cfg(test)]
#[path = "row_test.rs"]
mod tests;
