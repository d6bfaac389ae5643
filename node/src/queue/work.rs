//! The way out: the doors of delivery, of the streamer and of the collector.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::command::Draft;
use super::door::{Outbox, Propose, ReportError, Work};
use super::local::Queue;
use super::machine::MachineError;
use super::model::{Due, OutboxPosition, OutboxRow, Report, Stored, Switches, Wake};
use super::proposer::{Failure, When};
use super::raft::group::ProposeError;
use super::reads::State;
use super::store::entry::Proposal;
use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, QueueName};
use crate::message::Record;

/// A report or operation knows only two failures: another node is responsible now, or this node
/// stops. In doubt the next leader finds out.
pub(super) const fn report_error(failure: Failure) -> ReportError {
    match failure {
        Failure::NotLeader | Failure::Unknown | Failure::Busy => ReportError::LostLeadership,
        Failure::Stopping => ReportError::Stopping,
    }
}

impl Queue {
    /// Reads the state of a partition; after a failure the default, and the node stops.
    pub(super) async fn read<T: Default + Send + 'static>(
        &self,
        group: GroupId,
        read: impl FnOnce(&State<'_>) -> Result<T, MachineError> + Send + 'static,
    ) -> T {
        let Some(member) = self.members.get(&group) else { return T::default() };
        let epoch = member.epoch.load(Ordering::Acquire);
        let read = self.reader.read(move |db| read(&State::new(db, group, epoch)));
        read.await.unwrap_or_else(|error| self.read_failed(&error))
    }
}

impl Work for Queue {
    fn led(&self) -> Vec<(GroupId, u64)> {
        let mut led = self.index.led();
        led.retain(|(group, _)| group.is_partition());
        led
    }

    fn wakes(&self) -> BoxFuture<'_, Vec<Wake>> {
        Box::pin(self.index.wakes())
    }

    fn due(
        &self,
        group: GroupId,
        queue: QueueName,
        from: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Vec<Due>> {
        Box::pin(async move {
            let of = queue.clone();
            let due = self.read(group, move |state| state.due(&of, from, now, limit)).await;
            if from == Timestamp::default()
                && let Some(first) = due.first()
            {
                self.index.saw_due(group, &queue, first.at);
            }
            due
        })
    }

    fn next_due(
        &self,
        group: GroupId,
        queue: QueueName,
        after: Timestamp,
    ) -> BoxFuture<'_, Option<Timestamp>> {
        Box::pin(async move {
            let from = Timestamp(after.0.checked_add(1)?);
            let end = Timestamp(u64::MAX);
            let due = self.read(group, move |state| state.due(&queue, from, end, 1)).await;
            due.first().map(|due| due.at)
        })
    }

    fn load(&self, locator: Locator) -> BoxFuture<'_, Option<Stored>> {
        Box::pin(self.read(locator.group, move |state| state.message(locator)))
    }

    fn body(&self, locator: Locator) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(self.read(locator.group, move |state| state.body(locator)))
    }

    fn may_send(&self, group: GroupId, term: u64) -> bool {
        self.members.get(&group).is_some_and(|member| member.group.may_send(term))
    }

    fn may_begin(&self, group: GroupId, term: u64) -> bool {
        !self.index.is_retired(group) && self.may_send(group, term)
    }

    fn report(&self, term: u64, mut report: Report) -> BoxFuture<'_, Result<(), ReportError>> {
        Box::pin(async move {
            let group = report.locator.group;
            let mut pieces = None;
            if let Some(notice) = &mut report.notice {
                notice.envelope.size_bytes = notice.body.len() as u64;
                let id = notice.envelope.id;
                let stored = self.store_pieces(group, id, &notice.body, Some(term));
                pieces = stored.await.map_err(report_error)?;
            }
            let draft = Draft::report(&report, pieces).in_term(term);
            // Whoever reads after this must not find the recipient once more.
            let told = self.propose(group, draft, When::Applied).await;
            told.map(drop).map_err(report_error)
        })
    }

    fn record(
        &self,
        group: GroupId,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<(), ReportError>> {
        Box::pin(async move {
            let told = self.propose(group, Draft::records(&records), When::Committed).await;
            told.map(drop).map_err(report_error)
        })
    }

    fn switches(&self) -> watch::Receiver<Switches> {
        self.meta.switches.clone()
    }
}

impl Outbox for Queue {
    fn led(&self) -> Vec<GroupId> {
        Work::led(self).into_iter().map(|(group, _)| group).collect()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.index.outbox_changed())
    }

    fn rows(
        &self,
        group: GroupId,
        after: OutboxPosition,
        limit: usize,
    ) -> BoxFuture<'_, Vec<OutboxRow>> {
        Box::pin(self.read(group, move |state| state.outbox(after, limit)))
    }

    fn acknowledge(
        &self,
        group: GroupId,
        upto: OutboxPosition,
    ) -> BoxFuture<'_, Result<(), ReportError>> {
        Box::pin(async move {
            let told = self.propose(group, Draft::acknowledge(upto), When::Committed).await;
            told.map(drop).map_err(report_error)
        })
    }
}

impl Propose for Queue {
    fn leads(&self, group: GroupId) -> Option<u64> {
        self.index.term(group)
    }

    fn propose(&self, group: GroupId, payload: Bytes) -> BoxFuture<'_, Result<u64, ReportError>> {
        Box::pin(async move {
            if self.stopping.load(Ordering::Acquire) {
                return Err(ReportError::Stopping);
            }
            let member = self.members.get(&group).ok_or(ReportError::LostLeadership)?;
            let error = |error| match error {
                ProposeError::NotLeader | ProposeError::Discarded => ReportError::LostLeadership,
                ProposeError::Stopped => ReportError::Stopping,
            };
            let proposal = Proposal { payload, bodies: Vec::new() };
            let term = self.leads(group).ok_or(ReportError::LostLeadership)?;
            let mut proposed = member.group.propose(Some(term), proposal).await.map_err(error)?;
            let id = proposed.committed().await.map_err(error)?;
            proposed.applied().await.map_err(error)?;
            Ok(id.index)
        })
    }
}
