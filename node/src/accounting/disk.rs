//! What the collector needs of a file system. Every change is on stable storage when it returns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::clock::Timestamp;

/// A file system. Clones are the same one.
pub(crate) trait Disk: Clone + Send + Sync + 'static {
    /// A file that is held: it stays readable when it is renamed or removed.
    type Held: Held;

    /// Takes hold of a file; nothing when it is not there.
    fn hold(&self, path: &Path) -> io::Result<Option<Self::Held>>;

    /// The length of a file in bytes; nothing when it is not there.
    fn length(&self, path: &Path) -> io::Result<Option<u64>>;

    /// The content of a small file; nothing when it is not there.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Makes a file with this content, in place of what has that name. Makes its directory first.
    fn create(&mut self, path: &Path, content: &[u8], mode: Mode) -> io::Result<()>;

    /// Writes at `at` and drops what follows. `UnexpectedEof` when the file is shorter, `NotFound`
    /// when it is not there: somebody else changed it.
    fn write_at(&mut self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name, in a directory that is made when it is missing. `NotFound` when
    /// the file is not there.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file, if it is there.
    fn remove(&mut self, path: &Path) -> io::Result<()>;

    /// Names of a directory and when each was last written.
    fn list(&self, directory: &Path) -> io::Result<Vec<(String, Timestamp)>>;
}

/// A file that is held.
pub(crate) trait Held: Send + 'static {
    /// Its length in bytes now.
    fn length(&self) -> io::Result<u64>;

    /// `length` bytes from `at` on. `UnexpectedEof` when the file ends before.
    fn read_at(&self, at: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Owner and group.
    Group,
    /// Everybody: `world-readable`.
    World,
}

/// The file system of this machine. Keeps no file open that it writes: it may be renamed or removed at any time,
/// and rows must not go where nobody finds them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemDisk;

impl Held for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

impl Disk for SystemDisk {
    type Held = File;

    fn hold(&self, path: &Path) -> io::Result<Option<File>> {
        absent_is_none(File::open(path))
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        absent_is_none(fs::metadata(path).map(|m| m.len()))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        absent_is_none(fs::read(path))
    }

    fn create(&mut self, path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
        let directory = parent(path);
        fs::create_dir_all(directory)?;
        let is_new = !path.try_exists()?;
        let bits = match mode {
            Mode::Group => 0o640,
            Mode::World => 0o644,
        };
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(bits).open(path)?;
        file.write_all(content)?;
        if mode == Mode::World {
            // The process's umask does not decide what the configuration does.
            file.set_permissions(fs::Permissions::from_mode(bits))?;
        }
        file.sync_all()?;
        if is_new { sync_directory(directory) } else { Ok(()) }
    }

    fn write_at(&mut self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() < at {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.set_len(at)?;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        // Checked first, so that `NotFound` means this file and not the directory.
        fs::metadata(from)?;
        fs::create_dir_all(parent(to))?;
        fs::rename(from, to)?;
        sync_directory(parent(to))?;
        sync_directory(parent(from))
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        absent_is_none(fs::remove_file(path)).map(|_| ())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<(String, Timestamp)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let since = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH);
            let millis = u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
            found.push((entry.file_name().to_string_lossy().into_owned(), Timestamp(millis)));
        }
        Ok(found)
    }
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
