//! What goes into the queue and comes out of it: the values that the four doors exchange.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, NodeId, QueueName};
use crate::message::{Envelope, Outcome, Record};

/// A received message on its way in.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Everything but the bytes.
    pub envelope: Envelope,
    /// The message as it will be sent: CRLF line ends, not dot-stuffed, trace headers included.
    pub body: Bytes,
    /// Accounting records of the reception (`r`), written with the message.
    pub records: Vec<Record>,
}

/// Where an accepted message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Position in the store.
    pub locator: Locator,
    /// True when the same message id had been accepted before and no second copy was made.
    pub repeated: bool,
}

/// Why a message was not accepted. All of these are temporary for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No leader, or no majority: nothing was stored.
    #[error("no quorum")]
    NoQuorum,
    /// Too much is waiting for commit.
    #[error("queue is busy")]
    Busy,
    /// The node is stopping.
    #[error("stopping")]
    Stopping,
    /// No answer within the time allowed; the message may or may not be stored.
    #[error("no commit within the time allowed")]
    Unknown,
    /// The store failed; the node is about to stop.
    #[error("store failed: {0}")]
    Failed(String),
}

/// How full the store is; ingress answers `452` on anything but `Normal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Accepting.
    Normal,
    /// Free space on the spool's file system fell below the limit.
    DiskFull {
        /// Bytes free.
        free_bytes: u64,
    },
    /// The database delays or stops writes.
    Stalled,
}

/// A recipient that waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When it may be tried.
    pub at: Timestamp,
    /// Its message.
    pub locator: Locator,
    /// Number of the recipient in the envelope, from 0.
    pub recipient: u16,
}

/// The state of one recipient that is not finished yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Number of the recipient in the envelope, from 0.
    pub recipient: u16,
    /// When it may be tried.
    pub due: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// When the first attempt was made.
    pub first_attempt_at: Option<Timestamp>,
    /// The result of the last attempt.
    pub last: Option<Outcome>,
    /// Held by an operator (`mtactl list --pause`).
    pub held: bool,
    /// An attempt whose result is not known; nothing was reported since.
    pub unknown: Option<UnknownAttempt>,
}

/// An attempt that may have been delivered: its sender ended between the final dot and the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAttempt {
    /// The node that sent.
    pub node: NodeId,
    /// The term in which it led.
    pub term: u64,
    /// When it sent the final dot.
    pub at: Timestamp,
}

/// A transaction at its final dot: from here until the report is committed, only its sender knows
/// whether the server took the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalDot {
    /// The message.
    pub locator: Locator,
    /// The term in which the sender leads.
    pub term: u64,
    /// When.
    pub at: Timestamp,
    /// Numbers of the recipients, with the attempts that were made before.
    pub recipients: Vec<(u16, u32)>,
}

/// A message with its open recipients, as loaded for an attempt or for an operator.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Position in the store.
    pub locator: Locator,
    /// Everything but the bytes.
    pub envelope: Envelope,
    /// The open recipients, by number.
    pub waiting: Vec<Waiting>,
}

/// What an attempt did to one message.
#[derive(Clone, Debug)]
pub struct Report {
    /// The message.
    pub locator: Locator,
    /// Recipients with their results. A recipient that is finished already is skipped, and with it
    /// its record: repeating a report changes nothing.
    pub results: Vec<RecipientResult>,
    /// A notice to the sender that these results cause. Stored in the same entry, unless every
    /// result was skipped.
    pub notice: Option<Submission>,
}

/// The result for one recipient.
#[derive(Clone, Debug)]
pub struct RecipientResult {
    /// Number of the recipient in the envelope, from 0.
    pub recipient: u16,
    /// What happened. `Class::Deferred` keeps the recipient, the other classes finish it.
    pub outcome: Outcome,
    /// For a deferred recipient: when to try again.
    pub next_due: Timestamp,
    /// True when the attempt reached the recipient's own transaction, so that it counts.
    pub counts_as_attempt: bool,
    /// The accounting row (`d`, `b`, `t`), when some accounting file wants one.
    pub record: Option<Record>,
}

/// What an operator asks of the queue. Takes effect through the log, on all replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Finish recipients without delivery; rows of type `b` are made by the proposer.
    Delete {
        /// Which.
        targets: Vec<Target>,
    },
    /// Make recipients due at once.
    Schedule {
        /// Which.
        targets: Vec<Target>,
        /// The new due time.
        at: Timestamp,
    },
    /// Hold recipients or let them go.
    Hold {
        /// Which.
        targets: Vec<Target>,
        /// Hold or release.
        held: bool,
    },
}

/// One recipient named by an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The message.
    pub locator: Locator,
    /// Number of the recipient.
    pub recipient: u16,
    /// For a deletion: the accounting row.
    pub record: Option<Record>,
}

/// Switches of the cluster that an operator sets; kept in the `meta` group.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Switches {
    /// Queue patterns (`domain/vmta` with `*`) that are paused.
    pub paused_queues: Vec<String>,
    /// Jobs that are paused.
    pub paused_jobs: Vec<String>,
    /// Queues set to back-off mode by an operator.
    pub backoff_queues: Vec<String>,
}

/// Figures of one queue in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Open recipients.
    pub recipients: u64,
    /// Bytes of their messages, counted once per recipient.
    pub bytes: u64,
    /// No recipient is due before this; `None` when empty or all are held. After recipients were
    /// finished or deferred it may be earlier than the earliest due time.
    pub next_due: Option<Timestamp>,
}

/// How a group stands, as one of its replicas sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFigures {
    /// Which.
    pub group: GroupId,
    /// The node that leads it, as far as it is known.
    pub leader: Option<NodeId>,
    /// Raft's term.
    pub term: u64,
    /// Members that vote.
    pub voters: BTreeSet<NodeId>,
    /// Replicas that do not.
    pub learners: BTreeSet<NodeId>,
    /// Index of the first entry of the log here.
    pub first: u64,
    /// Index of the last entry of the log here.
    pub last: u64,
    /// Index up to which entries are known to be committed.
    pub committed: u64,
    /// Index up to which entries are applied here.
    pub applied: u64,
    /// On the leader: how far the log of each replica is known to be the same.
    pub matched: BTreeMap<NodeId, u64>,
    /// On the leader: how long ago each replica was heard of.
    pub heard: BTreeMap<NodeId, Duration>,
}

/// How far a group is from where it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is there.
    There,
    /// A step was made.
    Step(String),
    /// Something must happen first.
    Waiting(String),
}

/// Something changed in a queue: it has work that was not there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The partition.
    pub group: GroupId,
    /// The queue.
    pub queue: QueueName,
    /// Earliest due time of what is new.
    pub due: Timestamp,
}

/// A row of a partition's outbox on its way to the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Log index of the entry that made it.
    pub index: u64,
    /// Number within the entry.
    pub n: u16,
    /// What happened.
    pub record: Record,
}

/// A position in a partition's outbox: rows up to and including it are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxPosition {
    /// Log index.
    pub index: u64,
    /// Number within the entry.
    pub n: u16,
}
