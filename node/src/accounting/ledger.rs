//! The collector's ledger on disk: two slots written in turn, so that one of them is always whole.

use std::io;
use std::path::PathBuf;

use prost::Message as _;
use tracing::error;

use super::disk::{Disk, Mode};
use super::wire;

/// Sequence number, length of the ledger, checksum of both and the ledger.
const HEAD_BYTES: usize = 16;

/// Where the ledger is kept, and which slot was written last.
#[derive(Debug)]
pub(crate) struct LedgerSlots {
    directory: PathBuf,
    sequence: u64,
}

impl LedgerSlots {
    /// Reads the newer of the two slots that is whole. Without any, the ledger is empty.
    pub(crate) fn load(disk: &impl Disk, directory: PathBuf) -> io::Result<(Self, wire::Ledger)> {
        let mut newest: Option<(u64, wire::Ledger)> = None;
        let mut damaged = 0;
        for slot in 0..2 {
            let path = directory.join(slot_name(slot));
            match disk.read(&path)?.map(|bytes| decode(&bytes)) {
                None => {}
                Some(None) => damaged += 1,
                Some(Some(read)) if newest.as_ref().is_none_or(|n| n.0 < read.0) => {
                    newest = Some(read);
                }
                Some(Some(_)) => {}
            }
        }
        if newest.is_none() && damaged == 2 {
            error!("The accounting ledger in {} cannot be read.", directory.display());
        }
        let (sequence, ledger) = newest.unwrap_or_default();
        Ok((Self { directory, sequence }, ledger))
    }

    /// Writes the ledger over the older slot.
    pub(crate) fn store(&mut self, disk: &mut impl Disk, ledger: &wire::Ledger) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let path = self.directory.join(slot_name(sequence % 2));
        disk.create(&path, &encode(sequence, ledger), Mode::Group)?;
        self.sequence = sequence;
        Ok(())
    }
}

fn slot_name(slot: u64) -> String {
    format!("ledger.{slot}")
}

/// The ledger with its number and a checksum over both.
pub(crate) fn encode(sequence: u64, ledger: &wire::Ledger) -> Vec<u8> {
    let body = ledger.encode_to_vec();
    let length = u32::try_from(body.len()).expect("a ledger is far below 4 GiB");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(checksum(sequence, &body).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// The ledger with its number; nothing when it is not whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<(u64, wire::Ledger)> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let sequence = u64::from_be_bytes(head[..8].try_into().ok()?);
    let length = u32::from_be_bytes(head[8..12].try_into().ok()?);
    let crc = u32::from_be_bytes(head[12..].try_into().ok()?);
    let body = rest.get(..usize::try_from(length).ok()?)?;
    if checksum(sequence, body) != crc {
        return None;
    }
    Some((sequence, wire::Ledger::decode(body).ok()?))
}

fn checksum(sequence: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_be_bytes());
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::super::disk::SystemDisk;
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_ledger_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let place = || directory.path().to_owned();
        let ledger = |applied| wire::Ledger { applied, ..wire::Ledger::default() };
        let (mut slots, empty) = LedgerSlots::load(&SystemDisk, place()).unwrap();
        assert_eq!(empty, wire::Ledger::default());
        for applied in 1..=5 {
            slots.store(&mut SystemDisk, &ledger(applied)).unwrap();
            assert_eq!(LedgerSlots::load(&SystemDisk, place()).unwrap().1, ledger(applied));
        }
        let newest = directory.path().join("ledger.1");
        let whole = std::fs::read(&newest).unwrap();
        for cut in [0, 7, HEAD_BYTES, whole.len() - 1] {
            std::fs::write(&newest, &whole[..cut]).unwrap();
            assert_eq!(LedgerSlots::load(&SystemDisk, place()).unwrap().1, ledger(4), "cut {cut}");
        }
        let mut flipped = whole;
        flipped[0] ^= 1;
        std::fs::write(&newest, &flipped).unwrap();
        assert_eq!(LedgerSlots::load(&SystemDisk, place()).unwrap().1, ledger(4));
    }
}
