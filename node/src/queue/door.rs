//! The four doors of the queue. Other modules hold these traits and not the queue itself, so that
//! their tests bring doubles.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::audit::Audited;
use super::cluster::{Change, Changed, Cluster, Configuration, Placement};
use super::model::{
    Accepted, Due, FinalDot, GroupFigures, Moved, Operation, OutboxPosition, OutboxRow, Pressure,
    QueueFigures, Report, Stored, Submission, SubmitError, Switches, Wake,
};
use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, MessageId, NodeId, QueueName};
use crate::message::Record;

/// The way in, for ingress.
pub trait Inbox: Send + Sync + 'static {
    /// Stores a message on a majority. Resolves at commit; only then may `250` be sent.
    ///
    /// Cancel-safe in the sense that dropping the future never stores half a message: it is stored
    /// wholly or not at all.
    fn submit(&self, submission: Submission) -> BoxFuture<'_, Result<Accepted, SubmitError>>;

    /// How full the store is. Cheap: reads a value that a background task refreshes.
    fn pressure(&self) -> Pressure;
}

/// Why an outcome or operation was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// This node no longer leads the partition in the term of the attempt.
    #[error("no longer leader")]
    LostLeadership,
    /// The node is stopping, or the store failed.
    #[error("stopping")]
    Stopping,
}

/// The way out, for delivery.
pub trait Work: Send + Sync + 'static {
    /// Partitions that this node leads now, with their terms.
    fn led(&self) -> Vec<(GroupId, u64)>;

    /// Waits until queues have new work and takes the list. Wakes for the same queue are merged,
    /// so the list is bounded by the number of queues. After a partition is gained, every
    /// non-empty queue of it is in the list.
    fn wakes(&self) -> BoxFuture<'_, Vec<Wake>>;

    /// Recipients of `queue` due at or before `now`, earliest first, from `from` on; at most
    /// `limit`. Recipients of one message with the same due time are adjacent. Recipients that
    /// were handed out before and are not reported yet are returned again: the caller skips them.
    fn due(
        &self,
        group: GroupId,
        queue: QueueName,
        from: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Vec<Due>>;

    /// The earliest due time in `queue` later than `after`.
    fn next_due(
        &self,
        group: GroupId,
        queue: QueueName,
        after: Timestamp,
    ) -> BoxFuture<'_, Option<Timestamp>>;

    /// Loads a message without its bytes; `None` when it is finished.
    fn load(&self, locator: Locator) -> BoxFuture<'_, Option<Stored>>;

    /// Loads the bytes of a message; `None` when it is finished.
    fn body(&self, locator: Locator) -> BoxFuture<'_, Option<Bytes>>;

    /// May this node still send for `group` in `term`: it leads, and the quorum lease has not run
    /// out? Asked before `MAIL FROM` and before the final dot.
    fn may_send(&self, group: GroupId, term: u64) -> bool;

    /// May a transaction begin for `group` in `term`? Not while the group is being handed over.
    fn may_begin(&self, group: GroupId, term: u64) -> bool {
        self.may_send(group, term)
    }

    /// Records what an attempt did. Resolves when it is committed and applied, so that what
    /// [`Work::due`] and [`Work::load`] give from then on knows of it. Written with `term`: a
    /// report of a leader that has been replaced is refused.
    fn report(&self, term: u64, report: Report) -> BoxFuture<'_, Result<(), ReportError>>;

    /// Records rows that belong to no message (`tq`).
    fn record(
        &self,
        group: GroupId,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<(), ReportError>>;

    /// The operator's switches, refreshed when they change.
    fn switches(&self) -> tokio::sync::watch::Receiver<Switches>;
}

/// The way of accounting rows, for the streamer.
pub trait Outbox: Send + Sync + 'static {
    /// Partitions whose outbox this node streams (those it leads).
    fn led(&self) -> Vec<GroupId>;

    /// Waits until some outbox has rows that were not there before.
    fn changed(&self) -> BoxFuture<'_, ()>;

    /// Rows after `after`, in order, at most `limit`.
    fn rows(
        &self,
        group: GroupId,
        after: OutboxPosition,
        limit: usize,
    ) -> BoxFuture<'_, Vec<OutboxRow>>;

    /// Drops rows up to and including `upto`: the collector has them on stable storage.
    fn acknowledge(
        &self,
        group: GroupId,
        upto: OutboxPosition,
    ) -> BoxFuture<'_, Result<(), ReportError>>;
}

/// What operators ask, for admin.
pub trait Inspect: Send + Sync + 'static {
    /// Figures of every non-empty queue, over all partitions that this node leads.
    fn queues(&self) -> Vec<(QueueName, QueueFigures)>;

    /// Open recipients per job id.
    fn jobs(&self) -> Vec<(String, QueueFigures)>;

    /// Messages in order of their locators, after `after`, at most `limit`: for `list` and
    /// `delete`, which filter page by page.
    fn page(&self, after: Option<Locator>, limit: usize) -> BoxFuture<'_, Vec<Stored>>;

    /// Looks for a message by its id, in all partitions of which this node has a replica.
    fn find(&self, id: MessageId) -> BoxFuture<'_, Option<Located>>;

    /// Does what an operator asks; resolves when it is committed. Gives the number of recipients
    /// changed.
    fn operate(&self, operation: Operation) -> BoxFuture<'_, Result<u64, ReportError>>;

    /// The operator's switches.
    fn switches(&self) -> Switches;

    /// Changes the switches; resolves when it is committed.
    fn set_switches(&self, switches: Switches) -> BoxFuture<'_, Result<(), ReportError>>;
}

/// Where a message was found.
#[derive(Clone, Debug)]
pub struct Located {
    /// Its position.
    pub locator: Locator,
    /// The term in which this node leads its partition, if it does.
    pub term: Option<u64>,
    /// None when all its recipients are finished.
    pub stored: Option<Stored>,
}

/// Which state of a partition is audited, and how.
#[derive(Clone, Copy, Debug)]
pub struct AuditPoint {
    /// The partition.
    pub group: GroupId,
    /// As it is when exactly this entry is applied; now when there is none.
    pub index: Option<u64>,
    /// Also read bodies.
    pub bodies: bool,
    /// How long it may take.
    pub most: Duration,
}

/// Why there is no audit of a replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The replica is beyond the entry already: ask for a later one.
    #[error("the replica is beyond the entry")]
    TooLate,
    /// The replica did not come to the entry in time.
    #[error("the replica did not come to the entry in time")]
    NotReached,
    /// It was not read to its end in the time allowed.
    #[error("the state could not be read to its end in the time allowed")]
    Expired,
    /// It cannot be read.
    #[error("{0}")]
    Failed(String),
}

/// Looks at whole partitions, for operators.
pub trait Examine: Send + Sync + 'static {
    /// Adds up a partition as it is in one moment.
    fn audit(&self, point: AuditPoint) -> BoxFuture<'_, Result<Audited, AuditError>>;
}

/// A transaction whose result is not known yet, by the name that [`Doubts::begin`] gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Remembers what is between final dot and report, for delivery. Both methods take microseconds.
pub trait Doubts: Send + Sync + 'static {
    /// The final dot comes next.
    fn begin(&self, dot: FinalDot) -> Ticket;

    /// The report is committed, or there is nothing to report. When it is not `known` whether the
    /// server has the message, that is noted with its recipients.
    fn end(&self, ticket: Ticket, known: bool);
}

/// Notes attempts whose results are not known.
pub trait MarkUnknown: Send + Sync + 'static {
    /// Marks the recipients of `dots`, all in `group`, that `node` sent to. A recipient that was
    /// reported since is left alone. Gives how many were marked; resolves when it is applied.
    fn mark_unknown(
        &self,
        node: NodeId,
        group: GroupId,
        dots: Vec<FinalDot>,
    ) -> BoxFuture<'_, Result<u64, ReportError>>;
}

/// The log of a group, for the collector.
pub trait Propose: Send + Sync + 'static {
    /// The term in which this node leads `group`, if it does.
    fn leads(&self, group: GroupId) -> Option<u64>;

    /// Proposes an entry; resolves with its index when it is committed and applied on this node.
    fn propose(&self, group: GroupId, payload: Bytes) -> BoxFuture<'_, Result<u64, ReportError>>;
}

/// What the meta group knows, for everybody who needs to know of other nodes.
pub trait Meta: Send + Sync + 'static {
    /// This node.
    fn me(&self) -> NodeId;

    /// The cluster as it is applied here; refreshed when it changes.
    fn cluster(&self) -> tokio::sync::watch::Receiver<Arc<Cluster>>;

    /// Proposes a change, by way of the leader of the meta group wherever it is. Resolves when it
    /// is applied there; here a moment later.
    fn change(&self, change: Change) -> BoxFuture<'_, Result<Changed, ReportError>>;

    /// A version of the shared configuration with its text.
    fn configuration(&self, version: u64) -> BoxFuture<'_, Option<Configuration>>;

    /// The node that leads `group`, as far as it is known here.
    fn leader(&self, group: GroupId) -> Option<NodeId>;
}

/// The Raft groups of this node, for the one who keeps them where they should be.
pub trait Groups: Send + Sync + 'static {
    /// How every group stands here.
    fn figures(&self) -> Vec<GroupFigures>;

    /// Voters that could lead `group` at once, if this node leads it: they have been heard of just
    /// now and have its log.
    fn successors(&self, group: GroupId) -> Vec<NodeId>;

    /// Makes one step towards `placement`, as the leader of `group`.
    fn move_to(&self, group: GroupId, placement: Placement)
    -> BoxFuture<'_, Result<Moved, String>>;

    /// Takes no new work from `group`: it is about to be handed over.
    fn retire(&self, group: GroupId);

    /// Takes work from `group` again, if it is still led here.
    fn resume(&self, group: GroupId);

    /// Asks `to` to lead `group`. The answer is not waited for.
    fn transfer(&self, group: GroupId, to: NodeId) -> BoxFuture<'_, Result<(), String>>;
}
