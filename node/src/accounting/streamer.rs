//! The task that sends the rows of this node's partitions to the collector.
//!
//! A stream begins with a question per partition; the answer says from where to send. Batches go
//! out ahead of their answers, up to a window. An answer acknowledges rows, which the partition
//! then drops, or sends the streamer back. When the stream breaks, the next one asks again: what
//! the collector had stored is not sent twice, and what it had not is. A stream also ends when
//! another node has become the collector, or when this one answers nothing: the old one may be
//! cut off from the rest and not know it.
//!
//! Two nodes may stream the same partition for a moment, when one has not heard that it leads no
//! more. Both send the same committed rows, and the collector takes each once.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::warn;

use super::wire::accounting_collector_client::AccountingCollectorClient;
use super::{parcel, wire};
use crate::clock::{Instant, monotonic};
use crate::id::{GroupId, NodeId};
use crate::queue::door::Outbox;
use crate::queue::model::{OutboxPosition, OutboxRow};

/// Rows of one batch.
const BATCH_ROWS: usize = 256;
/// Bytes of one batch, which may go beyond by one row.
const BATCH_BYTES: usize = 256 << 10;
/// Rows of one partition on their way.
const WINDOW_ROWS: usize = 2048;
/// Batches of one partition on their way: few enough that answers never fill the connection.
const WINDOW_BATCHES: usize = 16;
/// Requests between this task and the connection.
const REQUESTS: usize = 64;
/// How often acknowledged rows are dropped, and new partitions are looked for.
const TICK: Duration = Duration::from_millis(250);
/// Acknowledged rows that are dropped at once.
const ACKNOWLEDGE_ROWS: usize = 1000;
/// A partition without a majority must not hold up the others.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(5);
/// A collector that answers nothing for this long is left.
const SILENCE: Duration = Duration::from_secs(10);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A collector that is back before pauses get longer than this is not worth a line: it comes up
/// with the node, or is just changing.
const BACKOFF_QUIET: Duration = Duration::from_secs(1);

/// The collector is not known or not reachable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoCollector(pub String);

/// Finds the collector.
pub trait Connect: Send + Sync + 'static {
    /// The node that leads the accounting group, as far as it is known now.
    fn leader(&self) -> Option<NodeId>;

    /// A channel to the node that leads the accounting group now.
    fn collector(&self) -> BoxFuture<'_, Result<Channel, NoCollector>>;
}

/// How far a partition has been sent, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Rows up to this one are on stable storage at the collector.
    pub acknowledged: OutboxPosition,
    /// Rows sent after it.
    pub in_flight: usize,
}

/// What the streamer shows.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub lags: HashMap<GroupId, Lag>,
    /// Why rows do not flow now.
    pub error: Option<String>,
}

pub(crate) struct Streamer {
    pub outbox: Arc<dyn Outbox>,
    pub connect: Arc<dyn Connect>,
    pub progress: Arc<Mutex<Progress>>,
    /// Becomes true when the node stops.
    pub stopping: watch::Receiver<bool>,
}

/// One partition in one stream.
#[derive(Debug)]
struct Lane {
    step: Step,
    /// Number of rows of each batch without an answer, oldest first.
    in_flight: VecDeque<usize>,
    acknowledged: OutboxPosition,
    /// The collector has rows that the partition has not dropped yet; their number.
    to_drop: usize,
    /// The partition has been asked to drop rows.
    is_dropping: bool,
}

/// What a lane does.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The collector was asked where it stands.
    Asking,
    /// Rows up to here have been sent.
    Sending(OutboxPosition),
    /// A batch was refused, and so will be those after it: all answers are waited for.
    Rewinding,
}

impl Lane {
    const fn asking() -> Self {
        Self {
            step: Step::Asking,
            in_flight: VecDeque::new(),
            acknowledged: OutboxPosition { index: 0, n: 0 },
            to_drop: 0,
            is_dropping: false,
        }
    }

    /// An answer is due.
    fn waits(&self) -> bool {
        matches!(self.step, Step::Asking) || !self.in_flight.is_empty()
    }

    fn rows_in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// From where the next batch is sent, if one may be sent now.
    fn ready(&self) -> Option<OutboxPosition> {
        let open = self.in_flight.len() < WINDOW_BATCHES && self.rows_in_flight() < WINDOW_ROWS;
        match self.step {
            Step::Sending(sent) if open => Some(sent),
            Step::Sending(_) | Step::Asking | Step::Rewinding => None,
        }
    }

    /// An answer: rows up to `upto` are stored.
    fn answered(&mut self, upto: OutboxPosition, rewind: bool) {
        match self.step {
            Step::Asking => {
                self.step = Step::Sending(upto);
                // Rows that an earlier stream delivered may still be there.
                self.to_drop = usize::from(upto > OutboxPosition::default());
            }
            Step::Sending(_) | Step::Rewinding => {
                self.to_drop += self.in_flight.pop_front().unwrap_or(0);
                if rewind {
                    self.step = Step::Rewinding;
                }
            }
        }
        if matches!(self.step, Step::Rewinding) && self.in_flight.is_empty() {
            self.step = Step::Sending(upto);
        }
        self.acknowledged = self.acknowledged.max(upto);
    }
}

impl Streamer {
    /// Runs until the node stops.
    pub(crate) async fn run(mut self) {
        let mut stopping = self.stopping.clone();
        let mut backoff = BACKOFF_FIRST;
        loop {
            let mut answered = false;
            let ended = tokio::select! {
                ended = self.stream(&mut answered) => ended,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            if answered {
                backoff = BACKOFF_FIRST;
            }
            if backoff > BACKOFF_QUIET {
                self.show_error(&ended);
            }
            tokio::select! {
                () = sleep(backoff) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn show_error(&self, ended: &NoCollector) {
        let mut progress = self.progress.lock();
        if progress.error.as_deref() != Some(ended.0.as_str()) {
            warn!("Accounting rows wait: {ended}.");
            progress.error = Some(ended.0.clone());
        }
        progress.lags.clear();
    }

    /// One stream, until it breaks.
    async fn stream(&mut self, answered: &mut bool) -> NoCollector {
        let collector = self.connect.leader();
        match self.open().await {
            Ok((requests, responses)) => {
                let mut session = Session {
                    outbox: Arc::clone(&self.outbox),
                    connect: Arc::clone(&self.connect),
                    collector,
                    progress: Arc::clone(&self.progress),
                    requests,
                    lanes: HashMap::new(),
                    drops: FuturesUnordered::new(),
                    heard: monotonic(),
                };
                session.run(responses, answered).await
            }
            Err(e) => e,
        }
    }

    async fn open(
        &self,
    ) -> Result<(mpsc::Sender<wire::CollectRequest>, Streaming<wire::CollectResponse>), NoCollector>
    {
        let opening = async {
            let channel = self.connect.collector().await?;
            let (requests, outgoing) = mpsc::channel(REQUESTS);
            let responses = AccountingCollectorClient::new(channel)
                .collect(ReceiverStream::new(outgoing))
                .await
                .map_err(|status| broken(&status))?;
            Ok((requests, responses.into_inner()))
        };
        timeout(SILENCE, opening).await.unwrap_or_else(|_| Err(silent()))
    }
}

fn broken(status: &Status) -> NoCollector {
    NoCollector(format!("the collector answers: {}", status.message()))
}

fn silent() -> NoCollector {
    NoCollector("the collector does not answer".into())
}

/// One open stream.
struct Session {
    outbox: Arc<dyn Outbox>,
    connect: Arc<dyn Connect>,
    /// Where the stream leads.
    collector: Option<NodeId>,
    progress: Arc<Mutex<Progress>>,
    requests: mpsc::Sender<wire::CollectRequest>,
    lanes: HashMap<GroupId, Lane>,
    /// Partitions that drop acknowledged rows, each on its own: one without a majority must not
    /// hold up the others.
    drops: FuturesUnordered<BoxFuture<'static, Dropped>>,
    /// When the last answer came, or none was due.
    heard: Instant,
}

/// A partition has dropped this number of rows, or it has not.
struct Dropped {
    group: GroupId,
    rows: Option<usize>,
}

/// What woke the session.
enum Event {
    Response(Result<Option<wire::CollectResponse>, Status>),
    Dropped(Dropped),
    Changed,
    Tick,
}

impl Session {
    async fn run(
        &mut self,
        mut responses: Streaming<wire::CollectResponse>,
        answered: &mut bool,
    ) -> NoCollector {
        let outbox = Arc::clone(&self.outbox);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Asked for before rows are read, so that no change is missed in between.
        let mut changed = outbox.changed();
        loop {
            if let Err(gone) = self.send().await {
                return gone;
            }
            self.show();
            let event = tokio::select! {
                response = responses.message() => Event::Response(response),
                Some(dropped) = self.drops.next() => Event::Dropped(dropped),
                () = &mut changed => Event::Changed,
                _ = tick.tick() => Event::Tick,
            };
            match event {
                Event::Changed => changed = outbox.changed(),
                Event::Tick => {
                    self.drop_acknowledged();
                    if let Some(left) = self.leave() {
                        return left;
                    }
                }
                Event::Dropped(dropped) => self.dropped(&dropped),
                Event::Response(Ok(Some(response))) => {
                    *answered = true;
                    if self.take(&response) >= ACKNOWLEDGE_ROWS {
                        self.drop_acknowledged();
                    }
                }
                Event::Response(Ok(None)) => return NoCollector("the stream has ended".into()),
                Event::Response(Err(status)) => return broken(&status),
            }
            // Answers that are there already: one look at the outboxes for all of them.
            while let Some(Ok(Some(response))) = responses.message().now_or_never() {
                self.take(&response);
            }
        }
    }

    /// Why the stream should not go on, if so.
    fn leave(&mut self) -> Option<NoCollector> {
        if let Some(leader) = self.connect.leader()
            && self.collector != Some(leader)
        {
            return Some(NoCollector(format!("{leader} is the collector now")));
        }
        if !self.lanes.values().any(Lane::waits) {
            self.heard = monotonic();
        }
        (self.heard.elapsed() >= SILENCE).then(silent)
    }

    /// Follows leadership, and sends what the windows allow.
    async fn send(&mut self) -> Result<(), NoCollector> {
        let led = self.outbox.led();
        self.lanes.retain(|group, _| led.contains(group));
        for group in led {
            if let Entry::Vacant(vacant) = self.lanes.entry(group) {
                vacant.insert(Lane::asking());
                let question = wire::Question { partition: group.0 };
                self.request(wire::collect_request::Request::Question(question)).await?;
            }
            self.send_rows(group).await?;
        }
        Ok(())
    }

    async fn send_rows(&mut self, group: GroupId) -> Result<(), NoCollector> {
        while let Some(sent) = self.lanes.get(&group).and_then(Lane::ready) {
            let rows = self.outbox.rows(group, sent, BATCH_ROWS).await;
            let batch = batch(group, sent, &rows);
            let Some(last) = batch.rows.last().map(|row| row.position) else { break };
            if let Some(lane) = self.lanes.get_mut(&group) {
                lane.step = Step::Sending(wire::position(last));
                lane.in_flight.push_back(batch.rows.len());
            }
            self.request(wire::collect_request::Request::Batch(batch)).await?;
        }
        Ok(())
    }

    async fn request(
        &mut self,
        request: wire::collect_request::Request,
    ) -> Result<(), NoCollector> {
        let request = wire::CollectRequest { request: Some(request) };
        self.requests.send(request).await.map_err(|_| NoCollector("the stream has ended".into()))
    }

    /// Takes an answer; gives the rows that the partition may drop now.
    fn take(&mut self, response: &wire::CollectResponse) -> usize {
        self.heard = monotonic();
        let group = wire::partition(response.partition);
        let Some(lane) = self.lanes.get_mut(&group) else { return 0 };
        lane.answered(wire::position(response.upto), response.rewind);
        lane.to_drop
    }

    /// Lets partitions drop what the collector has; also rows that an earlier leader sent.
    fn drop_acknowledged(&mut self) {
        for (group, lane) in &mut self.lanes {
            if lane.to_drop == 0 || lane.is_dropping {
                continue;
            }
            lane.is_dropping = true;
            let (group, upto, rows) = (*group, lane.acknowledged, lane.to_drop);
            let outbox = Arc::clone(&self.outbox);
            self.drops.push(Box::pin(async move {
                let done = timeout(ACKNOWLEDGE_TIMEOUT, outbox.acknowledge(group, upto)).await;
                Dropped { group, rows: matches!(done, Ok(Ok(()))).then_some(rows) }
            }));
        }
    }

    fn dropped(&mut self, dropped: &Dropped) {
        if let Some(lane) = self.lanes.get_mut(&dropped.group) {
            lane.is_dropping = false;
            // When it failed, the next tick or the next leader drops them.
            lane.to_drop = lane.to_drop.saturating_sub(dropped.rows.unwrap_or(0));
        }
    }

    fn show(&self) {
        let lag =
            |lane: &Lane| Lag { acknowledged: lane.acknowledged, in_flight: lane.rows_in_flight() };
        let mut progress = self.progress.lock();
        progress.error = None;
        progress.lags = self.lanes.iter().map(|(group, lane)| (*group, lag(lane))).collect();
    }
}

fn batch(group: GroupId, previous: OutboxPosition, rows: &[OutboxRow]) -> wire::Batch {
    let mut bytes = 0;
    let mut batch = wire::Batch {
        partition: group.0,
        previous: Some(wire::position_of(previous)),
        rows: Vec::with_capacity(rows.len()),
    };
    for row in rows {
        let position = Some(wire::position_of(wire::place(row)));
        let record = parcel::pack(&row.record);
        bytes += record.len();
        batch.rows.push(wire::Row { position, record });
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::message::{Record, RecordType};

    #[test]
    fn batches_are_bounded() {
        let row = |index, length| OutboxRow {
            index,
            n: 0,
            record: Record {
                rcpt: "x".repeat(length),
                ..Record::new(RecordType::Delivery, Timestamp(0))
            },
        };
        let check = |length, expected| {
            let rows: Vec<_> = (1..=100).map(|index| row(index, length)).collect();
            let batch = batch(GroupId::partition(0), OutboxPosition::default(), &rows);
            assert_eq!(batch.rows.len(), expected, "{length}");
        };
        check(10, 100);
        check(100 << 10, 3);
        check(5 << 20, 1);
    }

    #[test]
    fn a_refused_batch_sends_the_lane_back_when_all_are_answered() {
        let at = |index| OutboxPosition { index, n: 0 };
        let mut lane = Lane::asking();
        lane.answered(at(5), false);
        assert_eq!(lane.ready(), Some(at(5)));
        lane.in_flight.extend([10, 10]);
        lane.step = Step::Sending(at(7));
        lane.answered(at(5), true);
        assert_eq!(lane.ready(), None, "the second one will be refused too");
        lane.answered(at(5), true);
        assert_eq!(lane.ready(), Some(at(5)));
    }
}
