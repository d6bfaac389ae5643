//! Slow disks, failing syncs, power cuts and clocks that jump: a library that is loaded into a node
//! before all others (`shim.c`), and the files by which it is told what to do.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const SOURCE: &str = include_str!("shim.c");

/// Places of the values in the control file.
const DELAY: u64 = 0;
const FAILURES: u64 = 8;
const WALL: u64 = 16;
const CONTROL: usize = 24;

/// Names in a node's directory that are the harness's own, or logs for people.
const OURS: [&str; 6] =
    ["config", "stderr", "mtad.log", "mtad.sock", "chaos-control", "chaos-synced"];

/// The built library.
#[derive(Clone, Debug)]
pub struct Shim {
    library: PathBuf,
}

impl Shim {
    /// Builds the library with the system's C compiler.
    ///
    /// # Errors
    ///
    /// When there is no compiler, or it complains.
    pub fn build(directory: &Path) -> Result<Self> {
        let (source, library) = (directory.join("shim.c"), directory.join("shim.so"));
        fs::write(&source, SOURCE)?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .context("there is no C compiler")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { library })
    }

    /// The environment of a node in `directory` that lets the library in.
    ///
    /// # Errors
    ///
    /// When the control file cannot be written.
    pub fn environment(&self, directory: &Path) -> Result<Vec<(String, String)>> {
        let control = directory.join("chaos-control");
        if !control.exists() {
            fs::write(&control, [0; CONTROL])?;
        }
        let pairs = [
            ("LD_PRELOAD", self.library.clone()),
            ("CHAOS_CONTROL", control),
            ("CHAOS_SYNCED", directory.join("chaos-synced")),
        ];
        Ok(pairs.map(|(name, path)| (name.to_owned(), path.display().to_string())).to_vec())
    }
}

/// Control over the disk and the clock of a node that was started with the library.
#[derive(Debug)]
pub struct Control {
    file: File,
}

impl Control {
    /// Of the node in `directory`.
    ///
    /// # Errors
    ///
    /// When it was not started with the library.
    pub fn of(directory: &Path) -> Result<Self> {
        let path = directory.join("chaos-control");
        let file = File::options().write(true).open(path).context("the node has no library")?;
        Ok(Self { file })
    }

    /// From now on every sync takes so much longer.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn slow(&self, delay: Duration) -> Result<()> {
        let micros = u64::try_from(delay.as_micros())?;
        Ok(self.file.write_all_at(&micros.to_ne_bytes(), DELAY)?)
    }

    /// So many of the next syncs fail with an input/output error.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn fail(&self, syncs: u64) -> Result<()> {
        Ok(self.file.write_all_at(&syncs.to_ne_bytes(), FAILURES)?)
    }

    /// The wall clock is off by so many milliseconds; the monotonic clock goes on as before.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn shift_wall(&self, ms: i64) -> Result<()> {
        Ok(self.file.write_all_at(&ms.to_ne_bytes(), WALL)?)
    }
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Files that became shorter.
    pub files: usize,
    /// Bytes that are gone.
    pub bytes: u64,
}

/// Cuts every file of a node that has ended to what it had synced.
///
/// # Errors
///
/// When a file cannot be read or cut.
pub fn cut_power(directory: &Path) -> Result<Loss> {
    let log = fs::read(directory.join("chaos-synced")).context("the node has no library")?;
    let mut synced = HashMap::new();
    for record in log.as_chunks::<24>().0 {
        let word = |n: usize| record[n * 8..].first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
        synced.insert((word(0), word(1)), word(2));
    }
    let mut loss = Loss::default();
    cut_below(directory, &synced, &mut loss)?;
    Ok(loss)
}

fn cut_below(directory: &Path, synced: &HashMap<(u64, u64), u64>, loss: &mut Loss) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let ours = OURS.iter().any(|name| entry.file_name() == *name);
        if meta.is_dir() {
            cut_below(&entry.path(), synced, loss)?;
        } else if meta.is_file() && !ours {
            let kept = synced.get(&(meta.dev(), meta.ino())).copied().unwrap_or(0);
            if meta.len() > kept {
                loss.files += 1;
                loss.bytes += meta.len() - kept;
                File::options().write(true).open(entry.path())?.set_len(kept)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell is no node, but it has a disk and a clock too.
    fn shell(shim: &Shim, directory: &Path, script: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", script])
            .envs(shim.environment(directory).unwrap())
            .current_dir(directory)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn what_was_not_synced_is_gone_after_a_power_cut() {
        let directory = tempfile::tempdir().unwrap();
        let build = tempfile::tempdir().unwrap();
        let shim = Shim::build(build.path()).unwrap();
        let path = directory.path();
        let script = "printf one > a; sync a; printf two >> a; printf b > b; printf c > config";
        shell(&shim, path, script);
        assert_eq!(cut_power(path).unwrap(), Loss { files: 2, bytes: 4 });
        assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "one");
        assert_eq!(fs::read_to_string(path.join("b")).unwrap(), "");
        assert_eq!(fs::read_to_string(path.join("config")).unwrap(), "c");
    }

    #[test]
    fn syncs_fail_and_clocks_jump_as_told() {
        let directory = tempfile::tempdir().unwrap();
        let build = tempfile::tempdir().unwrap();
        let shim = Shim::build(build.path()).unwrap();
        let path = directory.path();
        shim.environment(path).unwrap();
        let control = Control::of(path).unwrap();
        control.fail(1).unwrap();
        control.shift_wall(-86_400_000 * 365).unwrap();
        let script = "printf a > a; sync a 2>&- || echo fails; sync a && echo works; date +%Y";
        let said = shell(&shim, path, script);
        let years = said.strip_prefix("fails\nworks\n").unwrap().trim().parse::<u32>().unwrap();
        let now = shell(&shim, build.path(), "date +%Y").trim().parse::<u32>().unwrap();
        assert_eq!(years, now - 1);
    }
}
