//! Reading the accounting files of a node.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One row by column name.
pub type Row = HashMap<String, String>;

/// The accounting files in `directory` whose name begins with `stem`, oldest first.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn files(directory: &Path, stem: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(stem) && name.ends_with(".csv") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// All rows of these files.
///
/// # Errors
///
/// When a file is no CSV with a header line.
pub fn read(directory: &Path, stem: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for path in files(directory, stem)? {
        let text = std::fs::read(&path)?;
        // The last line may be half written: rows count once they are whole.
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let mut reader = csv::Reader::from_reader(&text[..whole]);
        let headers = reader.headers().with_context(|| path.display().to_string())?.clone();
        for record in reader.records() {
            let record = record.with_context(|| path.display().to_string())?;
            let pairs = headers.iter().zip(record.iter());
            rows.push(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
        }
    }
    Ok(rows)
}
