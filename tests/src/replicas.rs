//! Comparing the accounting files of several nodes, byte for byte.
//!
//! A file that a node has finished (it was moved, or a later one of its series is there) must be the
//! same wherever it is finished. One that is still being written must be what the others' begins
//! with. Files are matched by name: directories with two series of one name are compared apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use regex::Regex;

/// Bytes compared at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Where one node keeps its accounting files.
#[derive(Clone, Debug)]
pub struct Replica {
    /// For messages.
    pub node: String,
    /// Where they are written.
    pub directory: PathBuf,
    /// Where finished ones are moved, if they are.
    pub moved: Option<PathBuf>,
}

/// What was found to be the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Files that at least two nodes have.
    pub files: usize,
    /// Bytes that at least two nodes have.
    pub bytes: u64,
    /// Files that a node does not have, although it has a later one of the series: `NODE: NAME`.
    /// A node that joined by a snapshot lacks what was moved before.
    pub absent: Vec<String>,
}

/// A file of one node.
struct Found {
    node: usize,
    path: PathBuf,
    length_bytes: u64,
    is_finished: bool,
}

/// Series, day and number.
type Place = (String, String, u32);

/// Compares the files of all nodes with each other.
///
/// # Errors
///
/// When two files differ, with their names and the first byte that does, or one cannot be read.
pub fn compare(replicas: &[Replica]) -> Result<Compared> {
    let pattern = Regex::new(r"^(.*)-(\d{4}-\d{2}-\d{2})-(\d{4,})(\.[^.]*)?$")?;
    let mut files: BTreeMap<Place, Vec<Found>> = BTreeMap::new();
    for (node, replica) in replicas.iter().enumerate() {
        let of_node = list(replica, &pattern)?;
        for (place, (path, moved)) in &of_node {
            let later = of_node.keys().any(|other| other.0 == place.0 && other > place);
            let length_bytes = std::fs::metadata(path).with_context(|| named(path))?.len();
            let is_finished = *moved || later;
            let found = Found { node, path: path.clone(), length_bytes, is_finished };
            files.entry(place.clone()).or_default().push(found);
        }
    }
    let mut compared = Compared { absent: absent(replicas, &files), ..Compared::default() };
    for found in files.values().filter(|found| found.len() > 1) {
        compared.files += 1;
        compared.bytes += same(found)?;
    }
    Ok(compared)
}

/// Accounting files of a node, and whether each was moved.
fn list(replica: &Replica, pattern: &Regex) -> Result<BTreeMap<Place, (PathBuf, bool)>> {
    let mut found = BTreeMap::new();
    let directories = [(Some(&replica.directory), false), (replica.moved.as_ref(), true)];
    for (directory, moved) in directories {
        // A directory is made with its first file.
        let Some(directory) = directory.filter(|directory| directory.is_dir()) else { continue };
        for entry in std::fs::read_dir(directory).with_context(|| named(directory))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(parts) = pattern.captures(&name) else { continue };
            let end = parts.get(4).map_or("", |end| end.as_str());
            let place = (format!("{}{end}", &parts[1]), parts[2].to_owned(), parts[3].parse()?);
            found.insert(place, (path, moved));
        }
    }
    Ok(found)
}

fn absent(replicas: &[Replica], files: &BTreeMap<Place, Vec<Found>>) -> Vec<String> {
    let mut absent = Vec::new();
    for (place, found) in files {
        let have: BTreeSet<usize> = found.iter().map(|f| f.node).collect();
        for (node, replica) in replicas.iter().enumerate().filter(|(n, _)| !have.contains(n)) {
            let is_later = |other: &Place| other.0 == place.0 && other > place;
            let mut others = files.iter().filter(|(other, _)| is_later(other));
            if others.any(|(_, found)| found.iter().any(|f| f.node == node)) {
                absent.push(format!("{}: {}", replica.node, named(&found[0].path)));
            }
        }
    }
    absent
}

/// Compares one file of several nodes with the longest one; gives the bytes compared.
fn same(found: &[Found]) -> Result<u64> {
    let Some(longest) = found.iter().max_by_key(|f| (f.length_bytes, f.is_finished)) else {
        return Ok(0);
    };
    let mut bytes = 0;
    for other in found.iter().filter(|other| other.node != longest.node) {
        if other.is_finished && other.length_bytes != longest.length_bytes {
            let (one, two) = (named(&other.path), named(&longest.path));
            let (less, more) = (other.length_bytes, longest.length_bytes);
            bail!("{one} is finished with {less} bytes, {two} has {more}");
        }
        if let Some(at) = first_difference(&other.path, &longest.path, other.length_bytes)? {
            bail!("{} and {} differ at byte {at}", named(&other.path), named(&longest.path));
        }
        bytes = bytes.max(other.length_bytes);
    }
    Ok(bytes)
}

/// The first of `length_bytes` bytes in which two files differ.
fn first_difference(one: &Path, other: &Path, length_bytes: u64) -> Result<Option<u64>> {
    let open = |path: &Path| File::open(path).map(BufReader::new).with_context(|| named(path));
    let (mut one, mut other) = (open(one)?.take(length_bytes), open(other)?.take(length_bytes));
    let mut at = 0;
    loop {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        (&mut one).take(CHUNK_BYTES as u64).read_to_end(&mut left)?;
        (&mut other).take(CHUNK_BYTES as u64).read_to_end(&mut right)?;
        if left != right {
            let same = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
            return Ok(Some(at + same as u64));
        }
        if left.is_empty() {
            return Ok(None);
        }
        at += left.len() as u64;
    }
}

fn named(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(root: &Path, node: &str, files: &[(&str, &str)]) -> Replica {
        let directory = root.join(node);
        let moved = directory.join("done");
        std::fs::create_dir_all(&moved).unwrap();
        for (name, text) in files {
            std::fs::write(directory.join(name), text).unwrap();
        }
        Replica { node: node.to_owned(), directory, moved: Some(moved) }
    }

    fn check(one: &[(&str, &str)], two: &[(&str, &str)]) -> Result<Compared, String> {
        let root = tempfile::tempdir().unwrap();
        let replicas = [replica(root.path(), "n1", one), replica(root.path(), "n2", two)];
        compare(&replicas).map_err(|e| format!("{e:#}"))
    }

    const FIRST: &str = "acct-2026-11-25-0000.csv";
    const SECOND: &str = "acct-2026-11-25-0001.csv";
    const MOVED: &str = "done/acct-2026-11-25-0000.csv";

    #[test]
    fn finished_files_are_the_same_and_open_ones_begin_alike() {
        let same = check(&[(FIRST, "abc"), (SECOND, "de")], &[(MOVED, "abc"), (SECOND, "d")]);
        assert_eq!(same, Ok(Compared { files: 2, bytes: 4, absent: Vec::new() }));
        // One node is behind: the file that it is writing is finished on the other.
        let behind = check(&[(FIRST, "ab")], &[(FIRST, "abc"), (SECOND, "d")]);
        assert_eq!(behind, Ok(Compared { files: 1, bytes: 2, absent: Vec::new() }));
        let ignored = [(FIRST, "a"), ("acct-2026-11-25-0000.csv.partial", "x"), ("other", "y")];
        assert_eq!(check(&ignored, &[(FIRST, "a")]).map(|same| same.files), Ok(1));
    }

    #[test]
    fn differences_are_told() {
        let cut = check(&[(FIRST, "ab"), (SECOND, "d")], &[(FIRST, "abc")]);
        assert!(cut.as_ref().is_err_and(|e| e.contains("finished with 2 bytes")), "{cut:?}");
        let other = check(&[(FIRST, "abX")], &[(FIRST, "abcd")]);
        assert!(other.as_ref().is_err_and(|e| e.ends_with("differ at byte 2")), "{other:?}");
        let moved = check(&[(MOVED, "abX")], &[(FIRST, "abc"), (SECOND, "")]);
        assert!(moved.is_err(), "{moved:?}");
        let absent = check(&[(FIRST, "a"), (SECOND, "b")], &[(SECOND, "b")]).unwrap();
        assert!(absent.absent[0].starts_with("n2: ") && absent.absent.len() == 1, "{absent:?}");
    }
}
