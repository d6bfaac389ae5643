//! Accounting: fields and columns, the outbox streamer, the collector and its CSV files.
//!
//! On every node a streamer sends the rows of the partitions that it leads to the collector, the
//! leader of the accounting group. The collector puts them into the group's log; each replica
//! applies the log to its own files. A row is acknowledged when it is committed and applied, and
//! its partition then drops it: one row per event, through any crash.
//!
//! What a row says is not decided here: records come finished from ingress and delivery.

mod archive;
mod board;
mod cargo;
mod collector;
mod columns;
mod disk;
mod fields;
mod filter;
mod give_way;
mod layout;
mod ledger;
mod machine;
#[cfg(test)]
mod memory_disk;
mod naming;
mod output;
mod parcel;
mod pipe;
mod rotation;
mod row;
mod service;
mod streamer;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::{Code, Status};

pub use machine::CollectorMachine;
pub(crate) use naming::Naming;
pub use output::FileFigures;
pub use service::{AccountingCollectorServer, CollectorService};
pub use streamer::{Connect, Lag, NoCollector};

use crate::clock::Timestamp;
use crate::config::settings::Config;
use crate::id::{GroupId, NodeId};
use crate::queue::door::{Groups, Outbox, Propose};
use crate::queue::model::OutboxPosition;
use archive::Place;
use board::Board;
use collector::{ASKS_MAX, Collector, LayoutSource};
use give_way::GiveWay;
use streamer::{Progress, Streamer};
use wire::accounting_collector_client::AccountingCollectorClient;

/// Bytes of one message between nodes: a batch, and a row that is as long as a row can be.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How long the collector may take to begin new files.
const ROTATE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a drain looks whether the outboxes are empty.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// Waiting rows of a partition are counted up to this number.
const WAITING_MAX: usize = 1000;

/// What exists before the queue does: the accounting group's machine belongs to the queue, and is
/// known here.
pub struct Foundation {
    place: Place,
    board: Arc<Board>,
}

impl Foundation {
    /// `base`: where relative paths of accounting files begin. `state`: a directory of this node,
    /// beside its store, for the record of what the files hold; lost with the store or not at all.
    #[must_use]
    pub fn new(base: PathBuf, state: PathBuf) -> Self {
        Self { place: Place { base, ledger: state }, board: Board::new(rand::random()) }
    }

    /// The machine of [`GroupId::ACCOUNTING`]. One at a time may be in use.
    #[must_use]
    pub fn machine(&self) -> CollectorMachine {
        CollectorMachine::new(self.place.clone(), Arc::clone(&self.board))
    }
}

/// Accounting of this node while it runs.
pub struct Accounting {
    board: Arc<Board>,
    outbox: Arc<dyn Outbox>,
    propose: Arc<dyn Propose>,
    connect: Arc<dyn Connect>,
    progress: Arc<Mutex<Progress>>,
    service: CollectorService,
    stopping: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// How accounting stands on this node.
#[derive(Clone, Debug)]
pub struct AccountingStatus {
    /// This node is the collector.
    pub is_collector: bool,
    /// Per partition that this node leads, how far its rows have got.
    pub lags: HashMap<GroupId, Lag>,
    /// Rows that wait in these partitions; counted up to 1000 in each.
    pub waiting_rows: usize,
    /// The last entry of the accounting group that is in the files of this node.
    pub applied: u64,
    /// When the collector made that entry.
    pub applied_at: Option<Timestamp>,
    /// The accounting files of this node.
    pub files: Vec<FileFigures>,
    /// Why files cannot be written, or rows do not reach the collector.
    pub error: Option<String>,
}

/// Why files were not rotated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotateError {
    /// No accounting file is configured under this name.
    #[error("{0}")]
    Unknown(String),
    /// The collector cannot be reached or does not answer.
    #[error("{0}")]
    Unavailable(String),
}

impl Accounting {
    /// Starts the collector's task and the streamer on the current runtime.
    #[must_use]
    pub fn start(
        foundation: &Foundation,
        outbox: Arc<dyn Outbox>,
        propose: Arc<dyn Propose>,
        config: Arc<ArcSwap<Config>>,
        connect: Arc<dyn Connect>,
    ) -> Self {
        Self::start_with(foundation, outbox, propose, configured(config), connect)
    }

    fn start_with(
        foundation: &Foundation,
        outbox: Arc<dyn Outbox>,
        propose: Arc<dyn Propose>,
        layouts: LayoutSource,
        connect: Arc<dyn Connect>,
    ) -> Self {
        let board = Arc::clone(&foundation.board);
        let progress = Arc::new(Mutex::new(Progress::default()));
        let (stopping, stopped) = watch::channel(false);
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let collector = Collector {
            board: Arc::clone(&board),
            propose: Arc::clone(&propose),
            layouts,
            stopping: stopped.clone(),
        };
        let streamer = Streamer {
            outbox: Arc::clone(&outbox),
            connect: Arc::clone(&connect),
            progress: Arc::clone(&progress),
            stopping: stopped.clone(),
        };
        let service = CollectorService {
            board: Arc::clone(&board),
            propose: Arc::clone(&propose),
            asks,
            stopping: stopped,
        };
        let tasks =
            Mutex::new(vec![tokio::spawn(collector.run(asked)), tokio::spawn(streamer.run())]);
        Self { board, outbox, propose, connect, progress, service, stopping, tasks }
    }

    /// Lets another replica lead the accounting group while this node, `me`, cannot write its
    /// files. To be called once, on the runtime.
    pub fn give_way(&self, me: NodeId, groups: Arc<dyn Groups>) {
        let stopping = self.stopping.subscribe();
        let task = GiveWay { board: Arc::clone(&self.board), groups, me, stopping };
        self.tasks.lock().push(tokio::spawn(task.run()));
    }

    /// The gRPC service, for the server that other nodes reach.
    #[must_use]
    pub fn service(&self) -> AccountingCollectorServer<CollectorService> {
        AccountingCollectorServer::new(self.service.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Finishes the files configured as `file`, or all: the next row begins a new one. Gives the
    /// names of the finished files; a file without rows is not begun and not finished.
    ///
    /// # Errors
    ///
    /// When no such file is configured, or the collector does not answer.
    pub async fn rotate(&self, file: Option<&str>) -> Result<Vec<String>, RotateError> {
        let unavailable = |e: NoCollector| RotateError::Unavailable(e.0);
        let channel = self.connect.collector().await.map_err(unavailable)?;
        let rotate = wire::Rotate { file: file.unwrap_or_default().to_owned() };
        let mut client = AccountingCollectorClient::new(channel);
        let answer = timeout(ROTATE_TIMEOUT, client.rotate(rotate)).await;
        let late = || Err(Status::deadline_exceeded("the collector does not answer"));
        match answer.unwrap_or_else(|_| late()) {
            Ok(rotated) => Ok(rotated.into_inner().files),
            Err(status) if status.code() == Code::NotFound => {
                Err(RotateError::Unknown(status.message().to_owned()))
            }
            Err(status) => Err(RotateError::Unavailable(status.message().to_owned())),
        }
    }

    /// How far the group has the rows of each partition, as it is applied here.
    #[must_use]
    pub fn marks(&self) -> BTreeMap<GroupId, OutboxPosition> {
        self.board.standing().marks.into_iter().collect()
    }

    /// How accounting stands.
    pub async fn status(&self) -> AccountingStatus {
        let mut waiting_rows = 0;
        for group in self.outbox.led() {
            let start = OutboxPosition::default();
            waiting_rows += self.outbox.rows(group, start, WAITING_MAX).await.len();
        }
        let standing = self.board.standing();
        let progress = self.progress.lock();
        AccountingStatus {
            is_collector: self.propose.leads(GroupId::ACCOUNTING).is_some(),
            lags: progress.lags.clone(),
            waiting_rows,
            applied: standing.applied,
            applied_at: (standing.applied > 0).then_some(standing.now),
            files: standing.files,
            error: self.board.error().or_else(|| progress.error.clone()),
        }
    }

    /// Waits until every row of the partitions that this node leads is in the files. The caller
    /// says how long that may take.
    pub async fn drain(&self) {
        let mut poll = interval(DRAIN_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            poll.tick().await;
            let mut waiting = false;
            for group in self.outbox.led() {
                let start = OutboxPosition::default();
                waiting |= !self.outbox.rows(group, start, 1).await.is_empty();
            }
            if !waiting {
                return;
            }
        }
    }

    /// Why this node cannot write its files now. A leader of the accounting group that says so
    /// holds up the rows of all nodes: another replica should lead.
    #[must_use]
    pub fn hindrance(&self) -> Option<String> {
        self.board.error()
    }

    /// Ends streams, tasks and pipes, and any waiting for files that cannot be written.
    pub async fn stop(&self) {
        self.board.stop();
        self.stopping.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // A task that panicked has ended too.
            let _ = task.await;
        }
    }
}

/// Describes the configured accounting files anew only when the configuration has changed.
fn configured(config: Arc<ArcSwap<Config>>) -> LayoutSource {
    let first = config.load_full();
    let described = Arc::new(layout::describe(&first.acct_files));
    let known = Mutex::new((first, described));
    Arc::new(move || {
        let now = config.load_full();
        let mut known = known.lock();
        if !Arc::ptr_eq(&known.0, &now) {
            *known = (Arc::clone(&now), Arc::new(layout::describe(&now.acct_files)));
        }
        Arc::clone(&known.1)
    })
}

#[cfg(test)]
#[path = "accounting_test.rs"]
mod tests;

#[cfg(test)]
mod cluster_test;
