//! The accounting files in snapshots of their group: what one replica sends, and how another one
//! receives it.
//!
//! The ledger goes first: it tells which files follow and how long they are. They are those being
//! written, those that wait for being moved, and the newest of those that stay where they are. What
//! was moved before is not sent again. Received files lie beside the ones that they will replace,
//! under names of their own, so that taking them up is renaming (`archive/install.rs`).

mod receive;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;

use super::archive::Place;
use super::disk::{Disk, Held, Mode};
use super::ledger;
use super::naming::Naming;
use super::wire;
use crate::queue::machine::{FilePart, Files, HeldFiles, MachineError, ReceivedFiles};
use receive::Received;

/// The name of the ledger among the files of a snapshot; those of the others have a slash.
const LEDGER: &str = "ledger";
/// Files that one snapshot holds. Older ones are left out.
const HELD_MAX: usize = 256;
/// How often to look again at files that are being renamed.
const HOLD_TRIES: usize = 10;

/// The files of a replica, as snapshots see them.
pub(crate) struct Cargo<D> {
    disk: D,
    place: Place,
    ledger: Arc<Mutex<wire::Ledger>>,
}

/// One file of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Its name in the snapshot.
    pub key: String,
    /// The configured path of its series.
    pub series: String,
    pub name: String,
    /// Where it belongs.
    pub path: PathBuf,
    /// Where it waits until all files are there.
    pub staged: PathBuf,
    pub length_bytes: u64,
    pub mode: Mode,
}

/// The files that go with a ledger.
pub(crate) fn items(ledger: &wire::Ledger, base: &Path) -> Vec<Item> {
    let mut items = Vec::new();
    for (number, one) in ledger.series.iter().enumerate() {
        let directory = Naming::new(base, &one.path).directory;
        let open = one.open.iter().map(|open| (&open.name, open.length_bytes));
        let finished = one.finished.iter().chain(&one.closed);
        let all = open.chain(finished.map(|file| (&file.name, file.length_bytes)));
        items.extend(all.map(|(name, length_bytes)| Item {
            key: key(number, name),
            series: one.path.clone(),
            name: name.clone(),
            path: directory.join(name),
            staged: directory.join(format!(".{name}.incoming")),
            length_bytes,
            mode: if one.world_readable { Mode::World } else { Mode::Group },
        }));
    }
    items
}

/// Files of two series may have the same name, in different directories.
fn key(series: usize, name: &str) -> String {
    format!("{series}/{name}")
}

/// Where the ledger of a snapshot waits until it is installed.
fn incoming(place: &Place) -> PathBuf {
    place.ledger.join("incoming")
}

/// The ledger of a snapshot that has arrived, if there is one.
pub(crate) fn load(disk: &impl Disk, place: &Place) -> io::Result<Option<wire::Ledger>> {
    let bytes = disk.read(&incoming(place))?;
    Ok(bytes.and_then(|bytes| ledger::decode(&bytes)).map(|(_, ledger)| ledger))
}

/// Removes what has arrived and was not installed.
pub(crate) fn discard(disk: &mut impl Disk, place: &Place) -> io::Result<()> {
    // A ledger that is not whole was to come before any file.
    for item in load(disk, place)?.iter().flat_map(|ledger| items(ledger, &place.base)) {
        disk.remove(&item.staged)?;
    }
    disk.remove(&incoming(place))
}

impl<D: Disk> Cargo<D> {
    /// `ledger` is what the archive has on stable storage.
    pub(crate) const fn new(disk: D, place: Place, ledger: Arc<Mutex<wire::Ledger>>) -> Self {
        Self { disk, place, ledger }
    }

    /// Takes hold of all files of a ledger. Says also whether those being written are all there.
    fn take(&self, mut ledger: wire::Ledger) -> io::Result<(Cases<D::Held>, bool)> {
        let mut whole = true;
        let mut cases = VecDeque::new();
        for (number, one) in ledger.series.iter_mut().enumerate() {
            let directory = Naming::new(&self.place.base, &one.path).directory;
            let mut pack = |name: &str, length: &mut u64| -> io::Result<bool> {
                if cases.len() >= HELD_MAX {
                    return Ok(false);
                }
                let Some(file) = self.disk.hold(&directory.join(name))? else { return Ok(false) };
                let there = file.length()?;
                if *length == 0 {
                    *length = there;
                }
                if there < *length {
                    return Ok(false);
                }
                let content = Content::File(file);
                let key = key(number, name);
                cases.push_back(Case { key, content, sent_bytes: 0, length_bytes: *length });
                Ok(true)
            };
            if let Some(open) = &mut one.open
                && !pack(&open.name, &mut open.length_bytes)?
            {
                whole = false;
                one.open = None;
            }
            for list in [&mut one.finished, &mut one.closed] {
                let mut kept = VecDeque::new();
                for mut file in std::mem::take(list).into_iter().rev() {
                    if pack(&file.name, &mut file.length_bytes)? {
                        kept.push_front(file);
                    }
                }
                *list = kept.into();
            }
            one.begun.clear();
            one.abandoned.clear();
        }
        let ledger = Bytes::from(ledger.encode_to_vec());
        let length_bytes = ledger.len() as u64;
        let content = Content::Ledger(ledger);
        cases.push_front(Case { key: LEDGER.to_owned(), content, sent_bytes: 0, length_bytes });
        Ok((Cases(cases), whole))
    }
}

impl<D: Disk> Files for Cargo<D> {
    fn hold(&self) -> Result<Box<dyn HeldFiles>, MachineError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let ledger = self.ledger.lock().clone();
            let (cases, whole) = self.take(ledger.clone()).map_err(io_error)?;
            // A file that is not where the ledger says has just been finished and moved, which the
            // ledger then knows; or somebody else removed it, and rows go to a new one soon.
            if whole || tries == HOLD_TRIES || *self.ledger.lock() == ledger {
                return Ok(Box::new(cases));
            }
        }
    }

    fn receive(&self) -> Result<Box<dyn ReceivedFiles>, MachineError> {
        let received = Received::begin(self.disk.clone(), self.place.clone()).map_err(io_error)?;
        Ok(Box::new(received))
    }
}

fn io_error(source: io::Error) -> MachineError {
    MachineError::Io { context: "accounting files of a snapshot".to_owned(), source }
}

/// Files on their way out, in the order in which they go.
struct Cases<H>(VecDeque<Case<H>>);

struct Case<H> {
    key: String,
    content: Content<H>,
    sent_bytes: u64,
    /// No more than this is sent, however the file grows.
    length_bytes: u64,
}

enum Content<H> {
    Ledger(Bytes),
    File(H),
}

impl<H: Held> Content<H> {
    fn read_at(&self, at: u64, length: usize) -> io::Result<Bytes> {
        match self {
            Self::File(file) => file.read_at(at, length).map(Bytes::from),
            Self::Ledger(bytes) => {
                let at = usize::try_from(at).map_err(|_| io::ErrorKind::UnexpectedEof)?;
                Ok(bytes.slice(at..at + length))
            }
        }
    }
}

impl<H: Held> HeldFiles for Cases<H> {
    fn next_part(&mut self, limit: usize) -> Result<Option<FilePart>, MachineError> {
        let Some(case) = self.0.front_mut() else { return Ok(None) };
        let left = case.length_bytes - case.sent_bytes;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(limit);
        let bytes = case.content.read_at(case.sent_bytes, length).map_err(io_error)?;
        let part = FilePart { name: case.key.clone(), offset: case.sent_bytes, bytes };
        case.sent_bytes += length as u64;
        if case.sent_bytes == case.length_bytes {
            self.0.pop_front();
        }
        Ok(Some(part))
    }
}

#[cfg(test)]
#[path = "cargo_test.rs"]
mod tests;
