//! The gRPC side of the collector: one stream per sending node.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::board::Board;
use super::collector::{Ask, not_collector, stands};
use super::wire;
use crate::id::GroupId;
use crate::queue::door::Propose;
use crate::queue::model::OutboxPosition;

pub use wire::accounting_collector_server::AccountingCollectorServer;

/// Batches of one sender that may wait for their answer.
const IN_FLIGHT: usize = 64;
/// Rows of one batch.
const BATCH_ROWS_MAX: usize = 4096;

/// Implements the service.
#[derive(Clone)]
pub struct CollectorService {
    pub(crate) board: Arc<Board>,
    pub(crate) propose: Arc<dyn Propose>,
    pub(crate) asks: mpsc::Sender<Ask>,
    /// Becomes true when the node stops: streams end.
    pub(crate) stopping: watch::Receiver<bool>,
}

type Answer = oneshot::Receiver<Result<wire::CollectResponse, Status>>;

#[tonic::async_trait]
impl wire::accounting_collector_server::AccountingCollector for CollectorService {
    type CollectStream = BoxStream<'static, Result<wire::CollectResponse, Status>>;

    async fn collect(
        &self,
        request: Request<Streaming<wire::CollectRequest>>,
    ) -> Result<Response<Self::CollectStream>, Status> {
        if self.propose.leads(GroupId::ACCOUNTING).is_none() {
            return Err(not_collector());
        }
        let (answers, waiting) = mpsc::channel(IN_FLIGHT);
        tokio::spawn(self.clone().read(request.into_inner(), answers));
        let answered = ReceiverStream::new(waiting)
            .then(async |answer: Answer| answer.await.unwrap_or_else(|_| Err(not_collector())));
        Ok(Response::new(answered.boxed()))
    }

    async fn rotate(
        &self,
        request: Request<wire::Rotate>,
    ) -> Result<Response<wire::Rotated>, Status> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Rotate(request.into_inner(), answer);
        self.asks.send(ask).await.map_err(|_| not_collector())?;
        answered.await.unwrap_or_else(|_| Err(not_collector())).map(Response::new)
    }
}

impl CollectorService {
    /// Reads one stream. Each answer takes its place in the order before it is known; when there
    /// are too many of them, the sender waits.
    async fn read(
        mut self,
        mut requests: Streaming<wire::CollectRequest>,
        answers: mpsc::Sender<Answer>,
    ) {
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                _ = self.stopping.wait_for(|stopping| *stopping) => return,
            };
            let Ok(Some(wire::CollectRequest { request: Some(request) })) = request else {
                return;
            };
            let (answer, waiting) = oneshot::channel();
            if answers.send(waiting).await.is_err() {
                return;
            }
            match self.asked(request) {
                Asked::Answered(response) => {
                    // The stream has gone when nobody listens.
                    let _ = answer.send(response);
                }
                Asked::Batch(batch) => {
                    if self.asks.send(Ask::Batch(batch, answer)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn asked(&self, request: wire::collect_request::Request) -> Asked {
        match request {
            wire::collect_request::Request::Question(question) => {
                if self.propose.leads(GroupId::ACCOUNTING).is_none() {
                    return Asked::Answered(Err(not_collector()));
                }
                let standing = self.board.standing();
                let nothing_sent = OutboxPosition::default();
                Asked::Answered(Ok(stands(&standing, question.partition, nothing_sent)))
            }
            wire::collect_request::Request::Batch(batch) => match refusal(&batch) {
                Some(why) => Asked::Answered(Err(Status::invalid_argument(why))),
                None => Asked::Batch(batch),
            },
        }
    }
}

enum Asked {
    Answered(Result<wire::CollectResponse, Status>),
    Batch(wire::Batch),
}

/// Why a batch must not reach the log.
fn refusal(batch: &wire::Batch) -> Option<&'static str> {
    let mut last = wire::position(batch.previous);
    if batch.rows.is_empty() || batch.rows.len() > BATCH_ROWS_MAX {
        return Some("a batch has 1 to 4096 rows");
    }
    if !wire::partition(batch.partition).is_partition() {
        return Some("not a partition of the queue");
    }
    for row in &batch.rows {
        let at = wire::position(row.position);
        if at <= last {
            return Some("rows are not in order");
        }
        last = at;
    }
    None
}
