//! Messages come in: submissions, pieces of long bodies, and what expires of them.

use convoy_proto::storage as proto;
use prost::Message;

use super::partition::{Run, decode, ensure, part_of};
use crate::clock::Timestamp;
use crate::id::Locator;
use crate::queue::codec;
use crate::queue::index::Effect;
use crate::queue::machine::{Answer, BodyPart, MachineError, Table};
use crate::queue::rows;

/// Tokens, and pieces, that one command removes at most.
const EXPIRE_ROWS: usize = 5000;

impl Run<'_> {
    /// Stores a message, unless its id was accepted lately.
    pub(super) fn submit(
        &mut self,
        slot: u16,
        mut submit: proto::Submit,
    ) -> Result<Answer, MachineError> {
        let envelope = submit
            .envelope
            .take()
            .ok_or_else(|| MachineError::Inconsistent("a submission without envelope".into()))?;
        let at = Locator { group: self.group, index: self.index, slot };
        let token = rows::token(&envelope.id);
        if let Some(value) = self.changes.get(Table::Token, &token)? {
            let earlier: proto::TokenRow = decode(&value)?;
            return Ok(Answer::Repeated(codec::read_position(self.group, earlier.message)?));
        }
        if !self.claim(&mut submit.body, &envelope.id)? {
            return Ok(Answer::Refused);
        }
        let position = codec::position(at);
        let row = proto::TokenRow { message: Some(position) };
        self.changes.put(Table::Token, &token, &row.encode_to_vec());
        let by_age = rows::token_at(self.proposed_at, &envelope.id);
        self.changes.put(Table::Token, &by_age, &[]);
        for record in &submit.records {
            self.outbox(record)?;
        }
        self.open_recipients(at, &envelope)?;
        let row = proto::MessageRow { envelope: Some(envelope), body: submit.body };
        self.changes.put(Table::Message, &rows::message(at), &row.encode_to_vec());
        self.counters.accepted_messages += 1;
        self.counters.open_messages += 1;
        Ok(Answer::Stored(at))
    }

    fn open_recipients(
        &mut self,
        at: Locator,
        envelope: &proto::Envelope,
    ) -> Result<(), MachineError> {
        let count = u16::try_from(envelope.recipients.len())
            .map_err(|_| MachineError::Inconsistent("too many recipients".to_owned()))?;
        ensure(count > 0, || format!("message {at} has no recipients"))?;
        if count > 1 {
            let open = u32::from(count).to_be_bytes();
            self.changes.put(Table::Message, &rows::open_count(at), &open);
        }
        let job = envelope.job.clone().unwrap_or_default();
        for (number, recipient) in (0..).zip(&envelope.recipients) {
            let row = proto::RecipientRow {
                due: self.proposed_at,
                attempts: 0,
                first_attempt_at: None,
                last: None,
                held: false,
                queue: recipient.queue.clone(),
                size_bytes: envelope.size_bytes,
                job: job.clone(),
                unknown: None,
            };
            let (queue, due) = Self::due_key(at, number, &row)?;
            self.changes.put(Table::Recipient, &rows::recipient(at, number), &row.encode_to_vec());
            self.changes.put(Table::Due, &due, &[]);
            self.effects.push(Effect::Opened {
                queue,
                job: row.job,
                bytes: row.size_bytes,
                due: Some(Timestamp(row.due)),
            });
        }
        self.counters.accepted_recipients += u64::from(count);
        self.counters.open_recipients += u64::from(count);
        Ok(())
    }

    /// Checks where the bytes are, and takes pieces that came before. False when one is gone.
    fn claim(&mut self, body: &mut [proto::BodyRef], id: &[u8]) -> Result<bool, MachineError> {
        for piece in body.iter_mut() {
            if piece.index == 0 {
                piece.index = self.index;
                self.check_own_part(piece)?;
            } else if !self.is_unclaimed(part_of(piece)?, id)? {
                return Ok(false);
            }
        }
        for piece in body.iter() {
            let part = part_of(piece)?;
            if part.index != self.index {
                self.changes.delete(Table::State, &rows::chunk(rows::UNCLAIMED, part));
                self.changes.put(Table::State, &rows::chunk(rows::HELD, part), &[]);
            }
        }
        Ok(true)
    }

    fn check_own_part(&self, piece: &proto::BodyRef) -> Result<(), MachineError> {
        let number = usize::try_from(piece.part).unwrap_or(usize::MAX);
        ensure(self.bodies.get(number) == Some(&piece.size_bytes), || {
            format!("entry {} has no part {number} of {} bytes", self.index, piece.size_bytes)
        })
    }

    fn is_unclaimed(&self, part: BodyPart, id: &[u8]) -> Result<bool, MachineError> {
        let Some(row) = self.changes.get(Table::State, &rows::chunk(rows::UNCLAIMED, part))? else {
            return Ok(false);
        };
        Ok(decode::<proto::ChunkRow>(&row)?.message_id == id)
    }

    /// Keeps a piece of a long body for the submission that will claim it.
    pub(super) fn chunk(&mut self, chunk: &proto::Chunk) -> Result<Answer, MachineError> {
        let mut piece = chunk
            .body
            .ok_or_else(|| MachineError::Inconsistent("a chunk without a body".to_owned()))?;
        self.check_own_part(&piece)?;
        piece.index = self.index;
        let row =
            proto::ChunkRow { proposed_at: self.proposed_at, message_id: chunk.message_id.clone() };
        let part = part_of(&piece)?;
        let key = rows::chunk(rows::UNCLAIMED, part);
        self.changes.put(Table::State, &key, &row.encode_to_vec());
        Ok(Answer::Piece(part))
    }

    /// Lets a token go. A message that is still open is found by its id from then on by a row of
    /// another kind, which goes with the message.
    fn forget_token(&mut self, id: &[u8]) -> Result<(), MachineError> {
        let token = rows::token(id);
        if let Some(value) = self.changes.get(Table::Token, &token)? {
            let row: proto::TokenRow = decode(&value)?;
            let at = codec::read_position(self.group, row.message)?;
            if self.changes.get(Table::Message, &rows::message(at))?.is_some() {
                self.changes.put(Table::Token, &rows::open_id(id), &value);
            }
        }
        self.changes.delete(Table::Token, &token);
        Ok(())
    }

    /// Forgets tokens and unclaimed pieces that are older than `before`.
    pub(super) fn expire(&mut self, before: u64) -> Result<Answer, MachineError> {
        let (from, to) = rows::tokens_before(before);
        let old = self.changes.scan(Table::Token, &from, &to, EXPIRE_ROWS)?;
        if let (Some(first), Some(last)) = (old.first(), old.last()) {
            let mut end = last.key.clone();
            end.push(0);
            let start = first.key.clone();
            self.changes.delete_range(Table::Token, &start, &end);
        }
        for row in &old {
            let id = rows::read_token_at(&row.key)
                .ok_or_else(|| MachineError::Inconsistent("key of a token".to_owned()))?;
            self.forget_token(id)?;
        }
        // Pieces are in the order of their entries, and thereby roughly of their age.
        let (from, to) = ([rows::UNCLAIMED], [rows::UNCLAIMED + 1]);
        for row in self.changes.scan(Table::State, &from, &to, EXPIRE_ROWS)? {
            let part = rows::read_chunk(&row.key)
                .ok_or_else(|| MachineError::Inconsistent("key of a chunk".to_owned()))?;
            if decode::<proto::ChunkRow>(&row.value)?.proposed_at < before {
                self.changes.delete(Table::State, &row.key);
                self.changes.release_body(part);
            }
        }
        Ok(Answer::Done)
    }
}
