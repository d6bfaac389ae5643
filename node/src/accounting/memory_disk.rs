//! A file system in memory that can lose power in the middle of any change, for tests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use super::disk::{Disk, Held, Mode};
use crate::clock::Timestamp;

/// A handle; clones share the files.
#[derive(Clone, Debug)]
pub(crate) struct MemoryDisk(Arc<Mutex<Content>>);

#[derive(Debug)]
struct Content {
    files: BTreeMap<PathBuf, Vec<u8>>,
    random: Xoshiro256PlusPlus,
    /// Changes until the power fails; none when it does not.
    left: Option<u64>,
    /// The power has failed.
    dark: bool,
}

impl MemoryDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Content {
            files: BTreeMap::new(),
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            left: None,
            dark: false,
        })))
    }

    /// Lets the power fail in the middle of a change after `changes` more of them.
    pub(crate) fn fail_after(&self, changes: u64) {
        self.0.lock().left = Some(changes);
    }

    /// The power is back. Says whether it had failed.
    pub(crate) fn restart(&self) -> bool {
        let mut content = self.0.lock();
        content.left = None;
        std::mem::take(&mut content.dark)
    }

    /// Another one with the same files.
    pub(crate) fn copy(&self, seed: u64) -> Self {
        let copy = Self::new(seed);
        copy.0.lock().files = self.files();
        copy
    }

    /// All files.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.0.lock().files.clone()
    }
}

impl Content {
    /// True when the power fails in the middle of it.
    fn fails_now(&mut self) -> io::Result<bool> {
        self.lit()?;
        match &mut self.left {
            Some(0) => {
                self.dark = true;
                Ok(true)
            }
            Some(left) => {
                *left -= 1;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    fn lit(&self) -> io::Result<()> {
        if self.dark { Err(io::Error::other("the power has failed")) } else { Ok(()) }
    }

    /// What is left of bytes whose write was interrupted: some of them, perhaps followed by a hole.
    fn torn(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut left = bytes[..self.random.random_range(0..=bytes.len())].to_vec();
        if self.random.random_bool(0.2) {
            left.resize(bytes.len(), 0);
        }
        left
    }
}

fn power_fails<T>() -> io::Result<T> {
    Err(io::Error::other("the power fails"))
}

impl Held for Vec<u8> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let at = usize::try_from(at).expect("test files are small");
        let bytes = self.get(at..at + length).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(bytes.to_vec())
    }
}

impl Disk for MemoryDisk {
    type Held = Vec<u8>;

    fn hold(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.read(path)
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        let content = self.0.lock();
        content.lit()?;
        Ok(content.files.get(path).map(|bytes| bytes.len() as u64))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let content = self.0.lock();
        content.lit()?;
        Ok(content.files.get(path).cloned())
    }

    fn create(&mut self, path: &Path, bytes: &[u8], _: Mode) -> io::Result<()> {
        let mut content = self.0.lock();
        if content.fails_now()? {
            if content.random.random_bool(0.7) {
                let torn = content.torn(bytes);
                content.files.insert(path.to_owned(), torn);
            }
            return power_fails();
        }
        content.files.insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn write_at(&mut self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.0.lock();
        let fails = content.fails_now()?;
        let torn = if fails { content.torn(bytes) } else { bytes.to_vec() };
        let file = content.files.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        let at = usize::try_from(at).expect("test files are small");
        if file.len() < at {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.truncate(at);
        file.extend(torn);
        if fails { power_fails() } else { Ok(()) }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut content = self.0.lock();
        content.lit()?;
        if !content.files.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fails = content.fails_now()?;
        if !fails || content.random.random_bool(0.5) {
            let bytes = content.files.remove(from).expect("it has just been there");
            content.files.insert(to.to_owned(), bytes);
        }
        if fails { power_fails() } else { Ok(()) }
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let mut content = self.0.lock();
        let fails = content.fails_now()?;
        if !fails || content.random.random_bool(0.5) {
            content.files.remove(path);
        }
        if fails { power_fails() } else { Ok(()) }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<(String, Timestamp)>> {
        let content = self.0.lock();
        content.lit()?;
        let inside = content.files.keys().filter(|path| path.parent() == Some(directory));
        let names = inside.filter_map(|path| path.file_name());
        Ok(names.map(|n| (n.to_string_lossy().into_owned(), Timestamp(u64::MAX))).collect())
    }
}
