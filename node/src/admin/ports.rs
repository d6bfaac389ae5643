//! What administration asks of the other modules. The runtime implements these traits by asking
//! the owners; tests bring doubles.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;

use super::window::Tally;
use crate::clock::Timestamp;
use crate::config::settings::Lookup;
use crate::config::{Bundle, InForce};
use crate::id::{GroupId, NodeId, QueueName, Role};
use crate::queue::cluster::{Cluster, Standing};
use crate::queue::model::{GroupFigures, OutboxPosition, Pressure};

/// Why something was not done, in a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be done: the reason lies in the request or the configuration.
    #[error("{0}")]
    Refused(String),
    /// It can be done later, or on another node.
    #[error("{0}")]
    Unavailable(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
}

/// Connections of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFigures {
    /// Open now.
    pub current: u64,
    /// Most since the start or the last reset.
    pub top: u64,
}

/// Reception.
pub trait IngressPort: Send + Sync + 'static {
    /// Accepted since the start; only grows.
    fn accepted(&self) -> Tally;

    /// Connections from clients.
    fn connections(&self) -> ConnectionFigures;

    /// Lets `top` begin again at `current`.
    fn reset_top(&self);
}

/// Does a queue run at its normal limits?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Yes.
    #[default]
    Normal,
    /// It was told to slow down.
    Backoff,
}

/// What an event on a queue is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The queue as a whole: connections, limits, name resolution.
    Queue,
    /// One recipient.
    Recipient,
    /// A change of mode.
    Mode,
}

/// Something worth telling that happened on a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// One line.
    pub text: String,
}

/// What delivery knows about one queue. Lists are short: delivery keeps a few events per queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Open connections.
    pub connections: u32,
    /// Limits in force.
    pub mode: Mode,
    /// When the queue is tried again, after it could not be reached.
    pub retry_at: Option<Timestamp>,
    /// The last error that concerned the queue as a whole.
    pub last_error: Option<(Timestamp, String)>,
    /// Recent events, oldest first.
    pub events: Vec<Event>,
}

/// How this node stands to a limit of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitState {
    /// It is alone and has all of it.
    Alone,
    /// It has a lease.
    Granted,
    /// It has a lease of a coordinator that does not know yet what others have.
    Learning,
    /// It uses its part without asking.
    SafeShare,
    /// It has heard of no coordinator for too long, and may use nothing.
    Nothing,
}

/// A limit of the cluster that is in use here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitFigures {
    /// The directive.
    pub name: String,
    /// Which queue; its domain is `*` for all queues of a virtual MTA.
    pub queue: QueueName,
    /// The source address, if it is about one.
    pub source: String,
    /// As configured.
    pub limit: u64,
    /// Period of a rate; zero for connections.
    pub period: Duration,
    /// What this node may use of it.
    pub granted: u64,
    /// Connections that are open here.
    pub used: u64,
    /// The node that shares it out.
    pub coordinator: Option<NodeId>,
    /// How this node stands to it.
    pub state: LimitState,
}

/// Delivery.
pub trait DeliveryPort: Send + Sync + 'static {
    /// Delivered since the start; only grows.
    fn delivered(&self) -> Tally;

    /// Connections to other servers.
    fn connections(&self) -> ConnectionFigures;

    /// Lets `top` begin again at `current`.
    fn reset_top(&self);

    /// Queues that delivery knows something about.
    fn activity(&self) -> BoxFuture<'_, HashMap<QueueName, Activity>>;

    /// Lines of the queue's next connection, from its start to its end; the channel is bounded,
    /// and lines that the reader is too slow for are dropped. Dropping the receiver ends it.
    fn trace(
        &self,
        queue: QueueName,
    ) -> BoxFuture<'_, Result<mpsc::Receiver<(Timestamp, String)>, Refusal>>;

    /// Limits of the cluster that are in use here, by name.
    fn limits(&self) -> Vec<LimitFigures>;

    /// Tries the queue now, whatever it is waiting for but a pause.
    fn wake(&self, queue: QueueName);
}

/// One accounting file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcctFileFigures {
    /// File or command as configured.
    pub target: String,
    /// Where its files are; empty for a command.
    pub directory: String,
    /// The file being written, with its directory; empty for a command.
    pub current: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// When the last row was written.
    pub last_written: Option<Timestamp>,
    /// Why rows cannot be written; empty when they can.
    pub last_error: String,
}

/// How accounting stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcctFigures {
    /// The node that collects rows, when one is known.
    pub collector: Option<NodeId>,
    /// This node keeps the files.
    pub keeps: bool,
    /// The last entry of the accounting group that is in this node's files, and when it was made.
    pub applied: u64,
    /// When the collector made it.
    pub applied_at: Option<Timestamp>,
    /// Rows that wait in the partitions that this node leads.
    pub waiting_rows: u64,
    /// Files of this node.
    pub files: Vec<AcctFileFigures>,
    /// Why this node cannot write, or its rows do not reach the collector; empty when all is well.
    pub error: String,
}

/// Accounting.
pub trait AccountingPort: Send + Sync + 'static {
    /// Begins new files: that of `file` as configured, or all. Gives their number.
    fn rotate(&self, file: Option<String>) -> BoxFuture<'_, Result<u64, Refusal>>;

    /// How it stands.
    fn figures(&self) -> BoxFuture<'_, AcctFigures>;

    /// How far the accounting group has the rows of each partition, as it is applied here.
    fn marks(&self) -> BTreeMap<GroupId, OutboxPosition>;
}

/// The cluster.
pub trait ClusterPort: Send + Sync + 'static {
    /// This node.
    fn me(&self) -> NodeId;

    /// The cluster as it is known here. Without members while the node is alone.
    fn cluster(&self) -> Arc<Cluster>;

    /// The other members, with the connections for calls to them; or why there is none.
    fn others(&self) -> Vec<(NodeId, Result<Channel, String>)>;

    /// All groups as this node sees them.
    fn groups(&self) -> Vec<GroupFigures>;

    /// Hands the leadership of `group`, which this node leads, to `node`: sessions finish first.
    /// Resolves when the other node leads.
    fn transfer(&self, group: GroupId, node: NodeId) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Drains a member, takes it back, or begins its removal.
    fn set_standing(&self, node: NodeId, standing: Standing) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Hands the groups that this node leads, and that another one should lead, to that one; gives
    /// how many.
    fn balance(&self) -> BoxFuture<'_, Result<u64, Refusal>>;
}

/// Where the node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Not everything is up yet.
    Starting,
    /// Accepting and sending.
    Running,
    /// Handed over to other nodes on request.
    Draining,
    /// On the way out.
    Stopping,
}

/// A partition as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionFigures {
    /// `p0`, `meta`, …
    pub name: String,
    /// This node leads it.
    pub led: bool,
    /// Raft's term.
    pub term: u64,
}

/// Facts about the node.
#[derive(Clone, Debug)]
pub struct NodeFigures {
    /// Which node.
    pub node: NodeId,
    /// Its name in greetings.
    pub host_name: String,
    /// `total-max-smtp-in`.
    pub most_inbound: u32,
    /// `total-max-smtp-out`.
    pub most_outbound: u32,
    /// Build label, may be empty.
    pub build: String,
    /// When it was started.
    pub started: Timestamp,
    /// Where it is in its life.
    pub state: RunState,
    /// Does the store accept messages?
    pub pressure: Pressure,
    /// Free bytes on the spool's file system.
    pub free_bytes: u64,
    /// All groups of this node.
    pub partitions: Vec<PartitionFigures>,
}

/// A setting in force and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Directive.
    pub name: String,
    /// Value as it would be written.
    pub value: String,
    /// `file:line`, or `default`.
    pub origin: String,
}

/// Settings in force for a queue, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveSettings {
    /// Of the virtual MTA.
    pub vmta: Vec<EffectiveSetting>,
    /// Of the queue.
    pub queue: Vec<EffectiveSetting>,
}

/// Something wrong or doubtful in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// True for an error, false for a warning.
    pub is_error: bool,
    /// File, empty for a text without one.
    pub file: String,
    /// Counted from 1; 0 when it belongs to no line.
    pub line: u32,
    /// Counted from 1; 0 when it belongs to no column.
    pub column: u32,
    /// What is wrong and what to do.
    pub text: String,
}

/// What to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckSource {
    /// The file that the node runs with.
    Running,
    /// Another file on the node.
    File(PathBuf),
    /// A text.
    Text(String),
}

/// What came of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Partitions handed over.
    pub handed_over: u64,
    /// Partitions that no other node can lead.
    pub kept: u64,
}

/// The runtime.
pub trait RuntimePort: Send + Sync + 'static {
    /// Facts about the node.
    fn figures(&self) -> NodeFigures;

    /// The running configuration.
    fn lookup(&self) -> Arc<dyn Lookup + Send + Sync>;

    /// Settings in force for the queue `domain/vmta`.
    fn settings(&self, domain: &str, vmta: &str) -> Result<EffectiveSettings, Refusal>;

    /// Reads the configuration again. With an error among the findings nothing changes.
    fn reload(&self) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>>;

    /// Reads a configuration without putting it to use.
    fn check(&self, source: CheckSource) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>>;

    /// Reads what is to be the shared configuration together with the node's own file, without
    /// putting it to use.
    fn verify(&self, shared: Bundle) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>>;

    /// The version of the shared configuration that the node runs with.
    fn in_force(&self) -> watch::Receiver<InForce>;

    /// Begins a new log file.
    fn rotate_log(&self) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Stops accepting and hands all partitions over; the node goes on running.
    fn drain(&self) -> BoxFuture<'_, Result<Drained, Refusal>>;
}

/// A cluster that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Founded {
    /// Its name.
    pub cluster: String,
    /// `HOST:PORT` of this node, as the others are told.
    pub address: String,
}

/// A way in: for one node, or for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The token, or the credentials as PEM.
    pub text: String,
    /// Not good any more from then on.
    pub expires_at: Timestamp,
}

/// Making a cluster, and letting others in.
pub trait FoundingPort: Send + Sync + 'static {
    /// Makes a cluster of this node, reached by the others at `address` or at what the
    /// configuration says.
    fn init(&self, address: Option<String>) -> BoxFuture<'_, Result<Founded, Refusal>>;

    /// A token with which one node joins, in place of another if wanted.
    fn token(
        &self,
        ttl: Duration,
        replaces: Option<NodeId>,
    ) -> BoxFuture<'_, Result<Pass, Refusal>>;

    /// Credentials for an operator elsewhere.
    fn operator(&self, name: &str, role: Role, ttl: Duration) -> Result<Pass, Refusal>;

    /// `HOST:PORT` of this node, as the others are told.
    fn address(&self) -> String;
}

/// Who leads a Raft group, as probes see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Which.
    pub group: GroupId,
    /// The node that leads it, as far as it is known here; none also while this node leads it
    /// without a quorum.
    pub leader: Option<NodeId>,
    /// This node leads it.
    pub led: bool,
}

/// A certificate of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFigures {
    /// What it is for.
    pub name: String,
    /// The end of its validity.
    pub expires_at: Timestamp,
}

/// What probes ask besides.
pub trait HealthPort: Send + Sync + 'static {
    /// The groups that have a replica here, and others of which a leader is known.
    fn groups(&self) -> Vec<Leadership>;

    /// Has the cluster been told to do without this node?
    fn leaving(&self) -> bool;

    /// The certificates that this node shows to others.
    fn certificates(&self) -> Vec<CertificateFigures>;
}
