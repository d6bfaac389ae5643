//! Receiving the text of a message, by `DATA` or by chunks.

use std::sync::Arc;

use super::Server;
use super::action::{Action, Incoming};
use super::state::{ChunkTarget, Dialogue, State, Transaction, Transfer};
use super::text::{Body, DataReader, Fault};
use crate::clock::Instant;
use crate::smtp::reply::Reply;

impl Server {
    pub(super) fn receive_data(
        &mut self,
        now: Instant,
        transaction: Box<Transaction>,
        mut reader: DataReader,
        mut transfer: Transfer,
        input: &[u8],
    ) -> usize {
        let (octets, ended) = reader.read(input);
        if ended {
            self.complete(now, *transaction, reader.body);
        } else {
            transfer.add(now, octets);
            self.state = State::Data { transaction, reader, transfer };
        }
        octets
    }

    pub(super) fn receive_chunk(
        &mut self,
        now: Instant,
        mut target: ChunkTarget,
        left_bytes: u64,
        mut transfer: Transfer,
        input: &[u8],
    ) -> usize {
        let octets = usize::try_from(left_bytes).map_or(input.len(), |left| left.min(input.len()));
        if let ChunkTarget::Message { reader, .. } = &mut target {
            reader.read(&input[..octets]);
        }
        transfer.add(now, octets);
        let left_bytes = left_bytes - octets as u64;
        if left_bytes > 0 {
            self.state = State::Chunk { target, left_bytes, transfer };
        } else {
            self.end_chunk(now, target, transfer.octets);
        }
        octets
    }

    pub(super) fn end_chunk(&mut self, now: Instant, target: ChunkTarget, octets: u64) {
        match target {
            ChunkTarget::Message { transaction, reader, last: true } => {
                self.complete(now, *transaction, reader.finish());
            }
            ChunkTarget::Message { transaction, reader, last: false } => {
                self.send(&Reply::new(250, 0, 0, format!("{octets} octets received")));
                self.await_command(now, Dialogue::Chunked(transaction, reader));
            }
            ChunkTarget::Nothing { dialogue, reply } => {
                self.fault(reply);
                self.await_command(now, dialogue);
            }
        }
    }

    /// The message is here to its end: hand it over, or say why not.
    fn complete(&mut self, now: Instant, transaction: Transaction, body: Body) {
        let bytes = match body {
            Body::Kept { bytes, .. } => bytes,
            Body::Dropped(fault) => {
                self.send(&fault_reply(fault));
                return self.await_command(now, Dialogue::Idle(transaction.greeting));
            }
        };
        self.state = State::AwaitSubmit(transaction.greeting.clone());
        self.next = Some(Action::Submit(Box::new(Incoming {
            greeting: transaction.greeting,
            settings: Arc::clone(self.settings()),
            tls: self.session.tls.clone(),
            user: self.session.user().map(str::to_owned),
            mail: transaction.mail,
            recipients: transaction.recipients,
            body: bytes,
        })));
    }
}

fn fault_reply(fault: Fault) -> Reply {
    match fault {
        Fault::BareLineEnd => Reply::new(550, 5, 2, "message has bare CR or LF"),
        Fault::TooLarge => Reply::new(552, 3, 4, "message too big"),
        Fault::NoRoom => Reply::new(452, 3, 1, "server resources temporarily exhausted"),
    }
}
