//! The state of a group as openraft sees it.

use std::io;

use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::alias::SnapshotOf;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};

use super::convert::{
    RaftLogId, RaftSnapshotMeta, RaftStoredMembership, applied, entry, io_error, raft_applied,
};
use super::{Answers, TypeConfig};
use crate::queue::store::applier::{Applier, ApplyEntry, Respond};
use crate::queue::store::reader::Reader;
use crate::queue::store::snapshot::{SnapshotSource, Staged};

/// Entries that are applied in one batch.
const APPLY_ENTRIES: usize = 256;
/// Bytes of entries that are applied in one batch.
const APPLY_BYTES: usize = 8 << 20;

/// A snapshot as openraft hands it around.
pub(crate) enum SnapshotData {
    /// A moment of this node's state, to be read.
    Live(SnapshotSource),
    /// A state that came from another node and is wholly written beside the current one.
    Staged(Staged),
}

/// Applies entries, and gives and takes snapshots.
#[derive(Clone)]
pub(super) struct StateAdapter {
    applier: Applier,
    reader: Reader,
}

impl StateAdapter {
    pub(super) const fn new(applier: Applier, reader: Reader) -> Self {
        Self { applier, reader }
    }

    async fn snapshot(&self) -> io::Result<SnapshotOf<TypeConfig, SnapshotData>> {
        let applier = self.applier.clone();
        let source = self.reader.read(move |db| applier.snapshot(db)).await.map_err(io_error)?;
        let (last_log_id, last_membership) = raft_applied(Some(&source.applied))?;
        let meta = RaftSnapshotMeta { last_log_id, last_membership };
        Ok(Snapshot { meta, snapshot: SnapshotData::Live(source) })
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateAdapter {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotData>, io::Error> {
        self.snapshot().await
    }
}

impl RaftStateMachine<TypeConfig> for StateAdapter {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<RaftLogId>, RaftStoredMembership), io::Error> {
        raft_applied(self.applier.applied().as_ref())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let (mut batch, mut size) = (Vec::new(), 0);
        while let Some(item) = entries.next().await {
            let (raft_entry, responder) = item?;
            let entry = entry(&raft_entry);
            size += entry.size_bytes();
            let respond = responder.map(|responder| -> Respond {
                Box::new(move |answers| responder.send(Answers(answers)))
            });
            batch.push(ApplyEntry { entry, respond });
            if batch.len() >= APPLY_ENTRIES || size >= APPLY_BYTES {
                size = 0;
                self.applier.apply(std::mem::take(&mut batch)).await.map_err(io_error)?;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.applier.apply(batch).await.map_err(io_error)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &RaftSnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let staged = match snapshot {
            SnapshotData::Staged(staged) => staged,
            SnapshotData::Live(source) => {
                let applier = self.applier.clone();
                let stage = self.reader.read(move |db| applier.stage(db, &source));
                stage.await.map_err(io_error)?
            }
        };
        self.applier.install(applied(meta), staged).await.map_err(io_error)
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, SnapshotData>>, io::Error> {
        let snapshot = self.snapshot().await?;
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}
