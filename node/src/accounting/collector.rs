//! The task that turns what senders ask into entries of the accounting group, on the node that
//! leads it.
//!
//! One entry is under way at a time; what arrives meanwhile goes into the next one together, so
//! that the time of a commit is the time of gathering, and an idle collector answers at once.
//!
//! Nothing is decided from what a leader believes alone: it may have been replaced. The entry
//! carries its clock and zone, and the state, the same on every replica, decides which rows are
//! new, which founding counts, and that time does not run backwards.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Status;

use super::board::{Board, Standing};
use super::{rotation, wire};
use crate::clock::Timestamp;
use crate::id::GroupId;
use crate::queue::door::Propose;
use crate::queue::model::OutboxPosition;

/// Requests that may wait.
pub(crate) const ASKS_MAX: usize = 256;
/// Rows and bytes of one entry, which may go beyond by one batch.
const ENTRY_ROWS: usize = 4096;
const ENTRY_BYTES: usize = 1 << 20;
/// How often rotation by time and changes of the configuration are looked for.
const TICK: Duration = Duration::from_secs(1);

/// Gives the accounting files as configured now.
pub(crate) type LayoutSource = Arc<dyn Fn() -> Arc<wire::Layout> + Send + Sync>;

/// Something to put into an entry, and who waits for it.
pub(crate) enum Ask {
    Batch(wire::Batch, oneshot::Sender<Result<wire::CollectResponse, Status>>),
    Rotate(wire::Rotate, oneshot::Sender<Result<wire::Rotated, Status>>),
}

pub(crate) struct Collector {
    pub board: Arc<Board>,
    pub propose: Arc<dyn Propose>,
    pub layouts: LayoutSource,
    /// Becomes true when the node stops.
    pub stopping: watch::Receiver<bool>,
}

/// What goes into one entry.
#[derive(Default)]
struct Gathered {
    batches: Vec<(wire::Batch, oneshot::Sender<Result<wire::CollectResponse, Status>>)>,
    rotate: Option<(wire::Rotate, oneshot::Sender<Result<wire::Rotated, Status>>)>,
    rows: usize,
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, ask: Ask) {
        match ask {
            Ask::Batch(batch, answer) => {
                self.rows += batch.rows.len();
                self.bytes += batch.rows.iter().map(|row| row.record.len()).sum::<usize>();
                self.batches.push((batch, answer));
            }
            Ask::Rotate(rotate, answer) => self.rotate = Some((rotate, answer)),
        }
    }

    /// A rotation ends an entry, since an entry has one.
    const fn is_full(&self) -> bool {
        self.rotate.is_some() || self.rows >= ENTRY_ROWS || self.bytes >= ENTRY_BYTES
    }

    const fn is_empty(&self) -> bool {
        self.rotate.is_none() && self.batches.is_empty()
    }

    fn refuse(self) {
        for (_, answer) in self.batches {
            // Whoever asked may have gone.
            let _ = answer.send(Err(not_collector()));
        }
        if let Some((_, answer)) = self.rotate {
            let _ = answer.send(Err(not_collector()));
        }
    }
}

/// What a sender is told that must look for the collector elsewhere.
pub(crate) fn not_collector() -> Status {
    Status::unavailable("this node is not the accounting collector")
}

impl Collector {
    /// Runs until the node stops.
    pub(crate) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut gathered = Gathered::default();
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => gathered.add(ask),
                    None => break,
                },
                _ = tick.tick() => {}
                _ = self.stopping.wait_for(|stopping| *stopping) => break,
            }
            while !gathered.is_full()
                && let Ok(ask) = asks.try_recv()
            {
                gathered.add(ask);
            }
            self.step(gathered).await;
        }
        self.board.pipes.set(&wire::Layout::default());
    }

    async fn step(&self, gathered: Gathered) {
        if self.propose.leads(GroupId::ACCOUNTING).is_none() {
            self.board.pipes.set(&wire::Layout::default());
            gathered.refuse();
            return;
        }
        let layout = (self.layouts)();
        self.board.pipes.set(&layout);
        let standing = self.board.standing();
        let now = Timestamp::now();
        let utc_offset_s = now.local().offset().seconds();
        // The first entry of all names the log, even when no file is configured.
        let new_layout = (standing.founding.is_none() || *layout != *standing.layout)
            .then(|| wire::Layout::clone(&layout));
        let due = standing.rotations.due(now, utc_offset_s);
        if gathered.is_empty() && new_layout.is_none() && !due {
            return;
        }
        let entry = wire::Entry {
            now_ms: now.as_millis(),
            utc_offset_s,
            proposer: self.board.proposer,
            layout: new_layout,
            batches: gathered.batches.iter().map(|(batch, _)| batch.clone()).collect(),
            rotate: gathered.rotate.as_ref().map(|(rotate, _)| rotate.clone()),
            founding: standing.founding.unwrap_or_else(rand::random),
        };
        let rotated = gathered.rotate.as_ref().map(|(rotate, _)| rotated(rotate, &standing));
        if self.commit(&entry).await {
            self.answer(gathered, rotated);
        } else {
            gathered.refuse();
        }
    }

    /// Proposes an entry. False when it is not known to be applied: another node leads, or this one
    /// stops. Without a majority a leader waits, and its senders leave it for the next one.
    async fn commit(&self, entry: &wire::Entry) -> bool {
        let mut stopping = self.stopping.clone();
        let mut tick = interval(TICK);
        let proposed = self.propose.propose(GroupId::ACCOUNTING, entry.encode_to_vec().into());
        tokio::pin!(proposed);
        loop {
            tokio::select! {
                result = &mut proposed => return result.is_ok(),
                _ = stopping.wait_for(|stopping| *stopping) => return false,
                _ = tick.tick() => {
                    if self.propose.leads(GroupId::ACCOUNTING).is_none() {
                        return false;
                    }
                }
            }
        }
    }

    /// The entry is applied: the board tells what became of each batch.
    fn answer(&self, gathered: Gathered, rotated: Option<Result<wire::Rotated, Status>>) {
        let standing = self.board.standing();
        for (batch, answer) in gathered.batches {
            let last = wire::position(batch.rows.last().and_then(|row| row.position));
            let _ = answer.send(Ok(stands(&standing, batch.partition, last)));
        }
        if let (Some((_, answer)), Some(rotated)) = (gathered.rotate, rotated) {
            let _ = answer.send(rotated);
        }
    }
}

/// Where the collector stands in a partition, for a sender that has sent up to `last`.
pub(crate) fn stands(
    standing: &Standing,
    partition: u32,
    last: OutboxPosition,
) -> wire::CollectResponse {
    let mark = standing.marks.get(&wire::partition(partition)).copied().unwrap_or_default();
    wire::CollectResponse { partition, upto: Some(wire::position_of(mark)), rewind: mark < last }
}

fn rotated(rotate: &wire::Rotate, standing: &Standing) -> Result<wire::Rotated, Status> {
    let mut files = standing.layout.files.iter().filter(|file| file.command.is_empty());
    if !rotate.file.is_empty() && !files.any(|file| rotation::names(rotate, file)) {
        return Err(Status::not_found(format!("no accounting file \"{}\"", rotate.file)));
    }
    Ok(wire::Rotated { files: standing.rotations.told_by(rotate) })
}
