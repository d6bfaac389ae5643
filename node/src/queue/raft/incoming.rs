//! A snapshot on its way from another node: written beside the current state as it arrives, and
//! handed to Raft only when all of it is there. A stream that breaks leaves nothing behind.

use std::sync::Arc;

use convoy_proto::peer::SnapshotFrame;
use convoy_proto::peer::snapshot_frame::{Frame, Head};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tonic::Status;

use super::wire;
use crate::queue::store::applier::Applier;
use crate::queue::store::database::Database;
use crate::queue::store::snapshot::{Chunk, Staged};

/// Chunks between the connection and the database.
const CHUNKS: usize = 2;

/// Reads the first frame.
pub(super) async fn head(
    frames: &mut (impl Stream<Item = Result<SnapshotFrame, Status>> + Unpin),
) -> Result<Head, Status> {
    match frames.next().await {
        Some(Ok(SnapshotFrame { frame: Some(Frame::Head(head)) })) => Ok(head),
        Some(Err(status)) => Err(status),
        Some(Ok(_)) | None => Err(Status::invalid_argument("a snapshot without its head")),
    }
}

/// Writes all frames up to the end.
pub(super) async fn stage(
    mut frames: impl Stream<Item = Result<SnapshotFrame, Status>> + Unpin,
    applier: Applier,
    database: Arc<Database>,
) -> Result<Staged, Status> {
    let (tx, mut rx) = mpsc::channel::<Chunk>(CHUNKS);
    let writing = tokio::task::spawn_blocking(move || {
        let staged = applier.begin_staging(&database)?;
        while let Some(chunk) = rx.blocking_recv() {
            staged.write(&database, &chunk)?;
        }
        staged.complete()?;
        Ok::<_, crate::queue::store::StoreError>(staged)
    });
    let complete = pass_on(&mut frames, tx).await;
    let staged = writing.await.map_err(|e| Status::internal(e.to_string()))?;
    let staged = staged.map_err(|e| Status::unavailable(e.to_string()))?;
    complete.map(|()| staged)
}

/// Hands chunks to the writer; an error unless the end came and all were there.
async fn pass_on(
    frames: &mut (impl Stream<Item = Result<SnapshotFrame, Status>> + Unpin),
    tx: mpsc::Sender<Chunk>,
) -> Result<(), Status> {
    let cut = || Status::aborted("the snapshot was cut off");
    let mut count = 0;
    loop {
        let frame = frames.next().await.ok_or_else(cut)??;
        let frame = frame.frame.ok_or_else(|| Status::invalid_argument("an empty frame"))?;
        if let Frame::End(end) = frame {
            return if end.frames == count { Ok(()) } else { Err(cut()) };
        }
        let chunk = wire::read_frame(frame).map_err(|e| Status::data_loss(e.to_string()))?;
        let chunk = chunk.ok_or_else(|| Status::invalid_argument("a second head"))?;
        count += 1;
        tx.send(chunk).await.map_err(|_| cut())?;
    }
}
