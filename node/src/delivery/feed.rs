//! Where a queue's work is read: a position per partition, so that what was read once is not read
//! again, and the memory does not grow with the queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::claim::{Claim, Claims, Key};
use crate::clock::Timestamp;
use crate::id::GroupId;
use crate::queue::model::Due;

/// Rows asked for at once.
const PAGE_ROWS: usize = 128;
/// Rows asked for on top, to see the recipients of one message together.
const TOGETHER_MAX: usize = 4096;
/// Recipients of one due time that are set aside by name; with more, reading goes on behind them.
const ASIDE_MAX: usize = 4096;

/// Recipients of one message that go in one transaction.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The term in which this node leads the message's partition.
    pub(crate) term: u64,
    /// Their due time.
    pub(crate) due: Timestamp,
    /// Message and recipients.
    pub(crate) claim: Claim,
}

/// When a partition has more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    At(Timestamp),
    Never,
}

#[derive(Debug)]
struct Cursor {
    /// Rows before this were handed out.
    from: Timestamp,
    /// Recipients due exactly at or after `from` that wait for something else than time.
    aside: HashMap<Key, Timestamp>,
    more: More,
    /// Rows to ask for on top: the last page ended within the recipients of its only message.
    extra: usize,
    /// What was noted since the last request: a page that was read before it says nothing of it.
    noted: Option<Timestamp>,
}

/// What to ask the queue for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) group: GroupId,
    pub(crate) from: Timestamp,
    pub(crate) limit: usize,
}

/// What the queue said.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// What was asked.
    pub(crate) request: Request,
    /// The term in which this node leads the partition; none when it does not.
    pub(crate) term: Option<u64>,
    /// Rows in order.
    pub(crate) rows: Vec<Due>,
    /// After a page that is not full: the earliest row that is not due yet.
    pub(crate) later: Option<Timestamp>,
}

impl Page {
    fn is_full(&self) -> bool {
        self.rows.len() >= self.request.limit
    }
}

/// Positions of one queue in all partitions where it has work.
#[derive(Debug)]
pub(crate) struct Feed {
    claims: Arc<Claims>,
    cursors: BTreeMap<GroupId, Cursor>,
    /// Rows were passed by because somebody held them.
    missed: bool,
}

impl Feed {
    pub(crate) const fn new(claims: Arc<Claims>) -> Self {
        Self { claims, cursors: BTreeMap::new(), missed: false }
    }

    /// There is work due at `due` that was not there before.
    pub(crate) fn note(&mut self, group: GroupId, due: Timestamp) {
        let cursor = self.cursors.entry(group).or_insert_with(|| Cursor {
            from: due,
            aside: HashMap::new(),
            more: More::Never,
            extra: 0,
            noted: None,
        });
        cursor.from = cursor.from.min(due);
        cursor.note(due);
    }

    /// Reads from the start again: what was handed out and not finished, and what was set aside,
    /// is still there.
    pub(crate) fn rewind(&mut self) {
        for cursor in self.cursors.values_mut() {
            cursor.from = Timestamp(0);
            cursor.aside.clear();
            cursor.note(Timestamp(0));
        }
    }

    /// Remembers recipients that are due and must wait for something else.
    pub(crate) fn set_aside(&mut self, group: GroupId, due: Timestamp, keys: &[Key]) {
        let Some(cursor) = self.cursors.get_mut(&group) else { return };
        if due >= cursor.from && cursor.aside.len() < ASIDE_MAX {
            cursor.aside.extend(keys.iter().map(|key| (*key, due)));
        }
    }

    /// What can be read now. `in_work` recipients of this queue are handed out and still there.
    pub(crate) fn requests(&mut self, now: Timestamp, in_work: usize) -> Vec<Request> {
        let mut requests = Vec::new();
        for (group, cursor) in &mut self.cursors {
            if matches!(cursor.more, More::At(at) if at <= now) {
                cursor.noted = None;
                let limit = PAGE_ROWS + cursor.extra + in_work + cursor.aside.len();
                requests.push(Request { group: *group, from: cursor.from, limit });
            }
        }
        requests
    }

    /// Takes a page: claims what is free and cuts it into batches of at most `batch_max`. A
    /// message whose recipients go on behind the page waits for the next one.
    pub(crate) fn take(&mut self, page: &Page, batch_max: usize) -> Vec<Batch> {
        let Some(term) = page.term else {
            self.cursors.remove(&page.request.group);
            return Vec::new();
        };
        let Some(cursor) = self.cursors.get_mut(&page.request.group) else { return Vec::new() };
        // Work that came while the page was read may lie before it.
        if cursor.from < page.request.from {
            return Vec::new();
        }
        let wanted: Vec<_> = page
            .rows
            .iter()
            .filter(|row| !cursor.aside.contains_key(&(row.locator, row.recipient)))
            .collect();
        let (whole, part) = wanted.split_at(wanted.len() - unfinished(page, &wanted, batch_max));
        let cut = |rows: &[&Due]| batches(&self.claims, term, rows, batch_max);
        let (mut batches, mut missed) = cut(whole);
        if batches.is_empty() && !part.is_empty() {
            if cursor.extra == 0 {
                cursor.extra = batch_max.clamp(1, TOGETHER_MAX);
                return Vec::new();
            }
            let (of_part, missed_part) = cut(part);
            batches = of_part;
            missed |= missed_part;
        }
        self.missed |= missed;
        cursor.extra = 0;
        cursor.advance(page, batches.is_empty());
        batches
    }

    /// Were rows passed by, since this was asked last, because somebody held them?
    pub(crate) const fn take_missed(&mut self) -> bool {
        std::mem::replace(&mut self.missed, false)
    }

    /// The earliest time at which there is more to read.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let at = |cursor: &Cursor| match cursor.more {
            More::At(at) => Some(at),
            More::Never => None,
        };
        self.cursors.values().filter_map(at).min()
    }

    /// Per partition, the earliest time at which there is more to read.
    pub(crate) fn rest(&self) -> BTreeMap<GroupId, Timestamp> {
        let at = |(group, cursor): (&GroupId, &Cursor)| match cursor.more {
            More::At(at) => Some((*group, at)),
            More::Never => None,
        };
        self.cursors.iter().filter_map(at).collect()
    }

    /// Partitions in which the queue has or had work.
    pub(crate) fn groups(&self) -> Vec<GroupId> {
        self.cursors.keys().copied().collect()
    }
}

/// How many rows at the end of a page are recipients of a message that may have more behind it,
/// and would not fill a batch.
fn unfinished(page: &Page, wanted: &[&Due], batch_max: usize) -> usize {
    let Some(last) = wanted.last().filter(|_| page.is_full()) else { return 0 };
    let same = |row: &&&Due| (row.locator, row.at) == (last.locator, last.at);
    wanted.iter().rev().take_while(same).count() % batch_max.max(1)
}

/// Claims rows, by message and by transaction; and were any passed by because somebody holds them?
fn batches(claims: &Arc<Claims>, term: u64, rows: &[&Due], batch_max: usize) -> (Vec<Batch>, bool) {
    let (mut batches, mut missed) = (Vec::new(), false);
    for same in rows.chunk_by(|a, b| (a.locator, a.at) == (b.locator, b.at)) {
        for part in same.chunks(batch_max.max(1)) {
            let (locator, due) = (part[0].locator, part[0].at);
            let claim = claims.take(locator, part.iter().map(|row| row.recipient));
            let taken = claim.as_ref().map_or(0, |claim| claim.recipients.len());
            missed |= taken < part.len();
            batches.extend(claim.map(|claim| Batch { term, due, claim }));
        }
    }
    (batches, missed)
}

impl Cursor {
    fn note(&mut self, due: Timestamp) {
        self.noted = Some(self.noted.map_or(due, |noted| noted.min(due)));
        self.more = match self.more {
            More::At(at) => More::At(at.min(due)),
            More::Never => More::At(due),
        };
    }

    fn advance(&mut self, page: &Page, nothing_new: bool) {
        if let Some(last) = page.rows.last() {
            let stuck = nothing_new && page.is_full() && last.at == self.from;
            self.from = if stuck { Timestamp(last.at.0 + 1) } else { last.at };
            let from = self.from;
            self.aside.retain(|_, due| *due >= from);
        }
        if !page.is_full() {
            let next = [page.later, self.noted].into_iter().flatten().min();
            self.more = next.map_or(More::Never, More::At);
        }
    }
}

#[cfg(test)]
#[path = "feed_test.rs"]
mod tests;
