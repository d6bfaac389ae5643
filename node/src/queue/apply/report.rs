//! Recipients come to an end, or wait for the next attempt.

use convoy_proto::storage as proto;
use prost::Message;

use super::partition::{Run, decode, ensure, part_of};
use crate::clock::Timestamp;
use crate::id::Locator;
use crate::message::Class;
use crate::queue::codec;
use crate::queue::index::Effect;
use crate::queue::machine::{Answer, MachineError, Table};
use crate::queue::rows;

impl Run<'_> {
    /// Records what an attempt did. Recipients that are finished already are passed over; the
    /// notice is stored unless all were.
    pub(super) fn report(
        &mut self,
        slot: u16,
        report: proto::Report,
    ) -> Result<Answer, MachineError> {
        let at = codec::read_position(self.group, report.message)?;
        let mut changed = 0;
        for result in report.results {
            let number = codec::read_recipient_number(result.recipient)?;
            if let Some(row) = self.recipient(at, number)? {
                self.result(at, number, row, result)?;
                changed += 1;
            }
        }
        if let Some(notice) = report.notice
            && changed > 0
        {
            self.submit(slot, notice)?;
        }
        Ok(Answer::Changed(changed))
    }

    fn result(
        &mut self,
        at: Locator,
        number: u16,
        row: proto::RecipientRow,
        result: proto::RecipientResult,
    ) -> Result<(), MachineError> {
        let outcome = result
            .outcome
            .ok_or_else(|| MachineError::Inconsistent("a result without outcome".to_owned()))?;
        match codec::read_outcome(outcome.clone())?.class {
            Class::Delivered => self.counters.delivered += 1,
            Class::Bounced => self.counters.bounced += 1,
            Class::Deferred => {
                let mut next = row.clone();
                next.due = result.next_due;
                next.last = Some(outcome);
                next.unknown = None;
                if result.counts_as_attempt {
                    next.attempts += 1;
                    next.first_attempt_at = next.first_attempt_at.or(Some(self.proposed_at));
                }
                self.replace(at, number, &row, &next)?;
                return result.record.map_or(Ok(()), |record| self.outbox(&record));
            }
        }
        self.finish(at, number, &row, result.record.as_ref())
    }

    /// Replaces the state of an open recipient, and its place among those that wait.
    pub(super) fn replace(
        &mut self,
        at: Locator,
        number: u16,
        old: &proto::RecipientRow,
        new: &proto::RecipientRow,
    ) -> Result<(), MachineError> {
        self.leave_queue(at, number, old)?;
        let key = rows::recipient(at, number);
        self.changes.put(Table::Recipient, &key, &new.encode_to_vec());
        if !new.held {
            let (queue, due) = Self::due_key(at, number, new)?;
            self.changes.put(Table::Due, &due, &[]);
            self.effects.push(Effect::Due { queue, due: Timestamp(new.due) });
        }
        Ok(())
    }

    /// A recipient waits in its queue exactly when it is open and not held.
    fn leave_queue(
        &mut self,
        at: Locator,
        number: u16,
        row: &proto::RecipientRow,
    ) -> Result<(), MachineError> {
        let (queue, due) = Self::due_key(at, number, row)?;
        let waits = self.changes.get(Table::Due, &due)?.is_some();
        ensure(waits != row.held, || {
            format!("recipient {number} of {at} in {queue}: held {}, waits {waits}", row.held)
        })?;
        if waits {
            self.changes.delete(Table::Due, &due);
        }
        Ok(())
    }

    /// Ends a recipient, and with the last one the message.
    pub(super) fn finish(
        &mut self,
        at: Locator,
        number: u16,
        row: &proto::RecipientRow,
        record: Option<&proto::Record>,
    ) -> Result<(), MachineError> {
        self.leave_queue(at, number, row)?;
        self.changes.delete(Table::Recipient, &rows::recipient(at, number));
        if let Some(record) = record {
            self.outbox(record)?;
        }
        self.effects.push(Effect::Closed {
            queue: codec::read_queue_name(row.queue.clone())?,
            job: row.job.clone(),
            bytes: row.size_bytes,
        });
        ensure(self.counters.open_recipients > 0, || "no recipient is open".to_owned())?;
        self.counters.open_recipients -= 1;
        let count = rows::open_count(at);
        let open = match self.changes.get(Table::Message, &count)? {
            None => 1,
            Some(value) => u32::from_be_bytes(value.try_into().map_err(|_| {
                MachineError::Inconsistent(format!("number of open recipients of {at}"))
            })?),
        };
        ensure(open > 0, || format!("message {at} has no open recipient to finish"))?;
        if open > 1 {
            self.changes.put(Table::Message, &count, &(open - 1).to_be_bytes());
            return Ok(());
        }
        self.changes.delete(Table::Message, &count);
        self.finish_message(at)
    }

    fn finish_message(&mut self, at: Locator) -> Result<(), MachineError> {
        let (from, to) = rows::recipients(at);
        let left = self.changes.scan(Table::Recipient, &from, &to, 1)?;
        ensure(left.is_empty(), || format!("message {at} ends before its recipients"))?;
        let key = rows::message(at);
        let row = self
            .changes
            .get(Table::Message, &key)?
            .ok_or_else(|| MachineError::Inconsistent(format!("message {at} is missing")))?;
        self.forget_id(&row)?;
        for body in &decode::<proto::MessageBodies>(&row)?.body {
            let part = part_of(body)?;
            self.changes.release_body(part);
            if part.index != at.index {
                self.changes.delete(Table::State, &rows::chunk(rows::HELD, part));
            }
        }
        self.changes.delete(Table::Message, &key);
        ensure(self.counters.open_messages > 0, || "no message is open".to_owned())?;
        self.counters.open_messages -= 1;
        Ok(())
    }

    /// The row by which an old message was found by its id; young ones have none.
    fn forget_id(&mut self, row: &[u8]) -> Result<(), MachineError> {
        let identity: proto::MessageIdentity = decode(row)?;
        let key = rows::open_id(&identity.envelope.unwrap_or_default().id);
        if self.changes.get(Table::Token, &key)?.is_some() {
            self.changes.delete(Table::Token, &key);
        }
        Ok(())
    }
}
