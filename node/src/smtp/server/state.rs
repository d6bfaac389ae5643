//! Where a session stands, and what it has established.

use std::time::Duration;

use super::action::{Greeting, Identity, Tls};
use super::auth::Exchange;
use super::limits::{self, Tally};
use super::text::{Body, ChunkReader, DataReader};
use crate::clock::Instant;
use crate::smtp::command::{MailFrom, RcptTo};
use crate::smtp::reply::Reply;

/// What a session has established. `STARTTLS` makes a new one.
pub(super) struct Session {
    pub(super) tls: Option<Tls>,
    pub(super) login: Login,
    pub(super) tally: Tally,
    /// AUTH exchanges so far; makes each challenge different.
    pub(super) exchanges: u32,
    /// When the machine last came to wait for a command.
    pub(super) waiting_since: Instant,
    /// Start, or the last message.
    pub(super) mail_since: Instant,
}

/// Who the client is.
pub(super) enum Login {
    Anonymous,
    /// Shown by the TLS certificate alone.
    Certificate(Identity),
    /// By `AUTH`.
    Auth(Identity),
}

/// Where the session stands.
pub(super) enum State {
    /// The banner has not been sent.
    Silent,
    /// A command is next.
    Command(Dialogue),
    /// A line that was too long is thrown away up to its end.
    SkippingLine { dialogue: Dialogue, skipped_bytes: usize },
    /// A response in an AUTH exchange is next.
    Sasl(Greeting, Exchange),
    /// Text after `DATA` is next.
    Data { transaction: Box<Transaction>, reader: DataReader, transfer: Transfer },
    /// Octets of a chunk are next.
    Chunk { target: ChunkTarget, left_bytes: u64, transfer: Transfer },
    /// The driver does a handshake.
    AwaitTls,
    /// The driver checks credentials.
    AwaitAuth(Greeting),
    /// The driver stores a message.
    AwaitSubmit(Greeting),
    /// Over.
    Closed,
}

/// What has been agreed on between commands.
pub(super) enum Dialogue {
    /// No `EHLO` yet.
    Ungreeted,
    /// No transaction.
    Idle(Greeting),
    /// `MAIL` was accepted.
    Open(Box<Transaction>),
    /// At least one chunk was accepted.
    Chunked(Box<Transaction>, ChunkReader),
}

/// A transaction before its message is complete.
pub(super) struct Transaction {
    pub(super) greeting: Greeting,
    pub(super) mail: MailFrom,
    pub(super) recipients: Vec<RcptTo>,
    /// A recipient over the limit was passed over, and the message has to fail for it.
    pub(super) overflowed: bool,
}

/// What becomes of a chunk.
pub(super) enum ChunkTarget {
    /// It belongs to the message, whose last it may be.
    Message { transaction: Box<Transaction>, reader: ChunkReader, last: bool },
    /// It is thrown away and this is the answer.
    Nothing { dialogue: Dialogue, reply: Reply },
}

/// The pace of message text.
#[derive(Clone, Copy)]
pub(super) struct Transfer {
    pub(super) started: Instant,
    pub(super) last_input: Instant,
    pub(super) octets: u64,
}

impl Transfer {
    pub(super) const fn start(now: Instant) -> Self {
        Self { started: now, last_input: now, octets: 0 }
    }

    pub(super) fn add(&mut self, now: Instant, octets: usize) {
        self.last_input = now;
        self.octets = self.octets.saturating_add(octets as u64);
    }

    /// When it is too slow: nothing came for `pause`, or less than the minimum on average.
    pub(super) fn deadline(self, pause: Duration) -> Instant {
        let earned = Duration::from_secs(self.octets / limits::MIN_RATE_BYTES);
        (self.last_input + pause).min(self.started + pause + earned)
    }
}

impl Session {
    pub(super) fn new(now: Instant, tls: Option<Tls>) -> Self {
        Self {
            tls,
            login: Login::Anonymous,
            tally: Tally::default(),
            exchanges: 0,
            waiting_since: now,
            mail_since: now,
        }
    }

    /// Name of the user, after authentication.
    pub(super) fn user(&self) -> Option<&str> {
        match &self.login {
            Login::Anonymous => None,
            Login::Certificate(identity) | Login::Auth(identity) => Some(&identity.user),
        }
    }
}

impl Dialogue {
    const fn body(&self) -> Option<&Body> {
        match self {
            Self::Chunked(_, reader) => Some(&reader.body),
            Self::Ungreeted | Self::Idle(_) | Self::Open(_) => None,
        }
    }

    const fn body_mut(&mut self) -> Option<&mut Body> {
        match self {
            Self::Chunked(_, reader) => Some(&mut reader.body),
            Self::Ungreeted | Self::Idle(_) | Self::Open(_) => None,
        }
    }
}

impl State {
    /// The message being received.
    pub(super) const fn body(&self) -> Option<&Body> {
        match self {
            Self::Data { reader, .. } => Some(&reader.body),
            Self::Chunk { target: ChunkTarget::Message { reader, .. }, .. } => Some(&reader.body),
            Self::Command(dialogue)
            | Self::SkippingLine { dialogue, .. }
            | Self::Chunk { target: ChunkTarget::Nothing { dialogue, .. }, .. } => dialogue.body(),
            Self::Silent
            | Self::Sasl(..)
            | Self::AwaitTls
            | Self::AwaitAuth(_)
            | Self::AwaitSubmit(_)
            | Self::Closed => None,
        }
    }

    /// The message being received.
    pub(super) const fn body_mut(&mut self) -> Option<&mut Body> {
        match self {
            Self::Data { reader, .. } => Some(&mut reader.body),
            Self::Chunk { target: ChunkTarget::Message { reader, .. }, .. } => {
                Some(&mut reader.body)
            }
            Self::Command(dialogue)
            | Self::SkippingLine { dialogue, .. }
            | Self::Chunk { target: ChunkTarget::Nothing { dialogue, .. }, .. } => {
                dialogue.body_mut()
            }
            Self::Silent
            | Self::Sasl(..)
            | Self::AwaitTls
            | Self::AwaitAuth(_)
            | Self::AwaitSubmit(_)
            | Self::Closed => None,
        }
    }
}
