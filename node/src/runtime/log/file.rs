//! The file that lines go to, and its predecessors `log.1` … `log.N`. Time is an argument.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::LogSettings;
use crate::clock::Timestamp;

/// An open log.
pub(super) struct Target {
    settings: LogSettings,
    sink: Sink,
    /// The day of the lines in the file.
    day: Date,
    /// The second whose text is in `stamp`.
    stamped: u64,
    stamp: String,
}

enum Sink {
    File(BufWriter<File>),
    StandardError,
}

impl Target {
    /// Opens the log. A file that was last written on an earlier day is rotated at the first line.
    pub(super) fn open(settings: LogSettings, now: Timestamp) -> io::Result<Self> {
        let today = now.local().date();
        let (sink, day) = match &settings.path {
            None => (Sink::StandardError, today),
            Some(path) => {
                let day = last_written(path).unwrap_or(today);
                (Sink::File(open(path, settings.world_readable)?), day)
            }
        };
        Ok(Self { settings, sink, day, stamped: u64::MAX, stamp: String::new() })
    }

    /// Writes one line; it may stay in a buffer until [`Self::flush`].
    pub(super) fn write(&mut self, at: Timestamp, text: &str) -> io::Result<()> {
        if self.stamped != at.as_secs() {
            self.stamped = at.as_secs();
            self.stamp = at.local().strftime("%Y-%m-%d %H:%M:%S").to_string();
        }
        match &mut self.sink {
            Sink::File(file) => writeln!(file, "{} {text}", self.stamp),
            Sink::StandardError => writeln!(io::stderr(), "{} {text}", self.stamp),
        }
    }

    /// Writes what is in the buffer.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::File(file) => file.flush(),
            Sink::StandardError => Ok(()),
        }
    }

    /// Rotates when `now` lies on another day than the lines in the file.
    pub(super) fn rotate_at_midnight(&mut self, now: Timestamp) -> io::Result<()> {
        let today = now.local().date();
        if today <= self.day {
            return Ok(());
        }
        self.day = today;
        if self.settings.at_midnight && self.settings.kept > 0 {
            return self.rotate();
        }
        Ok(())
    }

    /// Begins a new file, whatever the day.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let Some(path) = self.settings.path.clone() else { return Ok(()) };
        self.flush()?;
        shift(&path, self.settings.kept)?;
        self.sink = Sink::File(open(&path, self.settings.world_readable)?);
        Ok(())
    }

    /// Puts new settings to use; on an error nothing changes.
    pub(super) fn configure(&mut self, settings: LogSettings, now: Timestamp) -> io::Result<()> {
        if settings == self.settings {
            return Ok(());
        }
        // A failure to write the old file must not keep the log in it.
        let _lost = self.flush();
        *self = Self::open(settings, now)?;
        Ok(())
    }
}

fn last_written(path: &Path) -> Option<Date> {
    let metadata = std::fs::metadata(path).ok().filter(|m| m.len() > 0)?;
    let age = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp(u64::try_from(age.as_millis()).ok()?).local().date())
}

fn open(path: &Path, world_readable: bool) -> io::Result<BufWriter<File>> {
    let mode = if world_readable { 0o644 } else { 0o640 };
    let told = |error: io::Error| {
        io::Error::new(error.kind(), format!("log-file {}: {error}", path.display()))
    };
    let file = OpenOptions::new().append(true).create(true).mode(mode).open(path).map_err(told)?;
    // A file of another owner is written all the same.
    let _not_ours = file.set_permissions(Permissions::from_mode(mode));
    Ok(BufWriter::with_capacity(64 * 1024, file))
}

/// `path.N` is overwritten by `path.N-1`, and so on down to `path` itself.
fn shift(path: &Path, kept: u32) -> io::Result<()> {
    for number in (1..=kept).rev() {
        let from = if number == 1 { path.to_owned() } else { numbered(path, number - 1) };
        match std::fs::rename(&from, numbered(path, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}
