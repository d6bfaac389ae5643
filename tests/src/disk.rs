//! A file system of its own for a node, small enough to be filled.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A file system in memory; it is unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of so many MiB on a directory.
    ///
    /// # Errors
    ///
    /// When it cannot be mounted; that takes root.
    pub fn mount(path: &Path, mib: u32) -> Result<Self> {
        let size = format!("size={mib}m");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "chaos"])
            .arg(path)
            .output()
            .context("there is no mount program")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { path: path.to_owned() })
    }

    /// Takes all the room that is left.
    ///
    /// # Errors
    ///
    /// When writing fails for another reason.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        // The last pieces are small, so that really nothing is left.
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0; size];
            loop {
                match ballast.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    ///
    /// When the file cannot be removed.
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

/// Unmounts what a killed process left mounted below a directory.
pub fn sweep(directory: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    points.filter(|point| point.starts_with(directory)).for_each(unmount);
}

fn unmount(path: &Path) {
    // Lazily: a process that was just killed may still hold a file.
    let _ = Command::new("umount").arg("-l").arg(path).output();
}
