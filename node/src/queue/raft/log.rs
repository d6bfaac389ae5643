//! The log of a group as openraft sees it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use openraft::alias::LeaderIdOf;
use openraft::errors::LeaderChanged;
use openraft::storage::{
    IOFlushed, LeaderBoundedStreamError, LeaderBoundedStreamResult, LogState, RaftLogReader,
    RaftLogStorage,
};
use openraft::{OptionalSend, alias::EntryOf};

use super::TypeConfig;
use super::convert::{
    Entry, RaftLogId, RaftVote, entry, io_error, log_id, raft_entry, raft_log_id, raft_vote, vote,
};
use crate::queue::store::applier::Applier;
use crate::queue::store::log::GroupLog;

/// Bytes that one read of a replication or apply task takes into memory.
const READ_BYTES: usize = 4 << 20;

/// Reads and writes the log of a group.
#[derive(Clone)]
pub(super) struct LogAdapter {
    log: Arc<GroupLog>,
    applier: Applier,
}

impl LogAdapter {
    pub(super) const fn new(log: Arc<GroupLog>, applier: Applier) -> Self {
        Self { log, applier }
    }

    async fn read(&self, range: Range<u64>, limit: Option<usize>) -> io::Result<Vec<Entry>> {
        let entries = self.log.read(range, limit).await.map_err(io_error)?;
        entries.iter().map(raft_entry).collect()
    }

    fn range(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.log.extent().last.map_or(0, |l| l.index + 1),
        };
        start..end
    }

    fn current_vote(&self) -> Option<RaftVote> {
        self.log.vote().as_ref().map(raft_vote)
    }

    /// Fails when `leader` is not the committed leader any more: the log may then be truncated.
    fn check_leader(
        &self,
        leader: LeaderIdOf<TypeConfig>,
    ) -> Result<(), LeaderBoundedStreamError<TypeConfig>> {
        let vote = self.current_vote();
        if vote.is_some_and(|v| v.leader_id == leader && v.committed) {
            return Ok(());
        }
        Err(LeaderChanged::new(leader, vote).into())
    }

    /// Entries of `range`, read piece by piece.
    fn pieces(&self, range: Range<u64>) -> impl Stream<Item = io::Result<Vec<Entry>>> + use<> {
        stream::try_unfold((self.clone(), range), |(log, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let end = range.end;
            let entries = log.read(range, Some(READ_BYTES)).await?;
            Ok(entries.last().map(|e| e.log_id.index() + 1).map(|next| (entries, (log, next..end))))
        })
    }
}

impl RaftLogReader<TypeConfig> for LogAdapter {
    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderIdOf<TypeConfig>,
        range: RB,
    ) -> impl Stream<Item = LeaderBoundedStreamResult<TypeConfig>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let log = self.clone();
        let first = match self.check_leader(leader) {
            Ok(()) => None,
            Err(error) => Some(Err(error)),
        };
        let range = if first.is_some() { 0..0 } else { self.range(&range) };
        let rest = self.pieces(range).flat_map(move |piece| {
            // Checked after reading: what was read before a truncation is still consistent.
            let items = match (piece, log.check_leader(leader)) {
                (Ok(entries), Ok(())) => entries.into_iter().map(Ok).collect(),
                (Ok(_), Err(error)) => vec![Err(error)],
                (Err(error), _) => vec![Err(LeaderBoundedStreamError::IoError(error))],
            };
            stream::iter(items)
        });
        Box::pin(stream::iter(first).chain(rest))
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<EntryOf<TypeConfig>, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let range = self.range(&range);
        Box::pin(self.pieces(range).flat_map(|piece| {
            let items = match piece {
                Ok(entries) => entries.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(items)
        }))
    }

    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let range = self.range(&range);
        self.read(range, None).await
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, io::Error> {
        Ok(self.current_vote())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, Some(READ_BYTES)).await
    }
}

impl RaftLogStorage<TypeConfig> for LogAdapter {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let extent = self.log.extent();
        Ok(LogState {
            last_purged_log_id: extent.purged.map(raft_log_id),
            last_log_id: extent.last.map(raft_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, new: &RaftVote) -> Result<(), io::Error> {
        self.log.save_vote(vote(new)).await.map_err(io_error)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|e| entry(&e)).collect();
        let done = Box::new(move |result: Result<(), _>| {
            callback.io_completed(result.map_err(io_error));
        });
        self.log.append(entries, done).map_err(io_error)
    }

    async fn truncate_after(&mut self, last: Option<RaftLogId>) -> Result<(), io::Error> {
        self.log.truncate_after(last.as_ref().map(log_id)).await.map_err(io_error)
    }

    async fn purge(&mut self, upto: RaftLogId) -> Result<(), io::Error> {
        self.log.purge(log_id(&upto)).await.map_err(io_error)?;
        self.applier.sweep();
        Ok(())
    }
}
