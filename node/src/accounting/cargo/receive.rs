//! Files of a snapshot on their way in.

use std::collections::HashMap;
use std::io;

use prost::Message as _;
use tracing::warn;

use super::{Item, LEDGER, discard, incoming, io_error, items};
use crate::accounting::archive::Place;
use crate::accounting::disk::{Disk, Mode};
use crate::accounting::ledger;
use crate::accounting::naming::Naming;
use crate::accounting::wire;
use crate::queue::machine::{FilePart, MachineError, ReceivedFiles};

/// Far more than a ledger has.
const LEDGER_BYTES_MAX: usize = 16 << 20;

/// Files as they arrive. Dropping it removes what was not installed.
pub(super) struct Received<D: Disk> {
    disk: D,
    place: Place,
    arriving: Arriving,
}

enum Arriving {
    /// What has come of the ledger.
    Ledger(Vec<u8>),
    /// The files that it names, and how much of each has come.
    Files(HashMap<String, (Item, u64)>),
}

impl<D: Disk> Received<D> {
    pub(super) fn begin(mut disk: D, place: Place) -> io::Result<Self> {
        discard(&mut disk, &place)?;
        Ok(Self { disk, place, arriving: Arriving::Ledger(Vec::new()) })
    }

    /// The ledger has come. It is kept first, so that a start knows what to remove.
    fn expect_files(&mut self, bytes: &[u8]) -> Result<(), MachineError> {
        let ledger = wire::Ledger::decode(bytes)
            .map_err(|e| wrong(format!("the accounting ledger of a snapshot: {e}")))?;
        for one in &ledger.series {
            let naming = Naming::new(&self.place.base, &one.path);
            let finished = one.finished.iter().chain(&one.closed).map(|file| &file.name);
            let mut names = finished.chain(one.open.iter().map(|open| &open.name));
            if let Some(name) = names.find(|name| !naming.owns(name)) {
                return Err(wrong(format!("{name:?} is no accounting file of {}", one.path)));
            }
        }
        let path = incoming(&self.place);
        let encoded = ledger::encode(0, &ledger);
        self.disk.create(&path, &encoded, Mode::Group).map_err(io_error)?;
        let files = items(&ledger, &self.place.base);
        let files = files.into_iter().map(|item| (item.key.clone(), (item, 0))).collect();
        self.arriving = Arriving::Files(files);
        Ok(())
    }

    fn write_file(&mut self, part: &FilePart) -> Result<(), MachineError> {
        let Arriving::Files(files) = &mut self.arriving else {
            return Err(wrong("an accounting file before its ledger".to_owned()));
        };
        let Some((item, written)) = files.get_mut(&part.name) else {
            return Err(wrong(format!("the ledger does not name {:?}", part.name)));
        };
        let end = part.offset + part.bytes.len() as u64;
        if part.offset != *written || end > item.length_bytes {
            return Err(wrong(format!("bytes {} to {end} of {:?}", part.offset, part.name)));
        }
        if part.offset == 0 {
            self.disk.create(&item.staged, &part.bytes, item.mode).map_err(io_error)?;
        } else {
            self.disk.write_at(&item.staged, part.offset, &part.bytes).map_err(io_error)?;
        }
        *written = end;
        Ok(())
    }
}

impl<D: Disk> ReceivedFiles for Received<D> {
    fn write(&mut self, part: &FilePart) -> Result<(), MachineError> {
        match &mut self.arriving {
            Arriving::Ledger(bytes) if part.name == LEDGER => {
                let room = bytes.len() + part.bytes.len() <= LEDGER_BYTES_MAX;
                if part.offset != bytes.len() as u64 || !room {
                    return Err(wrong("the accounting ledger does not come in order".to_owned()));
                }
                bytes.extend_from_slice(&part.bytes);
                Ok(())
            }
            Arriving::Ledger(bytes) => {
                let bytes = std::mem::take(bytes);
                self.expect_files(&bytes)?;
                self.write_file(part)
            }
            Arriving::Files(_) => self.write_file(part),
        }
    }

    fn complete(&mut self) -> Result<(), MachineError> {
        if let Arriving::Ledger(bytes) = &mut self.arriving {
            let bytes = std::mem::take(bytes);
            if bytes.is_empty() {
                return Ok(());
            }
            self.expect_files(&bytes)?;
        }
        let Arriving::Files(files) = &self.arriving else { return Ok(()) };
        for (item, written) in files.values() {
            let there = self.disk.length(&item.staged).map_err(io_error)?;
            if *written != item.length_bytes || there != Some(*written) {
                return Err(wrong(format!("{:?} has not come wholly", item.name)));
            }
        }
        Ok(())
    }
}

impl<D: Disk> Drop for Received<D> {
    fn drop(&mut self) {
        // Nothing is left when they were installed.
        if let Err(e) = discard(&mut self.disk, &self.place) {
            warn!("Error removing accounting files of a snapshot: {e}");
        }
    }
}

const fn wrong(what: String) -> MachineError {
    MachineError::Inconsistent(what)
}
