//! The queue of a node: all groups over one store, behind the doors of `door`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use convoy_proto::storage as proto;
use futures_util::future::join_all;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::apply::PartitionMachine;
use super::command::Draft;
use super::housekeeping;
use super::inbox::Uncertain;
use super::index::Index;
use super::machine::{Machine, MachineError};
use super::membership::{self, addresses};
use super::meta::{MetaMachine, MetaView};
use super::model::Pressure;
use super::proposer::{Failure, Proposer, Told, When};
use super::raft::Peers;
use super::raft::group::{Group, Leadership, Parts, Timing};
use super::room::Room;
use super::store::applier::{Applier, ApplierThread};
use super::store::committer::CommitterThread;
use super::store::database::{Database, Family, Sizes};
use super::store::log::GroupLog;
use super::store::reader::{Reader, ReaderThreads};
use super::store::{FatalHook, StoreError, keys};
use crate::clock;
use crate::id::{GroupId, NodeId};

/// The layout of the database that this version writes and reads.
const FORMAT: u32 = 1;
/// Threads that read.
const READERS: usize = 4;
/// How long a start may take to find out what was committed before.
const RECOVERY: Duration = Duration::from_secs(60);
/// How long a stop waits for what was proposed before.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a command waits for a leader.
const LEADER_PATIENCE: Duration = Duration::from_secs(5);
/// Between looks who leads.
const LEADER_POLL: Duration = Duration::from_millis(20);

/// What a queue is made from.
pub struct QueueOptions {
    /// Where the database is; made if missing.
    pub dir: PathBuf,
    /// This node. A directory belongs to one node for ever.
    pub node: NodeId,
    /// The way to other nodes.
    pub peers: Arc<dyn Peers>,
    /// May begin a cluster of its own. A node that joins one must not.
    pub founder: bool,
    /// Partitions, when the database is new; afterwards the number is kept.
    pub partitions: u32,
    /// What group 1 applies.
    pub accounting: Box<dyn Machine>,
    /// Memory that the database may use.
    pub sizes: Sizes,
    /// How long members wait for each other.
    pub timing: Timing,
    /// Time after which a submission is answered without knowing whether it was committed.
    pub commit_timeout: Duration,
    /// Free space below which nothing is accepted.
    pub min_free_bytes: u64,
    /// Called once when the node must stop.
    pub fatal: FatalHook,
}

/// Why the queue did not open.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state of a group cannot be used.
    #[error(transparent)]
    State(#[from] MachineError),
    /// Another process has it open.
    #[error("another mtad is running on it")]
    InUse,
    /// The directory is another node's.
    #[error("the queue in {dir} belongs to node {owner}, not to {node}")]
    WrongNode {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        owner: NodeId,
        /// Who asked.
        node: NodeId,
    },
    /// The database was written by a version that this one does not understand.
    #[error("the queue in {dir} has format {found}; this version reads {FORMAT}")]
    WrongFormat {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The directory or a thread could not be made.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A group did not start.
    #[error("{0}")]
    Group(String),
}

/// A group and the way into it.
pub(super) struct Member {
    pub group: Arc<Group>,
    pub proposer: Proposer,
    /// The epoch of its state, for readers.
    pub epoch: Arc<AtomicU16>,
}

/// The queue. Methods of its doors may be called from any runtime.
pub struct Queue {
    pub(super) members: Arc<BTreeMap<GroupId, Member>>,
    pub(super) groups: Arc<BTreeMap<GroupId, Arc<Group>>>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) index: Arc<Index>,
    pub(super) reader: Reader,
    pub(super) meta: MetaView,
    pub(super) node: NodeId,
    pub(super) pressure: watch::Receiver<Pressure>,
    pub(super) room: Arc<Room>,
    pub(super) uncertain: Arc<Uncertain>,
    pub(super) commit_timeout: Duration,
    pub(super) stopping: AtomicBool,
    pub(super) fatal: FatalHook,
    log_bytes: u64,
    threads: Threads,
    housekeeping: Mutex<Vec<JoinHandle<()>>>,
}

/// The threads that own the database.
struct Threads {
    committer: CommitterThread,
    appliers: Vec<ApplierThread>,
    readers: ReaderThreads,
}

/// The store as it is after opening, before Raft runs on it.
struct Opened {
    database: Arc<Database>,
    threads: Threads,
    reader: Reader,
    index: Arc<Index>,
    meta: MetaView,
    groups: Vec<(GroupId, Arc<GroupLog>, Applier)>,
    fatal: FatalHook,
}

impl Queue {
    /// Opens the queue and waits until it has recovered and leads what it can. Must be called on
    /// the multi-thread runtime, where Raft will run.
    pub async fn open(options: QueueOptions) -> Result<Arc<Self>, QueueError> {
        let (node, timing, commit_timeout) = (options.node, options.timing, options.commit_timeout);
        let (dir, min_free_bytes) = (options.dir.clone(), options.min_free_bytes);
        let log_bytes = options.sizes.log_bytes;
        let (peers, founder) = (options.peers.clone(), options.founder);
        let opened = tokio::task::spawn_blocking(move || open_store(options))
            .await
            .map_err(|e| QueueError::Group(e.to_string()))??;
        peers.learn(&addresses(&opened.meta.cluster.borrow()));
        let mut members = BTreeMap::new();
        let (mut groups, mut alone) = (BTreeMap::new(), Vec::new());
        for (id, log, applier) in opened.groups {
            let parts = Parts {
                group: id,
                node,
                timing,
                log,
                applier: applier.clone(),
                reader: opened.reader.clone(),
                database: opened.database.clone(),
                peers: peers.clone(),
                leadership: opened.index.clone(),
                fatal: opened.fatal.clone(),
            };
            let group = Group::start(parts).await.map_err(QueueError::Group)?;
            if group.begin(founder).await.map_err(QueueError::Group)? {
                alone.push(group.clone());
            }
            let proposer = Proposer::start(group.clone(), opened.meta.cluster.clone());
            groups.insert(id, group.clone());
            members.insert(id, Member { group, proposer, epoch: applier.epoch() });
        }
        for group in &alone {
            group.recovered(RECOVERY).await.map_err(QueueError::Group)?;
        }
        let (pressure_tx, pressure) = watch::channel(Pressure::Normal);
        let room = Arc::new(Room::new(min_free_bytes));
        let queue = Arc::new(Self {
            members: Arc::new(members),
            groups: Arc::new(groups),
            peers,
            index: opened.index,
            reader: opened.reader.clone(),
            meta: opened.meta,
            node,
            pressure,
            room: room.clone(),
            uncertain: Arc::default(),
            commit_timeout,
            stopping: AtomicBool::new(false),
            fatal: opened.fatal,
            log_bytes,
            threads: opened.threads,
            housekeeping: Mutex::default(),
        });
        queue.lead(&alone).await?;
        *queue.housekeeping.lock() = vec![
            housekeeping::watch_pressure(opened.reader, dir, room, pressure_tx),
            housekeeping::expire(Arc::downgrade(&queue)),
            housekeeping::bound_logs(Arc::downgrade(&queue)),
            membership::follow_addresses(&queue),
        ];
        Ok(queue)
    }

    /// Waits until this node leads the groups whose only voter it is.
    async fn lead(&self, alone: &[Arc<Group>]) -> Result<(), QueueError> {
        let led = async {
            while !alone.iter().all(|group| self.index.term(group.id()).is_some()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(RECOVERY, led)
            .await
            .map_err(|_| QueueError::Group("no leader was elected".to_owned()))
    }

    /// Stops: what was submitted before is answered, then Raft and the store end. The database is
    /// closed afterwards.
    pub async fn shutdown(self: &Arc<Self>) {
        if self.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        for task in self.housekeeping.lock().drain(..) {
            task.abort();
        }
        let drained = join_all(self.members.values().map(|member| member.proposer.stop()));
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("Some commands were not answered when the queue stopped.");
        }
        for (id, member) in self.members.iter() {
            member.group.stop().await;
            self.index.lost(*id);
        }
        let queue = self.clone();
        let stopped = tokio::task::spawn_blocking(move || {
            for applier in &queue.threads.appliers {
                applier.stop();
            }
            queue.threads.committer.stop();
            queue.threads.readers.stop();
        });
        if stopped.await.is_err() {
            tracing::error!("The store did not stop cleanly.");
        }
    }

    /// Purges logs that take more than their share of the disk; on a full disk, all that they
    /// can do without.
    pub(crate) async fn bound_logs(&self) {
        let full = matches!(*self.pressure.borrow(), Pressure::DiskFull { .. });
        let log_bytes = if full { 0 } else { self.log_bytes };
        let share = log_bytes / self.members.len().max(1) as u64;
        for member in self.members.values() {
            member.group.bound_log(share).await;
        }
        if full && let Err(error) = self.reader.read(|database| database.reclaim()).await {
            tracing::warn!("No room on the disk could be given back: {error}.");
        }
    }

    /// Proposes a command to the leader of its group, wherever that is, and waits for its answer.
    /// A command with a term is for this node alone.
    pub(super) async fn propose(
        &self,
        group: GroupId,
        draft: Draft,
        mut when: When,
    ) -> Result<Told, Failure> {
        let until = clock::monotonic() + LEADER_PATIENCE;
        loop {
            let told = self.propose_once(group, &draft, when).await;
            let again = match told {
                Err(Failure::NotLeader) => draft.term.is_none(),
                // The first one may be committed: only the state knows which of the two counts.
                Err(Failure::Unknown) => draft.term.is_none() && draft.is_repeatable(),
                Ok(_) | Err(Failure::Busy | Failure::Stopping) => false,
            };
            if !again || clock::monotonic() >= until {
                return told;
            }
            if told == Err(Failure::Unknown) {
                when = When::Applied;
            }
            tokio::time::sleep(LEADER_POLL).await;
        }
    }

    async fn propose_once(
        &self,
        group: GroupId,
        draft: &Draft,
        when: When,
    ) -> Result<Told, Failure> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Failure::Stopping);
        }
        let member = self.members.get(&group).ok_or(Failure::NotLeader)?;
        match member.group.leader() {
            Some(node) if node != self.node && draft.term.is_none() => {
                self.propose_at(node, group, draft, when).await
            }
            Some(_) | None => member.proposer.propose(draft.clone(), when).await,
        }
    }

    /// Reports a failure of the store that a read met.
    pub(super) fn read_failed<T: Default>(&self, error: &MachineError) -> T {
        if !self.stopping.load(Ordering::Acquire) {
            self.fatal.report(&error.to_string());
        }
        T::default()
    }
}

fn open_store(options: QueueOptions) -> Result<Opened, QueueError> {
    let dir = &options.dir;
    let io = |what: &str| {
        let context = format!("{what} {}", dir.display());
        move |source| QueueError::Io { context, source }
    };
    std::fs::create_dir_all(dir).map_err(io("making"))?;
    let database = Database::open(dir, &options.sizes).map_err(|error| match error {
        StoreError::Database { message, .. } if message.contains("While lock file") => {
            QueueError::InUse
        }
        other => other.into(),
    })?;
    let database = Arc::new(database);
    let partitions = identity(&database, dir, options.node, options.partitions)?;
    let fatal = options.fatal;
    let (committer_thread, committer) = CommitterThread::start(database.clone(), fatal.clone())
        .map_err(io("starting the committer of"))?;
    let (readers, reader) =
        Reader::start(&database, READERS).map_err(io("starting the readers of"))?;
    let index = Arc::new(Index::default());
    let (machine, meta) = MetaMachine::new();
    let mut machines: Vec<(GroupId, Box<dyn Machine>)> =
        vec![(GroupId::META, Box::new(machine)), (GroupId::ACCOUNTING, options.accounting)];
    for number in 0..partitions {
        let group = GroupId::partition(number);
        machines.push((group, Box::new(PartitionMachine::new(group, index.clone()))));
    }
    let (mut appliers, mut groups) = (Vec::new(), Vec::new());
    for (group, machine) in machines {
        let (committer, reader) = (committer.clone(), reader.clone());
        let tail = options.sizes.tail_bytes;
        let log = Arc::new(GroupLog::open(group, &database, committer, reader, tail)?);
        let (thread, applier) =
            Applier::start(group, database.clone(), machine, log.clone(), fatal.clone())?;
        appliers.push(thread);
        groups.push((group, log, applier));
    }
    let threads = Threads { committer: committer_thread, appliers, readers };
    Ok(Opened { database, threads, reader, index, meta, groups, fatal })
}

/// Checks whose database it is; gives the number of partitions.
fn identity(
    database: &Database,
    dir: &Path,
    node: NodeId,
    partitions: u32,
) -> Result<u32, QueueError> {
    let found: Option<proto::Identity> = database.message(Family::Meta, keys::IDENTITY)?;
    let Some(found) = found else {
        let partitions = partitions.max(1);
        let new = proto::Identity { node_id: node.0, partitions, format: FORMAT };
        let mut batch = database.batch();
        batch.put(Family::Meta, keys::IDENTITY, &new.encode_to_vec());
        database.write(batch, true)?;
        return Ok(partitions);
    };
    let dir = dir.to_owned();
    if found.format != FORMAT {
        return Err(QueueError::WrongFormat { dir, found: found.format });
    }
    if found.node_id != node.0 {
        return Err(QueueError::WrongNode { dir, owner: NodeId(found.node_id), node });
    }
    if found.partitions != partitions {
        tracing::warn!(
            "The queue was made with {} partitions and keeps them; the configuration says {}.",
            found.partitions,
            partitions
        );
    }
    Ok(found.partitions)
}
