//! Reads of a partition's rows. They block, on a reader thread.

use bytes::{Bytes, BytesMut};
use convoy_proto::storage as proto;
use prost::Message;

use super::codec;
use super::machine::{MachineError, Table, View};
use super::model::{Due, OutboxPosition, OutboxRow, Stored, Waiting};
use super::rows;
use super::store::database::{Database, Family};
use super::store::keys;
use super::store::overlay::Overlay;
use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, MessageId, QueueName};
use crate::queue::machine::BodyPart;

type Result<T> = std::result::Result<T, MachineError>;

/// The state of a partition.
pub(super) struct State<'a> {
    database: &'a Database,
    group: GroupId,
    view: Overlay<'a>,
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|e| MachineError::Inconsistent(e.to_string()))
}

fn broken(what: &str) -> MachineError {
    MachineError::Inconsistent(format!("key of {what}"))
}

impl<'a> State<'a> {
    /// The state of `group` in `epoch`.
    pub(super) fn new(database: &'a Database, group: GroupId, epoch: u16) -> Self {
        let view = Overlay::new(database, keys::state(group, epoch));
        Self { database, group, view }
    }

    /// A row as it is.
    pub(super) fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.view.get(table, key)
    }

    /// Recipients of a queue due from `from` to `to`, both included.
    pub(super) fn due(
        &self,
        queue: &QueueName,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Due>> {
        let end = match to.0.checked_add(1) {
            Some(next) => rows::due_from(queue, Timestamp(next)),
            None => rows::due_end(queue),
        };
        let found = self.view.scan(Table::Due, &rows::due_from(queue, from), &end, limit)?;
        let read = |key: &[u8]| rows::read_due(self.group, key).ok_or_else(|| broken("a due time"));
        found.iter().map(|row| read(&row.key)).collect()
    }

    /// The position of a message by its id; and whether the index holds all messages of its age.
    pub(super) fn locate(&self, id: MessageId) -> Result<(Option<Locator>, bool)> {
        let bytes = codec::message_id(id);
        for key in [rows::token(&bytes), rows::open_id(&bytes)] {
            if let Some(value) = self.view.get(Table::Token, &key)? {
                let row: proto::TokenRow = decode(&value)?;
                return Ok((Some(codec::read_position(self.group, row.message)?), true));
            }
        }
        let counters: proto::Counters = match self.view.get(Table::State, rows::COUNTERS)? {
            Some(value) => decode(&value)?,
            None => return Ok((None, true)),
        };
        let since = counters.since;
        Ok((None, since != 0 && id.time().0 >= since))
    }

    /// A message with its open recipients.
    pub(super) fn message(&self, at: Locator) -> Result<Option<Stored>> {
        match self.view.get(Table::Message, &rows::message(at))? {
            Some(row) => self.stored(at, &row).map(Some),
            None => Ok(None),
        }
    }

    fn stored(&self, locator: Locator, row: &[u8]) -> Result<Stored> {
        let row: proto::MessageRow = decode(row)?;
        let envelope = row.envelope.ok_or_else(|| broken("a message without envelope"))?;
        Ok(Stored {
            locator,
            envelope: codec::read_envelope(envelope)?,
            waiting: self.waiting(locator)?,
        })
    }

    fn waiting(&self, at: Locator) -> Result<Vec<Waiting>> {
        let (from, to) = rows::recipients(at);
        let found = self.view.scan(Table::Recipient, &from, &to, usize::MAX)?;
        let mut waiting = Vec::with_capacity(found.len());
        for row in &found {
            let (_, number) =
                rows::read_recipient(self.group, &row.key).ok_or_else(|| broken("a recipient"))?;
            waiting.push(codec::read_waiting(number, decode(&row.value)?)?);
        }
        Ok(waiting)
    }

    /// The bytes of a message.
    pub(super) fn body(&self, at: Locator) -> Result<Option<Bytes>> {
        let Some(row) = self.view.get(Table::Message, &rows::message(at))? else {
            return Ok(None);
        };
        let pieces = decode::<proto::MessageBodies>(&row)?.body;
        let mut read = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            match self.piece(piece)? {
                Some(bytes) => read.push(bytes),
                // Between the two reads the message may have been finished.
                None if self.view.get(Table::Message, &rows::message(at))?.is_none() => {
                    return Ok(None);
                }
                None => {
                    let what = format!("a part of the body of {at} is missing");
                    return Err(MachineError::Inconsistent(what));
                }
            }
        }
        Ok(Some(join(read)))
    }

    fn piece(&self, piece: &proto::BodyRef) -> Result<Option<Bytes>> {
        let part = u16::try_from(piece.part).map_err(|_| broken("a part of a body"))?;
        let key = keys::body(self.group, BodyPart { index: piece.index, part });
        let Some(bytes) = self.database.get(Family::Body, &key)? else { return Ok(None) };
        if bytes.len() as u64 != piece.size_bytes {
            let what = format!("body part {part} of entry {} has another size", piece.index);
            return Err(MachineError::Inconsistent(what));
        }
        Ok(Some(bytes.into()))
    }

    /// Messages after `after`, in order.
    pub(super) fn page(&self, after: Option<Locator>, limit: usize) -> Result<Vec<Stored>> {
        let from = after.map_or_else(|| rows::messages_from(0), rows::message_after);
        let end = [u8::MAX; 12];
        // Half of the rows may be counts of open recipients.
        let found = self.view.scan(Table::Message, &from, &end, limit.saturating_mul(2))?;
        let messages = found
            .iter()
            .filter_map(|row| Some((rows::read_message(self.group, &row.key)?, &row.value)));
        messages.take(limit).map(|(at, value)| self.stored(at, value)).collect()
    }

    /// Rows of the outbox after `after`.
    pub(super) fn outbox(&self, after: OutboxPosition, limit: usize) -> Result<Vec<OutboxRow>> {
        let from = match self.view.get(Table::State, rows::ACKNOWLEDGED)? {
            // What is acknowledged is gone, and would only be skipped slowly.
            Some(acknowledged) => acknowledged.max(rows::outbox_after(after)),
            None => rows::outbox_after(after),
        };
        let found = self.view.scan(Table::Outbox, &from, &rows::outbox_end(), limit)?;
        let mut out = Vec::with_capacity(found.len());
        for row in &found {
            let at = rows::read_outbox(&row.key).ok_or_else(|| broken("the outbox"))?;
            let record = codec::read_record(decode(&row.value)?)?;
            out.push(OutboxRow { index: at.index, n: at.n, record });
        }
        Ok(out)
    }
}

fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut body = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| body.extend_from_slice(piece));
    body.freeze()
}
