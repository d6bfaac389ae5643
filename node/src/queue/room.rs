//! How much may still be accepted before the disk is full.
//!
//! The disk is looked at once a second; between two looks each message counts against what was
//! free. What the store has to write yet, and the reports on what is queued already, keep their
//! room, so that a full disk answers `452` and never fails a write.

use std::sync::atomic::{AtomicI64, Ordering};

/// Room that is always left: outcomes, accounting rows and compaction go on when nothing is
/// accepted.
const RESERVE_BYTES: u64 = 16 << 20;
/// Envelope and keys of a message, roughly.
const ENVELOPE_BYTES: u64 = 4096;
/// A message is in the write-ahead log, and once more in the file that its buffer becomes.
const COPIES: u64 = 2;

/// Bytes that may be accepted until the next look.
pub(super) struct Room {
    min_free_bytes: u64,
    left: AtomicI64,
    /// Of messages that are being stored: a look does not know whether they are on the disk.
    pending: AtomicI64,
}

/// The room of a message that is being stored.
pub(super) struct Taken<'a> {
    room: &'a Room,
    bytes: i64,
}

impl Room {
    /// Plenty, until somebody looks. Less than `min_free_bytes` free is no room at all.
    pub(super) const fn new(min_free_bytes: u64) -> Self {
        Self { min_free_bytes, left: AtomicI64::new(i64::MAX), pending: AtomicI64::new(0) }
    }

    /// Notes what is free, and what the store has to write yet; false when nothing may be
    /// accepted.
    pub(super) fn measured(&self, free_bytes: u64, unwritten_bytes: u64) -> bool {
        let kept = self.min_free_bytes.max(unwritten_bytes.saturating_add(RESERVE_BYTES));
        let left = signed(free_bytes).saturating_sub(signed(kept));
        let left = left.saturating_sub(self.pending.load(Ordering::Acquire));
        self.left.store(left, Ordering::Release);
        left > 0
    }

    /// Room for a message; none when the disk would be full.
    pub(super) fn take(&self, size_bytes: usize) -> Option<Taken<'_>> {
        let bytes = signed((size_bytes as u64).saturating_add(ENVELOPE_BYTES) * COPIES);
        let enough = |left: i64| (left >= bytes).then(|| left - bytes);
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, enough).ok()?;
        self.pending.fetch_add(bytes, Ordering::AcqRel);
        Some(Taken { room: self, bytes })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.room.pending.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn room_is_kept_for_what_the_store_must_write() {
        let check = |min_free: u64, free: u64, unwritten: u64, expected: bool| {
            let room = Room::new(min_free * MIB);
            let enough = room.measured(free * MIB, unwritten * MIB);
            assert_eq!(enough, expected, "{min_free} {free} {unwritten}");
        };
        check(0, 17, 0, true);
        check(0, 16, 0, false);
        check(0, 40, 30, false);
        check(0, 47, 30, true);
        check(100, 99, 0, false);
        check(100, 101, 0, true);
        check(u64::MAX >> 20, 1 << 40, 0, false);
    }

    #[test]
    fn messages_between_two_looks_count() {
        let room = Room::new(0);
        assert!(room.take(1 << 30).is_some(), "nobody has looked yet");
        room.measured(20 * MIB, 0);
        let first = room.take(1 << 20).unwrap();
        assert!(room.take(1 << 20).is_none(), "4 MiB hold one message and its copy, not two");
        assert!(!room.measured(18 * MIB, 0), "the first may be on the disk or not");
        drop(first);
        assert!(room.measured(18 * MIB, 0));
    }
}
