//! The only door to files: the main configuration file and what it includes.
//!
//! A relative name of an included file is resolved against the directory of the file that names
//! it. Nothing but configuration text is read here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Largest configuration file in bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024 * 1024;

/// Reads configuration files.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// When it cannot be read or is larger than [`MAX_FILE_BYTES`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The files that match a pattern with `*`, `?` and `[...]`, sorted by name.
    ///
    /// # Errors
    /// When the pattern is malformed or a directory cannot be read.
    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>>;

    /// The system's name, for a configuration without `host-name`.
    fn host_name(&self) -> String;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

/// Where Linux keeps the system's name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

impl Files for SystemFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if std::fs::metadata(path)?.len() > MAX_FILE_BYTES as u64 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
        }
        std::fs::read(path)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let found = glob::glob(pattern).map_err(|e| invalid_pattern(&e))?;
        let mut paths = Vec::new();
        for path in found {
            let path = path.map_err(io::Error::from)?;
            if path.is_file() {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn host_name(&self) -> String {
        let name = std::fs::read_to_string(HOST_NAME_FILE).unwrap_or_default();
        let name = name.trim();
        if name.is_empty() { "localhost".to_owned() } else { name.to_ascii_lowercase() }
    }
}

/// Files that exist in memory alone.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl MemoryFiles {
    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(&normalized(path)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let pattern = glob::Pattern::new(pattern).map_err(|e| invalid_pattern(&e))?;
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let matches = |path: &&PathBuf| pattern.matches_path_with(path, options);
        Ok(self.files.keys().filter(matches).cloned().collect())
    }

    fn host_name(&self) -> String {
        "localhost".to_owned()
    }
}

fn invalid_pattern(error: &glob::PatternError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error.msg)
}

/// The name without `.` and `..`, as far as that can be said without looking at links.
#[must_use]
pub fn normalized(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if parts.file_name().is_some() => {
                parts.pop();
            }
            Component::ParentDir if parts.has_root() => {}
            Component::ParentDir
            | Component::Normal(_)
            | Component::RootDir
            | Component::Prefix(_) => parts.push(part),
        }
    }
    parts
}

/// The name that `included` has, seen from the file `from`.
#[must_use]
pub fn resolve(from: &Path, included: &str) -> PathBuf {
    from.parent().unwrap_or_else(|| Path::new("")).join(included)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_names_start_at_the_including_file() {
        assert_eq!(resolve(Path::new("/etc/c/config"), "d/*.conf"), Path::new("/etc/c/d/*.conf"));
        assert_eq!(resolve(Path::new("/etc/c/config"), "/x"), Path::new("/x"));
        assert_eq!(resolve(Path::new("config"), "x"), Path::new("x"));
    }

    #[test]
    fn names_are_normalized() {
        for (name, expected) in
            [("a/./b/../c", "a/c"), ("../a", "../a"), ("/a/../../b", "/b"), ("a/b/../..", "")]
        {
            assert_eq!(normalized(Path::new(name)), Path::new(expected), "{name}");
        }
    }

    #[test]
    fn the_system_finds_sorted_files_and_no_directories() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", "c.txt"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        std::fs::create_dir(dir.path().join("d.conf")).unwrap();
        let found = SystemFiles.glob(&dir.path().join("*.conf")).unwrap();
        assert_eq!(found, [dir.path().join("a.conf"), dir.path().join("b.conf")]);
        assert_eq!(SystemFiles.read(&found[0]).unwrap(), b"a.conf");
        assert!(SystemFiles.glob(Path::new("/x/[")).is_err());
    }
}
