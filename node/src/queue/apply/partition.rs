//! The machine of a partition: reads entries, runs their commands, keeps the index current.

use std::sync::Arc;

use convoy_proto::storage as proto;
use prost::Message;

use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, QueueName};
use crate::queue::codec::{self, Unreadable};
use crate::queue::command::FORMAT;
use crate::queue::index::{Effect, Index};
use crate::queue::machine::{
    Answer, BodyPart, Changes, Committed, LiveBodies, Machine, MachineError, Table, View,
};
use crate::queue::model::OutboxPosition;
use crate::queue::rows;

impl From<Unreadable> for MachineError {
    fn from(error: Unreadable) -> Self {
        Self::Inconsistent(error.to_string())
    }
}

/// Rows of the outbox that are counted at a time.
const ROWS_PAGE: usize = 1024;

/// Stops the node when `holds` is false.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), MachineError> {
    if holds { Ok(()) } else { Err(MachineError::Inconsistent(what())) }
}

/// Decodes a row or an entry.
pub(super) fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, MachineError> {
    M::decode(bytes).map_err(|e| MachineError::Inconsistent(e.to_string()))
}

/// The machine.
pub(crate) struct PartitionMachine {
    group: GroupId,
    index: Arc<Index>,
    effects: Vec<Effect>,
}

impl PartitionMachine {
    /// A machine that keeps the group's figures in `index`.
    pub(crate) const fn new(group: GroupId, index: Arc<Index>) -> Self {
        Self { group, index, effects: Vec::new() }
    }
}

impl Machine for PartitionMachine {
    fn opened(&mut self, view: &dyn View) -> Result<(), MachineError> {
        self.effects.clear();
        self.index.rebuild(self.group, view)
    }

    fn apply(
        &mut self,
        entry: &Committed,
        changes: &mut dyn Changes,
    ) -> Result<Vec<Answer>, MachineError> {
        let read: proto::Entry = decode(&entry.payload)?;
        ensure((1..=FORMAT).contains(&read.format), || {
            format!("entry {} has format {}, newer than {FORMAT}", entry.index, read.format)
        })?;
        let mut run = Run {
            group: self.group,
            index: entry.index,
            proposed_at: read.proposed_at,
            bodies: &entry.bodies,
            counters: read_counters(changes)?,
            changes: &mut *changes,
            effects: &mut self.effects,
            rows: 0,
        };
        run.begin_counting()?;
        let mut answers = Vec::with_capacity(read.commands.len());
        for (slot, command) in (0..).zip(read.commands) {
            answers.push(run.command(slot, command)?);
        }
        let counters = run.counters.encode_to_vec();
        changes.put(Table::State, rows::COUNTERS, &counters);
        Ok(answers)
    }

    fn written(&mut self) -> Result<(), MachineError> {
        self.index.record(self.group, self.effects.drain(..))
    }

    fn live_bodies(&self) -> LiveBodies {
        live_bodies
    }
}

fn read_counters(view: &dyn View) -> Result<proto::Counters, MachineError> {
    match view.get(Table::State, rows::COUNTERS)? {
        Some(value) => decode(&value),
        None => Ok(proto::Counters::default()),
    }
}

/// Bodies of live messages, and pieces of long bodies that are claimed or may still be.
fn live_bodies(view: &dyn View, after: u64, upto: u64) -> Result<Vec<BodyPart>, MachineError> {
    let (from, to) = (rows::messages_from(after + 1), rows::messages_from(upto + 1));
    let mut parts = Vec::new();
    for row in view.scan(Table::Message, &from, &to, usize::MAX)? {
        let Some(at) = rows::read_message(GroupId::META, &row.key) else { continue };
        let bodies: proto::MessageBodies = decode(&row.value)?;
        for body in &bodies.body {
            // Pieces from other entries are found below.
            if body.index == at.index {
                parts.push(part_of(body)?);
            }
        }
    }
    for kind in [rows::UNCLAIMED, rows::HELD] {
        let from = rows::chunk(kind, BodyPart { index: after + 1, part: 0 });
        let to = rows::chunk(kind, BodyPart { index: upto + 1, part: 0 });
        for row in view.scan(Table::State, &from, &to, usize::MAX)? {
            let part = rows::read_chunk(&row.key);
            parts.push(part.ok_or_else(|| MachineError::Inconsistent("key of a chunk".into()))?);
        }
    }
    parts.sort_unstable();
    parts.dedup();
    Ok(parts)
}

/// The part that a reference names.
pub(super) fn part_of(body: &proto::BodyRef) -> Result<BodyPart, MachineError> {
    let part = u16::try_from(body.part)
        .map_err(|_| MachineError::Inconsistent("number of a body part".to_owned()))?;
    Ok(BodyPart { index: body.index, part })
}

/// The commands of one entry, running.
pub(super) struct Run<'a> {
    pub(super) group: GroupId,
    /// Index of the entry.
    pub(super) index: u64,
    /// The proposer's clock.
    pub(super) proposed_at: u64,
    /// Sizes of the body parts that came with the entry.
    pub(super) bodies: &'a [u64],
    pub(super) changes: &'a mut dyn Changes,
    pub(super) counters: proto::Counters,
    pub(super) effects: &'a mut Vec<Effect>,
    /// Rows of the outbox made by this entry.
    rows: u16,
}

impl Run<'_> {
    fn command(&mut self, slot: u16, command: proto::Command) -> Result<Answer, MachineError> {
        use proto::command::Kind;
        let kind = command
            .kind
            .ok_or_else(|| MachineError::Inconsistent("a command without a kind".to_owned()))?;
        match kind {
            Kind::Submit(submit) => self.submit(slot, submit),
            Kind::Chunk(chunk) => self.chunk(&chunk),
            Kind::Report(report) => self.report(slot, report),
            Kind::Records(records) => {
                for record in records.records {
                    self.outbox(&record)?;
                }
                Ok(Answer::Done)
            }
            Kind::Operation(operation) => self.operate(operation),
            Kind::OutboxAck(ack) => self.acknowledge(&ack),
            Kind::Expire(expire) => self.expire(expire.before),
            Kind::MarkUnknown(unknown) => self.mark_unknown(&unknown),
            Kind::Switches(_) | Kind::Cluster(_) => {
                let what = "a partition was given what belongs to the meta group";
                Err(MachineError::Inconsistent(what.to_owned()))
            }
        }
    }

    /// Adds a row of accounting.
    pub(super) fn outbox(&mut self, record: &proto::Record) -> Result<(), MachineError> {
        let at = OutboxPosition { index: self.index, n: self.rows };
        self.changes.put(Table::Outbox, &rows::outbox(at), &record.encode_to_vec());
        self.rows = self.rows.checked_add(1).ok_or_else(|| {
            MachineError::Inconsistent(format!("entry {} makes too many rows", self.index))
        })?;
        self.counters.rows_made += 1;
        self.effects.push(Effect::Outbox);
        Ok(())
    }

    /// A state of an earlier version did not count accounting rows: those that wait are the first.
    fn begin_counting(&mut self) -> Result<(), MachineError> {
        if self.counters.since != 0 {
            return Ok(());
        }
        let from = self.changes.get(Table::State, rows::ACKNOWLEDGED)?.unwrap_or_default();
        self.counters.rows_made = self.count_rows(from, &rows::outbox_end())?;
        // A new state is complete from the beginning.
        let is_new = self.counters.accepted_messages == 0;
        self.counters.since = if is_new { 1 } else { self.proposed_at.max(1) };
        Ok(())
    }

    /// Rows of the outbox, counted page by page.
    fn count_rows(&self, mut from: Vec<u8>, to: &[u8]) -> Result<u64, MachineError> {
        let mut count = 0;
        loop {
            let page = self.changes.scan(Table::Outbox, &from, to, ROWS_PAGE)?;
            count += page.len() as u64;
            let Some(last) = page.last().filter(|_| page.len() == ROWS_PAGE) else {
                return Ok(count);
            };
            from.clone_from(&last.key);
            from.push(0);
        }
    }

    fn acknowledge(&mut self, ack: &proto::OutboxAck) -> Result<Answer, MachineError> {
        let n = u16::try_from(ack.n)
            .map_err(|_| MachineError::Inconsistent("acknowledged position".to_owned()))?;
        let upto = rows::outbox_after(OutboxPosition { index: ack.index, n });
        let before = self.changes.get(Table::State, rows::ACKNOWLEDGED)?.unwrap_or_default();
        if before < upto {
            self.counters.rows_acknowledged += self.count_rows(before.clone(), &upto)?;
            self.changes.delete_range(Table::Outbox, &before, &upto);
            self.changes.put(Table::State, rows::ACKNOWLEDGED, &upto);
        }
        Ok(Answer::Done)
    }

    /// The row of an open recipient.
    pub(super) fn recipient(
        &self,
        at: Locator,
        number: u16,
    ) -> Result<Option<proto::RecipientRow>, MachineError> {
        let value = self.changes.get(Table::Recipient, &rows::recipient(at, number))?;
        value.map(|value| decode(&value)).transpose()
    }

    /// The key of a recipient among those that wait.
    pub(super) fn due_key(
        at: Locator,
        number: u16,
        row: &proto::RecipientRow,
    ) -> Result<(QueueName, Vec<u8>), MachineError> {
        let queue = codec::read_queue_name(row.queue.clone())?;
        let due =
            crate::queue::model::Due { at: Timestamp(row.due), locator: at, recipient: number };
        let key = rows::due(&queue, &due);
        Ok((queue, key))
    }
}
