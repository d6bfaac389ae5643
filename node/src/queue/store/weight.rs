//! How many bytes the entries of a log take on disk, roughly.

use std::collections::VecDeque;
use std::ops::Range;

use convoy_proto::storage as proto;

use super::database::{Database, Family, decode};
use super::{StoreError, keys};
use crate::id::GroupId;

/// Entries between two marks.
const STEP: u64 = 16;
/// Records that are looked at to estimate the log that a start finds.
const SAMPLES: u64 = 64;

/// Bytes of the log: a mark now and then, so that it stays small.
#[derive(Default)]
pub(super) struct Weight {
    /// Entries before `index` take `bytes`, counted from some entry long ago.
    marks: VecDeque<Mark>,
    bytes: u64,
}

struct Mark {
    index: u64,
    bytes: u64,
}

impl Weight {
    /// Estimates the entries of `range` by samples. Blocks.
    pub(super) fn estimate(
        group: GroupId,
        database: &Database,
        range: Range<u64>,
    ) -> Result<Self, StoreError> {
        let mut weight = Self::default();
        let count = range.end.saturating_sub(range.start);
        let (mut samples, mut sum) = (0, 0);
        for number in 0..SAMPLES.min(count) {
            let index = range.start + number * count / SAMPLES.min(count);
            if let Some(record) = database.get(Family::Log, &keys::log(group, index))? {
                samples += 1;
                sum += record.len() as u64 + body_bytes(&decode(&record)?);
            }
        }
        let average = sum.checked_div(samples).unwrap_or(0);
        for index in range {
            weight.add(index, average);
        }
        Ok(weight)
    }

    /// Counts an entry.
    pub(super) fn add(&mut self, index: u64, bytes: u64) {
        // After a truncation the same indexes come again.
        while self.marks.back().is_some_and(|mark| mark.index > index) {
            self.marks.pop_back();
        }
        if self.marks.back().is_none_or(|mark| mark.index + STEP <= index) {
            self.marks.push_back(Mark { index, bytes: self.bytes });
        }
        self.bytes += bytes;
    }

    /// Forgets entries up to `upto`.
    pub(super) fn purge(&mut self, upto: u64) {
        while self.marks.get(1).is_some_and(|mark| mark.index <= upto + 1) {
            self.marks.pop_front();
        }
    }

    /// The last entry to purge, so that the rest takes about `limit_bytes`; `None` when all of it
    /// does.
    pub(super) fn beyond(&self, limit_bytes: u64) -> Option<u64> {
        let kept = |mark: &Mark| self.bytes - mark.bytes;
        if self.marks.front().is_none_or(|mark| kept(mark) <= limit_bytes) {
            return None;
        }
        let first_kept = self.marks.iter().find(|mark| kept(mark) <= limit_bytes);
        let first_kept = first_kept.or_else(|| self.marks.back())?;
        first_kept.index.checked_sub(1)
    }
}

fn body_bytes(record: &proto::LogRecord) -> u64 {
    use proto::log_record::Payload;
    match &record.payload {
        Some(Payload::Normal(normal)) => normal.bodies.iter().map(|b| b.size_bytes).sum(),
        Some(Payload::Blank(_) | Payload::Membership(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_are_beyond_the_limit() {
        let mut weight = Weight::default();
        for index in 1..=10 * STEP {
            weight.add(index, 10);
        }
        let check = |weight: &Weight, limit, expected| {
            assert_eq!(weight.beyond(limit), expected, "{limit}");
        };
        check(&weight, 10 * 10 * STEP, None);
        check(&weight, 9 * 10 * STEP, Some(STEP));
        check(&weight, 5 * 10 * STEP, Some(5 * STEP));
        // The last mark is never passed.
        check(&weight, 0, Some(9 * STEP));
        weight.purge(5 * STEP);
        check(&weight, 5 * 10 * STEP, None);
        check(&weight, 4 * 10 * STEP, Some(6 * STEP));
    }
}
