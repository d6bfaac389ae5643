//! Taking up the files of a snapshot.
//!
//! The old ledger announces the new names, so that a start after a crash removes them; then the
//! files get their names; then the ledger of the snapshot replaces the old one, and only after that
//! the store's state does. A crash before the ledger is written leaves the old files, each with
//! perhaps more bytes than the old ledger tells, which a start cuts off; a crash after it leaves
//! the new ones, ahead of the state.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use tracing::{error, info, warn};

use super::{Archive, output, report_interference};
use crate::accounting::cargo::{self, Item};
use crate::accounting::disk::{Disk, Held};
use crate::accounting::wire;
use crate::queue::machine::MachineError;

/// Bytes of two files that are compared at a time.
const COMPARE_BYTES: usize = 1 << 20;

impl<D: Disk> Archive<D> {
    /// Puts received files in the place of the own ones. Does nothing when none were received.
    pub(crate) fn install(&mut self) -> Result<(), MachineError> {
        let place = self.place.clone();
        let received =
            self.insist("read a received accounting ledger", |disk| cargo::load(disk, &place))?;
        let Some(received) = received else { return Ok(()) };
        let same_log = self.ledger.founding == received.founding;
        if !same_log || self.ledger.applied < received.applied {
            self.repair()?;
            self.replace(received, same_log)?;
        }
        self.insist("remove what is left of a snapshot", |disk| cargo::discard(disk, &place))?;
        info!("Took up the accounting files of a snapshot.");
        Ok(())
    }

    fn replace(&mut self, received: wire::Ledger, same_log: bool) -> Result<(), MachineError> {
        let items = cargo::items(&received, &self.place.base);
        let own: HashSet<PathBuf> = if same_log {
            cargo::items(&self.ledger, &self.place.base).into_iter().map(|i| i.path).collect()
        } else {
            HashSet::new()
        };
        let mut announced = self.ledger.clone();
        for item in items.iter().filter(|item| !own.contains(&item.path)) {
            self.insist("look at an accounting file", |disk| make_room(disk, item))?;
            output::series(&mut announced, &item.series).begun.push(item.name.clone());
        }
        self.commit(announced)?;
        for item in &items {
            self.insist("take up an accounting file", |disk| put_in_place(disk, item))?;
        }
        let next = merged(&self.ledger, received, same_log);
        self.commit(next)
    }

    /// What arrived before a crash and was not installed is of no use: it comes again.
    pub(super) fn discard_received(&mut self) {
        if let Err(e) = cargo::discard(&mut self.disk, &self.place) {
            error!("Error removing accounting files of a snapshot: {e}");
        }
    }
}

/// A file that no ledger of this log names may be from an earlier life of this node, and then it
/// begins like the received one. Anything else keeps its bytes under another name.
fn make_room(disk: &mut impl Disk, item: &Item) -> io::Result<()> {
    let (Some(there), Some(received)) = (disk.hold(&item.path)?, disk.hold(&item.staged)?) else {
        return Ok(());
    };
    if same_beginning(&there, &received)? {
        return Ok(());
    }
    let mut number = 1;
    let other = loop {
        let other = item.path.with_file_name(format!("{}.other-{number}", item.name));
        if disk.length(&other)?.is_none() {
            break other;
        }
        number += 1;
    };
    warn!("{} is not of this cluster: {}.", item.path.display(), other.display());
    disk.rename(&item.path, &other)
}

/// Is the shorter file what the longer one begins with?
fn same_beginning(one: &impl Held, other: &impl Held) -> io::Result<bool> {
    let end = one.length()?.min(other.length()?);
    let mut at = 0;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(COMPARE_BYTES);
        if one.read_at(at, length)? != other.read_at(at, length)? {
            return Ok(false);
        }
        at += length as u64;
    }
    Ok(true)
}

fn put_in_place(disk: &mut impl Disk, item: &Item) -> io::Result<()> {
    match disk.rename(&item.staged, &item.path) {
        // An earlier try has done it, or somebody removed it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if disk.length(&item.path)? != Some(item.length_bytes) {
                report_interference(&item.path);
            }
            Ok(())
        }
        result => result,
    }
}

/// The received ledger, with what only this node knows: finished files that it could not move yet,
/// and files whose rest it will not get, since they were moved where the snapshot comes from.
fn merged(own: &wire::Ledger, received: wire::Ledger, same_log: bool) -> wire::Ledger {
    let mut next = received;
    if !same_log {
        return next;
    }
    for old in &own.series {
        let mut lost = old.abandoned.clone();
        let mut waiting = old.finished.clone();
        if let Some(new) = next.series.iter().find(|new| new.path == old.path) {
            waiting.retain(|file| !names(new, &file.name));
            lost.extend(old.open.iter().map(|o| &o.name).filter(|n| !names(new, n)).cloned());
        } else {
            lost.extend(old.open.iter().map(|open| open.name.clone()));
        }
        if !(waiting.is_empty() && lost.is_empty()) {
            let new = output::series(&mut next, &old.path);
            new.finished.splice(0..0, waiting);
            new.abandoned.extend(lost);
        }
    }
    next
}

fn names(series: &wire::Series, name: &str) -> bool {
    let mut finished = series.finished.iter().chain(&series.closed);
    series.open.as_ref().is_some_and(|open| open.name == name)
        || finished.any(|file| file.name == name)
}
