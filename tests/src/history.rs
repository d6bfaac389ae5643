//! What a run with faults looked like from outside: values alone, gathered by the load source, the
//! receivers and the harness, and judged by [`crate::laws`].

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Time since the start of the run.
pub type At = Duration;

/// One recipient of one test message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipient {
    /// Number of the message.
    pub id: u32,
    /// Number of the recipient within the message.
    pub n: u16,
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.n)
    }
}

/// How one try to hand a message to a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `250` to the final dot.
    Accepted,
    /// A refusal before the message was sent, or `5xx` to the final dot: it must not be delivered.
    Refused(u16),
    /// `4xx` to the final dot: the node could not say in time; the message may exist or not.
    Deferred(u16),
    /// The connection broke after the final dot: the message may exist or not.
    Unknown,
    /// The connection broke, or could not be had, before the final dot.
    Unsent,
}

impl Answer {
    /// Does nobody know whether the message was stored?
    #[must_use]
    pub const fn is_in_doubt(self) -> bool {
        matches!(self, Self::Deferred(_) | Self::Unknown)
    }
}

/// One try to hand a message to a node.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The node, by its number from 0.
    pub node: u8,
    /// When the final dot was about to be sent.
    pub dot: Option<At>,
    /// When the answer came or the connection broke.
    pub ended: At,
    /// How it ended.
    pub answer: Answer,
}

/// A message of the load source.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Number of the message.
    pub id: u32,
    /// How many recipients it has.
    pub recipients: u16,
    /// The tries, oldest first.
    pub attempts: Vec<Attempt>,
}

impl Sent {
    /// Was it answered `250`?
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.answer == Answer::Accepted)
    }

    /// Its recipients.
    pub fn recipients(&self) -> impl Iterator<Item = Recipient> + '_ {
        (0..self.recipients).map(|n| Recipient { id: self.id, n })
    }
}

/// A connection as a receiver saw it.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The receiver, by its number from 0.
    pub receiver: u8,
    /// The node that opened it, if it said so.
    pub node: Option<u8>,
    /// Address of the client.
    pub source: IpAddr,
    /// When it was accepted.
    pub opened: At,
    /// When the client said `QUIT`, or the connection ended.
    pub ended: Option<At>,
    /// `MAIL` commands that came without encryption.
    pub mails_in_clear: u32,
}

/// A message that came to a receiver, up to its final dot.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The receiver, by its number from 0.
    pub receiver: u8,
    /// The node that sent it, if it said so.
    pub node: Option<u8>,
    /// Address of the client.
    pub source: IpAddr,
    /// Recipients that were not refused.
    pub recipients: Vec<Recipient>,
    /// When `MAIL` came.
    pub began: At,
    /// When the final dot came.
    pub dot: At,
    /// When the reply was written.
    pub replied: Option<At>,
    /// The reply was, or would have been, `250`.
    pub taken: bool,
    /// When the client said something else on this connection: it has dealt with the reply then.
    pub next: Option<At>,
    /// The body is the one that was sent.
    pub intact: bool,
    /// It came over TLS.
    pub encrypted: bool,
}

/// Something that was done to a node.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What, for people.
    pub what: String,
    /// The node, by its number from 0; none when it may concern all.
    pub node: Option<u8>,
    /// When it began.
    pub from: At,
    /// When its effects on connections to receivers were over.
    pub until: At,
    /// The node lives on and cannot close its connections: receivers count them no more.
    pub frozen: bool,
}

/// A node was without a majority, for sure, between these moments.
#[derive(Clone, Copy, Debug)]
pub struct Minority {
    /// The node, by its number from 0.
    pub node: u8,
    /// When the majority was out of reach.
    pub from: At,
    /// When the way back was opened.
    pub until: At,
}

/// What the cluster may do to a receiver, all nodes together.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The receiver, by its number from 0.
    pub receiver: u8,
    /// The limit is for this client address alone.
    pub source: Option<IpAddr>,
    /// What is limited.
    pub rule: Rule,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Connections at a time.
    Connections(u32),
    /// Messages begun in any such time.
    Messages(u32, Duration),
    /// Connections opened in any such time.
    Connects(u32, Duration),
}

/// The accounting files of one node, by name.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The node, by its number from 0.
    pub node: u8,
    /// Names and contents, in order of the names.
    pub files: Vec<(String, Vec<u8>)>,
}

/// A terminal row of the accounting files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// About whom.
    pub recipient: Recipient,
    /// It tells of a delivery, not of a bounce.
    pub delivered: bool,
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Messages of the load source.
    pub sent: Vec<Sent>,
    /// Connections to receivers.
    pub connections: Vec<Connection>,
    /// Messages that came to receivers.
    pub transactions: Vec<Transaction>,
    /// What was done.
    pub faults: Vec<Fault>,
    /// Nodes without a majority.
    pub minorities: Vec<Minority>,
    /// Limits in force.
    pub limits: Vec<Limit>,
    /// Receivers that must not get anything in clear.
    pub encrypted_only: Vec<u8>,
    /// Recipients that are still queued, at the end.
    pub queued: usize,
    /// Terminal rows of the accounting files.
    pub rows: Vec<Row>,
    /// The accounting files, node by node.
    pub replicas: Vec<Replica>,
}
