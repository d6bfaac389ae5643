//! The log of one group: its end in memory, the rest in the database.
//!
//! An entry can be read as soon as it is appended. It leaves memory only when it is on stable
//! storage and applied, and more than the tail's share of bytes is there; when the state lags far
//! behind, also before it is applied.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use convoy_proto::storage as proto;
use parking_lot::Mutex;

use super::committer::{Committer, Done, Write};
use super::database::{Database, Family, decode};
use super::entry::{LogEntry, LogId};
use super::reader::Reader;
use super::weight::Weight;
use super::{StoreError, keys};
use crate::id::GroupId;
use crate::queue::machine::BodyPart;

/// A state that waits, perhaps for room on a disk, does not keep more than so many shares of the log
/// in memory.
const SHARES_MAX: usize = 4;
/// Looks at a log that is changing, until memory and database agree.
const READ_TRIES: usize = 8;

/// Where a log begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The last entry removed from the front.
    pub purged: Option<LogId>,
    /// The last entry; `purged` when the log is empty.
    pub last: Option<LogId>,
}

/// The log. Written by one task at a time, read by many.
pub(crate) struct GroupLog {
    group: GroupId,
    committer: Committer,
    reader: Reader,
    tail: Arc<Mutex<Tail>>,
}

struct Tail {
    extent: Extent,
    /// Index of the first entry; beyond the last one when the log is empty.
    first: u64,
    vote: Option<proto::Vote>,
    /// The last entries, without a hole, up to `extent.last`.
    entries: VecDeque<LogEntry>,
    bytes: usize,
    limit_bytes: usize,
    /// Entries up to here are on stable storage.
    durable: u64,
    /// Entries up to here are applied.
    applied: u64,
    weight: Weight,
}

impl GroupLog {
    /// Reads where the log stands. Blocks.
    pub(crate) fn open(
        group: GroupId,
        database: &Database,
        committer: Committer,
        reader: Reader,
        limit_bytes: usize,
    ) -> Result<Self, StoreError> {
        let vote = database.message(Family::Meta, &keys::meta(group, keys::Meta::Vote))?;
        let purged: Option<proto::LogId> =
            database.message(Family::Meta, &keys::meta(group, keys::Meta::Purged))?;
        let purged = purged.map(LogId::from);
        let after = purged.map_or(0, |p| p.index + 1);
        let (from, to) = (keys::log(group, after), keys::group_end(group));
        let first = match database.scan(Family::Log, &from, &to, 1)?.first() {
            Some(row) => index_of(group, &row.key)?,
            None => after,
        };
        let last = match database.last(Family::Log, &from, &to)? {
            Some(row) => {
                let index = index_of(group, &row.key)?;
                Some(LogId { term: decode::<proto::LogRecord>(&row.value)?.term, index })
            }
            None => purged,
        };
        let tail = Tail {
            extent: Extent { purged, last },
            first,
            vote,
            entries: VecDeque::new(),
            bytes: 0,
            limit_bytes,
            durable: last.map_or(0, |l| l.index),
            applied: 0,
            weight: Weight::estimate(group, database, first..last.map_or(0, |l| l.index + 1))?,
        };
        Ok(Self { group, committer, reader, tail: Arc::new(Mutex::new(tail)) })
    }

    /// Where the log begins and ends.
    pub(crate) fn extent(&self) -> Extent {
        self.tail.lock().extent
    }

    /// The vote that is on stable storage.
    pub(crate) fn vote(&self) -> Option<proto::Vote> {
        self.tail.lock().vote
    }

    /// Replaces the vote; it is on stable storage afterwards.
    pub(crate) async fn save_vote(&self, vote: proto::Vote) -> Result<(), StoreError> {
        self.committer.write(self.group, Write::Vote(vote)).await?;
        self.tail.lock().vote = Some(vote);
        Ok(())
    }

    /// Waits until all that was appended before is on stable storage.
    pub(crate) async fn settled(&self) -> Result<(), StoreError> {
        self.committer.write(self.group, Write::Append(Vec::new())).await
    }

    /// Adds entries that follow the last one. They can be read at once; `done` is called when they
    /// are on stable storage.
    pub(crate) fn append(&self, entries: Vec<LogEntry>, done: Done) -> Result<(), StoreError> {
        let Some(end) = self.tail.lock().push(&entries)? else {
            done(Ok(()));
            return Ok(());
        };
        let tail = self.tail.clone();
        let synced: Done = Box::new(move |result| {
            if result.is_ok() {
                tail.lock().set_durable(end);
            }
            done(result);
        });
        self.committer.send(self.group, Write::Append(entries), synced);
        Ok(())
    }

    /// Removes all entries after this index.
    pub(crate) async fn truncate_after(&self, after: Option<LogId>) -> Result<(), StoreError> {
        let from = after.map_or(0, |a| a.index + 1);
        self.tail.lock().truncate(from, after);
        self.committer.write(self.group, Write::Truncate(from)).await?;
        let mut tail = self.tail.lock();
        tail.durable = tail.durable.min(from.saturating_sub(1));
        Ok(())
    }

    /// Removes entries up to this one, which may lie beyond the end of the log.
    pub(crate) async fn purge(&self, upto: LogId) -> Result<(), StoreError> {
        self.tail.lock().purge(upto);
        self.committer.write(self.group, Write::Purge(upto)).await
    }

    /// The entry up to which the log must be purged so that the rest takes no more than
    /// `limit_bytes`; `None` when it is short enough, or when nothing of that is applied.
    pub(crate) fn beyond(&self, limit_bytes: u64) -> Option<u64> {
        let tail = self.tail.lock();
        let upto = tail.weight.beyond(limit_bytes)?.min(tail.applied);
        (upto >= tail.first).then_some(upto)
    }

    /// Says how far the state is applied, so that the entries before may leave memory.
    pub(crate) fn set_applied(&self, index: u64) {
        let mut tail = self.tail.lock();
        tail.applied = tail.applied.max(index);
        tail.evict();
    }

    /// All entries of `range` that the log has; with a byte limit only the first of them, but at
    /// least one.
    pub(crate) async fn read(
        &self,
        range: Range<u64>,
        limit_bytes: Option<usize>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let limit = limit_bytes.unwrap_or(usize::MAX);
        for _ in 0..READ_TRIES {
            let (on_disk, in_memory) = self.tail.lock().read(range.clone(), limit);
            if on_disk.is_empty() {
                return Ok(in_memory);
            }
            let (group, expected) = (self.group, on_disk.end);
            let found = self.reader.read(move |db| read(db, group, on_disk, limit)).await?;
            let size: usize = found.iter().map(LogEntry::size_bytes).sum();
            if size >= limit {
                return Ok(found);
            }
            if found.last().is_some_and(|last| last.id.index + 1 == expected) {
                return Ok(join(found, size, in_memory, limit));
            }
            // The log was purged or truncated between the two looks.
        }
        Err(StoreError::Damaged(format!("the log of {} has a hole in {range:?}", self.group)))
    }
}

/// Adds entries from memory to those from the database, up to the limit.
fn join(
    mut entries: Vec<LogEntry>,
    mut size: usize,
    in_memory: Vec<LogEntry>,
    limit: usize,
) -> Vec<LogEntry> {
    for entry in in_memory {
        if size >= limit {
            break;
        }
        size += entry.size_bytes();
        entries.push(entry);
    }
    entries
}

impl Tail {
    /// Index of the last entry, if there are any in `entries`.
    fn push(&mut self, entries: &[LogEntry]) -> Result<Option<u64>, StoreError> {
        for entry in entries {
            if let Some(last) = self.extent.last
                && entry.id.index != last.index + 1
            {
                let what = format!("entry {:?} appended after {last:?}", entry.id);
                return Err(StoreError::Damaged(what));
            }
            if self.extent.last == self.extent.purged {
                self.first = entry.id.index;
            }
            self.extent.last = Some(entry.id);
            self.bytes += entry.size_bytes();
            self.weight.add(entry.id.index, entry.size_bytes() as u64);
            self.entries.push_back(entry.clone());
        }
        Ok(entries.last().map(|e| e.id.index))
    }

    fn set_durable(&mut self, index: u64) {
        self.durable = self.durable.max(index);
        self.evict();
    }

    fn evict(&mut self) {
        while let Some(front) = self.entries.front().map(|e| e.id.index) {
            let shares = if front <= self.applied { 1 } else { SHARES_MAX };
            let full = self.bytes > self.limit_bytes.saturating_mul(shares);
            if !full || front > self.durable {
                return;
            }
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.size_bytes();
        }
    }

    fn truncate(&mut self, from: u64, last: Option<LogId>) {
        while self.entries.back().is_some_and(|e| e.id.index >= from) {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= entry.size_bytes();
            }
        }
        if self.extent.last.is_some_and(|l| l.index >= from) {
            self.extent.last = last.or(self.extent.purged);
        }
    }

    fn purge(&mut self, upto: LogId) {
        while self.entries.front().is_some_and(|e| e.id.index <= upto.index) {
            self.pop_front();
        }
        self.extent.purged = self.extent.purged.max(Some(upto));
        self.first = self.first.max(upto.index + 1);
        self.weight.purge(upto.index);
        if self.extent.last.is_none_or(|l| l.index < upto.index) {
            self.extent.last = Some(upto);
            self.durable = self.durable.max(upto.index);
        }
    }

    /// What of `range` must be read from the database, and what comes after it from memory.
    fn read(&self, range: Range<u64>, limit_bytes: usize) -> (Range<u64>, Vec<LogEntry>) {
        let end = self.extent.last.map_or(0, |l| l.index + 1);
        let (start, end) = (range.start.max(self.first), range.end.min(end));
        if start >= end {
            return (0..0, Vec::new());
        }
        let memory = self.entries.front().map_or(end, |e| e.id.index);
        let on_disk = start..memory.min(end);
        let skip = usize::try_from(start.saturating_sub(memory)).unwrap_or(usize::MAX);
        let (mut size, mut entries) = (0, Vec::new());
        for entry in self.entries.iter().skip(skip) {
            if entry.id.index >= end || size >= limit_bytes {
                break;
            }
            size += entry.size_bytes();
            entries.push(entry.clone());
        }
        (if on_disk.is_empty() { 0..0 } else { on_disk }, entries)
    }
}

/// Reads entries and their bodies. Entries that were removed meanwhile are absent.
fn read(
    database: &Database,
    group: GroupId,
    range: Range<u64>,
    limit_bytes: usize,
) -> Result<Vec<LogEntry>, StoreError> {
    let (from, to) = (keys::log(group, range.start), keys::log(group, range.end));
    let (mut entries, mut size) = (Vec::new(), 0);
    let mut failure = None;
    database.each(Family::Log, &from, &to, |key, value| {
        match read_entry(database, group, key, value) {
            Ok(entry) => {
                size += entry.size_bytes();
                entries.push(entry);
                size < limit_bytes
            }
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    })?;
    failure.map_or(Ok(entries), Err)
}

fn read_entry(
    database: &Database,
    group: GroupId,
    key: &[u8],
    value: &[u8],
) -> Result<LogEntry, StoreError> {
    let index = index_of(group, key)?;
    LogEntry::from_record(index, decode(value)?, |part| {
        database.get(Family::Body, &keys::body(group, BodyPart { index, part }))
    })
}

fn index_of(group: GroupId, key: &[u8]) -> Result<u64, StoreError> {
    keys::log_index(key).ok_or_else(|| StoreError::Damaged(format!("key in the log of {group}")))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::entry;
    use super::*;

    #[test]
    fn a_state_that_lags_does_not_keep_the_log_in_memory() {
        let one = entry(1, 1, "", &["0123456789"]).size_bytes();
        let mut tail = Tail {
            extent: Extent::default(),
            first: 1,
            vote: None,
            entries: VecDeque::new(),
            bytes: 0,
            limit_bytes: 2 * one,
            durable: 0,
            applied: 0,
            weight: Weight::default(),
        };
        let first = |tail: &Tail| tail.entries.front().map(|e| e.id.index);
        for index in 1..=20 {
            tail.push(&[entry(1, index, "", &["0123456789"])]).unwrap();
        }
        tail.evict();
        assert_eq!(first(&tail), Some(1), "not on stable storage");
        tail.set_durable(20);
        assert_eq!(first(&tail), Some(13), "not applied, but too many");
        tail.applied = 20;
        tail.evict();
        assert_eq!(first(&tail), Some(19));
    }
}
