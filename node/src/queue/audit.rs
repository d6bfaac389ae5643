//! Adds up the rows of a partition and compares them with its counters. Pure: it reads a view, page
//! by page, and says what does not add up.
//!
//! What must hold: accepted = delivered + bounced + deleted + queued; a recipient waits in its queue
//! exactly when it is open and not held; every open message has its body and its open recipients;
//! accounting rows made = acknowledged + waiting.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use convoy_proto::storage as proto;
use prost::Message;
use sha2::{Digest as _, Sha256};

use super::codec;
use super::machine::{BodyPart, MachineError, Row, Table, View};
use super::model::{Due, OutboxPosition};
use super::rows;
use crate::clock::Timestamp;
use crate::id::{GroupId, Locator};

/// Rows read at a time.
const PAGE: usize = 512;
/// Findings that are listed; the others are counted.
const FINDINGS: usize = 200;

type Result<T> = std::result::Result<T, Stop>;

/// Why an audit has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// A row cannot be read.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Time is up, or nobody waits any more.
    #[error("the state could not be read to its end in the time allowed")]
    Expired,
}

impl From<codec::Unreadable> for Stop {
    fn from(error: codec::Unreadable) -> Self {
        Self::Machine(error.into())
    }
}

/// Numbers of a partition: as they were counted, or as they were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditFigures {
    /// Recipients accepted.
    pub accepted: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Recipients bounced.
    pub bounced: u64,
    /// Recipients deleted by operators.
    pub deleted: u64,
    /// Open recipients.
    pub queued_recipients: u64,
    /// Open messages.
    pub queued_messages: u64,
    /// Open recipients that an operator holds.
    pub held: u64,
    /// Recipients that wait in queues.
    pub due: u64,
    /// Recipients whose last attempt has no known result.
    pub unknown: u64,
    /// Accounting rows made.
    pub rows_made: u64,
    /// Accounting rows that the accounting group has and the partition dropped.
    pub rows_acknowledged: u64,
    /// Accounting rows in the outbox.
    pub rows_waiting: u64,
    /// Parts of bodies that were read.
    pub bodies: u64,
}

/// What an audit of one replica of a partition found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// The partition.
    pub group: GroupId,
    /// The state was applied up to here.
    pub applied: u64,
    /// By the replicated counters.
    pub counted: AuditFigures,
    /// By the rows.
    pub found: AuditFigures,
    /// What does not add up.
    pub findings: Vec<String>,
    /// Findings beyond those listed.
    pub more_findings: u64,
    /// Of all rows, so that replicas can be compared.
    pub checksum: [u8; 32],
    /// Rows of accounting are acknowledged up to here.
    pub acknowledged: OutboxPosition,
}

/// How the bytes of a part are found: their number, or none.
pub(crate) type BodySize<'a> =
    &'a dyn Fn(BodyPart) -> std::result::Result<Option<u64>, MachineError>;

/// What an audit reads.
pub(crate) struct Source<'a> {
    pub group: GroupId,
    pub applied: u64,
    pub view: &'a dyn View,
    /// Absent when bodies are not to be read.
    pub body: Option<BodySize<'a>>,
    /// Is it time to stop?
    pub expired: &'a dyn Fn() -> bool,
}

/// Reads the whole state.
pub(crate) fn audit(source: &Source<'_>) -> Result<Audited> {
    let mut work = Work { source, found: AuditFigures::default(), findings: vec![], more: 0 };
    let mut digest = Sha256::new();
    let counters: proto::Counters = match source.view.get(Table::State, rows::COUNTERS)? {
        Some(row) => decode(&row)?,
        None => proto::Counters::default(),
    };
    let acknowledged = acknowledged(source.view)?;
    work.messages(&mut digest)?;
    let expected = work.recipients(&mut digest)?;
    work.due(expected, &mut digest)?;
    work.outbox(acknowledged, &mut digest)?;
    for table in [Table::State, Table::Token] {
        work.each(table, &mut digest, |_, _| Ok(()))?;
    }
    let counted = figures(&counters);
    work.compare(&counters, &counted);
    Ok(Audited {
        group: source.group,
        applied: source.applied,
        counted,
        found: work.found,
        findings: work.findings,
        more_findings: work.more,
        checksum: digest.finalize().into(),
        acknowledged,
    })
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|e| Stop::Machine(MachineError::Inconsistent(e.to_string())))
}

const fn figures(c: &proto::Counters) -> AuditFigures {
    AuditFigures {
        accepted: c.accepted_recipients,
        delivered: c.delivered,
        bounced: c.bounced,
        deleted: c.deleted,
        queued_recipients: c.open_recipients,
        queued_messages: c.open_messages,
        held: 0,
        due: 0,
        unknown: 0,
        rows_made: c.rows_made,
        rows_acknowledged: c.rows_acknowledged,
        rows_waiting: c.rows_made.saturating_sub(c.rows_acknowledged),
        bodies: 0,
    }
}

fn acknowledged(view: &dyn View) -> Result<OutboxPosition> {
    let key = view.get(Table::State, rows::ACKNOWLEDGED)?;
    Ok(key.and_then(|key| rows::read_outbox(&key)).unwrap_or_default())
}

/// A sum over keys that does not depend on their order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    hash: u64,
}

impl Sum {
    fn add(&mut self, key: &[u8]) {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.count += 1;
        self.hash = self.hash.wrapping_add(hasher.finish());
    }
}

struct Work<'a> {
    source: &'a Source<'a>,
    found: AuditFigures,
    findings: Vec<String>,
    more: u64,
}

impl Work<'_> {
    fn finding(&mut self, text: String) {
        if self.findings.len() < FINDINGS {
            self.findings.push(text);
        } else {
            self.more += 1;
        }
    }

    /// Visits every row of a table and adds it to the checksum.
    fn each(
        &mut self,
        table: Table,
        digest: &mut Sha256,
        mut visit: impl FnMut(&mut Self, &Row) -> Result<()>,
    ) -> Result<()> {
        // No key is so long.
        let (mut from, end) = (Vec::new(), [u8::MAX; 1024]);
        loop {
            if (self.source.expired)() {
                return Err(Stop::Expired);
            }
            let page = self.source.view.scan(table, &from, &end, PAGE)?;
            for row in &page {
                digest.update([table as u8]);
                for part in [&row.key, &row.value] {
                    digest.update((part.len() as u64).to_be_bytes());
                    digest.update(part);
                }
                visit(self, row)?;
            }
            let Some(last) = page.last() else { return Ok(()) };
            from.clone_from(&last.key);
            from.push(0);
        }
    }

    fn messages(&mut self, digest: &mut Sha256) -> Result<()> {
        self.each(Table::Message, digest, |work, row| {
            match rows::read_message(work.source.group, &row.key) {
                Some(at) => work.message(at, &row.value),
                None => Ok(()),
            }
        })
    }

    fn message(&mut self, at: Locator, row: &[u8]) -> Result<()> {
        self.found.queued_messages += 1;
        let row: proto::MessageRow = decode(row)?;
        let of = row.envelope.as_ref().map_or(0, |envelope| envelope.recipients.len());
        let (from, to) = rows::recipients(at);
        let open = self.source.view.scan(Table::Recipient, &from, &to, usize::MAX)?.len();
        let count = match self.source.view.get(Table::Message, &rows::open_count(at))? {
            None => 1,
            Some(value) => value.try_into().map_or(0, u32::from_be_bytes) as usize,
        };
        if open == 0 || open != count || open > of {
            self.finding(format!(
                "message {at} has {open} open recipients, counts {count}, and came with {of}"
            ));
        }
        let Some(size_of) = self.source.body else { return Ok(()) };
        for body in &row.body {
            let number = u16::try_from(body.part).unwrap_or(u16::MAX);
            match size_of(BodyPart { index: body.index, part: number })? {
                Some(size) if size == body.size_bytes => self.found.bodies += 1,
                Some(size) => self.finding(format!(
                    "a part of the body of {at} has {size} bytes and not {}",
                    body.size_bytes
                )),
                None => self.finding(format!(
                    "part {number} of entry {} of the body of {at} is missing",
                    body.index
                )),
            }
        }
        Ok(())
    }

    /// Counts open recipients; gives the keys that must be in the queues.
    fn recipients(&mut self, digest: &mut Sha256) -> Result<Sum> {
        let mut expected = Sum::default();
        let (mut seen, mut exists) = (None, false);
        self.each(Table::Recipient, digest, |work, row| {
            let (at, number) = work.key_of_recipient(row)?;
            let read: proto::RecipientRow = decode(&row.value)?;
            work.found.queued_recipients += 1;
            work.found.unknown += u64::from(read.unknown.is_some());
            if seen != Some(at) {
                let message = work.source.view.get(Table::Message, &rows::message(at))?;
                (seen, exists) = (Some(at), message.is_some());
            }
            if !exists {
                work.finding(format!("recipient {number} of {at} has no message"));
            }
            if read.held {
                work.found.held += 1;
            } else {
                expected.add(&due_key(at, number, &read)?);
            }
            Ok(())
        })?;
        Ok(expected)
    }

    fn key_of_recipient(&self, row: &Row) -> Result<(Locator, u16)> {
        let key = rows::read_recipient(self.source.group, &row.key);
        key.ok_or_else(|| Stop::Machine(MachineError::Inconsistent("key of a recipient".into())))
    }

    fn due(&mut self, expected: Sum, digest: &mut Sha256) -> Result<()> {
        let mut waiting = Sum::default();
        self.each(Table::Due, digest, |_, row| {
            waiting.add(&row.key);
            Ok(())
        })?;
        self.found.due = waiting.count;
        if waiting == expected { Ok(()) } else { self.name_wrong_dues() }
    }

    /// The sums differ: looks at each recipient and at each place in a queue.
    fn name_wrong_dues(&mut self) -> Result<()> {
        // These rows are in the checksum already.
        let mut ignored = Sha256::new();
        self.each(Table::Recipient, &mut ignored, |work, row| {
            let (at, number) = work.key_of_recipient(row)?;
            let read: proto::RecipientRow = decode(&row.value)?;
            let waits = work.source.view.get(Table::Due, &due_key(at, number, &read)?)?.is_some();
            if waits == read.held {
                let how = if waits { "is held and waits" } else { "does not wait" };
                work.finding(format!("recipient {number} of {at} {how} in its queue"));
            }
            Ok(())
        })?;
        self.each(Table::Due, &mut ignored, |work, row| {
            let Some(due) = rows::read_due(work.source.group, &row.key) else {
                work.finding("a place in a queue cannot be read".to_owned());
                return Ok(());
            };
            let key = rows::recipient(due.locator, due.recipient);
            let of = match work.source.view.get(Table::Recipient, &key)? {
                Some(value) => Some(due_key(due.locator, due.recipient, &decode(&value)?)?),
                None => None,
            };
            if of.as_ref() != Some(&row.key) {
                let Due { locator, recipient, .. } = due;
                work.finding(format!("a queue has recipient {recipient} of {locator} wrongly"));
            }
            Ok(())
        })
    }

    fn outbox(&mut self, acknowledged: OutboxPosition, digest: &mut Sha256) -> Result<()> {
        self.each(Table::Outbox, digest, |work, row| {
            work.found.rows_waiting += 1;
            if rows::read_outbox(&row.key).is_none_or(|at| at <= acknowledged) {
                work.finding("an accounting row is acknowledged and still there".to_owned());
            }
            Ok(())
        })
    }

    fn compare(&mut self, counters: &proto::Counters, counted: &AuditFigures) {
        let c = counted;
        let ended = c.delivered + c.bounced + c.deleted;
        if c.accepted != ended + c.queued_recipients {
            self.finding(format!(
                "{} accepted, but {} delivered + {} bounced + {} deleted + {} queued",
                c.accepted, c.delivered, c.bounced, c.deleted, c.queued_recipients
            ));
        }
        let found = self.found;
        let mut pair = |what: &str, counted: u64, found: u64| {
            if counted != found {
                self.finding(format!("{counted} {what} are counted and {found} are there"));
            }
        };
        pair("open recipients", c.queued_recipients, found.queued_recipients);
        pair("open messages", c.queued_messages, found.queued_messages);
        // A state without entries of this version has not counted rows yet.
        if counters.since != 0 {
            pair("accounting rows that wait", c.rows_waiting, found.rows_waiting);
        }
    }
}

fn due_key(at: Locator, number: u16, row: &proto::RecipientRow) -> Result<Vec<u8>> {
    let queue = codec::read_queue_name(row.queue.clone())?;
    Ok(rows::due(&queue, &Due { at: Timestamp(row.due), locator: at, recipient: number }))
}

#[cfg(test)]
#[path = "audit_test.rs"]
mod tests;
