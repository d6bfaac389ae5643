//! A snapshot on its way to another node, as a stream of frames.

use std::io;

use convoy_proto::peer::SnapshotFrame;
use convoy_proto::peer::snapshot_frame::{End, Frame, Head};
use openraft::alias::SnapshotOf;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::convert::{self, RaftVote};
use super::state::SnapshotData;
use super::{TypeConfig, wire};
use crate::id::GroupId;
use crate::queue::store::snapshot::SnapshotSource;

/// Frames between the database and the connection.
const FRAMES: usize = 2;

/// Streams a snapshot, frame by frame as the connection takes them. A failure in the middle ends
/// the stream without its end, and nothing is installed.
///
/// # Errors
///
/// When the snapshot is not one of this node's own state.
pub(super) fn frames(
    group: GroupId,
    vote: &RaftVote,
    snapshot: SnapshotOf<TypeConfig, SnapshotData>,
) -> io::Result<ReceiverStream<SnapshotFrame>> {
    let applied = convert::applied(&snapshot.meta);
    let SnapshotData::Live(source) = snapshot.snapshot else {
        return Err(io::Error::other("a received snapshot is not sent on"));
    };
    let head = Head { group: group.0, vote: Some(convert::vote(vote)), applied: Some(applied) };
    let (tx, rx) = mpsc::channel(FRAMES);
    // Reading the database blocks.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(head, &source, &tx) {
            tracing::warn!("A snapshot of {group} was not sent: {error}.");
        }
    });
    Ok(ReceiverStream::new(rx))
}

fn send(
    head: Head,
    source: &SnapshotSource,
    tx: &mpsc::Sender<SnapshotFrame>,
) -> Result<(), String> {
    let frame = |frame| SnapshotFrame { frame: Some(frame) };
    let gone = |_| "the connection has ended".to_owned();
    tx.blocking_send(frame(Frame::Head(head))).map_err(gone)?;
    let mut frames = 0;
    while let Some(chunk) = source.next_chunk() {
        let chunk = chunk.map_err(|e| e.to_string())?;
        tx.blocking_send(wire::frame(chunk)).map_err(gone)?;
        frames += 1;
    }
    tx.blocking_send(frame(Frame::End(End { frames }))).map_err(gone)
}
